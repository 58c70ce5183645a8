"""One DNS server at one address: UDP and TCP, EDNS, truncation, faults and a log of its queries."""

import asyncio
import dataclasses
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
from dns.message import Message
from dns.name import Name
from dns.rdataclass import IN
from dns.rdatatype import RdataType

from local.world.addresses import Sockets

PAYLOAD = 1232  # the largest UDP payload we ask for and offer (DNS flag day 2020)
PLAIN_PAYLOAD = 512  # RFC 1035 section 4.2.1

_HEADER = 12
_LOG_LENGTH = 100_000

Transport = Literal["udp", "tcp"]
Responder = Callable[[Message, Message], Awaitable[None]]
"""Completes the response (second) to a well-formed query (first)."""


@dataclass(frozen=True)
class Query:
    """One query as it arrived.

    `name` is lower-case without a final dot; `payload` is 0 without EDNS; `server` and `source` are
    addresses; `at` is the machine's own time, UTC.
    """

    server: str
    name: str
    type: str
    recursion_desired: bool
    edns: bool
    payload: int
    transport: Transport
    source: str
    at: datetime


class QueryLog:
    """The latest queries that arrived at some servers, dropped ones included, like a capture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries: deque[Query] = deque(maxlen=_LOG_LENGTH)

    def add(self, query: Query) -> None:
        """Append one."""
        with self._lock:
            self._queries.append(query)

    def select(self, name: str = "", **wanted: object) -> list[Query]:
        """Return the queries, oldest first, for this name (if any) and with these fields."""
        lowered = name.lower().removesuffix(".")
        with self._lock:
            queries = list(self._queries)
        return [
            query
            for query in queries
            if lowered in ("", query.name) and wanted.items() <= dataclasses.asdict(query).items()
        ]


class Server:
    """Answers at one address with what `respond` fills in. Its faults hold at and below a zone."""

    def __init__(self, sockets: Sockets, respond: Responder, log: QueryLog) -> None:
        self.sockets = sockets
        self._respond = respond
        self._log = log
        # Replaced as a whole, never changed in place: other threads set them.
        self._down: frozenset[Name] = frozenset()
        self._delays: dict[Name, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer."""
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._take_datagram), sock=self.sockets.udp
        )
        self._tcp = await asyncio.start_server(self._take_connection, sock=self.sockets.tcp)

    async def close(self) -> None:
        """Stop answering and give the address back."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.sockets.close()

    def down(self, zone: Name) -> None:
        """Drop queries for names at or below the zone, silently, over UDP and TCP."""
        self._down |= {zone}

    def up(self, zone: Name) -> None:
        """Answer again for the zone that was taken down; the root takes back every `down`."""
        self._down = frozenset() if zone == dns.name.root else self._down - {zone}

    def delay(self, zone: Name, seconds: float) -> None:
        """Answer for names at or below the zone only after so many seconds."""
        self._delays = {**self._delays, zone: seconds}

    async def answer(self, wire: bytes, transport: Transport, source: str) -> bytes | None:
        """Return the response to one message, or None for none."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return _format_error(wire)
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, our_payload=PAYLOAD)
        if query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
        elif len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
        elif query.edns > 0:
            response.set_rcode(dns.rcode.BADVERS)  # RFC 6891 section 6.1.3
        elif query.question[0].rdclass != IN:
            response.set_rcode(dns.rcode.REFUSED)
        else:
            name = query.question[0].name
            self._log.add(self._logged(query, transport, source))
            if any(name.is_subdomain(zone) for zone in self._down):
                return None
            await asyncio.sleep(
                max((s for zone, s in self._delays.items() if name.is_subdomain(zone)), default=0)
            )
            await self._respond(query, response)
        return _fitted(query, response, transport)

    def _logged(self, query: Message, transport: Transport, source: str) -> Query:
        question = query.question[0]
        return Query(
            server=self.sockets.address,
            name=question.name.canonicalize().to_text(omit_final_dot=True),
            type=RdataType.to_text(question.rdtype),
            recursion_desired=bool(query.flags & dns.flags.RD),
            edns=query.edns >= 0,
            payload=query.payload,
            transport=transport,
            source=source,
            at=datetime.now(UTC),
        )

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take_datagram(
        self, transport: asyncio.DatagramTransport, wire: bytes, source: tuple[str, int]
    ) -> None:
        async def reply() -> None:
            response = await self.answer(wire, "udp", source[0])
            if response is not None and not transport.is_closing():
                transport.sendto(response, source)

        self._spawn(reply())

    def _take_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def converse() -> None:
            source = writer.get_extra_info("peername")[0]
            try:
                while True:
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    wire = await reader.readexactly(length)
                    response = await self.answer(wire, "tcp", source)
                    if response is not None:
                        writer.write(len(response).to_bytes(2, "big") + response)
                        await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass  # the client has heard enough
            finally:
                writer.close()

        self._spawn(converse())


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(
        self, take: Callable[[asyncio.DatagramTransport, bytes, tuple[str, int]], None]
    ) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(self._transport, data, addr)


def _fitted(query: Message, response: Message, transport: Transport) -> bytes:
    # Values keep the order in which they were given: a fault "at an address that is not the first"
    # must not be met by chance.
    if transport == "tcp":
        return response.to_wire(max_size=65535, want_shuffle=False)
    # RFC 6891 section 6.2.3: below 512 counts as 512. What does not fit is cut, with TC set.
    limit = max(query.payload, PLAIN_PAYLOAD) if query.edns >= 0 else PLAIN_PAYLOAD
    return response.to_wire(max_size=limit, prefer_truncation=True, want_shuffle=False)


def _format_error(wire: bytes) -> bytes | None:
    if len(wire) < _HEADER or wire[2] & 0x80:
        return None
    # The header alone, as a response: nothing after it could be read.
    flags = (wire[2] & 0x79) | 0x80
    return wire[:2] + bytes([flags, dns.rcode.FORMERR]) + bytes(8)
