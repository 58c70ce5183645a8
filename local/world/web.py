"""Policy hosts: real HTTPS servers on loopback addresses that share one port.

Every server answers for every policy host; the name in SNI picks the certificate and `Host` the
content. What is served is read at each request from a store that behaves as S3 does, so an object
that is written is served at once, unless a CDN stands in front or a fault says otherwise.
"""

import errno
import socket
import socketserver
import ssl
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol, Self

from botocore.exceptions import ClientError

from .ca import CertificateAuthority, CertificateFault, server_context
from .cdn import Answer, Cdn, Clock, system_clock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# RFC 8461 section 3.3.
PREFIX, PATH = "mta-sts.", "/.well-known/mta-sts.txt"
# A client that connects and says nothing gives up its thread.
IDLE_SECONDS = 10
KEPT_REQUESTS = 10_000
BIND_ATTEMPTS = 50


@dataclass(frozen=True)
class StoredObject:
    """An object's bytes, and what was stored about them that a web server repeats."""

    body: bytes
    content_type: str
    cache_control: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AccessDenied:
    """The object may not be read: S3's status 403."""


class Objects(Protocol):
    """Where the policy hosts' content lies."""

    def get(self, bucket: str, key: str) -> StoredObject | AccessDenied | None:
        """Return the object as it is now; None where there is none."""


class S3Objects:
    """Objects in S3, or in an emulator of it."""

    # Metadata that S3 repeats in its answers, beside the type and Cache-Control.
    _HEADERS = ("ContentEncoding", "ContentLanguage", "ContentDisposition", "ETag")

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def get(self, bucket: str, key: str) -> StoredObject | AccessDenied | None:
        """Return the object as it is now; archived ones are denied, as S3 does."""
        try:
            found = self._client.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in {"NoSuchKey", "NoSuchBucket"}:
                return None
            if code in {"AccessDenied", "InvalidObjectState"}:
                return AccessDenied()
            raise
        values: Mapping[str, object] = {name: found.get(name) for name in self._HEADERS}
        return StoredObject(
            body=found["Body"].read(),
            content_type=found.get("ContentType", "binary/octet-stream"),
            cache_control=found.get("CacheControl"),
            headers={
                name.replace("Content", "Content-"): str(value)
                for name, value in values.items()
                if value
            },
        )


@dataclass(frozen=True)
class Request:
    """A request that was answered: by which address, for which SNI and path, how and when."""

    domain: str
    address: str
    path: str
    sni: str
    status: int
    at: datetime


@dataclass(frozen=True)
class _Site:
    bucket: str
    key: str
    cdn: Cdn | None


@dataclass
class _Faults:
    bucket: str | None = None
    certificate: CertificateFault | None = None
    location: str | None = None
    status: int | None = None
    media_type: str | None = None
    stale: dict[str, Answer] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    held: threading.Event | None = None  # set when the answers may go


