"""Swaps the exact record set by compare-and-swap, and asks Route 53 how far the change has come."""

from datetime import UTC, datetime
from math import ceil
from typing import Any

from mta_sts import wiring
from mta_sts.instants import instant, stamp
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.progress import refuse_redriven, settle
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Change or delete the record, or await that.

    ``{"plan", "step": "change"}`` → ``{"change_id", "changed_at"}``; twice is as once. Where the record
    was gone already there is no change to ask for, and its id is empty.
    ``{"plan", "step": "await", "changed", "since"}`` → ``{"ready", "checked_at", "pause_seconds"}``.
    Raises ConcurrentChangeError or PropagationTimeoutError.
    """
    refuse_redriven(event)
    plan, now = Plan.from_dict(event["plan"]), datetime.now(UTC)
    zones = wiring.zones(plan.dns_role_arn)
    if event["step"] == "change":
        record = plan.record
        comment = f"mta-sts-off: {plan.method} for {plan.domain}"
        change_id = zones.swap(
            record.zone_id, record.name, record.before, record.after, comment=comment
        )
        logger.info("changed", id=record.new_id, change_id=change_id)
        return {"change_id": change_id, "changed_at": stamp(now)}
    change_id, since = event["changed"]["change_id"], instant(event["since"])
    if not change_id:
        return _unseen(since, plan, now)
    check = {"ready": zones.in_sync(change_id), "checked_at": stamp(datetime.now(UTC))}
    return settle(
        check,
        plan.waits,
        since=since,
        now=now,
        explanation=f"Route 53 still says PENDING for change {change_id}. Look at the health of"
        " Route 53.",
    )


def _unseen(since: datetime, plan: Plan, now: datetime) -> dict[str, Any]:
    """Wait for a change that cannot be asked for: somebody else made it, or its answer was lost."""
    left = plan.waits.unseen_change_seconds - (now - since).total_seconds()
    return {"ready": left <= 0, "checked_at": stamp(now), "pause_seconds": max(0, ceil(left))}
