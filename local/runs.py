"""Executions of the state machine, started and watched as an administrator would."""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25


@dataclass(frozen=True)
class Run:
    """One execution. Every property asks anew, until the execution has ended."""

    client: "SFNClient"
    arn: str

    @classmethod
    def start(cls, client: "SFNClient", machine_arn: str, event: object) -> Self:
        """Start an execution whose input is `event` as JSON."""
        # Some bad inputs are not JSON objects, and must reach the machine as they are.
        answer = client.start_execution(stateMachineArn=machine_arn, input=json.dumps(event))
        return cls(client, answer["executionArn"])

    @property
    def status(self) -> str:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED."""
        return str(self._described()["status"])

    @property
    def output(self) -> Any:
        """The parsed output; None while it runs and when it failed."""
        text = self._described().get("output")
        return None if text is None or self.status != "SUCCEEDED" else json.loads(text)

    @property
    def error(self) -> str | None:
        """The name of the error that it failed with."""
        return self._described().get("error")

    @property
    def cause(self) -> str | None:
        """The text that it failed with."""
        return self._described().get("cause")

    @property
    def history(self) -> list[dict[str, Any]]:
        """All events so far, oldest first, as GetExecutionHistory gives them."""
        pages = self.client.get_paginator("get_execution_history").paginate(
            executionArn=self.arn, includeExecutionData=True
        )
        return [dict(event) for page in pages for event in page["events"]]

    @property
    def states(self) -> list[str]:
        """The names of the states entered so far, in order, those of branches included."""
        entered = (event.get("stateEnteredEventDetails") for event in self.history)
        return [details["name"] for details in entered if details]

    def wait(self, timeout: float = 120) -> Self:
        """Return once it has ended; TimeoutError, with the states it went through, otherwise."""
        deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
        while self.status == "RUNNING":
            if time.monotonic() > deadline:
                path = " → ".join(self.states)
                raise TimeoutError(f"{self.arn} still runs after {timeout} s, in: {path}")
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return self

    def stop(self) -> None:
        """Stop the execution, as an administrator may."""
        self.client.stop_execution(executionArn=self.arn, error="Stopped", cause="by hand")

    def _described(self) -> dict[str, Any]:
        return dict(self.client.describe_execution(executionArn=self.arn))
