"""From plan and looks to the arithmetic: what counts as served, and until when an id was read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mta_sts.drain import Drain, Exposure
from mta_sts.exposure import Moments, exposure, moments_at_once, moments_from
from mta_sts.instants import stamp
from mta_sts.observed import Location
from mta_sts.plan import Plan
from mta_sts.policy_check import Fetched
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    GONE,
    HOST,
    NONE,
    NOT_FOUND,
    NOW,
    WEEK,
    answered,
    deletion,
    findings,
    forever,
    history,
    looked,
    plan,
    policy,
    stored,
    txt,
)

FRESH = NOW + timedelta(minutes=1)
A_WEEK = timedelta(seconds=WEEK)
YEAR = timedelta(seconds=31_557_600)
Look = Mapping[str, Any]


def left(made: Plan, *looks: Look, **moments: Any) -> Drain:
    """What is left an hour after the plan, when the record is gone."""
    return exposure(made, Moments(GONE, NOW, looks=looks, **moments), GONE)


def of(result: Drain, label: str) -> Exposure:
    [one] = [one for one in result.exposures if one.label == label]
    return one


def recorded(days_ago: int, **more: Any) -> dict[str, Any]:
    """A change of the id that the ledger has: made these days before NOW, gone an hour later."""
    at = NOW - timedelta(days=days_ago)
    change = {"id": "20200425085700", "old": "1", "distribution_id": "", "published_at": None}
    moments = {"at": stamp(at), "gone_at": stamp(at + timedelta(hours=1)), "fresh_at": None}
    return change | moments | more


# --- until when a body counts as served


def test_without_the_record_what_is_served_counts_until_that_is_gone() -> None:
    result = left(deletion())
    one = of(result, "v1")
    assert (one.cached_until, one.id_until) == (GONE, GONE)
    assert result.rfc_off_at == result.all_off_at == GONE + A_WEEK


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("asked", [{}, {"method": "delete-record", "publish_none": True}])
def test_where_none_is_published_it_counts_until_every_cache_is_fresh(
    asked: dict[str, Any],
    written: bool,  # noqa: FBT001
) -> None:
    result = left(plan(**asked), published_at=NOW, fresh_at=FRESH, written=written)
    assert of(result, "v1").cached_until == FRESH
    assert result.rfc_off_at == FRESH + A_WEEK
    assert result.all_off_at == GONE + A_WEEK, "renewed on the old record until that is gone"


def test_what_gave_way_earlier_is_bounded_by_the_cache_that_may_have_kept_it() -> None:
    found = findings(history=history((400, ENFORCE), (10, NONE)), policy=stored(NONE))
    kept = deletion(found, NOT_FOUND, other_cache_seconds=3600)
    assert of(left(kept), "v1").cached_until == NOW - timedelta(days=10) + timedelta(hours=1)


def test_cloudfront_may_keep_it_until_a_purge_or_until_the_record_is_gone() -> None:
    versions = history((400, ENFORCE), (10, NONE))
    location = Location(HOST, ".well-known/mta-sts.txt", "E1")
    found = findings(history=versions, policy=stored(NONE), location=location)
    assert of(left(deletion(found)), "v1").cached_until == GONE
    purged = stamp(NOW - timedelta(days=9))
    for change, until in (
        ({"distribution_id": "E1", "published_at": purged}, NOW - timedelta(days=8)),
        ({"distribution_id": "E2", "published_at": purged}, GONE),  # of another
        ({"distribution_id": "E1", "published_at": None}, GONE),  # a deletion that purged nothing
        ({"distribution_id": "E1", "published_at": stamp(NOW - timedelta(days=11))}, GONE),
    ):
        row = recorded(9, **change, fresh_at=stamp(NOW - timedelta(days=8)))
        assert of(left(deletion(replace(found, id_changes=(row,)))), "v1").cached_until == until


def test_cloudfront_may_keep_what_nobody_knows_as_well() -> None:
    location = Location(HOST, ".well-known/mta-sts.txt", "E1")
    young = findings(history=history((9, ENFORCE), known=False), location=location)
    assert of(left(forever(young)), "before the known history").cached_until == GONE
    at = stamp(NOW - timedelta(days=8))
    purged = recorded(8, distribution_id="E1", published_at=at, fresh_at=at)
    made = forever(replace(young, id_changes=(purged,)))
    assert of(left(made), "before the known history").cached_until == NOW - timedelta(days=8)


def test_a_stale_mirror_that_was_seen_makes_an_old_policy_young_again() -> None:
    """Whether the plan's look saw it, the check before the first write, or the last one."""
    found = findings(
        history=history((400, ENFORCE), (100, policy("enforce", "mx.example", max_age=60))),
        id_changes=(recorded(90),),
    )
    ended = NOW - timedelta(days=90) + timedelta(hours=1) + A_WEEK
    assert of(left(deletion(found, NOT_FOUND)), "v1").ends == ended
    stale = looked(answered(ENFORCE))
    unseen = deletion(found, NOT_FOUND)
    for made, looks in (
        (deletion(found, answered(ENFORCE)), [looked(NOT_FOUND)]),
        (unseen, [stale, looked(NOT_FOUND)]),
        (unseen, [looked(NOT_FOUND), stale]),
    ):
        assert of(left(made, *looks), "v1").ends == GONE + A_WEEK


