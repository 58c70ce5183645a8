"""The simulated name servers prove themselves: plain dnspython against them, no product code."""

import socket
import time
from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import pytest
from dns.message import Message
from dns.rdatatype import RdataType

from tests.world.dns_world import (
    NEW,
    OLD,
    RECORD,
    SILENCE,
    ZONE,
    World,
    ask,
    negative,
    running_world,
    values,
)

LONG = " ".join(f'"{letter * 250}"' for letter in "abcdefgh")  # about 2,000 bytes


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def at(world: World, name: str, rdtype: str = "TXT", index: int = 0) -> Message:
    """Ask an authority as it should be asked: RD cleared, EDNS."""
    return ask(world.servers[index], name, rdtype, flags=0, payload=1232)


# What they answer


def test_every_server_answers_with_authority_over_udp_and_tcp(world: World) -> None:
    for server in world.servers:
        for tcp in (False, True):
            response = ask(server, RECORD, flags=0, tcp=tcp)
            assert values(response) == [OLD]
            assert response.answer[0].ttl == 300
            assert response.flags & dns.flags.AA
            assert not response.flags & dns.flags.RA


def test_a_change_is_answered_as_soon_as_it_is_seen(world: World) -> None:
    world.zones.put(ZONE, RECORD, "TXT", 60, OLD)
    assert at(world, RECORD).answer[0].ttl == 60
    world.zones.put(ZONE, RECORD, "TXT", 60, OLD, NEW)
    assert values(at(world, RECORD)) == [OLD, NEW]


@pytest.mark.parametrize(("soa_ttl", "minimum"), [(900, 60), (60, 900)])
def test_no_such_name_and_no_such_type_carry_the_soa(
    world: World, soa_ttl: int, minimum: int
) -> None:
    """RFC 2308 section 3: with the shorter of the two times as its TTL."""
    world.zones.create("other.example", soa_ttl=soa_ttl, minimum=minimum)
    for name, rcode in (("no.other.example", "NXDOMAIN"), ("other.example", "NOERROR")):
        response = at(world, name)
        assert negative(response) == (rcode, "other.example.", 60, minimum)
        assert response.flags & dns.flags.AA


def test_a_name_that_only_has_names_below_exists(world: World) -> None:
    world.zones.put(ZONE, "a.b.solarmora.com", "TXT", 5, OLD)
    assert negative(at(world, "b.solarmora.com"))[0] == "NOERROR"
    assert negative(at(world, "c.solarmora.com"))[0] == "NXDOMAIN"


def test_names_are_compared_without_case_and_echoed_as_asked(world: World) -> None:
    response = at(world, "_MTA-sts.SolarMora.com")
    assert values(response) == [OLD]
    assert response.question[0].name.to_text() == "_MTA-sts.SolarMora.com."


def test_other_peoples_names_are_refused(world: World) -> None:
    assert at(world, "example.org").rcode() == dns.rcode.REFUSED
    assert at(world, "com", "NS").rcode() == dns.rcode.REFUSED
    other_class = dns.message.make_query(RECORD, "TXT", "CH")
    response = dns.query.udp(other_class, world.servers[0][0], 5, world.system.port)
    assert response.rcode() == dns.rcode.REFUSED


def test_a_zone_that_is_gone_is_refused(world: World) -> None:
    world.zones.drop(ZONE)
    assert at(world, RECORD).rcode() == dns.rcode.REFUSED


# Wildcards (RFC 4592)


def test_a_wildcard_answers_only_where_nothing_is_written(world: World) -> None:
    world.zones.put(ZONE, r"\052.solarmora.com", "TXT", 5, '"wild"')
    assert values(at(world, "any.solarmora.com")) == ['"wild"']
    assert values(at(world, "any.thing.solarmora.com")) == ['"wild"']
    assert values(at(world, RECORD)) == [OLD]
    world.zones.delete(ZONE, RECORD, "TXT")
    assert values(at(world, RECORD)) == ['"wild"']
    world.zones.put(ZONE, RECORD, "A", 5, "127.0.0.9")
    assert negative(at(world, RECORD))[0] == "NOERROR"


