"""How long some sender may still hold a policy that was turned off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta_sts.drain import Body, BodyMode, Drain, IdChange, drain, end_served
from mta_sts.policy import MAX_AGE_LIMIT

# The time an example takes says how busy the machine is, nothing of the code.
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

YEAR = timedelta(seconds=MAX_AGE_LIMIT)
WEEK = timedelta(days=7)
HOUR = timedelta(hours=1)
PUBLISHED = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)
PURGED = datetime(2026, 11, 24, 4, 2, 0, tzinfo=UTC)
GONE = datetime(2026, 11, 24, 5, 4, 0, tzinfo=UTC)
FIRST = datetime(2026, 1, 10, tzinfo=UTC)
ALL_KNOWN = datetime(2025, 1, 1, tzinfo=UTC)

ACTIVE = Body("v1", "enforce", 604_800, FIRST, PUBLISHED, PURGED)


def drained(
    *bodies: Body,
    id_changes: Sequence[IdChange] = (),
    record_gone_at: datetime = GONE,
    cache_seconds: int = 0,
    now: datetime = GONE,
    history_known_since: datetime | None = ALL_KNOWN,
) -> Drain:
    return drain(
        bodies,
        id_changes=id_changes,
        record_gone_at=record_gone_at,
        cache_seconds=cache_seconds,
        now=now,
        history_known_since=history_known_since,
    )


def before(mode: BodyMode, max_age: int | None, purged_at: datetime | None = None) -> Body:
    """Return a body that was served for a month before the active one."""
    return Body("v0", mode, max_age, FIRST - timedelta(days=30), FIRST, purged_at)


def test_the_worked_example() -> None:
    """The dates of the module's docstring."""
    result = drained(ACTIVE)
    assert result.conforming_off_at == datetime(2026, 11, 24, 5, 4, 0, tzinfo=UTC)
    assert result.rfc_off_at == datetime(2026, 12, 1, 4, 2, 0, tzinfo=UTC)
    assert result.all_off_at == datetime(2026, 12, 1, 5, 4, 0, tzinfo=UTC)
    assert result.known_off_at == result.blocking_off_at == result.all_off_at
    assert not result.history_unknown
    (exposure,) = result.exposures
    assert result.longest == exposure
    assert (exposure.label, exposure.mode, exposure.max_age) == ("v1", "enforce", 604_800)
    assert (exposure.cached_until, exposure.id_until) == (PURGED, GONE)
    assert (exposure.ends, exposure.rfc_ends) == (result.all_off_at, result.rfc_off_at)


def test_the_worked_example_with_an_unknown_part() -> None:
    result = drained(ACTIVE, history_known_since=FIRST)
    assert result.all_off_at == datetime(2027, 11, 24, 11, 4, 0, tzinfo=UTC)
    assert result.known_off_at == datetime(2026, 12, 1, 5, 4, 0, tzinfo=UTC)
    assert result.blocking_off_at == result.all_off_at, "what is unknown may have been enforced"
    assert result.history_unknown
    longest = result.longest
    assert longest is not None
    assert (longest.mode, longest.max_age, longest.cached_until) == ("unknown", 31_557_600, FIRST)
    assert [exposure.label for exposure in result.exposures] == ["before the known history", "v1"]


CHANGE = IdChange(at=FIRST + HOUR, gone_at=FIRST + 2 * HOUR)
LATER = IdChange(at=FIRST + 3 * HOUR, gone_at=FIRST + 4 * HOUR)
EARLIER = IdChange(at=FIRST - HOUR, gone_at=FIRST)