class PolicyHosts:
    """The HTTPS half of the world; a context manager that listens from `start()` to `close()`.

    `addresses` are loopback addresses, IPv4 or IPv6; `port` 0 picks one that is free on all of
    them. `clock` dates the request log.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        *,
        authority: CertificateAuthority,
        objects: Objects,
        clock: Clock = system_clock,
    ) -> None:
        self.addresses = tuple(addresses)
        self.port = port
        self.authority = authority
        self._objects = objects
        self._clock = clock
        self._sites: dict[str, _Site] = {}
        self._faults: dict[str, _Faults] = {}
        self._requests: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self._servers: list[_Server] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen on every address; raises OSError when the port is taken on one of them."""
        self._servers = self._bind()
        self.port = self._servers[0].server_address[1]
        for server in self._servers:
            # A short poll: `close` waits for it.
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def _bind(self) -> "list[_Server]":
        if self.port:
            return self._bind_all()
        for _ in range(BIND_ATTEMPTS):
            try:
                return self._bind_all()
            except OSError as error:
                # Free on the first address, it may be taken on another.
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, f"no port is free on all of {self.addresses}")

    def _bind_all(self) -> "list[_Server]":
        servers: list[_Server] = []
        try:
            for address in self.addresses:
                port = servers[0].server_address[1] if servers else self.port
                servers.append(_Server(self, address, port))
        except OSError:
            for server in servers:
                server.server_close()
            raise
        return servers

    def close(self) -> None:
        """Stop listening; requests under way are left to end by themselves, held ones released."""
        for domain in self._faults:
            self.release(domain)
        # Side by side, because each of them waits for its poll to come round.
        stopping = [threading.Thread(target=server.shutdown) for server in self._servers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        for server in self._servers:
            server.server_close()
        self._servers = []

    def serve(self, domain: str, bucket: str, key: str, cdn: Cdn | None = None) -> None:
        """Serve the object as the policy of `domain`, through `cdn` if one is given."""
        self._sites[domain] = _Site(bucket, key, cdn)
        self.heal(domain)

    def warm(self, domain: str) -> None:
        """Let each edge of the domain's CDN take a copy of what the origin holds now."""
        for address in self.addresses:
            self._answer(domain, address)

    def requests(self, domain: str) -> list[Request]:
        """Return the answered requests for the domain's policy host, oldest first."""
        return [each for each in tuple(self._requests) if each.domain == domain]

    # Faults. Each shows at once, as one in front of every cache would.

    def stale(self, domain: str, address: str) -> None:
        """Let one address go on with what it would answer now."""
        self._faults[domain].stale[self._known(address)] = self._answer(domain, address)

    def wrong_bucket(self, domain: str, bucket: str) -> None:
        """Serve the same key of another bucket."""
        self._faults[domain].bucket = bucket

    def broken_certificate(self, domain: str, kind: CertificateFault = "expired") -> None:
        """Show a certificate that is expired, for another name, or of an unknown issuer."""
        self._faults[domain].certificate = kind

    def redirect(self, domain: str, location: str) -> None:
        """Answer 301 to `location`."""
        self._faults[domain].location = location

    def status(self, domain: str, code: int) -> None:
        """Answer with this status in place of the real one, the body unchanged."""
        self._faults[domain].status = code

    def media_type(self, domain: str, text: str) -> None:
        """Answer with this Content-Type."""
        self._faults[domain].media_type = text

    def down(self, domain: str, address: str) -> None:
        """Let one address drop every connection for this policy host before TLS is agreed."""
        self._faults[domain].down.add(self._known(address))

    def hold(self, domain: str) -> None:
        """Let requests for the policy wait for `release`, and be answered by what then is."""
        self._faults[domain].held = self._faults[domain].held or threading.Event()

    def release(self, domain: str) -> None:
        """End what `hold` began: answer what waits, and what comes, at once."""
        faults = self._faults.get(domain)
        if faults is not None and faults.held is not None:
            faults.held.set()
            faults.held = None

    def heal(self, domain: str) -> None:
        """End every fault of the domain."""
        self.release(domain)
        self._faults[domain] = _Faults()

    def _known(self, address: str) -> str:
        if address not in self.addresses:
            raise ValueError(f"no policy host listens at {address}, only at {self.addresses}")
        return address

    # What the servers ask.

    def answer(self, sni: str, host: str, address: str, path: str) -> Answer:
        """Answer one request and log it; unknown hosts and paths are refused as a CDN would."""
        domain = host.removeprefix(PREFIX)
        if host != sni or domain not in self._sites:
            answer = _refusal(421, "this connection is for another host")  # RFC 9110, 15.5.20
        elif path != PATH:
            answer = _refusal(404, "NoSuchKey")
        else:
            held = self._faults[domain].held
            if held is not None:
                held.wait()
            answer = self._faults[domain].stale.get(address) or self._answer(domain, address)
        self._requests.append(Request(domain, address, path, sni, answer.status, self._clock()))
        return answer

    def _answer(self, domain: str, address: str) -> Answer:
        site, faults = self._sites[domain], self._faults[domain]
        bucket = faults.bucket or site.bucket
        if faults.location is not None:
            return _refusal(301, "moved").with_headers(("Location", faults.location))

        def fetch() -> Answer:
            return _from_store(self._objects.get(bucket, site.key))

        if site.cdn is None:
            answer = fetch()
        else:
            answer = site.cdn.answer(address, PATH, f"{bucket}/{site.key}", fetch)
        if faults.media_type is not None:
            answer = answer.with_headers(("Content-Type", faults.media_type))
        if faults.status is not None:
            answer = Answer(faults.status, answer.body, answer.headers)
        return answer

    def select(self, connection: ssl.SSLObject, host: str, address: str) -> int | None:
        """Pick the certificate for the name in SNI: the servers' callback in the handshake."""
        domain = host.removeprefix(PREFIX)
        if host == domain or domain not in self._sites:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        faults = self._faults[domain]
        if address in faults.down:
            # The connection is cut under the TLS layer, which is in the middle of its handshake.
            if isinstance(connection, socket.socket):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            return int(ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = self.authority.context(host, faults.certificate)
        return None


def _from_store(found: StoredObject | AccessDenied | None) -> Answer:
    if found is None:
        return _refusal(404, "NoSuchKey")
    if isinstance(found, AccessDenied):
        return _refusal(403, "AccessDenied")
    headers = {"Content-Type": found.content_type, **found.headers}
    if found.cache_control is not None:
        headers["Cache-Control"] = found.cache_control
    return Answer(200, found.body, tuple(headers.items()))


def _refusal(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), (("Content-Type", "text/plain"),))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    # Every sender, resolver and check may come at once.
    request_queue_size = 128
    server_address: tuple[str, int]

    def __init__(self, world: PolicyHosts, address: str, port: int) -> None:
        self.world, self.address = world, address
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        # One connection is one thread, handshake and request alike, so this carries SNI to the log.
        self.seen = threading.local()
        self.context = server_context()
        self.context.sni_callback = self._select
        super().__init__((address, port), _Handler)

    def _select(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        self.seen.sni = (name or "").lower()
        return self.world.select(connection, self.seen.sni, self.address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Agree on TLS in the connection's own thread: a slow client holds up nobody else."""
        request.settimeout(IDLE_SECONDS)
        with self.context.wrap_socket(request, server_side=True) as connection:
            _Handler(connection, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about clients that refuse a certificate or go away: that is their part here."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "policy-host"
    sys_version = ""
    server: _Server

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rsplit(":", 1)[0].lower()
        path = self.path.partition("?")[0]
        answer = self.server.world.answer(self.server.seen.sni, host, self.server.address, path)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing: requests are kept in the world's own log."""
