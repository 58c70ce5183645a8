"""Makes the plan from what was found: decides everything once, and gives it a digest.

An approval can be bound to the digest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from mta_sts import present_mx, staying
from mta_sts.answers import answer, dates
from mta_sts.attesting import only_what_is_so, vouched_for
from mta_sts.bounds import Bounds, compute
from mta_sts.domains import policy_host, policy_url
from mta_sts.errors import (
    ExposureTooLongError,
    InvalidRequestError,
    PlanChangedError,
    PolicyUnreadableError,
)
from mta_sts.exposure import moments_at_once
from mta_sts.instants import instant, stamp
from mta_sts.observed import FOREIGN, Findings
from mta_sts.plan import Plan, PolicyChange, RecordChange, Waits
from mta_sts.plan_text import steps, summary
from mta_sts.policy import MAX_AGE_LIMIT, Mode, read
from mta_sts.policy_plan import bodies, common_mx, plan_policy
from mta_sts.record_plan import plan_change, plan_deletion
from mta_sts.request import Request
from mta_sts.restoring import (
    compare_mx,
    plan_restored,
    refuse_nothing_to_restore,
    refuse_to_announce,
    refuse_what_is_not_ours,
    saved_record,
)
from mta_sts.retiring import refuse_disturbed, refuse_early, refuse_superseded, taken_id
from mta_sts.spans import days

# Step Functions carries 256 KiB of state, a check's evidence beside the plan.
_MOST_BYTES = 120_000
_A_WEEK = 604_800  # seconds


def build(
    request: Request,
    found: Findings,
    *,
    waits: Waits,
    max_policy_age_seconds: int,
    other_cache_seconds: int,
    drain_margin_seconds: int,
    network: Mapping[str, Any],
    dns_role_arn: str,
    now: datetime,
) -> Plan:
    """Decide everything once.

    Raises RecordConflictError or ZoneNotDelegatedError, ExposureTooLongError where senders would keep a
    policy too long without the record, PolicyUnreadableError where the history is too large to carry or
    the object could not be removed safely, InvalidRequestError where what the caller attests is seen not
    to be so, or PlanChangedError where the request names another plan's digest; and what
    :mod:`mta_sts.restoring` and :mod:`mta_sts.retiring` refuse.
    """
    refuse_superseded(request, found)
    asked, request = request, vouched_for(request, found)
    if request.restore_at:
        refuse_nothing_to_restore(request, found)
    warnings: list[str] = []
    policy, record, restored = _changes(request, found, other_cache_seconds, now, warnings)
    _refuse_to_remove(request, found)
    history = found.history
    plan = Plan(
        domain=request.domain,
        method=request.method,
        publishes=request.publishes,
        dry_run=request.dry_run,
        keep_mx=request.keep_mx,
        create_policy=request.create_policy,
        new_mx=request.new_mx,
        common_mx=(),  # of what may still be held, which the rest of the plan tells
        common_of=(),
        accept_exposure_until=_stamp(request.accept_exposure_until),
        longest_max_age=request.longest_max_age,
        ids_changed_since=_stamp(request.ids_changed_since),
        planned_at=stamp(now),
        summary="",  # names the digest
        steps=(),
        warnings=tuple(warnings),
        policy_host=policy_host(request.domain),
        policy_url=policy_url(request.domain),
        policy=policy,
        record=record,
        host=found.host,
        bodies=bodies(history, request.new_mx),
        id_changes=found.id_changes,
        history_known_since=stamp(history.known_since) if history.known_since else "",
        history_gap=history.gap,
        waits=waits,
        network=network,
        dns_role_arn=dns_role_arn,
        drain_margin_seconds=drain_margin_seconds,
        remove_policy=request.remove_policy,
        restore_at=_restore_at(request, now),
        restore_mode=request.restore_mode,
        accept_mx_mismatch=request.accept_mx_mismatch,
        due=_due(request),
        generation=int(found.remembered.get("generation", 0)),
        pending=tuple(
            {"kind": kind, "at": entry["at"]}
            for kind, entry in found.remembered.get("due", {}).items()
        ),
        restored=restored,
    )
    plan = only_what_is_so(plan, asked, now)
    plan = replace(plan, warnings=(*plan.warnings, *_gap(plan)))
    if plan.retires:
        refuse_disturbed(plan, found)
    plan = replace(plan, steps=steps(plan, read(found.stored.body if found.stored else b"")))
    plan = replace(plan, digest=_digest(plan))
    bounds = compute(plan, moments_at_once(plan, now), plan.host, now)
    if plan.retires:
        refuse_early(plan, bounds, now)
    _refuse_long_exposure(plan, bounds, max_policy_age_seconds)
    if plan.restore_at and instant(plan.restore_at) <= bounds.record_gone_at:
        early = (
            f"restore_at ({plan.restore_at}) comes before any sender has let go"
            f" ({stamp(bounds.record_gone_at)} at the earliest): MTA-STS would not be off in between."
        )
        plan = replace(plan, warnings=(*plan.warnings, early))
    known = tuple(one.label for one in bounds.alive if one.mode != "unknown")
    plan = replace(plan, common_mx=common_mx(history, found.host, known), common_of=known)
    if not plan.leaves_on:
        plan = replace(plan, live_mx=present_mx.compare(found, known))
    told = (*_cautions(plan, bounds), *present_mx.warnings(plan))
    plan = replace(plan, warnings=(*plan.warnings, *told))
    expected = _expected(plan, bounds, now)
    plan = replace(plan, summary=summary(plan, expected["off"]["sentence"]), expected=expected)
    if len(json.dumps(plan.to_dict())) > _MOST_BYTES:
        raise PolicyUnreadableError(
            f"The plan would be larger than {_MOST_BYTES} bytes, more than a workflow can carry:"
            f" {len(plan.bodies)} versions of the policy, {len(plan.id_changes)} recorded changes of the id,"
            f" {len(plan.new_mx)} hosts in new_mx, {len(plan.host.get('agreeing', ()))} addresses of the"
            " policy host. Nothing was changed. Remove versions that are older than any sender can hold (a"
            " year), or ask about fewer hosts."
        )
    if request.approved_plan and request.approved_plan != plan.digest:
        raise PlanChangedError(
            f"The approved plan {request.approved_plan} is not what would be done today: that is"
            f" {plan.digest}. Nothing was changed. Today's steps: {' '.join(plan.steps)} Have this plan"
            " approved (dry_run: true shows it whole), or find out what changed."
        )
    return plan


def _changes(
    request: Request,
    found: Findings,
    other_cache_seconds: int,
    now: datetime,
    warnings: list[str],
) -> tuple[PolicyChange, RecordChange, dict[str, Any]]:
    """Decide what becomes of policy and record; of a restore also what was compared with the MX."""
    if request.method == "restore":
        policy = plan_restored(request, found, other_cache_seconds, warnings)
        saved = saved_record(found, request.domain)
        record = plan_change(request.domain, found, now, warnings, saved=saved)
        refuse_what_is_not_ours(request, found, policy, record)
        return policy, record, compare_mx(request, found, policy, warnings)
    if request.method == "change-id":
        record = plan_change(request.domain, found, now, warnings)
        policy = plan_policy(request, found, other_cache_seconds, warnings)
        refuse_to_announce(request, found, policy, record, now)
        enforced = policy.after_mode != Mode.NONE.value
        looked = enforced and found.live_mx is not None
        compared = compare_mx(request, found, policy, warnings) if looked else {}
        return policy, record, compared
    if request.deletes:
        taken = taken_id(request, found)
        record = plan_deletion(request.domain, found, warnings, taken_id=taken)
    else:
        record = plan_change(request.domain, found, now, warnings)
    return plan_policy(request, found, other_cache_seconds, warnings), record, {}


def _gap(plan: Plan) -> list[str]:
    """Warn where an unknown past counts."""
    if not plan.history_gap or plan.policy.after_mode not in {"", Mode.NONE.value}:
        return []
    taken = (
        "a year, the longest that RFC 8461 allows."
        if plan.longest_max_age is None
        else f"{days(plan.longest_max_age)}, which the caller attests as the longest."
    )
    return [
        f"Earlier policies are not all known ({plan.history_gap}): an unknown one is taken to live {taken}"
    ]


def _refuse_to_remove(request: Request, found: Findings) -> None:
    """Raise PolicyUnreadableError where removing the object would not leave a delete marker."""
    if request.remove_policy and found.versioning != "Enabled":
        raise PolicyUnreadableError(
            f"remove_policy would delete {found.location} for good, because its bucket's versioning is"
            f" {found.versioning or 'not switched on'}. Nothing was changed. Switch it on, or leave"
            " remove_policy out and delete the object by hand in the end."
        )


def _restore_at(request: Request, now: datetime) -> str:
    if request.restore_at is None:
        return ""
    if request.restore_at <= now:
        raise InvalidRequestError(
            f"restore_at says {stamp(request.restore_at)}, which is not to come. Nothing was changed. Name a"
            " moment after the work is done, or leave it out and send restore then."
        )
    return stamp(request.restore_at)


def _due(request: Request) -> dict[str, Any] | None:
    due = request.due
    if due is None:
        return None
    return {"kind": due.kind, "generation": due.generation, "at": stamp(due.at)}


def _expected(plan: Plan, bounds: Bounds, now: datetime) -> dict[str, Any]:
    """Tell what a plan would come to if it were carried out at once, with no wait but the known ones."""
    if plan.leaves_on:
        moments = moments_at_once(plan, now)
        answers = staying.answer(plan, moments, now)
        adopted = staying.adoption(plan, moments, now)
        return {**staying.dates(adopted), "off": answers["off"], "mx": answers["mx"]}
    answers = answer(plan, bounds)
    return {
        **dates(bounds),
        "off": answers["off"],
        "mx": answers["mx"],
    }


def _refuse_long_exposure(plan: Plan, bounds: Bounds, limit: int) -> None:
    """Raise ExposureTooLongError where deleting the record would leave a policy in force for too long.

    What can only report (``testing``) holds no mail up and is let be.
    """
    if not plan.deletes or not bounds.alive:
        return
    last = max(one.ends for one in bounds.alive)
    accepted = instant(plan.accept_exposure_until) if plan.accept_exposure_until else None
    too_long = [one for one in bounds.alive if one.max_age > limit]
    if accepted >= last if accepted else not too_long:
        return
    longest = max(too_long or bounds.alive, key=lambda one: one.max_age)
    what = (
        f"what was served {longest.served}, which nobody knows and which is therefore taken to have a"
        f" max_age of {days(longest.max_age)}"
        if longest.mode == "unknown"
        else f"{longest.named}{'' if longest.label.startswith(FOREIGN) else ' of the policy'}"
        f" (mode {longest.mode}), max_age {days(longest.max_age)}"
    )
    why = (
        f"more than the {days(limit)} that this stack accepts (MaxPolicyAgeSeconds)"
        if accepted is None
        else f"longer than was accepted, which is until {plan.accept_exposure_until}"
    )
    raise ExposureTooLongError(
        f"Senders may hold {what}: {why}. Without a record nothing tells them of a change, and they would"
        f" enforce what they hold until {stamp(last)}. Nothing was changed. {_ways_out(plan, bounds, last)}"
    )


def _ways_out(plan: Plan, bounds: Bounds, last: datetime) -> str:
    """Name what to do instead of a deletion that is refused, the best first."""
    ways, renewal = [], bounds.renewal
    # Vouching for less than what is known would be refused, as not so.
    known = [one.max_age for one in bounds.left.exposures if one.mode != "unknown"]
    most = max([_A_WEEK, *known])
    unknown = any(one.mode == "unknown" for one in bounds.alive)
    if unknown and plan.longest_max_age is None and most < MAX_AGE_LIMIT:
        ways.append(
            f"if you know that no policy of this domain ever had a longer max_age than, say, {days(most)},"
            f" vouch for it by longest_max_age: {most}"
        )
    if _none_already(plan, bounds):
        ways.append(f"the policy is none already: wait until {stamp(last)}, then delete the record")
    # none-policy refuses a host that serves what is no version of the object.
    elif plan.publishes or (renewal.possible and not renewal.foreign):
        ways.append(
            "use none-policy, which ends it for senders that re-read the record as soon as the TTL is over"
        )
    # A date stands for its first moment: the next one covers the bound, and a run that takes its time.
    date = (last + timedelta(days=2)).date().isoformat()
    ways.append(f"accept the wait by accept_exposure_until: {date}")
    text = "; or ".join(ways)
    return f"{text[0].upper()}{text[1:]}."


def _none_already(plan: Plan, bounds: Bounds) -> bool:
    """Tell whether senders that look would find mode none, and not something else than the object."""
    return plan.policy.before_mode == Mode.NONE.value and not bounds.renewal.possible


def _cautions(plan: Plan, bounds: Bounds) -> list[str]:
    """Warn of what the dates of a deletion do not show by themselves."""
    told = []
    if plan.accept_exposure_until and bounds.every is None:
        told.append(
            f"accept_exposure_until ({plan.accept_exposure_until}) bounds senders that need the record. Those"
            f" that renew over HTTPS alone have no date: {bounds.renewal.reason}."
        )
    if plan.deletes and _none_already(plan, bounds) and bounds.alive:
        last = max(one.ends for one in bounds.alive)
        told.append(
            "The policy says none already. Senders that have not looked since would find it while the record"
            f" stands; without it they keep what they hold until {stamp(last)}. Better wait until then."
        )
    if bounds.renewal.foreign:
        rows = [row for row in plan.host["agreeing"] if row["mx"]]
        named = f", which names {', '.join(rows[0]['mx'])}" if rows else ""
        told.append(
            f"{bounds.renewal.reason}{named}: S3 has no version of it. It counts as it is served, and what"
            " that host has served before is not known."
        )
    return told


def _stamp(moment: datetime | None) -> str:
    return stamp(moment) if moment else ""


def _digest(plan: Plan) -> str:
    """Digest what a plan does, and for which hosts it answers; not when, by whom, nor the fresh id."""
    policy, record = asdict(plan.policy), asdict(plan.record)
    for volatile in ("etag", "version_id", "published_at", "before", "known"):
        del policy[volatile]
    for volatile in ("new", "new_id", "wait_seconds"):
        del record[volatile]
    if plan.record.new_id:
        record["after"]["values"] = [
            value.replace(plan.record.new_id, "NEW") for value in record["after"]["values"]
        ]
    stable = {
        "domain": plan.domain,
        "method": plan.method,
        "publishes": plan.publishes,
        "keep_mx": plan.keep_mx,
        "create_policy": plan.create_policy,
        "accept_exposure_until": plan.accept_exposure_until,
        "longest_max_age": plan.longest_max_age,
        "ids_changed_since": plan.ids_changed_since,
        "remove_policy": plan.remove_policy,
        "restore_at": plan.restore_at,
        "restore_mode": plan.restore_mode,
        "accept_mx_mismatch": plan.accept_mx_mismatch,
        "policy": policy,
        "record": record,
        "waits": asdict(plan.waits),
        "network": plan.network,
        "dns_role_arn": plan.dns_role_arn,
    }
    if (
        plan.new_mx
    ):  # nothing is done to them, but whoever approves was told whether they may take over
        stable["new_mx"] = sorted(plan.new_mx)
    text = json.dumps(stable, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
