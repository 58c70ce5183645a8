"""Real TLS servers on loopback addresses of their own, all on one free port, for one test."""

import errno
import secrets
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mta_sts.adapters.https import fetch
from mta_sts.policy_check import Fetched
from mta_sts.settings import Network

HOST = "mta-sts.solarmora.com"
GUARD_SECONDS = 10  # no test comes near it; a broken one must not hang

Closed = threading.Event
Answer = Callable[[ssl.SSLSocket, Closed], None]
RawAnswer = Callable[[socket.socket, Closed], None]


@dataclass
class Server:
    """One listener; what it saw is kept for the test to read."""

    address: str
    listener: socket.socket
    context: ssl.SSLContext
    answers: Sequence[Answer]
    raw: RawAnswer | None = None
    connections: int = 0
    server_names: list[str | None] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    closed: Closed = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        def remember(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
            self.server_names.append(name)

        self.context.sni_callback = remember
        self.listener.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        for thread in self.threads:
            thread.join(GUARD_SECONDS)
        self.listener.close()

    @property
    def requests(self) -> list[bytes]:
        """The requests as they came, once every connection so far has been dealt with."""
        for thread in self.threads[1:]:  # the first one listens
            thread.join(GUARD_SECONDS)
        return self.heads

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            answer = self.answers[min(self.connections, len(self.answers)) - 1]
            self._start(self._serve, connection, answer)

    def _serve(self, connection: socket.socket, answer: Answer) -> None:
        connection.settimeout(GUARD_SECONDS)
        # Clients that refuse the certificate or stop reading are what the tests are about.
        with connection, suppress(OSError):
            if self.raw:
                self.raw(connection, self.closed)
                return
            with self.context.wrap_socket(connection, server_side=True) as tls:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (part := tls.recv(4096)):
                    head += part
                if head:
                    self.heads.append(head)
                answer(tls, self.closed)


@dataclass
class Servers:
    """The private authority and the port that all servers of a test share."""

    authority: trustme.CA
    network: Network
    directory: Path
    sockets: list[socket.socket]
    stack: ExitStack

    @property
    def addresses(self) -> list[str]:
        """The loopback addresses that are held for this test, ``::1`` the last."""
        return [held.getsockname()[0] for held in self.sockets]

    def serve(
        self,
        place: int,
        *answers: Answer,
        certificate: trustme.LeafCert | None = None,
        pem: str = "",
        raw: RawAnswer | None = None,
        old_tls: bool = False,
    ) -> Server:
        """Serve at ``addresses[place]``: the first of ANSWERS first, the last one for good.

        ``pem`` is the path of a file with key and chain, instead of a certificate for HOST.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if pem:
            context.load_cert_chain(pem)
        else:
            (certificate or self.authority.issue_cert(HOST)).configure_cert(context)
        if old_tls:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        server = Server(
            self.addresses[place], self.sockets[place], context, answers or [reply()], raw
        )
        return self.stack.enter_context(server)


@contextmanager
def servers(directory: Path, *, ipv4: int = 3) -> Iterator[Servers]:
    """Hold a free port at IPV4 random loopback addresses and at ``::1``; serve nothing yet."""
    authority = trustme.CA()
    ca_file = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with ExitStack() as stack:
        held = _hold_a_port(ipv4)
        for each in held:
            stack.enter_context(each)
        network = Network((), https_port=held[0].getsockname()[1], ca_file=str(ca_file))
        yield Servers(authority, network, directory, held, stack)


def ask(world: Servers, place: int = 0, *, seconds: float = GUARD_SECONDS) -> Fetched:
    """Fetch the policy of HOST from ``addresses[place]``."""
    return fetch(HOST, world.addresses[place], world.network, seconds=seconds)


def _hold_a_port(ipv4: int) -> list[socket.socket]:
    """Bind, without listening, so that connecting is refused until a server starts."""
    while True:
        held = [socket.socket(socket.AF_INET6, socket.SOCK_STREAM)]
        try:
            held[0].bind(("::1", 0))
            port = held[0].getsockname()[1]
            for _ in range(ipv4):
                held.insert(-1, socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                held[-2].bind((_loopback_address(), port))
        except OSError as error:
            for each in held:
                each.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return held


def _loopback_address() -> str:
    return ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])


def reply(
    body: bytes = b"version: STSv1\r\n",
    status: int = 200,
    media_type: str = "text/plain",
    *headers: str,
    length: int | None = None,
) -> Answer:
    """Answer with BODY and close; LENGTH overrides the true Content-Length."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    lines += [f"Content-Type: {media_type}"] if media_type else []
    return send("\r\n".join([*lines, *headers, "", ""]).encode() + body)


def send(data: bytes) -> Answer:
    """Answer with exactly DATA and close."""
    return lambda tls, _: tls.sendall(data)


def after(event: threading.Event, answer: Answer) -> Answer:
    """Answer only once EVENT has happened; without it, hang up."""

    def wait(tls: ssl.SSLSocket, closed: Closed) -> None:
        if event.wait(GUARD_SECONDS):
            answer(tls, closed)

    return wait


def endless(tls: ssl.SSLSocket, closed: Closed) -> None:
    """Send a body without an end, as fast as it is read."""
    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while not closed.is_set():
        tls.sendall(b"x" * 4096)


def drip(start: bytes, drop: bytes) -> RawAnswer:
    """Send START, then DROP again and again: never silent, never done."""

    def answer(tls: socket.socket, closed: Closed) -> None:
        tls.sendall(start)
        while not closed.wait(0.02):
            tls.sendall(drop)

    return answer


def hang_up(tls: ssl.SSLSocket, _: Closed) -> None:
    """Close without an answer."""


def forge(
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    *names: str,
    title: str = "",
    authority: bool = False,
    days: int = 30,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Issue what trustme will not: partial wildcards, and authorities that end DAYS from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    title = title or f"forged {secrets.token_hex(4)}"
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)]))
        .issuer_name(issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return builder.sign(issuer[1], hashes.SHA256()), key


def issuer_of(authority: trustme.CA) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Give AUTHORITY in the form that :func:`forge` takes."""
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(authority.cert_pem.bytes()), key


def write_pem(path: Path, key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate) -> str:
    """Write KEY and CHAIN into one file; give its name."""
    parts = [
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        *(each.public_bytes(serialization.Encoding.PEM) for each in chain),
    ]
    path.write_bytes(b"".join(parts))
    return str(path)
