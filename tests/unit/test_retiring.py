"""The second half of a retirement: not a second too early, and only while the drain was left alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.adapters.ledger import recent_changes
from mta_sts.bounds import compute
from mta_sts.ending import confirmed
from mta_sts.errors import (
    DrainNotOverError,
)
from mta_sts.exposure import moments_at_once
from mta_sts.instants import instant, stamp
from mta_sts.observed import Findings, History, Location, Version
from mta_sts.plan import Plan
from mta_sts.policy_check import Fetched, look
from mta_sts.retiring import not_before
from tests.unit.plans import (
    ENFORCE,
    HOST,
    NONE,
    NOW,
    answered,
    findings,
    history,
    plan,
    policy,
    stored,
    txt,
)  # fmt: skip
from tests.unit.test_functions import EXECUTION, Book

PUBLISHED, FRESH = NOW + timedelta(seconds=10), NOW + timedelta(seconds=60)
CHANGED, GONE = NOW + timedelta(seconds=90), NOW + timedelta(seconds=3720)
WEEK, MARGIN, SECOND = timedelta(days=7), timedelta(days=3), timedelta(seconds=1)
YEAR = timedelta(seconds=31_557_600)
WHERE: dict[str, Any] = {
    "location": Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt", "E1")
}


@dataclass(frozen=True)
class Life:
    """A domain whose retirement has begun: the first plan, and the ledger's item after its run."""

    first: Plan
    item: dict[str, Any]
    versions: tuple[Version, ...]
    asked: Mapping[str, Any]
    cache: int
    known: Any

    @property
    def at(self) -> Any:
        """When the record may go, as the ledger has it."""
        return instant(self.item["due"]["retirement"]["at"])

    def found(self, now: Any, *fetched: Fetched, **changes: Any) -> Findings:
        """What a survey finds then."""
        record, body = self.first.record, self.first.policy.body
        there = changes.pop("there", body)
        served = fetched or (answered(there or body),)
        seen = look(served, [], known={}, missing=there is None, host=HOST, now=now, region="x")
        usual: dict[str, Any] = {
            "policy": stored(there) if there is not None else None,
            "missing": there is None,
            "history": History(self.versions, self.known),
            "record_sets": [txt(record.new)],
            "used_ids": frozenset({record.old_id, record.new_id}),
            "id_changes": tuple(recent_changes(self.item["id_changes"], now)),
            "remembered": self.item,
            "host": seen,
        }
        return findings(**usual | changes)

    def goes_on(self, now: Any, *fetched: Fetched, due: Any = None, **changes: Any) -> Plan:
        """The plan of the second half, made then."""
        request = self.item["due"]["retirement"]["request"]
        asked = {name: value for name, value in request.items() if name != "method"}
        settings = {"other_cache_seconds": self.cache, "max_policy_age_seconds": 0}
        return plan(
            self.found(now, *fetched, **changes),
            now=now,
            method="delete-record",
            due=due or {"kind": "retirement", "generation": 2, "at": stamp(self.at)},
            **asked,
            **settings,
        )


def begun(
    found: Findings | None = None, *, cache: int = 0, written: bool = True, **asked: Any
) -> Life:
    """Have a run retire a domain, as the workflow's last state writes it down."""
    found = found or findings()
    made = plan(found, method="retire", other_cache_seconds=cache, **asked)
    fresh = FRESH + timedelta(seconds=cache)
    moments = {
        "host": {"agreeing": []},
        "published": {"published_at": stamp(PUBLISHED), "written": written},
        "caches": {"fresh_at": stamp(fresh)},
        "served": {"checked_at": stamp(fresh)},
        "changed": {"changed_at": stamp(CHANGED)},
        "in_sync": {"checked_at": stamp(CHANGED)},
        "names": {"record_gone_at": stamp(GONE)},
    }
    book = Book()
    event = {"execution": EXECUTION, "request": {"domain": made.domain, "method": "retire", **asked},
             "moments": moments, "record": {}, "policy": {}}  # fmt: skip
    confirmed(event, made, book, GONE + SECOND)  # type: ignore[arg-type]  # a ledger as far as it is used
    item = {
        **book.finished["domain_fields"], "due": book.finished["due"], "generation": 2,
        "id_changes": [book.finished["id_change"]],
    }  # fmt: skip
    none = Version(f"v{len(found.history.versions) + 1}", PUBLISHED, made.policy.body)
    versions = (*found.history.versions, *([none] if written else []))
    known = found.history.known_since
    return Life(made, item, versions, asked, cache, known)


