"""The ledger over the lab's real table, with a claim and an end to begin from."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from botocore.exceptions import ClientError

from local.lab import Lab
from mta_sts.adapters.ledger import Claim, Ledger
from mta_sts.instants import stamp

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
ME, OTHER = (
    "arn:aws:states:eu-west-1:1:execution:m:me",
    "arn:aws:states:eu-west-1:1:execution:m:other",
)


class FakeExecutions:
    """Step Functions' memory of executions: when each ended, None while it runs."""

    def __init__(self, **ended: datetime | None) -> None:
        self._ended = ended

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        name = executionArn.rpartition(":")[2]
        if name not in self._ended:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
        ended = self._ended[name]
        return {"status": "SUCCEEDED", "stopDate": ended} if ended else {"status": "RUNNING"}


def ledger(lab: Lab, **ended: datetime | None) -> Ledger:
    table = lab.stack_outputs["LedgerTableName"]
    return Ledger(lab.client("dynamodb"), table, lambda: cast("Any", FakeExecutions(**ended)))


def claim(domain: str, arn: str = ME, **more: Any) -> Claim:
    made = Claim(
        domain=domain,
        execution_arn=arn,
        started_at=stamp(NOW),
        new_id="new1",
        ids=("old1",),
        wait_seconds=3600,
        policy={"body": b"\x00\xffpolicy", "sha256": "aa"},
        record={"ttl": 3600, "values": ['"v=STSv1; id=old1;"']},
        worth_restoring=True,
        old_record=True,
        run={"method": "none-policy", "ticket": "CHG-1"},
    )
    return replace(made, **more)


def end(book: Ledger, domain: str, arn: str = ME, **more: Any) -> None:
    book.finish(
        domain, arn, stamp(NOW), run={"status": "failed"}, domain_fields={"phase": "x"}, **more
    )


def change(identity: str, gone_at: datetime) -> dict[str, str]:
    return {"id": identity, "at": stamp(gone_at), "gone_at": stamp(gone_at)}


def hold(lab: Lab, domain: str, arn: str) -> None:
    """Give the domain back to an execution, as though it had not been released."""
    lab.client("dynamodb").update_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        UpdateExpression="SET holder = :me, held_since = :now",
        ExpressionAttributeValues={":me": {"S": arn}, ":now": {"S": stamp(NOW)}},
    )
