"""The ledger in DynamoDB: one item for each domain, one for each run (the audit trail).

A domain's item holds the claim (``holder``, ``held_since``), ``phase``, every id ever used, the saved
policy and record, and the moments from which exposure is computed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from mta_sts.errors import ConcurrentChangeError, DomainBusyError, TransientError
from mta_sts.instants import instant, stamp
from mta_sts.policy import MAX_AGE_LIMIT
from mta_sts.transient import is_busy

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_stepfunctions import SFNClient

DOMAIN = "domain"  # the sort key of a domain's own item; runs have "run#<started>#<name>"
# A stopped execution's Lambda runs on to its own end, so a claim outlives its execution by this much.
LONGEST_FUNCTION_SECONDS = 60
# No policy lives longer (RFC 8461 section 3.2), nor does any cache in front by the stack's settings.
_REMEMBERED = timedelta(seconds=MAX_AGE_LIMIT) + timedelta(days=7)


@dataclass(frozen=True)
class Claim:
    """What a run takes and saves before its first write.

    ``policy`` and ``record`` are as they were; ``worth_restoring`` says that the policy is not
    already ``none``, so that a second run does not save the first one's work over the original.
    ``ids`` are those to be remembered as used; ``new_id`` is empty where the record goes. ``old_record``
    says that there is an STS record to be saved. ``wait_seconds`` is for how long an answer of before may
    be kept anywhere, as the plan has it.
    """

    domain: str
    execution_arn: str
    started_at: str
    new_id: str
    ids: tuple[str, ...]
    wait_seconds: int
    policy: Mapping[str, Any] | None
    record: Mapping[str, Any] | None
    worth_restoring: bool
    old_record: bool
    run: Mapping[str, Any]


class Ledger:
    """Reads and writes the ledger by conditional writes only."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        executions: "Callable[[], SFNClient] | None" = None,
    ) -> None:
        self._db = client
        self._table = table
        self._executions = executions

    def domain(self, domain: str) -> dict[str, Any]:
        """Read a domain's item; empty where the domain was never touched."""
        found = self._db.get_item(
            TableName=self._table,
            Key=_typed({"domain": domain, "item": DOMAIN}),
            ConsistentRead=True,
        )
        return _plain(found.get("Item", {}))

    def claim(self, claim: Claim, now: datetime) -> None:
        """Take the domain for one execution, reserve the id, save policy and record.

        Taking it twice for the same execution is success. A claim whose execution ended, longer ago
        than a function can still run, is taken over. Raises DomainBusyError or ConcurrentChangeError
        (the id was used meanwhile); nothing is written then.
        """
        item = self.domain(claim.domain)
        holder = item.get("holder", "")
        dead = holder and holder != claim.execution_arn and self._ended_long_ago(holder, now)
        # A domain that had no policy has nothing to restore; the first save stands, as does a newer
        # one of a policy that is worth it.
        saved = {"policy": claim.policy, "record": claim.record, "saved_at": stamp(now)}
        keep = "saved = :saved" if claim.worth_restoring else "saved = if_not_exists(saved, :saved)"
        if claim.worth_restoring and not claim.old_record and item.get("saved"):
            # A run before this one took the record away: what it saved of it stands.
            keep = "saved.policy = :policy"
            saved = {}
        # An answer may be kept for as long as its TTL said when it was given.
        ttls = [
            seen
            for seen in item.get("ttls", [])
            if instant(seen["seen_at"]) + timedelta(seconds=seen["ttl"]) > now
        ]
        ttls.append({"ttl": claim.wait_seconds, "seen_at": stamp(now)})
        values = {
            ":me": claim.execution_arn,
            ":dead": holder if dead else claim.execution_arn,
            ":now": stamp(now),
            ":id": claim.new_id,
            **({":saved": saved} if saved else {":policy": claim.policy}),
            ":ttls": ttls,
            # Until a run is confirmed, some server may go on answering as before: see open_ttl below.
            ":open": max(claim.wait_seconds, item.get("open_ttl", 0)),
        }
        ids = {claim.new_id, *claim.ids} - {""}
        if ids:  # a set cannot be empty
            values[":ids"] = ids
        try:
            self._db.transact_write_items(
                TransactItems=[
                    {
                        "Update": {
                            "TableName": self._table,
                            "Key": _typed({"domain": claim.domain, "item": DOMAIN}),
                            "UpdateExpression": "SET holder = :me, held_since = :now, ttls = :ttls, "
                            "open_ttl = :open, "
                            f"{keep}{' ADD ids :ids' if ids else ''}",
                            "ConditionExpression": "holder = :me OR ((attribute_not_exists(holder) OR"
                            " holder = :dead) AND (NOT contains(ids, :id)))",
                            "ExpressionAttributeValues": _typed(values),
                        }
                    },
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": _typed(
                                {
                                    "domain": claim.domain,
                                    "item": run_key(claim.started_at, claim.execution_arn),
                                    "execution": claim.execution_arn,
                                    "status": "running",
                                    "policy_before": claim.policy,
                                    "record_before": claim.record,
                                    **claim.run,
                                }
                            ),
                        }
                    },
                ]
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "TransactionCanceledException":
                raise
            given = [
                one.get("Code", "None") for one in error.response.get("CancellationReasons", [])
            ]
            reasons = sorted({reason for reason in given if reason != "None"})
            if reasons and "ConditionalCheckFailed" not in reasons:
                raise TransientError(f"The ledger was busy: {', '.join(reasons)}") from error
            raise self._refusal(claim) from error

    def finish(
        self,
        domain: str,
        execution_arn: str,
        started_at: str,
        *,
        run: Mapping[str, Any],
        domain_fields: Mapping[str, Any],
        id_change: Mapping[str, Any] | None = None,
    ) -> None:
        """Write how a run ended and release its claim.

        Done twice it does nothing new; a claim of another execution is left alone. A run that has an
        ``id_change`` is confirmed: no server answers as before any more, so ``open_ttl`` goes.
        """
        self._set({"domain": domain, "item": run_key(started_at, execution_arn)}, run)
        fields = dict(domain_fields)
        changes = [f"{name} = :{name}" for name in fields]
        if id_change:
            # The claim keeps every other run away, so reading and writing the list is no race.
            known = self.domain(domain).get("id_changes", [])
            now = instant(id_change["at"])
            changes.append("id_changes = :id_changes")
            fields["id_changes"] = [
                *(one for one in recent_changes(known, now) if one["at"] != id_change["at"]),
                dict(id_change),
            ]
        try:
            self._db.update_item(
                TableName=self._table,
                Key=_typed({"domain": domain, "item": DOMAIN}),
                UpdateExpression=f"SET {', '.join(changes)} REMOVE holder, held_since"
                f"{', open_ttl' if id_change else ''}",
                ConditionExpression="holder = :me",
                ExpressionAttributeValues=_typed(
                    {f":{name}": value for name, value in fields.items()} | {":me": execution_arn}
                ),
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise

    def _set(self, key: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        names = {f"#{position}": name for position, name in enumerate(fields)}
        values = {f":{position}": value for position, value in enumerate(fields.values())}
        self._db.update_item(
            TableName=self._table,
            Key=_typed(key),
            UpdateExpression="SET " + ", ".join(f"#{i} = :{i}" for i in range(len(fields))),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=_typed(values),
        )

    def _refusal(self, claim: Claim) -> Exception:
        item = self.domain(claim.domain)
        holder = item.get("holder")
        if holder and holder != claim.execution_arn:
            return DomainBusyError(
                f"Another execution holds {claim.domain}: {holder}, since {item['held_since']}. Nothing was"
                f" changed. Run again once it has ended; where it was stopped, {LONGEST_FUNCTION_SECONDS}"
                " seconds after that."
            )
        return ConcurrentChangeError(
            f"The id {claim.new_id} was used for {claim.domain} after the plan was made, and no id is ever"
            " used twice. Nothing was changed. Run again for a new plan."
        )

    def _ended_long_ago(self, execution_arn: str, now: datetime) -> bool:
        """Tell whether neither the execution nor a function that it called can still be at work."""
        if self._executions is None:
            return False
        try:
            found = self._executions().describe_execution(executionArn=execution_arn)
        except ClientError as error:
            if is_busy(error):
                raise
            # Step Functions forgets an execution 90 days after its end.
            return error.response.get("Error", {}).get("Code") == "ExecutionDoesNotExist"
        ended = found.get("stopDate")
        return ended is not None and now - ended > timedelta(seconds=LONGEST_FUNCTION_SECONDS)


def recent_changes(changes: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Give the recorded id changes that can still matter to somebody."""
    return [change for change in changes if instant(change["gone_at"]) > now - _REMEMBERED]


def run_key(started_at: str, execution_arn: str) -> str:
    """Give the sort key of a run's item: runs of a domain sort by their start."""
    return f"run#{started_at}#{execution_arn.rpartition(':')[2]}"


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(value) for name, value in values.items()}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    deserializer = TypeDeserializer()
    return {name: _native(deserializer.deserialize(value)) for name, value in item.items()}


def _native(value: Any) -> Any:
    if isinstance(value, Binary):
        return value.value  # type: ignore[attr-defined]  # missing in the stubs
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, Mapping):
        return {name: _native(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_native(inner) for inner in value]
    return value
