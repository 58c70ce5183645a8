"""Answers the three questions for a run after which MTA-STS is on: ``restore``, or ``change-id``.

Which senders go by the policy that is served now, from when; and may the mail move.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mta_sts.drain import drain, end_served
from mta_sts.exposure import Moments, attested, stored_body, unbroken
from mta_sts.instants import stamp
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
    others = [body for body in plan.bodies if body["sha256"] != plan.policy.after_sha256]
    published = moments.published_at or now
    before = end_served(
        [stored_body(body, plan, moments, set()) for body in others],
        at=published,
        purged_at=moments.fresh_at,
    )
    left = drain(
        before,
        id_changes=[*unbroken(plan), *attested(plan)],
        record_gone_at=moments.record_gone_at,
        cache_seconds=plan.policy.other_cache_seconds,
        now=now,
        history_known_since=now - _LONG_AGO,
        none_counts=True,
    )
    reading = moments.record_gone_at
    return Adoption(min(published, reading), reading, max(reading, left.all_off_at))


def answer(plan: Plan, moments: Moments, now: datetime) -> dict[str, Any]:
    """Answer the three questions, in the shape of :func:`mta_sts.answers.answer`."""
    adopted = adoption(plan, moments, now)
    at_risk = _at_risk(plan)
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
        "mx": _mx(plan, adopted),
        "trouble": {"state": "on", "mail_at_risk": at_risk, "next": _next(plan, at_risk=at_risk)},
    }


def dates(adopted: Adoption) -> dict[str, str]:
    """Give the dates by their names in the output."""
    return {
        "enforced_first_at": stamp(adopted.first),
        "enforced_by_readers_at": stamp(adopted.reading),
        "enforced_by_all_at": stamp(adopted.every),
    }


def _verb(plan: Plan) -> str:
    return "report by it" if plan.policy.after_mode == Mode.TESTING.value else "enforce it"


def _sentence(plan: Plan, adopted: Adoption) -> str:
    testing = plan.policy.after_mode == Mode.TESTING.value
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
    return (
        f"the policy is in force again (mode {plan.policy.after_mode}, {lives}), so there is no date by which"
        " MTA-STS is off"
    )


def _at_risk(plan: Plan) -> bool:
    """Say whether no live MX satisfies what senders enforce; only a restore has compared them."""
    enforced = plan.policy.after_mode != Mode.TESTING.value
    return enforced and bool(plan.restored) and not plan.restored["matched"]


def _next(plan: Plan, *, at_risk: bool) -> str:
    if at_risk:
        return (
            "put the MX records back to hosts that the policy names, or send none-policy again, before"
            " senders enforce it."
        )
    hosts = ", ".join(read(plan.policy.body).mx[:10]) or "no host"
    testing = plan.policy.after_mode == Mode.TESTING.value
    later = (
        " When the TLSRPT reports show no failure, send restore without restore_mode." * testing
        if plan.method == "restore"
        else ""
    )
    return (
        f"keep the MX records at hosts that the policy names ({hosts}), each with STARTTLS and a valid"
        f" certificate for its name; to move the mail, send none-policy first.{later}"
    )


def _mx(plan: Plan, adopted: Adoption) -> dict[str, Any]:
    """Say whether the MX records may change while this policy is served."""
    named = ", ".join(read(plan.policy.body).mx[:10]) or "no host"
    alive = [
        body
        for body in plan.bodies
        if body["sha256"] != plan.policy.after_sha256 and body["mode"] not in {"none", "testing"}
    ]
    fits = bool(plan.new_mx) and not refused(read(plan.policy.body).mx, plan.new_mx)
    older = [body["version"] for body in alive if body["refuses"]]
    if plan.policy.after_mode == Mode.TESTING.value and not alive:
        fits, reason = True, "a policy in testing stops no mail"
    elif fits and not older:
        reason = f"every policy that may be held names {' and '.join(plan.new_mx)}"
    elif fits:
        fits, reason = (
            False,
            f"version {older[0]}, which may still be held, does not name all of them",
        )
    else:
        reason = (
            f"the policy in force names {named}: first add the new hosts to it and change the id, or turn it"
            " off by none-policy"
        )
    choices = [
        _choice(NOW, reason, begins=stamp(adopted.reading) if fits else None),
        _choice(
            OVERLAP,
            f"as long as one of {named} stays among the two that are tried first",
            begins=None,
        ),
        _choice(LATER, "there is no such date while the policy is in force", begins=None),
        _choice(BETTER, "first add the new MX hosts to the policy and change the id", begins=None),
    ]
    return {
        "answer": NOW if fits else "not while this policy is in force",
        "from": stamp(adopted.reading) if fits else None,
        "without_overlap_from": stamp(adopted.reading) if fits else None,
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
