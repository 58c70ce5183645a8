"""Protects a deployed stack from being deleted by mistake: the last step of `make deploy`.

Unlike everything else in this package it talks to AWS, with the caller's own credentials: the SAM
CLI has no option for it.
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3


def target(config: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Return stack, region and profile from what `sam deploy --guided` has written down.

    KeyError where no stack is named.
    """
    default = config.get("default", {})
    places = [default.get(part, {}).get("parameters", {}) for part in ("deploy", "global")]

    def first(name: str) -> str | None:
        return next((str(place[name]) for place in places if name in place), None)

    stack = first("stack_name")
    if stack is None:
        raise KeyError("stack_name")
    return stack, first("region"), first("profile")


def main(file: Path) -> int:
    """Switch termination protection on for the stack that this file names."""
    stack, region, profile = target(tomllib.loads(file.read_text()))
    client = boto3.Session(profile_name=profile, region_name=region).client("cloudformation")
    client.update_termination_protection(StackName=stack, EnableTerminationProtection=True)
    print(f"{stack}: termination protection is on")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
