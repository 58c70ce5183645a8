"""What holds for every drain, whatever was served: never early, and over when it says so."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mta_sts.drain import Body, BodyMode, Drain, IdChange, drain, end_served
from mta_sts.policy import MAX_AGE_LIMIT

# The time an example takes says how busy the machine is, nothing of the code.
GONE = datetime(2026, 11, 24, 5, 4, 0, tzinfo=UTC)

SECONDS = st.integers(0, 3 * MAX_AGE_LIMIT)
TIMES = SECONDS.map(lambda seconds: GONE - timedelta(seconds=seconds))
SPANS = st.integers(0, 2 * MAX_AGE_LIMIT).map(lambda seconds: timedelta(seconds=seconds))


MODES: list[BodyMode] = ["enforce", "testing", "none", "malformed", "unknown"]
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
    longest_unknown: int

    def look(self, *bodies: Body, now: datetime = GONE) -> Drain:
        return drain(
            bodies,
            id_changes=self.id_changes,
            record_gone_at=self.record_gone_at,
            cache_seconds=self.cache_seconds,
            now=now,
            history_known_since=self.history_known_since,
            longest_unknown=self.longest_unknown,
        )


SITUATIONS = st.builds(
    Situation,
    st.lists(st.builds(lambda at, ttl: IdChange(at, at + ttl), TIMES, SPANS), max_size=4),
    TIMES,
    MAX_AGES,
    TIMES,
    st.just(MAX_AGE_LIMIT) | MAX_AGES,
)


def never_earlier(less: Drain, more: Drain) -> bool:
    """Compare the bounds; without any exposure a bound is now, which says nothing of the past."""
    pairs = [
        (less.conforming_off_at, more.conforming_off_at),
        (less.rfc_off_at, more.rfc_off_at),
        (less.all_off_at, more.all_off_at),
        (less.known_off_at, more.known_off_at),
        (less.blocking_off_at, more.blocking_off_at),
        (less.known_blocking_off_at, more.known_blocking_off_at),
    ]
    return all(before <= after or before == GONE for before, after in pairs)


@given(BODY_LISTS, a_body(), SITUATIONS)
def test_one_more_version_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    assert never_earlier(at.look(*bodies), at.look(*bodies, body))


@given(BODY_LISTS, a_body(max_ages=MAX_AGES), SITUATIONS, MAX_AGES)
def test_a_larger_max_age_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation, more: int
) -> None:
    longer = replace(body, max_age=(body.max_age or 0) + more)
    assert never_earlier(at.look(body, *bodies), at.look(longer, *bodies))


@given(BODY_LISTS, a_body(), SITUATIONS)
def test_an_unreadable_max_age_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    unreadable = replace(body, max_age=None)
    at = replace(at, longest_unknown=MAX_AGE_LIMIT)  # nobody vouches for less
    assert never_earlier(at.look(body, *bodies), at.look(unreadable, *bodies))


@given(BODY_LISTS, SITUATIONS, MAX_AGES)
def test_vouching_for_a_longer_max_age_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: int
) -> None:
    longer = replace(at, longest_unknown=at.longest_unknown + more)
    assert never_earlier(at.look(*bodies), longer.look(*bodies))


@given(BODY_LISTS, a_body(), SITUATIONS)
def test_a_malformed_body_counts_as_an_enforced_one(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    enforced = at.look(replace(body, mode="enforce"), *bodies)
    malformed = at.look(replace(body, mode="malformed"), *bodies)
    assert replace(enforced, exposures=()) == replace(malformed, exposures=())


@given(BODY_LISTS, a_body(), SITUATIONS)
def test_what_cannot_be_read_never_ends_before_an_enforced_body_of_that_max_age(
    bodies: list[Body], body: Body, at: Situation
) -> None:
    enforced = at.look(replace(body, mode="enforce", max_age=at.longest_unknown), *bodies)
    unread = at.look(replace(body, mode="unknown", max_age=None), *bodies)
    assert unread.all_off_at == enforced.all_off_at
    assert unread.blocking_off_at == enforced.blocking_off_at


@given(BODY_LISTS, SITUATIONS, SPANS)
def test_a_longer_ttl_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: timedelta
) -> None:
    longer = replace(at, record_gone_at=at.record_gone_at + more)
    assert never_earlier(at.look(*bodies), longer.look(*bodies))


@given(BODY_LISTS, SITUATIONS, MAX_AGES)
def test_longer_caching_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: int
) -> None:
    longer = replace(at, cache_seconds=at.cache_seconds + more)
    assert never_earlier(at.look(*bodies), longer.look(*bodies))


@given(BODY_LISTS, a_body(ends=st.just("purged")), SITUATIONS, SPANS)
def test_a_later_purge_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation, more: timedelta
) -> None:
    later = replace(body, purged_at=(body.purged_at or GONE) + more)
    assert never_earlier(at.look(body, *bodies), at.look(later, *bodies))


@given(BODY_LISTS, a_body(ends=st.just("replaced")), SITUATIONS, SPANS)
def test_a_later_replacement_never_makes_it_earlier(
    bodies: list[Body], body: Body, at: Situation, more: timedelta
) -> None:
    later = replace(body, replaced_at=(body.replaced_at or GONE) + more)
    assert never_earlier(at.look(body, *bodies), at.look(later, *bodies))


@given(BODY_LISTS, SITUATIONS, SPANS)
def test_knowing_less_of_the_past_never_makes_it_earlier(
    bodies: list[Body], at: Situation, more: timedelta
) -> None:
    less_known = replace(at, history_known_since=at.history_known_since + more)
    assert never_earlier(at.look(*bodies), less_known.look(*bodies))


@given(BODY_LISTS, SITUATIONS)
def test_bounds_are_in_order(bodies: list[Body], at: Situation) -> None:
    result = at.look(*bodies)
    assert result.rfc_off_at <= result.all_off_at, "the strict bound is the later one"
    ends = [exposure.ends for exposure in result.exposures]
    assert ends == sorted(ends, reverse=True)
    assert result.all_off_at == max(ends, default=GONE)
    blocking = [exposure.ends for exposure in result.exposures if exposure.blocks]
    assert result.blocking_off_at == max(blocking, default=GONE)
    assert result.known_off_at <= result.all_off_at or result.known_off_at == GONE


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
    first = at.look(*bodies, now=gone)
    # The ledger has the change by then; deleting the record has a TTL of its own, which must not
    # prolong what is over.
    recorded = [*at.id_changes, IdChange(changed, gone)]
    for deadline in (first.all_off_at, first.blocking_off_at):
        now = max(gone, deadline)
        after = replace(at, id_changes=recorded, record_gone_at=now + later)
        second = after.look(*bodies, now=now)
        assert second.blocking_off_at <= now
        assert not any(one.blocks and one.ends > now for one in second.exposures)
    now = max(gone, first.all_off_at)
    second = replace(at, id_changes=recorded, record_gone_at=now + later).look(*bodies, now=now)
    assert second.all_off_at <= now
    assert all(one.ends <= now for one in second.exposures)
    assert not (second.history_unknown and at.longest_unknown == MAX_AGE_LIMIT)
