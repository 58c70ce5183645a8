"""Each guard of the hook is what keeps its delivery out: without it that passes, with it never."""

import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from mta_sts import incoming
from mta_sts.hooks import guards, moment, ticket
from mta_sts.hooks.delivery import Marks
from mta_sts.hooks.sources import parse
from mta_sts.request import Request
from tests.unit.hooks import ASKED, EXECUTION, NOW, SOURCES, Desk, delivery, desk

__all__ = ["desk"]
REAL = {**ASKED, "method": "none-policy"}
Part = tuple[Any, str, Any]  # a module or class, the name in it, what stands there without


def nothing(*_: object) -> None:
    """A guard that lets everything through."""


def lax(call: Any) -> dict[str, Any]:
    """Reading a body as most do."""
    found: dict[str, Any] = json.loads(call.body)
    return found


WITHOUT_SIGNATURE: Part = (guards, "claims_signature", lambda _call: b"")
STALE = {**ASKED, "sent_at": (NOW - timedelta(hours=3)).isoformat()}
# By the guard: what it keeps out, and what is left of the guard where it is taken away.
GUARDS: dict[str, tuple[dict[str, Any], list[Part]]] = {
    "is_post": (delivery(method="PUT"), [(guards, "is_post", nothing)]),
    "fits": (
        delivery(json.dumps(ASKED).encode() + b" " * guards.LARGEST_BODY),
        [(guards, "fits", nothing), (guards, "LARGEST_BODY", 10**9)],
    ),
    "claims_signature": (
        delivery(key=None),
        # What bears none is compared as well: two of a kind.
        [WITHOUT_SIGNATURE, (guards, "is_signed", nothing)],
    ),
    "is_signed": (delivery(key=b"somebody else's"), [(guards, "is_signed", nothing)]),
    "is_json": (delivery(Content_Type="text/plain"), [(guards, "is_json", lax)]),
    "is_current": (delivery(STALE), [(guards, "is_current", nothing)]),
    "reason_to_ignore": (
        delivery({**ASKED, "state": "new"}),
        [(guards, "reason_to_ignore", lambda *_: "")],
    ),
    "is_in_domains": (
        delivery({**ASKED, "domain": "example.com"}),
        [(guards, "is_in_domains", nothing)],
    ),
    "is_in_methods": (
        delivery({**ASKED, "method": "retire"}),
        [(guards, "is_in_methods", nothing)],
    ),
    "is_free": (delivery(REAL), [(guards, "is_free", nothing)]),
}
# Those that are no function of their own: what they keep out, and what it is like without.
WITHIN: dict[str, tuple[dict[str, Any], list[Part]]] = {
    "the media type": (
        delivery(Content_Type="text/plain"),
        [(guards, "json_object", lambda raw, _type, _most: json.loads(raw))],
    ),
    "the packing": (delivery(Content_Encoding="gzip"), [(guards, "is_json", lax)]),
    "a name twice": (
        delivery(json.dumps(ASKED).replace("{", '{"method": "none-policy", ', 1).encode()),
        [(incoming, "_once", dict)],
    ),
    "depth": (
        delivery({**ASKED, "more": json.loads("[" * 40 + "]" * 40)}),
        [(incoming, "_DEEPEST", 10**6)],
    ),
    "half a character": (
        delivery({**ASKED, "reason": "\ud800"}),
        [(incoming, "_SURROGATES", ())],
    ),
    "no number": (
        delivery({**ASKED, "more": float("nan")}),
        [(incoming, "_no_number", float)],
    ),
    "every key": (
        delivery(key=b"somebody else's"),
        [(hmac, "compare_digest", lambda *_: True)],
    ),
    "how old": (delivery(STALE), [(moment, "OLDEST", timedelta(days=9))]),
    "how far ahead": (
        delivery({**ASKED, "sent_at": (NOW + timedelta(hours=1)).isoformat()}),
        [(moment, "FARTHEST_AHEAD", timedelta(days=9))],
    ),
    "what a request is": (
        delivery({**ASKED, "ticket_id": "../x"}),
        [(Request, "parse", staticmethod(lambda _event: parsed()))],
    ),
}


def parsed() -> Any:
    """A request that is fine, whatever was sent."""
    return REQUEST


REQUEST = Request.parse({"domain": "solarmora.com", "method": "check"})


@pytest.mark.parametrize("name", [*GUARDS, *WITHIN])
def test_a_guard_keeps_its_delivery_out_and_nothing_else_does(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    when = "state != 'new'"
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "when": when}}))
    desk.holder = f"{EXECUTION}:holder" if name == "is_free" else ""
    event, parts = (GUARDS | WITHIN)[name]
    kept_out = desk.send(event)
    assert desk.started == []
    assert kept_out.status != 202
    with monkeypatch.context() as without:
        for place, part, left in parts:
            without.setattr(place, part, left)
        passed = desk.send(event)
        assert (passed.status, len(desk.started)) == (202, 1), passed.text
    desk.deliveries.kept.clear()
    desk.executions.started.clear()
    again = desk.send(event)
    assert (again.status, again.body) == (kept_out.status, kept_out.body)
    assert desk.started == []


def test_every_guard_is_taken_away_here() -> None:
    """A new one has to say what it keeps out."""
    own = {
        name
        for name, found in vars(guards).items()
        if callable(found) and getattr(found, "__module__", "") == guards.__name__
    }
    assert own - {"refuse_unsigned", "can_be_carried_out"} == set(GUARDS)


def test_marks_keep_a_replay_from_starting_anything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        desk.send(delivery(ASKED))
    assert len(desk.started) == 1
    with monkeypatch.context() as without:
        without.setattr(desk.app, "marks", lambda *_: Marks((), ""))
        desk.send(delivery(ASKED))
    assert len(desk.started) == 2
    desk.send(delivery(ASKED))
    assert len(desk.started) == 2


def test_a_signature_alone_lets_nobody_be_a_source(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of a kind: where nothing is compared, an unknown source still is nobody."""
    monkeypatch.setattr(guards, "is_signed", nothing)
    assert desk.send(delivery(source="nobody")).status == 401


@pytest.mark.parametrize(
    ("own", "field"),
    [({"dry_run": "plan_only"}, "dry_run"), ({"approved_plan": "plan"}, "approved_plan")],
)
def test_what_is_mapped_has_to_be_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], field: str
) -> None:
    desk.sources = parse(json.dumps({"desk": {**SOURCES["desk"], "fields": own}}))
    assert desk.send(delivery(REAL)).status == 422
    assert desk.started == []
    lenient = {"desk": {**SOURCES["desk"], "fields": {}}}
    desk.sources = parse(json.dumps(lenient))
    assert desk.send(delivery(REAL)).status == 202


def test_texts_that_are_not_cleaned_are_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty = delivery({**ASKED, "reason": "a\x1bb"})
    monkeypatch.setattr(ticket, "clean", lambda text, **_: text)
    assert desk.send(dirty).status == 422
