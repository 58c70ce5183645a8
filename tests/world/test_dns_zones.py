"""How the world reads Route 53's listings, and how labs share the loopback addresses."""

import errno
import ipaddress
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import dns.rcode
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from dns.rdatatype import RdataType

from local.world.addresses import FIRST_PORT, bind, claim_block
from local.world.lookup import lookup
from local.world.loop import LoopThread
from local.world.route53 import Route53Source
from local.world.zones import History, RecordSet, Zone, make_zone, parse_name, parse_text
from tests.world.dns_world import OLD, RECORD, ZONE, ask, running_world, values
from tests.world.fake_zones import Clock

# Route 53's way of writing


@pytest.mark.parametrize(
    ("written", "strings"),
    [
        ('"v=STSv1; id=1;"', [b"v=STSv1; id=1;"]),
        ('"v=STSv1; " "id=1;"', [b"v=STSv1; ", b"id=1;"]),
        ('"v=STSv1; ""id=1;"', [b"v=STSv1; ", b"id=1;"]),  # listed without the blank
        (r'"say \"hi\" \\ \303\251 \052"', [b'say "hi" \\ \xc3\xa9 *']),  # octal, not decimal
        ('""', [b""]),
    ],
)
def test_text_values(written: str, strings: list[bytes]) -> None:
    assert parse_text(written) == tuple(strings)
    zone = make_zone(ZONE, [RecordSet(RECORD, "TXT", 5, (written,))])
    (rdata,) = zone.sets[parse_name(RECORD)][RdataType.TXT]
    assert rdata.strings == tuple(strings)


@pytest.mark.parametrize(
    "written",
    ["v=STSv1; id=1;", '"open', '"a" b', "", '"\u00e9"', '"' + 256 * "x" + '"', r'"\777"'],
)
def test_text_values_that_route_53_refuses(written: str) -> None:
    zone = make_zone(ZONE, [RecordSet(RECORD, "TXT", 5, (written,))])
    assert zone.error.startswith(f"{RECORD} TXT: ")


def test_names_are_escaped_in_octal() -> None:
    assert parse_name(r"\052.Solarmora.com.").labels == (b"*", b"Solarmora", b"com", b"")
    assert parse_name(r"a\056b.example").labels == (b"a.b", b"example", b"")
    assert parse_name(".").labels == (b"",)
    with pytest.raises(ValueError, match="not a name"):
        parse_name("a..example")


@pytest.mark.parametrize(
    ("rdtype", "value", "text"),
    [
        ("A", "127.0.0.9", "127.0.0.9"),
        ("AAAA", "::1", "::1"),
        ("CNAME", "sts.vendor.example", "sts.vendor.example."),  # a final dot or none
        ("MX", "10 mail.solarmora.com.", "10 mail.solarmora.com."),
        ("NS", r"\052.example.", "*.example."),
        ("SOA", "a.example. b.example. 1 2 3 4 5", "a.example. b.example. 1 2 3 4 5"),
        ("CAA", '0 issue "ca.example"', '0 issue "ca.example"'),
    ],
)
def test_other_values(rdtype: str, value: str, text: str) -> None:
    zone = make_zone(ZONE, [RecordSet(RECORD, rdtype, 7, (value,))])
    rdataset = zone.sets[parse_name(RECORD)][RdataType.make(rdtype)]
    assert [rdata.to_text() for rdata in rdataset] == [text]
    assert rdataset.ttl == 7


def test_the_first_of_several_sets_of_one_name_and_type_counts() -> None:
    sets = [RecordSet(RECORD, "TXT", 5, (value,)) for value in (OLD, '"second"')]
    answer = lookup(make_zone(ZONE, sets), parse_name(RECORD), RdataType.TXT)
    assert [rdata.to_text() for rdata in answer.answer[0]] == [OLD]


def test_a_zone_that_cannot_be_read_fails_and_leaves_the_others_alone() -> None:
    with running_world() as world:
        world.zones.create("other.example")
        world.zones.put("other.example", "other.example", "TXT", 5, "unquoted")
        for endpoint in (world.servers[0], world.resolvers[0]):
            assert ask(endpoint, "other.example").rcode() == dns.rcode.SERVFAIL
            assert values(ask(endpoint, RECORD)) == [OLD]


def test_a_name_outside_its_zone_makes_it_unreadable() -> None:
    zone = make_zone(ZONE, [RecordSet("example.org.", "A", 5, ("127.0.0.9",))])
    assert zone.error == "example.org. lies outside the zone solarmora.com."


