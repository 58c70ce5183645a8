"""Makes the plan from what was found: decides everything once, in words and in digest.

An approval can be bound to the digest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from mta_sts.answers import expected
from mta_sts.domains import policy_host, policy_url
from mta_sts.errors import PlanChangedError, PolicyUnreadableError
from mta_sts.instants import stamp
from mta_sts.observed import Findings
from mta_sts.plan import Plan, PolicyChange, RecordChange, Waits
from mta_sts.policy import NONE_MAX_AGE, Mode, Reading, read
from mta_sts.policy_plan import bodies, plan_policy
from mta_sts.record_plan import plan_record
from mta_sts.request import Request

# Step Functions carries 256 KiB of state, a check's evidence beside the plan.
_MOST_BYTES = 180_000


def build(
    request: Request,
    found: Findings,
    *,
    waits: Waits,
    other_cache_seconds: int,
    network: Mapping[str, Any],
    dns_role_arn: str,
    now: datetime,
) -> Plan:
    """Decide everything once.

    Raises RecordConflictError or ZoneNotDelegatedError, PolicyUnreadableError where the history is too
    large to carry, or PlanChangedError where the request names another plan's digest.
    """
    warnings: list[str] = []
    record = plan_record(request.domain, found, now, warnings)
    policy = plan_policy(request, found, other_cache_seconds, warnings)
    history = found.history
    if history.gap:
        warnings.append(
            f"Earlier policies are not all known ({history.gap}): an unknown one is taken to live a year,"
            " the longest that RFC 8461 allows."
        )
    plan = Plan(
        domain=request.domain,
        method=request.method,
        dry_run=request.dry_run,
        keep_mx=request.keep_mx,
        create_policy=request.create_policy,
        planned_at=stamp(now),
        summary="",  # names the digest
        steps=_steps(policy, record, read(found.stored.body if found.stored else b"")),
        warnings=tuple(warnings),
        policy_host=policy_host(request.domain),
        policy_url=policy_url(request.domain),
        policy=policy,
        record=record,
        bodies=bodies(history),
        id_changes=found.id_changes,
        history_known_since=stamp(history.known_since) if history.known_since else "",
        history_gap=history.gap,
        waits=waits,
        network=network,
        dns_role_arn=dns_role_arn,
    )
    plan = replace(plan, digest=_digest(plan))
    plan = replace(plan, summary=_summary(plan), expected=expected(plan, now))
    if len(json.dumps(plan.to_dict())) > _MOST_BYTES:
        raise PolicyUnreadableError(
            f"The plan would be larger than {_MOST_BYTES} bytes, more than a workflow can carry:"
            f" {len(plan.bodies)} versions of the policy, {len(plan.id_changes)} recorded changes of the id."
            " Nothing was changed. Remove versions that are older than any sender can hold (a year)."
        )
    if request.approved_plan and request.approved_plan != plan.digest:
        raise PlanChangedError(
            f"The approved plan {request.approved_plan} is not what would be done today: that is"
            f" {plan.digest}. Nothing was changed. Today's steps: {' '.join(plan.steps)} Have this plan"
            " approved (dry_run: true shows it whole), or find out what changed."
        )
    return plan


def _summary(plan: Plan) -> str:
    """Say the domain's state, whether mail is at risk, and the next action."""
    if plan.policy.before_mode == Mode.NONE.value:
        state = (
            f"half changed, or off already, for {plan.domain}: the policy says none; whether every sender"
            " knows is not proven by a plan."
        )
    elif plan.policy.etag:
        state = f"MTA-STS is still on for {plan.domain}: this is a plan, and nothing was changed."
    else:
        state = (
            f"MTA-STS is still on for {plan.domain} where an old policy is held; there is none now."
        )
    changed = "policy and id" if plan.policy.write else "the id"
    return (
        f"{state} Mail is not at risk because of it. Next: have it approved, then send the same request"
        f" without dry_run and with approved_plan {plan.digest}; that changes {changed}."
    )


def _steps(policy: PolicyChange, record: RecordChange, reading: Reading) -> tuple[str, ...]:
    where = f"s3://{policy.bucket}/{policy.key}"
    mode = f"mode {policy.before_mode}"
    if reading.policy is None:
        written = ascii(reading.mode)[1:-1][:40] if reading.mode else ""
        mode = f"mode {written} (malformed)" if written else "a malformed policy without a mode"
    if not policy.write:
        publish = f"Leave {where} as it is: mode none already."
    elif policy.etag:
        publish = f"Rewrite {where}: {mode} becomes none, max_age {NONE_MAX_AGE}."
    else:
        publish = f"Write a none policy to {where}, where there is none."
    if policy.distribution_id:
        paths = " and ".join(policy.purge_paths)
        purge = f"Invalidate {paths} in distribution {policy.distribution_id} and wait for it."
    else:
        purge = "No CloudFront distribution of this account is in front: nothing to invalidate."
    if policy.other_cache_seconds:
        purge += (
            f" Wait until no other cache can be older than {policy.other_cache_seconds} seconds."
        )
    neighbours = len(record.after.values) - 1
    beside = f" ({neighbours} other TXT values stay)" if neighbours else ""
    change = (
        f"Make the record {record.name}" if not record.old else f"Change the id at {record.name}"
    )
    return (
        "Take the domain, save policy and record as they are.",
        "Prove that every address of the policy host serves this object.",
        publish,
        purge,
        "Prove that every IPv4 address of the policy host serves the new policy.",
        f"{change} in zone {record.zone_id}: {record.old or 'nothing'} becomes {record.new}{beside}.",
        f"Wait for Route 53 and every name server, then {record.wait_seconds} seconds for old answers.",
        "Confirm record and policy everywhere, then say for whom MTA-STS is off.",
    )


def _digest(plan: Plan) -> str:
    """Digest what a plan does; not when, by whom, nor the fresh id, which differs each time."""
    policy, record = asdict(plan.policy), asdict(plan.record)
    for volatile in ("etag", "version_id", "published_at", "before", "known"):
        del policy[volatile]
    for volatile in ("new", "new_id", "wait_seconds"):
        del record[volatile]
    record["after"]["values"] = [
        value.replace(plan.record.new_id, "NEW") for value in record["after"]["values"]
    ]
    stable = {
        "domain": plan.domain,
        "method": plan.method,
        "keep_mx": plan.keep_mx,
        "create_policy": plan.create_policy,
        "policy": policy,
        "record": record,
        "waits": asdict(plan.waits),
        "network": plan.network,
        "dns_role_arn": plan.dns_role_arn,
    }
    text = json.dumps(stable, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
