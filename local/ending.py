"""How a command ends when something breaks: with one line and a status, never with a traceback."""

import os
import sys
from collections.abc import Callable

BROKEN, INTERRUPTED = 2, 130
STOPPED = "Stopped; nothing is left of the lab."


def ended(command: Callable[[], int], *, interrupted: int = INTERRUPTED) -> int:
    """Return a command's exit status: its own, `interrupted` after Ctrl-C, 2 when it broke."""
    try:
        return command()
    except KeyboardInterrupt:
        print(f"\n{STOPPED}", file=sys.stderr)  # the terminal has just printed ^C
        return interrupted
    except BrokenPipeError:  # whoever was reading has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN
    except Exception as error:  # noqa: BLE001 - whatever broke, one line says so
        told = " ".join(str(error).split())
        print(f"The lab failed: {type(error).__name__}: {told}", file=sys.stderr)
        return BROKEN
