"""Shows the states of an execution as they come: redrawn on a terminal, else line by line."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.spinner import Spinner

from local import progress
from local.lab import Lab
from local.progress import Line, Telling
from local.runs import Run
from local.screen import Screen, line, seconds
from mta_sts.visits import Step, steps

POLL_SECONDS = 0.25


def comments_of(lab: Lab) -> dict[str, str]:
    """Return what the lab's state machine says each state is for."""
    machine = lab.client("stepfunctions").describe_state_machine(
        stateMachineArn=lab.stack_outputs["StateMachineArn"]
    )
    return progress.comments(json.loads(machine["definition"]))


def watch(screen: Screen, run: Run, comments: Mapping[str, str], timeout: float) -> None:
    """Show the states of a run as they come, until it has ended; TimeoutError after so many seconds.

    `comments` say of each state what it is for, which is shown while it lasts.
    """
    deadline, visits = time.monotonic() + timeout, steps(run.history)
    told: set[tuple[int, str]] = set()  # in plain form: what is printed
    settled = 0  # on a terminal: states that are printed for good
    with screen.live(lambda: [_drawn(each, comments) for each in progress.lines(visits)[settled:]]):
        while True:
            ended = run.status != "RUNNING"
            visits = steps(run.history)
            if screen.plain:
                _tell(screen, progress.tellings(visits, over=ended), told, comments)
            else:
                merged = progress.lines(visits)
                ready = len(merged) if ended else max(settled, progress.settled(merged))
                screen.steps([_drawn(each, comments) for each in merged[settled:ready]])
                settled = ready
            if ended:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the run has not ended after {timeout:g} s: {run.arn}")
            time.sleep(POLL_SECONDS)


def _mark(step: Step) -> tuple[str, str]:
    return ("✗", "bold red") if step.failed else ("·", "yellow") if step.pending else ("✓", "green")


def _drawn(each: Line, comments: Mapping[str, str]) -> list[RenderableType]:
    step, now = each.latest, datetime.now(UTC)
    mark = line(_mark(step)) if step.ended else Spinner("dots", style="cyan")
    found = step.found
    if step.ended is None:
        found = found or comments.get(step.name, "")
    if step.kind == "Wait" and step.found:
        found = ""  # within a loop the check has just said what is missing
    told = [f"{each.visits} times" if each.visits > 1 else "", _wait(step, now), found]
    style = "red" if step.failed else "dim" if step.ended else ""
    words = line(("; ".join(filter(None, told)), style))
    return [mark, line(step.name), line((seconds(each.lasted(now)), "dim")), words]


def _wait(step: Step, now: datetime) -> str:
    if step.until is None:
        return ""
    left = max((step.until - (step.started if step.ended else now)).total_seconds(), 0)
    return f"until {step.until:%H:%M:%S}Z ({left:.0f} s)"


def _tell(
    screen: Screen,
    tellings: Sequence[Telling],
    told: set[tuple[int, str]],
    comments: Mapping[str, str],
) -> None:
    """Print what is not among `told` yet."""
    for each in tellings:
        if each.key not in told:
            told.add(each.key)
            screen.say(_in_words(each, comments))


def _in_words(each: Telling, comments: Mapping[str, str]) -> str:
    step = each.step
    if step.ended is None or each.begins:
        # Within a loop the check has just said why.
        why = "" if step.found else f": {comments.get(step.name, '')}"
        return f"{step.started:%H:%M:%S}Z  … {step.name} {_wait(step, step.started)}{why}"
    found = f": {step.found}" if step.found else ""
    took = seconds(step.ended - each.since)
    if each.looks > 1:
        took = f"{each.looks} more looks in {took}, the last"
    return f"{step.ended:%H:%M:%S}Z  {_mark(step)[0]} {step.name}, {took}{found}"
