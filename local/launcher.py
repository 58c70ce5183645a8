"""Runs the emulator, or the SAM CLI, in its own environment and tied to the process that began it.

`launcher.py emulator FD` serves ministack on the bound socket FD; `launcher.py sam ARGUMENT...` is
the SAM CLI. Both end, with every process they started, when standard input closes: a parent that is
killed cannot clean up, but the kernel closes its end of the pipe. The parent must therefore start
this in a session of its own and keep a pipe to it open.

This file runs on the emulator's or the SAM CLI's own interpreter, never on that of the lab.

What ministack lacks and AWS does is added by local/mends.py before it starts.
"""

import asyncio
import contextlib
import importlib
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# A folder of files named after distributions whose invalidations must stay InProgress.
HOLD = "MTA_STS_LAB_HOLD"
# The file that takes a JSON line for each thing that a role asked for, and whether it was allowed.
AUTHORISATIONS = "MTA_STS_LAB_AUTHORISATIONS"
# A PEM file of the authorities that API destinations are to be trusted by, beside the system's.
AUTHORITIES = "MTA_STS_LAB_AUTHORITIES"
# The folder to take away when the parent is gone.
REMOVE = "MTA_STS_LAB_REMOVE"


def tie_to_parent(folder: str) -> None:
    """End this process group, and take `folder` away, when standard input closes."""

    def wait() -> None:
        # Not by sys.stdin, whose lock would be held while the interpreter ends.
        while os.read(0, 4096):
            continue
        try:
            # From outside the group, after its end: until then its workers go on to write files.
            subprocess.Popen(
                [sys.executable, __file__, "remove", str(os.getpgrp()), folder],
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            ).wait()
        finally:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def remove(group: int, folder: str) -> None:
    """End a process group, then take a folder away, also what was being written at that moment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.05)


def own(module: str) -> Any:
    """Import a module of this folder, which is no package of the emulator's environment."""
    root = str(Path(__file__).parent.parent)
    sys.path.insert(0, root)
    try:
        return importlib.import_module(f"local.{module}")
    finally:
        sys.path.remove(root)


def serve(descriptor: int) -> None:
    """Serve ministack on a socket that the parent has bound, so that no port is ever guessed."""
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    app = importlib.import_module("ministack.app").app
    asyncio.run(importlib.import_module("hypercorn.asyncio").serve(app, config))


def main(kind: str, *arguments: str) -> None:
    """Run what is asked for."""
    # The folder of this script would otherwise come first and shadow modules of the tools.
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    if kind == "remove":
        group, folder = arguments
        remove(int(group), folder)
        return
    # Taken out of the environment, because every function's process inherits it.
    tie_to_parent(os.environ.pop(REMOVE))
    if kind == "sam":
        sys.argv = ["sam", *arguments]
        runpy.run_module("samcli", run_name="__main__", alter_sys=True)
        return
    files = (Path(os.environ.pop(name)) for name in (HOLD, AUTHORISATIONS, AUTHORITIES))
    own("mends").mend(*files)
    serve(int(arguments[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
