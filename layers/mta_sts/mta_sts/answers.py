"""Answers the three questions: is it off, and for whom; may the mail move; what to do now.

For every method, and for plans, outcomes, notices and the demo alike. Each answer has its reason and its
confidence: ``computed`` from what is on record, ``attested`` where it rests on what the caller vouches
for, ``unknown`` where a year stands for what nobody knows or the policy host could not be seen.
"""

from datetime import datetime, timedelta
from typing import Any

from mta_sts.bounds import Bounds
from mta_sts.instants import stamp
from mta_sts.moving import mx
from mta_sts.plan import Plan
from mta_sts.policy import read
from mta_sts.present_mx import risk, stranded
from mta_sts.retiring import deadline
from mta_sts.spans import days

_THIRTY_DAYS = timedelta(days=30)
_RENEWERS = (
    "senders that renew over HTTPS alone, without the record (RFC 8461 section 10.2), as mox does"
)


def answer(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    """Answer the three questions for a run that is confirmed, or planned to be."""
    at_risk, sentence = risk(plan, bounds)
    return {
        "off": _off(plan, bounds),
        "mx": mx(plan, bounds),
        "trouble": {
            "state": "off",
            "mail_at_risk": at_risk,
            "risk": sentence,
            "next": _next(plan, bounds),
        },
    }


def dates(bounds: Bounds) -> dict[str, str | None]:
    """Give the four dates by their names in the output; None where no date can be given."""
    return {
        "conforming_off_at": _stamp(bounds.conforming),
        "rfc_off_at": _stamp(bounds.rfc),
        "needing_record_off_at": stamp(bounds.needing),
        "all_off_at": _stamp(bounds.every),
        "known_off_at": _stamp(bounds.every_known),
    }


def _off(plan: Plan, bounds: Bounds) -> dict[str, Any]:
    given = dates(bounds)
    told = {
        "conforming_off_at": (
            _conforming_reason(plan, bounds),
            bounds.confidence if plan.deletes else "computed",
        ),
        "rfc_off_at": (
            "the last moment at which a policy could be fetched, and its max_age"
            if bounds.rfc
            else f"a policy may be fetched for as long as it is served: {bounds.renewal.reason}",
            bounds.confidence,
        ),
        "needing_record_off_at": (_longest(plan, bounds), bounds.confidence),
        "all_off_at": (_every_reason(plan, bounds), bounds.confidence),
    }
    return {
        "sentence": _sentence(plan, bounds),
        **{
            name: {"at": given[name], "reason": reason, "confidence": confidence}
            for name, (reason, confidence) in told.items()
        },
        "other_senders": _other_senders(plan, bounds),
    }


def _sentence(plan: Plan, bounds: Bounds) -> str:
    every = bounds.when(bounds.every, bounds.every_known)
    if not plan.deletes:
        return (
            f"MTA-STS is off for {plan.domain}: for senders that re-read the record since"
            f" {stamp(bounds.record_gone_at)}, for every sender {every}."
        )
    gone = stamp(bounds.record_gone_at)
    off = f"MTA-STS is off for {plan.domain}: for senders that hold no policy since {gone}"
    if bounds.every is not None:
        return f"{off}, for every sender {every}."
    needing = bounds.when(bounds.needing, bounds.needing_known)
    renewing = (
        f"those that renew over HTTPS alone keep it for as long as {plan.policy_host} serves one, and no end"
        " is known"
        if bounds.renewal.possible
        else f"of those that renew over HTTPS alone nothing can be said, because {bounds.renewal.reason}"
    )
    return f"{off}, for those that hold one and need the record {needing}; {renewing}."


def _conforming_reason(plan: Plan, bounds: Bounds) -> str:
    if not plan.deletes:
        return (
            "a conforming sender reads the record again before it fails mail for good (RFC 8461 section 5),"
            " and no resolver holds the old one"
        )
    if bounds.conforming is None:
        return (
            "a sender may conform and renew over HTTPS alone (RFC 8461 section 10.2):"
            f" {bounds.renewal.reason}"
        )
    return (
        "without a record a sender keeps to the policy it holds until that expires (RFC 8461 section 3.1):"
        f" {_longest(plan, bounds, blocking=True)}"
    )


def _every_reason(plan: Plan, bounds: Bounds) -> str:
    renewal = bounds.renewal
    if renewal.possible:
        return (
            f"{renewal.reason}, and senders that renew over HTTPS alone (RFC 8461 section 10.2) keep it while"
            f" the host serves it; for all others: {_longest(plan, bounds)}"
        )
    if renewal.possible is None:
        return f"whether a policy can be renewed over HTTPS is not known: {renewal.reason}"
    reason = _longest(plan, bounds)
    if plan.publishes:
        return reason
    return f"{reason}; nothing can renew it, as long as that stays so: {renewal.reason}"


def _longest(plan: Plan, bounds: Bounds, *, blocking: bool = False) -> str:
    """Name the policy that the bound waits for, and what stands for what is not known.

    ``blocking`` leaves out what cannot stop mail.
    """
    left = bounds.left
    known = [
        one for one in left.exposures if one.mode != "unknown" and (one.blocks or not blocking)
    ]
    reason = (
        f"no known policy {'that can stop mail ' if blocking else ''}can still be held by anybody"
    )
    if known:
        longest = known[0]
        replaced = [body["replaced_at"] for body in plan.bodies if body["version"] == longest.label]
        named = longest.named
        when = f", replaced {replaced[0]}" if replaced and replaced[0] else ""
        reason = (
            f"the known policy that {'can stop mail and ' if blocking else ''}lives longest is"
            f" {named} (mode {longest.mode}, max_age {days(longest.max_age)}{when})"
        )
        if when and longest.id_until >= bounds.record_gone_at:
            reason += "; it counts from this run, because no change of the id since is on record"
    gaps = _gaps(plan, bounds)
    if gaps:
        taken = (
            "a year, the longest that RFC 8461 allows, is taken for it"
            if plan.longest_max_age is None
            else f"{days(plan.longest_max_age)} are taken for it, which the caller attests as the longest"
        )
        reason += f"; {gaps}, so {taken}"
    if plan.ids_changed_since:
        reason += f"; the caller attests that every id of before {plan.ids_changed_since} has changed since"
    return reason


def _gaps(plan: Plan, bounds: Bounds) -> str:
    """Name what is not known of the past; of versions that cannot be read the longest-lived."""
    versions = {body["version"] for body in plan.bodies}
    unread = [one.label for one in bounds.left.exposures if one.mode == "unknown"]
    told = [f"version {label} cannot be read" for label in unread if label in versions][:1]
    if bounds.left.history_unknown:
        gap = f" ({plan.history_gap})" if plan.history_gap else ""
        told.append(f"what was served before the oldest known version is not known{gap}")
    return " and ".join(told)


def _other_senders(plan: Plan, bounds: Bounds) -> list[dict[str, Any]]:
    """Name the senders that do otherwise than re-read the record, what they do, and until when."""
    ends = max(bounds.needing, bounds.left.conforming_off_at)
    if plan.publishes:
        renewing = "fetch mode none when they next renew, as long as the host serves it"
    elif bounds.renewal.possible:
        renewing = f"keep the policy and renew it for as long as {plan.policy_host} serves one"
    elif bounds.renewal.possible is None:
        renewing = f"may renew what they hold: {bounds.renewal.reason}"
    else:
        renewing = f"cannot renew what they hold, because {bounds.renewal.reason}"
    told: list[dict[str, Any]] = [
        {"who": _RENEWERS, "what": renewing, "until": _stamp(bounds.every)},
        {
            "who": "senders that ignore the id, as postfix-tlspol does",
            "what": "keep what they hold for its max_age, and 30 days at most",
            "until": stamp(min(ends, bounds.record_gone_at + _THIRTY_DAYS)),
        },
    ]
    if plan.publishes and not read(plan.policy.body).mx:
        told.append(
            {
                "who": "senders that reject a none policy without mx lines, as chasquid and Stalwart do",
                "what": "keep what they hold until it expires (keep_mx: true spares that)",
                "until": stamp(ends),
            }
        )
    told.append(
        {
            "who": "senders whose resolver serves expired answers (RFC 8767)",
            "what": "may read the old record for up to three days more, which no date here counts",
            "until": None,
        }
    )
    return told


def _next(plan: Plan, bounds: Bounds) -> str:
    host = _host(plan, bounds)
    if bounds.renewal.blocks and bounds.renewal.foreign and plan.policy.etag:
        return (
            f"find out what {plan.policy_host} serves, because it is not the policy in S3, and whether it"
            f" names the present MX hosts; do not move the mail yet; {host}."
        )
    if bounds.over:
        return f"MTA-STS asks nothing of the MX hosts any more; {host}."
    until = (
        bounds.open_end(plan.policy_host)
        if bounds.blocking is None
        else bounds.until(bounds.blocking, bounds.blocking_known)
    )
    if stranded(plan, [one.label for one in bounds.alive]):
        named = f" ({', '.join(plan.common_mx)})" if plan.common_mx else ""
        return (
            f"have an MX host that the old policies name{named} among the two that are tried first, {until};"
            f" {host}."
        )
    moves = mx(plan, bounds)
    if moves["answer"] == "now":
        return f"the MX records may change now, to the hosts that were asked about; {host}."
    overlap = (
        "the MX records may change now if one old MX host stays among the two that are tried first, or else"
        if moves["answer"] == "now with overlap"
        else f"{moves['overlap']}, so"
    )
    return f"{overlap} keep them as they are, {until}; {host}."


def _host(plan: Plan, bounds: Bounds) -> str:
    host, every = plan.policy_host, bounds.every
    if not plan.publishes and bounds.renewal.possible:
        if bounds.renewal.foreign:
            return (
                f"to end it for senders that renew over HTTPS alone too, have {host} serve mode none, or"
                " nothing"
            )
        return (
            "to end it for senders that renew over HTTPS alone too, send the same request with publish_none:"
            " true"
        )
    if every is None:
        return f"look whether {host} serves a policy, because {bounds.renewal.reason}"
    if every <= bounds.now and not plan.retiring:
        more = "" if plan.deletes else ", but its record still does"
        return f"nobody needs {host} for MTA-STS any more{more}"
    until = bounds.until(every, bounds.every_known)
    if plan.retiring:
        until = f"until the record goes by itself ({stamp(deadline(every, plan))})"
    if not plan.publishes:
        return (
            f"let {host} serve no policy but mode none {until}: mend neither it nor its certificate before"
            " that, unless the object says none"
        )
    return f"keep {host} serving this policy, with a valid certificate, {until}"


def _stamp(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None
