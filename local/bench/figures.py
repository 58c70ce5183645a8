"""A measured figure, the limit that it is held to, and how both are told."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from local.screen import Screen, line

# What the figures of each kind are, in the order in which they are told.
KINDS = {
    "run": "From start to confirmed, over the time until INSYNC and the TTL",
    "ask": "verify_record, warm, with 8 name servers that answer after 100 ms",
    "start": "CPU time of import and first call, over that of importing only what it must",
    "api": "Answer of a warm API, over that of a request which is refused unread",
    "boto3": "Modules of boto3 and botocore in a function that only asks",
    "memory": "Peak memory of a first call, over the function's MemorySize",
    "layer": "The layer, as it is deployed",
    "states": "States entered in a run with nothing to wait for",
    "cost": "Cost of a run, every function cold",
}
COUNTS = ("modules", "states")


@dataclass(frozen=True)
class Figure:
    """One figure; the lower, the better. `value`, `limit` and `aim` are in `unit`.

    `kind` is one of KINDS, `of` what was measured. What is over its limit fails the bench; the aim,
    where there is one, is what is hoped for. `remark` says what the value was made from.
    """

    kind: str
    of: str
    value: float
    unit: str
    limit: float
    aim: float | None = None
    remark: str = ""

    @property
    def ratio(self) -> float:
        """The value over the limit; over a limit of 0, any value is infinitely too much."""
        if not self.limit:
            return float("inf") if self.value else 0.0
        return self.value / self.limit

    @property
    def ok(self) -> bool:
        """Tell whether the limit is kept."""
        return self.value <= self.limit

    @property
    def reached(self) -> bool:
        """Tell whether the aim is reached, too; one that is not set is."""
        return self.ok and (self.aim is None or self.value <= self.aim)

    def to_json(self) -> str:
        """Return the figure as one line of JSON; an infinite ratio, which JSON has not, is null."""
        told = {
            "name": f"{self.kind}: {self.of}",
            "value": _rounded(self.value),
            "unit": self.unit,
            "limit": self.limit,
            "aim": self.aim,
            "ratio": _rounded(self.ratio) if self.limit or not self.value else None,
            "ok": self.ok,
            "remark": self.remark,
        }
        return json.dumps({name: value for name, value in told.items() if name != "aim" or value})


def _rounded(value: float) -> float:
    """Keep four digits: no figure is more exact, and no price is rounded to nothing."""
    return float(f"{value:.4g}")


def show(screen: Screen, figures: Sequence[Figure]) -> None:
    """Print a table for each kind of figure."""
    for kind, title in KINDS.items():
        rows = [_row(each) for each in figures if each.kind == kind]
        if rows:
            screen.heading(title)
            screen.table(rows, header=["  ", "value", "limit", "aim", ""])


def _row(figure: Figure) -> list[Text]:
    mark, style = ("✗", "bold red") if not figure.ok else ("✓", "green")
    if figure.ok and not figure.reached:
        mark, style = "~", "yellow"
    aim = "" if figure.aim is None else amount(figure.aim, figure.unit)
    return [
        line((mark, style), f" {figure.of}"),
        line((amount(figure.value, figure.unit), "bold")),
        line((amount(figure.limit, figure.unit), "dim")),
        line((aim, "dim")),
        line((figure.remark, "dim")),
    ]


def amount(value: float, unit: str) -> str:
    """Write a value as people read it: quotients and counts bare, all else with its unit."""
    if unit == "times":
        return f"{value:.2f}"
    if unit == "USD":
        return f"{value:.5f} {unit}"
    return f"{value:g}" if unit in COUNTS else f"{value:.3g} {unit}"


def verdict(figures: Sequence[Figure]) -> str:
    """Say in a sentence or two what the limits and aims came to."""
    over = [f"{each.kind}: {each.of}" for each in figures if not each.ok]
    short = [f"{each.kind}: {each.of}" for each in figures if each.ok and not each.reached]
    told = f"{len(figures) - len(over)} of {len(figures)} figures keep their limits."
    told += f" Over: {'; '.join(over)}." if over else ""
    return told + (f" Short of the aim: {'; '.join(short)}." if short else "")
