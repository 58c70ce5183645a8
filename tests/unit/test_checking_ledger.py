"""A check by the ledger: who holds the domain, what is due and overdue, what can be restored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mta_sts.checks.judge import check
from mta_sts.instants import stamp
from tests.unit.plans import NOW
from tests.unit.sights import (
    ALL_OFF,
    EXECUTION,
    PUBLISHED,
    codes,
    draining,
    finding,
    item,
    outcome,
    sight,
    watch,
)

LATE = stamp(NOW - timedelta(hours=1, seconds=1))
A_MOMENT_AGO = stamp(NOW - timedelta(minutes=59))
TOMORROW = stamp(NOW + timedelta(days=1))
OVER = stamp(NOW - timedelta(days=4))


def entry(at: str) -> dict[str, object]:
    return {"at": at, "request": {"method": "check"}}


def test_an_unreadable_ledger_is_told() -> None:
    told = outcome(sight(item=None, problems={"ledger": "AccessDenied"}))
    assert "AccessDenied" in finding(told, "ledger-unseen")["text"]
    assert told["state"] == "on"


def test_who_holds_the_domain_since_when() -> None:
    told = finding(
        outcome(draining(item=item(holder="arn:run", held_since=stamp(PUBLISHED)))), "claimed"
    )
    assert told["evidence"] == {"holder": "arn:run", "held_since": stamp(PUBLISHED)}
    assert f"The execution arn:run holds the domain since {stamp(PUBLISHED)}" in told["text"]


def test_what_is_told_just_now_is_not_due_any_more() -> None:
    """Neither the look that this is, nor, once the drain is over, the watch that ends with it."""
    looking = check(watch(), draining(), EXECUTION)
    due = f"Due by itself: it is to be told that the drain is over: {stamp(ALL_OFF)}."
    assert finding(looking, "due")["text"] == due
    entries = {
        "watch": entry(stamp(ALL_OFF + timedelta(hours=1))),
        "drained": entry(stamp(ALL_OFF)),
    }
    later = ALL_OFF + timedelta(minutes=5)
    over = replace(draining(item=item(due=entries)), now=later)
    told = check(watch("drained", stamp(ALL_OFF)), over, EXECUTION)
    assert told["over"]
    assert "due" not in codes(told)
    assert "Due by itself" not in told["text"]
    assert "due" in codes(outcome(over)), "who asks by hand ends nothing"


def test_what_is_due_is_told_and_what_can_be_restored() -> None:
    told = outcome(draining())
    assert (
        f"it is to be told that the drain is over: {stamp(ALL_OFF)}" in finding(told, "due")["text"]
    )
    assert finding(told, "restorable")["evidence"] == {
        "saved_at": stamp(PUBLISHED),
        "mode": "enforce",
        "mx": ["mail.solarmora.com"],
    }
    assert told["evidence"]["ledger"]["due"] == {
        "watch": stamp(NOW),
        "drained": stamp(ALL_OFF),
    }


@pytest.mark.parametrize("saved", [None, {}, {"policy": None, "saved_at": "x"}])
def test_nothing_was_saved(saved: object) -> None:
    assert "restorable" not in codes(outcome(draining(item=item(saved=saved))))


class TestOverdue:
    @pytest.mark.parametrize("kind", ["retirement", "restore", "watch", "drained"])
    def test_what_nobody_has_done(self, kind: str) -> None:
        told = outcome(draining(item=item(due={kind: entry(LATE)})))
        assert finding(told, "overdue")["evidence"] == {"kind": kind, "at": LATE}
        assert "schedule is enabled" in told["answers"]["trouble"]["next"]

    @pytest.mark.parametrize("at", [A_MOMENT_AGO, TOMORROW])
    def test_what_may_still_be_done(self, at: str) -> None:
        told = outcome(draining(item=item(due={"watch": entry(at)})))
        assert "overdue" not in codes(told)

    def test_a_late_watch_does_not_tell_of_itself(self) -> None:
        kept = item(due={"watch": entry(LATE), "drained": entry(TOMORROW)})
        told = check(watch(at=LATE), draining(item=kept), EXECUTION)
        assert "overdue" not in codes(told)
        assert told["superseded"] is False

    def test_a_retirement_that_fails_day_after_day(self) -> None:
        """Each failure moves it to the next day, so that it is never late by itself."""
        kept = item(all_off_at=OVER, due={"retirement": entry(TOMORROW)})
        told = outcome(draining(item=kept))
        assert TOMORROW in finding(told, "overdue-drain")["text"]
        assert "overdue" not in codes(told)

    def test_the_margin_of_a_retirement_is_no_delay(self) -> None:
        kept = item(all_off_at=stamp(NOW - timedelta(days=2)), due={"retirement": entry(TOMORROW)})
        assert "overdue-drain" not in codes(outcome(draining(item=kept)))

    def test_a_drain_that_is_over_and_nothing_more_is_due(self) -> None:
        told = outcome(draining(item=item(all_off_at=OVER, due={})))
        assert "delete-record" in finding(told, "drain-over")["text"]


@pytest.mark.parametrize(
    ("kind", "at", "generation", "superseded"),
    [
        ("watch", stamp(NOW), 3, False),
        ("watch", stamp(NOW), 2, True),
        ("watch", TOMORROW, 3, True),
        ("restore", stamp(NOW), 3, True),
    ],
)
def test_what_is_not_due_any_more_is_superseded(
    kind: str, at: str, generation: int, *, superseded: bool
) -> None:
    asked = watch(at=at, generation=generation)
    kept = item(due={kind: entry(stamp(NOW))})
    assert check(asked, draining(item=kept), EXECUTION)["superseded"] is superseded


def test_by_hand_nothing_is_superseded() -> None:
    assert outcome(draining())["superseded"] is False
