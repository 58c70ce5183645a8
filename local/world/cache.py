"""What one resolver remembers, and for how long."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import dns.rcode
import dns.rrset
from dns.name import Name
from dns.rcode import Rcode
from dns.rdatatype import RdataType
from dns.rrset import RRset

STALE_TTL = 30  # seconds, RFC 8767 section 4

# NXDOMAIN holds for every type (RFC 2308 section 5): kept under the type that no query has.
_EVERY_TYPE = RdataType.NONE


@dataclass(frozen=True)
class Found:
    """One step of a resolution: a set, or none of this type, or no such name.

    `rrset` is of the type asked or a CNAME, None for a negative answer; that one lives for
    min(SOA TTL, SOA minimum) of `soa` (RFC 2308 section 5), and not at all without.
    """

    rrset: RRset | None = None
    soa: RRset | None = None
    rcode: Rcode = dns.rcode.NOERROR

    @property
    def ttl(self) -> int:
        """How long it lives, in seconds."""
        if self.rrset is not None:
            return int(self.rrset.ttl)
        return min(self.soa.ttl, self.soa[0].minimum) if self.soa else 0

    def aged(self, ttl: int) -> "Found":
        """Return the same with so many seconds left."""
        return Found(_with_ttl(self.rrset, ttl), _with_ttl(self.soa, ttl), self.rcode)


class Cache:
    """Answers by name and type, until their TTL ends by the given clock (seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[tuple[Name, RdataType], tuple[Found, float]] = {}

    def put(self, name: Name, rdtype: RdataType, found: Found) -> None:
        """Remember what was found for a name and type."""
        if found.rrset is not None:
            rdtype = found.rrset.rdtype
        elif found.rcode == dns.rcode.NXDOMAIN:
            rdtype = _EVERY_TYPE
        self._held[name, rdtype] = (found, self._clock() + found.ttl)

    def get(self, name: Name, rdtype: RdataType, stale: float = 0) -> Found | None:
        """Return what is remembered, with the time it has left, or None.

        What has ended is still given, as living `STALE_TTL` seconds, if it ended less than `stale`
        seconds ago. The time left is rounded up, so that nothing outlives what it said.
        """
        now = self._clock()
        for kept in (rdtype, RdataType.CNAME, _EVERY_TYPE):
            found, end = self._held.get((name, kept), (None, 0.0))
            if found is None:
                continue
            if now < end:
                return found.aged(math.ceil(end - now))
            if now < end + stale:
                return found.aged(STALE_TTL)
        return None

    def flush(self, zone: Name) -> None:
        """Forget every name at or below the zone."""
        for name, rdtype in list(self._held):
            if name.is_subdomain(zone):
                del self._held[name, rdtype]


def _with_ttl(rrset: RRset | None, ttl: int) -> RRset | None:
    if rrset is None:
        return None
    return dns.rrset.from_rdata_list(rrset.name, ttl, list(rrset))
