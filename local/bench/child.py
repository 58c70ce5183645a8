"""Runs in a fresh process what is measured there, and says how long and how much it took.

It stands alone, on an interpreter without site packages, so that nothing of what is measured has
been imported before the clock runs. Standard input holds one JSON object: `paths` to import from,
and either `event` and `again`, or `modules` and `clients`.
"""

import contextlib
import importlib
import io
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any


class Clocks:
    """Stops the time of each part: how long it took, and how long it had a processor."""

    def __init__(self) -> None:
        self._stopped: list[tuple[float, float]] = []
        self.stop()

    def stop(self) -> None:
        """End one part and begin the next."""
        self._stopped.append((time.perf_counter(), time.process_time()))

    def parts(self) -> list[tuple[float, float]]:
        """Return the seconds of each part, by both clocks."""
        pairs = itertools.pairwise(self._stopped)
        return [(after[0] - before[0], after[1] - before[1]) for before, after in pairs]


def call(asked: dict[str, Any], clocks: Clocks) -> None:
    """Import the handler, call it once, and as often again as is asked for; each is a part."""
    handler = importlib.import_module("app").handler
    clocks.stop()
    for _ in range(1 + asked["again"]):
        handler(asked["event"], None)
        clocks.stop()


def load(asked: dict[str, Any], clocks: Clocks) -> None:
    """Import the modules plainly and create the AWS clients, which loads their models: one part."""
    for name in asked["modules"]:
        importlib.import_module(name)
    for service in asked["clients"]:
        importlib.import_module("boto3").client(service)
    clocks.stop()


def peak_kib() -> int:
    """Return the most memory that this process has held, in KiB.

    Not ru_maxrss, which Linux carries over from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    """Do it, and print what it took as one JSON object."""
    asked = json.load(sys.stdin)
    sys.path[:0] = asked["paths"]
    printed = io.StringIO()
    clocks = Clocks()
    with contextlib.redirect_stdout(printed):
        (call if "event" in asked else load)(asked, clocks)
    told = {
        "parts": clocks.parts(),
        "peak_kib": peak_kib(),
        "logged_bytes": len(printed.getvalue().encode()),
        # The bare package botocore costs nothing; Powertools looks at its version.
        "aws_modules": [name for name in sys.modules if name.startswith(("boto3", "botocore."))],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
