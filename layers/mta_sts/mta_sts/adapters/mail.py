"""Ask the name servers of a domain where its mail goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from mta_sts.adapters.delegation import delegation
from mta_sts.adapters.dns import (
    NO_IPV6_ROUTE,
    PAYLOAD,
    TIMEOUT_SECONDS,
    Failed,
    NameServer,
    question,
)
from mta_sts.adapters.route import has_route
from mta_sts.errors import DnsUnreachableError
from mta_sts.live_mx import LiveMx, MxAnswer, TlsaAnswer, live_mx
from mta_sts.record_check import NotAsked
from mta_sts.settings import Endpoint, Network

_MOST_LINKS = 8  # names in a chain of CNAMEs


def ask_mx(domain: str, network: Network, *, timeout: float = TIMEOUT_SECONDS) -> LiveMx:
    """Ask every address of every authoritative name server for the MX of DOMAIN, all at once.

    The servers are those of the zone that holds the domain: the longest name above it, or it, to which
    the resolvers know a delegation. Where the domain is a CNAME, its target takes its place (RFC 5321
    section 5.1). IPv6 addresses are asked where there is a route. TIMEOUT (seconds) is for each question.
    Raises nothing for what servers do or leave undone: see ``LiveMx.known`` and ``LiveMx.problems``.
    """
    answers: list[MxAnswer] = []
    not_asked: list[NotAsked] = []
    problems: list[str] = []
    names = [domain]
    for name in names:  # grows as CNAMEs are met
        if len(names) > _MOST_LINKS:
            problems.append(f"more than {_MOST_LINKS} CNAMEs lead on from {domain}")
            break
        try:
            servers = name_servers_of(name, network, timeout=timeout)
        except DnsUnreachableError as error:
            problems.append(str(error).partition(". ")[0])
            continue
        if not servers:
            problems.append(f"no zone that could hold {name} is delegated to anybody")
        found, skipped = asyncio.run(_ask(name, servers, network, timeout))
        answers += found
        not_asked += skipped
        led = {answer.alias for answer in found if answer.outcome == "alias"}
        names += sorted(led - set(names))
    return live_mx(domain, answers, not_asked, problems)


def name_servers_of(
    name: str, network: Network, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[NameServer, ...]:
    """Find the name servers of the zone that holds NAME, empty where nobody is delegated to.

    Raises DnsUnreachableError.
    """
    labels = name.split(".")
    for first in range(len(labels)):
        servers = delegation(".".join(labels[first:]), network, timeout=timeout)
        if servers:
            return servers
    return ()


def ask_tlsa(
    hosts: Sequence[str], network: Network, *, timeout: float = TIMEOUT_SECONDS
) -> tuple[TlsaAnswer, ...]:
    """Ask the resolvers for the TLSA records of each MX host, and whether DNSSEC has proven them.

    TIMEOUT (seconds) is for each question. Raises nothing: see ``TlsaAnswer.problem``.
    """
    return asyncio.run(_ask_tlsa(hosts, network, timeout))


async def _ask_tlsa(
    hosts: Sequence[str], network: Network, seconds: float
) -> tuple[TlsaAnswer, ...]:
    return tuple(await asyncio.gather(*(_tlsa_of(host, network, seconds) for host in hosts)))


async def _tlsa_of(host: str, network: Network, seconds: float) -> TlsaAnswer:
    asked = [one for one in network.resolvers if has_route(one.address)]
    told = await asyncio.gather(*(_ask_validated(host, one, seconds) for one in asked))
    found = [one for one in told if not one.problem]
    if not found:
        problems = "; ".join(dict.fromkeys(one.problem for one in told))
        return TlsaAnswer(host, 0, secure=False, problem=problems or "no resolver can be asked")
    # One resolver that validates proves it, whatever others leave undone.
    return max(found, key=lambda one: (one.secure, one.records))


async def _ask_validated(host: str, resolver: Endpoint, seconds: float) -> TlsaAnswer:
    """Ask one resolver, which sets AD where it has validated the answer (RFC 4035 section 3.2.3)."""
    try:
        query = dns.message.make_query(
            f"_25._tcp.{host}", dns.rdatatype.TLSA, payload=PAYLOAD, want_dnssec=True
        )
        query.flags |= dns.flags.AD
        message, _ = await dns.asyncquery.udp_with_fallback(
            query,
            resolver.address,
            seconds,
            resolver.port,
            ignore_unexpected=True,
            ignore_errors=True,
        )
        if message.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            answer = message.resolve_chaining().answer  # type: ignore[attr-defined]
            secure = bool(answer) and bool(message.flags & dns.flags.AD)
            return TlsaAnswer(host, len(answer or ()), secure)
        problem = f"answered {dns.rcode.to_text(message.rcode())}"
    except dns.exception.Timeout:
        problem = f"timed out after {seconds:g} s"
    except (OSError, EOFError, dns.exception.DNSException) as error:
        problem = str(error) or type(error).__name__
    return TlsaAnswer(host, 0, secure=False, problem=f"{resolver}: {problem}")


async def _ask(
    name: str, servers: tuple[NameServer, ...], network: Network, seconds: float
) -> tuple[list[MxAnswer], list[NotAsked]]:
    questions, not_asked = [], []
    for server in servers:
        if not server.addresses:
            not_asked.append(NotAsked(server.name, "", "authority", "no address is known"))
        for address in server.addresses:
            if has_route(address):
                questions.append(_ask_one(name, server.name, address, network, seconds))
            else:
                not_asked.append(NotAsked(server.name, address, "authority", NO_IPV6_ROUTE))
    return list(await asyncio.gather(*questions)), not_asked


async def _ask_one(
    name: str, server: str, address: str, network: Network, seconds: float
) -> MxAnswer:
    found = await question(
        name,
        dns.rdatatype.MX,
        Endpoint(address, network.dns_port),
        recursive=False,
        seconds=seconds,
    )
    if isinstance(found, Failed):
        return MxAnswer(name, server, address, found.outcome, detail=found.detail)
    if not found.complete:
        return MxAnswer(name, server, address, "alias", alias=found.alias)
    # The root, which is a null MX (RFC 7505 section 3), becomes an empty host.
    hosts = tuple(
        (rdata.preference, rdata.exchange.to_text().lower().removesuffix("."))
        for rdata in found.data
    )
    return MxAnswer(name, server, address, "present" if hosts else "absent", hosts, found.alias)
