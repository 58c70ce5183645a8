"""Measures functions in fresh processes: what they import, how long they take, how much they hold.

A process sees what a function sees on AWS: its handler and the layer, both as they were built, without
bytecode, and none can be written there; and the runtime's boto3, which is taken to have it.
"""

import compileall
import contextlib
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from local import deploy

CHILD = Path(__file__).with_name("child.py")
LAYER = "MtaStsLayer"
# What AWS ships in its Python runtimes: boto3 and what it needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py")
# No process is to wait for anybody longer; DNS has its own, shorter time-out.
SECONDS = 60


class FreshProcessError(Exception):
    """What ran in a fresh process failed; the message is what it said last."""


@dataclass(frozen=True)
class Needs:
    """What a function cannot do without: third-party modules, and AWS clients, which load models."""

    modules: tuple[str, ...]
    clients: tuple[str, ...] = ()


_LOGGER = ("aws_lambda_powertools",)
_AWS = (*_LOGGER, "boto3", "botocore.config")
_LEDGER = ("boto3.dynamodb.types",)
_NAMES = ("idna",)
_DNS = (
    "asyncio",
    "dns.asyncbackend",
    "dns._asyncio_backend",
    "dns.asyncquery",
    "dns.message",
    # dnspython loads a type when it first reads one.
    *(f"dns.rdtypes.ANY.{each}" for each in ("OPT", "SOA")),
    *(f"dns.rdtypes.IN.{each}" for each in ("A", "AAAA")),
)
_RECORDS = tuple(f"dns.rdtypes.ANY.{each}" for each in ("NS", "TXT"))
# By the resource's name in the template, for a run of none-policy without a CDN; of the API for an answer.
NEEDS = {
    "PlanChange": Needs(
        (*_AWS, *_LEDGER, *_NAMES, *_DNS, *_RECORDS, "dns.rdtypes.ANY.MX"),
        ("s3", "route53", "cloudfront", "dynamodb"),
    ),
    "ClaimDomain": Needs((*_AWS, *_LEDGER, *_NAMES), ("s3", "dynamodb")),
    "PublishPolicy": Needs(_AWS, ("s3",)),
    "PurgeCdn": Needs((*_LOGGER, "botocore.exceptions")),
    "ChangeRecord": Needs(_AWS, ("route53",)),
    "VerifyRecord": Needs((*_LOGGER, *_DNS, *_RECORDS)),
    "VerifyPolicy": Needs((*_LOGGER, *_DNS, "ssl", "urllib3")),
    "Api": Needs((*_AWS, *_LEDGER, *_NAMES, "aws_lambda_powertools.event_handler"), ("dynamodb",)),
    "RecordOutcome": Needs((*_AWS, *_LEDGER, *_NAMES), ("dynamodb",)),
}
# No measured run calls them: a look has nothing to wait for, and the others work once in a long while.
NOT_MEASURED = frozenset(
    {"CheckDomain", "RemovePolicy", "SweepDue", "CloseRun", "TakeHook", "StartRun"}
)


@dataclass(frozen=True)
class Told:
    """What a process said: the seconds of each part, its peak of memory, how much it printed.

    Of a function the parts are its import, its first call and each later one. In `cpu_seconds`
    neither what it waits for nor what else runs on the machine counts. `aws_modules` are those of
    boto3 and botocore that it has loaded, but for the bare package botocore.
    """

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    peak_mb: float
    logged_bytes: int
    aws_modules: tuple[str, ...]


class Fresh:
    """Starts fresh processes for the functions of the built template; a context manager.

    `environment` is what AWS gives to every function, and the emulator's address.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._built = deploy.build().parent
        self._stack = contextlib.ExitStack()
        self._runtime = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        installed = Path(sysconfig.get_paths()["purelib"])
        for name in RUNTIME:
            (self._runtime / name).symlink_to(installed / name)
            compiled = (
                compileall.compile_dir if (installed / name).is_dir() else compileall.compile_file
            )
            compiled(installed / name, quiet=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def layer(self) -> Path:
        """The built layer: the folder that becomes /opt."""
        return self._built / LAYER

    def call(self, name: str, event: Any, variables: Mapping[str, str], *, again: int = 0) -> Told:
        """Import a function's handler, call it with the event, and `again` as often as that says.

        Raises FreshProcessError where the handler raises.
        """
        return self._run(name, {"event": event, "again": again}, variables)

    def load(self, name: str) -> Told:
        """Import only what the function must, and create its AWS clients."""
        needs = NEEDS[name]
        return self._run(name, {"modules": needs.modules, "clients": needs.clients}, {})

    def _run(self, name: str, asked: Mapping[str, Any], variables: Mapping[str, str]) -> Told:
        paths = [self._built / name, self.layer / "python", self._runtime]
        done = subprocess.run(
            # Isolated, without site packages, writing no bytecode.
            [sys.executable, "-I", "-S", "-B", CHILD],
            input=json.dumps({"paths": [str(path) for path in paths], **asked}),
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise FreshProcessError(f"{name}: {_last_line(done.stderr)}")
        told = json.loads(done.stdout)
        seconds, cpu_seconds = zip(*told["parts"], strict=True)
        return Told(
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            peak_mb=told["peak_kib"] / 1024,
            logged_bytes=told["logged_bytes"],
            aws_modules=tuple(told["aws_modules"]),
        )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
