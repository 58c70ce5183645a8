"""The ledger in DynamoDB: one item for each domain, one for each run (the audit trail).

A domain's item holds the claim (``holder``, ``held_since``, ``holder_run``; ``free_from`` where it was cut
short), ``phase``, every id ever used, the saved policy and record, what policy and record may be by this
stack's own hand (``ours``), the moments from which exposure is computed, and what is due (see
:mod:`mta_sts.adapters.agenda`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from mta_sts.adapters.attributes import plain, typed
from mta_sts.due import Entries, first
from mta_sts.errors import (
    ConcurrentChangeError,
    DomainBusyError,
    SupersededError,
    TransientError,
)
from mta_sts.instants import instant, stamp
from mta_sts.policy import MAX_AGE_LIMIT
from mta_sts.retiring import NOT_BEFORE
from mta_sts.transient import is_busy

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_stepfunctions import SFNClient

DUE_SHARD = "due"  # the one partition of the index of what is due: thousands of domains are few
LISTED = "domains"  # the one partition of the index of all domains that a run has ever claimed
DOMAIN = "domain"  # the sort key of a domain's own item; runs have "run#<started>#<name>"
# A stopped execution's Lambda runs on to its own end, so a claim outlives its execution by this much.
LONGEST_FUNCTION_SECONDS = 60
# No policy lives longer (RFC 8461 section 3.2), nor does any cache in front or margin by the settings.
_REMEMBERED = timedelta(seconds=MAX_AGE_LIMIT) + timedelta(days=60)


@dataclass(frozen=True)
class Claim:
    """What a run takes and saves before its first write.

    ``policy`` and ``record`` are as they were; ``worth_restoring`` says that the policy is not
    already ``none``, so that a second run does not save the first one's work over the original.
    ``ids`` are those to be remembered as used; ``new_id`` is empty where the record goes. ``old_record``
    says that there is an STS record to be saved. ``wait_seconds`` is for how long an answer of before may
    be kept anywhere, as the plan has it. ``ours`` are the policies (SHA-256, empty for none) and ids
    (empty for no record) that may stand there once the run has begun, if nobody else changes them.
    ``due`` is what the sweep started the run for (kind, generation, at), None for a run by hand, of which
    ``generation`` is the one that its plan has seen.
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
    ours: Mapping[str, Any] = field(default_factory=dict)
    due: Mapping[str, Any] | None = None
    generation: int | None = None

    @property
    def key(self) -> str:
        """The sort key of the run's own item."""
        return run_key(self.started_at, self.execution_arn)


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
        return self.item(domain, DOMAIN)

    def item(self, domain: str, key: str) -> dict[str, Any]:
        """Read the item of a domain, or of one of its runs; empty where there is none."""
        found = self._db.get_item(
            TableName=self._table, Key=typed({"domain": domain, "item": key}), ConsistentRead=True
        )
        return plain(found.get("Item", {}))

    def claim(self, claim: Claim, now: datetime) -> None:
        """Take the domain for one execution, reserve the id, save policy and record.

        Taking it twice for the same execution is success. A claim whose execution ended, longer ago
        than a function can still run, is taken over. A run by hand raises the generation, which ends what
        the sweep has started under the earlier one. Raises DomainBusyError, SupersededError (what was due
        is not any more) or ConcurrentChangeError (the id was used meanwhile); nothing is written then.
        """
        item = self.domain(claim.domain)
        holder = item.get("holder", "")
        dead = holder and holder != claim.execution_arn and self.ended_long_ago(holder, now)
        # A domain that had no policy has nothing to restore; the first save stands, as does a newer
        # one of a policy that is worth it.
        saved = {"policy": claim.policy, "record": claim.record, "saved_at": stamp(now)}
        # What this stack has put there itself, a try in testing say, is saved already, or not worth it.
        own = (claim.policy or {}).get("sha256") in item.get("ours", {}).get("policies", ())
        worth = claim.worth_restoring and not own
        keep = "saved = :saved" if worth else "saved = if_not_exists(saved, :saved)"
        if worth and not claim.old_record and item.get("saved"):
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
            ":run": claim.key,
            ":ours": dict(claim.ours),
            ":listed": LISTED,
            **({":saved": saved} if saved else {":policy": claim.policy}),
            ":ttls": ttls,
            # Until a run is confirmed, some server may go on answering as before: see open_ttl below.
            ":open": max(claim.wait_seconds, item.get("open_ttl", 0)),
        }
        ids = {claim.new_id, *claim.ids} - {""}
        if ids:  # a set cannot be empty
            values[":ids"] = ids
        raised, still_due = "", ""
        names: dict[str, Any] = {}
        if claim.due is None:
            raised = ", generation = if_not_exists(generation, :none) + :one"
            values |= {":none": 0, ":one": 1}
            if claim.generation is not None:
                never = "attribute_not_exists(generation) OR " if claim.generation == 0 else ""
                still_due = f" AND ({never}generation = :planned)"
                values |= {":planned": claim.generation}
        else:
            still_due = " AND generation = :generation AND due.#kind.#at = :at"
            names = {"ExpressionAttributeNames": {"#kind": claim.due["kind"], "#at": "at"}}
            values |= {":generation": claim.due["generation"], ":at": claim.due["at"]}
        try:
            self._db.transact_write_items(
                TransactItems=[
                    {
                        "Update": {
                            "TableName": self._table,
                            "Key": typed({"domain": claim.domain, "item": DOMAIN}),
                            "UpdateExpression": "SET holder = :me, held_since = :now, holder_run = :run,"
                            " listed = :listed,"
                            f" ttls = :ttls, open_ttl = :open, ours = :ours, {keep}{raised}"
                            f" REMOVE free_from{' ADD ids :ids' if ids else ''}",
                            "ConditionExpression": "holder = :me OR ((attribute_not_exists(holder) OR"
                            " holder = :dead) AND (attribute_not_exists(free_from) OR free_from <= :now)"
                            f" AND (NOT contains(ids, :id)){still_due})",
                            "ExpressionAttributeValues": typed(values),
                            **names,  # type: ignore[typeddict-item]  # which are two or none
                        }
                    },
                    {
                        "Put": {
                            "TableName": self._table,
                            "Item": typed(
                                {
                                    "domain": claim.domain,
                                    "item": claim.key,
                                    "execution": claim.execution_arn,
                                    "status": "running",
                                    "started_at": claim.started_at,
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
        due: Entries | None = None,
        free_from: datetime | None = None,
    ) -> None:
        """Write how a run ended and release its claim.

        Done twice it does nothing new; a claim of another execution is left alone. A run that has an
        ``id_change`` is confirmed: no server answers as before any more, so ``open_ttl`` goes. Raises
        ConcurrentChangeError where such a run has lost its claim. ``due``
        takes the place of all that was due, and raises the generation; None leaves it as it is. Where
        functions of the run may still be at work, ``free_from`` is when the domain may be taken again.
        """
        self._set({"domain": domain, "item": run_key(started_at, execution_arn)}, run)
        fields = dict(domain_fields)
        changes = [f"{name} = :{name}" for name in fields]
        if id_change:
            fields["confirmed_by"] = execution_arn
            changes.append("confirmed_by = :confirmed_by")
            # The claim keeps every other run away, so reading and writing the list is no race.
            known = self.domain(domain).get("id_changes", [])
            now = instant(id_change["at"])
            changes.append("id_changes = :id_changes")
            fields["id_changes"] = [
                *(one for one in recent_changes(known, now) if one["at"] != id_change["at"]),
                dict(id_change),
            ]
        gone = ["holder", "held_since", "holder_run", *(["open_ttl"] if id_change else [])]
        if free_from:
            fields["free_from"] = stamp(free_from)
            changes.append("free_from = :free_from")
        if due is not None:
            # Whatever the sweep has started and not claimed yet is not due any more.
            changes.append("generation = if_not_exists(generation, :none) + :one")
            fields |= {"none": 0, "one": 1}
            if due:
                fields |= {"due": due, "due_at": first(due), "due_shard": DUE_SHARD}
                changes += ["due = :due", "due_at = :due_at", "due_shard = :due_shard"]
            else:
                gone += ["due", "due_at", "due_shard"]
        try:
            self._db.update_item(
                TableName=self._table,
                Key=typed({"domain": domain, "item": DOMAIN}),
                UpdateExpression=f"SET {', '.join(changes)} REMOVE {', '.join(gone)}",
                ConditionExpression="holder = :me",
                ExpressionAttributeValues=typed(
                    {f":{name}": value for name, value in fields.items()} | {":me": execution_arn}
                ),
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            confirmed_by = self.domain(domain).get("confirmed_by") if id_change else execution_arn
            if confirmed_by != execution_arn:
                raise ConcurrentChangeError(
                    f"This run does not hold {domain} any more: it was stopped, and its claim was released."
                    " What it has confirmed cannot be written down. Send the same request again; an"
                    " execution that was stopped is not to be redriven."
                ) from error

    def record(self, domain: str, key: str, run: Mapping[str, Any]) -> None:
        """Write down a run that takes no claim."""
        self._set({"domain": domain, "item": key}, run)

    def is_closed(self, domain: str, execution_arn: str) -> bool:
        """Tell whether an execution's end is on record."""
        name = execution_arn.rpartition(":")[2]
        more: dict[str, Any] = {}
        while True:
            page = self._db.query(
                TableName=self._table,
                KeyConditionExpression="#domain = :domain AND begins_with(#item, :run)",
                ExpressionAttributeNames={
                    "#domain": "domain",
                    "#item": "item",
                    "#status": "status",
                },
                ExpressionAttributeValues=typed({":domain": domain, ":run": "run#"}),
                ProjectionExpression="#item, #status",
                ConsistentRead=True,
                ScanIndexForward=False,
                **more,
            )
            for item in map(plain, page["Items"]):
                if item["item"].endswith(f"#{name}"):
                    return bool(item["status"] != "running")
            if not page.get("LastEvaluatedKey"):
                return False
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _set(self, key: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        names = {f"#{position}": name for position, name in enumerate(fields)}
        values = {f":{position}": value for position, value in enumerate(fields.values())}
        self._db.update_item(
            TableName=self._table,
            Key=typed(key),
            UpdateExpression="SET " + ", ".join(f"#{i} = :{i}" for i in range(len(fields))),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=typed(values),
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
        free_from = item.get("free_from", "")
        if free_from and not holder:
            return DomainBusyError(
                f"The last run for {claim.domain} was cut short, and what it has begun may be at work until"
                f" {free_from}. Nothing was changed. Send it again then. {NOT_BEFORE}{free_from}."
            )
        if claim.due:
            return SupersededError(
                f"What was due for {claim.domain} at {claim.due['at']} ({claim.due['kind']}) is not due any"
                " more: another run came after it. Nothing was changed, and nothing has to be done."
            )
        if claim.generation is not None and item.get("generation", 0) != claim.generation:
            return ConcurrentChangeError(
                f"Another run for {claim.domain} came after this one's plan was made, which does not hold any"
                " more. Nothing was changed. Run again for a new plan."
            )
        return ConcurrentChangeError(
            f"The id {claim.new_id} was used for {claim.domain} after the plan was made, and no id is ever"
            " used twice. Nothing was changed. Run again for a new plan."
        )

    def ended_long_ago(self, execution_arn: str, now: datetime) -> bool:
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
    """Give the recorded id changes that can still matter to somebody, and always the last."""
    known = list(changes)
    return [
        change
        for change in known
        if change is known[-1] or instant(change["gone_at"]) > now - _REMEMBERED
    ]


def run_key(started_at: str, execution_arn: str) -> str:
    """Give the sort key of a run's item: runs of a domain sort by their start."""
    return f"run#{started_at}#{execution_arn.rpartition(':')[2]}"
