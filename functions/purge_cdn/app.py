"""Invalidates the policy in CloudFront and says when every cache in front is known to be fresh."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts import wiring
from mta_sts.instants import instant, stamp
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.progress import settle
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "published", "since", "caches", "execution"}`` → ``{"ready", "status", "fresh_at", …}``.

    ``caches`` is the answer of the look before, None at first. Asked again it finds the invalidation
    that is already under way. Raises PropagationTimeoutError.
    """
    plan, published, before = (
        Plan.from_dict(event["plan"]),
        event["published"],
        event["caches"] or {},
    )
    policy = plan.policy
    completed, status = True, "no CloudFront distribution in front"
    if policy.distribution_id:
        cdn, paths = wiring.cdn(), list(policy.purge_paths)
        invalidation = cdn.invalidate(policy.distribution_id, paths, _reference(event))
        completed = cdn.completed(policy.distribution_id, invalidation)
        status = (
            f"invalidation {invalidation} in distribution {policy.distribution_id}:"
            f" {'Completed' if completed else 'InProgress'}"
        )
    now = datetime.now(UTC)
    completed_at = before.get("completed_at") or (stamp(now) if completed else "")
    # A cache that is not ours may keep what it fetched a moment before the write, or, where CloudFront
    # stands behind it, a moment before the invalidation was completed.
    stale_at = completed_at if policy.distribution_id else published["published_at"]
    if not published["written"]:
        stale_at = max(stale_at, plan.planned_at)  # who knows what was served until then
    fresh_at = instant(stale_at or stamp(now)) + timedelta(seconds=policy.other_cache_seconds)
    check = {
        # Without such a cache only the moment is not known to the second; what is served is proven next.
        "ready": completed and (now >= fresh_at or not policy.other_cache_seconds),
        "status": status,
        "completed_at": completed_at,
        "fresh_at": stamp(max(now, fresh_at)),
    }
    logger.info("purged" if check["ready"] else "purging", status=status)
    if completed and not check["ready"]:
        # A known wait is no delay: the deadline counts from its end.
        return check | {"pause_seconds": round((fresh_at - now).total_seconds()) + 1}
    return settle(
        check,
        plan.waits,
        since=instant(event["since"]),
        now=now,
        explanation=f"{status}. The CDN may still serve the old policy, so the record was left as it is."
        " Look at the distribution in CloudFront.",
    )


def _reference(event: dict[str, Any]) -> str:
    """Derive the CallerReference from version and execution.

    A retry gives the same invalidation. Another run gives another one: the same version may have been
    replaced and put back in between, and a cache may have taken what stood there.
    """
    run = f"{event['published']['version_id']} {event['execution']['arn']}"
    return f"mta-sts-off-{hashlib.sha256(run.encode()).hexdigest()}"