# Polling


@pytest.fixture
def route53() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client(
        "route53",
        region_name="us-east-1",
        aws_access_key_id="made-up",
        aws_secret_access_key="made-up",
    )
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()
    client.close()


def hosted(zone_id: str, name: str, *, private: bool = False) -> dict[str, Any]:
    config = {"PrivateZone": private}
    return {"Id": zone_id, "Name": name, "CallerReference": zone_id, "Config": config}


def zones_page(*zones: dict[str, Any], marker: str = "") -> dict[str, Any]:
    page = {"HostedZones": list(zones), "Marker": "", "IsTruncated": bool(marker)}
    return {**page, "MaxItems": "100", **({"NextMarker": marker} if marker else {})}


def records_page(*sets: dict[str, Any], following: str = "") -> dict[str, Any]:
    page = {"ResourceRecordSets": list(sets), "IsTruncated": bool(following), "MaxItems": "300"}
    return {**page, **({"NextRecordName": following, "NextRecordType": "TXT"} if following else {})}


def text(name: str, value: str, **fields: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "TXT", "TTL": 5, "ResourceRecords": [{"Value": value}], **fields}


def found(zone: Zone) -> dict[str, list[str]]:
    return {
        owner.to_text(): [rdata.to_text() for rdata in types[RdataType.TXT]]
        for owner, types in zone.sets.items()
    }


def test_all_pages_of_all_public_zones_are_read(route53: tuple[Any, Stubber]) -> None:
    client, stubber = route53
    alias = {"HostedZoneId": "Z1", "DNSName": "b.a.example.", "EvaluateTargetHealth": False}
    stubber.add_response("list_hosted_zones", zones_page(hosted("Z1", "a.example."), marker="m"))
    stubber.add_response(
        "list_resource_record_sets",
        records_page(text("a.example.", '"1"'), following="b.a.example."),
        {"HostedZoneId": "Z1"},
    )
    stubber.add_response(
        "list_resource_record_sets",
        records_page(
            text(r"\052.a.example.", '"2"'),
            {"Name": "c.a.example.", "Type": "TXT", "AliasTarget": alias},
        ),
        {"HostedZoneId": "Z1", "StartRecordName": "b.a.example.", "StartRecordType": "TXT"},
    )
    stubber.add_response(
        "list_hosted_zones",
        zones_page(
            hosted("Z2", "b.example.", private=True),
            hosted("Z3", "c.example."),
            hosted("Z4", "a.example."),
        ),
        {"Marker": "m"},
    )
    stubber.add_response("list_resource_record_sets", records_page(), {"HostedZoneId": "Z3"})
    again = records_page(text("a.example.", '"a second zone of this name"'))
    stubber.add_response("list_resource_record_sets", again, {"HostedZoneId": "Z4"})
    source = Route53Source(client)
    source.refresh()
    zones = source.latest().zones
    assert {name.to_text() for name in zones} == {"a.example.", "c.example."}
    assert found(zones[parse_name("a.example")]) == {"a.example.": ['"1"'], "*.a.example.": ['"2"']}


def test_a_zone_deleted_while_it_is_read_is_gone(route53: tuple[Any, Stubber]) -> None:
    client, stubber = route53
    stubber.add_response("list_hosted_zones", zones_page(hosted("Z1", "a.example.")))
    stubber.add_client_error("list_resource_record_sets", "NoSuchHostedZone")
    source = Route53Source(client)
    source.refresh()
    assert source.latest().zones == {}


def test_a_failed_poll_is_told_and_forgets_nothing(route53: tuple[Any, Stubber]) -> None:
    client, stubber = route53
    stubber.add_response("list_hosted_zones", zones_page(hosted("Z1", "a.example.")))
    stubber.add_response("list_resource_record_sets", records_page(text("a.example.", '"1"')))
    stubber.add_client_error("list_hosted_zones", "InternalFailure")
    source = Route53Source(client)
    source.refresh()
    with pytest.raises(ClientError):
        source.refresh()
    assert found(source.latest().zones[parse_name("a.example")]) == {"a.example.": ['"1"']}