def test_an_address_that_gave_no_whole_body_says_nothing_of_a_version_that_cannot_be_read() -> None:
    found = findings(history=history((400, None), (100, ENFORCE)))
    changed = replace(found, id_changes=(recorded(90),))
    refused = Fetched(ADDRESS, "certificate", detail="expired")
    made = deletion(changed, refused, max_policy_age_seconds=31_557_600)
    assert of(left(made, looked(refused)), "v1").cached_until == NOW - timedelta(days=100)


# --- policies of which the object has no version


FOREIGN = policy("enforce", "mx.elsewhere.example", max_age=2 * WEEK)
FOREIGN_TESTING = policy("testing", "mx.elsewhere.example", max_age=2 * WEEK)


SERVED = f"the policy served at {ADDRESS}"
BEFORE = "before the known history"


def test_a_foreign_policy_counts_by_what_it_says() -> None:
    one = of(left(forever(findings(), answered(FOREIGN))), SERVED)
    assert (one.mode, one.max_age, one.ends) == ("enforce", 2 * WEEK, GONE + 2 * A_WEEK)
    assert not of(left(forever(findings(), answered(FOREIGN_TESTING))), SERVED).blocks


@pytest.mark.parametrize("body", [FOREIGN, FOREIGN_TESTING, policy("none")])
def test_what_a_foreign_host_has_served_before_is_not_known(body: bytes) -> None:
    """The object's history is that of another host; nor does a purge of now tell of then."""
    result = left(forever(findings(), answered(body)))
    assert result.history_unknown
    assert of(result, BEFORE).ends == GONE + YEAR
    assert not left(forever()).history_unknown


def test_one_that_is_served_everywhere_counts_once() -> None:
    both = (answered(FOREIGN), answered(FOREIGN, "192.0.2.2"))
    result = left(forever(findings(), *both), looked(*both))
    assert {one.label for one in result.exposures} == {
        "v1",
        "the policy served at 192.0.2.2",
        BEFORE,
    }


def test_two_that_were_not_read_whole_are_two() -> None:
    long = policy("enforce", "mx.example", max_age=5)
    both = (answered(FOREIGN, too_large=True), answered(long, "192.0.2.2", too_large=True))
    result = left(forever(findings(), *both))
    ages = {one.label: one.max_age for one in result.exposures if one.label.startswith("the pol")}
    assert ages == {SERVED: 2 * WEEK, "the policy served at 192.0.2.2": 5}


