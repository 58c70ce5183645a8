"""May the MX records change? Four answers, each with its reason and confidence.

*now*, *now with overlap*, *from all_off_at*; and beside them what would be better for a plain move.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mta_sts.bounds import Bounds
from mta_sts.instants import stamp
from mta_sts.observed import foreign_label
from mta_sts.plan import Plan
from mta_sts.policy_plan import refused

NOW = "now"
OVERLAP = "now with overlap"
LATER = "from all_off_at"
BETTER = "better for a plain move"
_BETTER = (
    "first add the new MX hosts to the enforced policy and change the id: mail is never unprotected, and the"
    " wait is the same"
)


def mx(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    """Give the first of the answers that holds, with all four in ``choices``.

    Where none does it is *from all_off_at*, without a date: ``from`` is None where an answer does not
    hold.
    """
    choices = [_now(plan, bounds), _overlap(plan, bounds), _later(bounds), _better(plan, bounds)]
    now, overlap, later, _ = choices
    first = now if now["holds"] else overlap if overlap["holds"] else later
    return {
        "answer": first["answer"],
        "from": first["from"],
        "without_overlap_from": _without_overlap(now, bounds),
        "reason": first["reason"],
        "confidence": first["confidence"],
        "overlap": overlap["reason"],
        "choices": choices,
    }


def _without_overlap(now: Mapping[str, Any], bounds: Bounds) -> str | None:
    if now["holds"]:
        return str(now["from"])
    return stamp(bounds.blocking) if bounds.blocking else None


def _now(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    """Say whether every MX of new_mx satisfies whatever may be held, or nothing that stops mail is."""
    if bounds.over:
        reason = "no policy that could stop mail is still held by anybody"
        return _holds(NOW, reason, bounds, bounds.now)
    if not plan.new_mx:
        reason = (
            "a policy that could stop mail may still be held; new_mx in the input would tell whether the new"
            " hosts satisfy it"
        )
        return _fails(NOW, reason, bounds)
    refusals = _refusals(plan, bounds)
    if refusals:
        return _fails(NOW, "; ".join(refusals[:5]), bounds)
    reason = (
        f"every policy that may still be held names {' and '.join(plan.new_mx)}; each must show a certificate"
        " for its name (RFC 8461 section 4.2)"
    )
    return _holds(NOW, reason, bounds, bounds.now)


def _refusals(plan: Plan, bounds: Bounds) -> list[str]:
    refuses: dict[str, Sequence[int]] = {
        body["version"]: body["refuses"] for body in plan.bodies
    } | {foreign_label(row): refused(row["mx"], plan.new_mx) for row in _served(plan)}
    told = []
    if bounds.renewal.possible is None:
        told.append(f"what the policy host serves is not known: {bounds.renewal.reason}")
    for one in bounds.alive:
        places = refuses.get(one.label, range(len(plan.new_mx)))
        missing = [plan.new_mx[place] for place in places]
        until = bounds.held(one)
        if one.mode == "unknown":
            told.append(
                f"nobody knows which hosts were named by what was served {one.served}, {until}"
            )
        elif missing:
            verb = "is" if len(missing) == 1 else "are"
            told.append(f"{' and '.join(missing)} {verb} not named by {one.named}, {until}")
    return told


def _overlap(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    if bounds.over:
        return _fails(OVERLAP, "no overlap is needed any more", bounds)
    alive = {one.label for one in bounds.alive if one.mode != "unknown"}
    # What came to life after the plan, as a stale mirror shows it, may name others.
    if not plan.common_mx or alive - set(plan.common_of):
        reason = (
            "no old MX host is known that all policies name which may still be held"
            if alive
            else "only policies that nobody knows may still be held, and nobody knows whom they name"
        )
        return _fails(OVERLAP, reason, bounds)
    until = (
        bounds.open_end(plan.policy_host)
        if bounds.blocking is None
        else bounds.until(bounds.blocking, bounds.blocking_known)
    )
    named = ", ".join(plan.common_mx)
    if len(alive) < len(bounds.alive) or bounds.renewal.possible is None:
        named += "; what nobody knows may have named others"
    # RFC 5321 section 5.1: the two hosts that are tried first.
    reason = (
        f"some sender may still hold an older policy {until}. Until then keep one old MX host that"
        f" matches what the old policies name ({named}), with at most one other host of the same or a better"
        " preference. It must accept mail for the domain, with a valid certificate, and pass it on to the"
        " new servers"
    )
    # An old MX host among the first satisfies the old record as well.
    return _holds(OVERLAP, reason, bounds, bounds.now)


def _later(bounds: Bounds) -> dict[str, Any]:
    if bounds.blocking is None:
        reason = (
            f"no date can be given: {bounds.renewal.reason}, and senders that renew over HTTPS alone hold it"
            " for as long, and its max_age more"
            if bounds.renewal.possible
            else f"no date can be given: {bounds.renewal.reason}"
        )
        return _fails(LATER, reason, bounds)
    when = bounds.when(bounds.blocking, bounds.blocking_known)
    reason = f"no sender holds a policy that could stop mail {when}"
    return _holds(LATER, reason, bounds, bounds.blocking)


def _better(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    """Tell of the other way while it can still be taken: the policy enforced, its record in place."""
    started = stamp(bounds.now) > plan.planned_at
    if started or plan.policy.before_mode in {"", "none"} or not plan.record.old:
        return _fails(BETTER, f"it is too late for it this time: {_BETTER}", bounds)
    return _holds(BETTER, _BETTER, bounds, bounds.now) | {"confidence": "computed"}


def _holds(answer: str, reason: str, bounds: Bounds, begin: datetime) -> dict[str, Any]:
    return {
        "answer": answer,
        "holds": True,
        "from": stamp(begin),
        "reason": reason,
        "confidence": bounds.confidence,
    }


def _fails(answer: str, reason: str, bounds: Bounds) -> dict[str, Any]:
    return _holds(answer, reason, bounds, bounds.now) | {"holds": False, "from": None}


def _served(plan: Plan) -> list[Mapping[str, Any]]:
    return [row for row in plan.host.get("agreeing", []) if row["mode"]]
