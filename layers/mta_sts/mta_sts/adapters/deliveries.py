"""What came in through a front door, in a table of its own: the same delivery is the same run, for ever.

One item for each domain and key (by its SHA-256), with the run's name, the digest of what it was started
with, that input itself, and the moments at which it was reserved and started.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mta_sts.adapters.attributes import plain, typed
from mta_sts.errors import TransientError
from mta_sts.instants import instant, stamp
from mta_sts.intake import Delivery

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


class Deliveries:
    """Reserves runs under keys, by conditional writes only."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._db = client
        self._table = table

    def find(self, domain: str, keys: Iterable[str]) -> Delivery | None:
        """Give what one of the keys was used for, the first of them that was used."""
        for key in keys:
            found = self._db.get_item(
                TableName=self._table, Key=_key(domain, key), ConsistentRead=True
            )
            if item := plain(found.get("Item", {})):
                return Delivery(
                    item["run"],
                    item["digest"],
                    item["input"],
                    instant(item["reserved_at"]),
                    "started_at" in item,
                )
        return None

    def reserve(self, domain: str, keys: tuple[str, ...], delivery: Delivery) -> bool:
        """Reserve a run under all keys at once; False where one of them was used meanwhile."""
        fields = {
            "run": delivery.run,
            "digest": delivery.digest,
            "input": delivery.input,
            "reserved_at": stamp(delivery.reserved_at),
        }
        try:
            self._db.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": _key(domain, key) | typed(fields),
                            "ConditionExpression": "attribute_not_exists(#key)",
                            "ExpressionAttributeNames": {"#key": "key"},
                        }
                    }
                    for key in dict.fromkeys(keys)
                ]
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "TransactionCanceledException":
                raise
            given = {one.get("Code") for one in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in given:
                return False
            raise TransientError(f"The table of deliveries was busy: {given}") from error
        return True

    def started(self, domain: str, keys: Iterable[str], now: datetime) -> None:
        """Write down that the run was started; from then on nobody starts it again."""
        for key in keys:
            try:
                self._db.update_item(
                    TableName=self._table,
                    Key=_key(domain, key),
                    UpdateExpression="SET started_at = :now",
                    ConditionExpression="attribute_exists(reserved_at) AND attribute_not_exists(started_at)",
                    ExpressionAttributeValues=typed({":now": stamp(now)}),
                )
            except ClientError as error:
                # A later delivery may bear keys that the first did not: they stand for nothing.
                if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                    raise


def _key(domain: str, key: str) -> dict[str, Any]:
    return typed({"domain": domain, "key": hashlib.sha256(key.encode()).hexdigest()})
