"""The bounds that every answer is made from, and how sure they are."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mta_sts.exposure import Confidence
from mta_sts.instants import stamp
from mta_sts.observed import Findings
from mta_sts.plan import Plan
from tests.unit.plans import (
    ENFORCE,
    GONE,
    HOST,
    NONE,
    NOT_FOUND,
    NOW,
    SILENT,
    WEEK,
    answered,
    confirmed,
    deletion,
    findings,
    forever,
    history,
    looked,
    plan,
    policy,
    stored,
)

A_WEEK = timedelta(seconds=WEEK)
A_YEAR = timedelta(seconds=31_557_600)
TESTING = policy("testing")
YOUNG = history((3, ENFORCE), known=False)


# --- from when


@pytest.mark.parametrize("body", [ENFORCE, policy(max_age=60), policy("enforced"), TESTING, NONE])
@pytest.mark.parametrize("asked", [{}, {"publish_none": True}])
def test_without_a_record_who_conforms_keeps_what_can_stop_mail_until_it_expires(
    body: bytes, asked: dict[str, Any]
) -> None:
    """Nothing tells it of a change any more, so the record being gone ends nothing."""
    bounds = confirmed(deletion(findings(policy=stored(body)), **asked))
    blocking = [one.ends for one in bounds.left.exposures if one.blocks]
    assert bounds.left.conforming_off_at == max([GONE, *blocking])


def test_none_policy_ends_it_for_them_as_soon_as_the_record_is_gone() -> None:
    assert confirmed(plan()).left.conforming_off_at == GONE


def test_a_drain_that_is_over_does_not_come_before_the_record_is_gone() -> None:
    over = findings(history=history((400, ENFORCE), (30, NONE)), policy=stored(NONE))
    changed = {"id": "20200425085700", "old": "1", "distribution_id": "", "published_at": None,
               "at": stamp(NOW - timedelta(days=29)), "gone_at": stamp(NOW - timedelta(days=29))}  # fmt: skip
    bounds = confirmed(deletion(replace(over, id_changes=(changed,))))
    assert bounds.left.all_off_at == NOW - timedelta(days=22)
    assert bounds.every == bounds.every_known == bounds.needing == GONE
    assert bounds.left.conforming_off_at == GONE
    assert bounds.over
    assert bounds.alive == []


NOW_NONE = findings(policy=stored(NONE), history=history((400, ENFORCE), (1, NONE)))
NOW_TESTING = findings(policy=stored(TESTING), history=history((400, ENFORCE), (1, TESTING)))
END = GONE + A_WEEK
WEEK_SAID = "604800 seconds (7 days)"


@pytest.mark.parametrize(
    ("found", "fetched", "every", "blocking"),
    [
        (NOW_NONE, answered(NONE), END, END),
        (findings(), NOT_FOUND, END, END),
        (findings(), answered(), None, None),
        (NOW_TESTING, answered(TESTING), None, END),  # it can be renewed, and stops no mail
        (findings(), SILENT, None, None),
    ],
)
def test_what_can_be_renewed_has_no_end(
    found: Findings, fetched: Any, every: datetime | None, blocking: datetime | None
) -> None:
    """Not even for those that conform: RFC 8461 section 10.2 lets them renew without the record."""
    bounds = confirmed(deletion(found, fetched))
    assert (bounds.every, bounds.every_known) == (every, every)
    assert (bounds.rfc is None) == (every is None)
    assert (bounds.blocking, bounds.blocking_known, bounds.conforming) == (blocking,) * 3
    assert bounds.needing == bounds.needing_known == END


@pytest.mark.parametrize("made", [plan(), deletion(publish_none=True)])
def test_where_none_is_published_nothing_can_be_renewed(made: Plan) -> None:
    bounds = confirmed(made)
    assert (bounds.every, bounds.blocking) == (END, END)
    assert (bounds.rfc, bounds.conforming) == (NOW + A_WEEK, END if made.deletes else GONE)


@pytest.mark.parametrize(
    ("fetched", "held", "open_end"),
    [
        (
            answered(),
            f"which may be held until {WEEK_SAID} after it is no longer served",
            f"until {WEEK_SAID} after {HOST} has stopped serving a policy, in any case until {stamp(END)}",
        ),
        (
            SILENT,
            f"which may be held until {WEEK_SAID} after it is no longer served",
            f"until {stamp(END)}, and for as long as {HOST} may serve a policy and its max_age after that",
        ),
        (NOT_FOUND, f"which may be held until {stamp(END)}", None),
    ],
)  # fmt: skip
def test_until_when_it_may_be_held(fetched: Any, held: str, open_end: str | None) -> None:
    bounds = confirmed(deletion(findings(), fetched))
    [one] = bounds.alive
    assert bounds.held(one) == held
    assert not open_end or bounds.open_end(HOST) == open_end


def test_what_gave_way_is_held_until_its_date_whatever_is_renewed() -> None:
    versions = history((400, policy("enforce", "old.example", max_age=60)), (5, ENFORCE))
    bounds = confirmed(deletion(findings(history=versions)))
    told = {one.label: bounds.held(one) for one in bounds.alive}
    assert told["v1"] == f"which may be held until {stamp(GONE + timedelta(seconds=60))}"
    assert "no longer served" in told["v2"]


def test_what_can_be_renewed_stays_alive_when_its_date_is_over() -> None:
    late = GONE + timedelta(days=99)
    assert [one.label for one in confirmed(deletion(), now=late).alive] == ["v1"]
    assert confirmed(deletion(findings(), NOT_FOUND), now=late).alive == []


def test_it_is_over_at_the_last_moment_and_not_before() -> None:
    made = deletion(findings(), NOT_FOUND)
    last = GONE + A_WEEK
    before = confirmed(made, now=last - timedelta(seconds=1))
    assert not before.over
    assert [one.label for one in before.alive] == ["v1"]
    after = confirmed(made, now=last)
    assert after.over
    assert after.alive == []
    assert not confirmed(deletion(), now=last).over, "as long as it can be renewed"


def test_what_only_reports_is_not_alive() -> None:
    bounds = confirmed(deletion(findings(policy=stored(TESTING)), NOT_FOUND))
    assert bounds.over
    assert (bounds.alive, bounds.every) == ([], GONE + A_WEEK)


# --- how sure


IDS_CHANGED: dict[str, Any] = {"ids_changed_since": stamp(NOW - timedelta(days=300))}
OLD_LONG = findings(
    history=history((400, policy(max_age=31_557_600)), (350, ENFORCE)), policy=stored()
)
# Served from a week ago, so that a year is taken for what was before; the year of testing is known.
LONG_TESTING = replace(
    findings(policy=stored(policy("testing", max_age=31_557_600))),
    history=history((7, policy("testing", max_age=31_557_600)), known=False),
)
UNREAD = findings(history=history((400, None), (300, ENFORCE)))

CONFIDENCE: list[tuple[str, Confidence, Plan]] = [
    ("the history is known", "computed", deletion()),
    ("likewise, for none-policy", "computed", plan()),
    ("nothing is exposed at all", "computed", deletion(findings(policy=stored(NONE)))),
    ("a year for what was before", "unknown", forever(findings(history=YOUNG))),
    ("the same for none-policy", "unknown", plan(findings(history=YOUNG))),
    ("a year for what cannot be read", "unknown", forever(UNREAD)),
    (
        "what is vouched for takes its place",
        "attested",
        deletion(
            findings(history=YOUNG), longest_max_age=2 * WEEK, accept_exposure_until="2027-01-01"
        ),
    ),
    (
        "even where it is no longer than what is known",
        "attested",
        deletion(findings(history=YOUNG), longest_max_age=WEEK),
    ),
    ("vouching for what is known anyway", "computed", deletion(longest_max_age=WEEK)),
    ("vouching for ids that matter", "attested", forever(OLD_LONG, **IDS_CHANGED)),
    ("vouching for ids that do not", "computed", deletion(**IDS_CHANGED)),
    (
        "vouching for ids, but a year is still taken",
        "unknown",
        forever(findings(history=history((310, ENFORCE), known=False)), **IDS_CHANGED),
    ),
    ("a known testing policy lives as long as the year", "unknown", forever(LONG_TESTING)),
]


@pytest.mark.parametrize(("why", "sure", "made"), CONFIDENCE)
def test_how_sure_the_bounds_are(why: str, sure: Confidence, made: Plan) -> None:
    assert confirmed(made).confidence == sure, why


@pytest.mark.parametrize("fetched", [SILENT, replace(SILENT, outcome="not asked")])
def test_nothing_is_sure_while_the_host_could_not_be_seen(fetched: Any) -> None:
    """It may serve a policy of which nobody here knows."""
    assert confirmed(deletion(findings(), fetched)).confidence == "unknown"
    assert confirmed(deletion(findings(), fetched, longest_max_age=WEEK)).confidence == "unknown"
    seen = deletion(findings(), NOT_FOUND)
    assert confirmed(seen, seen=looked(fetched)).confidence == "unknown"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (deletion(findings(), NOT_FOUND), stamp(GONE + A_WEEK)),
        (
            forever(findings(history=YOUNG), NOT_FOUND),
            f"{stamp(GONE + A_WEEK)} by what is known, {stamp(GONE + A_YEAR)} at the latest",
        ),
        (
            forever(findings(history=YOUNG), NOT_FOUND, longest_max_age=2 * WEEK),
            stamp(GONE + 2 * A_WEEK),
        ),
        (deletion(), "a date that nobody knows"),
    ],
)
def test_how_a_date_is_written(made: Plan, said: str) -> None:
    bounds = confirmed(made)
    assert bounds.when(bounds.every, bounds.every_known) == f"from {said}"
    assert bounds.until(bounds.every, bounds.every_known) == f"until {said}"