def test_a_name_that_exists_hides_the_wildcard_from_what_is_below_it(world: World) -> None:
    world.zones.put(ZONE, "*.solarmora.com", "TXT", 5, '"wild"')
    assert negative(at(world, "below._mta-sts.solarmora.com"))[0] == "NXDOMAIN"
    world.zones.put(ZONE, "deep.empty.solarmora.com", "A", 5, "127.0.0.9")
    assert negative(at(world, "empty.solarmora.com"))[0] == "NOERROR"
    assert negative(at(world, "other.empty.solarmora.com"))[0] == "NXDOMAIN"


def test_a_wildcard_of_another_type_makes_the_name_exist(world: World) -> None:
    world.zones.put(ZONE, "*.solarmora.com", "A", 5, "127.0.0.9")
    assert negative(at(world, "any.solarmora.com"))[0] == "NOERROR"


def test_a_wildcard_alias_is_followed(world: World) -> None:
    world.zones.put(ZONE, "*.solarmora.com", "CNAME", 5, RECORD)
    response = at(world, "any.solarmora.com")
    assert [rrset.name.to_text() for rrset in response.answer] == [
        "any.solarmora.com.",
        RECORD + ".",
    ]
    assert values(response) == [OLD, RECORD + "."]


# Aliases and zones below zones


def test_aliases_are_followed_inside_the_zone_and_no_further(world: World) -> None:
    world.zones.put(ZONE, "in.solarmora.com", "CNAME", 5, RECORD)
    world.zones.put(ZONE, "out.solarmora.com", "CNAME", 5, "sts.vendor.example")
    world.zones.put(ZONE, "gone.solarmora.com", "CNAME", 5, "no.solarmora.com")
    assert values(at(world, "in.solarmora.com")) == [OLD, RECORD + "."]
    assert values(at(world, "out.solarmora.com")) == ["sts.vendor.example."]
    assert values(at(world, "in.solarmora.com", "CNAME")) == [RECORD + "."]
    gone = at(world, "gone.solarmora.com")
    assert gone.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.rdtype for rrset in gone.answer] == [RdataType.CNAME]


def test_the_longest_zone_answers(world: World) -> None:
    world.zones.create(RECORD)
    world.zones.put(RECORD, RECORD, "TXT", 5, NEW)
    assert values(at(world, RECORD)) == [NEW]
    assert negative(at(world, "no." + RECORD))[1] == RECORD + "."


def test_a_zone_below_that_is_not_here_is_referred_to(world: World) -> None:
    world.zones.put(ZONE, "sub.solarmora.com", "NS", 300, "ns.sub.solarmora.com", "ns.example")
    world.zones.put(ZONE, "ns.sub.solarmora.com", "A", 300, "127.0.0.9")
    response = at(world, "_mta-sts.sub.solarmora.com")
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.flags & dns.flags.AA
    assert response.answer == []
    (cut,) = response.authority
    assert (cut.name.to_text(), cut.rdtype) == ("sub.solarmora.com.", RdataType.NS)
    (glue,) = response.additional
    assert [rdata.address for rdata in glue] == ["127.0.0.9"]


# Messages


@pytest.mark.parametrize("payload", [None, 512, 1232])
def test_what_exceeds_the_payload_is_cut_and_complete_over_tcp(
    world: World, payload: int | None
) -> None:
    world.zones.put(ZONE, RECORD, "TXT", 5, LONG, NEW)
    query = dns.message.make_query(
        RECORD, "TXT", use_edns=None if payload is None else 0, payload=payload, flags=0
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query.to_wire(), world.servers[0])
        wire = client.recv(65535)
    assert len(wire) <= (payload or 512)
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    complete = dns.query.tcp(query, *world.servers[0][:1], 5, world.system.port)
    assert values(complete) == [LONG, NEW]
    assert not complete.flags & dns.flags.TC


