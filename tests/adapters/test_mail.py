"""Asking name servers where mail goes, against real servers on loopback."""

from collections.abc import Mapping

import dns.flags
import dns.message
import dns.rcode
import pytest

from mta_sts.adapters import mail as mail_module
from mta_sts.adapters.mail import ask_mx, ask_tlsa
from mta_sts.live_mx import LiveMx
from mta_sts.settings import Endpoint, Network
from tests.adapters.dns_servers import Gate, Script, Servers, Transport, failing, silent, zone

SOA = "example.com. 900 SOA ns1.example.net. hostmaster.example.com. 1 7200 900 1209600 300\n"
MX = SOA + "example.com. 60 MX 10 MX1.Example.com.\nexample.com. 60 MX 5 mx0.example.org.\n"
RESOLVER = "127.45.0.9"


def _told(*cuts: str, more: str = "") -> Script:
    """What a resolver says of delegations: ``name address address …`` each."""
    records = "net. 60 SOA . . 1 1 1 1 60\ncom. 60 SOA . . 1 1 1 1 60\n" + more
    for cut in cuts:
        name, *addresses = cut.split()
        for number, address in enumerate(addresses, 1):
            server = f"ns{number}.{name.partition('.')[0]}.net."
            kind = "AAAA" if ":" in address else "A"
            records += f"{name}. 60 NS {server}\n{server} 60 {kind} {address}\n"
    return zone(records)


def _ask(
    scripts: Mapping[str, Script],
    *cuts: str,
    domain: str = "example.com",
    gate: Gate | None = None,
    resolver: Script | None = None,
) -> LiveMx:
    """Run SCRIPTS, by address, and ask; a resolver tells CUTS, at first all addresses as example.com's."""
    told = resolver or _told(*(cuts or (" ".join(["example.com", *scripts]),)))
    with Servers({**scripts, RESOLVER: told}) as servers:
        network = Network((Endpoint(RESOLVER, servers.port),), dns_port=servers.port)
        return ask_mx(domain, network, timeout=1)


class TestHosts:
    def test_are_told_in_lower_case_by_preference_without_a_final_dot(self) -> None:
        mx = _ask({"127.45.1.1": zone(MX)})
        assert mx.hosts == ("mx0.example.org", "mx1.example.com")
        assert (mx.known, mx.problems, mx.not_asked) == (True, (), ())
        assert [(one.server, one.address) for one in mx.answers] == [
            ("ns1.example.net", "127.45.1.1")
        ]

    def test_every_address_is_asked_and_one_that_differs_is_told(self) -> None:
        lagging = zone(SOA + "example.com. 60 MX 10 old.example.org.")
        mx = _ask({"127.45.2.1": zone(MX), "127.45.2.2": zone(MX), "127.45.2.3": lagging})
        assert mx.hosts == ("mx0.example.org", "mx1.example.com", "old.example.org")
        assert len(mx.answers) == 3
        assert "ns3.example.net (127.45.2.3): 10 old.example.org" in mx.problems[0]

    def test_no_mx_set_is_the_domain_itself(self) -> None:
        mx = _ask({"127.45.3.1": zone(SOA)})
        assert (mx.hosts, mx.implicit) == (("example.com",), True)

    def test_a_null_mx_is_none(self) -> None:
        mx = _ask({"127.45.4.1": zone(SOA + "example.com. 60 MX 0 .")})
        assert (mx.hosts, mx.null, mx.known) == ((), True, True)

    def test_of_a_name_inside_a_zone_are_those_of_the_zone_above(self) -> None:
        inner = zone(SOA + "a.b.example.com. 60 MX 1 mx.example.org.")
        mx = _ask({"127.45.5.1": inner}, domain="a.b.example.com")
        assert mx.hosts == ("mx.example.org",)

    def test_of_a_zone_of_its_own_are_not_those_of_the_zone_above(self) -> None:
        inner = zone(
            "b.example.com. 60 SOA . . 1 1 1 1 60\nb.example.com. 60 MX 1 own.example.org."
        )
        mx = _ask(
            {
                "127.45.6.1": zone(SOA + "b.example.com. 60 MX 1 above.example.org."),
                "127.45.6.2": inner,
            },
            "example.com 127.45.6.1",
            "b.example.com 127.45.6.2",
            domain="b.example.com",
        )
        assert mx.hosts == ("own.example.org",)

    def test_behind_a_cname_into_another_zone_are_those_of_its_target(self) -> None:
        target = zone("other.com. 60 SOA . . 1 1 1 1 60\nhost.other.com. 60 MX 1 mx.other.com.")
        mx = _ask(
            {
                "127.45.7.1": zone(SOA + "www.example.com. 60 CNAME host.other.com."),
                "127.45.7.2": target,
            },
            "example.com 127.45.7.1",
            "other.com 127.45.7.2",
            domain="www.example.com",
        )
        assert (mx.hosts, mx.known) == (("mx.other.com",), True)

    def test_cnames_without_end_are_a_problem(self) -> None:
        def script(query: dns.message.Message, transport: Transport) -> dns.message.Message | None:
            name = query.question[0].name
            found = zone(f"{name} 60 CNAME x.{name}")(query, transport)
            assert isinstance(found, dns.message.Message)
            return found

        mx = _ask({"127.45.8.1": script})
        assert (mx.known, mx.hosts) == (False, ())
        assert mx.problems == ("more than 8 CNAMEs lead on from example.com",)


