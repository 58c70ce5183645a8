"""Answers the three questions: is it off, and for whom; may the mail move; what to do now.

Built from a plan, the moments of a run and the exposure arithmetic of :mod:`mta_sts.drain`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mta_sts.drain import Body, Drain, IdChange, drain, end_served
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan

BETTER = (
    "first add the new MX hosts to the enforced policy and change the id: mail is never unprotected, and the"
    " wait is the same"
)


@dataclass(frozen=True)
class Moments:
    """When things came true in a run.

    ``fresh_at``: every cache in front was fresh, and every address was seen to serve the new policy;
    ``record_gone_at``: no resolver could still hold the old record; ``seen_before``: SHA-256 of what
    the policy host served before the first write, which may be an older version by a stale mirror.
    """

    published_at: datetime
    fresh_at: datetime
    in_sync_at: datetime
    record_gone_at: datetime
    written: bool
    seen_before: frozenset[str] = frozenset()


def exposure(plan: Plan, moments: Moments, now: datetime) -> Drain:
    """Compute until when some sender may still hold an older policy."""
    bodies: Sequence[Body] = [
        Body(
            label=body["version"],
            mode=body["mode"],
            max_age=body["max_age"],
            since=instant(body["since"]),
            replaced_at=_replaced_at(body, moments),
        )
        for body in plan.bodies
    ]
    if plan.policy.distribution_id:
        bodies = [
            replace(body, purged_at=_purged_at(body.replaced_at, plan, moments))
            if body.replaced_at
            else body
            for body in bodies
        ]
    ended = moments.published_at if moments.written else moments.fresh_at
    bodies = end_served(bodies, at=ended, purged_at=moments.fresh_at)
    return drain(
        bodies,
        id_changes=_unbroken(plan),
        record_gone_at=moments.record_gone_at,
        cache_seconds=plan.policy.other_cache_seconds,
        now=now,
        # Nothing recorded where nothing was ever stored: this run made the first object.
        history_known_since=instant(plan.history_known_since) if plan.history_known_since else None,
    )


def _replaced_at(body: Mapping[str, Any], moments: Moments) -> datetime | None:
    """Say when a version gave way, None where the policy host was seen to serve it before the write."""
    if not body["replaced_at"] or body["sha256"] in moments.seen_before:
        return None
    return instant(body["replaced_at"])


def _unbroken(plan: Plan) -> list[IdChange]:
    """Give the recorded id changes since the record was last changed by somebody else.

    An id of the past that was put back lets every sender that knows it renew what it holds, so what
    was recorded before ends nothing. Each change names the id that it found, and this run's has found
    the plan's old one.
    """
    kept: list[IdChange] = []
    found = plan.record.old_id
    for change in reversed(plan.id_changes):
        if change["id"] != found:
            break
        kept.append(IdChange(at=instant(change["at"]), gone_at=instant(change["gone_at"])))
        found = change["old"]
    return kept[::-1]


def _purged_at(replaced_at: datetime, plan: Plan, moments: Moments) -> datetime:
    """Give the end of the distribution's first purge on record that began after a body was replaced.

    That of this run, where there is none. Until then CloudFront may have kept the body.
    """
    ends = [
        instant(change["fresh_at"])
        for change in plan.id_changes
        if change["distribution_id"] == plan.policy.distribution_id
        and instant(change["published_at"]) >= replaced_at
    ]
    return min([*ends, moments.fresh_at])


def answer(plan: Plan, left: Drain, now: datetime) -> dict[str, Any]:
    """Answer the three questions for a confirmed run of ``none-policy``."""
    return {
        "off": _off(plan, left),
        "mx": _mx(left, now),
        "trouble": {"state": "off", "mail_at_risk": False, "next": _next(plan, left, now)},
    }


def expected(plan: Plan, now: datetime) -> dict[str, str]:
    """Tell what a plan would come to if it were carried out at once, with no wait but the known ones."""
    fresh = now + timedelta(seconds=plan.policy.other_cache_seconds)
    gone = fresh + timedelta(seconds=plan.record.wait_seconds)
    left = exposure(plan, Moments(now, fresh, fresh, gone, written=plan.policy.write), now)
    return {
        "senders_that_reread_the_record": stamp(left.conforming_off_at),
        "every_sender": stamp(left.all_off_at),
        "every_sender_by_what_is_known": stamp(left.known_off_at),
        "mx_without_overlap_from": stamp(left.blocking_off_at),
        "better_for_a_plain_move": BETTER,
    }


def _next(plan: Plan, left: Drain, now: datetime) -> str:
    host = (
        f"keep {plan.policy_host} serving this policy, with a valid certificate,"
        f" {_until(left.all_off_at, left.known_off_at)}"
    )
    if left.all_off_at <= now:
        host = f"nobody needs {plan.policy_host} for MTA-STS any more, but its record still does"
    if left.blocking_off_at <= now:
        return f"MTA-STS asks nothing of the MX hosts any more; {host}."
    mx = (
        "the MX records may change now if one old MX host stays among the two that are tried first, or else"
        f" keep them as they are, {_until(left.blocking_off_at, left.known_blocking_off_at)}"
    )
    return f"{mx}; {host}."


def _until(certain: datetime, known: datetime) -> str:
    if certain == known:
        return f"until {stamp(certain)}"
    return f"until {stamp(known)} by what is known, {stamp(certain)} at the latest"


def _off(plan: Plan, left: Drain) -> dict[str, Any]:
    return {
        "senders_that_reread_the_record": stamp(left.conforming_off_at),
        # A bound of the past cannot come before the senders that re-read the record.
        "every_sender": stamp(max(left.all_off_at, left.conforming_off_at)),
        "every_sender_by_what_is_known": stamp(max(left.known_off_at, left.conforming_off_at)),
        "confidence": "assumed" if left.history_unknown else "computed",
        "reason": _reason(plan, left),
        "senders_that_do_not_conform": "those that ignore the id, or renew a policy without asking, let go by"
        f" then, as long as {plan.policy_host} serves mode none; where resolvers serve expired answers"
        " (RFC 8767) it can take up to three days longer",
    }


def _reason(plan: Plan, left: Drain) -> str:
    known = [exposure for exposure in left.exposures if exposure.mode != "unknown"]
    reason = "no known policy can still be held by anybody"
    if known:
        longest = known[0]
        replaced = [body["replaced_at"] for body in plan.bodies if body["version"] == longest.label]
        when = f", replaced {replaced[0]}" if replaced and replaced[0] else ""
        reason = (
            f"the known policy that lives longest is version {longest.label} (mode {longest.mode}, max_age"
            f" {days(longest.max_age)}{when})"
        )
        if when and longest.id_until >= left.conforming_off_at:
            reason += "; it counts from this run, because no change of the id since is on record"
    if left.history_unknown:
        reason += (
            f"; what was served before the oldest known version is not known"
            f"{f' ({plan.history_gap})' if plan.history_gap else ''}, so a year, the longest that RFC 8461"
            " allows, is taken for it"
        )
    return reason


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
            "without_overlap_from": stamp(now),
            "reason": "no policy that could stop mail is still held by anybody",
        }
    return {
        "answer": "now with overlap",
        "from": stamp(left.conforming_off_at),
        "without_overlap_from": stamp(left.blocking_off_at),
        # RFC 5321 section 5.1: the two hosts that are tried first.
        "reason": "some sender may still hold an older policy"
        f" {_until(left.blocking_off_at, left.known_blocking_off_at)}. Until then keep one old MX host that"
        " the old policies name, with at most one other host of the same or a better preference. It must"
        " accept mail for the domain, with a valid certificate, and pass it on to the new servers",
    }


def moments_from(data: Mapping[str, Any], record_check: Mapping[str, Any]) -> Moments:
    """Read the moments that the workflow collected in its variables.

    ``contradicted`` is the last look at the record that was not confirmed yet: somebody showed the
    old one after it should have been gone.
    """
    gone = instant(data["names"]["record_gone_at"])
    late = data.get("contradicted")
    if late:
        lagging = [row for row in late["laggards"] if row["server"] != "resolver"]
        # A name server that fell back may have handed the old record out again until just now.
        gone = max(gone, instant(record_check["record_gone_at" if lagging else "checked_at"]))
    return Moments(
        published_at=instant(data["published"]["published_at"]),
        fresh_at=max(instant(data["caches"]["fresh_at"]), instant(data["served"]["checked_at"])),
        in_sync_at=instant(data["in_sync"]["checked_at"]),
        record_gone_at=gone,
        written=data["published"]["written"],
        seen_before=frozenset(row["sha256"] for row in data["host"]["agreeing"]),
    )
