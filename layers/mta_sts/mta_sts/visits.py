"""What an execution is doing, read from its history: states with their times and what they found."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

# Choices and passes take no time and only lead on.
_SHOWN = ("Task", "Wait", "Parallel", "Fail")
_ENDS = {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}


@dataclass(frozen=True)
class Step:
    """One visit to a state; `ended` is None while it lasts, `until` when a Wait will be over.

    `found` says in a few words what came out, or what is waited for; `failed` that it was an error,
    `pending` that a check found the thing not there yet.
    """

    name: str
    kind: str
    started: datetime
    ended: datetime | None = None
    until: datetime | None = None
    found: str = ""
    failed: bool = False
    pending: bool = False

    def lasted(self, now: datetime) -> timedelta:
        """How long it took, or has taken so far."""
        return (self.ended or now) - self.started


def steps(history: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Return the visits to states that take time, in the order in which they began."""
    visits: list[Step] = []
    not_yet = ""
    for event in history:
        kind, at = str(event["type"]), event["timestamp"].astimezone(UTC)
        entered, exited = (
            event.get("stateEnteredEventDetails"),
            event.get("stateExitedEventDetails"),
        )
        if entered and (shown := kind.removesuffix("StateEntered")) in _SHOWN:
            visit = Step(entered["name"], shown, at)
            if shown == "Wait":
                until = waits_until(parsed(entered.get("input")), at)
                visit = replace(visit, until=until, found=not_yet)
            visits.append(visit)
        elif exited:
            output = parsed(exited.get("output"))
            failed = isinstance(output, dict) and {"Error", "Cause"} <= output.keys()
            if not kind.startswith("Wait"):
                not_yet = "" if _is_ready(output) else found(output)
            for index in _open(visits, exited["name"])[-1:]:
                waited = visits[index].kind == "Wait"
                told, pending = found(output), not _is_ready(output)
                if waited:
                    told, pending = visits[index].found, False
                visits[index] = replace(
                    visits[index], ended=at, found=told, failed=failed, pending=pending
                )
        elif kind in _ENDS:
            for index in _open(visits):
                visits[index] = replace(
                    visits[index], ended=at, failed=visits[index].failed or "Succ" not in kind
                )
    return visits


def _open(visits: Sequence[Step], name: str | None = None) -> list[int]:
    return [
        index
        for index, visit in enumerate(visits)
        if visit.ended is None and name in {None, visit.name}
    ]


def waits_until(data: Any, entered: datetime) -> datetime | None:
    """Return when a Wait ends, from its input: the pause that a check asked for, else old answers' end."""
    checks = [
        each for each in (data if isinstance(data, list) else [data]) if isinstance(each, dict)
    ]
    pause = max((each.get("pause_seconds") or 0 for each in checks), default=0)
    if pause:
        return entered + timedelta(seconds=pause)
    ends = [each["record_gone_at"] for each in checks if each.get("record_gone_at")]
    return datetime.fromisoformat(max(ends)) if ends else None


def found(output: Any) -> str:
    """Say in a few words what a state gave back; nothing where that would tell nothing."""
    if isinstance(output, list):
        return ", ".join(filter(None, map(found, output)))
    if not isinstance(output, dict):
        return ""
    if "Error" in output:
        return str(output["Error"])
    if "agreeing" in output:
        return _found_by_check(output)
    # The first that is there tells most.
    for name, words in (
        ("status", "{}"),
        ("change_id", "change {}"),
        ("version_id", "version {}"),
        ("claimed", "{} is taken"),
        ("digest", "plan {:.12}…"),
        ("changed", "changed: {}"),
    ):
        if output.get(name):
            return words.format(output[name])
    return "" if _is_ready(output) else "not there yet"


def _found_by_check(check: Mapping[str, Any]) -> str:
    if not _is_ready(check):
        return "not yet: " + _places(check["laggards"])
    count, of_record = len(check["agreeing"]), "host" not in check
    noun = ("answer" if of_record else "address") + (
        "" if count == 1 else "s" if of_record else "es"
    )
    unasked = f", {len(check['not_asked'])} not asked" if check["not_asked"] else ""
    return f"{count} {noun} agree{'s' if count == 1 else ''}{unasked}"


def _places(rows: Iterable[Mapping[str, Any]]) -> str:
    """Name servers with their addresses; of a policy host there are addresses only."""
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(row.get("server", ""), []).append(row["address"])
    named = []
    for server, addresses in places.items():
        told = ", ".join(dict.fromkeys(filter(None, addresses)))
        named.append(f"{server} ({told})" if server and told else server or told)
    return ", ".join(named)


def _is_ready(output: Any) -> bool:
    outputs = output if isinstance(output, list) else [output]
    return all(each.get("ready", True) for each in outputs if isinstance(each, dict))


def last_checks(history: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the latest result of each check, as `evidence` of an output has them: record, policy.

    One of before the policy was written says so: it has `before_write`, which is true.
    """
    seen: dict[str, Any] = {}
    before = {"before_write": True}
    for event in history:
        exited = event.get("stateExitedEventDetails") or {}
        output = parsed(exited.get("output"))
        if isinstance(output, dict) and "published_at" in output:
            before = {}
        for each in output if isinstance(output, list) else [output]:
            if isinstance(each, dict) and "agreeing" in each:
                seen["policy" if "host" in each else "record"] = {**each, **before}
    return seen


def parsed(text: str | None) -> Any:
    """Return what JSON text says; None where it is none, as AWS leaves out what is too long."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return None
