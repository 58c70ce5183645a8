"""How the emulator is mended: its parts are looked at before one is put in the place of another."""

import importlib
import sys
from collections.abc import Callable
from inspect import signature
from typing import Any, NoReturn


def refuse(what: str) -> NoReturn:
    """Stop, because this ministack is not the one that the mends were written for."""
    sys.exit(f"the lab's mends must be adapted to this version of ministack: {what} has changed")


def part(module: str, name: str) -> Any:
    """Return a part of ministack; those used here are internal, so look before use."""
    found = getattr(importlib.import_module(module), name, None)
    return refuse(f"{module}.{name}") if found is None else found


def function(module: str, name: str, *parameters: str) -> Callable[..., Any]:
    """Return a function of ministack, after a look whether these are still its first parameters."""
    found: Callable[..., Any] = part(module, name)
    if tuple(signature(found).parameters)[: len(parameters)] != parameters:
        refuse(f"the signature of {module}.{name}")
    return found


def put(module: str, name: str, replacement: object) -> None:
    """Put a replacement in the place of a part of ministack."""
    setattr(importlib.import_module(module), name, replacement)
