"""Runs the tests of this folder in a network namespace: `python -m tests.senders [ARGUMENTS]`.

The arguments go to pytest. Needs root, and `unshare` and `mount` of util-linux. What takes the
network is done before: the product, and a wrong version of it, are built outside.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from local import deploy
from tests.senders import mutated, namespace

TESTS = Path(__file__).parent
MUTANTS = ("id-before-policy",)


def problem() -> str:
    """Say why a namespace cannot be made here; empty where it can."""
    if missing := [name for name in ("unshare", "mount") if shutil.which(name) is None]:
        return f"{' and '.join(missing)} is missing (Debian: apt-get install util-linux mount)"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "true"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return f"a namespace needs root: {done.stderr.strip()}" if done.returncode else ""


def main(arguments: Sequence[str]) -> int:
    """Build, enter a namespace and run the tests; return pytest's status, 2 where none can be made."""
    if found := problem():
        print(found, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mta-sts-senders-") as folder:
        deploy.build()
        for name in MUTANTS:
            if told := mutated.make(name, Path(folder)):
                print(told, file=sys.stderr)
                return 2
        inside = {namespace.OUTSIDE: namespace.here(), mutated.FOLDER: folder}
        command = ["unshare", "--net", sys.executable, "-m", "pytest", "-q", *arguments]
        return subprocess.run(
            [*command, str(TESTS)],
            env=os.environ | inside,
            check=False,
        ).returncode


def _end(*_: object) -> None:
    sys.exit(143)  # as a shell says it of SIGTERM; what was begun is cleaned up on the way


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