def test_what_fits_the_payload_is_not_cut(world: World) -> None:
    world.zones.put(ZONE, RECORD, "TXT", 5, LONG)
    response = ask(world.servers[0], RECORD, flags=0, payload=4096)
    assert values(response) == [LONG]
    assert not response.flags & dns.flags.TC


def test_a_resolver_gets_and_gives_the_whole_of_a_long_answer(world: World) -> None:
    world.zones.put(ZONE, RECORD, "TXT", 5, LONG)
    assert values(ask(world.resolvers[0], RECORD, tcp=True)) == [LONG]
    transports = [query.transport for query in world.system.name_servers.queries(RECORD)]
    assert transports == ["udp", "tcp"]


def test_edns_is_answered_where_it_was_asked(world: World) -> None:
    assert ask(world.servers[0], RECORD, payload=1232).edns == 0
    assert ask(world.servers[0], RECORD).edns == -1
    newer = dns.message.make_query(RECORD, "TXT", use_edns=1)
    response = dns.query.udp(newer, world.servers[0][0], 5, world.system.port)
    assert response.rcode() == dns.rcode.BADVERS


def test_what_is_no_query_is_told_so_or_ignored(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(world.servers[0])
        client.send(b"\x12\x34\x01\x00" + b"\x00\x01" + bytes(6))  # a question is announced only
        broken = dns.message.from_wire(client.recv(512))
        assert (broken.id, broken.rcode()) == (0x1234, dns.rcode.FORMERR)
        notify = dns.message.make_query(ZONE, "SOA")
        notify.set_opcode(dns.opcode.NOTIFY)
        client.send(notify.to_wire())
        assert dns.message.from_wire(client.recv(512)).rcode() == dns.rcode.NOTIMP
        response = dns.message.make_response(dns.message.make_query(RECORD, "TXT"))
        client.send(response.to_wire())
        client.send(b"short")
        client.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            client.recv(512)


# Lag


def test_a_lagging_server_stays_stale_until_it_catches_up(world: World) -> None:
    world.system.name_servers.lag(1, ZONE)
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    world.clock.pass_by(100_000)
    assert [values(at(world, RECORD, index=index)) for index in range(3)] == [[NEW], [OLD], [NEW]]
    world.system.name_servers.catch_up(1, ZONE)
    assert values(at(world, RECORD, index=1)) == [NEW]


def test_lag_is_of_one_zone(world: World) -> None:
    world.zones.create("other.example")
    world.system.name_servers.lag(0, ZONE)
    world.zones.put("other.example", "other.example", "TXT", 5, NEW)
    assert values(at(world, "other.example")) == [NEW]


def test_a_server_can_lag_by_so_many_seconds(world: World) -> None:
    world.clock.pass_by(100)
    world.system.name_servers.lag(0, ZONE, 30)
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    world.clock.pass_by(20)
    world.zones.delete(ZONE, RECORD, "TXT")
    world.clock.pass_by(9)
    assert values(at(world, RECORD)) == [OLD]
    world.clock.pass_by(1)
    assert values(at(world, RECORD)) == [NEW]
    world.clock.pass_by(20)
    assert negative(at(world, RECORD))[0] == "NXDOMAIN"


def test_a_lag_beyond_what_is_remembered_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="3600 s"):
        world.system.name_servers.lag(0, ZONE, 3601)


def test_a_zone_created_during_the_lag_is_not_known_yet(world: World) -> None:
    world.system.name_servers.lag(0, "new.example")
    world.zones.create("new.example")
    assert at(world, "new.example", "SOA").rcode() == dns.rcode.REFUSED
    assert values(at(world, "new.example", "SOA", index=1))


