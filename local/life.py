"""Shows the whole life of a domain in a lab on this machine, days of it in a minute.

python -m local life

A policy that lives for seconds is turned off, put back, turned off for good, watched, and withdrawn by
itself. The exit status is 0 when each step ends as it must, 1 when one does not, 2 when the lab broke.
"""

import argparse
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.ending import ended
from local.lab import Lab
from local.runs import Run
from local.screen import Screen, readable_times

DOMAIN = "solarmora.com"
MAX_AGE, MARGIN, TTL = 5, 5, 2  # seconds
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: mail.{DOMAIN}\r\nmax_age: {MAX_AGE}\r\n"
RECORD = "v=STSv1; id=20200425085700;"
RUN_SECONDS = 120
LIVED, DIED = 0, 1

_LOOK = {"domain": DOMAIN, "method": "check", "longest_max_age": MAX_AGE}
_OFF = {"method": "none-policy", "longest_max_age": MAX_AGE}
_STEPS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("A look: it is on", _LOOK, "MTA-STS is still on"),
    ("The mail servers are to be mended: off", _OFF, "MTA-STS is off"),
    ("They are mended: back", {"method": "restore"}, "MTA-STS is on again"),
    (
        "It is given up for good: retire",
        {"method": "retire", "remove_policy": True, "longest_max_age": MAX_AGE},
        "MTA-STS is off",
    ),
    ("A look while senders let go", _LOOK, "MTA-STS is off"),
)


def main(arguments: list[str]) -> int:
    """Show it and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local life", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(arguments)
    return ended(lambda: show(Screen()))


def show(screen: Screen) -> int:
    """Bring a lab up, go through the life of a domain, and return the exit status."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        with screen.working("Starting AWS, DNS, web and senders, and deploying the template"):
            # The shortest that the schedule can have is a minute.
            parameters = {"DrainMarginSeconds": str(MARGIN), "SweepMinutes": "1"}
            lab = stack.enter_context(Lab(parameters=parameters))
        with screen.working(f"Setting {DOMAIN} up, until everybody holds its policy"):
            lab.add_domain(DOMAIN, policies=[POLICY], record=[RECORD], ttl=TTL)
        for title, event, wanted in _STEPS:
            with screen.working(title):
                run = lab.run({"domain": DOMAIN, **event}, RUN_SECONDS)
            if not _told(screen, title, run, wanted):
                return DIED
        with screen.working("The schedule comes by itself, once a minute, when all have let go"):
            retirement = _retirement(lab)
        if not _told(
            screen, "By itself: the record goes, and the policy", retirement, "MTA-STS is off"
        ):
            return DIED
        with screen.working("A last look"):
            last = lab.run(_LOOK, RUN_SECONDS)
        if not _told(screen, "A last look", last, "MTA-STS is off"):
            return DIED
    screen.blank()
    screen.say(
        ("On, off, on, off for good, and nobody was in the way. ", "bold green"),
        (f"{time.monotonic() - began:.0f} s in all.", "dim"),
    )
    return LIVED


def _retirement(lab: Lab) -> Run:
    """Wait until the schedule has started what is due; TimeoutError where it does not."""
    client, machine = lab.client("stepfunctions"), lab.stack_outputs["StateMachineArn"]
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        found = client.list_executions(stateMachineArn=machine)["executions"]
        for one in found:
            if one["name"].startswith("retirement-"):
                return Run(client, one["executionArn"]).wait(RUN_SECONDS)
        time.sleep(0.5)
    raise TimeoutError("the schedule has started nothing")


def _told(screen: Screen, title: str, run: Run, wanted: str) -> bool:
    """Show how a step ended; tell whether it ended as it must."""
    screen.heading(title)
    text = run.output["text"] if run.status == "SUCCEEDED" else run.cause or ""
    now = datetime.now(UTC)
    head, _, rest = text.partition("\n")
    screen.say((readable_times(head, now), "bold"))
    screen.say(readable_times(rest.partition("\n")[0], now))
    due = run.output.get("due", []) if run.status == "SUCCEEDED" else []
    for one in due:
        screen.say((f"  due by itself: {one['kind']}, {readable_times(one['at'], now)}", "cyan"))
    return run.status == "SUCCEEDED" and text.startswith(wanted)
