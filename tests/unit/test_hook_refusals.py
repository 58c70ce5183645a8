"""Who has signed and is refused is told in the ticket, once, and the answer does not hang on it."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.hooks import refusal
from mta_sts.hooks.sources import parse
from mta_sts.problems import Problem
from tests.unit.hooks import ASKED, EXECUTION, NOW, SOURCES, Desk, delivery, desk
from tests.unit.test_notices import valid
from tests.unit.test_take_hook import REFUSED, UNSIGNED

__all__ = ["desk"]
TICKET = {**ASKED, "ticket": "OPS 1", "ticket_id": "OPS-1", "requested_by": "somebody"}
REAL = {**TICKET, "method": "none-policy"}
OLD = (NOW - timedelta(hours=3)).isoformat()
WRONG: dict[str, dict[str, Any]] = {
    "invalid": {**TICKET, "method": "switch-off", "dry_run": "perhaps", "new_mx": "-bad-.example"},
    "domain-not-allowed": {**TICKET, "domain": "example.com"},
    "method-not-allowed": {**TICKET, "method": "retire"},
    "stale": {**TICKET, "sent_at": OLD},
    "busy": REAL,
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_refused_is_told_in_its_ticket(desk: Desk, kind: str) -> None:
    desk.holder = f"{EXECUTION}:holder-1"
    answer = desk.send(delivery(WRONG[kind]))
    assert answer.kind == kind
    [told] = desk.told
    told = valid(told)
    assert (told["kind"], told["error"], told["changed"]) == ("refused", kind, "nothing")
    assert (told["run"], told["execution"], told["stack"]) == (None, None, "of-tests")
    assert (told["ticket"], told["ticket_id"], told["requested_by"]) == (
        "OPS 1", "OPS-1", "somebody",
    )  # fmt: skip
    assert told["domain"] == WRONG[kind]["domain"]
    assert told["comment"]["jira"]["body"]
    begin = f"MTA-STS is still on or off for {told['domain']} as it was before: nothing was started"
    assert told["text"].startswith(begin)
    for problem in answer.body.get("problems", [answer.body["detail"]]):
        assert f"\n- {problem}" in told["text"]
    assert desk.started == []


def test_every_problem_of_the_signed_has_its_next_action() -> None:
    assert set(refusal._ACTIONS) == {*WRONG, "key-reused"}


def test_another_request_under_a_body_that_was_taken_is_told(desk: Desk) -> None:
    desk.send(delivery(REAL))
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "fields": {"method": "'check'"}}}))
    assert desk.send(delivery(REAL)).kind == "key-reused"
    assert [valid(told)["error"] for told in desk.told] == ["key-reused"]


@pytest.mark.parametrize(
    ("wrong", "domain", "ticket_id"),
    [
        ({"domain": "mail@solarmora.com"}, None, "OPS-1"),
        ({"domain": None}, None, "OPS-1"),
        ({"domain": ["solarmora.com"]}, None, "OPS-1"),
        ({"ticket_id": "../../secrets"}, "solarmora.com", ""),
        ({"ticket_id": {"a": 1}}, "solarmora.com", ""),
        ({"method": ["check"], "approved_plan": {"x": []}}, "solarmora.com", "OPS-1"),
    ],
)
def test_whatever_can_be_read_is_told_though_the_rest_is_wrong(
    desk: Desk, wrong: dict[str, Any], domain: str | None, ticket_id: str
) -> None:
    assert desk.send(delivery({**TICKET, **wrong})).status == 422
    [told] = desk.told
    assert (valid(told)["domain"], told["ticket_id"]) == (domain, ticket_id)
    assert bool(told["comment"]) is bool(ticket_id)


def test_an_expression_that_fails_hides_no_other_field(desk: Desk) -> None:
    fields = {"method": "length(nothing)", "ticket_id": "key"}
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "fields": fields}}))
    assert desk.send(delivery({**TICKET, "key": "OPS-7"})).status == 422
    [told] = desk.told
    assert (told["domain"], told["method"], told["ticket_id"]) == ("solarmora.com", None, "OPS-7")


# --- who is not told


@pytest.mark.parametrize("why", UNSIGNED)
def test_nobody_writes_into_a_ticket_without_a_key(desk: Desk, why: str) -> None:
    desk.send(UNSIGNED[why])
    assert desk.told == []


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_read_is_told_to_nobody(desk: Desk, why: str) -> None:
    event, status, kind = REFUSED[why]
    desk.send(event)
    assert len(desk.told) == (status in {401, 403, 409, 422} and kind != "unsigned")


def test_what_would_have_been_ignored_is_told_to_nobody(desk: Desk) -> None:
    """A comment is an update as well: one of the way back must not be answered by another one."""
    when = {**SOURCES["desk"], "when": "state == 'approved'"}
    desk.sources = parse(json.dumps({"desk": when}))
    for state in (None, "new"):
        assert desk.send(delivery({**TICKET, "sent_at": OLD, "state": state})).kind == "stale"
    assert desk.told == []
    desk.send(delivery({**TICKET, "sent_at": OLD, "state": "approved"}))
    assert len(desk.told) == 1


# --- what comes again


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_sent_again_is_told_once(
    desk: Desk, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.holder = f"{EXECUTION}:holder-1"
    answers = [desk.send(delivery(WRONG[kind], X_Request_Id=str(n))) for n in range(6)]
    assert {each.kind for each in answers} == {kind}
    assert len(desk.told) == 1

    class Later(type(NOW)):  # type: ignore[misc]
        @classmethod
        def now(cls, _: Any) -> Any:
            return NOW + timedelta(minutes=75)

    monkeypatch.setattr(desk.app, "datetime", Later)
    desk.send(delivery(WRONG[kind]))
    assert len(desk.told) == 1


def test_a_ticket_whose_every_change_is_sent_does_not_talk_to_itself(desk: Desk) -> None:
    """Each comment makes a delivery, which is refused for the same, and would make a comment."""
    for number in range(20):
        assert desk.send(delivery({**WRONG["invalid"], "comment": number})).status == 422
    assert len(desk.told) <= 2, "an hour may have begun meanwhile"
    told = len(desk.told)
    desk.send(delivery({**WRONG["invalid"], "method": "other"}))
    desk.send(delivery({**WRONG["invalid"], "ticket_id": "OPS-2"}))
    assert len(desk.told) == told + 2, "another problem, another ticket"


def test_one_that_was_busy_is_taken_when_it_comes_again(desk: Desk) -> None:
    desk.holder = f"{EXECUTION}:holder-1"
    assert desk.send(delivery(REAL)).status == 409
    desk.holder = ""
    assert desk.send(delivery(REAL)).body["again"] is False
    assert len(desk.started) == 1


# --- what does not hang on it


def _fail(_: Any) -> Any:
    raise ConnectionError("no way")


@pytest.mark.parametrize(
    "bus", [_fail, lambda entries: {"FailedEntryCount": 1, "Entries": entries}]
)
def test_the_answer_is_the_same_where_it_cannot_be_told(desk: Desk, bus: Any) -> None:
    right, told = desk.bus, desk.send(delivery({**WRONG["invalid"], "ticket_id": "OPS-3"}))
    desk.bus = bus
    answer = desk.send(delivery(WRONG["invalid"]))
    assert (answer.status, answer.text) == (told.status, told.text)
    desk.bus = right
    desk.send(delivery(WRONG["invalid"]))
    assert [each["ticket_id"] for each in desk.told] == ["OPS-3", "OPS-1"], "told when it can be"


def test_the_answer_is_the_same_whatever_is_broken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_MACHINE_ARN")
    assert desk.send(delivery(WRONG["invalid"])).status == 422
    monkeypatch.setattr(desk.refusals, "tell", _fail)
    assert desk.send(delivery(WRONG["invalid"])).status == 422


def test_the_log_says_who_was_refused_and_why(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(desk.app.logger.registered_handler, "stream", written)
    hosts = [f"-{n}\u202e-.example" for n in range(1000)]
    desk.send(delivery({**TICKET, "new_mx": hosts, "reason": "marked-reason"}))
    [line] = [json.loads(one) for one in written.getvalue().splitlines()]
    assert (line["level"], line["source"], line["status"]) == ("WARNING", "desk", 422)
    assert (line["ticket"], line["domain"], line["kind"]) == ("OPS 1", "solarmora.com", "invalid")
    assert any("new_mx" in each for each in line["problems"])
    assert len(written.getvalue()) < 20_000
    assert "marked" not in written.getvalue()


def test_many_problems_are_told_within_bounds() -> None:
    many = [f"{n}: {'x' * 1000}" for n in range(1000)]
    told = refusal.problems(Problem(422, "invalid", "t", "d", {"problems": many}))
    assert (len(told), max(map(len, told)), told[-1]) == (21, 400, "and 980 more")