def retirement(*fetched: Fetched, **changes: Any) -> Plan:
    """The plan of the second half where everything is as usual."""
    asked = {"remove_policy": True} if changes.pop("remove_policy", False) else {}
    changes = {"versioning": "Enabled", **changes}
    where = {name: changes[name] for name in ("location",) if name in changes}
    life = begun(findings(versioning="Enabled", **where), **asked)
    return life.goes_on(life.at, *fetched, **changes)


def said(error: type[Exception], life: Life, now: Any, *fetched: Fetched, **changes: Any) -> str:
    with pytest.raises(error, match=r"[Nn]othing was changed") as caught:
        life.goes_on(now, *fetched, **changes)
    return str(caught.value)


# --- its own deadline

YOUNG = history((3, ENFORCE), known=False)
ATTESTED: dict[str, Any] = {"longest_max_age": 604_800}
LIVES: dict[str, tuple[Life, timedelta]] = {
    "a week": (begun(), WEEK),
    "a year": (begun(findings(policy=stored(policy(max_age=31_557_600)))), YEAR),
    "no time": (begun(findings(policy=stored(policy(max_age=0)))), timedelta()),
    "no max_age": (begun(findings(policy=stored(policy(max_age="soon")))), YEAR),
    "testing": (begun(findings(policy=stored(policy("testing")))), WEEK),
    "malformed": (begun(findings(policy=stored(policy("enforced")))), WEEK),
    "older and longer": (
        begun(findings(history=history((400, policy(max_age=2_592_000)), (30, ENFORCE)))),
        timedelta(days=30),
    ),
    "unreadable": (begun(findings(history=history((400, None), (30, ENFORCE)))), YEAR),
    "unreadable, vouched for": (
        begun(findings(history=history((400, None), (30, ENFORCE))), **ATTESTED), WEEK,
    ),
    "ids vouched for": (
        begun(findings(history=history((400, policy(max_age=2_592_000)), (300, ENFORCE))),
              ids_changed_since="2026-03-01"), WEEK,
    ),
    "a distribution": (begun(findings(**WHERE)), WEEK),
    "another cache": (begun(cache=600), WEEK),
    "no record": (begun(findings(record_sets=[])), WEEK),
    "none already": (
        begun(findings(policy=stored(NONE), history=history((400, ENFORCE), (1, NONE))),
              written=False), WEEK,
    ),
    "young": (begun(findings(history=YOUNG)), YEAR),
    "young, vouched for": (begun(findings(history=YOUNG), **ATTESTED), WEEK),
    "nothing before": (begun(findings(missing=True), create_policy=True), YEAR + SECOND),
}  # fmt: skip
CASES = pytest.mark.parametrize(("life", "lives"), LIVES.values(), ids=LIVES)


def place(life: Life) -> dict[str, Any]:
    return {"location": Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt",
                                 life.first.policy.distribution_id)}  # fmt: skip


@CASES
def test_the_deadline_is_the_last_moment_of_the_old_id_the_max_age_and_the_margin(
    life: Life, lives: timedelta
) -> None:
    assert life.at == GONE + lives + MARGIN


@CASES
def test_a_second_before_its_deadline_the_record_stays(life: Life, lives: timedelta) -> None:
    told = said(DrainNotOverError, life, life.at - SECOND, **place(life))
    assert not_before(told) == life.at


@CASES
@pytest.mark.parametrize(
    "late", [timedelta(), timedelta(microseconds=1), timedelta(days=1), timedelta(days=800)]
)
def test_at_its_own_deadline_the_exposure_is_zero(
    life: Life,
    lives: timedelta,
    late: timedelta,
) -> None:
    """Also where Lambda's clock has fractions, and where the change of the id is years ago."""
    now = life.at + late
    made = life.goes_on(now, **place(life))
    assert made.retires
    assert made.deletes
    assert (made.record.old_id, made.record.after) == (life.first.record.new_id, None)
    bounds = compute(made, moments_at_once(made, now), made.host, now)
    assert bounds.alive == []
    assert Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made


