"""Asking name servers and resolvers for the record, against real servers on loopback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from mta_sts.adapters import dns as dns_module
from mta_sts.adapters.dns import Asked, NameServer, ask_everywhere
from mta_sts.record_check import Answer, Expected, NotAsked, evaluate
from mta_sts.settings import Endpoint, Network
from tests.adapters.dns_servers import (
    Gate,
    Script,
    Servers,
    Transport,
    answer_to,
    failing,
    in_turn,
    silent,
    truncating,
    zone,
)

RECORD = "_mta-sts.example.com"
SOA = "example.com. 900 SOA ns1.example.net. hostmaster.example.com. 1 7200 900 1209600 300\n"
NEW = b"v=STSv1; id=2;"
HAS_NEW = zone(SOA + f'{RECORD}. 60 TXT "v=STSv1; id=2;"')
HAS_OLD = zone(SOA + f'{RECORD}. 60 TXT "v=STSv1; id=1;"')
NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
QUICK = 1.0  # for servers that never answer


def _network(servers: Servers, *resolvers: str) -> Network:
    endpoints = tuple(Endpoint(address, servers.port) for address in resolvers)
    return Network(resolvers=endpoints, dns_port=servers.port)


def _ask(
    script: Script, *, address: str = "127.40.0.1", timeout: float = QUICK, resolver: bool = False
) -> Answer:
    """Ask one server, as an authority or as a resolver."""
    with Servers({address: script}) as servers:
        names = () if resolver else (NameServer("ns1.example.net", (address,)),)
        network = _network(servers, *([address] if resolver else []))
        (answer,) = ask_everywhere(RECORD, names, network, rounds=1, timeout=timeout).answers
    return answer


def _judge(asked: Asked, expected: bytes | None, scope: Any = "everyone") -> dict[str, Any]:
    return evaluate(
        asked.answers,
        asked.not_asked,
        expected=Expected(expected),
        scope=scope,
        now=NOW,
        region="lab",
    )


class TestQuestions:
    def test_rd_is_clear_for_authorities_and_set_for_resolvers_with_edns_for_both(self) -> None:
        with Servers({"127.40.1.1": HAS_NEW, "127.40.1.2": HAS_NEW}) as servers:
            asked = ask_everywhere(
                RECORD,
                (NameServer("ns1.example.net", ("127.40.1.1",)),),
                _network(servers, "127.40.1.2"),
                rounds=3,
            )
            authority, resolver = servers["127.40.1.1"].seen, servers["127.40.1.2"].seen
        assert [seen.recursive for seen in authority] == [False]
        assert [seen.recursive for seen in resolver] == [True, True, True]
        for seen in authority + resolver:
            assert (seen.query.edns, seen.query.payload) == (0, 1232)
            assert (seen.about, seen.transport) == ((RECORD, "TXT"), "udp")
        assert len({seen.query.id for seen in resolver}) > 1
        assert [(a.server, a.address, a.kind) for a in asked.answers] == [
            ("ns1.example.net", "127.40.1.1", "authority"),
            *[("resolver", f"127.40.1.2:{servers.port}", "resolver")] * 3,
        ]

    def test_every_address_of_every_server_is_asked(self) -> None:
        everywhere = ("127.40.2.1", "127.40.2.2", "127.40.2.3")
        with Servers(dict.fromkeys(everywhere, HAS_NEW)) as servers:
            ask_everywhere(
                RECORD,
                (
                    NameServer("ns1.example.net", everywhere[:2]),
                    NameServer("ns2.example.net", everywhere[2:]),
                ),
                _network(servers),
                rounds=1,
            )
            assert [len(servers[address].seen) for address in everywhere] == [1, 1, 1]

    def test_all_are_asked_at_once_so_that_a_dead_server_delays_nobody(self) -> None:
        authorities = [f"127.40.3.{n}" for n in range(1, 9)]
        resolvers = ["127.40.3.11", "127.40.3.12"]
        scripts = dict.fromkeys([*authorities, *resolvers], HAS_NEW) | {"127.40.3.4": silent}
        # No server answers before eight authorities and three rounds of two resolvers wait.
        gate = Gate(wanted=8 + 3 * 2)
        with Servers(scripts, gate) as servers:
            asked = ask_everywhere(
                RECORD,
                tuple(NameServer(f"ns{n}", (a,)) for n, a in enumerate(authorities, 1)),
                _network(servers, *resolvers),
                rounds=3,
                timeout=2,
            )
        outcomes = {(a.address, a.outcome) for a in asked.answers if a.outcome != "present"}
        assert outcomes == {("127.40.3.4", "unreachable")}
        assert len(gate.waiting) == 14

    def test_a_truncated_answer_is_asked_for_again_over_tcp(self) -> None:
        with Servers({"127.40.4.1": truncating(HAS_NEW)}) as servers:
            server = NameServer("ns1", ("127.40.4.1",))
            asked = ask_everywhere(RECORD, (server,), _network(servers), rounds=1)
            seen = servers["127.40.4.1"].seen
        assert asked.answers[0].values == (NEW,)
        assert [(s.transport, s.recursive, s.query.payload) for s in seen] == [
            ("udp", False, 1232),
            ("tcp", False, 1232),
        ]

    def test_a_lost_packet_is_sent_again(self) -> None:
        assert _ask(in_turn(silent, HAS_NEW), timeout=2).values == (NEW,)

    def test_a_forged_packet_does_not_displace_the_true_answer(self) -> None:
        assert _ask(in_turn(_other_id, HAS_NEW), timeout=2).values == (NEW,)

    @pytest.mark.parametrize("address", ["::1", "::ffff:127.40.5.1"])
    def test_ipv6_addresses_are_asked(self, address: str) -> None:
        listener = address.removeprefix("::ffff:")
        with Servers({listener: truncating(HAS_NEW)}) as servers:
            asked = ask_everywhere(
                RECORD,
                (NameServer("ns1", (address,)),),
                _network(servers, address),
                rounds=1,
            )
        assert [answer.outcome for answer in asked.answers] == ["present", "present"]
        assert asked.answers[0].address == address
        assert asked.answers[1].address == f"[{address}]:{servers.port}"

    def test_without_an_ipv6_route_an_address_is_listed_as_not_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dns_module, "has_route", lambda address: ":" not in address)
        with Servers({"127.40.6.1": HAS_NEW, "::1": HAS_NEW}) as servers:
            asked = ask_everywhere(
                RECORD,
                (NameServer("ns1", ("127.40.6.1", "::1")),),
                _network(servers, "::1"),
                rounds=3,
            )
            assert servers["::1"].seen == []
        assert [answer.address for answer in asked.answers] == ["127.40.6.1"]
        assert asked.not_asked == (
            NotAsked("ns1", "::1", "authority", "no IPv6 route"),
            NotAsked("resolver", f"[::1]:{servers.port}", "resolver", "no IPv6 route"),
        )

    def test_a_server_without_address_is_listed_as_not_asked(self) -> None:
        asked = ask_everywhere(RECORD, (NameServer("ns1", ()),), Network(resolvers=()), rounds=1)
        assert asked == Asked((), (NotAsked("ns1", "", "authority", "no address is known"),))


def _other_id(query: dns.message.Message, transport: Transport) -> dns.message.Message:
    reply = HAS_NEW(query, transport)
    assert isinstance(reply, dns.message.Message)
    reply.id = query.id ^ 1
    return reply


def _garbage(query: dns.message.Message, transport: Transport) -> bytes:
    return query.to_wire()[:2] + b"\x84\x00 this is no message"


def _nxdomain_with_data(query: dns.message.Message, transport: Transport) -> dns.message.Message:
    reply = HAS_NEW(query, transport)
    assert isinstance(reply, dns.message.Message)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


def _hang_up(query: dns.message.Message, transport: Transport) -> bytes:
    return b""


def _referral(to: str = "example.com.", *, aa: bool = False) -> Script:
    """As servers refer to others, without AA (RFC 1034 section 4.3.2); some set it all the same."""

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = answer_to(query)
        if not aa:
            reply.flags &= ~dns.flags.AA
        reply.authority.append(dns.rrset.from_text(to, 60, "IN", "NS", "ns1.example.net."))
        return reply

    return script


UNREACHABLE = [
    (failing(dns.rcode.REFUSED), "answered REFUSED"),
    (failing(dns.rcode.SERVFAIL), "answered SERVFAIL"),
    (failing(dns.rcode.FORMERR), "answered FORMERR"),
    (silent, "timed out after 1 s"),
    (truncating(silent), "timed out after 1 s"),
    (truncating(_hang_up), "closed the connection"),
    (zone(SOA, aa=False), "answered without authority: it does not serve the zone"),
    (_referral(), "answered with a referral to other servers"),
    (_referral(aa=True), "answered with a referral to other servers"),
    (_referral("."), "answered without authority: it does not serve the zone"),
]
MALFORMED: list[tuple[Script, str]] = [
    (_garbage, "FormError"),
    (_other_id, "an answer to another question"),
    (truncating(_other_id), "BadResponse"),
    (_nxdomain_with_data, "AnswerForNXDOMAIN"),
]


class TestSilenceIsNotAbsence:
    @pytest.mark.parametrize(("script", "detail"), UNREACHABLE)
    def test_unreachable(self, script: Script, detail: str) -> None:
        answer = _ask(script)
        assert (answer.outcome, answer.detail, answer.values) == ("unreachable", detail, ())
        assert not _judge(Asked((answer,), ()), None, "authorities")["ready"]

    @pytest.mark.parametrize(("script", "detail"), MALFORMED)
    def test_malformed(self, script: Script, detail: str) -> None:
        answer = _ask(script)
        assert (answer.outcome, answer.values) == ("malformed", ())
        assert answer.detail.startswith(detail)
        assert not _judge(Asked((answer,), ()), None, "authorities")["ready"]

    def test_a_closed_port_is_told_at_once(self) -> None:
        with Servers({"127.40.7.1": silent}) as servers:
            names = (NameServer("ns1", ("127.40.7.2",)),)  # nobody listens there
            # No time-out is waited for: it would be told instead.
            asked = ask_everywhere(RECORD, names, _network(servers), rounds=1, timeout=60)
        assert asked.answers[0].outcome == "unreachable"
        assert asked.answers[0].detail == "network error: Connection refused"

    def test_a_resolver_needs_no_authority_but_has_to_know(self) -> None:
        script = zone(SOA + f'{RECORD}. 60 TXT "v=STSv1; id=2;"', aa=False)
        assert _ask(script, resolver=True).outcome == "present"
        assert _ask(failing(dns.rcode.SERVFAIL), resolver=True).outcome == "unreachable"

    def test_an_authority_without_aa_does_not_agree_either(self) -> None:
        script = zone(SOA + f'{RECORD}. 60 TXT "v=STSv1; id=2;"', aa=False)
        answer = _ask(script)
        assert answer.outcome == "unreachable"
        assert not _judge(Asked((answer,), ()), NEW, "authorities")["ready"]


PRESENT: list[tuple[str, tuple[bytes, ...]]] = [
    ('{0} 60 TXT "v=STSv1; " "id=2;"', (NEW,)),
    ('{0} 60 TXT "something else"', (b"something else",)),
    ('*.example.com. 60 TXT "v=STSv1; id=2;"', (NEW,)),
    (r'{0} 60 TXT "v=STSv1; id=\255;"', (b"v=STSv1; id=\xff;",)),
]
ABSENT = [
    "www.example.com. 60 A 127.0.0.1",  # NXDOMAIN
    "{0} 60 A 127.0.0.1",  # NODATA
    "below.{0} 60 TXT deeper",  # an empty non-terminal: NODATA
]


class TestAnswers:
    @pytest.mark.parametrize(("text", "values"), PRESENT)
    def test_present(self, text: str, values: tuple[bytes, ...]) -> None:
        answer = _ask(zone(SOA + text.format(RECORD + ".")), timeout=3)
        assert answer.outcome == "present"
        assert (answer.values, answer.ttl, answer.detail) == (values, 60, "")

    @pytest.mark.parametrize("text", ABSENT)
    def test_absent_with_the_negative_ttl(self, text: str) -> None:
        answer = _ask(zone(SOA + text.format(RECORD + ".")), timeout=3)
        assert answer.outcome == "absent"
        assert (answer.values, answer.ttl, answer.detail) == ((), 300, "")
        assert _judge(Asked((answer,), ()), None, "authorities")["ready"]

    @pytest.mark.parametrize("script", [failing(dns.rcode.NXDOMAIN), failing(dns.rcode.NOERROR)])
    def test_absent_without_soa_has_no_ttl(self, script: Script) -> None:
        answer = _ask(script, timeout=3)
        assert (answer.outcome, answer.ttl) == ("absent", None)

    def test_a_wildcard_that_answers_again_is_not_gone(self) -> None:
        answer = _ask(zone(SOA + '*.example.com. 60 TXT "v=STSv1; id=7;"'), timeout=3)
        verdict = _judge(Asked((answer,), ()), None, "authorities")
        assert not verdict["ready"]
        assert verdict["laggards"][0]["found"] == "v=STSv1; id=7;"


class TestVerdicts:
    def test_the_lagging_server_is_named(self) -> None:
        scripts = {f"127.40.8.{n}": HAS_NEW for n in (1, 2, 3, 4, 9)} | {"127.40.8.3": HAS_OLD}
        with Servers(scripts) as servers:
            names = tuple(NameServer(f"ns{n}", (f"127.40.8.{n}",)) for n in (1, 2, 3, 4))
            asked = ask_everywhere(RECORD, names, _network(servers, "127.40.8.9"), rounds=3)
        verdict = _judge(asked, NEW)
        assert not verdict["ready"]
        assert verdict["laggards"] == [
            {
                "server": "ns3",
                "address": "127.40.8.3",
                "expected": "v=STSv1; id=2;",
                "found": "v=STSv1; id=1;",
                "ttl": 60,
            }
        ]

    @pytest.mark.parametrize("odd", [0, 1, 2])
    def test_a_resolver_that_contradicts_in_one_of_three_rounds(self, odd: int) -> None:
        rounds = [HAS_NEW, HAS_NEW, HAS_NEW]
        rounds[odd] = zone(SOA + f'{RECORD}. 41 TXT "v=STSv1; id=1;"')
        with Servers({"127.40.9.1": HAS_NEW, "127.40.9.2": in_turn(*rounds)}) as servers:
            asked = ask_everywhere(
                RECORD,
                (NameServer("ns1", ("127.40.9.1",)),),
                _network(servers, "127.40.9.2"),
                rounds=3,
            )
        verdict = _judge(asked, NEW)
        assert not verdict["ready"]
        (laggard,) = verdict["laggards"]
        assert (laggard["server"], laggard["ttl"]) == ("resolver", 41)
        assert laggard["found"] == "v=STSv1; id=1; (in 1 of 3 answers)"
        assert verdict["longest_ttl"] == 41
        assert _judge(asked, NEW, "authorities")["ready"]

    def test_a_dead_resolver_neither_blocks_nor_agrees(self) -> None:
        with Servers({"127.40.10.1": HAS_NEW, "127.40.10.2": silent}) as servers:
            names = (NameServer("ns1", ("127.40.10.1",)),)
            both = _network(servers, "127.40.10.1", "127.40.10.2")
            asked = ask_everywhere(RECORD, names, both, rounds=3, timeout=1)
            dead = f"127.40.10.2:{servers.port}"
            alone = ask_everywhere(
                RECORD, names, _network(servers, "127.40.10.2"), rounds=3, timeout=1
            )
        verdict = _judge(asked, NEW)
        assert verdict["ready"]
        assert verdict["not_asked"] == [
            {"server": "resolver", "address": dead, "reason": "unreachable: timed out after 1 s"}
        ]
        assert not _judge(alone, NEW)["ready"]
