"""Asking name servers where mail goes, against real servers on loopback."""

from collections.abc import Mapping

import dns.message
import dns.rcode
import pytest

from mta_sts.adapters import mail as mail_module
from mta_sts.adapters.mail import ask_mx
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
        "script", [silent, failing(dns.rcode.REFUSED), zone(MX, aa=False)], ids=str
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
