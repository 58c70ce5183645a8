"""What is told of a delivery that was signed and is refused: to the ticket, which sees no answer of ours."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mta_sts import notices
from mta_sts.hooks.delivery import Call
from mta_sts.hooks.sources import Source
from mta_sts.hooks.ticket import legible
from mta_sts.instants import stamp
from mta_sts.messages import cut, subject, titled
from mta_sts.problems import Problem

_MOST, _LONGEST = (
    20,
    400,
)  # problems, and characters of each; what they quote is ASCII and short already
_ACTIONS = {
    "invalid": "correct in the ticket what is listed below, then have it sent again.",
    "domain-not-allowed": (
        "correct the domain, or have it added to what this source may ask for; then have it sent again."
    ),
    "method-not-allowed": (
        "ask for a dry run, or have the method added to what this source may have done; then have it sent"
        " again."
    ),
    "busy": (
        "wait for the other run. Jira sends it again by itself, for 75 minutes at most; if no run has begun"
        " by then, or another system sends, have it sent again when that run has ended."
    ),
    "stale": (
        "have it sent again. If that is refused too, the clocks differ, or the moment of sending stands"
        " elsewhere than the source's configuration says."
    ),
    "key-reused": "change something in the ticket, then have it sent again.",
}
_ELSE = "mend what is said below, then have it sent again."


def notice(
    source: Source, data: Mapping[str, Any], problem: Problem, machine: str, now: datetime
) -> dict[str, Any]:
    """Compose the notice; ``machine`` is the ARN of the state machine that would have run."""
    asked = legible(source, data)
    domain = notices.domain_of(asked)
    head = (
        f"MTA-STS is still on or off for {domain or 'the domain that was meant'} as it was before"
    )
    text = [
        f"{head}: nothing was started.",
        (
            "Mail is not at risk because of this; do not move it yet."
            f" Next: {_ACTIONS.get(problem.kind, _ELSE)}"
        ),
        "",
        f"What happened: what the source {source.name} sent was refused ({problem.status}, {problem.kind}).",
        *titled(problem.title, problems(problem)),
    ]
    told = {
        "subject": subject(f"MTA-STS: nothing was started for {domain or '?'} ({problem.kind})"),
        "text": cut("\n".join(text)),
        "error": problem.kind,
    }
    return notices.turned_away(asked, told, machine, now)


def problems(problem: Problem) -> list[str]:
    """Give every problem, within bounds."""
    found = problem.more.get("problems") or [problem.detail]
    rest = [f"and {len(found) - _MOST} more"] * (len(found) > _MOST)
    return [each[:_LONGEST] for each in found[:_MOST]] + rest


def keys(call: Call, told: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """Say by what a refusal is known that was told before.

    The same body is told once: a system tries again, and whoever has got hold of one cannot fill a ticket.
    The same words to the same ticket are told once in an hour: a ticket whose every change is sent, and
    refused, would answer each comment by another one.
    """
    body = hashlib.sha256(call.body).hexdigest()
    words = json.dumps([told["ticket_id"], told["text"]])
    said = hashlib.sha256(words.encode()).hexdigest()
    begin, hour = f"refused:{call.source}:{told['error']}", stamp(now)[:13]
    return (f"{begin}:body:{body}", f"{begin}:words:{said}:{hour}")
