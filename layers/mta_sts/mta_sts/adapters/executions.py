"""Reads executions of the state machine by the names of runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

_PAGE = 500  # events; with their data they are large
_PAGES = 6


@dataclass(frozen=True)
class Execution:
    """An execution: ``status`` as Step Functions has it, ``input`` and ``output`` as JSON says them."""

    arn: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    input: Any
    output: Any
    error: str
    cause: str


class Executions:
    """Looks at executions; starts and stops none."""

    def __init__(self, client: "SFNClient", machine: str) -> None:
        self._client = client
        self._machine = machine

    def find(self, name: str) -> Execution | None:
        """Give an execution; None where there is none of the name, or none any more."""
        arn = f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            found = self._client.describe_execution(executionArn=arn)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ExecutionDoesNotExist":
                raise
            return None
        return Execution(
            arn=arn,
            status=found["status"],
            started_at=found["startDate"],
            ended_at=found.get("stopDate"),
            input=json.loads(found.get("input") or "null"),
            output=json.loads(found.get("output") or "null"),
            error=found.get("error") or "",
            cause=found.get("cause") or "",
        )

    def events(self, arn: str) -> tuple[list[Mapping[str, Any]], bool]:
        """Give the events of an execution, oldest first, and whether these are all of them.

        Of a very long one the latest are given.
        """
        events: list[Mapping[str, Any]] = []
        more: dict[str, Any] = {}
        for _ in range(_PAGES):
            page = self._client.get_execution_history(
                executionArn=arn, maxResults=_PAGE, reverseOrder=True, **more
            )
            events += page["events"]
            if not page.get("nextToken"):
                return events[::-1], True
            more = {"nextToken": page["nextToken"]}
        return events[::-1], False
