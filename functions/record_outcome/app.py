"""Writes down how a run ended, releases the domain and says what people need to know."""

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts import messages, wiring
from mta_sts.domains import DomainNameError, normalise
from mta_sts.errors import PolicyNotFoundError
from mta_sts.instants import instant, stamp
from mta_sts.outcome import BEFORE_WRITES, Standing, succeeded, what_changed
from mta_sts.plan import Plan
from mta_sts.transient import retried_by_the_workflow

logger = Logger()


@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Record a confirmed run, or a failed one where the event has a ``failure``; twice is as once.

    Returns the workflow's output, or ``{"subject", "text", "changed"}`` of the failure.
    """
    plan = Plan.from_dict(event["plan"]) if event["plan"] else None
    if event.get("failure"):
        return _failed(event, plan, datetime.now(UTC))
    if plan is None:
        raise ValueError("an outcome needs a plan")
    return _confirmed(event, plan, datetime.now(UTC))


def _confirmed(event: dict[str, Any], plan: Plan, now: datetime) -> dict[str, Any]:
    execution = event["execution"]
    outcome = succeeded(
        plan, event["moments"], event["record"], event["policy"], execution["arn"], now
    )
    summary = {name: outcome[name] for name in ("state", "changed", "text", "all_off_at")}
    wiring.ledger().finish(
        plan.domain,
        execution["arn"],
        execution["started_at"],
        run={"status": "confirmed", "ended_at": stamp(now), "outcome": outcome},
        domain_fields={
            "phase": "draining",
            "moments": outcome["moments"],
            "all_off_at": outcome["all_off_at"],
            "current_id": plan.record.new_id,
            "policy_sha256": plan.policy.after_sha256 or plan.policy.before_sha256,
            "last_outcome": summary,
        },
        id_change={
            "id": plan.record.new_id,
            "old": plan.record.found,
            "at": _changed_at(event["moments"]),
            "gone_at": outcome["moments"]["record_gone_at"],
            "distribution_id": plan.policy.distribution_id,
            "published_at": outcome["moments"]["published_at"],
            "fresh_at": outcome["moments"]["caches_fresh_at"],
        },
    )
    logger.info("confirmed", execution=execution["arn"], domain=plan.domain)
    return outcome


def _changed_at(moments: dict[str, Any]) -> str:
    """Say when the record changed; stamps are rounded up, and it was after caches were fresh."""
    changed_at = str(moments["changed"]["changed_at"])
    if not moments["caches"]:
        return changed_at
    after_caches = instant(moments["caches"]["fresh_at"]) + timedelta(seconds=1)
    return max(changed_at, stamp(after_caches))


def _failed(event: dict[str, Any], plan: Plan | None, now: datetime) -> dict[str, Any]:
    execution, place = event["execution"], event["failed_state"]
    changed = what_changed(plan, place, _standing(plan, place))
    subject, text = messages.failed(
        _domain(event, plan),
        changed,
        event["failure"],
        place,
        plan,
        confirmed=(event.get("outcome") or {}).get("text", ""),
    )
    text += f"\n\nExecution: {execution['arn']}"
    notice = {"subject": subject, "text": text, "changed": changed}
    name, cause = messages.error_of(event["failure"])
    if plan is not None and not plan.dry_run:
        wiring.ledger().finish(
            plan.domain,
            execution["arn"],
            execution["started_at"],
            run={
                "status": "failed",
                "ended_at": stamp(now),
                "error": name,
                "cause": cause,
                **notice,
            },
            domain_fields={
                "last_outcome": {"state": text.partition(" for ")[0], "error": name, **notice}
            },
        )
    logger.warning("failed", execution=execution["arn"], domain=_domain(event, plan), error=name)
    return notice


def _standing(plan: Plan | None, place: str) -> Standing:
    """Look how policy and record are now, each by itself; for what needs no look a stand-in."""
    if plan is None or place in BEFORE_WRITES:
        return Standing()
    sha256, seen, record = None, False, None
    try:
        sha256 = wiring.policy_store().read(plan.policy.bucket, plan.policy.key).sha256
    except PolicyNotFoundError:
        sha256 = ""
    except Exception:
        logger.exception("could not look at the policy")
    try:
        record = wiring.zones(plan.dns_role_arn).record_set(plan.record.zone_id, plan.record.name)
        seen = True
    except Exception:
        logger.exception("could not look at the record")
    return Standing(sha256, seen, record)


def _domain(event: dict[str, Any], plan: Plan | None) -> str:
    """Name the domain as DNS does, or what was asked for, made harmless, where that is none."""
    if plan is not None:
        return plan.domain
    request = event["request"]
    asked = request.get("domain") if isinstance(request, dict) else None
    if not isinstance(asked, str) or not asked:
        return "an unnamed domain"
    try:
        return normalise(asked)
    except DomainNameError:
        return ascii(asked)[1:-1][:253]
