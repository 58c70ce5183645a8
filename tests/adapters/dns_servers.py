"""Small DNS servers on loopback addresses, UDP and TCP on one port, each following a script."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Transport = Literal["udp", "tcp"]
Script = Callable[[dns.message.Message, Transport], "dns.message.Message | bytes | None"]
"""Turns a query into a message, raw bytes or None: silence (empty bytes over TCP: hang up)."""


@dataclass(frozen=True)
class Seen:
    """A query as it arrived."""

    query: dns.message.Message
    transport: Transport

    @property
    def recursive(self) -> bool:
        return bool(self.query.flags & dns.flags.RD)

    @property
    def about(self) -> tuple[str, str]:
        question = self.query.question[0]
        return question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)


class Gate:
    """Holds every answer back until WANTED different queries are under way at the same time."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.waiting: set[tuple[Any, int]] = set()
        self._open: asyncio.Event | None = None

    async def pass_through(self, sender: object, query: dns.message.Message) -> None:
        if self._open is None:
            self._open = asyncio.Event()
        self.waiting.add((sender, query.id))  # a repeated packet is not another query
        if len(self.waiting) >= self.wanted:
            self._open.set()
        await self._open.wait()


@dataclass
class Server:
    """One server: what it does and what it saw."""

    address: str
    script: Script
    seen: list[Seen] = field(default_factory=list)

    async def handle(
        self, wire: bytes, sender: object, transport: Transport, gate: Gate | None
    ) -> bytes | None:
        query = dns.message.from_wire(wire)
        self.seen.append(Seen(query, transport))
        if gate is not None:
            await gate.pass_through(sender, query)
        reply = self.script(query, transport)
        return reply.to_wire() if isinstance(reply, dns.message.Message) else reply


class Servers:
    """Servers that share a free port, run in a thread of their own; a context manager."""

    def __init__(self, scripts: Mapping[str, Script], gate: Gate | None = None) -> None:
        self._servers = {address: Server(address, script) for address, script in scripts.items()}
        self._gate = gate
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._closers: list[Callable[[], None]] = []
        self.port = 0

    def __getitem__(self, address: str) -> Server:
        return self._servers[address]

    def __enter__(self) -> Self:
        udp, tcp, self.port = _bind(list(self._servers))
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(udp, tcp), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, udp: list[socket.socket], tcp: list[socket.socket]) -> None:
        for server, udp_socket, tcp_socket in zip(self._servers.values(), udp, tcp, strict=True):
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda server=server: _Udp(server, self._gate),  # type: ignore[misc]
                sock=udp_socket,
            )
            listener = await asyncio.start_server(_tcp(server, self._gate), sock=tcp_socket)
            self._closers += [transport.close, listener.close]

    async def _stop(self) -> None:
        for close in self._closers:
            close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes the sockets in its next round


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server, gate: Gate | None) -> None:
        self._server = server
        self._gate = gate
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[Any, ...]) -> None:
        wire = await self._server.handle(data, addr, "udp", self._gate)
        if wire is not None:
            self._transport.sendto(wire, addr)


def _tcp(
    server: Server, gate: Gate | None
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            sender = writer.get_extra_info("peername")
            wire = await server.handle(await reader.readexactly(size), sender, "tcp", gate)
            if wire is None:
                await reader.read()  # silence holds the line until the client gives up
            elif wire:
                writer.write(len(wire).to_bytes(2, "big") + wire)
        finally:
            writer.close()

    return answer


def _bind(addresses: list[str]) -> tuple[list[socket.socket], list[socket.socket], int]:
    """Find a port that is free for UDP and TCP at every address; others may race for it."""
    for _ in range(50):
        port = 0
        udp: list[socket.socket] = []
        tcp: list[socket.socket] = []
        try:
            for address in addresses:
                udp.append(_listen(address, port, socket.SOCK_DGRAM))
                port = udp[0].getsockname()[1]
                tcp.append(_listen(address, port, socket.SOCK_STREAM))
        except OSError:
            for bound in udp + tcp:
                bound.close()
        else:
            return udp, tcp, port
    raise RuntimeError("no port is free at every address")


def _listen(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


def zone(text: str, *, aa: bool = True) -> Script:
    """Serve records, a line each: ``name. ttl TYPE data``.

    Follows CNAMEs, knows wildcards, and denies by NXDOMAIN or NODATA with the SOA, if there is one.
    """
    found: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
    for line in text.splitlines():
        owner, ttl, rdtype, data = line.split(maxsplit=3)
        record = dns.rrset.from_text(owner, int(ttl), "IN", rdtype, data)
        rrset = found.setdefault((record.name, record.rdtype), record)
        rrset.union_update(record)  # type: ignore[no-untyped-call]
    names = {name for name, _ in found}

    def node(name: dns.name.Name) -> dns.name.Name:
        star = dns.name.Name(("*", *name.labels[1:]))
        return star if name not in names and star in names else name

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = answer_to(query, aa=aa)
        name, rdtype = query.question[0].name, query.question[0].rdtype
        while (cname := found.get((node(name), dns.rdatatype.CNAME))) is not None:
            reply.answer.append(_at(name, cname))
            name = cname[0].target
        data = found.get((node(name), rdtype))
        if data is not None:
            reply.answer.append(_at(name, data))
            return reply
        reply.authority += [
            rrset
            for rrset in found.values()
            if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name)
        ]
        unknown = not any(known.is_subdomain(name) for known in names) and node(name) == name
        if unknown and reply.authority:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply

    return script


def _at(name: dns.name.Name, rrset: dns.rrset.RRset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, rrset.ttl, list(rrset))


def answer_to(query: dns.message.Message, *, aa: bool = True) -> dns.message.Message:
    """Begin an answer: the question, no record yet."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= dns.flags.AA if aa else 0
    return reply


def silent(query: dns.message.Message, transport: Transport) -> None:
    """Never answer."""


def failing(rcode: dns.rcode.Rcode) -> Script:
    """Answer every query with RCODE and nothing else."""

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = answer_to(query)
        reply.set_rcode(rcode)
        return reply

    return script


def in_turn(*scripts: Script) -> Script:
    """Follow the scripts one after the other, from query to query."""
    rest = iter(scripts)

    def script(
        query: dns.message.Message, transport: Transport
    ) -> dns.message.Message | bytes | None:
        return next(rest)(query, transport)

    return script


def truncating(inner: Script) -> Script:
    """Answer over UDP with the TC flag and nothing else, so that the client comes back over TCP."""

    def script(
        query: dns.message.Message, transport: Transport
    ) -> dns.message.Message | bytes | None:
        if transport == "tcp":
            return inner(query, transport)
        reply = answer_to(query)
        reply.flags |= dns.flags.TC
        return reply

    return script
