"""Can senders renew over HTTPS alone what they hold, whatever has become of the record?

RFC 8461 section 10.2 lets them refresh without it. Judged by a look at the policy host
(:func:`mta_sts.policy_check.look`); silence and doubtful answers never count as "serves nothing".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mta_sts.instants import instant
from mta_sts.plan import Plan


@dataclass(frozen=True)
class Renewal:
    """Whether a policy can be renewed; ``possible`` is None where that could not be told.

    ``blocks`` says whether what is renewed can stop mail; ``foreign`` whether it is one that no version
    of the object is. ``reason`` says what was seen.
    """

    possible: bool | None
    blocks: bool
    reason: str
    foreign: bool = False


NO_RENEWAL = Renewal(possible=False, blocks=False, reason="the host serves mode none")


def renewal(plan: Plan, look: Mapping[str, Any]) -> Renewal:
    """Judge by the last look whether a policy can be renewed."""
    if plan.publishes:
        return NO_RENEWAL
    host, rows = plan.policy_host, look["agreeing"]
    serving = [row for row in rows if row["mode"] not in {"", "none"}]
    if serving:
        first = serving[0]
        modes = {row["mode"] for row in serving}
        stored = {body["sha256"] for body in plan.bodies} - {""}
        return Renewal(
            possible=True,
            blocks=bool(modes - {"testing"}),
            reason=f"{host} serves {_told(first['mode'])} at {first['address']}",
            foreign=any(row["sha256"] not in stored for row in serving),
        )
    doubt = _doubt(plan, look)
    if doubt:
        return Renewal(possible=None, blocks=True, reason=doubt)
    unseen = "".join(f"; {row['address']} not asked: {row['reason']}" for row in look["not_asked"])[
        :200
    ]
    if not rows:
        reason = f"{host} has no address"
    elif any(row["mode"] for row in rows):
        reason = NO_RENEWAL.reason
    else:
        told = "; ".join(dict.fromkeys(f"{row['address']}: {row['found']}" for row in rows))
        reason = f"{host} serves no policy ({told:.300})"
    return Renewal(possible=False, blocks=False, reason=reason + unseen)


def _told(mode: str) -> str:
    if mode == "malformed":
        return "a malformed policy, which lenient senders may enforce,"
    return f"a policy with mode {mode}"


def _doubt(plan: Plan, look: Mapping[str, Any]) -> str:
    """Say why it is not known what senders get from the host; empty where it is."""
    if look["doubts"]:
        return str(look["doubts"][0])
    answered = [row for row in look["agreeing"] if row["status"]]
    cached = [row for row in answered if row["age"] is not None or row["x_cache"]]
    policy = plan.policy
    if cached and not (policy.distribution_id or policy.other_cache_seconds):
        # RFC 9111 section 5.1: only a cache adds Age.
        return (
            f"{cached[0]['address']} is a cache that the stack's settings do not know, and may serve an older"
            " policy elsewhere"
        )
    ends = [
        instant(body["replaced_at"])
        for body in plan.bodies
        if body["replaced_at"] and body["mode"] != "none"
    ]
    if not answered or not ends:
        return ""
    if policy.distribution_id and recorded_purge(plan, max(ends)) is None:
        return (
            f"CloudFront ({policy.distribution_id}) may still serve an older policy elsewhere: no"
            " invalidation since is on record"
        )
    waited = (instant(look["checked_at"]) - max(ends)).total_seconds()
    if waited < policy.other_cache_seconds:
        return "a cache in front may still serve the policy that was replaced a moment ago"
    return ""


def recorded_purge(plan: Plan, since: datetime) -> datetime | None:
    """Give the end of the distribution's first recorded purge that began after a moment, or None."""
    ends = [
        instant(change["fresh_at"])
        for change in plan.id_changes
        if change["distribution_id"] == plan.policy.distribution_id
        and change["published_at"]
        and instant(change["published_at"]) >= since
    ]
    return min(ends, default=None)
