"""How a run is shown: the rounds of each loop in one line, and what there is to tell line by line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mta_sts.visits import Step


@dataclass(frozen=True)
class Line:
    """All visits to one state: how many, how long together, and the latest of them."""

    latest: Step
    visits: int
    ended_before: timedelta

    def lasted(self, now: datetime) -> timedelta:
        """How long all visits took together, the present one so far."""
        return self.ended_before + self.latest.lasted(now)


def lines(visits: Iterable[Step]) -> list[Line]:
    """Merge the rounds of each loop: one line for each state, in the order of first visits."""
    merged: dict[str, Line] = {}
    for visit in visits:
        before = merged.get(visit.name)
        merged[visit.name] = (
            Line(visit, before.visits + 1, before.lasted(visit.started))
            if before
            else Line(visit, 1, timedelta())
        )
    return list(merged.values())


def settled(merged: Sequence[Line]) -> int:
    """Return how many of the first lines will not change any more.

    A loop may visit a state again until one begins that is not part of the loop; since each loop is
    a check and its Wait, that is any new one that is no Wait.
    """
    latest = max(
        (index for index, line in enumerate(merged) if line.latest.kind != "Wait"), default=0
    )
    running = (index for index, line in enumerate(merged) if line.latest.ended is None)
    return min(latest, next(running, latest))


@dataclass(frozen=True)
class Telling:
    """Something to be told once: that a Wait begins (`begins`), or that a state has ended.

    `looks` visits are told in one, from `since` on; `step` is the last of them. `key` names it.
    """

    key: tuple[int, str]
    step: Step
    since: datetime
    begins: bool = False
    looks: int = 1


def tellings(visits: Sequence[Step], *, over: bool) -> list[Telling]:
    """Return what there is to tell line by line: each loop's first look that found nothing, then its end.

    The looks between are told in one, once something else comes or all is `over`, so that nothing
    that was told is taken back.
    """
    told: list[Telling] = []
    loop = ""  # the check whose first look is told, and
    held: list[int] = []  # its later ones
    for number, step in enumerate(visits):
        if step.kind == "Wait":
            if not step.found:
                told += _in_one(held, visits)
                loop, held = "", []
            if not held:
                told.append(Telling((number, "began"), step, step.started, begins=True))
            if step.ended is not None and not step.found:
                told.append(Telling((number, "ended"), step, step.started))
        elif step.pending and step.name == loop:
            held.append(number)
        elif step.ended is not None or step.name != loop:
            told += _in_one(held, visits)
            loop, held = step.name if step.pending else "", []
            if step.ended is not None:
                told.append(Telling((number, "ended"), step, step.started))
    return told + (_in_one(held, visits) if over else [])


def _in_one(held: Sequence[int], visits: Sequence[Step]) -> list[Telling]:
    if not held:
        return []
    first, last = visits[held[0]], visits[held[-1]]
    return [Telling((held[0], "ended"), last, first.started, looks=len(held))]


def comments(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the Comment of each state of a definition, those of branches included."""
    told: dict[str, str] = {}
    for name, state in definition["States"].items():
        told[name] = state.get("Comment", "")
        for branch in state.get("Branches", ()):
            told |= comments(branch)
    return told
