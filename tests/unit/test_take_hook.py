"""The function that takes deliveries: each gets its answer, and only what is asked for is started."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from mta_sts.errors import TransientError
from mta_sts.hooks.guards import LARGEST_BODY
from mta_sts.hooks.signature import sign
from mta_sts.hooks.sources import HooksUnusableError, parse
from tests.unit.hooks import ASKED, EXECUTION, KEY, NOW, OLD_KEY, SOURCES, Desk, delivery, desk

__all__ = ["desk"]
REAL = {**ASKED, "method": "none-policy"}
SCRIPT = "<script>alert(document.cookie)</script>"


def test_a_delivery_starts_what_it_asks_for(desk: Desk) -> None:
    asked = {
        **ASKED,
        "domain": "SolarMora.com",
        "ticket": "OPS-1",
        "reason": "why",
        "unknown": "ignored",
    }
    answer = desk.send(delivery(asked))
    assert answer.status == 202
    [(name, event)] = desk.executions.started.items()
    assert event == {
        "domain": "solarmora.com",
        "method": "check",
        "ticket": "OPS-1",
        "reason": "why",
    }
    href = f"/v1/domains/solarmora.com/runs/{name}"
    assert answer.body == {"run": name, "domain": "solarmora.com", "again": False, "href": href}
    assert answer.headers["Location"] == href
    assert name.startswith("hook-solarmora-com-")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
@pytest.mark.parametrize("packed", [False, True])
def test_either_key_will_do_and_bytes_as_well_as_text(
    desk: Desk, key: bytes, *, packed: bool
) -> None:
    data = json.dumps({**ASKED, "reason": "Ümzüg 🚚"}, ensure_ascii=False).encode()
    assert desk.send(delivery(data, key=key, packed=packed)).status == 202
    assert desk.started[0]["reason"] == "Ümzüg 🚚"


# --- refusals


def unsigned(data: object = None, **more: Any) -> dict[str, Any]:
    return delivery(data, key=None, **more)


GOOD = sign(json.dumps(ASKED).encode(), KEY)
UNSIGNED = {
    "no signature": unsigned(),
    "an empty one": unsigned(X_Hub_Signature=""),
    "by another key": delivery(key=b"a key of somebody else"),
    "by an empty key": delivery(key=b""),
    "malformed": unsigned(X_Hub_Signature="sha256=zz"),
    "of another method": unsigned(X_Hub_Signature="sha1=" + "0" * 40),
    "of another body": unsigned(REAL, X_Hub_Signature=GOOD),
    "of a source that is not known": delivery(source="nobody"),
    "of the name of a source in capitals": delivery(source="Desk"),
    "of no source": delivery(source=""),
    "of a body that is no text": delivery(b"\xff\xfe\x00"),  # API Gateway has made it one
    "of nothing at all": unsigned(b""),
}


def test_who_has_not_signed_is_told_the_very_same(desk: Desk) -> None:
    answers = {why: desk.send(event) for why, event in UNSIGNED.items()}
    for why, answer in answers.items():
        assert (answer.status, answer.kind) == (401, "unsigned"), why
    assert len({answer.text for answer in answers.values()}) == 1
    assert len({str(answer.headers) for answer in answers.values()}) == 1
    assert "WWW-Authenticate" in answers["no signature"].headers
    assert desk.started == []


def test_nobody_has_secrets_read_by_sending_what_cannot_be_signed(desk: Desk) -> None:
    for why in ("no signature", "malformed", "of a source that is not known"):
        desk.send(UNSIGNED[why])
    assert desk.keys_read == []


def test_nothing_is_read_of_a_body_that_is_not_signed(desk: Desk) -> None:
    for body in (b"no JSON", b"[" * 100_000, b"{}"):
        assert desk.send(unsigned(body, Content_Type="text/plain")).status == 401


DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "GET": (delivery(method="GET"), 405, "method"),
    "unsigned DELETE": (unsigned(method="DELETE"), 405, "method"),
    "too large": (delivery(b" " * (LARGEST_BODY + 1)), 413, "too-large"),
    "too large and unsigned": (unsigned(b" " * (LARGEST_BODY + 1)), 413, "too-large"),
    "text": (delivery(Content_Type="text/plain"), 415, "media-type"),
    "a form": (delivery(Content_Type="application/x-www-form-urlencoded"), 415, "media-type"),
    "no type": (delivery(Content_Type=None), 415, "media-type"),
    "packed": (delivery(Content_Encoding="gzip"), 415, "media-type"),
    "nothing": (delivery(b""), 400, "malformed"),
    "no JSON": (delivery(b"domain=solarmora.com"), 400, "malformed"),
    "no object": (delivery(b"[1]"), 400, "malformed"),
    "null": (delivery(b"null"), 400, "malformed"),
    "two in one": (delivery(b"{}{}"), 400, "malformed"),
    "deep": (delivery(DEEP), 400, "malformed"),
    "deep lists": (delivery(b"[" * 100_000), 400, "malformed"),
    "no number": (delivery(b'{"sent_at": NaN}'), 400, "malformed"),
    "a name twice": (delivery(b'{"method": "check", "method": "none-policy"}'), 400, "malformed"),
    "half a character": (delivery(b'{"reason": "\\ud800"}'), 400, "malformed"),
    "no UTF-8": (delivery(b'{"reason": "\xff"}', packed=True), 400, "malformed"),
    "no moment": (delivery({**ASKED, "sent_at": None}), 401, "stale"),
    "old": (delivery({**ASKED, "sent_at": (NOW - timedelta(hours=2, minutes=1)).isoformat()}), 401, "stale"),
    "ahead": (delivery({**ASKED, "sent_at": (NOW + timedelta(minutes=9)).isoformat()}), 401, "stale"),
    "no domain": (delivery({**ASKED, "domain": None}), 422, "invalid"),
    "no method": (delivery({**ASKED, "method": "switch-off"}), 422, "invalid"),
    "odd flag": (delivery({**ASKED, "dry_run": "perhaps"}), 422, "invalid"),
    "path": (delivery({**ASKED, "ticket_id": "../../secrets"}), 422, "invalid"),
    "other domain": (delivery({**ASKED, "domain": "example.com"}), 403, "domain-not-allowed"),
    "above the list": (delivery({**ASKED, "domain": "example.org"}), 403, "domain-not-allowed"),
    "other method": (delivery({**ASKED, "method": "retire"}), 403, "method-not-allowed"),
    "no dry run": (delivery({**ASKED, "method": "retire", "dry_run": "no"}), 403, "method-not-allowed"),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_refused_starts_nothing(desk: Desk, why: str) -> None:
    event, status, kind = REFUSED[why]
    answer = desk.send(event)
    assert (answer.status, answer.kind) == (status, kind)
    assert answer.body["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert desk.started == []
    assert desk.reserved == []
    for inner in ("Traceback", "mta_sts.", "app.py", KEY.decode(), OLD_KEY.decode()):
        assert inner not in answer.text


def test_what_is_said_of_the_method(desk: Desk) -> None:
    assert desk.send(delivery(method="PUT")).headers["Allow"] == "POST"


def test_every_problem_is_told_at_once(desk: Desk) -> None:
    answer = desk.send(
        delivery({**ASKED, "domain": "mail@solarmora.com", "method": 1, "new_mx": "?"})
    )
    assert answer.status == 422
    assert len(answer.body["problems"]) == 3


def test_who_may_not_restore_cannot_have_it_done_later(desk: Desk) -> None:
    """What restore_at sets for later is started by the ledger, which asks nobody."""
    window = {**REAL, "restore_at": (NOW + timedelta(days=9)).isoformat()}
    answer = desk.send(delivery(window))
    assert (answer.status, answer.kind) == (403, "method-not-allowed")
    assert "restore is not in its list" in answer.body["detail"]
    assert desk.started == []
    assert desk.send(delivery({**window, "dry_run": True})).status == 202
    methods = ["none-policy", "restore"]
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "methods": methods}}))
    assert desk.send(delivery(window)).status == 202
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "methods": ["restore"]}}))
    assert desk.send(delivery({**window, "reason": "x"})).status == 403


@pytest.mark.parametrize("method", ["retire", "restore", "delete-record", "change-id"])
def test_a_dry_run_is_allowed_of_every_method(desk: Desk, method: str) -> None:
    assert desk.send(delivery({**ASKED, "method": method, "dry_run": "yes"})).status == 202
    assert desk.started == [{"domain": "solarmora.com", "method": method, "dry_run": True}]


@pytest.mark.parametrize("field", ["requested_by", "ticket", "reason"])
def test_script_is_text(desk: Desk, field: str) -> None:
    answer = desk.send(delivery({**ASKED, field: SCRIPT}))
    assert answer.status == 202
    assert desk.started[0][field] == SCRIPT
    assert SCRIPT not in answer.text


@pytest.mark.parametrize(
    "field", ["domain", "method", "approved_plan", "restore_at", "ticket_id", "new_mx"]
)
def test_script_in_what_is_no_text_is_refused(desk: Desk, field: str) -> None:
    answer = desk.send(delivery({**ASKED, field: SCRIPT}))
    assert (answer.status, answer.kind) == (422, "invalid")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert desk.started == []


# --- conditions


@pytest.mark.parametrize(
    ("when", "state", "started"),
    [
        ("state == 'approved'", "approved", 1),
        ("state == 'approved'", "new", 0),
        ("state", "approved", 0),  # text is not true
        ("length(state) > `3`", "approved", 1),
        ("length(state) > `3`", None, 0),  # cannot be evaluated
    ],
)
def test_what_the_condition_does_not_hold_for_starts_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, when: str, state: str | None, started: int
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(desk.app.logger.registered_handler, "stream", written)
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "when": when}}))
    answer = desk.send(delivery({**ASKED, "state": state}))
    assert len(desk.started) == started
    if not started:
        assert answer.status == 200
        assert answer.body["started"] is False
        assert answer.body["reason"].startswith("The source's condition")
        [line] = map(json.loads, written.getvalue().splitlines())
        assert (line["message"], line["source"]) == ("ignored", "desk")
        assert line["reason"] == answer.body["reason"], "Jira shows nobody its answers"


# --- deliveries that come again


def test_a_delivery_that_comes_again_is_the_same_run(desk: Desk) -> None:
    first, second = desk.send(delivery(REAL)), desk.send(delivery(REAL))
    assert (first.status, second.status) == (202, 202)
    assert second.body == {**first.body, "again": True}
    assert len(desk.started) == 1


def test_the_same_body_under_another_number_is_the_same_run(desk: Desk) -> None:
    runs = {
        desk.send(delivery(REAL, X_Atlassian_Webhook_Identifier=str(n))).body["run"]
        for n in range(3)
    }
    assert len(runs) == len(desk.started) == 1


def test_the_same_written_otherwise_is_the_same_run_whatever_is_not_signed(desk: Desk) -> None:
    """Whoever leaves out or puts in a number does not have a second change."""
    first = desk.send(delivery(REAL, X_Request_Id="n-1")).body["run"]
    otherwise = json.dumps({**REAL, "attempt": 2}).encode()
    for number in ("n-1", None, "n-2"):
        answer = desk.send(delivery(otherwise, X_Request_Id=number))
        assert (answer.body["run"], answer.body["again"]) == (first, True)
    assert len(desk.started) == 1


def test_nobody_can_have_a_later_delivery_taken_for_an_earlier_one(desk: Desk) -> None:
    """Headers are not signed: whoever gets hold of a body can send it under the number of the next."""
    desk.send(delivery(REAL, X_Atlassian_Webhook_Identifier="of the next"))
    later = {**REAL, "sent_at": (NOW + timedelta(seconds=1)).isoformat()}
    other = {**REAL, "reason": "another"}
    for asked in (later, other):
        answer = desk.send(delivery(asked, X_Atlassian_Webhook_Identifier="of the next"))
        assert (answer.status, answer.body.get("again")) == (202, False)
    assert len(desk.started) == 3


def test_a_replay_under_a_later_number_takes_nothing_from_it(desk: Desk) -> None:
    desk.send(delivery(REAL))
    desk.send(delivery(REAL, X_Atlassian_Webhook_Identifier="of the next"))
    later = {**REAL, "sent_at": (NOW + timedelta(seconds=1)).isoformat()}
    assert (
        desk.send(delivery(later, X_Atlassian_Webhook_Identifier="of the next")).body["again"]
        is False
    )


def test_without_a_moment_a_body_is_known_for_ever(desk: Desk) -> None:
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "moment": ""}}))
    asked = {"domain": "solarmora.com", "method": "check"}
    assert [desk.send(delivery(asked)).body["again"] for _ in range(2)] == [False, True]
    assert len(desk.started) == 1


def test_a_delivery_that_would_mean_something_else_now_is_refused(desk: Desk) -> None:
    """Whoever changes the mapping must not have a body that comes again start another run."""
    desk.send(delivery(REAL))
    fields = {"method": "'check'"}
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "fields": fields}}))
    answer = desk.send(delivery(REAL))
    assert (answer.status, answer.kind) == (409, "key-reused")
    assert len(desk.started) == 1


def test_who_holds_the_domain_is_told(desk: Desk) -> None:
    desk.holder = f"{EXECUTION}:holder-1"
    answer = desk.send(delivery(REAL))
    assert (answer.status, answer.kind, answer.body["run"]) == (409, "busy", "holder-1")
    assert desk.started == []
    assert desk.reserved == [], "it may be sent again later"
    for harmless in (ASKED, {**REAL, "dry_run": True}):
        assert desk.send(delivery(harmless)).status == 202


def test_a_delivery_that_comes_again_is_answered_whoever_holds_the_domain(desk: Desk) -> None:
    first = desk.send(delivery(REAL))
    desk.holder = f"{EXECUTION}:{first.body['run']}"
    assert desk.send(delivery(REAL)).body["run"] == first.body["run"]


# --- what is ours


def error(code: str, status: int = 400) -> ClientError:
    metadata: Any = {"HTTPStatusCode": status}
    told = {"Code": code, "Message": "secret-thing"}
    return ClientError({"Error": told, "ResponseMetadata": metadata}, "X")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (HooksUnusableError("secret-thing"), 503),
        (TransientError("secret-thing"), 503),
        (error("ThrottlingException"), 503),
        (error("InternalError", 500), 503),
        (EndpointConnectionError(endpoint_url="secret-thing"), 503),
        (error("AccessDenied"), 500),
        (ValueError("secret-thing"), 500),
    ],
)
@pytest.mark.parametrize("place", ["sources", "keys"])
def test_nothing_of_the_inside_is_told(
    desk: Desk, caplog: pytest.LogCaptureFixture, raised: Exception, status: int, place: str
) -> None:
    setattr(desk, place, raised)
    answer = desk.send(delivery())
    assert answer.status == status
    assert "secret-thing" not in answer.text
    assert type(raised).__name__ not in answer.text
    assert ("Retry-After" in answer.headers) is (status == 503)


def test_bodies_and_signatures_do_not_get_into_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(desk.app.logger.registered_handler, "stream", written)
    marked = {**ASKED, "reason": "marked-reason", "requested_by": "marked-person"}
    for event in (
        delivery(marked),
        delivery({**marked, "dry_run": "perhaps"}),
        unsigned(marked),
    ):
        desk.send(event)
    desk.intake.start = _fail
    assert desk.send(delivery({**marked, "ticket": "T-1"})).status == 500
    logged = written.getvalue()
    assert "taken" in logged
    assert "RuntimeError" in logged
    for secret in ("marked", "sha256", sign(json.dumps(marked).encode(), KEY)[7:], KEY.decode()):
        assert secret not in logged


def _fail(ask: Any, _now: Any) -> Any:
    raise RuntimeError(f"failed at {ask.event}")