class TestSilence:
    def test_all_are_asked_at_once_and_a_dead_one_neither_delays_nor_counts(self) -> None:
        addresses = [f"127.45.9.{n}" for n in range(1, 7)]
        scripts: dict[str, Script] = {address: zone(MX) for address in addresses}
        scripts["127.45.9.4"] = silent
        told = _told(" ".join(["example.com", *addresses]))
        with Servers(scripts, Gate(wanted=6)) as servers, Servers({RESOLVER: told}) as resolver:
            network = Network((Endpoint(RESOLVER, resolver.port),), dns_port=servers.port)
            mx = ask_mx("example.com", network, timeout=2)
        assert mx.hosts == ("mx0.example.org", "mx1.example.com")
        assert mx.problems == (
            "ns4.example.net (127.45.9.4) gave no answer for the MX of example.com: timed out after 2 s",
        )

    @pytest.mark.parametrize(
        "script",
        [silent, failing(dns.rcode.REFUSED), zone(MX, aa=False)],
        ids=["silent", "refused", "no authority"],
    )
    def test_who_does_not_tell_leaves_it_unknown(self, script: Script) -> None:
        mx = _ask({"127.45.10.1": script})
        assert (mx.known, mx.hosts, mx.null) == (False, (), False)
        assert mx.problems[0].startswith("ns1.example.net (127.45.10.1) gave no answer")

    def test_resolvers_that_do_not_tell_leave_it_unknown(self) -> None:
        mx = _ask({}, resolver=failing(dns.rcode.SERVFAIL))
        assert (mx.known, mx.hosts) == (False, ())
        assert "no resolver could tell the name servers of example.com" in mx.problems[0]

    def test_a_domain_that_nobody_serves_is_unknown(self) -> None:
        mx = _ask({}, resolver=failing(dns.rcode.NXDOMAIN))
        assert (mx.known, mx.hosts) == (False, ())
        assert mx.problems == ("no zone that could hold example.com is delegated to anybody",)

    def test_without_an_ipv6_route_that_address_is_listed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mail_module, "has_route", lambda address: ":" not in address)
        mx = _ask({"127.45.11.1": zone(MX)}, "example.com 127.45.11.1 ::1")
        assert mx.known
        assert [(one.address, one.reason) for one in mx.not_asked] == [("::1", "no IPv6 route")]


TLSA = "_25._tcp.mx.example.org. 60 TLSA 3 1 1 " + "ab" * 32 + "\n"


def _validating(inner: Script) -> Script:
    """A resolver that has proven what it answers, and says so to whoever can hear it."""

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = inner(query, transport)
        assert isinstance(reply, dns.message.Message)
        asked_for = query.flags & dns.flags.AD and query.ednsflags & dns.flags.DO
        reply.flags |= dns.flags.AD if asked_for else 0
        return reply

    return script


def _tlsa(*scripts: Script) -> list[tuple[int, bool, str]]:
    """What is told of mx.example.org by resolvers that follow the scripts."""
    places = {f"127.45.20.{n}": script for n, script in enumerate(scripts, 1)}
    with Servers(places) as servers:
        network = Network(tuple(Endpoint(place, servers.port) for place in places))
        found = ask_tlsa(["mx.example.org"], network, timeout=1)
        port = servers.port
    return [(one.records, one.secure, one.problem.replace(str(port), "PORT")) for one in found]


class TestTlsa:
    def test_proven_by_dnssec(self) -> None:
        assert _tlsa(_validating(zone(TLSA))) == [(1, True, "")]

    def test_not_proven(self) -> None:
        assert _tlsa(zone(TLSA)) == [(1, False, "")]

    def test_none_even_if_that_is_proven(self) -> None:
        assert _tlsa(_validating(zone("org. 60 SOA . . 1 1 1 1 60"))) == [(0, False, "")]

    def test_one_resolver_that_validates_is_enough_and_a_dead_one_no_harm(self) -> None:
        assert _tlsa(silent, zone(TLSA), _validating(zone(TLSA))) == [(1, True, "")]

    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            (silent, "127.45.20.1:PORT: timed out after 1 s"),
            (failing(dns.rcode.SERVFAIL), "127.45.20.1:PORT: answered SERVFAIL"),
        ],
    )
    def test_silence_is_not_none(self, script: Script, problem: str) -> None:
        assert _tlsa(script) == [(0, False, problem)]

    def test_a_name_that_is_too_long_to_ask_for(self) -> None:
        with Servers({"127.45.21.1": silent}) as servers:
            network = Network((Endpoint("127.45.21.1", servers.port),))
            (found,) = ask_tlsa([".".join(["x" * 60] * 4) + ".example"], network, timeout=1)
        assert found.problem

    def test_without_hosts_or_resolvers(self) -> None:
        assert ask_tlsa([], Network(())) == ()
        assert ask_tlsa(["a.example"], Network(()))[0].problem == "no resolver can be asked"
