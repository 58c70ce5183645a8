"""Caching recursive resolvers that ask the authoritative servers over real UDP and TCP."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence

import dns.asyncquery
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
from dns.message import Message
from dns.name import Name
from dns.rdataclass import IN
from dns.rdatatype import RdataType
from dns.rrset import RRset

from local.world.addresses import Sockets
from local.world.cache import Cache, Found
from local.world.delegations import DELEGATION_TTL, Delegation, Delegations, parent_soa
from local.world.hosts import Hosts
from local.world.lookup import owned
from local.world.loop import LoopThread
from local.world.name_servers import ZONE_OPTION
from local.world.wire import PAYLOAD, Query, QueryLog, Server
from local.world.zones import parse_name

UPSTREAM_SECONDS = 0.5  # for one answer of an authoritative server, before the next one is asked

_LONGEST_CHAIN = 8  # CNAMEs, and referrals, before a loop is assumed
_ADDRESSES = (RdataType.A, RdataType.AAAA)


class ServerFailureError(Exception):
    """No authoritative server gave a usable answer: SERVFAIL to the client."""


class Resolver:
    """One resolver: what it remembers, and how it finds what it does not."""

    def __init__(
        self,
        sockets: Sockets,
        hosts: Hosts,
        delegations: Delegations,
        log: QueryLog,
        *,
        first: int,
        clock: Callable[[], float],
    ) -> None:
        self.cache = Cache(clock)
        self.server = Server(sockets, self._respond, log)
        self.stale: dict[Name, float] = {}  # replaced as a whole: other threads set it
        self._hosts = hosts
        self._delegations = delegations
        self._turn = itertools.count(first)
        self._asking: dict[tuple[Name, RdataType], asyncio.Task[Found]] = {}

    async def resolve(self, name: Name, rdtype: RdataType) -> tuple[list[RRset], Found]:
        """Return the CNAMEs followed with the set asked for, if any, and the last step.

        ServerFailureError if a step failed.
        """
        chain: list[RRset] = []
        for _ in range(_LONGEST_CHAIN):
            found = await self._find(name, rdtype)
            if found.rrset is None:
                return chain, found
            chain.append(found.rrset)
            if found.rrset.rdtype == rdtype:
                return chain, found
            name = found.rrset[0].target
        raise ServerFailureError(f"{name}: more than {_LONGEST_CHAIN} CNAMEs")

    async def _respond(self, query: Message, response: Message) -> None:
        response.flags |= dns.flags.RA
        if not query.flags & dns.flags.RD:
            response.set_rcode(dns.rcode.REFUSED)
            return
        question = query.question[0]
        try:
            chain, last = await self.resolve(question.name, question.rdtype)
        except ServerFailureError:
            response.set_rcode(dns.rcode.SERVFAIL)
            return
        response.set_rcode(last.rcode)
        response.answer.extend(chain)
        if last.soa is not None:
            response.authority.append(last.soa)

    async def _find(self, name: Name, rdtype: RdataType) -> Found:
        stale = max((s for zone, s in self.stale.items() if name.is_subdomain(zone)), default=0.0)
        if found := self.cache.get(name, rdtype, stale):
            return found
        # Of several clients that ask at once only the first makes the resolver ask, as elsewhere.
        key = (name, rdtype)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._learn(name, rdtype))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _learn(self, name: Name, rdtype: RdataType) -> Found:
        host = self._hosts.find(name)
        if host is not None and rdtype in _ADDRESSES:
            addresses = host.addresses(rdtype)
            found = (
                Found(owned(name, addresses))
                if addresses
                else Found(soa=parent_soa(name, host.ttl))
            )
        else:
            found = await self._ask_authorities(name, rdtype)
            if host is not None and found.rcode == dns.rcode.NXDOMAIN:
                found = Found(soa=found.soa)  # the name exists: it has addresses
        self.cache.put(name, rdtype, found)
        return found

    async def _ask_authorities(self, name: Name, rdtype: RdataType) -> Found:
        delegation = self._delegations.find(name)
        if delegation is None:
            known = self._delegations.any_below(name) or self._hosts.any_below(name)
            return Found(
                soa=parent_soa(name), rcode=dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN
            )
        if delegation.table and name == delegation.zone and rdtype == RdataType.NS:
            # What the parent says, whether or not those servers are of this world.
            names = [server.to_text() for server in delegation.servers]
            return Found(dns.rrset.from_text(name, DELEGATION_TTL, IN, rdtype, *names))
        for _ in range(_LONGEST_CHAIN):
            answer = await self._ask(delegation, name, rdtype)
            if isinstance(answer, Found):
                return answer
            delegation = answer
        raise ServerFailureError(f"{name}: more than {_LONGEST_CHAIN} referrals")

    async def _ask(
        self, delegation: Delegation, name: Name, rdtype: RdataType
    ) -> Found | Delegation:
        """Ask the servers in turn until one gives an answer or a referral to a zone below."""
        addresses = await self._addresses(delegation.servers)
        first = next(self._turn) % max(len(addresses), 1)
        for address in addresses[first:] + addresses[:first]:
            option = dns.edns.GenericOption(ZONE_OPTION, delegation.zone.to_digestable())
            query = dns.message.make_query(
                name, rdtype, use_edns=0, payload=PAYLOAD, options=[option], flags=0
            )
            try:
                response, _ = await dns.asyncquery.udp_with_fallback(
                    query,
                    address,
                    timeout=UPSTREAM_SECONDS,
                    port=self.server.sockets.port,
                    source=self.server.sockets.address,
                )
            except (dns.exception.DNSException, OSError):
                continue
            if answer := _read(response, delegation.zone, name, rdtype):
                return answer
        raise ServerFailureError(f"{name}: none of {addresses} answered for {delegation.zone}")

    async def _addresses(self, names: Iterable[Name]) -> list[str]:
        addresses: list[str] = []
        for name in names:
            try:
                chain, last = await self.resolve(name, RdataType.A)
            except ServerFailureError:
                continue
            if last.rrset is not None:
                addresses += [rdata.address for rdata in chain[-1]]
        return list(dict.fromkeys(addresses))


class Resolvers:
    """The resolvers of a lab, numbered in the order of their sockets.

    All of them share the table of hosts and the delegations; each has a cache of its own. `zone`
    arguments are names; faults hold for names at or below, "." stands for everything.
    """

    def __init__(
        self,
        loop: LoopThread,
        sockets: Sequence[Sockets],
        hosts: Hosts,
        delegations: Delegations,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._log = QueryLog()
        self._delegations = delegations
        self._resolvers = [
            Resolver(pair, hosts, delegations, self._log, first=index, clock=clock)
            for index, pair in enumerate(sockets)
        ]

    @property
    def endpoints(self) -> list[tuple[str, int]]:
        """The address and port of each resolver."""
        sockets = [resolver.server.sockets for resolver in self._resolvers]
        return [(pair.address, pair.port) for pair in sockets]

    def start(self) -> None:
        """Begin to answer."""
        for resolver in self._resolvers:
            self._loop.run(resolver.server.open())

    def close(self) -> None:
        """Stop answering and give the addresses back."""
        for resolver in self._resolvers:
            self._loop.run(resolver.server.close())

    def delegate(self, zone: str, servers: Sequence[str] | None) -> None:
        """Delegate a zone to these name servers, to nobody (empty), or as by default (None).

        By default a hosted zone is delegated to the servers of its own NS set. The resolvers forget
        the zone, as though it had always been so.
        """
        self._delegations.set(zone, servers)
        self.flush(zone)

    def warm(self, name: str, rdtype: str) -> None:
        """Let every resolver hold the present answer, a negative one too.

        ServerFailureError if a resolver finds none.
        """
        self._loop.run(self._warm(parse_name(name), RdataType.make(rdtype)))

    def flush(self, zone: str = ".") -> None:
        """Let every resolver forget what it holds at and below a name."""
        for resolver in self._resolvers:
            self._loop.call(resolver.cache.flush, parse_name(zone))

    def serve_stale(self, index: int, seconds: float, zone: str = ".") -> None:
        """Let one resolver go on for so long with answers that have ended; 0 ends it.

        RFC 8767 means this for servers that are down; some resolvers do it while those answer.
        """
        resolver = self._resolvers[index]
        resolver.stale = {**resolver.stale, parse_name(zone): seconds}

    def down(self, index: int, zone: str = ".") -> None:
        """Let one resolver drop the queries for names at or below a zone, silently."""
        self._resolvers[index].server.down(parse_name(zone))

    def up(self, index: int, zone: str = ".") -> None:
        """End what `down` began for that zone; "." ends all of it."""
        self._resolvers[index].server.up(parse_name(zone))

    def delay(self, index: int, seconds: float, zone: str = ".") -> None:
        """Let one resolver answer so much later for names at or below a zone; 0 ends it."""
        self._resolvers[index].server.delay(parse_name(zone), seconds)

    def queries(self, name: str = "", **wanted: object) -> list[Query]:
        """Return the queries that arrived, oldest first: for this name, with these fields."""
        return self._log.select(name, **wanted)

    async def _warm(self, name: Name, rdtype: RdataType) -> None:
        await asyncio.gather(*(resolver.resolve(name, rdtype) for resolver in self._resolvers))


def _read(
    response: Message, zone: Name, name: Name, rdtype: RdataType
) -> Found | Delegation | None:
    """Return what an authoritative server said, None if it is no use (lame, SERVFAIL, REFUSED)."""
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    for wanted in (rdtype, RdataType.CNAME):
        if rrset := response.get_rrset(response.answer, name, IN, wanted):
            return Found(rrset)
    if response.flags & dns.flags.AA:
        soa = next((held for held in response.authority if held.rdtype == RdataType.SOA), None)
        return Found(soa=soa, rcode=response.rcode())
    for cut in response.authority:
        if cut.rdtype == RdataType.NS and cut.name != zone and cut.name.is_subdomain(zone):
            return Delegation(cut.name, tuple(rdata.target for rdata in cut), table=False)
    return None