def test_one_that_came_after_the_plan_does_not_go_by_the_name_of_what_the_plan_saw() -> None:
    """The plan's word about the MX hosts at that address is about another policy."""
    made = forever(findings(), answered(FOREIGN))
    later = looked(answered(policy("enforce", "mx.third.example")))
    labels = {one.label for one in left(made, later, later).exposures}
    assert labels == {"v1", SERVED, f"{SERVED} after the plan", BEFORE}


def test_one_whose_max_age_cannot_be_read_counts_for_a_year() -> None:
    made = forever(findings(), answered(policy(max_age="soon")), longest_max_age=WEEK)
    one = of(left(made), SERVED)
    assert (one.mode, one.ends) == ("malformed", GONE + YEAR)


def test_what_is_served_can_be_renewed_and_what_gave_way_cannot() -> None:
    versions = history((400, ENFORCE), (100, policy("enforce", "mx.example")))
    found = findings(history=versions, policy=stored(versions.versions[-1].body or b""))
    result = left(forever(found, answered(FOREIGN)))
    renewed = {one.label for one in result.exposures if one.renewed}
    assert renewed == {"v2", SERVED}
    published = left(plan(found), published_at=NOW, fresh_at=FRESH, written=True)
    assert not any(one.renewed for one in published.exposures)


# --- which changes of the id count


TWO_VALUES = txt("v=STSv1; id=1;", "v=STSv1; id=2;")
CNAME = {"Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": "v.example."}]}
NEIGHBOUR = txt("neighbour")
DELETED = {"id": "", "old": "20200425085700"}

CHAINS: list[tuple[str, list[dict[str, Any]], list[Mapping[str, Any]], int | None]] = [
    ("the id is the recorded one", [txt("v=STSv1; id=20200425085700;")], [recorded(50)], 50),
    (
        "each change found what the one before it had made",
        [txt("v=STSv1; id=9;")],
        [recorded(50, id="7"), recorded(20, id="9", old="7")],
        50,
    ),
    (
        "the last one found another",
        [txt("v=STSv1; id=9;")],
        [recorded(50, id="7"), recorded(20, id="9", old="8")],
        20,
    ),
    ("an id of the past was put back", [txt("v=STSv1; id=1;")], [recorded(50)], None),
    (
        "one of the past was put back, which a change on record had made",
        [txt("v=STSv1; id=20200425085700;")],
        [recorded(50), recorded(20, id="9", old="20200425085700")],
        None,
    ),
    # What stood there since, and was taken away again, cannot be seen.
    ("the record was deleted, and is still gone", [], [recorded(50, **DELETED)], None),
    ("beside it stands a neighbour", [NEIGHBOUR], [recorded(50, **DELETED)], None),
    ("it was put back", [txt("v=STSv1; id=20200425085700;")], [recorded(50, **DELETED)], None),
    ("it was made anew", [txt("v=STSv1; id=9;")], [recorded(50, id="9", old="")], 50),
    ("now a CNAME", [CNAME], [recorded(50)], None),
    ("now a CNAME, after a deletion", [CNAME], [recorded(50, **DELETED)], None),
    ("now several values", [TWO_VALUES], [recorded(50, **DELETED)], None),
    ("now a malformed one", [txt("v=STSv1; id=?;")], [recorded(50, **DELETED)], None),
    (
        "deleted twice, the second time nothing was there",
        [],
        [recorded(50, **DELETED), recorded(20, id="", old="")],
        None,
    ),
    (
        "deleted, then a CNAME until it was made anew",
        [txt("v=STSv1; id=9;")],
        [recorded(50, **DELETED), recorded(20, id="9", old="CNAME to v.example")],
        20,
    ),
    (
        "deleted, and made anew by none-policy",
        [txt("v=STSv1; id=9;")],
        [recorded(50, **DELETED), recorded(20, id="9", old="")],
        20,
    ),
    (
        "deleted, then another stood there until it was changed",
        [txt("v=STSv1; id=9;")],
        [recorded(50, **DELETED), recorded(20, id="9", old="7")],
        20,
    ),
]


