"""What an authoritative server answers, from one zone: a pure function."""

from dataclasses import dataclass

import dns.name
import dns.rcode
import dns.rrset
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType
from dns.rrset import RRset

from local.world.zones import Zone

_LONGEST_CHAIN = 8  # CNAMEs followed inside one zone before a loop is assumed
_STAR = Name([b"*"])


@dataclass(frozen=True)
class Answer:
    """The sections of one response; `authoritative` is the AA bit."""

    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    rcode: Rcode = dns.rcode.NOERROR
    authoritative: bool = True


def lookup(zone: Zone, name: Name, rdtype: RdataType) -> Answer:
    """Answer by RFC 1034 section 4.3.2, with wildcards by RFC 4592 section 4.1.

    `name` must lie in the zone. CNAMEs are followed as far as the zone goes.
    """
    if zone.error:
        return Answer(rcode=dns.rcode.SERVFAIL, authoritative=False)
    chain: list[RRset] = []
    for _ in range(_LONGEST_CHAIN):
        if cut := _delegation(zone, name):
            return _referral(zone, cut, tuple(chain))
        node = _node(zone, name)
        if node is None:
            return Answer(tuple(chain), _negative(zone), rcode=dns.rcode.NXDOMAIN)
        if rdtype in node:
            chain.append(owned(name, node[rdtype]))
            return Answer(tuple(chain))
        if RdataType.CNAME not in node:
            return Answer(tuple(chain), _negative(zone))  # the name exists, the type does not
        alias = owned(name, node[RdataType.CNAME])
        chain.append(alias)
        name = alias[0].target
        if not name.is_subdomain(zone.origin):
            break
    return Answer(tuple(chain))


def owned(name: Name, rdataset: Rdataset) -> RRset:
    """Return a copy of the set under this owner, which wildcards lend to the name asked."""
    return dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))


def _node(zone: Zone, name: Name) -> dict[RdataType, Rdataset] | None:
    if name not in zone.names:
        encloser = name.parent()
        while encloser not in zone.names:
            encloser = encloser.parent()
        # Only the wildcard right below the closest encloser counts (RFC 4592 section 3.3.1): any
        # name that exists, even an empty non-terminal, hides the wildcards above it.
        name = _STAR + encloser
        if name not in zone.names:
            return None
    return dict(zone.sets.get(name, {}))


def _delegation(zone: Zone, name: Name) -> RRset | None:
    """Return the NS set of the highest cut between the apex and the name, the name included."""
    depth = len(zone.origin)
    for length in range(depth + 1, len(name) + 1):
        owner = name.split(length)[1]
        if servers := zone.sets.get(owner, {}).get(RdataType.NS):
            return owned(owner, servers)
    return None


def _referral(zone: Zone, cut: RRset, chain: tuple[RRset, ...]) -> Answer:
    glue = tuple(
        owned(server.target, addresses)
        for server in cut
        for rdtype in (RdataType.A, RdataType.AAAA)
        if (addresses := zone.sets.get(server.target, {}).get(rdtype))
    )
    # AA speaks of the first owner name in the answer (RFC 1035 section 4.1.1).
    return Answer(chain, (cut,), glue, authoritative=bool(chain))


def _negative(zone: Zone) -> tuple[RRset, ...]:
    soa = zone.sets.get(zone.origin, {}).get(RdataType.SOA)
    if soa is None:
        return ()
    rrset = owned(zone.origin, soa)
    # RFC 2308 section 3: the SOA of a negative answer carries the time that the answer may live.
    rrset.ttl = min(soa.ttl, soa[0].minimum)
    return (rrset,)
