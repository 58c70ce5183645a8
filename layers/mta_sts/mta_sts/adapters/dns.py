"""Ask DNS servers, and keep apart what they answered: present, absent, unreachable, malformed.

dnspython's errors become ours here and nowhere else. Its resolver is not used: it costs more to
import than everything else a check does, and hides which server said what.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, cast

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from mta_sts.adapters.route import has_route
from mta_sts.record_check import Answer, Kind, NotAsked, Outcome
from mta_sts.settings import Endpoint, Network

TIMEOUT_SECONDS = 3.0
# The largest EDNS answer that no path has to fragment (DNS flag day 2020).
PAYLOAD = 1232
NO_IPV6_ROUTE = "no IPv6 route"
REFERRAL = "answered with a referral to other servers"


@dataclass(frozen=True)
class NameServer:
    """A name server by its name (no final dot) and its addresses, IPv4 first."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """Every answer that was sought, and the addresses that could not be asked."""

    answers: tuple[Answer, ...]
    not_asked: tuple[NotAsked, ...]


@dataclass(frozen=True)
class Found:
    """What one answer holds at the end of its CNAME chain.

    ``ttl`` is that of the data, of the negative answer where there is none (RFC 2308 section 5), and of
    the first CNAME where one leads away from the name: for so long it does, whatever stands behind it.
    It is None where the answer gave none. ``leads_to`` and ``alias`` are the targets of the first and the
    last CNAME, empty without one. ``complete`` is False for a CNAME whose target the answer says nothing
    about, and for a loop.
    """

    data: tuple[Any, ...]  # dnspython's rdata classes of the type that was asked for
    ttl: int | None
    alias: str
    complete: bool
    leads_to: str = ""


@dataclass(frozen=True)
class Failed:
    """A question that got no answer of use, and what happened."""

    outcome: Literal["unreachable", "malformed"]
    detail: str


def ask_everywhere(
    name: str,
    servers: tuple[NameServer, ...],
    network: Network,
    *,
    rounds: int,
    timeout: float = TIMEOUT_SECONDS,
) -> Asked:
    """Ask every authoritative address once and every resolver ROUNDS times for the TXT at NAME.

    All questions are under way at once, so that any number of dead servers costs one TIMEOUT
    (seconds). IPv6 addresses are asked where there is a route. Nothing is raised for what a server
    does or leaves undone: that is in the answers.
    """
    return asyncio.run(_ask_everywhere(name, servers, network, rounds, timeout))


async def _ask_everywhere(
    name: str, servers: tuple[NameServer, ...], network: Network, rounds: int, seconds: float
) -> Asked:
    questions: list[Coroutine[Any, Any, Answer]] = []
    not_asked: list[NotAsked] = []
    for server in servers:
        if not server.addresses:
            not_asked.append(NotAsked(server.name, "", "authority", "no address is known"))
        for address in server.addresses:
            if has_route(address):
                endpoint = Endpoint(address, network.dns_port)
                questions.append(_ask_text(name, endpoint, "authority", server.name, seconds))
            else:
                not_asked.append(NotAsked(server.name, address, "authority", NO_IPV6_ROUTE))
    for resolver in network.resolvers:
        if has_route(resolver.address):
            questions.extend(
                _ask_text(name, resolver, "resolver", "resolver", seconds) for _ in range(rounds)
            )
        else:
            not_asked.append(NotAsked("resolver", str(resolver), "resolver", NO_IPV6_ROUTE))
    return Asked(tuple(await asyncio.gather(*questions)), tuple(not_asked))


async def _ask_text(
    name: str, endpoint: Endpoint, kind: Kind, server: str, seconds: float
) -> Answer:
    # All name servers share one port; resolvers have their own.
    address = endpoint.address if kind == "authority" else str(endpoint)
    found = await question(
        name, dns.rdatatype.TXT, endpoint, recursive=kind == "resolver", seconds=seconds
    )
    if isinstance(found, Failed):
        return Answer(server, address, kind, found.outcome, detail=found.detail)
    if not found.complete:
        # Neither a value nor its absence was told: to call it absent would read as gone.
        detail = f"a CNAME to {found.alias}, which the server says nothing about"
        return Answer(server, address, kind, "alias", (), found.ttl, detail, found.leads_to)
    # RFC 8461 section 3.1: the strings of one value are joined without blanks.
    values = tuple(b"".join(rdata.strings) for rdata in found.data)
    outcome: Outcome = "present" if values else "absent"
    detail = f"through a CNAME to {found.alias}" if found.alias else ""
    return Answer(server, address, kind, outcome, values, found.ttl, detail, found.leads_to)


async def question(
    name: str,
    rdtype: dns.rdatatype.RdataType,
    endpoint: Endpoint,
    *,
    recursive: bool,
    seconds: float,
) -> Found | Failed:
    """Put one question to one server, with RD for a resolver and without for an authority.

    The answer of an authority counts only with AA: without it, it comes from a cache or from a
    server that does not know the zone.
    """
    flags = dns.flags.RD if recursive else 0
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=PAYLOAD, flags=flags)
    try:
        message = await _exchange(query, endpoint, seconds)
        return message if isinstance(message, Failed) else _read(message, recursive=recursive)
    except dns.exception.Timeout:
        return Failed("unreachable", f"timed out after {seconds:g} s")
    except EOFError:
        return Failed("unreachable", "closed the connection")
    except OSError as error:
        return Failed("unreachable", f"network error: {error.strerror or error}")
    except dns.exception.DNSException as error:
        return Failed("malformed", _say(error))


def _read(message: dns.message.QueryMessage, *, recursive: bool) -> Found | Failed:
    """Take an answer for one where the server may give it; raises as :func:`_follow`."""
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Failed("unreachable", f"answered {dns.rcode.to_text(message.rcode())}")
    if not recursive and not message.flags & dns.flags.AA:
        # A referral has no AA (RFC 1034 section 4.3.2). One to the root is what some servers say to all
        # that they do not serve.
        cut = any(
            rrset.rdtype == dns.rdatatype.NS and rrset.name != dns.name.root
            for rrset in message.authority
        )
        if cut and not message.answer and message.rcode() == dns.rcode.NOERROR:
            return Failed("unreachable", REFERRAL)
        return Failed("unreachable", "answered without authority: it does not serve the zone")
    return _follow(message, recursive=recursive)


def _follow(message: dns.message.QueryMessage, *, recursive: bool) -> Found | Failed:
    """Follow an answer's CNAMEs to its data; raise DNSException where it contradicts itself."""
    asked = message.question[0]
    cname = message.get_rrset(message.answer, asked.name, asked.rdclass, dns.rdatatype.CNAME)
    leads_to = _text(cname[0].target) if cname else ""
    try:
        chain = message.resolve_chaining()
    except dns.message.ChainTooLong:
        return Found((), cname.ttl if cname else None, leads_to, complete=False, leads_to=leads_to)
    alias = _text(chain.canonical_name) if chain.cnames else ""
    ttl = chain.cnames[0].ttl if chain.cnames else chain.minimum_ttl
    if chain.answer is not None:
        return Found(tuple(chain.answer), ttl, alias, complete=True, leads_to=leads_to)
    denied = any(
        rrset.rdtype == dns.rdatatype.SOA and chain.canonical_name.is_subdomain(rrset.name)
        for rrset in message.authority
    )
    refers = message.rcode() == dns.rcode.NOERROR and any(
        rrset.rdtype == dns.rdatatype.NS for rrset in message.authority
    )
    if refers and not (denied or alias):
        # RFC 2308 section 2.2: NS without SOA is a referral, which denies nothing.
        return Failed("unreachable", REFERRAL)
    # An authority may not know the zone that the last CNAME leads to: only a SOA of it denies. A resolver
    # does know, and its NXDOMAIN is about the end of the chain (RFC 6604 section 3).
    complete = denied or not alias or (recursive and message.rcode() == dns.rcode.NXDOMAIN)
    return Found((), ttl if denied or alias else None, alias, complete, leads_to)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


