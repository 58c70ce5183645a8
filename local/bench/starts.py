"""What the first call of each function takes, measured in fresh processes beside a lab."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.bench.fresh import NOT_MEASURED, Fresh, Told
from local.bench.history import Call
from local.deploy import STACK
from local.lab import Lab

REPETITIONS = 11


@dataclass(frozen=True)
class Deployed:
    """A function of the stack: its resource's name in the template, its settings, its layer's bytes."""

    resource: str
    memory_mb: int
    variables: Mapping[str, str]
    layer_bytes: int

    @property
    def folder(self) -> str:
        """The name of its folder, which people know it by: verify_record for VerifyRecord."""
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in self.resource)
        return "_".join(words.split())


@dataclass(frozen=True)
class Start:
    """What fresh processes took in turns: for import and first call, and for what must be imported.

    All seconds are those of a processor, medians of several processes.
    """

    called: tuple[Told, ...]
    loaded: tuple[Told, ...]

    @property
    def seconds(self) -> float:
        """What import and first call take."""
        return statistics.median(map(_start_seconds, self.called))

    @property
    def later_seconds(self) -> float:
        """What a second call takes, which finds everything there already."""
        return statistics.median(told.cpu_seconds[-1] for told in self.called)

    @property
    def least_seconds(self) -> float:
        """What it takes to import what must be."""
        return statistics.median(sum(told.cpu_seconds) for told in self.loaded)

    @property
    def ratio(self) -> float:
        """The one over the other: the median of what neighbours in time give, as the machine drifts."""
        pairs = zip(self.called, self.loaded, strict=True)
        return statistics.median(
            _start_seconds(called) / sum(loaded.cpu_seconds) for called, loaded in pairs
        )

    @property
    def log_bytes(self) -> int:
        """What one call writes to its log."""
        told = self.called[0]
        return told.logged_bytes // len(told.seconds[1:])

    @property
    def peak_mb(self) -> float:
        """The most memory that any of the calls held."""
        return max(told.peak_mb for told in self.called)


def _start_seconds(told: Told) -> float:
    imported, first, _second = told.cpu_seconds
    return imported + first


def deployed(lab: Lab) -> dict[str, Deployed]:
    """Return the functions that measured runs call, by their names in Lambda."""
    stack = lab.client("cloudformation").describe_stack_resources(StackName=STACK)
    found = {}
    for resource in stack["StackResources"]:
        is_function = resource["ResourceType"] == "AWS::Lambda::Function"
        if is_function and resource["LogicalResourceId"] not in NOT_MEASURED:
            name = resource["PhysicalResourceId"]
            settings = lab.client("lambda").get_function_configuration(FunctionName=name)
            found[name] = Deployed(
                resource["LogicalResourceId"],
                settings["MemorySize"],
                settings["Environment"]["Variables"],
                settings["Layers"][0]["CodeSize"],
            )
    return found


def events(calls: Iterable[Call]) -> dict[str, Any]:
    """Return what each function was sent last, by its name in Lambda."""
    return {call.function: call.event for call in calls if call.function}


def measure(
    fresh: Fresh, functions: Mapping[str, Deployed], sent: Mapping[str, Any]
) -> dict[str, Start]:
    """Start each function so many times, in turns with the least that it needs.

    Takes the functions, and what each is sent, by their names in Lambda; so is what it returns.
    Raises FreshProcessError where a handler does not take its event.
    """
    return {name: _start(fresh, each, sent[name]) for name, each in functions.items()}


def _start(fresh: Fresh, function: Deployed, event: Any) -> Start:
    called, loaded = [], []
    for _ in range(REPETITIONS):
        called.append(fresh.call(function.resource, event, function.variables, again=1))
        loaded.append(fresh.load(function.resource))
    return Start(tuple(called), tuple(loaded))