@pytest.mark.parametrize(("why", "record_sets", "changes", "days_ago"), CHAINS)
def test_only_an_unbroken_chain_of_changes_counts(
    why: str,
    record_sets: list[dict[str, Any]],
    changes: list[dict[str, Any]],
    days_ago: int | None,
) -> None:
    found = findings(
        history=history((400, ENFORCE), (60, NONE)),
        policy=stored(NONE),
        record_sets=record_sets,
        id_changes=tuple(changes),
    )
    until = of(left(deletion(found)), "v1").id_until
    first = GONE if days_ago is None else NOW - timedelta(days=days_ago) + timedelta(hours=1)
    assert until == first, why


@pytest.mark.parametrize(
    ("record_sets", "found"),
    [
        ([], ""),
        ([NEIGHBOUR], ""),
        ([txt("v=STSv1; id=1;")], "1"),
        ([CNAME], "CNAME to v.example"),
        ([TWO_VALUES], "v=STSv1; id=1;, v=STSv1; id=2;"),
        ([txt("v=STSv1; id=?;")], "v=STSv1; id=?;"),
    ],
)
def test_the_ledger_tells_nothing_from_what_has_no_id(
    record_sets: list[dict[str, Any]], found: str
) -> None:
    assert deletion(findings(record_sets=record_sets)).record.found == found


@pytest.mark.parametrize(
    ("ttl", "days_kept"),
    [(3600, 7), (9 * 86_400, 9)],  # whose TTL nobody knows: a week, or what is known to be longer
)
def test_a_change_that_is_attested_counts_a_week_or_the_ttl_after_it(
    ttl: int, days_kept: int
) -> None:
    since = NOW - timedelta(days=30)
    versions = history((400, policy("enforce", max_age=2 * WEEK)), (60, ENFORCE))
    found = findings(history=versions, record_sets=[txt("v=STSv1; id=1;", ttl=ttl)])
    made = deletion(found, ids_changed_since=stamp(since))
    assert of(left(made), "v1").id_until == since + timedelta(days=days_kept)
    assert of(left(made), "v2").id_until == GONE, "it is still served"


# --- moments


def test_moments_of_a_run_that_is_carried_out_at_once() -> None:
    gone = timedelta(seconds=3600)
    assert moments_at_once(deletion(), NOW) == Moments(NOW + gone, NOW)
    published = deletion(publish_none=True, other_cache_seconds=60)
    assert moments_at_once(published, NOW) == Moments(
        FRESH + gone, FRESH, published_at=NOW, fresh_at=FRESH, written=True
    )


CHECK = {
    "checked_at": stamp(GONE + timedelta(minutes=5)),
    "record_gone_at": stamp(GONE + timedelta(hours=1)),
}


@pytest.mark.parametrize(
    ("lagging", "gone"),
    [
        (None, GONE),
        (["resolver"], GONE + timedelta(minutes=5)),  # its cache has let go when it agrees
        (["resolver", "resolver"], GONE + timedelta(minutes=5)),
        (["ns-1.example"], GONE + timedelta(hours=1)),  # which may have handed it out again
        (["resolver", "ns-1.example", "resolver"], GONE + timedelta(hours=1)),
        ([], GONE + timedelta(minutes=5)),  # name servers could not even be asked
    ],
)
def test_moments_where_the_policy_was_left_alone(lagging: Any, gone: datetime) -> None:
    first, last = looked(answered()), looked(NOT_FOUND)
    rows = None if lagging is None else [{"server": server} for server in lagging]
    data = {
        "names": {"record_gone_at": stamp(GONE)},
        "in_sync": {"checked_at": stamp(NOW)},
        "published": None,
        "host": first,
        "contradicted": None if rows is None else {"laggards": rows},
    }
    assert moments_from(data, CHECK, last) == Moments(gone, NOW, looks=(first, last))
