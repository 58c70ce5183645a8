"""Removes a deployed stack, unless something is due: `make remove`.

Unlike everything else in this package but `local.protect` it talks to AWS, with the caller's own
credentials.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import boto3

from local.protect import target

LEDGER, INDEX, SHARD = "LedgerTableName", "due", "due"
REFUSED = 1
KINDS = {
    "retirement": "the record is deleted",
    "restore": "the policy is put back",
    "watch": "the daily look at a drain",
    "drained": "a notice that a drain is over",
}


def pending(dynamodb: Any, table: str) -> list[tuple[str, str, str]]:
    """List what is due as (moment, domain, what), the earliest first."""
    found: list[tuple[str, str, str]] = []
    more: dict[str, Any] = {}
    while True:
        page = dynamodb.query(
            TableName=table,
            IndexName=INDEX,
            KeyConditionExpression="due_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": SHARD}},
            **more,
        )
        for key in page["Items"]:
            name = {part: key[part] for part in ("domain", "item")}
            item = dynamodb.get_item(TableName=table, Key=name, ConsistentRead=True).get("Item", {})
            found += _entries(item)
        if not page.get("LastEvaluatedKey"):
            return sorted(found)
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _entries(item: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    due = item.get("due", {}).get("M", {})
    return [
        (entry["M"]["at"]["S"], item["domain"]["S"], KINDS.get(kind, kind))
        for kind, entry in due.items()
    ]


def told(found: Iterable[tuple[str, str, str]]) -> list[str]:
    """Write what is due, a line each."""
    return [f"  {moment}  {domain}: {what}" for moment, domain, what in found]


def main(file: Path, force: str) -> int:
    """Remove the stack that this file names; return 1 where something is due and nothing forces it."""
    stack, region, profile = target(tomllib.loads(file.read_text()))
    session = boto3.Session(profile_name=profile, region_name=region)
    return remove(session.client("cloudformation"), session.client("dynamodb"), stack, force)


def remove(cloudformation: Any, dynamodb: Any, stack: str, force: str) -> int:
    """Remove a stack, unless something is due and `force` is not "yes"; return the exit status."""
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())}
    table = outputs[LEDGER]
    found = pending(dynamodb, table)
    if found:
        print(
            f"{stack} has this to do yet, which nobody does once it is removed:",
            *told(found),
            sep="\n",
        )
        if force != "yes":
            print("Nothing was removed. Wait until it is done, or: make remove FORCE=yes")
            return REFUSED
    cloudformation.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
    cloudformation.delete_stack(StackName=stack)
    print(f"{stack} is being removed. The ledger stays, with all that was saved: table {table}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
