"""What people read at three in the morning: state first, then the risk, then the next action.

Every text begins with "MTA-STS is off", "MTA-STS is still on" or "half changed".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mta_sts.errors import PolicyNotServedError
from mta_sts.plan import Plan
from mta_sts.policy import Mode

SUBJECT_LENGTH = 99  # SNS: fewer than 100 characters, ASCII, no line break
_TEXT_LENGTH = 16_000  # characters; a Fail state's cause has room for 32,768
_RECORD_STATES = ("policy and record", "record")


def confirmed(plan: Plan, answers: Mapping[str, Any]) -> tuple[str, str]:
    """Give subject and text for a run that is confirmed."""
    off, mx, trouble = answers["off"], answers["mx"], answers["trouble"]
    every = f"for every sender from {off['every_sender']}"
    if off["confidence"] == "assumed":
        every = (
            f"for every sender from {off['every_sender_by_what_is_known']} by what is known and from"
            f" {off['every_sender']} for certain"
        )
    state = (
        f"MTA-STS is off for {plan.domain}: for senders that re-read the record since"
        f" {off['senders_that_reread_the_record']}, {every}."
    )
    text = [
        state,
        f"Mail is not at risk. Next: {trouble['next']}",
        "",
        f"Why: {off['reason']}.",
        f"May the MX records change? {mx['answer'].capitalize()}: {mx['reason']}.",
        f"Better for a plain move: {mx['better_for_a_plain_move']}.",
        *_listed("Warnings", plan.warnings),
    ]
    return _subject(f"MTA-STS is off for {plan.domain}"), _cut("\n".join(text))


def failed(
    domain: str,
    changed: str,
    failure: Mapping[str, Any],
    place: str,
    plan: Plan | None,
    *,
    off: bool,
) -> tuple[str, str]:
    """Give subject and text for a run that failed.

    ``changed`` is ``nothing``, ``policy``, ``record``, ``policy and record`` or ``unknown``; ``off``
    says that the change was confirmed before the failure.
    """
    name, cause = error_of(failure)
    state, risk, action = _standing(domain, changed, name, plan, off=off)
    text = [
        f"{state} {risk} Next: {action}",
        "",
        f"What happened: {name} in “{place}”.",
        cause,
        "",
        f"Changed: {changed}.",
        *_listed("Warnings", plan.warnings if plan else ()),
    ]
    head = state.partition(":")[0]
    return _subject(f"{head} ({name})"), _cut("\n".join(text))


def _standing(
    domain: str, changed: str, error: str, plan: Plan | None, *, off: bool
) -> tuple[str, str, str]:
    """Say the domain's state, whether mail is at risk, and what to do."""
    again = "mend what is said below, then send the same request again; it takes up where this run stopped."
    stay = (
        "Mail is not at risk while the present MX hosts stay in service with valid TLS; do not move it"
        " yet."
    )
    if off:
        return (
            f"MTA-STS is off for {domain}: policy and id are confirmed.",
            "Mail is not at risk.",
            "see below what failed after that; the domain itself needs nothing.",
        )
    if changed == "nothing":
        if plan is None:
            state = (
                f"MTA-STS is still on for {domain}, as far as this run knows: it changed nothing."
            )
        elif plan.policy.before_mode == Mode.NONE.value:
            state = (
                f"half changed for {domain}: the policy says none from before, and this run changed nothing;"
                " whether every sender knows is not proven."
            )
        else:
            state = f"MTA-STS is still on for {domain}: this run changed nothing."
        risk = "Mail is not at risk because of this run; do not move it yet."
        if error == PolicyNotServedError.__name__:
            # A host that serves somebody else's policy has senders refuse our own MX hosts.
            risk = (
                "Mail is not at risk because of this run, but may be because of what the policy host serves"
                " (see below); do not move it yet."
            )
        return state, risk, again
    if changed in _RECORD_STATES:
        state = (
            f"half changed for {domain}: policy and id are changed, but not yet seen everywhere."
        )
        return state, stay, again
    if changed == "policy":
        state = f"half changed for {domain}: the policy says none, the record still has the old id."
        return state, f"{stay} Senders keep the old policy until the id changes.", again
    state = f"half changed for {domain}, perhaps: what was changed could not be seen."
    return state, stay, again


def error_of(failure: Mapping[str, Any]) -> tuple[str, str]:
    """Give name and message of what a Catch caught; Lambda wraps both in JSON."""
    name, cause = str(failure.get("Error", "Unknown")), str(failure.get("Cause", ""))
    try:
        wrapped = json.loads(cause)
        name, cause = wrapped.get("errorType", name), wrapped["errorMessage"]
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # not from a Lambda function: the cause is the message
    return name, cause


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"- {line}" for line in lines)] if lines else []


def _subject(text: str) -> str:
    plain = "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
    return plain if len(plain) <= SUBJECT_LENGTH else plain[: SUBJECT_LENGTH - 3] + "..."


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + " … (shortened)"
