"""How the documents are read by the tests that hold them to the code.

Tables of the README are found by their heading; the first cell of a row, in code, names what the row
is about.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = DOCUMENTS["README.md"]
TEMPLATE = (ROOT / "template.yaml").read_text()
DEFINITION = json.loads((ROOT / "statemachine/disable.asl.json").read_text())


def section(title: str, text: str = README) -> str:
    """The text below a heading of level two, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a text, each a list of rows without its head, each row a list of cells."""
    return [table[1:] for table in tables_with_heads(text)]


def tables_with_heads(text: str) -> list[list[list[str]]]:
    """The same, the head as the first row."""
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        found.append([rows[0], *rows[2:]])
    return found


def table(title: str, first: str) -> list[list[str]]:
    """The one table of a section whose first head is FIRST, without its head."""
    [found] = [one[1:] for one in tables_with_heads(section(title)) if one[0][0] == first]
    return found


def codes(text: str) -> list[str]:
    """What stands in code spans."""
    return re.findall(r"`([^`\n]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def spans_and_blocks(text: str) -> str:
    """All that is code in a document."""
    fenced = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fenced, *codes(prose)])


def named(rows: list[list[str]]) -> dict[str, str]:
    """Rows by the name, in code, in their first cell; a name may have one row only."""
    names = [name for row in rows for name in codes(row[0])]
    assert len(names) == len(set(names))
    return {name: " | ".join(row[1:]) for row in rows for name in codes(row[0])}


NODE = re.compile(r"(\w+)(?:\[|\{|\(\[)\"([^\"]+)\"(?:\]|\}|\]\))")
EDGE = re.compile(r"(\w+) -(\.?)->(?:\|([^|]+)\|)? (\w+)")


class Picture:
    """A flowchart: nodes and frames by id, which frame each is in, and the arrows."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.titles: dict[str, str] = {}
        self.frame_of: dict[str, str] = {}
        self.arrows: list[tuple[str, str]] = []
        self.labels: list[tuple[str, str, str]] = []  # start, end, what the arrow says
        self.dotted: list[tuple[str, str, str]] = []  # those of dotted arrows
        frames: list[str] = []
        for line in filter(None, map(str.strip, source.splitlines()[1:])):
            if line == "end":
                frames.pop()
            elif found := EDGE.fullmatch(line):
                start, dot, label, end = found.groups()
                self.arrows.append((start, end))
                (self.dotted if dot else self.labels).append((start, end, label or ""))
            else:
                found = NODE.fullmatch(line.removeprefix("subgraph "))
                assert found, f"not understood: {line}"
                assert found[1] not in self.titles, f"twice: {line}"
                self.titles[found[1]] = found[2]
                if frames:
                    self.frame_of[found[1]] = frames[-1]
                if line.startswith("subgraph "):
                    frames.append(found[1])
        assert not frames

    def inside(self, frame: str) -> set[str]:
        """The titles of what stands directly in the frame of this title."""
        return {self.titles[each] for each, of in self.frame_of.items() if self.titles[of] == frame}

    def titled_arrows(self) -> set[tuple[str, str]]:
        """The arrows, by titles."""
        return {(self.titles[start], self.titles[end]) for start, end in self.arrows}


def picture(title: str) -> Picture:
    """The one flowchart of a section."""
    [source] = blocks(section(title), "mermaid")
    return Picture(source)
