"""What a run costs: what it used, by its own history, times what AWS asks for it."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local.bench import history
from local.bench.history import Event
from local.environments import ROOT

PRICES = ROOT / "docs" / "prices.toml"
# Lambda gives a whole vCPU at this setting, and less in proportion below it ("Configure Lambda
# function memory"), where the same computing takes so much longer.
WHOLE_CPU_MB = 1769
MB_PER_GB = 1024
# START, END and REPORT of a call, and what CloudWatch adds to each line ("PutLogEvents": 26 bytes).
PLATFORM_LOG_BYTES = 450
BYTES_PER_GB = 1024**3


@dataclass(frozen=True)
class Function:
    """What a function's calls cost by: its setting, how long a cold start takes, what a call logs."""

    memory_mb: int
    start_seconds: float
    log_bytes: int


@dataclass(frozen=True)
class Use:
    """What is paid for; each field has its price in docs/prices.toml."""

    transitions: int
    calls: int
    gb_seconds: float
    log_gb: float
    events: int
    notices: int
    mails: int


def prices(file: Path = PRICES) -> dict[str, float]:
    """Read the price in USD of one of each: {"calls": 2e-07, …}."""
    told = tomllib.loads(file.read_text())
    entries = {name: entry for name, entry in told.items() if isinstance(entry, dict)}
    return {name: float(entry["usd"]) / entry["per"] for name, entry in entries.items()}


def cost(use: Use, each: Mapping[str, float]) -> float:
    """Return what it costs, in USD; KeyError where a price is missing."""
    return sum((amount * each[name] for name, amount in asdict(use).items()), 0.0)


def used(run: Sequence[Event], functions: Mapping[str, Function]) -> Use:
    """Return what a run used, if each function's first call is a cold one, and one person gets mail.

    `functions` are by the names that the history has. Seconds were taken where a function has a
    whole CPU, so they count by that setting at least: as if all of it were computing.
    """
    calls = [each for each in history.calls(run) if each.function]
    called = {each.function for each in calls}
    seconds = [(each.function, each.seconds) for each in calls]
    seconds += [(name, functions[name].start_seconds) for name in called]
    gb_seconds = (
        lasted * max(functions[name].memory_mb, WHOLE_CPU_MB) / MB_PER_GB
        for name, lasted in seconds
    )
    log_bytes = (functions[each.function].log_bytes + PLATFORM_LOG_BYTES for each in calls)
    events = sum(each.events for each in history.calls(run))
    notices = sum(not each.function and not each.events for each in history.calls(run))
    return Use(
        transitions=history.transitions(run),
        calls=len(calls),
        gb_seconds=sum(gb_seconds),
        log_gb=sum(log_bytes) / BYTES_PER_GB,
        events=events,
        notices=notices,
        mails=notices,
    )