EXPOSURES: list[tuple[Body, list[IdChange], int, datetime, datetime, str]] = [
    (ACTIVE, [], 0, PURGED, GONE, "purged in this run"),
    (ACTIVE, [], 9999, PURGED, GONE, "a purge ends the caching, whatever it might have been"),
    (replace(ACTIVE, purged_at=None), [], 0, PUBLISHED, GONE, "nothing caches"),
    (replace(ACTIVE, purged_at=None), [], 9999, PUBLISHED + timedelta(seconds=9999), GONE, "a CDN"),
    (replace(ACTIVE, replaced_at=None, purged_at=None), [], 9999, GONE, GONE, "served: now"),
    (before("enforce", 1), [], 0, FIRST, GONE, "no id change recorded: this run's"),
    (before("enforce", 1), [CHANGE], 0, FIRST, FIRST + 2 * HOUR, "the first recorded one"),
    (before("enforce", 1), [LATER, CHANGE], 0, FIRST, FIRST + 2 * HOUR, "first in time"),
    (before("enforce", 1), [EARLIER], 0, FIRST, GONE, "one before it was replaced ended nothing"),
    (before("enforce", 1), [EARLIER, CHANGE], 0, FIRST, FIRST + 2 * HOUR, "the one after it did"),
    (before("enforce", 1), [replace(CHANGE, at=FIRST)], 0, FIRST, GONE, "at once: in doubt, no"),
    (
        before("enforce", 1),
        [CHANGE, LATER],
        7200,
        FIRST + 2 * HOUR,
        FIRST + 4 * HOUR,
        "a change while a cache was stale had the body stored under the new id",
    ),
    (
        before("enforce", 1, purged_at=FIRST + timedelta(minutes=2)),
        [CHANGE, LATER],
        7200,
        FIRST + timedelta(minutes=2),
        FIRST + 2 * HOUR,
        "the same, purged in time",
    ),
    (
        before("enforce", 1),
        [replace(EARLIER, gone_at=FIRST + 9 * HOUR), CHANGE],
        0,
        FIRST,
        FIRST + 9 * HOUR,
        "an older id with a longer TTL is gone last",
    ),
    (
        ACTIVE,
        [replace(CHANGE, gone_at=GONE + HOUR)],
        0,
        PURGED,
        GONE + HOUR,
        "longer than this run's too",
    ),
]


@pytest.mark.parametrize(("body", "changes", "cache", "cached_until", "id_until", "why"), EXPOSURES)
def test_last_moments_of_a_body(
    body: Body,
    changes: list[IdChange],
    cache: int,
    cached_until: datetime,
    id_until: datetime,
    why: str,
) -> None:
    known_since = ALL_KNOWN - HOUR * 3
    result = drained(body, id_changes=changes, cache_seconds=cache, history_known_since=known_since)
    (exposure,) = result.exposures
    assert (exposure.cached_until, exposure.id_until) == (cached_until, id_until), why


@pytest.mark.parametrize(
    ("bodies", "all_off_at", "blocking_off_at", "why"),
    [
        ([], GONE, GONE, "nothing was ever served"),
        ([before("none", 86_400)], GONE, GONE, "none is no exposure"),
        ([ACTIVE, before("none", MAX_AGE_LIMIT)], GONE + WEEK, GONE + WEEK, "nor a long-lived one"),
        ([before("enforce", 60), ACTIVE], GONE + WEEK, GONE + WEEK, "the longest counts"),
        (
            [before("enforce", 2 * 604_800), ACTIVE],
            GONE + 2 * WEEK,
            GONE + 2 * WEEK,
            "an older one",
        ),
        ([before("malformed", 60)], GONE + HOUR / 60, GONE + HOUR / 60, "malformed as enforced"),
        ([before("malformed", None)], GONE + YEAR, GONE + YEAR, "unreadable: the longest"),
        ([before("testing", 604_800)], GONE + WEEK, GONE, "testing holds, and never blocks mail"),
        ([before("testing", 2 * 604_800), ACTIVE], GONE + 2 * WEEK, GONE + WEEK, "shown apart"),
        ([before("enforce", 0)], GONE, GONE, "a max_age of 0"),
    ],
)
def test_the_bounds_over_several_bodies(
    bodies: list[Body], all_off_at: datetime, blocking_off_at: datetime, why: str
) -> None:
    result = drained(*bodies)
    assert (result.all_off_at, result.blocking_off_at) == (all_off_at, blocking_off_at), why
    assert result.known_off_at == all_off_at
    assert len(result.exposures) == sum(body.mode != "none" for body in bodies)
    assert (result.longest is None) == (not result.exposures)


