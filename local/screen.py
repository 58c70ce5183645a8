"""Draws lines, tables and live progress: on a terminal with colours, else as plain lines.

Plain lines are never wrapped, shortened or redrawn, so that a log holds all the evidence. Text that
comes from outside is shown and never obeyed: neither as markup nor as control characters.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

WIDEST = 110  # columns; longer lines are tiring
INDENT = 2
GAP = 2  # blanks between columns
REDRAWN_PER_SECOND = 8
# Widths of the columns of progress: a mark, a state's name ("Wait For Name Servers"), seconds.
MARK, NAME, LASTED = 1, 21, 7

# A piece of a line: as it is, or with a style of rich.
Part = str | tuple[str, str]


def clean(text: str) -> str:
    """Show what a terminal would obey, or not show, as its escape; line ends stay."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in text.replace("\r\n", "\n")
    )


def line(*parts: Part) -> Text:
    """Join parts into one text, without anything that could act."""
    return Text.assemble(
        *(clean(part) if isinstance(part, str) else (clean(part[0]), part[1]) for part in parts)
    )


def is_plain(stream: TextIO) -> bool:
    """Tell whether a stream gets plain lines: no terminal, or one that wants no colours."""
    return not stream.isatty() or bool(os.environ.get("NO_COLOR")) or _is_dumb()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "dumb") in {"dumb", "unknown"}


class Screen:
    """Where the demo draws; `plain` and `width` are found out from the stream unless given."""

    def __init__(
        self, stream: TextIO | None = None, *, plain: bool | None = None, width: int | None = None
    ) -> None:
        self._stream = stream or sys.stdout
        self.plain = is_plain(self._stream) if plain is None else plain
        self._console = Console(
            file=self._stream, highlight=False, force_terminal=not self.plain, width=width
        )
        self._console.width = min(self._console.width, WIDEST)

    def heading(self, title: str) -> None:
        """Begin a part."""
        if self.plain:
            self._write(f"\n{clean(title)}\n{'-' * cell_len(clean(title))}")
        else:
            self._console.print()
            self._console.print(Rule(line((title, "bold")), align="left", style="dim cyan"))

    def say(self, *parts: Part) -> None:
        """Print a line, or several where there are line ends."""
        self._print(line(*parts))

    def message(self, text: str) -> None:
        """Print a message word for word; its lines that begin with "- " are items of a list."""
        for each in text.split("\n"):
            if each.startswith("- ") and not self.plain:
                self.table([[line("-"), line(each[2:])]])
            else:
                self.say(each)

    def blank(self) -> None:
        """Print an empty line."""
        self._print(Text())

    def table(self, rows: Sequence[Sequence[Text]], header: Sequence[str] = ()) -> None:
        """Print rows of cells, all of the same number."""
        if not rows:
            return
        if self.plain:
            every = [*([[Text(name) for name in header]] if header else []), *rows]
            self._write_columns([[cell.plain.replace("\n", " ") for cell in row] for row in every])
        else:
            grid = self._grid(len(rows[0]))
            for row in [[line((name, "dim")) for name in header]] * bool(header):
                grid.add_row(*row)
            for cells in rows:
                grid.add_row(*cells)
            self._print(grid)

    def fields(self, rows: Sequence[tuple[str, Text]]) -> None:
        """Print names and values; in plain form each pair is a line of its own."""
        if self.plain:
            for name, value in rows:
                self._print(Text(f"{clean(name)}: ").append_text(value))
        else:
            self.table([(line((name, "dim")), value) for name, value in rows])

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show what is being done while the block runs."""
        if self.plain:
            self.say(f"{what} …")
            yield
        else:
            spinner = Spinner("dots", line((f"{what} …", "dim")), style="cyan")
            with self._live(lambda: spinner):
                yield
            self.say(("✓ ", "green"), what)

    @contextlib.contextmanager
    def live(self, rows: Callable[[], Sequence[Sequence[RenderableType]]]) -> Iterator[None]:
        """Redraw rows of cells below all that is printed while the block runs; not in plain form."""
        if self.plain:
            yield
            return

        def drawn() -> RenderableType:
            current = rows()
            return self._filled(current) if current else Group()

        with self._live(drawn):
            yield

    def _live(self, drawn: Callable[[], RenderableType]) -> Live:
        return Live(
            get_renderable=lambda: Padding(drawn(), (0, 0, 0, INDENT)),
            console=self._console,
            refresh_per_second=REDRAWN_PER_SECOND,
            transient=True,
        )

    def steps(self, rows: Sequence[Sequence[RenderableType]]) -> None:
        """Print rows of `live` for good: not for the plain form."""
        if rows:
            self._print(self._filled(rows))

    def _filled(self, rows: Sequence[Sequence[RenderableType]]) -> Table:
        # Fixed widths, so that rows printed at different times stand below each other.
        grid = Table.grid(padding=(0, GAP, 0, 0))
        grid.add_column(width=MARK)
        grid.add_column(width=NAME, overflow="fold")
        grid.add_column(width=LASTED, justify="right")
        grid.add_column(overflow="fold")
        for row in rows:
            grid.add_row(*row)
        return grid

    def _grid(self, columns: int) -> Table:
        grid = Table.grid(padding=(0, GAP, 0, 0))
        for _ in range(columns):
            grid.add_column(overflow="fold")
        return grid

    def _print(self, drawn: Text | Table) -> None:
        if not self.plain:
            self._console.print(Padding(drawn, (0, 0, 0, INDENT)))
        elif isinstance(drawn, Text):
            self._write("\n".join(" " * INDENT + each for each in drawn.plain.split("\n")))

    def _write_columns(self, rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            padded = (
                cell + " " * (width - cell_len(cell))
                for cell, width in zip(row, widths, strict=True)
            )
            self._write(" " * INDENT + (" " * GAP).join(padded))

    def _write(self, text: str) -> None:
        lines = (each.rstrip() for each in text.split("\n"))
        print("\n".join(lines), file=self._stream, flush=True)


# --- times

_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_UNITS = (("day", 86_400, 2), ("hour", 3600, 2), ("minute", 60, 2), ("second", 1, 0))


def moment(at: datetime, now: datetime) -> str:
    """Say a time as people read it, and how far off it is; both are aware, in UTC."""
    return f"{exactly(at)} ({distance(at, now)})"


def exactly(at: datetime) -> str:
    """Say a time as people read it."""
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def distance(at: datetime, now: datetime) -> str:
    """Say how far off a time is: "in 7 days", "3 seconds ago", "now"."""
    seconds = round(abs(at - now).total_seconds())
    if not seconds:
        return "now"
    name, size = next((name, size) for name, size, least in _UNITS if seconds >= size * least)
    count = round(seconds / size)
    amount = f"{count} {name}{'' if count == 1 else 's'}"
    return f"in {amount}" if at > now else f"{amount} ago"


def readable_times(text: str, now: datetime) -> str:
    """Replace each RFC 3339 timestamp in a text by what `moment` says."""

    def replaced(found: re.Match[str]) -> str:
        at, before = datetime.fromisoformat(found[0]), text[: found.start()]
        # No brackets within brackets.
        if before.count("(") > before.count(")"):
            return f"{exactly(at)}, {distance(at, now)}"
        return moment(at, now)

    return _STAMP.sub(replaced, text)


def is_stamp(text: str) -> bool:
    """Tell whether a text is a timestamp of the workflow and nothing else."""
    return bool(_STAMP.fullmatch(text))


def seconds(length: timedelta) -> str:
    """Say a length as "4.1 s"."""
    return f"{max(length.total_seconds(), 0):.1f} s"
