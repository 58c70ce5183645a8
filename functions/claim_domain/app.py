"""Takes the domain for one execution and saves policy and record before the first write."""

import json
from datetime import UTC, datetime
from typing import Any

from mta_sts import notices, wiring
from mta_sts.adapters.ledger import Claim
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.policy import Mode
from mta_sts.request import Request
from mta_sts.transient import retried_by_the_workflow


@logged
@retried_by_the_workflow
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "request", "execution": {"arn", "started_at"}}`` → ``{"claimed": domain, "notice"}``.

    The notice (:mod:`mta_sts.notices`) tells that the run has begun.
    """
    plan, execution = Plan.from_dict(event["plan"]), event["execution"]
    request, now = Request.parse(event["request"]), datetime.now(UTC)
    wiring.ledger().claim(_claim(plan, request, execution), now)
    logger.info("claimed", plan=plan.digest)
    return {
        "claimed": plan.domain,
        "notice": notices.started(plan, request, execution["arn"], now),
    }


def _claim(plan: Plan, request: Request, execution: dict[str, str]) -> Claim:
    policy, before = plan.policy, plan.record.before
    return Claim(
        domain=plan.domain,
        execution_arn=execution["arn"],
        started_at=execution["started_at"],
        new_id=plan.record.new_id,
        ids=(plan.record.old_id, *plan.record.other_ids),
        wait_seconds=plan.record.wait_seconds,
        policy=_saved_policy(plan) if policy.etag else None,
        record={"type": before.type, "ttl": before.ttl, "values": list(before.values)}
        if before
        else None,
        # What a restore finds is not what was to be restored: a try in testing, or somebody else's.
        worth_restoring=plan.method != "restore"
        and policy.before_mode not in {"", Mode.NONE.value},
        old_record=bool(plan.record.old),
        ours={
            "policies": sorted(_possible_policies(plan)),
            "ids": sorted({plan.record.found, plan.record.new_id}),
        },
        due=plan.due,
        generation=plan.generation,
        run={
            "plan_json": json.dumps(plan.to_dict()),
            "method": plan.method,
            "plan": plan.digest,
            "steps": list(plan.steps),
            "attested": {
                "longest_max_age": plan.longest_max_age,
                "ids_changed_since": plan.ids_changed_since,
            },
            "accepted_exposure_until": plan.accept_exposure_until,
            "warnings": list(plan.warnings),
            "requested_by": request.requested_by,
            "ticket": request.ticket,
            "reason": request.reason,
        },
    )


def _possible_policies(plan: Plan) -> set[str]:
    """Give the SHA-256 of every policy that may stand there while the run is at work, empty for none."""
    policy = plan.policy
    return {policy.before_sha256, policy.after_sha256 or policy.before_sha256} | (
        {""} if policy.remove else set()
    )


def _saved_policy(plan: Plan) -> dict[str, Any]:
    """Read the bytes again, of exactly the object that the plan saw: the plan itself shows an excerpt."""
    policy = plan.policy
    body = wiring.policy_store().read_version(
        policy.bucket, policy.key, policy.version_id, policy.etag
    )
    return {
        "body": body,
        "sha256": policy.before_sha256,
        "media_type": policy.before_media_type,
        "headers": dict(policy.before_headers),
        "tagging": policy.tagging,
        "bucket": policy.bucket,
        "key": policy.key,
        "version": policy.version_id,
    }
