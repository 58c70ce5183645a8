"""A small DNS world for tests, and how to ask it: plain dnspython."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.query
import dns.rcode
from dns.message import Message
from dns.rdatatype import RdataType

from local.world.addresses import claim_block
from local.world.loop import LoopThread
from local.world.name_system import NameSystem
from tests.world.fake_zones import Clock, FakeZones

ZONE = "solarmora.com"
RECORD = "_mta-sts.solarmora.com"
OLD, NEW = '"v=STSv1; id=1;"', '"v=STSv1; id=2;"'
NAMES = ["ns-1.awsdns-1.com", "ns-2.awsdns-2.net", "ns-3.awsdns-3.org"]
SILENCE = 0.15  # seconds after which a server of this machine is taken to say nothing

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class World:
    """What a test moves and asks."""

    clock: Clock
    zones: FakeZones
    system: NameSystem
    loop: LoopThread
    spare: list[str]  # addresses of the same block that nobody uses

    @property
    def servers(self) -> list[Endpoint]:
        return self.system.name_servers.endpoints

    @property
    def resolvers(self) -> list[Endpoint]:
        return self.system.resolvers.endpoints


@contextmanager
def running_world() -> Iterator[World]:
    """Run three name servers and two resolvers with `ZONE`, and in it the old `RECORD`."""
    loop = LoopThread()
    loop.start()
    clock = Clock()
    zones = FakeZones(clock, NAMES)
    zones.create(ZONE)
    zones.put(ZONE, RECORD, "TXT", 300, OLD)
    addresses = _addresses()
    names = dict(zip(NAMES, addresses, strict=False))
    system = NameSystem(loop, zones, name_servers=names, resolvers=addresses[3:5], clock=clock)
    try:
        with system:
            yield World(clock, zones, system, loop, addresses[5:])
    finally:
        loop.close()


def ask(
    endpoint: Endpoint,
    name: str,
    rdtype: str = "TXT",
    *,
    flags: int = dns.flags.RD,
    payload: int | None = None,
    tcp: bool = False,
    timeout: float = 5,
) -> Message:
    """Ask one server once, without EDNS unless a payload is given."""
    edns = None if payload is None else 0
    query = dns.message.make_query(name, rdtype, use_edns=edns, payload=payload, flags=flags)
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, endpoint[0], timeout, endpoint[1])


def values(response: Message) -> list[str]:
    """Return the values in the answer section, sorted, after making sure that it is a good one."""
    assert response.rcode() == dns.rcode.NOERROR
    return sorted(rdata.to_text() for rrset in response.answer for rdata in rrset)


def negative(response: Message) -> tuple[str, str, int, int]:
    """Return rcode, owner of the SOA, its TTL and its minimum, from an answer without values."""
    assert response.answer == []
    (soa,) = response.authority
    assert soa.rdtype == RdataType.SOA
    return dns.rcode.to_text(response.rcode()), soa.name.to_text(), soa.ttl, soa[0].minimum


@functools.cache
def _addresses() -> list[str]:
    return [str(address) for address in list(claim_block())[2:12]]
