"""Look up what planning and checking start from: name servers, addresses and TTLs.

Resolvers are asked all of them, always, and what they say is united: one that still holds an old
delegation or an old address shows what part of the Internet still uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

import dns.name
import dns.rdatatype

from mta_sts.adapters.dns import (
    TIMEOUT_SECONDS,
    Failed,
    Found,
    NameServer,
    question,
)
from mta_sts.adapters.route import has_route
from mta_sts.errors import DnsUnreachableError
from mta_sts.settings import Endpoint, Network

# More links than any CNAME chain that resolvers put up with.
_MOST_LINKS = 8
_ADDRESS_TYPES = (dns.rdatatype.A, dns.rdatatype.AAAA)


@dataclass(frozen=True)
class Addresses:
    """The addresses of a host as text, sorted; ``problems`` has one line for each failed question.

    No address and no problem means that the host has none; with problems, it may have some.
    """

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    problems: tuple[str, ...]


def delegation(
    zone: str, network: Network, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[NameServer, ...]:
    """Name the servers to which the DNS delegates ZONE, sorted, as any resolver sees them.

    Empty where ZONE is not delegated, that is, has no NS record set of its own. A name server
    without a known address has no addresses. TIMEOUT (seconds) is for each question. Raises
    DnsUnreachableError when no resolver gives a usable answer.
    """
    return asyncio.run(_delegation(zone, network, timeout))


def addresses(host: str, network: Network, *, timeout: float = TIMEOUT_SECONDS) -> Addresses:
    """Unite the A and AAAA records that the resolvers give for HOST, CNAMEs followed.

    TIMEOUT (seconds) is for each question. Raises nothing: see ``Addresses.problems``.
    """
    return asyncio.run(_addresses(host, network, timeout))


def addresses_of(
    hosts: Iterable[str], network: Network, *, timeout: float = TIMEOUT_SECONDS
) -> Addresses:
    """Unite the addresses of several HOSTS, asked for all at once, as :func:`addresses` does."""
    return asyncio.run(_addresses_of(tuple(hosts), network, timeout))


def negative_ttl(
    zone: str,
    servers: tuple[NameServer, ...],
    network: Network,
    *,
    timeout: float = TIMEOUT_SECONDS,
) -> int:
    """Give the seconds for which resolvers may keep "there is no such record" in ZONE.

    That is the smaller of the SOA's TTL and its minimum field (RFC 2308 section 5), the largest of
    what its SERVERS say. Raises DnsUnreachableError when none of them can be asked.
    """
    return asyncio.run(_negative_ttl(zone, servers, network, timeout))


async def _delegation(zone: str, network: Network, seconds: float) -> tuple[NameServer, ...]:
    results = await _ask_resolvers(zone, dns.rdatatype.NS, network, seconds)
    failures = _failures(results)
    if len(failures) == len(results):
        told = "; ".join(failures) or "none is configured"
        raise DnsUnreachableError(
            f"no resolver could tell the name servers of {zone}: {told}. Look at the stack's Resolvers."
        )
    names = sorted(
        {
            _host(rdata.target)
            for _, result in results
            if isinstance(result, Found) and not result.alias
            for rdata in result.data
        }
    )
    hosts = await asyncio.gather(*(_addresses(name, network, seconds) for name in names))
    return tuple(
        NameServer(name, host.ipv4 + host.ipv6) for name, host in zip(names, hosts, strict=True)
    )


async def _addresses(host: str, network: Network, seconds: float) -> Addresses:
    ipv4, ipv6 = await asyncio.gather(
        _ask_resolvers(host, dns.rdatatype.A, network, seconds),
        _ask_resolvers(host, dns.rdatatype.AAAA, network, seconds),
    )
    problems = _failures(ipv4, "A: ") + _failures(ipv6, "AAAA: ")
    return Addresses(_literals(ipv4), _literals(ipv6), tuple(problems))


async def _addresses_of(hosts: tuple[str, ...], network: Network, seconds: float) -> Addresses:
    each = await asyncio.gather(*(_addresses(host, network, seconds) for host in hosts))
    return Addresses(
        tuple(dict.fromkeys(address for found in each for address in found.ipv4)),
        tuple(dict.fromkeys(address for found in each for address in found.ipv6)),
        tuple(problem for found in each for problem in found.problems),
    )


async def _negative_ttl(
    zone: str, servers: tuple[NameServer, ...], network: Network, seconds: float
) -> int:
    endpoints = [
        Endpoint(address, network.dns_port)
        for server in servers
        for address in server.addresses
        if has_route(address)
    ]
    results = await _ask_all(zone, dns.rdatatype.SOA, endpoints, seconds, recursive=False)
    ttls: list[int] = [
        min(result.ttl or 0, rdata.minimum)
        for _, result in results
        if isinstance(result, Found)
        for rdata in result.data
    ]
    if not ttls:
        told = "; ".join(_failures(results)) or "none is known by address"
        raise DnsUnreachableError(
            f"no authoritative server of {zone} could tell how long a negative answer lives: {told}."
            " Look at these servers."
        )
    return max(ttls)


_Result = tuple[Endpoint, Found | Failed]


async def _ask_resolvers(
    name: str, rdtype: dns.rdatatype.RdataType, network: Network, seconds: float
) -> list[_Result]:
    return await _ask_all(name, rdtype, network.resolvers, seconds, recursive=True)


async def _ask_all(
    name: str,
    rdtype: dns.rdatatype.RdataType,
    endpoints: Iterable[Endpoint],
    seconds: float,
    *,
    recursive: bool,
) -> list[_Result]:
    endpoints = tuple(endpoints)
    results = await asyncio.gather(
        *(_chase(name, rdtype, endpoint, seconds, recursive) for endpoint in endpoints)
    )
    return list(zip(endpoints, results, strict=True))


async def _chase(
    name: str,
    rdtype: dns.rdatatype.RdataType,
    endpoint: Endpoint,
    seconds: float,
    recursive: bool,  # noqa: FBT001 - private, and named where it is decided
) -> Found | Failed:
    """Ask again for a CNAME's target where the answer ends with the CNAME."""
    for _ in range(_MOST_LINKS):
        found = await question(name, rdtype, endpoint, recursive=recursive, seconds=seconds)
        if isinstance(found, Failed) or found.complete or rdtype not in _ADDRESS_TYPES:
            return found
        name = found.alias
    return Failed("malformed", f"more than {_MOST_LINKS} CNAMEs in a row")


def _failures(results: list[_Result], prefix: str = "") -> list[str]:
    return [
        f"{endpoint}: {prefix}{result.detail}"
        for endpoint, result in results
        if isinstance(result, Failed)
    ]


def _literals(results: list[_Result]) -> tuple[str, ...]:
    found = {
        rdata.address for _, result in results if isinstance(result, Found) for rdata in result.data
    }
    return tuple(sorted(found, key=ip_address))


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
