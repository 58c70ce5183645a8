"""Invalidates the policy in CloudFront and says when every cache in front is known to be fresh."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts import wiring
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan
from mta_sts.progress import settle

logger = Logger()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "published", "since"}`` → ``{"ready", "status", "fresh_at", "pause_seconds"}``.

    Asked again it finds the invalidation that is already under way. Raises PropagationTimeoutError.
    """
    plan, published, now = Plan.from_dict(event["plan"]), event["published"], datetime.now(UTC)
    policy = plan.policy
    # A cache that is not ours may keep what it fetched a moment before the write.
    expired_at = instant(published["published_at"]) + timedelta(seconds=policy.other_cache_seconds)
    completed, status = True, "no CloudFront distribution in front"
    if policy.distribution_id:
        cdn, paths = wiring.cdn(), list(policy.purge_paths)
        invalidation = cdn.invalidate(policy.distribution_id, paths, _reference(plan, published))
        completed = cdn.completed(policy.distribution_id, invalidation)
        status = (
            f"invalidation {invalidation} in distribution {policy.distribution_id}:"
            f" {'Completed' if completed else 'InProgress'}"
        )
    check = {
        "ready": completed and now >= expired_at,
        "status": status,
        "fresh_at": stamp(max(now, expired_at)),
    }
    logger.info(
        "purged" if check["ready"] else "purging", domain=plan.domain, status=check["status"]
    )
    if completed and not check["ready"]:
        # A known wait is no delay: the deadline counts from its end.
        return check | {"pause_seconds": round((expired_at - now).total_seconds()) + 1}
    return settle(
        check,
        since=max(instant(event["since"]), expired_at),
        now=now,
        deadline_seconds=plan.waits.deadline_seconds,
        first_pause_seconds=plan.waits.first_pause_seconds,
        explanation=f"{check['status']}. The CDN may still serve the old policy, so the id was not changed."
        " Look at the distribution in CloudFront.",
    )


def _reference(plan: Plan, published: dict[str, Any]) -> str:
    """Derive the CallerReference from the version, so that a retry gives the same invalidation."""
    version = published["version_id"]
    if version in {"", "null"}:  # a bucket without versions
        version = f"{published['etag']}-{published['published_at']}".replace('"', "")
    return f"mta-sts-off-{plan.domain}-{version}"
