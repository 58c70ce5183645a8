"""Takes the policy object away by a delete marker, once the record is confirmed to be gone."""

from datetime import UTC, datetime
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
    """``{"plan"}`` → ``{"version_id", "removed_at"}``: the marker's, empty where it was gone already.

    Twice is as once. Raises ConcurrentChangeError where another object stands there by now.
    """
    refuse_redriven(event)
    plan = Plan.from_dict(event["plan"])
    policy = plan.policy
    version_id = wiring.policy_store().remove(policy.bucket, policy.key, etag=policy.etag)
    logger.info("removed", version_id=version_id)
    return {"version_id": version_id, "removed_at": stamp(datetime.now(UTC))}
