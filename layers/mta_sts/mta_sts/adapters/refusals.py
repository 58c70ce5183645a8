"""Puts on the event bus why a delivery was refused: once, though it is sent again."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mta_sts.errors import TransientError
from mta_sts.intake import Delivery
from mta_sts.notices import entry

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

    from mta_sts.adapters.deliveries import Deliveries

_NO_DOMAIN = "-"


class Refusals:
    """Remembers in the table of deliveries what it has told."""

    def __init__(self, deliveries: "Deliveries", events: "EventBridgeClient") -> None:
        self._deliveries = deliveries
        self._events = events

    def tell(self, notice: Mapping[str, Any], keys: tuple[str, ...], now: datetime) -> bool:
        """Tell a refusal, unless it was told under one of the keys; say whether it was now.

        Raises TransientError where the bus does not take it: then it is told when it comes again.
        """
        domain = notice["domain"] or _NO_DOMAIN
        if self._deliveries.find(domain, keys):
            return False
        answer = self._events.put_events(Entries=[entry(notice)])
        if answer["FailedEntryCount"]:
            raise TransientError(f"The event bus did not take the notice: {answer['Entries']}")
        self._deliveries.reserve(domain, keys, Delivery("", notice["error"], "", now))
        return True
