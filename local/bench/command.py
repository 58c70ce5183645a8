"""Measures what a run takes, in a lab on this machine, and holds it to limits.

python -m local bench

Standard output gets one JSON object for each figure, a line each; standard error gets tables. What is
judged are quotients of what the same machine did at about the same time, never seconds. The exit
status is 0 when every limit is kept, 1 when one is not, 2 when the lab broke.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from local.bench import asking, cost, door, history, runs, starts
from local.bench.figures import Figure, show, verdict
from local.bench.fresh import Fresh, size
from local.bench.history import Event, Spent
from local.bench.runs import TTL_SECONDS
from local.bench.starts import Deployed, Start
from local.ending import ended
from local.lab import Lab
from local.screen import Screen, line

KEPT, EXCEEDED = 0, 1
MB = 1_000_000
ASKING = "VerifyRecord"
ONLY_ASK = (ASKING, "VerifyPolicy")
# Choices and passes take less, and are left out of the table of states.
SHORTEST_SECONDS = 0.02

Histories = Mapping[str, Sequence[Sequence[Event]]]
Functions = Mapping[str, Deployed]


def main(arguments: list[str]) -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(arguments)
    return ended(lambda: bench(Screen(sys.stderr)))


def bench(screen: Screen) -> int:
    """Measure everything, tell it, and return the exit status."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        with screen.working("Starting AWS, DNS, web and senders, and deploying the template"):
            lab = stack.enter_context(Lab())
        with screen.working("Warming up"):
            warm, parked = runs.warm_up(lab), runs.parked(lab)
        count = runs.RUNS * len(runs.METHODS)
        with screen.working(f"Running {count} times, with a TTL of {TTL_SECONDS} s"):
            histories = runs.measured(lab)
        functions = starts.deployed(lab)
        sent = starts.events([*history.calls(warm), *history.calls(parked)])
        sent |= door.sent(functions, runs.WARMED_UP)
        fresh = stack.enter_context(Fresh(lab.describe()["environment"]))
        with screen.working(f"Starting {len(functions)} functions in fresh processes"):
            started = starts.measure(fresh, functions, sent)
        with screen.working("Asking slow name servers, and a dead one"):
            asked = _of_asking(fresh, functions, sent)
        with screen.working("Calling the API"):
            called = door.latencies(lab, runs.WARMED_UP)
        figures = [
            *_of_runs(histories),
            *asked,
            *_of_starts(functions, started),
            _of_the_api(*called),
            *_of_layer(fresh, functions),
            *_of_cost(histories, functions, started),
        ]
    show(screen, figures)
    _show_spent(screen, histories)
    _show_states(screen, histories)
    screen.blank()
    screen.say((verdict(figures), "bold"), (f" {time.monotonic() - began:.0f} s in all.", "dim"))
    for each in figures:
        print(each.to_json())
    return KEPT if all(each.ok for each in figures) else EXCEEDED


# --- figures


def _of_runs(histories: Histories) -> list[Figure]:
    found = []
    for name, every in histories.items():
        spent = _middle(every)
        remark = f"{spent.total:.1f} s over {spent.until_in_sync + TTL_SECONDS:.1f} s"
        states = max(map(history.states, every))
        found += [
            Figure("run", name, spent.over(TTL_SECONDS), "times", 1.25, 1.05, remark),
            # Four of them tell that it has begun and how it ended: an event and a message each.
            Figure("states", name, states, "states", 28),
        ]
    return found


