"""Starts the AWS emulator: a process of its own, on loopback, that cannot outlive the lab."""

import functools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.session import Session

from local import environments
from local.launcher import AUTHORISATIONS, AUTHORITIES, HOLD, REMOVE

LAUNCHER = Path(__file__).with_name("launcher.py")
HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "000000000000"
# The emulator's own administrator: these words open nothing anywhere else.
ACCESS_KEY = SECRET_KEY = "test"  # noqa: S105 - see above
START_SECONDS = 30
# Every answer comes from this machine: one that fails would fail again, so none is asked for twice.
CLIENT_SETTINGS = Config(
    proxies={}, retries={"total_max_attempts": 1}, connect_timeout=10, max_pool_connections=50
)


class EmulatorError(Exception):
    """The emulator did not start; the message ends with what it printed."""


@dataclass(frozen=True)
class Authorisation:
    """What a role asked for: `action` on `resource`, and the decision: Allow, ImplicitDeny or Deny.

    `context` is all that it was decided from, as the emulator's evaluator takes it (`EvalContext`);
    its `service_context` has the condition keys of the service.
    """

    role: str
    action: str
    resource: str
    decision: str
    context: dict[str, Any]


class Emulator:
    """A running emulator with IAM enforced, on http://127.0.0.1:PORT (`endpoint_url`).

    Everything it writes lies in `directory`, which goes when it ends: with `close`, or with the end
    of this process, whatever ends it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._hold = directory / "hold"
        self._hold.mkdir(parents=True, exist_ok=True)
        self._temporary = directory / "tmp"
        self._temporary.mkdir()
        self._log = directory / "emulator.log"
        self._authorisations = directory / "authorisations.jsonl"
        with socket.socket() as listener:
            # Bound here and handed over: a port that is only looked up may be gone a moment later.
            listener.bind((HOST, 0))
            self.endpoint_url = f"http://{HOST}:{listener.getsockname()[1]}"
            self._process = self._start(listener)
        try:
            self._await_health()
        except BaseException:
            self.close()
            raise

    def hold_invalidations(self, distribution_id: str) -> None:
        """Let new invalidations of the distribution stay InProgress until they are released."""
        (self._hold / distribution_id).touch()

    def release_invalidations(self, distribution_id: str) -> None:
        """Complete what is InProgress, and what comes, at once."""
        (self._hold / distribution_id).unlink(missing_ok=True)

    def client(self, service: str, **credentials: str) -> Any:
        """Return a boto3 client of the emulator: the administrator's, or with these credentials.

        Nothing on this machine has a say: no profile, no configuration file, no proxy.
        """
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY} | credentials
        return _session().client(
            service,  # type: ignore[call-overload] # a service that is known at run time only
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            config=CLIENT_SETTINGS,
            **keys,
        )

    def authorisations(self) -> list[Authorisation]:
        """Return every decision so far on what a role asked for, oldest first.

        Lambda's own are among them: it writes a function's log by the function's role.
        """
        lines = self._authorisations.read_bytes().splitlines()
        return [_authorisation(json.loads(line)) for line in lines]

    def log(self) -> str:
        """Return what the emulator has printed so far."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """End the emulator and its workers. Closing twice is fine."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        # It has this removed, unless it died; that may take a moment longer than its own end.
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        python = environments.executable("emulator")
        descriptor = listener.fileno()
        # Nothing of the caller's environment but these two: workers inherit all of it, and a
        # function must not find here what it would not find on AWS.
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "BIND_HOST": HOST,
            "DOCKER_HOST": f"unix://{self._temporary}/no-docker",  # functions run as processes
            "GATEWAY_PORT": str(listener.getsockname()[1]),
            "IOT_MTLS_ENABLED": "0",  # would listen on every interface
            "LOG_LEVEL": "WARNING",
            "MINISTACK_REGION": REGION,
            "S3_DATA_DIR": str(self._temporary / "s3"),
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self._temporary / "state"),
            "TMPDIR": str(self._temporary),
            AUTHORISATIONS: str(self._authorisations),
            AUTHORITIES: str(self.directory / "ca.pem"),  # as CertificateAuthority writes it
            HOLD: str(self._hold),
            REMOVE: str(self.directory),
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [python, LAUNCHER, "emulator", str(descriptor)],
                cwd=self._temporary,
                env=environment,
                pass_fds=[descriptor],
                start_new_session=True,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _await_health(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        url = f"{self.endpoint_url}/_ministack/health"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with direct.open(url, timeout=1) as answer:
                    if json.load(answer)["auth"] == "enabled":
                        return
                raise EmulatorError("the emulator does not enforce IAM policies")
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.02)
        raise EmulatorError(f"the emulator did not start:\n{self.log()}")


def _authorisation(line: dict[str, Any]) -> Authorisation:
    context = line["context"]
    return Authorisation(
        role=line["role"],
        action=context["action"],
        resource=context["resource_arn"],
        decision=line["decision"],
        context=context,
    )


@functools.cache
def _session() -> boto3.Session:
    """Return a session that reads no configuration of this machine."""
    nothing = (None, None, os.devnull, None)
    unset = (None, None, None, None)
    settings = {"config_file": nothing, "credentials_file": nothing, "profile": unset}
    return boto3.Session(botocore_session=Session(settings))
