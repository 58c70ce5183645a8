"""The simulated resolvers prove themselves: plain dnspython against them, and no product code."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.rdatatype import RdataType

from local.world.addresses import bind
from local.world.cache import Found
from local.world.name_servers import NameServers
from local.world.resolvers import ServerFailureError
from tests.world.dns_world import (
    NAMES,
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
from tests.world.fake_zones import FakeZones


@pytest.fixture
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


@contextmanager
def other_servers(world: World, zones: FakeZones) -> Iterator[None]:
    """Run a name server of another provider, with zones of its own, at the first spare address."""
    servers = NameServers(world.loop, zones, bind(world.spare[:1], world.system.port))
    servers.start()
    try:
        yield
    finally:
        servers.close()


# What time does


def test_a_resolver_keeps_the_old_answer_until_its_ttl_ends(world: World) -> None:
    world.system.resolvers.warm(RECORD, "TXT")
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    for resolver in world.resolvers:
        assert values(ask(resolver, RECORD)) == [OLD]
    world.clock.pass_by(299)
    for resolver in world.resolvers:
        assert values(ask(resolver, RECORD)) == [OLD]
    world.clock.pass_by(1)
    for resolver in world.resolvers:
        assert values(ask(resolver, RECORD)) == [NEW]


def test_the_ttl_counts_down_and_is_never_less_than_the_time_left(world: World) -> None:
    world.system.resolvers.warm(RECORD, "TXT")
    ttls = []
    for seconds in (0, 0.25, 99.75, 199.9):
        world.clock.pass_by(seconds)
        ttls.append(ask(world.resolvers[0], RECORD).answer[0].ttl)
    assert ttls == [300, 300, 200, 1]


def test_each_resolver_has_a_cache_of_its_own(world: World) -> None:
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    assert values(ask(world.resolvers[1], RECORD)) == [NEW]
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]


def test_types_are_cached_apart(world: World) -> None:
    world.zones.put(ZONE, RECORD, "A", 100, "127.0.0.9")
    world.system.resolvers.warm(RECORD, "TXT")
    world.zones.put(ZONE, RECORD, "A", 100, "127.0.0.10")
    assert values(ask(world.resolvers[0], RECORD, "A")) == ["127.0.0.10"]


@pytest.mark.parametrize(("soa_ttl", "minimum"), [(900, 60), (60, 900)])
@pytest.mark.parametrize(
    ("name", "rcode"), [("_mta-sts.other.example", "NXDOMAIN"), ("www.other.example", "NOERROR")]
)
def test_no_such_record_is_remembered_for_the_time_of_the_soa(
    world: World, name: str, rcode: str, soa_ttl: int, minimum: int
) -> None:
    world.zones.create("other.example", soa_ttl=soa_ttl, minimum=minimum)
    world.zones.put("other.example", "www.other.example", "A", 5, "127.0.0.9")
    world.system.resolvers.warm(name, "TXT")
    world.zones.put("other.example", name, "TXT", 5, NEW)
    resolver = world.resolvers[1]
    assert negative(ask(resolver, name)) == (rcode, "other.example.", 60, minimum)
    world.clock.pass_by(59)
    assert negative(ask(resolver, name)) == (rcode, "other.example.", 1, minimum)
    world.clock.pass_by(1)
    assert values(ask(resolver, name)) == [NEW]


@pytest.mark.parametrize(("soa_ttl", "minimum"), [(900, 60), (60, 900)])
def test_a_soa_whose_ttl_was_not_cut_is_cut_by_the_resolver(soa_ttl: int, minimum: int) -> None:
    """RFC 2308 section 5; our own name servers have done it already."""
    soa = dns.rrset.from_text(ZONE, soa_ttl, "IN", "SOA", f"a. b. 1 2 3 4 {minimum}")
    assert Found(soa=soa).ttl == 60
    assert Found().ttl == 0  # without a SOA it is not remembered


def test_no_such_name_holds_for_every_type(world: World) -> None:
    """RFC 2308 section 5, which a record created right after a look-up runs into."""
    world.system.resolvers.warm("new.solarmora.com", "A")
    world.zones.put(ZONE, "new.solarmora.com", "TXT", 5, NEW)
    assert ask(world.resolvers[0], "new.solarmora.com").rcode() == dns.rcode.NXDOMAIN


def test_a_deleted_record_is_answered_until_its_ttl_ends(world: World) -> None:
    world.system.resolvers.warm(RECORD, "TXT")
    world.zones.delete(ZONE, RECORD, "TXT")
    world.clock.pass_by(299)
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    world.clock.pass_by(1)
    assert negative(ask(world.resolvers[0], RECORD))[0] == "NXDOMAIN"


def test_flush_forgets_at_and_below_a_name_only(world: World) -> None:
    world.zones.put(ZONE, "other.solarmora.com", "TXT", 300, OLD)
    for name in (RECORD, "other.solarmora.com"):
        world.system.resolvers.warm(name, "TXT")
        world.zones.put(ZONE, name, "TXT", 300, NEW)
    world.system.resolvers.flush(RECORD)
    assert values(ask(world.resolvers[0], RECORD)) == [NEW]
    assert values(ask(world.resolvers[0], "other.solarmora.com")) == [OLD]


def test_serving_stale_outlives_the_ttl_for_so_long(world: World) -> None:
    world.system.resolvers.warm(RECORD, "TXT")
    world.zones.put(ZONE, RECORD, "TXT", 300, NEW)
    world.system.resolvers.serve_stale(0, 1000, ZONE)
    world.clock.pass_by(1299)
    stale = ask(world.resolvers[0], RECORD)
    assert values(stale) == [OLD]
    assert stale.answer[0].ttl == 30  # RFC 8767 section 4
    assert values(ask(world.resolvers[1], RECORD)) == [NEW]
    world.clock.pass_by(1)
    assert values(ask(world.resolvers[0], RECORD)) == [NEW]


# How they ask and answer


def test_a_resolver_recurses_only_when_asked_to_and_claims_no_authority(world: World) -> None:
    assert ask(world.resolvers[0], RECORD, flags=0).rcode() == dns.rcode.REFUSED
    response = ask(world.resolvers[0], RECORD)
    assert response.flags & dns.flags.RA
    assert not response.flags & dns.flags.AA


def test_a_resolver_asks_the_authorities_from_its_own_address_and_once(world: World) -> None:
    for _ in range(3):
        ask(world.resolvers[1], RECORD)
    (query,) = world.system.name_servers.queries(RECORD, type="TXT")
    assert query.source == world.resolvers[1][0]
    assert not query.recursion_desired
    assert query.edns


def test_a_resolver_takes_the_servers_in_turn(world: World) -> None:
    for _ in NAMES:
        ask(world.resolvers[0], RECORD)
        world.system.resolvers.flush(RECORD)
    ask(world.resolvers[1], RECORD)
    asked = [query.server for query in world.system.name_servers.queries(RECORD)]
    servers = [address for address, _ in world.servers]
    assert asked == [*servers, servers[1]]  # not every resolver begins with the same one


def test_a_resolver_follows_aliases_across_zones(world: World) -> None:
    world.zones.create("vendor.example")
    world.zones.put("vendor.example", "sts.vendor.example", "TXT", 20, OLD)
    world.zones.delete(ZONE, RECORD, "TXT")
    world.zones.put(ZONE, RECORD, "CNAME", 100, "sts.vendor.example")
    response = ask(world.resolvers[0], RECORD)
    assert values(response) == [OLD, "sts.vendor.example."]
    assert [rrset.ttl for rrset in response.answer] == [100, 20]
    world.clock.pass_by(50)
    world.zones.put("vendor.example", "sts.vendor.example", "TXT", 20, NEW)
    response = ask(world.resolvers[0], RECORD)
    assert values(response) == [NEW, "sts.vendor.example."]
    assert [rrset.ttl for rrset in response.answer] == [50, 20]


def test_an_alias_is_remembered_for_every_type(world: World) -> None:
    world.zones.put(ZONE, "alias.solarmora.com", "CNAME", 100, RECORD)
    for rdtype in ("TXT", "A", "MX"):
        ask(world.resolvers[0], "alias.solarmora.com", rdtype)
    assert len(world.system.name_servers.queries("alias.solarmora.com")) == 1


def test_an_alias_to_nothing_and_a_loop_of_aliases(world: World) -> None:
    world.zones.put(ZONE, "a.solarmora.com", "CNAME", 5, "gone.solarmora.com")
    response = ask(world.resolvers[0], "a.solarmora.com")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.rdtype for rrset in response.answer] == [RdataType.CNAME]
    world.zones.put(ZONE, "b.solarmora.com", "CNAME", 5, "b.solarmora.com")
    assert ask(world.resolvers[0], "b.solarmora.com").rcode() == dns.rcode.SERVFAIL
    with pytest.raises(ServerFailureError, match="CNAME"):
        world.system.resolvers.warm("b.solarmora.com", "TXT")


def test_names_of_nobody_do_not_exist_and_those_above_hold_nothing(world: World) -> None:
    assert negative(ask(world.resolvers[0], "mx.unknown.example", "A"))[:2] == (
        "NXDOMAIN",
        "example.",
    )
    assert negative(ask(world.resolvers[0], "com", "NS"))[:2] == ("NOERROR", "com.")


# Hosts


def test_hosts_have_addresses_that_live_for_their_ttl(world: World) -> None:
    host = "mta-sts.solarmora.com"
    world.system.hosts.set(host, ipv4=["127.0.0.8", "127.0.0.9"], ipv6=["::1"], ttl=60)
    world.system.resolvers.warm(host, "A")
    world.system.hosts.set(host, ipv4=["127.0.0.10"], ttl=60)
    world.clock.pass_by(59)
    assert values(ask(world.resolvers[0], host, "A")) == ["127.0.0.8", "127.0.0.9"]
    world.clock.pass_by(1)
    assert values(ask(world.resolvers[0], host, "A")) == ["127.0.0.10"]
    assert negative(ask(world.resolvers[0], host, "AAAA"))[::2] == ("NOERROR", 60)
    assert negative(ask(world.resolvers[0], host))[:2] == ("NOERROR", "solarmora.com.")
    world.system.hosts.remove(host)
    world.system.resolvers.flush(host)
    assert ask(world.resolvers[0], host, "A").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("tcp", [False, True])
def test_addresses_keep_their_order(world: World, tcp: bool) -> None:  # noqa: FBT001
    given = [f"127.0.0.{number}" for number in (9, 3, 7, 5, 8, 2, 6, 4)]
    world.system.hosts.set("mta-sts.solarmora.com", ipv4=given)
    (rrset,) = ask(world.resolvers[0], "mta-sts.solarmora.com", "A", tcp=tcp).answer
    assert [rdata.address for rdata in rrset] == given


def test_a_name_server_is_reached_at_the_ipv6_form_of_its_address(world: World) -> None:
    assert values(ask(world.resolvers[0], NAMES[1], "A")) == [world.servers[1][0]]
    (mapped,) = values(ask(world.resolvers[0], NAMES[1], "AAAA"))
    assert mapped == f"::ffff:{world.servers[1][0]}"
    query = dns.message.make_query(RECORD, "TXT", flags=0).to_wire()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, (mapped, world.system.port))
        assert values(dns.message.from_wire(client.recv(512))) == [OLD]


# Who is asked


def test_a_hosted_zone_is_delegated_to_its_own_name_servers(world: World) -> None:
    assert values(ask(world.resolvers[0], ZONE, "NS")) == [f"{name}." for name in NAMES]


def test_a_zone_can_be_delegated_to_others(world: World) -> None:
    """The case of an administrator who edits a hosted zone that nobody asks any more."""
    world.system.resolvers.warm(RECORD, "TXT")
    elsewhere = FakeZones(world.clock, ["ns.other-provider.example"])
    elsewhere.create(ZONE)
    elsewhere.put(ZONE, RECORD, "TXT", 300, '"elsewhere"')
    with other_servers(world, elsewhere):
        world.system.hosts.set("ns.other-provider.example", ipv4=world.spare[:1])
        world.system.resolvers.delegate(ZONE, ["ns.other-provider.example"])
        for resolver in world.resolvers:
            assert values(ask(resolver, ZONE, "NS")) == ["ns.other-provider.example."]
            assert values(ask(resolver, RECORD)) == ['"elsewhere"']
        # Route 53's servers go on answering for the zone, though only to those who ask them.
        assert values(ask(world.servers[0], RECORD, flags=0)) == [OLD]
        world.system.resolvers.delegate(ZONE, None)
        assert values(ask(world.resolvers[0], RECORD)) == [OLD]


def test_a_zone_delegated_to_servers_that_nobody_knows_fails(world: World) -> None:
    world.system.resolvers.delegate(ZONE, ["ns.gone.example"])
    assert values(ask(world.resolvers[0], ZONE, "NS")) == ["ns.gone.example."]
    assert ask(world.resolvers[0], RECORD).rcode() == dns.rcode.SERVFAIL


def test_a_zone_delegated_to_nobody_does_not_exist_for_resolvers(world: World) -> None:
    world.system.resolvers.delegate(ZONE, [])
    for name, rdtype in ((ZONE, "NS"), (RECORD, "TXT")):
        response = ask(world.resolvers[0], name, rdtype)
        assert negative(response)[:2] == ("NXDOMAIN", "com.")
    assert values(ask(world.servers[0], RECORD, flags=0)) == [OLD]


def test_a_sub_zone_delegated_to_nobody_is_answered_by_its_parent(world: World) -> None:
    """Though the same servers hold both zones here: Route 53 would have given each its own."""
    world.zones.create(RECORD)
    world.zones.put(RECORD, RECORD, "TXT", 300, NEW)
    assert values(ask(world.resolvers[0], RECORD)) == [NEW]
    world.system.resolvers.delegate(RECORD, [])
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    assert negative(ask(world.resolvers[0], RECORD, "NS"))[:2] == ("NOERROR", "solarmora.com.")


def test_a_resolver_follows_a_referral_to_a_zone_below(world: World) -> None:
    elsewhere = FakeZones(world.clock, ["ns.vendor.example"])
    elsewhere.create(RECORD)
    elsewhere.put(RECORD, RECORD, "TXT", 300, '"vendor"')
    world.system.hosts.set("ns.vendor.example", ipv4=world.spare[:1])
    world.zones.delete(ZONE, RECORD, "TXT")
    world.zones.put(ZONE, RECORD, "NS", 300, "ns.vendor.example")
    with other_servers(world, elsewhere):
        assert values(ask(world.resolvers[0], RECORD)) == ['"vendor"']


# Faults


def test_a_resolver_that_is_down_says_nothing_and_the_other_goes_on(world: World) -> None:
    world.system.resolvers.down(0)
    with pytest.raises(dns.exception.Timeout):
        ask(world.resolvers[0], RECORD, timeout=SILENCE)
    assert values(ask(world.resolvers[1], RECORD)) == [OLD]
    world.system.resolvers.up(0)
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    assert len(world.system.resolvers.queries(RECORD, server=world.resolvers[0][0])) == 2


def test_a_resolver_can_be_slow(world: World) -> None:
    world.system.resolvers.delay(0, 2 * SILENCE, ZONE)
    began = time.monotonic()
    assert values(ask(world.resolvers[0], RECORD)) == [OLD]
    assert time.monotonic() - began >= 2 * SILENCE
