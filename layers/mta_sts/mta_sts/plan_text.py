"""A plan in words: what it does step by step, and its summary."""

from mta_sts.plan import Plan
from mta_sts.policy import Mode, Reading, read
from mta_sts.present_mx import begun


def summary(plan: Plan, outcome: str) -> str:
    """Say the domain's state, whether mail is at risk, and the next action.

    ``outcome`` is the sentence in which a run that is carried out at once would say what it came to.
    """
    if plan.policy.before_mode == Mode.NONE.value:
        state = (
            f"half changed, or off already, for {plan.domain}: the policy says none; whether every sender"
            " knows is not proven by a plan."
        )
    elif plan.deletes and not plan.record.old:
        state = (
            f"half changed, or off already, for {plan.domain}: there is no record; whether every sender has"
            " let go is not proven by a plan."
        )
    elif plan.policy.etag or plan.deletes:
        state = f"MTA-STS is still on for {plan.domain}: this is a plan, and nothing was changed."
    else:
        state = (
            f"MTA-STS is still on for {plan.domain} where an old policy is held; there is none now."
        )
    risk = begun(plan)[1] or "Mail is not at risk because of it."
    return (
        f"{state} {risk} Next: have it approved, then send the same request"
        f" without dry_run and with approved_plan {plan.digest}; that {_effect(plan)}. Carried out at once it"
        f" would come to this: {outcome}"
    )


def _effect(plan: Plan) -> str:
    verb = "puts the policy back" if plan.method == "restore" else "changes the policy"
    changes = [verb] if plan.policy.write else []
    if not plan.deletes:
        changes.append("changes the id")
    elif plan.record.write:
        changes.append("deletes the record")
    if plan.policy.remove:
        changes.append("removes the policy object")
    return " and ".join(changes) or "changes nothing, and confirms that there is no record"


def steps(plan: Plan, reading: Reading) -> tuple[str, ...]:
    """List what will be done, in order; ``reading`` is that of the present policy."""
    publishing = (
        (
            "Prove that every address of the policy host serves this object.",
            _publish(plan, reading),
            _purge(plan),
            "Prove that every IPv4 address of the policy host serves the new policy.",
        )
        if plan.publishes
        else ("Look what the policy host serves; leave the policy as it is.",)
    )
    confirm = (
        "Confirm that the record is gone and the policy served everywhere"
        if plan.deletes and plan.publishes
        else "Confirm that the record is gone everywhere, look what the policy host serves"
        if plan.deletes
        else "Confirm record and policy everywhere"
    )
    return (
        "Take the domain, save policy and record as they are.",
        *publishing,
        _delete(plan) if plan.deletes else _change(plan),
        f"Wait for Route 53 and every name server, then {plan.record.wait_seconds} seconds for old answers.",
        *_removal(plan),
        f"{confirm}, then say "
        + ("who goes by the policy, from when." if plan.leaves_on else "for whom MTA-STS is off."),
        *_later(plan),
    )


def _removal(plan: Plan) -> list[str]:
    policy = plan.policy
    where = f"s3://{policy.bucket}/{policy.key}"
    return [f"Once that is confirmed, put a delete marker over {where}."] if policy.remove else []


def _later(plan: Plan) -> list[str]:
    """Name what is done by itself after the run."""
    told = []
    if plan.method == "retire":
        told.append(
            f"When every sender has let go, and {plan.drain_margin_seconds} seconds later, delete the record"
            + (" and then the policy object" if plan.remove_policy else "")
            + ", by a plan of its own."
        )
    if plan.restore_at:
        told.append(f"Put the policy back at {plan.restore_at}, by a plan of its own.")
    return told


def _publish(plan: Plan, reading: Reading) -> str:
    policy = plan.policy
    where = f"s3://{policy.bucket}/{policy.key}"
    mode = f"mode {policy.before_mode}"
    if reading.policy is None:
        written = ascii(reading.mode)[1:-1][:40] if reading.mode else ""
        mode = f"mode {written} (malformed)" if written else "a malformed policy without a mode"
    after = policy.after_mode
    if not policy.write:
        return f"Leave {where} as it is: mode {after} already."
    if plan.method == "restore":
        return f"Put back to {where} what was saved {plan.restored['saved_at']}: mode {after}."
    if policy.etag:
        return f"Rewrite {where}: {mode} becomes {after}, max_age {read(policy.body).max_age}."
    return f"Write a {after} policy to {where}, where there is none."


def _purge(plan: Plan) -> str:
    policy = plan.policy
    if policy.distribution_id:
        paths = " and ".join(policy.purge_paths)
        purge = f"Invalidate {paths} in distribution {policy.distribution_id} and wait for it."
    else:
        purge = "No CloudFront distribution of this account is in front: nothing to invalidate."
    if policy.other_cache_seconds:
        purge += (
            f" Wait until no other cache can be older than {policy.other_cache_seconds} seconds."
        )
    return purge


def _change(plan: Plan) -> str:
    record = plan.record
    change = (
        f"Make the record {record.name}" if not record.old else f"Change the id at {record.name}"
    )
    return (
        f"{change} in zone {record.zone_id}: {record.old or 'nothing'} becomes {record.new}"
        f"{_beside(plan, 1)}."
    )


def _delete(plan: Plan) -> str:
    record = plan.record
    if not record.write:
        return (
            f"Nothing to delete: there is no STS record at {record.name} in zone {record.zone_id}."
        )
    return f"Delete {record.old} at {record.name} in zone {record.zone_id}{_beside(plan, 0)}."


def _beside(plan: Plan, own: int) -> str:
    neighbours = len(plan.record.after.values) - own if plan.record.after else 0
    if not neighbours:
        return ""
    return f" ({neighbours} other TXT {'value stays' if neighbours == 1 else 'values stay'})"