KNOWN = {name: pair for name, pair in LIVES.items() if name not in {"young", "nothing before"}}


@pytest.mark.parametrize("life", [pair[0] for pair in KNOWN.values()], ids=KNOWN)
def test_the_arithmetic_alone_keeps_the_record_too(life: Life) -> None:
    """Whatever the ledger says is due: somebody may have edited it."""
    early = stamp(NOW)
    item = life.item | {"due": {"retirement": life.item["due"]["retirement"] | {"at": early}}}
    moved = replace(life, item=item)
    for now in (life.at - SECOND, life.at - MARGIN, GONE + 2 * SECOND):
        told = said(DrainNotOverError, moved, now, **place(life))
        assert not_before(told) == life.at
    assert moved.goes_on(life.at, **place(life)).retires


def test_the_ledger_alone_keeps_it_too() -> None:
    life = begun()
    later = life.at + 5 * MARGIN
    item = life.item | {
        "due": {"retirement": life.item["due"]["retirement"] | {"at": stamp(later)}}
    }
    told = said(DrainNotOverError, replace(life, item=item), later - SECOND)
    assert not_before(told) == later


def test_without_the_change_of_the_id_on_record_it_is_never_over() -> None:
    """Which is why the ledger keeps the last one for ever."""
    life = begun()
    now = life.at + timedelta(days=800)
    told = said(DrainNotOverError, life, now, id_changes=())
    assert not_before(told) == now + timedelta(hours=1) + WEEK + MARGIN


@pytest.mark.parametrize(
    "cause", ["", "No date.", "Not before soon.", "Not before 2026-11-24T04:05:06."]
)
def test_a_text_without_a_moment_has_none(cause: str) -> None:
    assert not_before(cause) is None


# --- an older policy that came back for an hour

BACK, OUT = NOW + timedelta(days=2), NOW + timedelta(days=2, hours=1)


def visited(body: bytes = ENFORCE, *, id_changed: bool = False) -> Life:
    life = begun()
    versions = (
        *life.versions,
        Version("v3", BACK, body),
        Version("v4", OUT, life.first.policy.body),
    )
    changes = list(life.item["id_changes"])
    if id_changed:  # by change-id
        again = {**changes[0], "old": changes[0]["id"], "at": stamp(OUT + timedelta(minutes=1)),
                 "gone_at": stamp(OUT + timedelta(hours=1)), "id": "mended"}  # fmt: skip
        ours = {**life.item["ours"], "ids": ["mended"]}
        due = {"retirement": life.item["due"]["retirement"]
               | {"at": stamp(OUT + timedelta(hours=1) + WEEK + MARGIN)}}  # fmt: skip
        item = life.item | {"id_changes": [*changes, again], "ours": ours, "due": due}
        return replace(life, item=item, versions=versions)
    return replace(life, versions=versions)


@pytest.mark.parametrize(
    "body", [ENFORCE, ENFORCE.replace(b"enforce", b"enforced"), policy("testing")]
)
def test_it_moves_the_deadline_for_whoever_has_it_may_renew_it_on_the_same_id(body: bytes) -> None:
    life = visited(body)
    told = said(DrainNotOverError, life, life.at)
    moved = life.at + timedelta(hours=1) + WEEK + MARGIN
    assert not_before(told) == moved
    assert (
        "The id was not changed since a policy was served as version v3, and who holds that renews it:"
        " send change-id, which keeps this retirement, or it is never over."
    ) in told
    assert not_before(said(DrainNotOverError, life, moved)) > moved, "never by itself"


def test_a_change_of_the_id_ends_what_came_back() -> None:
    life = visited(id_changed=True)
    assert life.at == OUT + timedelta(hours=1) + WEEK + MARGIN
    record = {"record_sets": [txt("v=STSv1; id=mended;")]}
    told = said(DrainNotOverError, life, life.at - SECOND, **record)
    assert not_before(told) == life.at
    assert "change-id" not in told, "it is over by itself"
    assert life.goes_on(life.at, **record).retires


def test_what_came_back_and_lives_no_longer_than_the_rest_still_needs_a_fresh_id() -> None:
    life = visited(policy(max_age=0))
    assert (
        not_before(said(DrainNotOverError, life, life.at)) == life.at + timedelta(hours=1) + MARGIN
    )
