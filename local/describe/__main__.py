"""Writes the descriptions under docs/."""

import json
from typing import Any

from local.describe import inputs, openapi
from local.environments import ROOT

FILES = {"docs/openapi.json": openapi.description, "docs/input.schema.json": inputs.schema}


def text(description: dict[str, Any]) -> str:
    """Give a description as it stands in its file."""
    return json.dumps(description, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all of them."""
    for name, make in FILES.items():
        (ROOT / name).write_text(text(make()))
        print(name)


if __name__ == "__main__":
    main()
