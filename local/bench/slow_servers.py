"""A world of DNS that is slow on purpose: name servers that take their time, resolvers that do not."""

import asyncio
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from local.world.addresses import Sockets, bind, claim_block
from local.world.loop import LoopThread

TTL_SECONDS = 1
_ID_LENGTH = 2  # bytes, RFC 1035 section 4.1.1


@dataclass(frozen=True)
class Zone:
    """A zone with one TXT value, at `name`, and the names and addresses of its name servers."""

    origin: str
    name: str
    value: str
    servers: Mapping[str, str]


@dataclass(frozen=True)
class Reached:
    """How to reach a world: its resolvers, as address:port, and the port of its name servers."""

    resolvers: list[str]
    port: int


@contextmanager
def serving(
    origin: str, name: str, value: str, *, delays: Sequence[float | None], resolvers: int
) -> Iterator[Reached]:
    """Serve a zone from as many name servers as there are delays, in seconds; None: a dead one.

    The resolvers answer at once. All have loopback addresses that nobody else has.
    """
    count = len(delays) + resolvers
    sockets = bind([str(address) for address in list(claim_block())[2 : 2 + count]])
    servers = {
        f"ns-{number}.slow.example": sockets[number].address for number in range(len(delays))
    }
    zone = Zone(origin, name, value, servers)
    # Made once for each question: who makes an answer keeps the others from sending theirs.
    answers = functools.cache(functools.partial(answer, zone))
    with ExitStack() as stack:
        for each in sockets:
            stack.callback(each.close)
        loop = LoopThread("slow servers")
        loop.start()
        stack.callback(loop.close)
        for each, delay in zip(sockets, [*delays, *[0.0] * resolvers], strict=True):
            loop.run(_listen(each, answers, delay))
        port = sockets[0].port
        yield Reached([f"{each.address}:{port}" for each in sockets[len(delays) :]], port)


async def _listen(sockets: Sockets, answers: Callable[[bytes], bytes], delay: float | None) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Server(answers, delay), sock=sockets.udp)


class _Server(asyncio.DatagramProtocol):
    """Answers each query after `delay` seconds; None: never."""

    def __init__(self, answers: Callable[[bytes], bytes], delay: float | None) -> None:
        self._answers, self._delay = answers, delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._send = cast("asyncio.DatagramTransport", transport).sendto

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._delay is not None:
            reply = data[:_ID_LENGTH] + self._answers(data[_ID_LENGTH:])
            asyncio.get_running_loop().call_later(self._delay, self._send, reply, addr)


def answer(zone: Zone, query: bytes) -> bytes:
    """Answer a query, both without their ids; with authority, and with no data for what is unknown."""
    asked = dns.message.from_wire(bytes(_ID_LENGTH) + query)
    reply = dns.message.make_response(asked)
    reply.flags |= dns.flags.AA
    (question,) = asked.question
    known = {
        (zone.name, dns.rdatatype.TXT): [f'"{zone.value}"'],
        (zone.origin, dns.rdatatype.NS): [f"{name}." for name in zone.servers],
        **{(name, dns.rdatatype.A): [address] for name, address in zone.servers.items()},
    }
    if values := known.get((question.name.to_text(omit_final_dot=True), question.rdtype)):
        reply.answer.append(
            dns.rrset.from_text(question.name, TTL_SECONDS, "IN", question.rdtype, *values)
        )
    return reply.to_wire()[_ID_LENGTH:]
