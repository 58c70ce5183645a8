"""Hosted zones in the emulator, and a client with which something happens in between."""

from typing import Any

from botocore.exceptions import ClientError

from local.emulator import Emulator
from mta_sts.adapters.route53 import Zones
from mta_sts.record_set import RecordSet


def interfered(client: Any, *happenings: Any) -> Any:
    """The client as `Interfering` changes it, to be taken for the real one."""
    return Interfering(client, *happenings)


class Interfering:
    """The Route 53 client, with something that happens just before the first change is sent."""

    def __init__(self, client: Any, *happenings: Any) -> None:
        self._client = client
        self._happenings = list(happenings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def change_resource_record_sets(self, **arguments: Any) -> Any:
        if self._happenings:
            happening = self._happenings.pop(0)
            if isinstance(happening, Exception):
                raise happening
            happening()
        return self._client.change_resource_record_sets(**arguments)


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "x"}}, "ChangeResourceRecordSets")


def zone(emulator: Emulator, name: str) -> str:
    made = emulator.client("route53").create_hosted_zone(Name=name, CallerReference=name)
    return str(made["HostedZone"]["Id"]).removeprefix("/hostedzone/")


def txt(name: str, *values: str, ttl: int = 60) -> RecordSet:
    return RecordSet(f"_mta-sts.{name}", ttl, tuple(f'"{value}"' for value in values))


def swap(zones: Zones, zone_id: str, old: RecordSet | None, new: RecordSet | None) -> str:
    name = (old or new or RecordSet("", 0, ())).name
    return zones.swap(zone_id, name, old, new, comment="test")


def put(
    emulator: Emulator, zone_id: str, name: str, kind: str = "A", *values: str, ttl: int = 60
) -> None:
    """Make a record set of whatever type."""
    values = values or {"A": ("192.0.2.1",), "TXT": ('"v=spf1 -all"',)}[kind]
    records = [{"Value": value} for value in values]
    made = {"Name": f"{name}.", "Type": kind, "TTL": ttl, "ResourceRecords": records}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": made}]}
    emulator.client("route53").change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)