def test_a_resolver_that_asks_a_lagging_server_keeps_the_old_answer_again(world: World) -> None:
    """Why every server must be right before the TTL is waited out."""
    for index in range(3):
        world.system.name_servers.lag(index, ZONE)
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    world.system.resolvers.warm(RECORD, "TXT")
    for index in range(3):
        world.system.name_servers.catch_up(index, ZONE)
    world.clock.pass_by(299)
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    world.clock.pass_by(1)
    assert values(ask(world.resolvers[0], RECORD)) == [NEW]


# Down and slow


@pytest.mark.parametrize("tcp", [False, True])
def test_a_server_that_is_down_says_nothing(world: World, tcp: bool) -> None:  # noqa: FBT001
    world.system.name_servers.down(0)
    with pytest.raises(dns.exception.Timeout):
        ask(world.servers[0], RECORD, tcp=tcp, timeout=SILENCE)
    world.system.name_servers.up(0)
    assert values(ask(world.servers[0], RECORD, tcp=tcp)) == [OLD]
    # Both arrived, and are in the log; with TCP the first may do so after it was given up.
    deadline = time.monotonic() + 5
    while len(world.system.name_servers.queries(RECORD)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(world.system.name_servers.queries(RECORD)) == 2


def test_a_server_can_be_down_for_one_zone(world: World) -> None:
    world.zones.create("other.example")
    world.zones.put("other.example", "other.example", "TXT", 5, NEW)
    world.system.name_servers.down(0, ZONE)
    assert values(at(world, "other.example")) == [NEW]
    with pytest.raises(dns.exception.Timeout):
        ask(world.servers[0], RECORD, timeout=SILENCE)
    world.system.name_servers.up(0, ZONE)
    assert values(at(world, RECORD)) == [OLD]


def test_a_resolver_goes_on_to_the_next_server(world: World) -> None:
    world.system.name_servers.down(0)
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]  # its first turn is the first server's
    asked = [query.server for query in world.system.name_servers.queries(RECORD)]
    assert asked == [address for address, _ in world.servers[:2]]


def test_a_resolver_whose_servers_are_all_down_fails_and_remembers_nothing(world: World) -> None:
    for index in range(3):
        world.system.name_servers.down(index)
    assert ask(world.resolvers[0], RECORD).rcode() == dns.rcode.SERVFAIL
    for index in range(3):
        world.system.name_servers.up(index)
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]


def test_a_slow_server_answers_late_and_delays_nobody_else(world: World) -> None:
    world.system.name_servers.delay(0, 60)
    with pytest.raises(dns.exception.Timeout):
        ask(world.servers[0], RECORD, timeout=SILENCE)
    assert values(ask(world.servers[1], RECORD)) == [OLD]  # long before the other
    world.system.name_servers.delay(0, SILENCE)
    began = time.monotonic()
    assert values(ask(world.servers[0], RECORD)) == [OLD]
    assert time.monotonic() - began >= SILENCE
    world.system.name_servers.delay(0, 0)
    assert values(ask(world.servers[0], RECORD)) == [OLD]


# The log


def test_the_log_tells_how_a_server_was_asked(world: World) -> None:
    log = world.system.name_servers.queries
    ask(world.servers[0], RECORD, flags=0, payload=1400)
    ask(world.servers[1], RECORD.upper(), "A", tcp=True)
    first, second = log()
    assert (first.name, first.type, first.server) == (RECORD, "TXT", world.servers[0][0])
    assert (first.recursion_desired, first.edns, first.payload) == (False, True, 1400)
    assert (first.transport, first.source) == ("udp", "127.0.0.1")
    assert (second.name, second.type, second.server) == (RECORD, "A", world.servers[1][0])
    assert (second.recursion_desired, second.edns, second.payload) == (True, False, 0)
    assert second.transport == "tcp"
    assert first.at <= second.at
    assert first.at.utcoffset() is not None
    assert log(RECORD, type="A") == [second]
    assert log(RECORD + ".", server=world.servers[0][0]) == [first]
    assert log("other.example") == []
