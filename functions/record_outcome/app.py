"""Writes down how a run ended, releases the domain and says what people need to know."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts import ending, wiring
from mta_sts.plan import Plan
from mta_sts.transient import retried_by_the_workflow

logger = Logger()


@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Record a confirmed run, a failed one (``failure``) or a look (``check``); twice is as once.

    Returns the workflow's output, or ``{"subject", "text", "changed"}`` of the failure.
    """
    plan = Plan.from_dict(event["plan"]) if event.get("plan") else None
    execution, now = event["execution"]["arn"], datetime.now(UTC)
    if event.get("failure"):
        notice = _failed(event, plan, now)
        domain = ending.named(event, plan)
        logger.warning("failed", execution=execution, domain=domain, failure=event["failure"])
        return notice
    if event.get("check"):
        logger.info("checked", execution=execution, domain=event["check"]["domain"])
        return ending.checked(event, ledger=wiring.ledger(), agenda=wiring.agenda(), now=now)
    if plan is None:
        raise ValueError("an outcome needs a plan")
    outcome: dict[str, Any] = ending.confirmed(event, plan, wiring.ledger(), now)
    logger.info("confirmed", execution=execution, domain=plan.domain)
    return outcome


def _failed(event: dict[str, Any], plan: Plan | None, now: datetime) -> dict[str, Any]:
    standing = ending.look(
        plan,
        event["failed_state"],
        store=wiring.policy_store,
        zones=wiring.zones,
        unseen=lambda what, error: logger.warning("not seen", what=what, error=repr(error)),
    )
    return ending.failed(
        event, plan, standing, ledger=wiring.ledger(), agenda=wiring.agenda(), now=now
    )
