"""What is due after a run, what is told about it, and what the sweep starts for it."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.due import (
    DRAINED,
    RESTORE,
    RETIREMENT,
    WATCH,
    Delivery,
    after,
    deliveries,
    first,
    postponed,
    told,
    watched,
)
from mta_sts.instants import instant, stamp
from mta_sts.observed import Location
from mta_sts.plan import Plan
from mta_sts.request import DUE, Due, Request
from tests.unit.plans import ENFORCE, NONE, NOW, answered, findings, looked, plan, policy, stored
from tests.unit.test_restoring import off, restored
from tests.unit.test_retiring import retirement

MARGIN, DAY = timedelta(days=3), timedelta(days=1)
SOON, PAST = NOW + timedelta(days=7), NOW - timedelta(days=30)
LATE = NOW + timedelta(days=20)
TEXTS = {
    "requested_by": "jane",
    "ticket": "MAIL-1",
    "ticket_id": "MAIL-1",
    "reason": "new provider",
}
AT = stamp(NOW + timedelta(days=2))


def request(made: Plan, **asked: Any) -> Request:
    return Request.parse({"domain": made.domain, "method": made.method, **asked})


def due_after(
    every: datetime | None, *, pending: Mapping[str, Any] | None = None, **asked: Any
) -> dict[str, Any]:
    """What is due after a run of this method on a domain that is on, or on a none policy."""
    waiting = pending or {}
    body = NONE if asked["method"] == "change-id" else ENFORCE
    host = looked(answered(body)) if asked["method"] == "delete-record" else {}
    found = findings(policy=stored(body), remembered={"due": waiting}, host=host)
    made = plan(found, **asked)
    return after(made, request(made, **asked), all_off_at=every, pending=waiting, now=NOW)


def times(entries: Mapping[str, Any]) -> dict[str, datetime]:
    return {kind: instant(entry["at"]) for kind, entry in entries.items()}


def entry(at: datetime, **asked: Any) -> dict[str, Any]:
    return {"at": stamp(at), "request": asked}


# --- after each method

NONE_POLICY: dict[str, Any] = {"method": "none-policy"}
ALONE: dict[str, Any] = {"method": "delete-record"}
BOTH: dict[str, Any] = {"method": "delete-record", "publish_none": True}
CHANGE: dict[str, Any] = {"method": "change-id"}
RETIRE: dict[str, Any] = {"method": "retire"}
WINDOW: dict[str, Any] = {"method": "none-policy", "restore_at": AT}
TELLS = {DRAINED: SOON, WATCH: NOW + DAY}


@pytest.mark.parametrize(
    ("asked", "every", "due"),
    [
        (NONE_POLICY, SOON, TELLS),
        (ALONE, SOON, TELLS),
        (BOTH, SOON, TELLS),
        (CHANGE, SOON, TELLS),
        *((asked, every, {}) for asked in (NONE_POLICY, ALONE, BOTH, CHANGE)
          for every in (PAST, NOW, None)),  # nothing drains, or nobody knows until when
        (RETIRE, SOON, {RETIREMENT: SOON + MARGIN, WATCH: NOW + DAY}),
        (RETIRE, NOW, {RETIREMENT: NOW + MARGIN, WATCH: NOW + DAY}),
        (RETIRE, PAST, {RETIREMENT: PAST + MARGIN, WATCH: NOW + DAY}),
        (RETIRE, None, {RETIREMENT: NOW + MARGIN, WATCH: NOW + DAY}),
        (WINDOW, SOON, {RESTORE: instant(AT), **TELLS}),
        (WINDOW, PAST, {RESTORE: instant(AT)}),
        (WINDOW, None, {RESTORE: instant(AT)}),
    ],
)  # fmt: skip
def test_what_is_due_after_a_run(
    asked: dict[str, Any], every: datetime | None, due: dict[str, datetime]
) -> None:
    assert times(due_after(every, **asked)) == due


WAITING = {
    RETIREMENT: entry(LATE, method="delete-record", remove_policy=True, longest_max_age=5),
    RESTORE: entry(LATE, method="restore", restore_mode="testing"),
    DRAINED: entry(LATE, method="check", reason="old"),
    WATCH: entry(NOW + timedelta(hours=1), method="check", reason="old"),
}


@pytest.mark.parametrize("every", [SOON, PAST, None])
@pytest.mark.parametrize("asked", [NONE_POLICY, ALONE, BOTH, WINDOW, RETIRE])
def test_every_other_run_by_hand_cancels_what_was_due(
    asked: dict[str, Any], every: datetime | None
) -> None:
    assert due_after(every, pending=WAITING, **asked) == due_after(every, **asked)


def test_where_the_policy_is_in_force_nothing_is_due() -> None:
    enforced = plan(findings(remembered={"due": WAITING}), method="change-id")
    for made in (enforced, restored()):
        kept = after(made, request(made), all_off_at=None, pending=WAITING, now=NOW)
        assert kept == {}


@pytest.mark.parametrize("every", [SOON, PAST, None])
def test_after_the_record_of_a_retirement_is_gone_nothing_is_due(every: datetime | None) -> None:
    made = retirement()
    assert after(made, request(made), all_off_at=every, pending=WAITING, now=NOW) == {}


# --- a change of the id mends a drain and ends nothing


@pytest.mark.parametrize(
    ("every", "at"),
    [
        (LATE, LATE + MARGIN),  # the drain begins anew
        (LATE - MARGIN, LATE),
        (SOON, LATE),  # what was promised stands: nothing is withdrawn early
        (PAST, LATE),
        (None, LATE),
    ],
)
def test_a_change_of_the_id_keeps_the_retirement(every: datetime | None, at: datetime) -> None:
    kept = due_after(every, pending={RETIREMENT: WAITING[RETIREMENT]}, **CHANGE)
    assert times(kept) == {RETIREMENT: at, WATCH: NOW + DAY}
    assert kept[RETIREMENT]["request"] == WAITING[RETIREMENT]["request"], "as it was asked for"


def test_a_change_of_the_id_keeps_the_maintenance_window_as_it_is() -> None:
    kept = due_after(SOON, pending={RESTORE: WAITING[RESTORE], DRAINED: WAITING[DRAINED]}, **CHANGE)
    assert kept[RESTORE] == WAITING[RESTORE]
    assert times(kept) == {RESTORE: LATE, **TELLS}
    assert due_after(PAST, pending={RESTORE: WAITING[RESTORE]}, **CHANGE) == {
        RESTORE: WAITING[RESTORE]
    }


# --- what is told


def run(entries: Mapping[str, Any] | None = None, *, changes: Any = None, **asked: Any) -> Plan:
    found = findings(remembered={"due": entries or {}}, **(changes or {}))
    return plan(found, **{"method": "none-policy"} | asked)


def test_what_comes_by_itself_is_told_in_its_order() -> None:
    due = due_after(SOON, **WINDOW)
    assert told(run(restore_at=AT), due) == {
        "By itself": [
            f"{stamp(NOW + DAY)}: a look at policy, id and certificate, every day; what is wrong is told.",
            f"{AT}: the policy is put back, after all checks have been made again.",
            f"{stamp(SOON)}: a notice tells that every sender has let go.",
        ],
        "Cancelled by this run": [],
    }


THE_RECORD = f"{stamp(SOON + MARGIN)}: the record is deleted"
IF_OURS = ", if the policy says none then and the id is this one."


@pytest.mark.parametrize("remove", [False, True])
def test_a_retirement_says_what_it_takes_away(remove: bool) -> None:  # noqa: FBT001
    asked: dict[str, Any] = {"method": "retire", "remove_policy": remove}
    made = run(changes={"versioning": "Enabled"}, **asked)
    due = after(made, request(made, remove_policy=remove), all_off_at=SOON, pending={}, now=NOW)
    line = THE_RECORD + " and the policy object removed" * remove + IF_OURS
    assert told(made, due)["By itself"][1] == line
    # A change of the id keeps it, and takes nothing away itself.
    mending = plan(findings(policy=stored(NONE)), method="change-id")
    assert told(mending, due)["By itself"][1] == line


def test_a_second_run_says_what_it_cancels() -> None:
    made = run(WAITING)
    assert told(made, due_after(SOON, **NONE_POLICY))["Cancelled by this run"] == [
        f"what was due {stamp(LATE)} (retirement)",
        f"what was due {stamp(LATE)} (restore)",
    ]
    window = run(WAITING, restore_at=AT)
    assert told(window, due_after(SOON, **WINDOW))["Cancelled by this run"] == [
        f"what was due {stamp(LATE)} (retirement)"
    ]
    kept = plan(findings(policy=stored(NONE), remembered={"due": WAITING}), method="change-id")
    due = after(kept, request(kept), all_off_at=SOON, pending=WAITING, now=NOW)
    assert told(kept, due)["Cancelled by this run"] == []


def test_what_a_run_was_started_for_is_not_cancelled_by_it() -> None:
    waiting = {RESTORE: entry(NOW), WATCH: entry(NOW)}
    item = {**off().remembered, "generation": 3, "due": waiting}
    due = {"kind": RESTORE, "generation": 3, "at": stamp(NOW)}
    assert told(restored(off(remembered=item), due=due), {})["Cancelled by this run"] == []
    by_hand = told(restored(off(remembered=item)), {})["Cancelled by this run"]
    assert by_hand == [f"what was due {stamp(NOW)} (restore)"]


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("distribution", ["", "E1"])
def test_what_is_left_of_a_retirement_is_told_name_first(remove: bool, distribution: str) -> None:  # noqa: FBT001
    where = Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt", distribution)
    made = retirement(location=where, remove_policy=remove)
    [(title, lines)] = [pair for pair in told(made, {}).items() if "by hand" in pair[0]]
    assert title == "Left to be removed by hand, in this order"
    assert lines[0].startswith("Remove the DNS records of mta-sts.solarmora.com first: ")
    behind = f" of distribution {distribution}." if distribution else ", if there are any."
    assert lines[1] == f"Then release the certificate and the alias mta-sts.solarmora.com{behind}"
    kept = ["Then remove s3://mta-sts.solarmora.com/.well-known/mta-sts.txt."] * (not remove)
    assert lines[2:-1] == kept
    assert lines[-1] == "Last, if nothing else is in it, the bucket mta-sts.solarmora.com."
    assert "Left to be removed by hand, in this order" not in told(run(), {})


# --- what becomes of entries


def test_what_failed_is_moved_alone() -> None:
    later = LATE + DAY
    moved = postponed(RETIREMENT, WAITING, later)
    assert moved == WAITING | {RETIREMENT: WAITING[RETIREMENT] | {"at": stamp(later)}}


def test_what_is_due_is_never_moved_to_an_earlier_moment() -> None:
    """Whoever sends it by hand, before its time, does not bring it forward by a failure."""
    assert postponed(RETIREMENT, WAITING, SOON) == WAITING


@pytest.mark.parametrize("other", [RETIREMENT, DRAINED])
def test_the_watch_goes_on_while_something_drains(other: str) -> None:
    entries = {WATCH: WAITING[WATCH], other: WAITING[other]}
    again = {WATCH: WAITING[WATCH] | {"at": stamp(NOW + DAY)}, other: WAITING[other]}
    assert watched(WATCH, entries, NOW) == again


def test_the_watch_ends_where_nothing_drains() -> None:
    assert watched(WATCH, {WATCH: WAITING[WATCH]}, NOW) == {}
    window = {WATCH: WAITING[WATCH], RESTORE: WAITING[RESTORE]}
    assert watched(WATCH, window, NOW) == {RESTORE: WAITING[RESTORE]}


def test_the_end_of_a_drain_is_told_once_and_ends_the_watch() -> None:
    entries = {kind: WAITING[kind] for kind in (WATCH, DRAINED, RESTORE)}
    assert watched(DRAINED, entries, NOW, over_at=NOW) == {RESTORE: WAITING[RESTORE]}
    assert watched(DRAINED, {DRAINED: WAITING[DRAINED]}, NOW, over_at=NOW) == {}


@pytest.mark.parametrize(("over_at", "again"), [(SOON, SOON), (None, NOW + DAY)])
def test_a_drain_that_is_not_over_is_watched_on(over_at: datetime | None, again: datetime) -> None:
    """None: it does not look as the run had left it, so that nobody can say."""
    entries = {kind: WAITING[kind] for kind in (WATCH, DRAINED)}
    left = watched(DRAINED, entries, NOW, over_at=over_at)
    assert left == {**entries, DRAINED: WAITING[DRAINED] | {"at": stamp(again)}}


def test_the_first_is_what_the_index_finds() -> None:
    assert first(WAITING) == WAITING[WATCH]["at"]
    assert first({}) == ""


# --- what the sweep starts


def item(
    due: Mapping[str, Any], domain: str = "solarmora.com", generation: int = 3
) -> dict[str, Any]:
    return {"domain": domain, "generation": generation, "due": due}


def test_what_is_ripe_is_delivered_the_earliest_first() -> None:
    second = timedelta(seconds=1)
    due = {
        WATCH: entry(NOW), DRAINED: entry(NOW - second), RESTORE: entry(NOW + second),
        RETIREMENT: entry(PAST),
    }  # fmt: skip
    ripe = deliveries(item(due), NOW)
    assert [one.kind for one in ripe] == [RETIREMENT, DRAINED, WATCH]
    assert [one.at for one in ripe] == [stamp(PAST), stamp(NOW - second), stamp(NOW)]
    assert deliveries({"domain": "a.example"}, NOW) == deliveries({}, NOW) == []


def the_one(kind: str, at: datetime = PAST, **more: Any) -> Delivery:
    [one] = deliveries(item({kind: entry(at)}, **more), NOW)
    return one


NAME = re.compile(r"[0-9A-Za-z_-]{1,80}")
LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 43, "example"])  # 244, _mta-sts. before it
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


def test_a_name_is_the_same_for_the_same_work_and_another_for_any_other() -> None:
    names = [
        the_one(kind, at, domain=domain, generation=generation).name
        for kind in DUE
        for at in (PAST, PAST + timedelta(seconds=1))
        for generation in (0, 3, 31)
        for domain in ("a.b.example", "a-b.example", "a.b-example", LONGEST, "x" + LONGEST[1:],
                       LONGEST[:-1] + "f")
    ]  # fmt: skip
    assert len(set(names)) == len(names) == 4 * 2 * 3 * 6
    assert all(NAME.fullmatch(name) for name in names)
    assert (
        the_one(WATCH).name
        == the_one(WATCH).name
        == ("watch-solarmora-com-b31c21af-g3-20261025T040506Z")
    )


@given(
    st.lists(LABEL, min_size=1, max_size=4).map(".".join),
    st.integers(0, 10**12),
    st.sampled_from(sorted(DUE)),
    st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_a_name_is_one_that_step_functions_takes(
    domain: str, generation: int, kind: str, at: datetime
) -> None:
    moment = at.replace(tzinfo=NOW.tzinfo)
    assert NAME.fullmatch(the_one(kind, moment, domain=domain, generation=generation).name)


def test_the_item_may_lack_a_generation() -> None:
    [one] = deliveries({"domain": "solarmora.com", "due": {WATCH: entry(PAST)}}, NOW)
    assert one.generation == one.event["due"]["generation"] == 0


def test_an_event_does_what_its_kind_is_for_whatever_the_entry_says() -> None:
    for kind, method in DUE.items():
        asked = {"method": "retire", "domain": "another.example", "due": None}
        [one] = deliveries(item({kind: entry(PAST, **asked)}), NOW)
        assert (one.event["method"], one.event["domain"]) == (method, "solarmora.com")
        assert one.event["due"] == {"kind": kind, "generation": 3, "at": stamp(PAST)}


ATTESTED: dict[str, Any] = {
    "longest_max_age": 604_800,
    "ids_changed_since": "2026-03-01T12:00:00+02:00",
}


@pytest.mark.parametrize(
    ("asked", "kind", "carried"),
    [
        (RETIRE | ATTESTED, RETIREMENT, ("longest_max_age", "ids_changed_since")),
        (RETIRE | {"remove_policy": True}, RETIREMENT, ("remove_policy",)),
        (RETIRE | {"longest_max_age": 0}, RETIREMENT, ("longest_max_age",)),
        (WINDOW, RESTORE, ()),
        (WINDOW | {"restore_mode": "testing", "accept_mx_mismatch": True}, RESTORE,
         ("restore_mode", "accept_mx_mismatch")),
        (NONE_POLICY | ATTESTED, WATCH, ("longest_max_age", "ids_changed_since")),
        (NONE_POLICY | ATTESTED, DRAINED, ("longest_max_age", "ids_changed_since")),
        (RETIRE, WATCH, ()),
        (NONE_POLICY | {"keep_mx": True, "new_mx": ["mx.example"]}, DRAINED, ()),
    ],
)  # fmt: skip
def test_an_event_is_a_request_that_carries_on_what_was_asked_for(
    asked: dict[str, Any], kind: str, carried: tuple[str, ...]
) -> None:
    found = findings(policy=stored(policy(max_age=0)), versioning="Enabled")
    made = plan(found, **asked)
    first_request = request(made, **asked, **TEXTS)
    entries = after(made, first_request, all_off_at=SOON, pending={}, now=NOW)
    [one] = [one for one in deliveries(item(entries), LATE) if one.kind == kind]
    event = json.loads(json.dumps(dict(one.event)))
    again = Request.parse(event)
    assert (again.domain, again.method) == ("solarmora.com", DUE[kind])
    assert again.due == Due(kind, 3, instant(entries[kind]["at"]))
    assert stamp(again.due.at) == entries[kind]["at"], "by which the ledger knows it"
    for name in (*carried, *TEXTS):
        assert getattr(again, name) == getattr(first_request, name)
    assert set(event) == {"domain", "method", "due", *carried, *TEXTS}
    assert again.retires is (kind == RETIREMENT)
