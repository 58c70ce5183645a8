"""Looking up name servers, addresses and TTLs, against real servers on loopback."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rrset
import pytest

from mta_sts.adapters import delegation as delegation_module
from mta_sts.adapters.delegation import addresses, delegation, negative_ttl
from mta_sts.adapters.dns import NameServer
from mta_sts.errors import DnsUnreachableError
from mta_sts.settings import Endpoint, Network
from tests.adapters.dns_servers import (
    Script,
    Servers,
    Transport,
    answer_to,
    failing,
    silent,
    zone,
)

RECORD = "_mta-sts.example.com"
SOA = "example.com. 900 SOA ns1.example.net. hostmaster.example.com. 1 7200 900 1209600 300\n"
HAS_NEW = zone(SOA + f'{RECORD}. 60 TXT "v=STSv1; id=2;"')


def _network(servers: Servers, *resolvers: str) -> Network:
    endpoints = tuple(Endpoint(address, servers.port) for address in resolvers)
    return Network(resolvers=endpoints, dns_port=servers.port)


def _delegated(*names: str, hosts: str = "") -> Script:
    records = "".join(f"example.com. 60 NS {name}.\n" for name in names)
    return zone(SOA + "example.net. 60 SOA . . 1 1 1 1 60\n" + records + hosts)


class TestDelegation:
    def test_names_and_addresses_are_united_over_the_resolvers(self) -> None:
        hosts = (
            "ns1.example.net. 60 A 127.0.0.10\nns1.example.net. 60 A 127.0.0.9\n"
            "ns1.example.net. 60 AAAA ::ffff:127.0.0.9\n"
        )
        first = _delegated("ns1.example.net", "NS2.example.net", hosts=hosts)
        second = _delegated(
            "ns3.example.net", "ns1.example.net", hosts="ns1.example.net. 60 A 127.0.0.8\n"
        )
        with Servers({"127.41.1.1": first, "127.41.1.2": second}) as servers:
            found = delegation("example.com", _network(servers, "127.41.1.1", "127.41.1.2"))
            seen = servers["127.41.1.1"].seen + servers["127.41.1.2"].seen
        assert found == (
            NameServer(
                "ns1.example.net",
                ("127.0.0.8", "127.0.0.9", "127.0.0.10", "::ffff:127.0.0.9"),
            ),
            NameServer("ns2.example.net", ()),
            NameServer("ns3.example.net", ()),
        )
        assert all(query.recursive for query in seen)
        assert {query.about[1] for query in seen} == {"NS", "A", "AAAA"}

    @pytest.mark.parametrize(
        "script",
        [
            failing(dns.rcode.NXDOMAIN),
            zone(SOA),
            zone("example.com. 60 CNAME a.example.\na.example. 60 NS ns1.example.net."),
            zone("example.com. 60 CNAME a.example."),
        ],
    )
    def test_a_zone_that_is_not_delegated_has_no_servers(self, script: Script) -> None:
        with Servers({"127.41.2.1": script}) as servers:
            assert delegation("example.com", _network(servers, "127.41.2.1")) == ()

    def test_one_resolver_that_answers_is_enough(self) -> None:
        scripts: dict[str, Script] = {
            "127.41.3.1": failing(dns.rcode.SERVFAIL),
            "127.41.3.2": _delegated("ns1.example.net", hosts="ns1.example.net. 60 A 127.0.0.9"),
        }
        with Servers(scripts) as servers:
            found = delegation("example.com", _network(servers, *scripts))
        assert found == (NameServer("ns1.example.net", ("127.0.0.9",)),)

    def test_no_resolver_that_answers_is_no_empty_delegation(self) -> None:
        scripts = {"127.41.4.1": failing(dns.rcode.SERVFAIL), "127.41.4.2": silent}
        with Servers(scripts) as servers, pytest.raises(DnsUnreachableError) as caught:
            delegation("example.com", _network(servers, *scripts), timeout=1)
        assert str(caught.value) == (
            "no resolver could tell the name servers of example.com: "
            f"127.41.4.1:{servers.port}: answered SERVFAIL; "
            f"127.41.4.2:{servers.port}: timed out after 1 s. Look at the stack's Resolvers."
        )

    def test_without_any_resolver(self) -> None:
        with pytest.raises(DnsUnreachableError, match="none is configured"):
            delegation("example.com", Network(resolvers=()))


HOST = "mta-sts.example.com"


class TestAddresses:
    def test_both_families_are_united_over_the_resolvers(self) -> None:
        first = zone(SOA + f"{HOST}. 60 A 127.0.0.20\n{HOST}. 60 AAAA ::1\n")
        second = zone(SOA + f"{HOST}. 60 A 127.0.0.3\n{HOST}. 60 A 127.0.0.20\n")
        with Servers({"127.41.5.1": first, "127.41.5.2": second}) as servers:
            found = addresses(HOST, _network(servers, "127.41.5.1", "127.41.5.2"))
        assert (found.ipv4, found.ipv6) == (("127.0.0.3", "127.0.0.20"), ("::1",))
        assert found.problems == ()

    @pytest.mark.parametrize("script", [zone(SOA), zone(SOA + f"{HOST}. 60 TXT x\n")])
    def test_a_host_without_addresses_is_not_a_problem_of_the_resolver(
        self, script: Script
    ) -> None:
        with Servers({"127.41.6.1": script}) as servers:
            found = addresses(HOST, _network(servers, "127.41.6.1"))
        assert (found.ipv4, found.ipv6, found.problems) == ((), (), ())

    def test_what_a_resolver_does_not_tell_is_a_problem(self) -> None:
        scripts = {"127.41.7.1": silent, "127.41.7.2": zone(SOA + f"{HOST}. 60 A 127.0.0.3\n")}
        with Servers(scripts) as servers:
            found = addresses(HOST, _network(servers, *scripts), timeout=1)
        assert found.ipv4 == ("127.0.0.3",)
        assert found.problems == (
            f"127.41.7.1:{servers.port}: A: timed out after 1 s",
            f"127.41.7.1:{servers.port}: AAAA: timed out after 1 s",
        )

    def test_a_cname_is_followed_in_the_answer(self) -> None:
        script = zone(f"{HOST}. 60 CNAME cdn.example.\ncdn.example. 60 A 127.0.0.4\n")
        with Servers({"127.41.8.1": script}) as servers:
            found = addresses(HOST, _network(servers, "127.41.8.1"))
        assert found.ipv4 == ("127.0.0.4",)

    def test_a_cname_alone_is_chased(self) -> None:
        inner = zone(f"{HOST}. 60 CNAME cdn.example.\ncdn.example. 60 A 127.0.0.4\n")
        with Servers({"127.41.9.1": _first_link_only(inner)}) as servers:
            found = addresses(HOST, _network(servers, "127.41.9.1"))
        assert (found.ipv4, found.problems) == (("127.0.0.4",), ())

    def test_cnames_without_end_are_a_problem(self) -> None:
        def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
            reply = answer_to(query)
            name = query.question[0].name
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", f"x.{name}"))
            return reply

        with Servers({"127.41.10.1": script}) as servers:
            found = addresses(HOST, _network(servers, "127.41.10.1"))
            assert len(servers["127.41.10.1"].seen) == 16
        assert found.ipv4 == ()
        assert found.problems[0].endswith("A: more than 8 CNAMEs in a row")


def _first_link_only(inner: Script) -> Script:
    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = inner(query, transport)
        assert isinstance(reply, dns.message.Message)
        del reply.answer[1:]
        return reply

    return script


def _soa(ttl: int, minimum: int) -> str:
    return f"example.com. {ttl} SOA ns1.example.net. h.example.com. 1 7200 900 9999 {minimum}\n"


class TestTtls:
    @pytest.mark.parametrize(("ttl", "minimum", "lives"), [(900, 300, 300), (60, 86400, 60)])
    def test_a_negative_answer_lives_for_the_smaller_of_two(
        self, ttl: int, minimum: int, lives: int
    ) -> None:
        resolver = _delegated("ns1.example.net", hosts="ns1.example.net. 60 A 127.41.11.1\n")
        scripts = {"127.41.11.1": zone(_soa(ttl, minimum)), "127.41.11.9": resolver}
        with Servers(scripts) as servers:
            found = _negative_ttl(_network(servers, "127.41.11.9"))
            assert not servers["127.41.11.1"].seen[0].recursive
        assert found == lives

    def test_the_largest_of_several_servers_counts_and_a_dead_one_does_not(self) -> None:
        hosts = "".join(f"ns{n}.example.net. 60 A 127.41.12.{n}\n" for n in (1, 2, 3, 4))
        names = [f"ns{n}.example.net" for n in (1, 2, 3, 4)]
        scripts = {
            "127.41.12.1": zone(_soa(900, 30)),
            "127.41.12.2": zone(_soa(900, 70)),
            "127.41.12.3": failing(dns.rcode.REFUSED),
            "127.41.12.4": zone(_soa(900, 800), aa=False),
            "127.41.12.9": _delegated(*names, hosts=hosts),
        }
        with Servers(scripts) as servers:
            assert _negative_ttl(_network(servers, "127.41.12.9")) == 70

    def test_no_authority_that_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hosts = "ns1.example.net. 60 A 127.41.13.1\nns1.example.net. 60 AAAA ::1\n"
        scripts = {
            "127.41.13.1": failing(dns.rcode.REFUSED),
            "127.41.13.9": _delegated("ns1.example.net", hosts=hosts),
        }
        monkeypatch.setattr(delegation_module, "has_route", lambda address: ":" not in address)
        with Servers(scripts) as servers, pytest.raises(DnsUnreachableError) as caught:
            _negative_ttl(_network(servers, "127.41.13.9"))
        assert str(caught.value) == (
            "no authoritative server of example.com could tell how long a negative answer lives: "
            f"127.41.13.1:{servers.port}: answered REFUSED. Look at these servers."
        )

    def test_a_zone_without_servers_has_no_negative_ttl(self) -> None:
        with (
            Servers({"127.41.14.9": zone(SOA)}) as servers,
            pytest.raises(DnsUnreachableError, match="none is known by address"),
        ):
            _negative_ttl(_network(servers, "127.41.14.9"))


def _negative_ttl(network: Network) -> int:
    return negative_ttl("example.com", delegation("example.com", network), network)
