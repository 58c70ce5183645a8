"""Rewrites the policy object by compare-and-swap."""

from datetime import timedelta
from typing import Any

from mta_sts import wiring
from mta_sts.instants import stamp
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.progress import refuse_redriven
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan"}`` → ``{"written", "version_id", "etag", "published_at"}``; twice is as once."""
    refuse_redriven(event)
    plan = Plan.from_dict(event["plan"])
    policy = plan.policy
    if policy.write:
        stored = wiring.policy_store().write(
            policy.bucket,
            policy.key,
            policy.body,
            etag=policy.etag or None,
            content_type=policy.content_type,
            headers=policy.headers,
            tagging=policy.tagging,
        )
        version_id, etag = stored.version_id, stored.etag
        # S3 tells whole seconds, cut off: the write was up to a second later.
        published_at = stamp(stored.last_modified + timedelta(seconds=1))
    else:
        version_id, etag, published_at = policy.version_id, policy.etag, policy.published_at
    logger.info("published", version_id=version_id, written=policy.write)
    return {
        "written": policy.write,
        "version_id": version_id,
        "etag": etag,
        "published_at": published_at,
    }
