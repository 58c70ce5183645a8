"""A ticket system on loopback that answers as Jira's and ServiceNow's own APIs do.

Jira: `POST /rest/api/2/issue/{key}/comment` with `{"body": …}` adds a comment (Jira Cloud platform
REST API v2, "Add comment"). ServiceNow: `PATCH /api/now/table/change_request/{sys_id}` with
`{"work_notes": …}` adds a work note (ServiceNow "Table API"). Tickets and what was written into them
lie in memory. Only the URL's own host is spoken to by TLS.
"""

import json
import re
import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from .ca import CertificateAuthority, CertificateFault

JIRA = re.compile(r"/rest/api/2/issue/([^/]+)/comment")
SERVICENOW = re.compile(r"/api/now/table/change_request/([^/]+)")
# The longest comment that Jira takes.
JIRA_LIMIT = 32_767
IDLE_SECONDS = 10


@dataclass(frozen=True)
class Received:
    """A request as it came: path and query not decoded, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass(frozen=True)
class Reply:
    """An answer: its status, the JSON of its body, more headers."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Ticket:
    written: list[str] = field(default_factory=list)
    faults: list[Reply] = field(default_factory=list)
    fault: Reply | None = None


class TicketSystem:
    """The server, a context manager that listens from `start()` to `close()`.

    `authorization` is the one value of that header that it takes; `url` is its address, without a
    path.
    """

    def __init__(self, address: str, authorization: str, authority: CertificateAuthority) -> None:
        self.address = address
        self.authorization = authorization
        self.certificate_fault: CertificateFault | None = None
        self._authority = authority
        self._tickets: dict[str, _Ticket] = {}
        self._requests: list[Received] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen on a port that is free."""
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """Where it listens, as `https://address:port`."""
        if self._server is None:
            raise RuntimeError("the ticket system does not listen")
        return f"https://{self.address}:{self._server.server_address[1]}"

    @property
    def ca_file(self) -> str:
        """A PEM file of the authority that its certificate comes from."""
        return self._authority.ca_file

    def tls(self) -> Any:
        """Return the TLS context for the next connection."""
        return self._authority.context(self.address, self.certificate_fault)

    # --- tickets

    def add(self, ticket_id: str) -> None:
        """Open a ticket: an issue's key, or a change request's sys_id."""
        self._tickets[ticket_id] = _Ticket()

    def written(self, ticket_id: str) -> list[str]:
        """Return the comments, or work notes, of a ticket, oldest first."""
        return list(self._tickets[ticket_id].written)

    def requests(self) -> list[Received]:
        """Return all that came, oldest first, also what was refused."""
        with self._lock:
            return list(self._requests)

    # --- faults, each for one ticket

    def fail(
        self, ticket_id: str, status: int, times: int | None = None, retry_after: str | None = None
    ) -> None:
        """Answer with this status, so many times or until `heal`."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        reply, ticket = Reply(status, {"message": "by request"}, headers), self._tickets[ticket_id]
        if times is None:
            ticket.fault = reply
        else:
            ticket.faults += [reply] * times

    def heal(self, ticket_id: str) -> None:
        """End every fault of a ticket."""
        ticket = self._tickets[ticket_id]
        ticket.fault, ticket.faults = None, []

    # --- what the server asks

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request, and keep it."""
        with self._lock:
            reply = self._answer(method, path, headers, body)
            self._requests.append(Received(method, path, headers, body, reply.status))
        return reply

    def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        for pattern, its_method, system in (
            (JIRA, "POST", _Jira),
            (SERVICENOW, "PATCH", _ServiceNow),
        ):
            found = pattern.fullmatch(path)
            if not found:
                continue
            if method != its_method:
                return Reply(405, system.problem("method not allowed"), {"Allow": its_method})
            return self._write(system, found[1], headers, body)
        return Reply(404, {"message": "there is nothing here"})

    def _write(
        self, system: "type[_Jira | _ServiceNow]", ticket_id: str, headers: Any, body: bytes
    ) -> Reply:
        ticket = self._tickets.get(ticket_id)
        if ticket and (ticket.faults or ticket.fault):
            return ticket.faults.pop(0) if ticket.faults else ticket.fault or Reply(500)
        if headers.get("authorization") != self.authorization:
            return Reply(401, system.problem(system.UNAUTHORISED), {"WWW-Authenticate": "Basic"})
        if not headers.get("content-type", "").startswith("application/json"):
            return Reply(415, system.problem("the media type is not supported"))
        text = _text(system, body)
        if text is None:
            return Reply(400, system.problem(f"{system.FIELD} is missing, empty or too long"))
        if ticket is None:
            return Reply(404, system.problem(system.UNKNOWN))
        ticket.written.append(text)
        return system.done(ticket_id, text, len(ticket.written))


def _text(system: "type[_Jira | _ServiceNow]", body: bytes) -> str | None:
    try:
        given = json.loads(body)
    except ValueError:
        return None
    text = given.get(system.FIELD) if isinstance(given, dict) else None
    fits = isinstance(text, str) and text.strip() and len(text) <= system.LIMIT
    return text if fits else None


class _Jira:
    FIELD, LIMIT = "body", JIRA_LIMIT
    UNAUTHORISED = "You are not authenticated. Authentication required to perform this operation."
    UNKNOWN = "Issue does not exist or you do not have permission to see it."

    @staticmethod
    def problem(text: str) -> dict[str, Any]:
        return {"errorMessages": [text], "errors": {}}

    @staticmethod
    def done(_: str, text: str, number: int) -> Reply:
        return Reply(201, {"id": str(10_000 + number), "body": text, "jsdPublic": True})


class _ServiceNow:
    FIELD, LIMIT = "work_notes", 65_535
    UNAUTHORISED = "User is not authenticated"
    UNKNOWN = "No Record found"

    @staticmethod
    def problem(text: str) -> dict[str, Any]:
        return {"error": {"message": text, "detail": text}, "status": "failure"}

    @staticmethod
    def done(ticket_id: str, _: str, __: int) -> Reply:
        # A journal field is never given back.
        return Reply(200, {"result": {"sys_id": ticket_id, "work_notes": ""}})


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    server_address: tuple[str, int]

    def __init__(self, system: TicketSystem) -> None:
        self.system = system
        super().__init__((system.address, 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Agree on TLS in the connection's own thread."""
        request.settimeout(IDLE_SECONDS)
        with self.system.tls().wrap_socket(request, server_side=True) as connection:
            _Handler(connection, client_address, self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about clients that refuse the certificate or go away: that is their part."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ticket-system"
    sys_version = ""
    server: _Server

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        reply = self.server.system.answer(self.command, self.path, headers, body)
        said = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(said)

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing: requests are kept in the world's own log."""
