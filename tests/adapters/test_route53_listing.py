"""Listing zones and STS record sets: in the emulator, and page by page."""

from collections.abc import Iterator
from typing import Any, cast

from local.emulator import Emulator
from mta_sts.adapters.route53 import Zones
from mta_sts.observed import HostedZone
from tests.adapters.hosted_zones import put, zone


class Pages:
    """A Route 53 whose lists have pages that a test makes up; what was asked for is kept."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self._pages: Iterator[dict[str, Any]] = iter(pages)
        self.asked: list[dict[str, Any]] = []

    def _next(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return next(self._pages)

    list_hosted_zones = list_resource_record_sets = _next


class Endless(Pages):
    """One that goes round in circles."""

    def __init__(self, page: dict[str, Any]) -> None:
        super().__init__()
        self._page = page

    def _next(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        return self._page

    list_hosted_zones = list_resource_record_sets = _next


def zones(client: Pages) -> Zones:
    return Zones(cast("Any", client))


def listed(name: str, kind: str = "TXT", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, **more}


def hosted(number: int, **more: Any) -> dict[str, Any]:
    return {"Id": f"/hostedzone/Z{number}", "Name": f"Zone{number}.example.", "Config": more}


class TestInTheEmulator:
    def test_txt_sets_and_cnames_that_begin_with_the_label(self, emulator: Emulator) -> None:
        zone_id = zone(emulator, "listing.example")
        for name in ("listing.example", "_mta-sts.listing.example", "_mta-sts.a.listing.example"):
            put(emulator, zone_id, name, "TXT", '"v=STSv1; id=1;"')
        put(emulator, zone_id, "_mta-sts.b.listing.example", "CNAME", "x.vendor.example")
        put(emulator, zone_id, "_mta-sts.c.listing.example")
        put(emulator, zone_id, "x_mta-sts.listing.example", "TXT")
        sets, complete = Zones(emulator.client("route53")).sts_sets(zone_id)
        assert sorted((one["Name"], one["Type"]) for one in sets) == [
            ("_mta-sts.a.listing.example.", "TXT"),
            ("_mta-sts.b.listing.example.", "CNAME"),
            ("_mta-sts.listing.example.", "TXT"),
        ]
        assert complete

    def test_public_zones(self, emulator: Emulator) -> None:
        zone_id = zone(emulator, "public.example")
        named = [
            one
            for one in Zones(emulator.client("route53")).public()
            if one and one.zone_id == zone_id
        ]
        assert named == [HostedZone(zone_id, "public.example", ())]


class TestPages:
    def test_sets_are_listed_to_the_end(self) -> None:
        client = Pages(
            {
                "ResourceRecordSets": [listed("_mta-sts.a.example.")],
                "IsTruncated": True,
                "NextRecordName": "b.example.",
                "NextRecordType": "TXT",
                "NextRecordIdentifier": "one",
            },
            {"ResourceRecordSets": [listed("_MTA-STS.b.example.")], "IsTruncated": False},
        )
        sets, complete = zones(client).sts_sets("Z1")
        assert [one["Name"] for one in sets] == ["_mta-sts.a.example.", "_MTA-STS.b.example."]
        assert complete
        assert client.asked[1] == {
            "HostedZoneId": "Z1",
            "MaxItems": "300",
            "StartRecordName": "b.example.",
            "StartRecordType": "TXT",
            "StartRecordIdentifier": "one",
        }

    def test_a_list_without_end_is_given_up_and_told(self) -> None:
        page = {"ResourceRecordSets": [], "IsTruncated": True, "NextRecordName": "a.example."}
        client = Endless(page)
        assert zones(client).sts_sets("Z1") == ([], False)
        assert len(client.asked) == 40

    def test_private_zones_are_left_out(self) -> None:
        client = Pages(
            {
                "HostedZones": [hosted(1), hosted(2, PrivateZone=True)],
                "IsTruncated": True,
                "NextMarker": "m",
            },
            {"HostedZones": [hosted(3, PrivateZone=False)], "IsTruncated": False},
        )
        assert list(zones(client).public()) == [
            HostedZone("Z1", "zone1.example", ()),
            HostedZone("Z3", "zone3.example", ()),
        ]
        assert client.asked[1] == {"MaxItems": "100", "Marker": "m"}

    def test_more_zones_than_are_listed_are_told(self) -> None:
        client = Endless({"HostedZones": [hosted(1)], "IsTruncated": True, "NextMarker": "m"})
        *some, last = zones(client).public()
        assert len(some) == len(client.asked) == 50
        assert last is None
