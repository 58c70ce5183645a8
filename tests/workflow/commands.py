"""The commands that documents show, taken out of the Markdown and run in the lab, by bash and the AWS CLI.

A fenced block `sh` is run. What stands in a block `text` right after it is what it has to print: `…` stands
for anything in a line, and alone in a line for any lines. What a lab cannot do is in a block `sh elsewhere`.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import environments
from local.lab import Lab

NOWHERE = "http://127.0.0.1:1"
PATIENCE = 120  # seconds for one block
ANYTHING = "…"
_FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What one block leaves to the next, and waits that are there for people. For SQS the AWS CLI has an address
# of its own, which goes before that of the environment.
_BEFORE = """
set -euo pipefail
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
sleep() { command sleep 0.5; }
test ! -e "$STATE" || . "$STATE"
trap '{ declare -f; declare -p | grep -v "^declare -[^ ]*r"; } >"$STATE"' EXIT
"""


@dataclass(frozen=True)
class Block:
    """What is run, and what it has to print; None where the document does not say."""

    script: str
    expected: str | None


def blocks(document: str) -> list[Block]:
    """Give the blocks of a document that can be run in a lab."""
    found = [(kind.strip(), body) for kind, body in _FENCED.findall(document)]
    after = [*found[1:], ("", "")]
    return [
        Block(body, told if next_kind == "text" else None)
        for (kind, body), (next_kind, told) in zip(found, after, strict=True)
        if kind == "sh"
    ]


def agrees(printed: str, expected: str) -> bool:
    """Tell whether what was printed is what was to be expected."""
    lines = []
    for line in expected.strip().splitlines():
        if line.strip() == ANYTHING:
            lines.append(r"(?:.*\n)*?")
        else:
            shown = re.escape(line.strip()).replace(re.escape(ANYTHING), r".*?")
            lines.append(rf"\s*{shown}\s*\n")
    return re.fullmatch("".join(lines), f"{printed.strip()}\n") is not None


class Shell:
    """A bash that talks to the lab: variables and functions of one block are there in the next."""

    def __init__(self, lab: Lab, folder: Path, **variables: str) -> None:
        self._lab = lab
        self._state = folder / "state"
        own = str(environments.executable("cli", "aws").parent)
        self._environment: dict[str, Any] = {
            "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "STATE": str(self._state),
            "AWS_PAGER": "",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Nothing leaves this machine, whatever a command believes to be its address.
            "HTTPS_PROXY": NOWHERE,
            "HTTP_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
            **lab.describe()["environment"],
            **variables,
        }

    def run(self, script: str) -> str:
        """Run a block; return what it printed. AssertionError, with all of it, where a command failed."""
        self._lab.refresh()  # name servers that do not lag have what the block before has written
        done = subprocess.run(
            ["bash", "-c", _BEFORE + script],  # noqa: S607 - the machine's own
            cwd=environments.ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follow(self, block: Block) -> str:
        """Run a block and hold what it prints to what the document says; return that."""
        printed = self.run(block.script)
        if block.expected is not None:
            assert agrees(printed, block.expected), f"{block.script}\n{printed}"
        return printed
