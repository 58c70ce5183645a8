"""The hosted zones as Route 53 lists them, polled."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from local.world.zones import History, RecordSet, Snapshot, Zone, make_zone

if TYPE_CHECKING:
    from dns.name import Name
    from types_boto3_route53 import Route53Client

_log = logging.getLogger(__name__)

# Beside many zones the emulator must still find time for everybody else: one fifth at most is ours.
_REST_PER_POLL = 4.0


class Route53Source:
    """A `ZoneSource` over all public hosted zones that the client can list.

    Private zones are left out: nobody outside their networks sees them. Alias sets are left out as
    well, since what they point to lies outside this world. Of two zones with one name, the one
    listed first counts.
    """

    def __init__(
        self,
        client: "Route53Client",
        interval: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._interval = interval
        self._history = History(clock)
        self._polling = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take a first snapshot, then keep polling in a daemon thread."""
        self.refresh()
        self._thread = threading.Thread(target=self._keep_polling, name="route53", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop polling. Closing twice is fine."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def refresh(self) -> None:
        """Return once a poll that began after this call has been taken in.

        Raises botocore's errors when Route 53 does not answer.
        """
        with self._polling:
            zones: dict[Name, Zone] = {}
            for zone in self._zones():
                zones.setdefault(zone.origin, zone)
            self._history.add(zones)

    def latest(self) -> Snapshot:
        """Return the newest snapshot."""
        return self._history.latest()

    def behind(self, seconds: float) -> Snapshot:
        """Return what was the newest snapshot so many seconds ago; ValueError beyond an hour."""
        return self._history.behind(seconds)

    def _zones(self) -> Iterator[Zone]:
        for page in self._client.get_paginator("list_hosted_zones").paginate():
            for hosted in page["HostedZones"]:
                if hosted.get("Config", {}).get("PrivateZone"):
                    continue
                try:
                    listing = tuple(self._listing(hosted["Id"]))
                except self._client.exceptions.NoSuchHostedZone:
                    continue  # deleted since it was listed
                yield make_zone(hosted["Name"], listing)

    def _listing(self, zone_id: str) -> Iterator[RecordSet]:
        pages = self._client.get_paginator("list_resource_record_sets")
        for page in pages.paginate(HostedZoneId=zone_id):
            for listed in page["ResourceRecordSets"]:
                if "AliasTarget" not in listed:
                    values = tuple(record["Value"] for record in listed.get("ResourceRecords", []))
                    yield RecordSet(listed["Name"], listed["Type"], listed.get("TTL", 0), values)

    def _keep_polling(self) -> None:
        rest = self._interval
        while not self._closing.wait(rest):
            began = time.monotonic()
            try:
                self.refresh()
            except (BotoCoreError, ClientError) as error:
                # Name servers that lose Route 53 go on with what they have.
                _log.warning("Route 53 was not polled: %s", error)
            rest = max(self._interval, _REST_PER_POLL * (time.monotonic() - began))
