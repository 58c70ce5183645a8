"""Finds every `*` in a policy statement of a template; runs in the SAM CLI's environment, which has YAML.

`stars.py TEMPLATE` prints a JSON list of [line number, value, what follows the value on its line].
"""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def scalars(node: Any, *, inside: bool = False) -> Iterator[Any]:
    """Give the scalars below every key `Statement`; an alias stands where its anchor does."""
    if isinstance(node.value, str):
        if inside:
            yield node
        return
    for child in node.value:
        if isinstance(child, tuple):
            key, value = child
            yield from scalars(value, inside=inside or key.value == "Statement")
        else:
            yield from scalars(child, inside=inside)


def main(template: str) -> None:
    """Print what is found in a template."""
    text = Path(template).read_text(encoding="utf-8")
    lines = text.splitlines()
    found = {}
    for scalar in scalars(importlib.import_module("yaml").compose(text)):
        if "*" in scalar.value:
            end = scalar.end_mark
            found[scalar.start_mark.index] = [
                scalar.start_mark.line + 1, scalar.value, lines[end.line][end.column :]
            ]  # fmt: skip
    json.dump(list(found.values()), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
