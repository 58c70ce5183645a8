"""The runs that are measured: of every method, side by side, in a lab that has warmed up."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.bench.history import WAITED, Event
from local.lab import Lab
from local.runs import Run
from local.sample import RECORD, well_formed

TTL_SECONDS, SHORT_TTL_SECONDS = 20, 1
# The wait is over at a whole second, so one run may be lucky: the middle one of three is measured. They
# begin so far apart that those of a method are spread evenly over a second.
RUNS, APART_SECONDS = 3, 22 / 9
# For a run that has to be under way as long as the bench is.
LONG_TTL_SECONDS = 3600
RUN_SECONDS, POLL_SECONDS = 60, 0.25
WARMED_UP = (
    "warm-up.bench.example"  # the domain that has been turned off before anything is measured
)


@dataclass(frozen=True)
class Method:
    """A method as it is measured: what it is called here, and its input but the domain."""

    name: str
    event: Mapping[str, Any]


_MAX_AGE = {"longest_max_age": 604_800}
METHODS = (
    Method("none-policy", {"method": "none-policy"}),
    Method("delete-record", {"method": "delete-record", **_MAX_AGE}),
    Method(
        "delete-record, publish_none", {"method": "delete-record", "publish_none": True, **_MAX_AGE}
    ),
)


class RunError(Exception):
    """A run that should have been confirmed was not; the message says what became of it."""


def warm_up(lab: Lab) -> Sequence[Event]:
    """Run once through everything, so that each function has a warm process; return the history."""
    method, domain = METHODS[0], WARMED_UP
    _set_up(lab, domain, SHORT_TTL_SECONDS)
    return _confirmed(_start(lab, method, domain), method)


def parked(lab: Lab) -> Sequence[Event]:
    """Start a run and leave it to wait for its TTL; return its history so far.

    While a run is under way, all that it has called can be called once more, to the same end.
    """
    method, domain = METHODS[0], "parked.bench.example"
    _set_up(lab, domain, LONG_TTL_SECONDS)
    run = _start(lab, method, domain)
    _await_ttl(run, method)
    return run.history


def measured(lab: Lab) -> dict[str, list[Sequence[Event]]]:
    """Run every method so many times; return the histories by the method's name.

    Each begins when the one before it has nothing to do but to wait, and the last one does before
    the first has done waiting, so that they do not disturb each other. Raises RunError where one is
    not confirmed.
    """
    turns = {f"run-{n}.bench.example": each for n, each in enumerate(METHODS * RUNS)}
    for domain in turns:
        _set_up(lab, domain, TTL_SECONDS)
    begun: list[tuple[Method, Run]] = []
    first = time.monotonic()
    for domain, method in turns.items():
        time.sleep(max(0.0, first + len(begun) * APART_SECONDS - time.monotonic()))
        run = _start(lab, method, domain)
        _await_ttl(run, method)
        begun.append((method, run))
    histories: dict[str, list[Sequence[Event]]] = {each.name: [] for each in METHODS}
    for method, run in begun:
        histories[method.name].append(_confirmed(run, method))
    return histories


def _set_up(lab: Lab, domain: str, ttl: int) -> None:
    lab.add_domain(domain, policies=[well_formed(domain)], record=[RECORD], ttl=ttl)


def _start(lab: Lab, method: Method, domain: str) -> Run:
    return lab.start({**method.event, "domain": domain})


def _await_ttl(run: Run, method: Method) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while WAITED not in run.states:
        if run.status != "RUNNING" or time.monotonic() > deadline:
            raise _failure(run, method)
        time.sleep(POLL_SECONDS)


def _confirmed(run: Run, method: Method) -> Sequence[Event]:
    if run.wait(RUN_SECONDS).status != "SUCCEEDED":
        raise _failure(run, method)
    return run.history


def _failure(run: Run, method: Method) -> RunError:
    return RunError(f"{method.name}: {run.status}: {run.error}: {run.cause}")
