"""How long some sender may still hold a policy that was turned off."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import mta_sts.drain
from mta_sts.drain import Body, BodyMode, Drain, IdChange, drain, end_served
from mta_sts.observed import FOREIGN
from mta_sts.policy import MAX_AGE_LIMIT

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
    longest_unknown: int = MAX_AGE_LIMIT,
) -> Drain:
    return drain(
        bodies,
        id_changes=id_changes,
        record_gone_at=record_gone_at,
        cache_seconds=cache_seconds,
        now=now,
        history_known_since=history_known_since,
        longest_unknown=longest_unknown,
    )


def before(mode: BodyMode, max_age: int | None, purged_at: datetime | None = None) -> Body:
    """Return a body that was served for a month before the active one."""
    return Body("v0", mode, max_age, FIRST - timedelta(days=30), FIRST, purged_at)


# --- the worked examples of the module's docstring

WEEKS_OFF = datetime(2026, 12, 1, 5, 4, 0, tzinfo=UTC)
YEARS_OFF = datetime(2027, 11, 24, 11, 4, 0, tzinfo=UTC)
# Ids changed since 2026-02-01, and the ids of before could be read for a week more.
ATTESTED = IdChange(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 8, tzinfo=UTC))
TESTED = Body(
    "v0",
    "testing",
    2_592_000,
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 11, 20, tzinfo=UTC),
)


def test_the_first_worked_example() -> None:
    result = drained(ACTIVE)
    assert result.conforming_off_at == GONE
    assert result.rfc_off_at == datetime(2026, 12, 1, 4, 2, 0, tzinfo=UTC)
    assert result.all_off_at == WEEKS_OFF
    assert result.known_off_at == result.blocking_off_at == result.all_off_at
    assert not result.history_unknown
    (exposure,) = result.exposures
    assert result.longest == exposure
    assert (exposure.label, exposure.mode, exposure.max_age) == ("v1", "enforce", 604_800)
    assert (exposure.cached_until, exposure.id_until) == (PURGED, GONE)
    assert (exposure.ends, exposure.rfc_ends) == (result.all_off_at, result.rfc_off_at)
    assert (exposure.served, exposure.named) == ("as version v1", "version v1")
    assert not exposure.renewed


EXAMPLES: list[tuple[str, Drain, datetime, datetime, datetime]] = [
    (
        "an unknown part, for which a year is taken",
        drained(ACTIVE, history_known_since=FIRST),
        YEARS_OFF,
        YEARS_OFF,
        WEEKS_OFF,
    ),
    (
        "longest_max_age takes the place of that year",
        drained(ACTIVE, history_known_since=FIRST, longest_unknown=1_209_600),
        datetime(2026, 12, 8, 5, 4, 0, tzinfo=UTC),
        datetime(2026, 12, 8, 5, 4, 0, tzinfo=UTC),
        WEEKS_OFF,
    ),
    (
        "ids that were changed bound it too",
        drained(ACTIVE, history_known_since=FIRST, id_changes=[ATTESTED]),
        datetime(2027, 2, 8, 6, 0, 0, tzinfo=UTC),
        datetime(2027, 2, 8, 6, 0, 0, tzinfo=UTC),
        WEEKS_OFF,
    ),
    (
        "with both it lies in the past",
        drained(
            ACTIVE, history_known_since=FIRST, id_changes=[ATTESTED], longest_unknown=1_209_600
        ),
        WEEKS_OFF,
        WEEKS_OFF,
        WEEKS_OFF,
    ),
    (
        "testing counts in all_off_at alone",
        drained(ACTIVE, TESTED),
        datetime(2026, 12, 24, 5, 4, 0, tzinfo=UTC),
        WEEKS_OFF,
        datetime(2026, 12, 24, 5, 4, 0, tzinfo=UTC),
    ),
]


@pytest.mark.parametrize(("why", "result", "all_off", "blocking_off", "known_off"), EXAMPLES)
def test_the_other_worked_examples(
    why: str, result: Drain, all_off: datetime, blocking_off: datetime, known_off: datetime
) -> None:
    bounds = (result.all_off_at, result.blocking_off_at, result.known_off_at)
    assert bounds == (all_off, blocking_off, known_off), why
    assert result.known_blocking_off_at == WEEKS_OFF, why
    assert result.conforming_off_at == GONE, "the arithmetic of the record alone"


def test_the_docstring_says_the_dates_that_come_out() -> None:
    told = " ".join((mta_sts.drain.__doc__ or "").split())
    for _, result, *dates in EXAMPLES:
        for date in (*dates, result.all_off_at):
            assert f"{date:%Y-%m-%d %H:%M:%S}" in told


def test_an_unknown_part_stands_for_what_was_served_before() -> None:
    result = drained(ACTIVE, history_known_since=FIRST)
    assert result.history_unknown
    longest = result.longest
    assert longest is not None
    assert (longest.mode, longest.max_age, longest.cached_until) == ("unknown", 31_557_600, FIRST)
    assert longest.blocks, "what is unknown may have been enforced"
    assert [one.label for one in result.exposures] == ["before the known history", "v1"]
    assert longest.served == longest.label


def test_a_purge_ends_the_caching_of_what_is_unknown_too() -> None:
    """A change of the id that came while a cache was stale ends nothing of it."""
    changed = IdChange(FIRST + HOUR, FIRST + 2 * HOUR)
    unknown: list[datetime] = []

    def purged_after(replaced_at: datetime) -> datetime:
        unknown.append(replaced_at)
        return FIRST + timedelta(minutes=59)

    result = drain(
        [ACTIVE],
        id_changes=[changed],
        record_gone_at=GONE,
        cache_seconds=7200,
        now=GONE,
        history_known_since=FIRST,
        purged_after=purged_after,
    )
    assert unknown == [FIRST]
    assert result.all_off_at == changed.gone_at + YEAR
    waited = drained(ACTIVE, id_changes=[changed], cache_seconds=7200, history_known_since=FIRST)
    assert waited.all_off_at == GONE + YEAR


def test_what_can_be_renewed_is_told_and_changes_no_date() -> None:
    renewed = drained(replace(ACTIVE, renewed=True))
    assert [one.renewed for one in renewed.exposures] == [True]
    assert renewed.all_off_at == drained(ACTIVE).all_off_at


def test_a_policy_that_is_no_version_is_named_by_where_it_was_served() -> None:
    label = f"{FOREIGN}at 192.0.2.1"
    (exposure,) = drained(replace(ACTIVE, label=label)).exposures
    assert (exposure.named, exposure.served) == ("the policy served at 192.0.2.1", "at 192.0.2.1")


def test_a_delete_marker_ends_a_body_as_a_version_does_and_serves_none() -> None:
    """Whoever lists the bodies leaves the marker out: only the body before it knows of it."""
    deleted = replace(ACTIVE, replaced_at=FIRST + HOUR, purged_at=None)
    changed = IdChange(FIRST + 2 * HOUR, FIRST + 3 * HOUR)
    result = drained(deleted, id_changes=[changed])
    assert len(result.exposures) == 1
    assert result.all_off_at == FIRST + 3 * HOUR + WEEK


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
        ([replace(ACTIVE, mode="malformed")], GONE + WEEK, GONE + WEEK, "malformed, as the last"),
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


@pytest.mark.parametrize(
    ("longest", "taken"),
    [(MAX_AGE_LIMIT, MAX_AGE_LIMIT), (604_800, 604_800), (0, 0)],
)
def test_a_body_that_nobody_can_read_counts_as_what_is_vouched_for(
    longest: int, taken: int
) -> None:
    """It is not known, and may have been enforced; what is merely malformed was read."""
    unread = replace(before("unknown", None), label="v0")
    result = drained(unread, longest_unknown=longest)
    assert result.all_off_at == result.blocking_off_at == GONE + timedelta(seconds=taken)
    assert result.known_off_at == result.known_blocking_off_at == GONE, "nothing known is exposed"
    assert not result.history_unknown
    assert result.exposures[0].served == "as version v0"
    malformed = drained(before("malformed", None), longest_unknown=longest)
    assert malformed.all_off_at == malformed.known_off_at == GONE + YEAR


def test_what_is_unknown_beside_testing_blocks_alone() -> None:
    result = drained(before("testing", 60), history_known_since=FIRST - timedelta(days=30))
    assert result.known_off_at == GONE + timedelta(seconds=60)
    assert result.known_blocking_off_at == GONE
    assert result.blocking_off_at == result.all_off_at == GONE + YEAR


def test_an_id_change_bounds_the_unknown_part_as_well() -> None:
    result = drained(ACTIVE, id_changes=[CHANGE], history_known_since=FIRST)
    assert result.all_off_at == CHANGE.gone_at + YEAR


def test_a_publication_ends_what_is_served_and_leaves_the_rest() -> None:
    old, served = before("enforce", 60), replace(ACTIVE, replaced_at=None, purged_at=None)
    assert end_served([old, served], at=PUBLISHED, purged_at=PURGED) == (old, ACTIVE)
    assert end_served([served], at=PUBLISHED, purged_at=None) == (replace(ACTIVE, purged_at=None),)
