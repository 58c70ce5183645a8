"""Answers the three questions: is it off, and for whom; may the mail move; what to do now.

Built from a plan, the moments of a run and the exposure arithmetic of :mod:`mta_sts.drain`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mta_sts.drain import Body, Drain, IdChange, drain, end_served
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan

_BETTER = (
    "first add the new MX hosts to the enforced policy and change the id: mail is never unprotected, and the"
    " wait is the same"
)


@dataclass(frozen=True)
class Moments:
    """When things came true in a run.

    ``fresh_at``: every cache in front was fresh; ``record_gone_at``: no resolver could still hold the
    old record.
    """

    published_at: datetime
    fresh_at: datetime
    in_sync_at: datetime
    record_gone_at: datetime
    written: bool


def exposure(plan: Plan, moments: Moments, now: datetime) -> Drain:
    """Compute until when some sender may still hold an older policy."""
    bodies = tuple(
        Body(
            label=body["version"],
            mode=body["mode"],
            max_age=body["max_age"],
            since=instant(body["since"]),
            replaced_at=instant(body["replaced_at"]) if body["replaced_at"] else None,
        )
        for body in plan.bodies
    )
    if plan.policy.distribution_id:
        bodies = tuple(
            replace(body, purged_at=_purged_at(body.replaced_at, plan, moments))
            if body.replaced_at
            else body
            for body in bodies
        )
    if moments.written:
        bodies = end_served(bodies, at=moments.published_at, purged_at=moments.fresh_at)
    return drain(
        bodies,
        id_changes=[
            IdChange(at=instant(change["at"]), gone_at=instant(change["gone_at"]))
            for change in plan.id_changes
        ],
        record_gone_at=moments.record_gone_at,
        cache_seconds=plan.policy.other_cache_seconds,
        now=now,
        # Nothing recorded where nothing was ever stored: this run made the first object.
        history_known_since=instant(plan.history_known_since) if plan.history_known_since else None,
    )


def _purged_at(replaced_at: datetime, plan: Plan, moments: Moments) -> datetime:
    """Give the end of the first recorded purge that began after a body was replaced, or of this one.

    Until then CloudFront may have kept it.
    """
    ends = [
        instant(change["fresh_at"])
        for change in plan.id_changes
        if instant(change["published_at"]) >= replaced_at
    ]
    return min([*ends, moments.fresh_at])


def answer(plan: Plan, left: Drain, now: datetime) -> dict[str, Any]:
    """Answer the three questions for a confirmed run of ``none-policy``."""
    return {
        "off": _off(plan, left),
        "mx": _mx(left, now),
        "trouble": {"state": "off", "mail_at_risk": False, "next": _next(plan, left)},
    }


def _next(plan: Plan, left: Drain) -> str:
    mx, policy = stamp(left.blocking_off_at), stamp(left.all_off_at)
    if mx == policy:
        return (
            f"Until {policy}, keep the present MX hosts in service with valid TLS, and {plan.policy_host}"
            " serving this policy."
        )
    return (
        f"Keep the present MX hosts in service with valid TLS until {mx}, and {plan.policy_host} serving"
        f" this policy until {policy}."
    )


def _off(plan: Plan, left: Drain) -> dict[str, Any]:
    known = [exposure for exposure in left.exposures if exposure.mode != "unknown"]
    if known:
        reason = (
            f"the known policy that lives longest is version {known[0].label} (mode {known[0].mode}, max_age"
            f" {days(known[0].max_age)}), until {stamp(left.known_off_at)}"
        )
    else:
        reason = "no known policy can still be held by anybody"
    if left.history_unknown:
        reason += (
            f"; what was served before the oldest known version is not known"
            f"{f' ({plan.history_gap})' if plan.history_gap else ''}, and may live until"
            f" {stamp(left.all_off_at)}, a year being the longest that RFC 8461 allows"
        )
    return {
        "senders_that_reread_the_record": stamp(left.conforming_off_at),
        "every_sender": stamp(left.all_off_at),
        "every_sender_by_what_is_known": stamp(left.known_off_at),
        "confidence": "assumed" if left.history_unknown else "computed",
        "reason": reason,
        "senders_that_do_not_conform": "those that ignore the id, or renew a policy without asking, let go by"
        f" {stamp(left.all_off_at)}, as long as {plan.policy_host} serves mode none",
    }


def days(seconds: int) -> str:
    """Write a duration as people say it: ``604800 seconds (7 days)``."""
    whole = seconds // 86400
    if not whole:
        return f"{seconds} seconds"
    about = "" if seconds % 86400 == 0 else "about "
    return f"{seconds} seconds ({about}{whole} {'day' if whole == 1 else 'days'})"


def _mx(left: Drain, now: datetime) -> dict[str, Any]:
    if left.blocking_off_at <= now:
        return {
            "answer": "now",
            "from": stamp(now),
            "reason": "no policy that could stop mail is still held by anybody",
            "better_for_a_plain_move": _BETTER,
        }
    return {
        "answer": "now with overlap",
        "from": stamp(left.conforming_off_at),
        "without_overlap_from": stamp(left.blocking_off_at),
        "reason": "keep one old MX host that the old policies name among the first two candidates until"
        f" {stamp(left.blocking_off_at)}: some sender may still hold an older policy until then",
        "better_for_a_plain_move": _BETTER,
    }


def moments_from(data: Mapping[str, Any]) -> Moments:
    """Read the moments that the workflow collected in its variables."""
    return Moments(
        published_at=instant(data["published"]["published_at"]),
        fresh_at=instant(data["caches"]["fresh_at"]),
        in_sync_at=instant(data["in_sync"]["checked_at"]),
        record_gone_at=instant(data["names"]["record_gone_at"]),
        written=data["published"]["written"],
    )
