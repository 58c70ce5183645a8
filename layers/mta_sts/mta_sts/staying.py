"""Answers the three questions for a run after which MTA-STS is on: ``restore``, or ``change-id``.

Which senders go by the policy that is served now, from when; and may the mail move.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mta_sts.drain import Drain, Exposure, drain, end_served
from mta_sts.exposure import Moments, attested, stored_body, unbroken
from mta_sts.instants import instant, stamp
from mta_sts.moving import BETTER, LATER, NOW, OVERLAP
from mta_sts.plan import Plan
from mta_sts.policy import MAX_AGE_LIMIT, Mode, read
from mta_sts.policy_plan import refused
from mta_sts.spans import days

_LONG_AGO = timedelta(seconds=3 * MAX_AGE_LIMIT)  # what nobody knows of is not counted here


@dataclass(frozen=True)
class Adoption:
    """From when senders go by the policy that is served now.

    ``first``: some may, since it is served; ``reading``: those that re-read the record (RFC 8461 section
    5); ``every``: all, because whatever they may have held of before has expired.
    """

    first: datetime
    reading: datetime
    every: datetime


def adoption(plan: Plan, moments: Moments, now: datetime) -> Adoption:
    """Compute it: a ``none`` policy counts for its max_age like any other that came before."""
    published = moments.published_at or now
    left = _held_of_before(plan, moments, now, known_since=now - _LONG_AGO)
    reading = moments.record_gone_at
    return Adoption(min(published, reading), reading, max(reading, left.all_off_at))


def _held_of_before(plan: Plan, moments: Moments, now: datetime, *, known_since: datetime) -> Drain:
    """Compute until when senders hold what was served before; it lacks what came before ``known_since``."""
    others = [body for body in plan.bodies if body["sha256"] != plan.policy.after_sha256]
    before = end_served(
        [stored_body(body, plan, moments, set()) for body in others],
        at=moments.published_at or now,
        purged_at=moments.fresh_at,
    )
    return drain(
        before,
        id_changes=[*unbroken(plan), *attested(plan)],
        record_gone_at=moments.record_gone_at,
        cache_seconds=plan.policy.other_cache_seconds,
        now=now,
        history_known_since=known_since,
        longest_unknown=MAX_AGE_LIMIT if plan.longest_max_age is None else plan.longest_max_age,
        none_counts=True,
    )


def answer(plan: Plan, moments: Moments, now: datetime) -> dict[str, Any]:
    """Answer the three questions, in the shape of :func:`mta_sts.answers.answer`."""
    adopted = adoption(plan, moments, now)
    risk = at_risk(plan)
    return {
        "off": {
            "sentence": _sentence(plan, adopted),
            "enforced_from": {
                "first": stamp(adopted.first),
                "reading_the_record": stamp(adopted.reading),
                "every": stamp(adopted.every),
            },
            "all_off_at": {"at": None, "reason": _reason(plan), "confidence": "computed"},
            "other_senders": [
                {
                    "who": "senders that do not look at the record while they hold a policy",
                    "what": "keep the one they hold, none for a day, until it expires",
                    "until": stamp(adopted.every),
                }
            ],
        },
        "mx": _mx(plan, adopted, _stopping(plan, moments, now)),
        "trouble": {
            "state": "on",
            "mail_at_risk": risk,
            "risk": f"Mail {'may be' if risk else 'is not'} at risk.",
            "next": _next(plan, risk=risk),
        },
    }


def dates(adopted: Adoption) -> dict[str, str]:
    """Give the dates by their names in the output."""
    return {
        "enforced_first_at": stamp(adopted.first),
        "enforced_by_readers_at": stamp(adopted.reading),
        "enforced_by_all_at": stamp(adopted.every),
    }


def reports_only(plan: Plan) -> bool:
    """Tell whether the policy enforces nothing: who reads a malformed one at all reads its own word."""
    return read(plan.policy.body).mode == Mode.TESTING.value


def at_risk(plan: Plan) -> bool:
    """Say whether no live MX satisfies what senders enforce; only a restore has compared them."""
    return bool(plan.restored) and not reports_only(plan) and not plan.restored["matched"]


def _verb(plan: Plan) -> str:
    return "report by it" if reports_only(plan) else "enforce it"


def _sentence(plan: Plan, adopted: Adoption) -> str:
    testing = reports_only(plan)
    state = "on again" if plan.method == "restore" else "still on"
    mode = ", in testing" if testing else ""
    what = (
        f"the policy that was saved {plan.restored['saved_at']} is served"
        if plan.method == "restore"
        else "the policy that was served already is announced anew"
    )
    return (
        f"MTA-STS is {state} for {plan.domain}{mode}: {what}, under the id {plan.record.new_id}. Senders that"
        f" re-read the record {_verb(plan)} from {stamp(adopted.reading)}, every sender from"
        f" {stamp(adopted.every)}."
    )


def _reason(plan: Plan) -> str:
    age = read(plan.policy.body).max_age
    lives = f"max_age {days(age)}" if age is not None else "a max_age that cannot be read"
    again = " again" if plan.method == "restore" else ""
    return (
        f"the policy is in force{again} (mode {plan.policy.after_mode}, {lives}), so there is no date by"
        " which MTA-STS is off"
    )


def _next(plan: Plan, *, risk: bool) -> str:
    if risk:
        return (
            "put the MX records back to hosts that the policy names, or send none-policy again, before"
            " senders enforce it."
        )
    hosts = ", ".join(read(plan.policy.body).mx[:10]) or "no host"
    # A policy that was saved in testing comes back in testing.
    later = (
        " When the TLSRPT reports show no failure, send restore without restore_mode."
        if plan.restore_mode
        else ""
    )
    return (
        f"keep the MX records at hosts that the policy names ({hosts}), each with STARTTLS and a valid"
        f" certificate for its name; to move the mail, send none-policy first.{later}"
    )


def _stopping(plan: Plan, moments: Moments, now: datetime) -> list[Exposure]:
    """List what was served before, may still be held, and stops mail to some host of new_mx.

    What nobody knows of counts here, as in :mod:`mta_sts.moving`. The longest first.
    """
    firsts = [body["since"] for body in plan.bodies] or [stamp(now)]
    known_since = instant(plan.history_known_since or min(firsts))
    held = _held_of_before(plan, moments, now, known_since=known_since).exposures
    naming = {body["version"] for body in plan.bodies if plan.new_mx and not body["refuses"]}
    return [
        one
        for one in held
        if one.ends > now and one.mode not in {"none", "testing"} and one.label not in naming
    ]


def _mx(plan: Plan, adopted: Adoption, stopping: list[Exposure]) -> dict[str, Any]:
    """Say whether the MX records may change while this policy is served."""
    patterns, testing = read(plan.policy.body).mx, reports_only(plan)
    named, hosts = ", ".join(patterns[:10]) or "no host", " and ".join(plan.new_mx)
    begins, first = None, BETTER
    later = "there is no such date while the policy is in force"
    if not (testing or (plan.new_mx and not refused(patterns, plan.new_mx))):
        reason = (
            f"the policy in force names {named}: first add the new hosts to it and change the id, or turn it"
            " off by none-policy"
        )
    elif stopping:
        longest = stopping[0]
        unknown = ", and nobody knows whom it names" * (longest.mode == "unknown")
        unnamed = f", and does not name {hosts}" if hosts else ""
        reason = f"what was served {longest.served} may still be held{unknown or unnamed}"
        first, begins = LATER, stamp(max(longest.ends, adopted.reading))
        later = f"{reason}, until then"
    else:
        first, begins = NOW, stamp(adopted.reading)
        reason = (
            f"every policy that may be held names {hosts}"
            if hosts and not refused(patterns, plan.new_mx)
            else "a policy in testing stops no mail"
        )
    choices = [
        _choice(NOW, reason, begins=begins if first == NOW else None),
        _choice(
            OVERLAP,
            f"as long as one of {named} stays among the two that are tried first",
            begins=None,
        ),
        _choice(LATER, later, begins=begins if first == LATER else None),
        _choice(
            BETTER,
            "first add the new MX hosts to the policy and change the id",
            begins=stamp(adopted.reading) if first == BETTER else None,
        ),
    ]
    return {
        "answer": first,
        "from": begins,
        "without_overlap_from": begins,
        "reason": reason,
        "confidence": "computed",
        "overlap": choices[1]["reason"],
        "choices": choices,
    }


def _choice(name: str, reason: str, *, begins: str | None) -> dict[str, Any]:
    return {
        "answer": name,
        "holds": begins is not None,
        "from": begins,
        "reason": reason,
        "confidence": "computed",
    }
