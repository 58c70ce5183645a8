"""Without the record nothing ends what senders hold: what is too long, or not as vouched for, is refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.errors import ExposureTooLongError, InvalidRequestError
from mta_sts.instants import stamp
from mta_sts.observed import Findings
from mta_sts.plan import Plan
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    GONE,
    NONE,
    NOT_FOUND,
    NOW,
    WEEK,
    answered,
    deletion,
    findings,
    history,
    plan,
    policy,
    stored,
)

YEAR = 31_557_600
LONG = policy(max_age=WEEK + 1)
YOUNG = findings(history=history((3, ENFORCE), known=False))


def standing(body: bytes, **more: Any) -> Findings:
    return findings(policy=stored(body), **more)


def refusal(found: Findings, *fetched: Any, **asked: Any) -> str:
    with pytest.raises(ExposureTooLongError, match="Nothing was changed") as caught:
        deletion(found, *fetched, **asked)
    return str(caught.value)


# --- the limit


@pytest.mark.parametrize("publish", [False, True])
def test_a_policy_that_lives_too_long_is_refused_with_version_age_and_date(publish: bool) -> None:  # noqa: FBT001
    said = refusal(standing(policy(max_age=2 * WEEK)), publish_none=publish)
    ends = GONE + timedelta(seconds=2 * WEEK)
    assert said == (
        "Senders may hold version v1 of the policy (mode enforce), max_age 1209600 seconds (14 days): more"
        " than the 604800 seconds (7 days) that this stack accepts (MaxPolicyAgeSeconds). Without a record"
        " nothing tells them of a change, and they would enforce what they hold until"
        f" {stamp(ends)}. Nothing was changed. Use none-policy, which ends it for senders that re-read the"
        " record as soon as the TTL is over; or accept the wait by accept_exposure_until: 2026-12-10."
    )


@pytest.mark.parametrize(
    ("found", "limit"),
    [
        (standing(ENFORCE), WEEK),
        (standing(ENFORCE), YEAR),
        (standing(policy(max_age=0)), 0),
        (standing(policy("testing", max_age=YEAR)), 0),  # it holds no mail up
        (standing(NONE), 0),
        (standing(policy(max_age=YEAR)), YEAR),
        (standing(policy("enforced", max_age=WEEK)), WEEK),
    ],
)
def test_what_is_within_the_limit(found: Findings, limit: int) -> None:
    assert deletion(found, max_policy_age_seconds=limit).deletes


@pytest.mark.parametrize(
    ("found", "limit", "named"),
    [
        (standing(LONG), WEEK, "version v1 of the policy (mode enforce)"),
        (standing(policy(max_age=1)), 0, "version v1 of the policy (mode enforce), max_age 1 seconds"),
        (standing(policy("enforced", max_age=WEEK + 1)), WEEK, "version v1 of the policy (mode mal"),
        (standing(policy(max_age="soon")), YEAR - 1, "max_age 31557600 seconds (about 365 days)"),
        (  # the longest of several, though it was replaced: no change of the id ended it
            findings(history=history((400, policy(max_age=YEAR)), (100, LONG), (30, ENFORCE))),
            WEEK,
            "version v1 of the policy (mode enforce), max_age 31557600 seconds",
        ),
        (
            YOUNG,
            WEEK,
            "what was served before the known history, which nobody knows and which is therefore taken",
        ),
        (
            findings(history=history((400, None), (300, ENFORCE))),
            WEEK,
            "what was served as version v1, which nobody knows",
        ),
    ],
)  # fmt: skip
def test_what_is_not(found: Findings, limit: int, named: str) -> None:
    assert named in refusal(found, max_policy_age_seconds=limit)


def test_what_the_host_serves_counts_whatever_is_stored() -> None:
    """And what it has served before, of which nobody here knows, counts as a year."""
    foreign = answered(policy("enforce", "mx.example", max_age=2 * WEEK))
    said = refusal(findings(), foreign, longest_max_age=2 * WEEK)
    assert f"the policy served at {ADDRESS} (mode enforce), max_age 1209600 seconds" in said
    tested = answered(policy("testing", "mx.example", max_age=WEEK))
    assert "what was served before the known history" in refusal(findings(), tested)
    assert deletion(findings(), tested, longest_max_age=WEEK).deletes


# --- the ways out that are named


WEEKS = policy(max_age=2 * WEEK)
FOREIGN = policy("enforce", "mx.elsewhere.example", max_age=2 * WEEK)
VOUCH = "If you know that no policy of this domain ever had a longer max_age than, say, "
VOUCH_WEEK = f"{VOUCH}604800 seconds (7 days), vouch for it by longest_max_age: 604800"
VOUCH_WEEKS = f"{VOUCH}1209600 seconds (14 days), vouch for it by longest_max_age: 1209600"
WAIT = "The policy is none already: wait until 2026-12-08T05:05:06Z, then delete the record"
USE = "se none-policy, which ends it for senders that re-read the record as soon as the TTL is over"
ACCEPT = "ccept the wait by accept_exposure_until: 2026-12-10."
A_YEAR = ACCEPT.replace("2026-12-10", "2027-11-26")
THERE = findings(policy=stored(NONE), history=history((400, WEEKS), (5, NONE)))


@pytest.mark.parametrize(
    ("found", "fetched", "asked", "ways"),
    [
        (standing(WEEKS), answered(WEEKS), {}, f"U{USE}; or a{ACCEPT}"),
        (standing(WEEKS), NOT_FOUND, {"publish_none": True}, f"U{USE}; or a{ACCEPT}"),
        # A host that serves nothing can tell nobody of none.
        (standing(WEEKS), NOT_FOUND, {}, f"A{ACCEPT}"),
        (
            THERE,
            answered(NONE),
            {},
            f"{WAIT}; or a{ACCEPT}",
        ),
        # The object says none, and a host that is stale serves what can still be ended that way.
        (THERE, answered(WEEKS), {}, f"U{USE}; or a{ACCEPT}"),
        # What is no version of the object cannot: none-policy refuses that host.
        (
            standing(WEEKS),
            answered(FOREIGN),
            {"longest_max_age": 2 * WEEK},
            f"A{ACCEPT}",
        ),
        (THERE, answered(FOREIGN), {"longest_max_age": 2 * WEEK}, f"A{ACCEPT}"),
        (
            YOUNG,
            NOT_FOUND,
            {},
            f"{VOUCH_WEEK}; or a{A_YEAR}",
        ),
        # Vouching for a week would be refused where a longer policy is known, though it be over.
        (
            findings(history=history((50, WEEKS), (20, ENFORCE), known=False)),
            NOT_FOUND,
            {},
            f"{VOUCH_WEEKS}; or a{A_YEAR}",
        ),
        (
            findings(history=history((400, policy(max_age=YEAR)), (300, None), (5, ENFORCE))),
            answered(),
            {},
            f"U{USE}; or a{A_YEAR}",
        ),
    ],
)  # fmt: skip
def test_what_to_do_instead(
    found: Findings, fetched: Any, asked: dict[str, Any], ways: str
) -> None:
    assert refusal(found, fetched, **asked).endswith(f"Nothing was changed. {ways}")


def test_what_is_proposed_to_vouch_for_is_not_refused_as_not_so() -> None:
    found = findings(history=history((50, WEEKS), (20, ENFORCE), known=False))
    proposed = int(refusal(found).partition("longest_max_age: ")[2].partition(";")[0])
    said = refusal(found, longest_max_age=proposed)
    assert VOUCH not in said, "once is enough"
    until = said.partition("accept_exposure_until: ")[2].rstrip(".")
    assert until == "2026-12-10", "a fortnight, and no year"
    assert deletion(found, longest_max_age=proposed, accept_exposure_until=until).deletes


def test_what_nobody_can_hold_any_more_is_not_too_long() -> None:
    then = stamp(NOW - timedelta(days=16))
    change = {"id": "20200425085700", "old": "1", "at": then, "gone_at": then,
              "distribution_id": "", "published_at": None, "fresh_at": None}  # fmt: skip
    versions = history((400, policy(max_age=2 * WEEK)), (17, ENFORCE))
    assert deletion(findings(history=versions, id_changes=(change,))).deletes
    later = change | dict.fromkeys(("at", "gone_at"), stamp(NOW - timedelta(days=13)))
    assert "version v1" in refusal(findings(history=versions, id_changes=(later,)))


def test_vouching_for_less_than_a_year_makes_it_short_enough() -> None:
    assert deletion(YOUNG, longest_max_age=WEEK).deletes
    said = refusal(YOUNG, longest_max_age=WEEK + 1)
    assert "taken to have a max_age of 604801 seconds" in said
    assert deletion(YOUNG, ids_changed_since="2025-01-01", longest_max_age=WEEK).deletes


def test_none_policy_refuses_no_age() -> None:
    assert plan(standing(policy(max_age=YEAR)), max_policy_age_seconds=0).record.new


# --- what is accepted


BOUND = GONE + timedelta(seconds=2 * WEEK)


def accepting(until: Any, **asked: Any) -> Plan:
    return deletion(standing(policy(max_age=2 * WEEK)), accept_exposure_until=until, **asked)


@pytest.mark.parametrize("seconds", [0, 1, 10**6])
def test_a_date_at_or_after_the_bound_accepts_it(seconds: int) -> None:
    until = stamp(BOUND + timedelta(seconds=seconds))
    assert accepting(until).accept_exposure_until == until


@pytest.mark.parametrize("publish", [False, True])
def test_a_date_before_the_bound_does_not(publish: bool) -> None:  # noqa: FBT001
    until = stamp(BOUND - timedelta(seconds=1))
    with pytest.raises(ExposureTooLongError) as caught:
        accepting(until, publish_none=publish)
    assert f"14 days): longer than was accepted, which is until {until}." in str(caught.value)


def test_a_date_has_to_cover_all_that_may_be_held() -> None:
    versions = history((400, policy(max_age=2 * WEEK)), (30, ENFORCE))
    until = stamp(GONE + timedelta(seconds=WEEK))
    assert f"until {stamp(BOUND)}." in refusal(
        findings(history=versions), accept_exposure_until=until
    )


def test_the_date_that_is_proposed_is_accepted_and_covers_a_run_that_takes_its_time() -> None:
    found = standing(policy(max_age=2 * WEEK))
    proposed = refusal(found).partition("accept_exposure_until: ")[2].rstrip(".")
    assert accepting(proposed, now=NOW + timedelta(days=1)).deletes
    # Even the first moment of that date lies a day after the bound.
    assert proposed == (BOUND + timedelta(days=2)).date().isoformat()


def test_a_date_holds_although_nothing_is_too_long() -> None:
    """Who names a date wants it kept, whatever the stack would let pass."""
    end = GONE + timedelta(seconds=WEEK)
    assert deletion(accept_exposure_until=stamp(end)).deletes
    said = refusal(findings(), accept_exposure_until=stamp(end - timedelta(seconds=1)))
    assert (
        "version v1 of the policy (mode enforce), max_age 604800 seconds (7 days): longer" in said
    )


@pytest.mark.parametrize("body", [NONE, policy("testing", max_age=YEAR)])
def test_a_date_of_the_past_holds_where_nothing_can_stop_mail(body: bytes) -> None:
    assert deletion(standing(body), accept_exposure_until="2020-01-01").deletes


# --- what is vouched for and seen not to be so


def contradiction(found: Findings, *fetched: Any, **asked: Any) -> str:
    with pytest.raises(InvalidRequestError, match="Nothing was changed") as caught:
        deletion(found, *fetched, **asked)
    return str(caught.value)


THREE = findings(
    history=history(
        (400, policy(max_age=WEEK + 1)), (200, policy("testing", max_age=2 * WEEK)), (100, ENFORCE)
    )
)


@pytest.mark.parametrize(
    ("found", "longest", "named"),
    [
        (findings(), WEEK - 1, "longest_max_age says 604799, but the policy v1 has 604800"),
        (THREE, WEEK, "longest_max_age says 604800, but the policy v2 has 1209600"),
        (standing(policy("enforced")), 0, "longest_max_age says 0, but the policy v1 has 604800"),
    ],
)
def test_a_longer_policy_than_was_vouched_for(found: Findings, longest: int, named: str) -> None:
    assert named in contradiction(found, longest_max_age=longest)
    with pytest.raises(InvalidRequestError, match="What is attested is not so"):
        plan(found, longest_max_age=longest)


def test_what_the_host_serves_contradicts_too() -> None:
    foreign = answered(policy("enforce", "mx.example", max_age=WEEK + 1))
    said = contradiction(findings(), foreign, longest_max_age=WEEK)
    assert f"says 604800, but the policy served at {ADDRESS} has 604801" in said


@pytest.mark.parametrize(
    "body",
    [
        policy("none", max_age=YEAR),  # no sender enforces it
        policy(max_age="soon"),  # nobody can say: a year is taken for it
    ],
)
def test_what_does_not_contradict(body: bytes) -> None:
    made = deletion(standing(body), NOT_FOUND, longest_max_age=WEEK, max_policy_age_seconds=YEAR)
    assert made.longest_max_age == WEEK


def changed(days_ago: int, new: str, old: str) -> dict[str, Any]:
    at = stamp(NOW - timedelta(days=days_ago))
    return {"id": new, "old": old, "at": at, "gone_at": at, "distribution_id": "",
            "published_at": None, "fresh_at": None}  # fmt: skip


SINCE = stamp(NOW - timedelta(days=10))


def test_an_id_that_was_replaced_only_afterwards_stood_on_both_sides() -> None:
    """Senders read it after the moment from which every id is said to be another."""
    changes = changed(30, "2", "1"), changed(5, "20200425085700", "2")
    said = contradiction(findings(id_changes=changes), ids_changed_since=SINCE)
    assert "but the id 2, which stood in the record before, stood in it afterwards too" in said


@pytest.mark.parametrize(
    "changes",
    [
        (changed(20, "20200425085700", "1"),),  # it was made then, and stands
        (changed(30, "2", "20200425085700"), changed(20, "3", "2")),  # put back
        (changed(30, "20200425085700", "1"), changed(20, "", "20200425085700")),
    ],
)
def test_an_id_that_stood_there_before_it_was_said_to_be_changed(
    changes: tuple[dict[str, Any], ...],
) -> None:
    said = contradiction(findings(id_changes=changes), ids_changed_since=SINCE)
    assert f"ids_changed_since says {SINCE}, but the record's id 20200425085700 stood in it" in said


@pytest.mark.parametrize(
    ("record_sets", "changes"),
    [
        (None, ()),
        (None, (changed(5, "20200425085700", "1"),)),  # after it
        (None, (changed(20, "2", "1"),)),  # others did
        ([], (changed(20, "", "1"),)),  # there is none now, as there was none then
    ],
)
def test_ids_that_may_have_been_changed(
    record_sets: list[Any] | None, changes: tuple[dict[str, Any], ...]
) -> None:
    found = findings(record_sets=record_sets, id_changes=changes)
    assert deletion(found, ids_changed_since=SINCE).ids_changed_since == SINCE


def test_a_change_that_is_to_come_is_none() -> None:
    later = stamp(NOW + timedelta(seconds=1))
    assert f"{later}, which is to come" in contradiction(findings(), ids_changed_since=later)
    assert deletion(ids_changed_since=stamp(NOW)).ids_changed_since == stamp(NOW)


def test_both_are_told_at_once() -> None:
    asked = {"longest_max_age": 1, "ids_changed_since": "2027-01-01"}
    said = contradiction(replace(findings(), id_changes=()), **asked)
    assert "the policy v1 has 604800; ids_changed_since says 2027-01-01T00:00:00Z" in said
