"""What an execution's history says of its time, its states, and the functions that it called."""

import itertools
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from typing import Any

# What bounds the parts of a run, whatever its method: the write of the record, the look that saw
# INSYNC, the wait for the TTL, and the state that a confirmed run comes to.
WRITES = ("Change Id", "Delete Record")
SYNCED, WAITED, CONFIRMED = "In Sync?", "Wait Out TTL", "Record Outcome"

Event = Mapping[str, Any]


class IncompleteError(Exception):
    """A history lacks what should be measured; the message says what."""


@dataclass(frozen=True)
class Visit:
    """One visit to a state; `left` is None where the execution has not left it."""

    name: str
    kind: str
    entered: datetime
    left: datetime | None = None


@dataclass(frozen=True)
class Call:
    """One attempt of a task; `function` is the name of what it called, empty where that is none.

    `event` is what the function was sent, `seconds` how long the answer took, `events` how many were put
    on the event bus.
    """

    function: str
    event: Any
    seconds: float
    events: int = 0


@dataclass(frozen=True)
class Spent:
    """Where the seconds of a run went, part by part, from its start until it was confirmed."""

    before_the_write: float
    until_in_sync: float
    name_servers: float
    waiting: float
    confirming: float

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(astuple(self)))

    def over(self, ttl: float) -> float:
        """Return all of it over what no run can do without: Route 53's own time, and the TTL."""
        return self.total / (self.until_in_sync + ttl)


def visits(history: Sequence[Event]) -> list[Visit]:
    """Return the visits to states, in order, but those within a Parallel: the emulator tells of none."""
    found: list[Visit] = []
    for event in history:
        if entered := event.get("stateEnteredEventDetails"):
            kind = str(event["type"]).removesuffix("StateEntered")
            found.append(Visit(entered["name"], kind, event["timestamp"]))
        elif event.get("stateExitedEventDetails"):
            found[-1] = replace(found[-1], left=event["timestamp"])
    return found


def spent(history: Sequence[Event]) -> Spent:
    """Return where the time went; IncompleteError where the run was not confirmed."""
    every = visits(history)
    moments = [
        history[0]["timestamp"],
        _entered(every, *WRITES),
        _left(every, SYNCED),
        _entered(every, WAITED),
        _left(every, WAITED),
        _entered(every, CONFIRMED),
    ]
    pairs = itertools.pairwise(moments)
    return Spent(*((after - before).total_seconds() for before, after in pairs))


def _entered(every: Sequence[Visit], *names: str) -> datetime:
    for visit in every:
        if visit.name in names:
            return visit.entered
    raise IncompleteError(f"the run never came to {' or '.join(names)}")


def _left(every: Sequence[Visit], name: str) -> datetime:
    """Return when a state was left for good: a loop may have visited it several times."""
    for visit in reversed(every):
        if visit.name == name and visit.left:
            return visit.left
    raise IncompleteError(f"the run never left {name}")


def seconds_by_state(history: Sequence[Event]) -> dict[str, float]:
    """Return how long a run was in each state, all visits together, in the order of first visits."""
    seconds: dict[str, float] = {}
    for visit in visits(history):
        lasted = ((visit.left or visit.entered) - visit.entered).total_seconds()
        seconds[visit.name] = seconds.get(visit.name, 0.0) + lasted
    return seconds


def transitions(history: Sequence[Event]) -> int:
    """Count what Step Functions bills: every state entered, and each further attempt of a task.

    Attempts stand for the entering of tasks, so that those within a Parallel count. Start and end
    are counted too, to be on the safe side.
    """
    others = [visit for visit in visits(history) if visit.kind != "Task"]
    attempts = [event for event in history if event["type"] == "TaskScheduled"]
    return 1 + len(others) + len(attempts) + 1


def states(history: Sequence[Event]) -> int:
    """Count the states that the run would have entered, had there been nothing to wait for.

    So the later rounds of a loop do not count, nor does the Wait that leads to each. Every branch
    of a Parallel counts as one state, which is what it has.
    """
    every = visits(history)
    seen: set[str] = set()
    for number, visit in enumerate(every):
        if visit.kind != "Wait" or every[number + 1].name not in seen:
            seen.add(visit.name)
    branches = {
        event["stateExitedEventDetails"]["name"]: event["stateExitedEventDetails"]["output"]
        for event in history
        if event["type"] == "ParallelStateExited"
    }
    return len(seen) + sum(len(json.loads(output)) for output in branches.values())


def calls(history: Sequence[Event]) -> list[Call]:
    """Return every attempt of a task, in the order in which they ended.

    Within a Parallel they are taken to end in the order in which they began, which the emulator
    does not tell; what they take together is right all the same.
    """
    found: list[Call] = []
    begun: deque[Event] = deque()
    for event in history:
        if event["type"] == "TaskScheduled":
            begun.append(event)
        elif event["type"] in {"TaskSucceeded", "TaskFailed"}:
            scheduled = begun.popleft()
            sent = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])
            seconds = (event["timestamp"] - scheduled["timestamp"]).total_seconds()
            name, events = _name(sent.get("FunctionName", "")), len(sent.get("Entries", ()))
            found.append(Call(name, sent.get("Payload"), seconds, events))
    return found


def _name(arn: str) -> str:
    """Return the name in a function's ARN: arn:aws:lambda:region:account:function:NAME:version."""
    return arn.partition(":function:")[2].partition(":")[0]
