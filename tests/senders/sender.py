"""A sender that others wrote: postfix-mta-sts-resolver, asked as Postfix asks it (socketmap_table(5)).

It answers "secure" with the names that a certificate must show where a policy is enforced, else that
it found nothing; which is all that decides over a mail.
"""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from local import environments
from local.lab import Lab

START_SECONDS = 20
ANSWER_SECONDS = 10
PAUSE = 0.1  # between two mails of a sender that is watched
PATIENCE = 40  # seconds; nothing here takes long, but the machine may be busy

# In a mount namespace of its own it reads the lab's resolver as the machine's. Ends with its input:
# a test process that is killed cannot clean up, but the kernel closes its end of the pipe.
_SCRIPT = """
mount --bind "$1" /etc/resolv.conf || exit 1
shift
"$@" &
cat
kill -KILL $!
"""


@dataclass(frozen=True)
class Look:
    """One question and its answer; the sender decided between the two moments (aware, UTC)."""

    asked_at: datetime
    answered_at: datetime
    answer: str

    @property
    def secure(self) -> bool:
        """Whether mail may go only to a server with a certificate that the policy names."""
        return self.answer.startswith("OK secure match=")


class SenderError(Exception):
    """The sender did not start, or gave an answer that means neither; with what it printed."""


class Sender:
    """A running sender that uses the lab's first resolver and trusts the lab's authority.

    It keeps a policy for its max_age, and looks at the record for each mail: `cache_grace`, for
    which it would not look again, is nothing. What it asks DNS it keeps for the TTL. Begins with
    nothing cached; a context manager.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._path = folder / "socket"
        self._log = folder / "log"
        (address, port), ca_file = lab.resolvers[0], lab.ca_file
        if port != 53:
            raise ValueError(f"a real sender asks port 53, not {port}: Lab(dns_port=53)")
        (folder / "resolv.conf").write_text(f"nameserver {address}\n")
        # JSON is YAML as well.
        (folder / "config.yml").write_text(f'{{"path": "{self._path}", "cache_grace": 0}}\n')
        command: list[str | Path] = [
            "unshare", "--mount", "sh", "-c", _SCRIPT, "sender", folder / "resolv.conf",
            environments.executable("senders", "mta-sts-daemon"), "-c", folder / "config.yml",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = self._start(command, ca_file, log)
        try:
            _until(self._is_up, START_SECONDS, self._told)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sender; what it cached is forgotten. Closing twice is fine."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def ask(self, domain: str) -> Look:
        """Ask about one mail to the domain; raises SenderError for an answer that means neither."""
        asked_at = datetime.now(UTC)
        with self._connected() as connection, connection.makefile("rb") as answers:
            question = f"test {domain}".encode()
            connection.sendall(b"%d:%s," % (len(question), question))
            length = int(_until_colon(answers))
            answer = answers.read(length + 1).decode().removesuffix(",")
        look = Look(asked_at, datetime.now(UTC), answer)
        if not look.secure and answer.strip() != "NOTFOUND":
            raise SenderError(self._told(f"{domain} was answered by {answer!r}"))
        return look

    def secure(self, domain: str) -> bool:
        """Tell whether the sender enforces a policy of the domain now."""
        return self.ask(domain).secure

    def looked(self, domain: str, times: int = 1) -> Look:
        """Ask until the sender has asked DNS for the record so many times more, and once again.

        The last answer rests on what DNS says now, not on what the sender remembered of it. Nobody
        else may ask the resolver for the record meanwhile.
        """
        seen = len(self._lab.resolvers_world.queries(f"_mta-sts.{domain}"))

        def has_asked() -> bool:
            self.ask(domain)
            return len(self._lab.resolvers_world.queries(f"_mta-sts.{domain}")) >= seen + times

        _until(has_asked, PATIENCE, lambda: self._told(f"no look at the record of {domain}"))
        return self.ask(domain)

    def becomes(self, domain: str, *, secure: bool) -> None:
        """Ask until the answer is this one; SenderError when it does not come."""
        _until(
            lambda: self.secure(domain) == secure,
            PATIENCE,
            lambda: self._told(f"{domain} did not become {'secure' if secure else 'nothing'}"),
        )

    def _start(
        self, command: list[str | Path], ca_file: str, log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        # Nothing else of the environment: not the machine's proxies, not its certificates.
        environment = {"PATH": os.environ.get("PATH", os.defpath), "SSL_CERT_FILE": ca_file}
        return subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise SenderError(self._told("the sender ended"))
        try:
            self._connected().close()
        except OSError:
            return False
        return True

    def _told(self, problem: str = "the sender did not start") -> str:
        return f"{problem}; it printed:\n{self._log.read_text(errors='replace')[-4000:]}"


class Watch:
    """Sends mail to one domain all the time; `looks` has every answer, oldest first.

    A context manager, which stops at its end and raises what the sender raised meanwhile.
    """

    def __init__(self, sender: Sender, domain: str) -> None:
        self.looks: list[Look] = []
        self._sender, self._domain = sender, domain
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def until(self, moment: datetime) -> None:
        """Go on until an answer was asked for later than this."""

        def is_over() -> bool:
            return self._problem is not None or any(look.asked_at > moment for look in self.looks)

        rest = (moment - datetime.now(UTC)).total_seconds()
        _until(is_over, max(rest, 0) + PATIENCE, lambda: f"no answer after {moment}")

    @property
    def last_secure(self) -> datetime:
        """When mail was sent last that only a server which the policy names could have had."""
        return max(look.asked_at for look in self.looks if look.secure)

    def _go_on(self) -> None:
        try:
            while not self._stop.wait(PAUSE):
                self.looks.append(self._sender.ask(self._domain))
        except BaseException as problem:  # noqa: BLE001 - it is raised where the watch ends
            self._problem = problem


def _until_colon(answers: IO[bytes]) -> bytes:
    found = b""
    while (byte := answers.read(1)) not in (b":", b""):
        found += byte
    return found


def _until(condition: Callable[[], bool], seconds: float, problem: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SenderError(problem())
        time.sleep(0.05)
