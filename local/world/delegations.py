"""Which name servers a zone is delegated to: the word of the zones above, the root included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dns.name
from dns.name import Name
from dns.rrset import RRset

from local.world.zones import ZoneSource, parse_name

DELEGATION_TTL = 172_800  # of NS sets in most top-level domains, and in Route 53
NEGATIVE_TTL = 900  # of "no such domain" there


@dataclass(frozen=True)
class Delegation:
    """A zone and the names of its servers; `table` is True where a test decided them."""

    zone: Name
    servers: tuple[Name, ...]
    table: bool


class Delegations:
    """Hosted zones are delegated to the servers in their own NS set, unless it is set otherwise."""

    def __init__(self, source: ZoneSource) -> None:
        self._source = source
        # Replaced as a whole, never changed in place: the resolvers read it in another thread.
        self._table: Mapping[Name, tuple[Name, ...]] = {}

    def set(self, zone: str, servers: Sequence[str] | None) -> None:
        """Delegate a zone to these name servers, to nobody (empty), or as by default (None)."""
        origin = parse_name(zone)
        table = {held: names for held, names in self._table.items() if held != origin}
        if servers is not None:
            table[origin] = tuple(parse_name(server) for server in servers)
        self._table = table

    def find(self, name: Name) -> Delegation | None:
        """Return the closest delegated zone at or above the name; None: only the root is."""
        zones = self._source.latest().zones
        for length in range(len(name), 1, -1):
            origin = name.split(length)[1]
            if origin in self._table:
                if self._table[origin]:
                    return Delegation(origin, self._table[origin], table=True)
            elif origin in zones:
                return Delegation(origin, zones[origin].name_servers, table=False)
        return None

    def any_below(self, name: Name) -> bool:
        """Tell whether the name is a delegated zone or an ancestor of one."""
        zones = [zone for zone in self._source.latest().zones if zone not in self._table]
        zones += [zone for zone, servers in self._table.items() if servers]
        return any(zone.is_subdomain(name) for zone in zones)


def parent_soa(name: Name, ttl: int = NEGATIVE_TTL) -> RRset:
    """Return the SOA with which the top-level domain of this name denies it, for `ttl` seconds."""
    owner = name.split(min(2, len(name)))[1]
    numbers = f"1 1800 900 604800 {ttl}"
    return dns.rrset.from_text(
        owner, ttl, "IN", "SOA", f"a.registry. hostmaster.registry. {numbers}"
    )
