"""Changes the id: replaces the exact TXT set by compare-and-swap, and asks Route 53 how far it is."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts import wiring
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan
from mta_sts.progress import settle
from mta_sts.transient import retried_by_the_workflow

logger = Logger()


@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Change the record, or await the change.

    ``{"plan", "step": "change"}`` → ``{"change_id", "changed_at"}``; twice is as once.
    ``{"plan", "step": "await", "changed", "since"}`` → ``{"ready", "checked_at", "pause_seconds"}``.
    Raises ConcurrentChangeError or PropagationTimeoutError.
    """
    plan, now = Plan.from_dict(event["plan"]), datetime.now(UTC)
    zones = wiring.zones(plan.dns_role_arn)
    if event["step"] == "change":
        record = plan.record
        comment = f"mta-sts-off: {plan.method} for {plan.domain}"
        change_id = zones.swap(record.zone_id, record.before, record.after, comment=comment)
        logger.info("changed", domain=plan.domain, id=record.new_id, change_id=change_id)
        return {"change_id": change_id, "changed_at": stamp(now)}
    change_id = event["changed"]["change_id"]
    check = {"ready": zones.in_sync(change_id), "checked_at": stamp(datetime.now(UTC))}
    return settle(
        check,
        plan.waits,
        since=instant(event["since"]),
        now=now,
        explanation=f"Route 53 still says PENDING for change {change_id}. Look at the health of"
        " Route 53.",
    )
