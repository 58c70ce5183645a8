"""Writes down how a run ended, releases the domain and says what people need to know."""

from datetime import UTC, datetime
from typing import Any

from mta_sts import ending, metrics, notices, wiring
from mta_sts.instants import instant
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.request import Request
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Record a confirmed run, a failed one (``failure``) or a look (``check``); twice is as once.

    Returns ``{"outcome", "notice"}``, the workflow's output and what is told of it
    (:mod:`mta_sts.notices`; None: nothing); of a failure the notice alone. Called once more after a look
    was ``told``, it moves what was due on: ``{"moved"}``.
    """
    plan = Plan.from_dict(event["plan"]) if event.get("plan") else None
    method, now = metrics.method_of(event["request"]), datetime.now(UTC)
    if event.get("failure"):
        notice = _failed(event, plan, now)
        logger.warning("failed", failure=event["failure"])
        metrics.run_ended(notice["kind"], method)
        if notice["kind"] == notices.FAILED and _watches(event["request"]):
            metrics.watched(1)
        return notice
    if event.get("told"):
        return {"moved": ending.moved_on(event, agenda=wiring.agenda(), now=now)}
    request, execution = Request.parse(event["request"]), event["execution"]["arn"]
    if event.get("check"):
        check = ending.checked(event, ledger=wiring.ledger(), agenda=wiring.agenda(), now=now)
        logger.info("checked")
        metrics.run_ended("checked", method)
        if "due" in event["request"]:  # the watch, and not somebody who reads the answer
            metrics.watched(len(check["alarms"]) if check["notify"] else 0)
        told = notices.checked(check, request, execution, now, notify=check["notify"])
        return {"outcome": check, "notice": told}
    if plan is None:
        raise ValueError("an outcome needs a plan")
    outcome: dict[str, Any] = ending.confirmed(event, plan, wiring.ledger(), now)
    logger.info("confirmed")
    metrics.run_ended("confirmed", method)
    metrics.took_longer(_over_the_limit(outcome["moments"]))
    notice = notices.confirmed(outcome, plan, request, execution, now)
    return {"outcome": outcome, "notice": notice}


def _watches(request: Any) -> bool:
    """Tell whether a run, whose input may be wrong, is a look by the watch."""
    due = request.get("due") if isinstance(request, dict) else None
    return isinstance(due, dict) and request.get("method") == "check"


def _over_the_limit(moments: dict[str, Any]) -> float:
    """Say how much longer than the record's TTL the run took, which it had to wait for anyway."""
    late = instant(moments["confirmed_at"]) - instant(moments["record_gone_at"])
    return late.total_seconds()


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