def _middle(every: Sequence[Sequence[Event]]) -> Spent:
    """Return where the time of a method's run went: of the one in the middle."""
    spent = sorted(map(history.spent, every), key=lambda each: each.over(TTL_SECONDS))
    return spent[len(spent) // 2]


def _of_asking(fresh: Fresh, functions: Functions, sent: Mapping[str, Any]) -> list[Figure]:
    name = next(name for name, each in functions.items() if each.resource == ASKING)
    event, variables = sent[name], functions[name].variables
    slow = asking.slow_seconds(fresh, event, variables)
    dead = asking.dead_seconds(fresh, event, variables)
    told = f"{slow * 1000:.0f} ms over the {asking.ANSWER_SECONDS * 1000:.0f} ms of one answer"
    ratio = slow / asking.ANSWER_SECONDS
    told_dead = f"{dead:.2f} s over the {asking.TIMEOUT_SECONDS:g} s of one time-out"
    ratio_dead = dead / asking.TIMEOUT_SECONDS
    return [
        Figure("ask", "all answer", ratio, "times", 1.3, 1.1, told),
        Figure("ask", "one is dead", ratio_dead, "times", 1.3, remark=told_dead),
    ]


def _of_starts(functions: Functions, started: Mapping[str, Start]) -> list[Figure]:
    found = []
    for name, start in started.items():
        function = functions[name]
        took = (
            f"{start.seconds * 1000:.0f} ms over {start.least_seconds * 1000:.0f} ms;"
            f" a second call takes {start.later_seconds * 1000:.0f} ms"
        )
        held = f"{start.peak_mb:.0f} MB of {function.memory_mb} MB"
        part = start.peak_mb / function.memory_mb
        found += [
            Figure("start", function.folder, start.ratio, "times", 1.3, 1.15, took),
            Figure("memory", function.folder, part, "times", 0.5, remark=held),
        ]
        if function.resource in ONLY_ASK:
            loaded = len(start.called[0].aws_modules)
            found.append(Figure("boto3", function.folder, loaded, "modules", 0))
    return found


def _of_the_api(answered: float, refused: float) -> Figure:
    """Hold an answer to a refusal: what both cost, the gateway and the function, is not ours."""
    told = f"{answered * 1000:.0f} ms over {refused * 1000:.0f} ms"
    return Figure("api", "GET /domains/{domain}", answered / refused, "times", 3, 2, told)


def _of_layer(fresh: Fresh, functions: Functions) -> list[Figure]:
    """Leave room for slow growth, and none for boto3 or a tracer: AWS has the one, nobody needs the other."""
    zipped = next(iter(functions.values())).layer_bytes / MB
    unzipped = size(fresh.layer) / MB
    return [
        Figure("layer", "zipped", zipped, "MB", 5),
        Figure("layer", "unzipped", unzipped, "MB", 20, remark="Lambda's own limit is 250 MB"),
    ]


def _of_cost(
    histories: Histories, functions: Functions, started: Mapping[str, Start]
) -> list[Figure]:
    prices = cost.prices()
    billed = {
        name: cost.Function(functions[name].memory_mb, start.seconds, start.log_bytes)
        for name, start in started.items()
    }
    found = []
    for name, every in histories.items():
        uses = [cost.used(run, billed) for run in every]
        dearest = max(uses, key=lambda use: cost.cost(use, prices))
        told = f"{dearest.transitions} transitions, {dearest.gb_seconds:.1f} GB-s"
        found.append(Figure("cost", name, cost.cost(dearest, prices), "USD", 0.001, 0.001, told))
    return found


# --- where the time of a run goes


def _show_spent(screen: Screen, histories: Histories) -> None:
    """Show where the seconds went that neither Route 53 nor the TTL explains."""
    rows = []
    for name, every in histories.items():
        spent = _middle(every)
        beyond = [
            spent.before_the_write,
            spent.name_servers,
            spent.waiting - TTL_SECONDS,
            spent.confirming,
        ]
        rows.append([line(name), *(line(f"{seconds:.2f}") for seconds in beyond)])
    screen.heading("Seconds beyond INSYNC and the TTL")
    parts = ["before the write", "asking name servers", "waiting", "confirming"]
    screen.table(rows, header=["", *parts])


def _show_states(screen: Screen, histories: Histories) -> None:
    """Show how long each state took: the median of each method's runs."""
    medians: dict[str, dict[str, float]] = {}
    for method, every in histories.items():
        by_run = [history.seconds_by_state(run) for run in every]
        for state in by_run[0]:
            seconds = statistics.median(each.get(state, 0.0) for each in by_run)
            medians.setdefault(state, {})[method] = seconds
    rows = [
        [
            line(state),
            *(line(f"{told[method]:.2f}" if method in told else "") for method in histories),
        ]
        for state, told in medians.items()
        if max(told.values()) >= SHORTEST_SECONDS
    ]
    screen.heading("Seconds in each state")
    screen.table(rows, header=["", *histories])
