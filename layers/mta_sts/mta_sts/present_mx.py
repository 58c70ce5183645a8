"""Whether the MX hosts that a domain has now satisfy what senders may still hold, while it is turned off.

Looked at once, when the run is planned: a run writes no MX record, and ends before long.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mta_sts.bounds import Bounds
from mta_sts.live_mx import match
from mta_sts.observed import FOREIGN, Findings, foreign_label
from mta_sts.plan import Plan
from mta_sts.policy import read

_MOST = 10  # hosts and policies that a plan carries
STAY = (
    "Mail is not at risk while an MX host that the old policies name stays among the two that are tried"
    " first"
)


def compare(found: Findings, labels: Iterable[str]) -> dict[str, Any]:
    """Compare the live MX with the policies (``labels``) that stop mail and may still be held.

    Gives ``known`` (did anybody tell the MX?), ``hosts``, ``unnamed`` (the policies that name none of
    these) and ``problems``; nothing where nobody has looked. A domain with a null MX takes no mail.
    """
    mx = found.live_mx
    if mx is None:
        return {}
    patterns = {foreign_label(row): row["mx"] for row in found.host.get("agreeing", [])} | {
        version.version_id: read(version.body or b"").mx
        for version in found.history.versions
        if not version.deleted
    }
    unnamed = [
        label
        for label in labels
        if mx.hosts and label in patterns and not match(patterns[label], mx).matched
    ]
    return {
        "known": mx.known,
        "hosts": list(mx.hosts[:_MOST]),
        "unnamed": unnamed[:_MOST],
        "problems": [problem[:300] for problem in mx.problems[:3]],
    }


def warnings(plan: Plan) -> list[str]:
    """Tell, before anything is done, of mail that is at risk already, and of MX records not seen."""
    told = stranded(plan)
    if told:
        way = "Have an MX host that it names among the two that are tried first until they have let go."
        return [f"{told}: senders that hold it deliver to nobody. {way}"]
    if plan.live_mx and not plan.live_mx["known"]:
        return [f"Which MX hosts there are is not known: {'; '.join(plan.live_mx['problems'])}."]
    return []


def stranded(plan: Plan, labels: Iterable[str] | None = None) -> str:
    """Say, without a full stop, which policy names none of the MX hosts; empty where none is known.

    ``labels`` are those that may still be held; without them all that could be when it was planned.
    """
    seen: Mapping[str, Any] = plan.live_mx
    held = None if labels is None else set(labels)
    unnamed = [one for one in seen.get("unnamed", ()) if held is None or one in held]
    if not unnamed:
        return ""
    foreign = unnamed[0].startswith(FOREIGN)
    named = unnamed[0] if foreign else f"version {unnamed[0]} of the policy"
    hosts = ", ".join(seen["hosts"])
    return f"The MX records name {hosts}, and {named}, which may still be held, names none of them"


def begun(plan: Plan) -> tuple[bool | None, str]:
    """Say of a run that begins whether mail is at risk, and how, where that is known; else nothing."""
    told = stranded(plan)
    if told:
        return True, f"Mail may be at risk: {_inner(told)}."
    return (False if plan.leaves_on or plan.live_mx.get("known") else None), ""


def risk(plan: Plan, bounds: Bounds) -> tuple[bool | None, str]:
    """Say whether mail is at risk by what may still be held, and on what that rests."""
    told = stranded(plan, [one.label for one in bounds.alive])
    if told:
        return True, f"Mail may be at risk: {_inner(told)}."
    if bounds.renewal.blocks and bounds.renewal.foreign and plan.policy.etag:
        # What is served is not the domain's own policy: whom it names is somebody else's choice.
        return True, "Mail may be at risk."
    if bounds.over:
        return False, "Mail is not at risk."
    if not plan.live_mx.get("known"):
        return None, f"{STAY}; the MX records themselves were not seen."
    return False, f"{STAY}."


def _inner(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
