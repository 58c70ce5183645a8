"""Authoritative name servers for every hosted zone, each of which can lag behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import dns.edns
import dns.flags
import dns.name
import dns.rcode
from dns.message import Message
from dns.name import Name

from local.world.addresses import Sockets
from local.world.lookup import lookup
from local.world.loop import LoopThread
from local.world.wire import Query, QueryLog, Server
from local.world.zones import Snapshot, Zone, ZoneSource, parse_name

ZONE_OPTION = dns.edns.OptionType.make(65001)
"""An EDNS option naming the zone to answer from; RFC 6891 section 9 leaves the code to experiments.

Route 53 gives a zone and its sub-zone different servers, so a question to the parent's servers is
never answered from the child. Here the same servers hold both; our resolvers say which they mean.
"""


@dataclass(frozen=True)
class _Held:
    """A zone as a lagging server holds it; `zone` is None where it did not exist then."""

    zone: Zone | None


class NameServers:
    """Name servers that answer from one source of zones, one for each pair of sockets.

    They are numbered in the order of their sockets. `zone` arguments are names of zones; "." stands
    for everything.
    """

    def __init__(self, loop: LoopThread, source: ZoneSource, sockets: Sequence[Sockets]) -> None:
        self._loop = loop
        self._source = source
        self._log = QueryLog()
        # Replaced as a whole, never changed in place: other threads set it.
        self._lags: dict[tuple[int, Name], _Held | float] = {}
        self._servers = [
            Server(pair, partial(self._respond, index), self._log)
            for index, pair in enumerate(sockets)
        ]

    @property
    def endpoints(self) -> list[tuple[str, int]]:
        """The address and port of each server."""
        return [(server.sockets.address, server.sockets.port) for server in self._servers]

    def start(self) -> None:
        """Begin to answer."""
        for server in self._servers:
            self._loop.run(server.open())

    def close(self) -> None:
        """Stop answering and give the addresses back."""
        for server in self._servers:
            self._loop.run(server.close())

    def lag(self, index: int, zone: str, seconds: float | None = None) -> None:
        """Let one server answer from an older state of a zone.

        From the one it has now, until `catch_up`; with `seconds`, always from the one of so many
        seconds ago (an hour at most, else ValueError).
        """
        origin = parse_name(zone)
        if seconds is None:
            held = _Held(self._view(index, origin, self._source.latest()))
            self._lags = {**self._lags, (index, origin): held}
        else:
            self._source.behind(seconds)  # refuses what it cannot give, here and not in an answer
            self._lags = {**self._lags, (index, origin): seconds}

    def catch_up(self, index: int, zone: str) -> None:
        """End the lag of one server for a zone."""
        key = (index, parse_name(zone))
        self._lags = {lagging: held for lagging, held in self._lags.items() if lagging != key}

    def down(self, index: int, zone: str = ".") -> None:
        """Let one server drop the queries for names at or below a zone, silently."""
        self._servers[index].down(parse_name(zone))

    def up(self, index: int, zone: str = ".") -> None:
        """End what `down` began for that zone; "." ends all of it."""
        self._servers[index].up(parse_name(zone))

    def delay(self, index: int, seconds: float, zone: str = ".") -> None:
        """Let one server answer so much later for names at or below a zone; 0 ends it."""
        self._servers[index].delay(parse_name(zone), seconds)

    def queries(self, name: str = "", **wanted: object) -> list[Query]:
        """Return the queries that arrived, oldest first: for this name, with these fields."""
        return self._log.select(name, **wanted)

    async def _respond(self, index: int, query: Message, response: Message) -> None:
        question = query.question[0]
        zone = self._zone_for(index, question.name, _zone_meant(query))
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        found = lookup(zone, question.name, question.rdtype)
        response.set_rcode(found.rcode)
        if found.authoritative:
            response.flags |= dns.flags.AA
        response.answer.extend(found.answer)
        response.authority.extend(found.authority)
        response.additional.extend(found.additional)

    def _zone_for(self, index: int, name: Name, meant: Name | None) -> Zone | None:
        """Return the longest zone that holds the name, as this server knows it."""
        snapshot = self._source.latest()
        for length in range(len(name), 0, -1):
            origin = name.split(length)[1]
            zone = self._view(index, origin, snapshot)
            if zone is not None and meant in (None, origin):
                return zone
        return None

    def _view(self, index: int, origin: Name, snapshot: Snapshot) -> Zone | None:
        lag = self._lags.get((index, origin))
        if isinstance(lag, _Held):
            return lag.zone
        return (snapshot if lag is None else self._source.behind(lag)).zones.get(origin)


def _zone_meant(query: Message) -> Name | None:
    for option in query.options:
        if option.otype == ZONE_OPTION and isinstance(option, dns.edns.GenericOption):
            return dns.name.from_wire(option.data, 0)[0]
    return None
