"""Hosted zones and record sets in Route 53; its errors become ours here."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mta_sts.errors import ConcurrentChangeError, RecordConflictError
from mta_sts.observed import HostedZone
from mta_sts.record_set import RecordSet

if TYPE_CHECKING:
    from types_boto3_route53 import Route53Client


_MOST_LABELS = 10
# Bounds on listing, a page a request: ten requests a second are all that an account has.
_MOST_ZONE_PAGES = 50  # of 100 zones
_MOST_SET_PAGES = 40  # of 300 record sets
_NEXT = {
    "StartRecordName": "NextRecordName",
    "StartRecordType": "NextRecordType",
    "StartRecordIdentifier": "NextRecordIdentifier",
}
_PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)  # seconds between attempts


class Zones:
    """Reads hosted zones and swaps one record set; ``sleep`` is a seam for tests."""

    def __init__(
        self, client: "Route53Client", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._route53 = client
        self._sleep = sleep

    def candidates(self, name: str) -> list[HostedZone]:
        """List the public hosted zones that can hold ``name``, longest name first."""
        labels = name.split(".")
        found = []
        # Ten requests a second are all that an account has: no zone is looked for far below a domain.
        for first in range(max(0, len(labels) - _MOST_LABELS), len(labels) - 1):
            suffix = ".".join(labels[first:])
            answer = self._route53.list_hosted_zones_by_name(DNSName=suffix, MaxItems="100")
            for zone in answer["HostedZones"]:
                private = zone.get("Config", {}).get("PrivateZone", False)
                if zone["Name"].rstrip(".") == suffix and not private:
                    zone_id = zone["Id"].removeprefix("/hostedzone/")
                    servers = self._route53.get_hosted_zone(Id=zone_id)["DelegationSet"][
                        "NameServers"
                    ]
                    found.append(HostedZone(zone_id, suffix, tuple(s.rstrip(".") for s in servers)))
        return found

    def record_sets(self, zone_id: str, name: str) -> list[dict[str, Any]]:
        """List the record sets of every type at exactly ``name``, as Route 53 spells them."""
        answer = self._route53.list_resource_record_sets(HostedZoneId=zone_id, StartRecordName=name)
        # The list starts at the first name at or after the one asked for.
        return [dict(found) for found in answer["ResourceRecordSets"] if name_of(found) == name]

    def record_set(self, zone_id: str, name: str) -> RecordSet | None:
        """Read the plain TXT set at ``name``, or the CNAME there; None where there is neither."""
        for found in self.record_sets(zone_id, name):
            if found["Type"] in {"TXT", "CNAME"} and "ResourceRecords" in found:
                values = tuple(record["Value"] for record in found["ResourceRecords"])
                return RecordSet(name, found["TTL"], values, found["Type"])
        return None

    def wildcard_sets(self, zone_id: str, zone: str, name: str) -> list[dict[str, Any]]:
        """List the sets of the wildcard that answers at ``name`` once its TXT set or CNAME is gone.

        That is the one right below the closest name that still exists, were it only because of names
        below it; nothing covers a name that itself goes on to exist (RFC 4592 section 3.3.1).
        """
        encloser = name
        while encloser != zone and not self._exists_without(zone_id, encloser, name):
            encloser = encloser.partition(".")[2]
        return [] if encloser == name else self.record_sets(zone_id, f"*.{encloser}")

    def _exists_without(self, zone_id: str, name: str, removed: str) -> bool:
        """Tell whether a set at or below ``name`` exists besides the one to be removed."""
        # Sorted by reversed labels: what lies below a name follows it. One of the two may be removed.
        listed = self._route53.list_resource_record_sets(
            HostedZoneId=zone_id, StartRecordName=name, MaxItems="2"
        )["ResourceRecordSets"]
        return any(
            f".{name_of(found)}".endswith(f".{name}")
            and not (name_of(found) == removed and found["Type"] in {"TXT", "CNAME"})
            for found in listed
        )

    def public(self) -> Iterator[HostedZone | None]:
        """Go through the account's public hosted zones, without their name servers.

        None comes last, and only where there are more zones than are listed (5,000).
        """
        more: dict[str, Any] = {}
        for _ in range(_MOST_ZONE_PAGES):
            page = self._route53.list_hosted_zones(MaxItems="100", **more)
            for zone in page["HostedZones"]:
                if not zone.get("Config", {}).get("PrivateZone", False):
                    zone_id = zone["Id"].removeprefix("/hostedzone/")
                    yield HostedZone(zone_id, zone["Name"].rstrip(".").lower(), ())
            if not page["IsTruncated"]:
                return
            more = {"Marker": page["NextMarker"]}
        yield None

    def sts_sets(self, zone_id: str) -> tuple[list[dict[str, Any]], bool]:
        """List the TXT sets and CNAMEs of a zone at names that begin with ``_mta-sts.``.

        Also tell whether the whole zone was seen: of 12,000 record sets no more are listed.
        """
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        for _ in range(_MOST_SET_PAGES):
            page = self._route53.list_resource_record_sets(
                HostedZoneId=zone_id, MaxItems="300", **more
            )
            found += [
                dict(one)
                for one in page["ResourceRecordSets"]
                if one["Type"] in {"TXT", "CNAME"} and name_of(one).startswith("_mta-sts.")
            ]
            if not page["IsTruncated"]:
                return found, True
            following = dict(page)
            more = {name: following[then] for name, then in _NEXT.items() if then in following}
        return found, False

    def swap(
        self,
        zone_id: str,
        name: str,
        old: RecordSet | None,
        new: RecordSet | None,
        *,
        comment: str,
    ) -> str:
        """Replace exactly ``old`` by ``new`` (None: nothing) in one atomic batch; return the change id.

        DELETE must name the set exactly and CREATE fails where one exists, which makes the batch a
        compare-and-swap. Never UPSERT. Where ``new`` stands already, it is put in its own place: the
        change that made it was made earlier, so it is everywhere when this one is. Where nothing has to
        change, or nothing is wanted and nothing stands, nothing can be put: the change id is empty.
        Raises ConcurrentChangeError where the set is neither; nothing was changed then.
        """
        for pause in (*_PAUSES, None):
            current = self.record_set(zone_id, name)
            if not _same(current, old) and not _same(current, new):
                raise _lost(zone_id, name, old, current)
            if _same(old, new) or (current is None and new is None):
                return ""
            try:
                return self._change(zone_id, current, new, comment)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                # Somebody else's change: of this set, which the next look shows, or an overlapping
                # one of the zone. The client's own retries cover throttling.
                if code not in {"InvalidChangeBatch", "PriorRequestNotComplete"}:
                    raise
                if pause is None and code == "PriorRequestNotComplete":
                    raise  # still busy: the workflow tries again, for longer
                if pause is None:
                    raise RecordConflictError(
                        f"Route 53 refuses to change {name} in zone {zone_id}: {error}. The set is as"
                        " it was. Look whether it is protected."
                    ) from error
                self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _change(
        self, zone_id: str, old: RecordSet | None, new: RecordSet | None, comment: str
    ) -> str:
        changes = [{"Action": "DELETE", "ResourceRecordSet": _api(old)}] if old else []
        changes += [{"Action": "CREATE", "ResourceRecordSet": _api(new)}] if new else []
        answer = self._route53.change_resource_record_sets(
            HostedZoneId=zone_id,
            ChangeBatch={"Comment": comment, "Changes": changes},  # type: ignore[typeddict-item]
        )
        return answer["ChangeInfo"]["Id"].removeprefix("/change/")

    def in_sync(self, change_id: str) -> bool:
        """Tell whether Route 53 has carried the change to all of its servers."""
        return self._route53.get_change(Id=change_id)["ChangeInfo"]["Status"] == "INSYNC"


def name_of(found: Mapping[str, Any]) -> str:
    """Give a set's name as it is written elsewhere; Route 53 lists a star as its octal escape."""
    return str(found["Name"]).rstrip(".").lower().replace("\\052", "*")


def _api(record_set: RecordSet) -> dict[str, Any]:
    """Spell a set for ChangeResourceRecordSets."""
    return {
        "Name": record_set.name + ".",
        "Type": record_set.type,
        "TTL": record_set.ttl,
        "ResourceRecords": [{"Value": value} for value in record_set.values],
    }


def _same(one: RecordSet | None, other: RecordSet | None) -> bool:
    return one.same_as(other) if one else other is None


def _lost(zone_id: str, name: str, old: RecordSet | None, current: RecordSet | None) -> Exception:
    return ConcurrentChangeError(
        f"The record set {name} in zone {zone_id} was changed after the plan was made: found"
        f" {current or 'none'}; expected {old or 'none'}. It was not overwritten."
        " Find out who writes it, then run again."
    )
