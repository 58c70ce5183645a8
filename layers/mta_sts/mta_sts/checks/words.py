"""What a check says in words: state first, then the risk, then the next action, then everything else."""

from collections.abc import Mapping, Sequence
from typing import Any

from mta_sts.checks.sight import LEVELS, Finding, Sight
from mta_sts.checks.standing import Held
from mta_sts.checks.verdict import Verdict
from mta_sts.drain import Exposure
from mta_sts.messages import cut, subject, titled
from mta_sts.moving import LATER
from mta_sts.spans import days

_TITLES = {"alarm": "Alarms", "warning": "Warnings", "note": "Notes"}
_MOST_HELD = 20


def texts(
    sight: Sight,
    held: Held | None,
    told: Verdict,
    mx: Mapping[str, Any],
    findings: Sequence[Finding],
) -> tuple[str, str]:
    """Give subject and text of a check."""
    lines = [
        told.sentence,
        f"{told.risk} Next: {told.next}",
        "",
        *_mx(mx),
        *titled(_held_title(held), _held_lines(held, sight)),
    ]
    for level in LEVELS:
        lines += titled(_TITLES[level], [_told(one) for one in findings if one.level == level])
    lines += titled("Not asked", _not_asked(sight))
    return subject(_headline(sight, told, findings)), cut("\n".join(lines))


def _told(one: Finding) -> str:
    where = one.evidence.get("seen_at", ())
    return f"{one.text} Seen at {', '.join(where)}." if len(where) > 1 else one.text


def _headline(sight: Sight, told: Verdict, findings: Sequence[Finding]) -> str:
    head = {
        "on": f"MTA-STS is still on for {sight.domain}",
        "half changed": f"half changed for {sight.domain}",
        "off": f"MTA-STS is off for {sight.domain}",
        "unknown": f"MTA-STS is still on or off for {sight.domain}",
    }[told.state]
    alarms = [one.code for one in findings if one.level == "alarm"]
    if alarms:
        return f"{head} (alarm: {', '.join(dict.fromkeys(alarms))})"
    return f"{head}, the drain is over" if told.over else head


def _mx(mx: Mapping[str, Any]) -> list[str]:
    first = "Not now" if mx["answer"] == LATER and not mx["from"] else mx["answer"].capitalize()
    lines = [
        f"May the MX records change? {first}: {mx['reason']} (confidence: {mx['confidence']})."
    ]
    now, *_, better = mx["choices"]
    if not now["holds"] and mx["answer"] != now["answer"]:
        lines.append(f"At once and without overlap: not yet, {now['reason']}.")
    if better["holds"]:
        lines.append(f"{better['answer'].capitalize()}: {better['reason']}.")
    return lines


def _held_title(held: Held | None) -> str:
    if held is None or held.basis == "as announced":
        return "Who may still hold what"
    begin = "deleted" if held.plan.deletes else "turned off"
    return f"Who may still hold what, if it were {begin} this moment"


def _held_lines(held: Held | None, sight: Sight) -> list[str]:
    if held is None:
        return []
    renewed = held.bounds.renewal.possible is not False
    alive = [
        one
        for one in held.bounds.left.exposures
        if one.ends > sight.now or (one.renewed and renewed)
    ]
    lines = [_held_line(one, held) for one in alive[:_MOST_HELD]]
    if len(alive) > _MOST_HELD:
        lines.append(f"and {len(alive) - _MOST_HELD} more")
    if lines:
        lines.append(f"confidence: {held.bounds.confidence}")
    return lines


def _held_line(one: Exposure, held: Held) -> str:
    until = held.bounds.held(one).removeprefix("which may be held ")
    if one.mode == "unknown":
        return (
            f"what was served {one.served}, which nobody knows, with a max_age of {days(one.max_age)} at the"
            f" most: {until}"
        )
    stops = "" if one.blocks else ", stops no mail"
    return f"{one.named} (mode {one.mode}, max_age {days(one.max_age)}{stops}): {until}"


def _not_asked(sight: Sight) -> list[str]:
    told = [
        f"{one.server}{f' ({one.address})' if one.address else ''}: {one.reason}"
        for one in (*sight.not_asked, *sight.mx.not_asked)
    ]
    told += [
        f"{row['address'] or sight.look['host']}: {row['reason']}"
        for row in sight.look["not_asked"]
    ]
    told.append("the TLS of the MX hosts: no function can reach port 25")
    return list(dict.fromkeys(told))[:20]