@pytest.mark.parametrize(
    ("known_since", "bodies", "cache", "replaced_at", "why"),
    [
        (GONE - YEAR, [ACTIVE], 0, None, "just far enough back"),
        (GONE - YEAR + HOUR, [ACTIVE], 0, GONE - YEAR + HOUR, "not quite"),
        (GONE - YEAR, [ACTIVE], 1, GONE - YEAR, "a cache could hand the unknown out later"),
        (None, [ACTIVE], 0, FIRST, "the bodies alone: since the first of them"),
        (None, [replace(ACTIVE, since=GONE - 2 * YEAR)], 0, None, "which may suffice"),
        (
            None,
            [before("none", 1), ACTIVE],
            0,
            FIRST - timedelta(days=30),
            "a none body is history",
        ),
        (None, [], 0, GONE, "nothing is known at all"),
    ],
)
def test_the_unknown_part_of_the_history(
    known_since: datetime | None,
    bodies: list[Body],
    cache: int,
    replaced_at: datetime | None,
    why: str,
) -> None:
    result = drained(*bodies, history_known_since=known_since, cache_seconds=cache)
    unknown = [exposure for exposure in result.exposures if exposure.mode == "unknown"]
    assert result.history_unknown is bool(unknown)
    cached_until = [exposure.cached_until - timedelta(seconds=cache) for exposure in unknown]
    assert cached_until == ([] if replaced_at is None else [replaced_at]), why


def test_an_id_change_bounds_the_unknown_part_as_well() -> None:
    result = drained(ACTIVE, id_changes=[CHANGE], history_known_since=FIRST)
    assert result.all_off_at == CHANGE.gone_at + YEAR


def test_a_publication_ends_what_is_served_and_leaves_the_rest() -> None:
    old, served = before("enforce", 60), replace(ACTIVE, replaced_at=None, purged_at=None)
    assert end_served([old, served], at=PUBLISHED, purged_at=PURGED) == (old, ACTIVE)
    assert end_served([served], at=PUBLISHED, purged_at=None) == (replace(ACTIVE, purged_at=None),)


SECONDS = st.integers(0, 3 * MAX_AGE_LIMIT)
TIMES = SECONDS.map(lambda seconds: GONE - timedelta(seconds=seconds))
SPANS = st.integers(0, 2 * MAX_AGE_LIMIT).map(lambda seconds: timedelta(seconds=seconds))


MODES: list[BodyMode] = ["enforce", "testing", "none", "malformed"]
MAX_AGES = st.integers(0, MAX_AGE_LIMIT)
ANY_MAX_AGE = st.none() | MAX_AGES
ANY_END = st.sampled_from(["served", "replaced", "purged"])


@st.composite
def a_body(
    draw: st.DrawFn,
    *,
    max_ages: st.SearchStrategy[int | None] = ANY_MAX_AGE,
    ends: st.SearchStrategy[str] = ANY_END,
) -> Body:
    since, end = draw(TIMES), draw(ends)
    replaced_at = None if end == "served" else since + draw(SPANS)
    purged_at = replaced_at + draw(SPANS) if replaced_at and end == "purged" else None
    return Body(
        "v",
        draw(st.sampled_from(MODES)),
        draw(max_ages),
        since,
        replaced_at,
        purged_at,
    )


BODY_LISTS = st.lists(a_body(), max_size=5)


@dataclass(frozen=True)
class Situation:
    """What a calculation is told besides the bodies."""

    id_changes: list[IdChange]
    record_gone_at: datetime
    cache_seconds: int
    history_known_since: datetime

    def look(self, *bodies: Body, now: datetime = GONE) -> Drain:
        return drain(
            bodies,
            id_changes=self.id_changes,
            record_gone_at=self.record_gone_at,
            cache_seconds=self.cache_seconds,
            now=now,
            history_known_since=self.history_known_since,
        )


SITUATIONS = st.builds(
    Situation,
    st.lists(st.builds(lambda at, ttl: IdChange(at, at + ttl), TIMES, SPANS), max_size=4),
    TIMES,
    MAX_AGES,
    TIMES,
)


