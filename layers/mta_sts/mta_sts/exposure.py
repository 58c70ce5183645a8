"""From a plan and what a run saw to the arithmetic of :mod:`mta_sts.drain`: who may hold what, until when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from mta_sts.drain import Body, Drain, IdChange, drain, end_served
from mta_sts.instants import instant
from mta_sts.observed import foreign_label
from mta_sts.plan import Plan
from mta_sts.policy import MAX_AGE_LIMIT
from mta_sts.renewal import recorded_purge

# How long an id of a time whose TTL nobody knows may have been kept: few resolvers keep for longer.
_UNKNOWN_TTL = timedelta(days=7)

Confidence = Literal["computed", "attested", "unknown"]


@dataclass(frozen=True)
class Moments:
    """When things came true in a run, and what the policy host was seen to serve.

    ``published_at`` and ``fresh_at`` (every cache in front was fresh, and every address was seen to
    serve the new policy) are None where the policy was left alone. ``record_gone_at``: no resolver
    could still hold the old record. ``looks`` are checks of the policy host: before the first write,
    when an older version may have been served by a stale mirror, and, where the policy was left alone,
    after the last one; that of the plan is in the plan.
    """

    record_gone_at: datetime
    in_sync_at: datetime
    published_at: datetime | None = None
    fresh_at: datetime | None = None
    written: bool = False
    looks: tuple[Mapping[str, Any], ...] = ()


def exposure(plan: Plan, moments: Moments, now: datetime) -> Drain:
    """Compute until when some sender may still hold an older policy.

    Where the policy is left alone, what the host serves counts as served until the record is gone: who
    needs the record cannot fetch any more then. For all others see :func:`renewal`.
    """
    # The plan's own look last: what it saw goes by the name that the plan knows it by.
    looks = (*moments.looks, plan.host) if plan.host else moments.looks
    seen = {row["sha256"] for look in looks for row in look["agreeing"]} - {""}  # not read whole
    foreign = _foreign_bodies(plan, looks, now)
    bodies: Sequence[Body] = [
        *(stored_body(body, plan, moments, seen) for body in plan.bodies),
        *foreign,
    ]
    known_since = instant(plan.history_known_since) if plan.history_known_since else None
    if foreign:
        known_since = now  # the history of the object is not that of the host
    if moments.published_at and moments.fresh_at:
        ended = moments.published_at if moments.written else moments.fresh_at
        bodies = end_served(bodies, at=ended, purged_at=moments.fresh_at)
    else:
        gone = moments.record_gone_at
        bodies = [replace(body, renewed=body.replaced_at is None) for body in bodies]
        bodies = end_served(bodies, at=gone, purged_at=gone)
    return drain(
        bodies,
        id_changes=[*unbroken(plan), *attested(plan)],
        record_gone_at=moments.record_gone_at,
        cache_seconds=plan.policy.other_cache_seconds,
        now=now,
        # Nothing recorded where nothing was ever stored: this run made the first object.
        history_known_since=known_since,
        longest_unknown=MAX_AGE_LIMIT if plan.longest_max_age is None else plan.longest_max_age,
        purged_after=lambda replaced_at: _purged_at(replaced_at, plan, moments),
    )


def confidence(plan: Plan, moments: Moments, now: datetime) -> Confidence:
    """Say how sure the bounds are: ``unknown`` where a year stands for what nobody knows."""
    left = exposure(plan, moments, now)
    if left.all_off_at > left.known_off_at or left.blocking_off_at > left.known_blocking_off_at:
        return "unknown" if plan.longest_max_age is None else "attested"
    alone = exposure(replace(plan, longest_max_age=None, ids_changed_since=""), moments, now)
    same = (left.all_off_at, left.blocking_off_at) == (alone.all_off_at, alone.blocking_off_at)
    return "computed" if same else "attested"


def moments_from(
    data: Mapping[str, Any], record_check: Mapping[str, Any], policy_check: Mapping[str, Any]
) -> Moments:
    """Read the moments that the workflow collected in its variables.

    ``contradicted`` is the last look at the record that was not confirmed yet, or rather the first in
    which a name server contradicted: somebody showed the old one after it should have been gone.
    """
    gone = instant(data["names"]["record_gone_at"])
    late = data.get("contradicted")
    if late:
        lagging = [row for row in late["laggards"] if row["server"] != "resolver"]
        # A name server that fell back may have handed the old record out again until just now.
        gone = max(gone, instant(record_check["record_gone_at" if lagging else "checked_at"]))
    in_sync = instant(data["in_sync"]["checked_at"])
    published = data["published"]
    if not published:
        return Moments(gone, in_sync, looks=(data["host"], policy_check))
    return Moments(
        record_gone_at=gone,
        in_sync_at=in_sync,
        published_at=instant(published["published_at"]),
        fresh_at=max(instant(data["caches"]["fresh_at"]), instant(data["served"]["checked_at"])),
        written=published["written"],
        looks=(data["host"],),
    )


def moments_at_once(plan: Plan, now: datetime) -> Moments:
    """Give the moments of a run that is carried out at once, with no wait but the known ones."""
    fresh = now + timedelta(seconds=plan.policy.other_cache_seconds)
    begin = fresh if plan.publishes else now
    gone = begin + timedelta(seconds=plan.record.wait_seconds)
    if not plan.publishes:
        return Moments(gone, begin)
    return Moments(gone, begin, published_at=now, fresh_at=fresh, written=plan.policy.write)


def stored_body(body: Mapping[str, Any], plan: Plan, moments: Moments, seen: set[str]) -> Body:
    # One that the policy host was seen to serve still has not given way, whatever came after it.
    gave_way = body["replaced_at"] if body["sha256"] not in seen else None
    replaced_at = instant(gave_way) if gave_way else None
    return Body(
        label=body["version"],
        mode=body["mode"],
        max_age=body["max_age"],
        since=instant(body["since"]),
        replaced_at=replaced_at,
        purged_at=_purged_at(replaced_at, plan, moments) if replaced_at else None,
    )


def _foreign_bodies(plan: Plan, looks: Iterable[Mapping[str, Any]], now: datetime) -> list[Body]:
    """Give the policies that the host was seen to serve and that no version of the object is."""
    stored = {body["sha256"] for body in plan.bodies} - {""}
    planned = {_identity(row) for row in plan.host.get("agreeing", ())}
    rows = [row for look in looks for row in look["agreeing"] if row.get("mode")]
    foreign = {_identity(row): row for row in rows if row["sha256"] not in stored}
    return [
        Body(
            # What the plan has not seen must not pass for what it saw at the same address.
            foreign_label(row) if one in planned else f"{foreign_label(row)} after the plan",
            row["mode"],
            row["max_age"],
            since=now,
        )
        for one, row in foreign.items()
    ]


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    """Tell policies apart: one that was not read whole is like no other."""
    return row["sha256"], "" if row["sha256"] else row["address"]


def _purged_at(replaced_at: datetime, plan: Plan, moments: Moments) -> datetime | None:
    """Give the end of the distribution's first purge on record that began after a body was replaced.

    That of this run, where there is none. Until then CloudFront may have kept the body. None where no
    purge bounds it.
    """
    if not plan.policy.distribution_id:
        return None
    # Without a purge CloudFront may keep it until the record that leads there is gone.
    own = moments.fresh_at or moments.record_gone_at
    return min(recorded_purge(plan, replaced_at) or own, own)


def unbroken(plan: Plan) -> list[IdChange]:
    """Give the recorded id changes since the record was last changed by somebody else.

    An id of the past that was put back lets every sender that knows it renew what it holds, so what
    was recorded before ends nothing. Each change names the id that it found, and this run's has found
    the plan's old one. What stood there without an id that could be told breaks the chain: a CNAME,
    several values. So does a record that was gone: whatever stood there since, and was taken away again,
    cannot be seen.
    """
    kept: list[IdChange] = []
    found = plan.record.found
    for change in reversed(plan.id_changes):
        if change["id"] != found or not found:
            break
        kept.append(IdChange(at=instant(change["at"]), gone_at=instant(change["gone_at"])))
        found = change["old"]
    return kept[::-1]


def attested(plan: Plan) -> list[IdChange]:
    """Give the id change that the caller vouches for; the TTL of that time is not known."""
    if not plan.ids_changed_since:
        return []
    at = instant(plan.ids_changed_since)
    longest = max(_UNKNOWN_TTL, timedelta(seconds=plan.record.wait_seconds))
    return [IdChange(at, at + longest)]
