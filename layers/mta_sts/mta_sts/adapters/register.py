"""Reads the ledger for people: which domains there are, and the runs of one. Writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mta_sts.adapters.attributes import plain, typed
from mta_sts.adapters.ledger import DOMAIN, LISTED
from mta_sts.errors import TransientError
from mta_sts.instants import stamp

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

INDEX = "domains"
# Phases as people ask for them, and how the index tells them; see :func:`mta_sts.views.phase_of`.
_OVER = "(attribute_exists(all_off_at) AND all_off_at <= :now)"
_CONDITIONS = {
    "on": "phase = :phase",
    "draining": f"phase = :phase AND NOT {_OVER}",
    "off": f"phase = :phase AND {_OVER}",
    "retired": "phase = :phase",
    "unsettled": "attribute_not_exists(phase)",
}
PHASES = tuple(_CONDITIONS)
_STORED = {"on": "on", "draining": "draining", "off": "draining", "retired": "retired"}
_SHOWN = (
    "#domain, phase, all_off_at, due_at, holder, held_since, last_outcome.#state, last_outcome.changed,"
    " last_outcome.#error"
)
_OF_A_RUN = (
    "#item, #method, #status, ended_at, #error, changed, requested_by, ticket, subject, #text,"
    " outcome.#state, outcome.subject, outcome.#text, outcome.alarms"
)
_RESERVED = ("method", "status", "error", "text", "state")
_NAMES = {"#domain": "domain", "#state": "state", "#error": "error"}
_LONGEST_LOOK = 20  # pages of the index, where few of many domains are in a phase


@dataclass(frozen=True)
class Page:
    """Some domains' items, in part; ``after`` is where the next page goes on, empty after the last."""

    items: tuple[Mapping[str, Any], ...]
    after: str


class Register:
    """Reads domains and runs."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._db = client
        self._table = table

    def domains(self, phase: str, *, limit: int, after: str, now: datetime) -> Page:
        """List domains by name, of one phase (empty: of all), those that come after one.

        A page may hold fewer than ``limit``, or none, where many others lie between.
        """
        names: list[str] = []
        for _ in range(_LONGEST_LOOK):
            found = self._db.query(**self._asked(phase, limit - len(names), after, now))
            names += [str(plain(item)["domain"]) for item in found["Items"]]
            last = found.get("LastEvaluatedKey")
            after = str(plain(last)["domain"]) if last else ""
            if len(names) >= limit or not after:
                break
        return Page(self._items(names), after)

    def _asked(self, phase: str, limit: int, after: str, now: datetime) -> Any:
        values = {":listed": LISTED}
        asked: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": INDEX,
            "KeyConditionExpression": "listed = :listed",
            "Limit": limit,
        }
        if phase:
            condition = _CONDITIONS[phase]
            asked["FilterExpression"] = condition
            if ":phase" in condition:
                values[":phase"] = _STORED[phase]
            if ":now" in condition:
                values[":now"] = stamp(now)
        if after:
            asked["ExclusiveStartKey"] = typed({"domain": after, "item": DOMAIN, "listed": LISTED})
        return {**asked, "ExpressionAttributeValues": typed(values)}

    def _items(self, names: list[str]) -> tuple[Mapping[str, Any], ...]:
        """Read what is shown of each domain; the index has but the names."""
        if not names:
            return ()
        keys = [typed({"domain": name, "item": DOMAIN}) for name in names]
        asked = {
            self._table: {
                "Keys": keys,
                "ProjectionExpression": _SHOWN,
                "ExpressionAttributeNames": _NAMES,
            }
        }
        found = self._db.batch_get_item(RequestItems=asked)  # type: ignore[arg-type]  # as above
        if found.get("UnprocessedKeys"):
            raise TransientError("The ledger was busy: it did not answer for every domain.")
        items = {one["domain"]: one for one in map(plain, found["Responses"][self._table])}
        return tuple(items[name] for name in names if name in items)

    def runs(self, domain: str, limit: int) -> list[dict[str, Any]]:
        """Give what is shown of a domain's latest runs, the last first."""
        asked = self._runs(domain)
        asked["ExpressionAttributeNames"] |= {f"#{name}": name for name in _RESERVED}
        found = self._db.query(**asked, ProjectionExpression=_OF_A_RUN, Limit=limit)
        return [plain(item) for item in found["Items"]]

    def run(self, domain: str, name: str) -> dict[str, Any]:
        """Give the item of one run of a domain; empty where the ledger knows of none."""
        more: dict[str, Any] = {}
        while True:
            page = self._db.query(**self._runs(domain), ProjectionExpression="#item", **more)
            for item in map(plain, page["Items"]):
                if item["item"].endswith(f"#{name}"):
                    return self._whole(domain, item["item"])
            if not page.get("LastEvaluatedKey"):
                return {}
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _runs(self, domain: str) -> Any:
        return {
            "TableName": self._table,
            "KeyConditionExpression": "#domain = :domain AND begins_with(#item, :run)",
            "ExpressionAttributeNames": {"#domain": "domain", "#item": "item"},
            "ExpressionAttributeValues": typed({":domain": domain, ":run": "run#"}),
            "ScanIndexForward": False,
            "ConsistentRead": True,
        }

    def _whole(self, domain: str, key: str) -> dict[str, Any]:
        found = self._db.get_item(
            TableName=self._table, Key=typed({"domain": domain, "item": key}), ConsistentRead=True
        )
        return plain(found.get("Item", {}))