def never_earlier(less: Drain, more: Drain) -> bool:
    """Compare the bounds; without any exposure a bound is now, which says nothing of the past."""
    pairs = [
        (less.conforming_off_at, more.conforming_off_at),
        (less.rfc_off_at, more.rfc_off_at),
        (less.all_off_at, more.all_off_at),
        (less.known_off_at, more.known_off_at),
        (less.blocking_off_at, more.blocking_off_at),
    ]
    return all(before <= after or before == GONE for before, after in pairs)


@PROPERTY
@given(BODY_LISTS, a_body(), SITUATIONS)
def test_one_more_version_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    assert never_earlier(at.look(*bodies), at.look(*bodies, body))


@PROPERTY
@given(BODY_LISTS, a_body(max_ages=MAX_AGES), SITUATIONS, MAX_AGES)
def test_a_larger_max_age_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation, more: int
) -> None:
    longer = replace(body, max_age=(body.max_age or 0) + more)
    assert never_earlier(at.look(body, *bodies), at.look(longer, *bodies))


@PROPERTY
@given(BODY_LISTS, a_body(), SITUATIONS)
def test_an_unreadable_max_age_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    unreadable = replace(body, max_age=None)
    assert never_earlier(at.look(body, *bodies), at.look(unreadable, *bodies))


@PROPERTY
@given(BODY_LISTS, SITUATIONS, SPANS)
def test_a_longer_ttl_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: timedelta
) -> None:
    longer = replace(at, record_gone_at=at.record_gone_at + more)
    assert never_earlier(at.look(*bodies), longer.look(*bodies))


@PROPERTY
@given(BODY_LISTS, SITUATIONS, MAX_AGES)
def test_longer_caching_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: int
) -> None:
    longer = replace(at, cache_seconds=at.cache_seconds + more)
    assert never_earlier(at.look(*bodies), longer.look(*bodies))


@PROPERTY
@given(BODY_LISTS, a_body(ends=st.just("purged")), SITUATIONS, SPANS)
def test_a_later_purge_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation, more: timedelta
) -> None:
    later = replace(body, purged_at=(body.purged_at or GONE) + more)
    assert never_earlier(at.look(body, *bodies), at.look(later, *bodies))


@PROPERTY
@given(BODY_LISTS, SITUATIONS, SPANS)
def test_knowing_less_of_the_past_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: timedelta
) -> None:
    less_known = replace(at, history_known_since=at.history_known_since + more)
    assert never_earlier(at.look(*bodies), less_known.look(*bodies))


@PROPERTY
@given(BODY_LISTS, SITUATIONS)
def test_bounds_are_in_order(bodies: list[Body], at: Situation) -> None:
    result = at.look(*bodies)
    assert result.rfc_off_at <= result.all_off_at, "the strict bound is the later one"
    ends = [exposure.ends for exposure in result.exposures]
    assert ends == sorted(ends, reverse=True)
    assert result.all_off_at == max(ends, default=GONE)


@PROPERTY
@given(BODY_LISTS, SITUATIONS, st.integers(0, 600), st.integers(0, 86_400), SPANS)
def test_at_its_own_deadline_the_exposure_is_zero(
    bodies: list[Body], at: Situation, caching: int, ttl: int, later: timedelta
) -> None:
    """A run turns the policy off; when its drain is over, a second look finds nothing left."""
    published = max([GONE, *(body.replaced_at for body in bodies if body.replaced_at)])
    fresh = published + timedelta(seconds=caching)  # every cache, before the id changes
    changed = fresh + timedelta(seconds=1)
    gone = changed + timedelta(seconds=ttl)
    bodies = [
        replace(body, purged_at=body.purged_at and min(body.purged_at, fresh))
        for body in end_served(bodies, at=published, purged_at=fresh)
    ]
    at = replace(at, record_gone_at=gone, cache_seconds=caching)
    deadline = max(gone, at.look(*bodies, now=gone).all_off_at)

    # The ledger has the change by then; deleting the record has a TTL of its own, which must not
    # prolong what is over.
    recorded = [*at.id_changes, IdChange(changed, gone)]
    at = replace(at, id_changes=recorded, record_gone_at=deadline + later)
    second = at.look(*bodies, now=deadline)
    assert second.all_off_at <= deadline
    assert not second.history_unknown