def test_only_what_changed_makes_a_new_snapshot(route53: tuple[Any, Stubber]) -> None:
    client, stubber = route53
    source = Route53Source(client)
    seen = []
    for ttl in (5, 5, 6):
        stubber.add_response("list_hosted_zones", zones_page(hosted("Z1", "a.example.")))
        page = records_page(text("a.example.", '"1"', TTL=ttl))
        stubber.add_response("list_resource_record_sets", page)
        source.refresh()
        seen.append(source.latest())
    assert seen[0] is seen[1]
    assert seen[1].seen_at < seen[2].seen_at


def test_history_is_kept_for_an_hour() -> None:
    clock = Clock()
    history = History(clock)
    for number in range(10):
        clock.pass_by(1800)
        zone = make_zone(ZONE, [RecordSet(RECORD, "TXT", number, (OLD,))])
        history.add({zone.origin: zone})
    clock.pass_by(1799)
    ages = [0, 1799, 3599, 3600]
    ttls = [history.behind(age).zones[parse_name(ZONE)].listing[0].ttl for age in ages]
    assert ttls == [9, 9, 8, 7]
    assert len(history._snapshots) == 3  # a lab that runs for days forgets the rest


def test_polling_goes_on_after_a_failure_and_ends_with_close(
    route53: tuple[Any, Stubber], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = route53
    polled = threading.Semaphore(0)
    failure = ClientError({"Error": {"Code": "InternalFailure"}}, "ListHostedZones")
    outcomes = iter([None, failure])

    def refresh() -> None:
        polled.release()
        if outcome := next(outcomes, None):
            raise outcome

    before = set(threading.enumerate())  # a lab of this process may poll as well
    source = Route53Source(client, interval=0.001)
    monkeypatch.setattr(source, "refresh", refresh)
    source.start()
    started = set(threading.enumerate()) - before
    [poller] = [thread for thread in started if thread.name == "route53"]
    for _ in range(4):
        assert polled.acquire(timeout=5)
    source.close()
    assert not poller.is_alive()


# Addresses and ports

CLAIM = """
import secrets, sys
from local.world import addresses
secrets.randbelow = lambda below: int(sys.argv[1])
print(addresses.claim_block(), flush=True)
sys.stdin.read()
"""


def first_tried(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda _: number)


def test_two_claims_of_one_process_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    first_tried(monkeypatch, secrets.randbelow(60_000))
    assert claim_block() != claim_block()


def test_the_machines_own_blocks_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first_tried(monkeypatch, 0)
    block = claim_block()
    assert block.subnet_of(ipaddress.IPv4Network("127.0.0.0/8"))
    assert block.prefixlen == 24
    assert not block.overlaps(ipaddress.IPv4Network("127.0.0.0/23"))


def test_a_claim_lasts_as_long_as_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    number = secrets.randbelow(60_000) + 2
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        first_tried(monkeypatch, number)
        assert theirs
        assert str(claim_block()) != theirs
        other.kill()
        other.wait()
    assert str(claim_block()) == theirs


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_free_port_is_free_for_both_transports_at_every_address(
    monkeypatch: pytest.MonkeyPatch, kind: socket.SocketKind
) -> None:
    block = claim_block()
    mine = [str(block[2]), str(block[3])]
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((mine[1], FIRST_PORT + 7))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        tries = iter([7, 7, 8])
        monkeypatch.setattr("secrets.randbelow", lambda _: next(tries))
        bound = bind(mine)
    assert [(pair.address, pair.port) for pair in bound] == [
        (address, FIRST_PORT + 8) for address in mine
    ]
    for pair in bound:
        assert pair.udp.getsockname() == pair.tcp.getsockname() == (pair.address, pair.port)
        pair.close()


def test_a_fixed_port_that_is_taken_is_an_error_that_leaves_nothing_bound() -> None:
    block = claim_block()
    mine = [str(block[2]), str(block[3])]
    (taken,) = bind(mine[1:])
    with pytest.raises(OSError, match=f"{mine[1]} port {taken.port}") as raised:
        bind(mine, taken.port)
    assert raised.value.errno == errno.EADDRINUSE
    taken.close()
    for pair in bind(mine, taken.port):
        pair.close()


# The loop's thread


def test_the_loop_returns_raises_and_refuses_to_wait_for_itself() -> None:
    loop = LoopThread()
    with pytest.raises(RuntimeError, match="not running"):
        loop.call(int)
    loop.start()
    assert loop.call(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        loop.call(int, "x")
    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        loop.call(loop.call, int, "7")
    loop.close()
    loop.close()
