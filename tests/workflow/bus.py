"""Listens on the event bus: what rules hand on arrives in a queue of the test."""

import json
import time
from collections.abc import Callable
from typing import Any

from local.lab import Lab
from tests.workflow.watch import PATIENCE

PATTERN = {"source": ["mta-sts-off"], "detail-type": ["MTA-STS Off Notice"]}


class Bus:
    """A rule for the notices of some domains, and the queue that it sends them to."""

    def __init__(self, lab: Lab, name: str, *domains: str) -> None:
        sqs, events = lab.client("sqs"), lab.client("events")
        self._sqs, self._seen = sqs, list[dict[str, Any]]()
        self._url = sqs.create_queue(QueueName=f"bus-{name}")["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        pattern: dict[str, Any] = dict(PATTERN)
        if domains:
            pattern["detail"] = {"domain": list(domains)}
        events.put_rule(Name=f"bus-{name}", EventPattern=json.dumps(pattern))
        target = {"Id": "queue", "Arn": asked["Attributes"]["QueueArn"]}
        events.put_targets(Rule=f"bus-{name}", Targets=[target])

    def notices(self) -> list[dict[str, Any]]:
        """Return the details of all events so far, in the order in which they came."""
        while True:
            got = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
            if not got.get("Messages"):
                return list(self._seen)
            for message in got["Messages"]:
                event = json.loads(message["Body"])
                assert (event["source"], event["detail-type"]) == (
                    PATTERN["source"][0],
                    PATTERN["detail-type"][0],
                )
                self._seen.append(event["detail"])
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Return the notices once they satisfy a condition; AssertionError after PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        while not condition(found := self.notices()):
            assert time.monotonic() < deadline, [one["kind"] for one in found]
            time.sleep(0.1)
        return found