async def _exchange(
    query: dns.message.QueryMessage, endpoint: Endpoint, seconds: float
) -> dns.message.QueryMessage | Failed:
    """Ask over UDP, once more halfway to the time-out, and over TCP where the answer is truncated.

    The second packet is the same question from the same socket, so that a late answer to the first
    still counts. The socket is connected: the kernel drops what others send and tells of a closed
    port at once. Raises OSError, EOFError and DNSException, Timeout among them.
    """
    family = dns.inet.af_for_address(endpoint.address)
    destination = dns.inet.low_level_address_tuple((endpoint.address, endpoint.port), family)
    backend = dns.asyncbackend.get_backend("asyncio")
    udp = await backend.make_socket(  # type: ignore[no-untyped-call]
        family, socket.SOCK_DGRAM, 0, None, destination[:2]
    )
    start = time.time()
    junk: Failed | None = None
    async with udp:
        for expiration in (start + seconds / 2, start + seconds):
            await dns.asyncquery.send_udp(udp, query, destination)
            while True:
                try:
                    message, _, _ = await dns.asyncquery.receive_udp(
                        udp, destination, expiration, raise_on_truncation=True
                    )
                except dns.exception.Timeout:
                    break
                except dns.message.Truncated as error:
                    truncated = error.message()  # type: ignore[no-untyped-call]
                    if query.is_response(truncated):
                        message = await dns.asyncquery.tcp(
                            query, endpoint.address, seconds, endpoint.port, backend=backend
                        )
                        return cast("dns.message.QueryMessage", message)
                    junk = _STRAY
                except dns.exception.DNSException as error:
                    # Perhaps forged: the true answer may still come. If none does, this is told.
                    junk = Failed("malformed", _say(error))
                else:
                    if query.is_response(message):
                        return cast("dns.message.QueryMessage", message)
                    junk = _STRAY
    return junk or Failed("unreachable", f"timed out after {seconds:g} s")


_STRAY = Failed("malformed", "an answer to another question")


def _say(error: dns.exception.DNSException) -> str:
    return f"{type(error).__name__}: {error}"
