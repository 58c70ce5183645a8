"""How a run ended: what was really changed, and the output of the workflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mta_sts import messages, staying
from mta_sts.answers import answer, dates
from mta_sts.bounds import Bounds, compute
from mta_sts.due import Entries, told
from mta_sts.exposure import Moments, moments_from
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan
from mta_sts.record_plan import has_sts
from mta_sts.record_set import RecordSet
from mta_sts.retiring import deadline

# States that come before the first write; whatever fails in them has changed nothing.
BEFORE_WRITES = frozenset(
    {
        "Begin", "What Is Asked?", "Check Domain", "Record Check", "Anything To Tell?", "Announce Check",
        "Announce Finding", "Notify Finding", "Move On", "Plan Change", "Dry Run?", "Announce Plan",
        "Show Plan", "Claim Domain", "Announce Start", "Notify Start", "Check Host", "Which Method?",
        "Refuse Method",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """Policy and record as they are now.

    ``policy_sha256`` is None where the policy could not be read, and empty where there is none;
    ``record_seen`` is false where the record could not be.
    """

    policy_sha256: str | None = None
    record_seen: bool = False
    record: RecordSet | None = None


def what_changed(plan: Plan | None, place: str, standing: Standing) -> str:
    """Say what a failed run has changed, from how things are and not from how far it believes it came.

    A function can die after its effect, so only looking tells. ``record; the policy was put back`` is
    somebody's older policy after this run's id, or its deletion.
    """
    if plan is None or place in BEFORE_WRITES:
        return "nothing"
    if not standing.record_seen or (plan.publishes and standing.policy_sha256 is None):
        return "unknown"
    policy = plan.policy.write and standing.policy_sha256 == plan.policy.after_sha256
    policy = policy or (plan.policy.remove and standing.policy_sha256 == "")
    record = plan.record.write and _as_planned(plan, standing.record)
    if record and plan.publishes and standing.policy_sha256 in _earlier(plan):
        return messages.PUT_BACK
    if record:
        return "policy and record" if policy else "record"
    return "policy" if policy else "nothing"


def _as_planned(plan: Plan, record: RecordSet | None) -> bool:
    """Tell whether the record is gone, whoever else writes there, or is the new one, with its fresh id."""
    if plan.record.after is None or plan.deletes:
        return not has_sts(record)
    return plan.record.after.same_as(record)


def _earlier(plan: Plan) -> set[str]:
    return set(plan.policy.known) - {plan.policy.after_sha256}


def succeeded(
    plan: Plan,
    moments: Mapping[str, Any],
    record_check: Mapping[str, Any],
    policy_check: Mapping[str, Any],
    execution_arn: str,
    now: datetime,
    *,
    due: Callable[[datetime | None], Entries] = lambda _: {},
) -> dict[str, Any]:
    """Give the output of a confirmed run; ``due`` says what is due, given the end of the drain."""
    when = moments_from(moments, record_check, policy_check)
    bounds = compute(plan, when, policy_check, now)
    on = plan.leaves_on
    answers = staying.answer(plan, when, now) if on else answer(plan, bounds)
    every = None if on else bounds.every
    entries = due(every)
    warnings = [
        *plan.warnings,
        *([] if on else _certificates(plan, policy_check, bounds)),
        *_later(plan, bounds),
    ]
    subject, text = messages.confirmed(plan, answers, warnings, told(plan, entries))
    found_dates = (
        dict.fromkeys(dates(bounds)) | staying.dates(staying.adoption(plan, when, now))
        if on
        else dates(bounds)
    )
    return {
        "domain": plan.domain,
        "method": plan.method,
        "execution": execution_arn,
        "state": "on" if on else "off",
        "subject": subject,
        "text": text,
        "changed": _changed(plan, when),
        **found_dates,
        "answers": answers,
        "due": [{"kind": kind, "at": entry["at"]} for kind, entry in entries.items()],
        "exposures": [
            {
                "version": one.label,
                "mode": one.mode,
                "max_age": one.max_age,
                "ends": stamp(one.ends),
                "blocks_mail": one.blocks,
            }
            for one in bounds.left.exposures[:20]
        ],
        "attested": {
            "longest_max_age": plan.longest_max_age,
            "ids_changed_since": plan.ids_changed_since or None,
        },
        "moments": {
            "published_at": _stamp(when.published_at),
            "caches_fresh_at": _stamp(when.fresh_at),
            "in_sync_at": stamp(when.in_sync_at),
            "record_gone_at": stamp(when.record_gone_at),
            "confirmed_at": stamp(now),
        },
        "removed": moments.get("removed"),
        "id": {"old": plan.record.old_id, "new": plan.record.new_id},
        "evidence": {"record": _shown(record_check), "policy": _shown(policy_check)},
        "warnings": warnings,
        "plan": plan.digest,
    }


def _changed(plan: Plan, when: Moments) -> str:
    done = {"policy": when.written or plan.policy.remove, "record": plan.record.write}
    return " and ".join(name for name, written in done.items() if written) or "nothing"


def _stamp(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None


def _shown(check: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only the workflow's loops need."""
    inner = {"ready", "pause_seconds", "longest_ttl", "record_gone_at", "cached"}
    return {name: value for name, value in check.items() if name not in inner}


def _certificates(plan: Plan, policy_check: Mapping[str, Any], bounds: Bounds) -> list[str]:
    """Warn of a certificate that ends while some sender may still have to fetch the policy."""
    if not plan.publishes or bounds.every is None:
        return []
    ends = [row["certificate_not_after"] for row in policy_check.get("agreeing", [])]
    first = min((end for end in ends if end), default="")
    needed = deadline(bounds.every, plan) if plan.retiring else bounds.every
    if not first or instant(first) >= needed:
        return []
    what = "the record goes by itself" if plan.retiring else "every sender has let go"
    end = (
        f"The certificate of the policy host ends {first}, before {what}"
        f" ({stamp(needed)}): renew it, because no policy is fetched without (RFC 8461 section 3.3)."
    )
    return [end]


def _later(plan: Plan, bounds: Bounds) -> list[str]:
    """Warn where it took so long that the accepted date no longer holds."""
    if not plan.accept_exposure_until or not bounds.alive:
        return []
    last = max(one.ends for one in bounds.alive)
    if last <= instant(plan.accept_exposure_until):
        return []
    late = (
        f"Senders may hold a policy until {stamp(last)}, later than was accepted"
        f" ({plan.accept_exposure_until}), because the change took longer to arrive than planned."
    )
    return [late]
