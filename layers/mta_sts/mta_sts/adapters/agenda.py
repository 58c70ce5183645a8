"""What the ledger has due: read by the sweep, moved when it was tried or looked at.

``due`` in a domain's item maps a kind to ``{"at", "request"}``; ``due_at`` is the first of these moments,
by which a sparse index finds the item, and ``generation`` rises with each run by hand, and with each that
is confirmed.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mta_sts.adapters.attributes import plain, typed
from mta_sts.adapters.ledger import DOMAIN, DUE_SHARD
from mta_sts.due import Entries, first
from mta_sts.errors import TransientError
from mta_sts.instants import stamp

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

INDEX = "due"
_TRIES = 5


class Agenda:
    """Finds what is due and moves it, by conditional writes only."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._db = client
        self._table = table

    def domains(self, until: datetime | None = None) -> Iterator[str]:
        """Name the domains that have something due by then (None: ever), the earliest first.

        From an index, which may lag behind: look at the item before anything is done.
        """
        condition, values = "due_shard = :shard", {":shard": DUE_SHARD}
        if until:
            condition += " AND due_at <= :until"
            values[":until"] = stamp(until)
        more: dict[str, Any] = {}
        while True:
            page = self._db.query(
                TableName=self._table,
                IndexName=INDEX,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=typed(values),
                **more,
            )
            yield from (str(plain(item)["domain"]) for item in page["Items"])
            if not page.get("LastEvaluatedKey"):
                return
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def count(self) -> int:
        """Count the domains that have something due, now or later; from the same index."""
        found = 0
        more: dict[str, Any] = {}
        while True:
            page = self._db.query(
                TableName=self._table,
                IndexName=INDEX,
                KeyConditionExpression="due_shard = :shard",
                ExpressionAttributeValues=typed({":shard": DUE_SHARD}),
                Select="COUNT",
                **more,
            )
            found += page["Count"]
            if not page.get("LastEvaluatedKey"):
                return found
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def item(self, domain: str) -> dict[str, Any]:
        """Read a domain's item; empty where there is none."""
        key = typed({"domain": domain, "item": DOMAIN})
        found = self._db.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return plain(found.get("Item", {}))

    def move(
        self, domain: str, due: dict[str, Any], change: Callable[[str, Entries], Entries]
    ) -> bool:
        """Let ``change`` (kind and entries → entries) replace what is due, if ``due`` still is.

        ``due`` is what a run was started for: kind, generation, at. False where it is not due any more:
        nothing was written. Raises TransientError where others keep writing.
        """
        for _ in range(_TRIES):
            item = self.item(domain)
            entries: Entries = item.get("due", {})
            entry = entries.get(due["kind"], {})
            if item.get("generation", 0) != due["generation"] or entry.get("at") != due["at"]:
                return False
            if self._replace(domain, due["generation"], entries, change(due["kind"], entries)):
                return True
        raise TransientError(f"What is due for {domain} is being changed by others all the time.")

    def _replace(self, domain: str, generation: int, old: Entries, new: Entries) -> bool:
        values = {":old": old, ":generation": generation}
        if new:
            update = "SET due = :new, due_at = :first, due_shard = :shard"
            values |= {":new": new, ":first": first(new), ":shard": DUE_SHARD}
        else:
            update = "REMOVE due, due_at, due_shard"
        try:
            self._db.update_item(
                TableName=self._table,
                Key=typed({"domain": domain, "item": DOMAIN}),
                UpdateExpression=update,
                ConditionExpression="generation = :generation AND due = :old",
                ExpressionAttributeValues=typed(values),
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            return False
        return True
