"""Route 53, against the emulator's: the swap is a compare-and-swap, alone and when it is retried."""

import pytest
from botocore.exceptions import ClientError

from local.emulator import Emulator
from mta_sts.adapters.route53 import Zones
from mta_sts.errors import ConcurrentChangeError, RecordConflictError
from mta_sts.record_set import RecordSet
from tests.adapters.hosted_zones import error, interfered, swap, txt, zone


def test_making_changing_and_asking(emulator: Emulator) -> None:
    name = "r1.example"
    zone_id, zones = zone(emulator, name), Zones(emulator.client("route53"))
    assert zones.record_set(zone_id, f"_mta-sts.{name}") is None
    old, new = txt(name, "v=STSv1; id=1;", "other"), txt(name, "v=STSv1; id=2;", "other")
    assert swap(zones, zone_id, None, old)
    change = swap(zones, zone_id, old, new)
    assert zones.record_set(zone_id, f"_mta-sts.{name}") == new
    assert any(zones.in_sync(change) for _ in range(3))  # the emulator says PENDING once


def test_a_retry_after_the_effect_gives_a_change_to_wait_for(emulator: Emulator) -> None:
    name = "r2.example"
    zone_id, zones = zone(emulator, name), Zones(emulator.client("route53"))
    old, new = txt(name, "v=STSv1; id=1;"), txt(name, "v=STSv1; id=2;")
    swap(zones, zone_id, None, old)
    first = swap(zones, zone_id, old, new)
    second = swap(zones, zone_id, old, new)
    assert second
    assert second != first
    assert zones.record_set(zone_id, f"_mta-sts.{name}") == new


@pytest.mark.parametrize(
    "other",
    [
        ("v=STSv1; id=somebody;",),  # another id
        ("v=STSv1; id=1;", "neighbour"),  # a neighbour came
        (),  # it is gone
    ],
)
@pytest.mark.parametrize("when", ["before the look", "between the look and the change"])
def test_a_lost_race_overwrites_nothing(
    emulator: Emulator, other: tuple[str, ...], when: str
) -> None:
    name = f"r3-{len(other)}-{len(when)}.example"
    zone_id, client = zone(emulator, name), emulator.client("route53")
    old, new = txt(name, "v=STSv1; id=1;"), txt(name, "v=STSv1; id=2;")
    admin = Zones(client)
    swap(admin, zone_id, None, old)
    theirs = txt(name, *other) if other else None

    def interfere() -> None:
        if theirs:
            swap(admin, zone_id, old, theirs)
        else:
            records = [{"Value": value} for value in old.values]
            gone = {"Name": old.name, "Type": "TXT", "TTL": old.ttl, "ResourceRecords": records}
            delete = {"Action": "DELETE", "ResourceRecordSet": gone}
            client.change_resource_record_sets(
                HostedZoneId=zone_id, ChangeBatch={"Changes": [delete]}
            )

    zones = Zones(client)
    if when.startswith("before"):
        interfere()
    else:
        zones = Zones(interfered(client, interfere), sleep=lambda _: None)
    with pytest.raises(ConcurrentChangeError, match="not overwritten") as caught:
        swap(zones, zone_id, old, new)
    assert "id=1" in str(caught.value)
    assert admin.record_set(zone_id, old.name) == theirs


def test_somebody_elses_change_of_the_zone_is_waited_for(emulator: Emulator) -> None:
    name = "r4.example"
    zone_id, client = zone(emulator, name), emulator.client("route53")
    busy, pauses = error("PriorRequestNotComplete"), list[float]()
    zones = Zones(interfered(client, busy, busy), sleep=pauses.append)
    assert swap(zones, zone_id, None, txt(name, "v=STSv1; id=1;"))
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("code", "raised"), [("InvalidChangeBatch", RecordConflictError), ("AccessDenied", ClientError)]
)
def test_what_route53_refuses_for_good(
    emulator: Emulator, code: str, raised: type[Exception]
) -> None:
    """A protected set, say: it is as planned, and may not be changed."""
    name = f"r5-{code.lower()}.example"
    zone_id, client = zone(emulator, name), emulator.client("route53")
    old = txt(name, "v=STSv1; id=1;")
    swap(Zones(client), zone_id, None, old)
    refusing = Zones(interfered(client, *[error(code)] * 9), sleep=lambda _: None)
    with pytest.raises(raised):
        swap(refusing, zone_id, old, txt(name, "v=STSv1; id=2;"))
    assert Zones(client).record_set(zone_id, old.name) == old


def test_candidates_are_public_and_longest_first(emulator: Emulator) -> None:
    client = emulator.client("route53")
    long, short = zone(emulator, "_mta-sts.r6.example"), zone(emulator, "r6.example")
    client.create_hosted_zone(
        Name="r6.example", CallerReference="private", HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-1"},
    )  # fmt: skip
    zone(emulator, "other-r6.example")
    found = Zones(client).candidates("_mta-sts.r6.example")
    assert [(each.zone_id, each.name) for each in found] == [
        (long, "_mta-sts.r6.example"),
        (short, "r6.example"),
    ]
    assert all(each.name_servers for each in found)


def test_order_and_blanks_between_strings_mean_nothing() -> None:
    one = RecordSet("a", 5, ('"x" "y"', '"z"'))
    assert one.same_as(RecordSet("a", 5, ('"z"', '"x""y"')))
    assert not one.same_as(RecordSet("a", 6, one.values))
    assert not one.same_as(RecordSet("a", 5, ('"z"',)))
    assert not one.same_as(None)
