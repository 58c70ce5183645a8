"""Listens on the event bus: what rules hand on arrives in a queue of the test."""

import json
import time
from collections.abc import Callable
from typing import Any, Self

from local.lab import Lab

PATIENCE = 15  # seconds; an event is there before its state has ended
PATTERN = {"source": ["mta-sts-off"], "detail-type": ["MTA-STS Off Notice"]}


class Queue:
    """A queue of SQS, emptied again and again."""

    def __init__(self, lab: Lab, url: str) -> None:
        self._sqs, self._url = lab.client("sqs"), url
        self._seen: list[dict[str, Any]] = []

    @property
    def arn(self) -> str:
        """Its ARN."""
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        return str(asked["Attributes"]["QueueArn"])

    def bodies(self) -> list[dict[str, Any]]:
        """Return what has come so far, in its order."""
        while True:
            got = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
            if not got.get("Messages"):
                return list(self._seen)
            for message in got["Messages"]:
                self._seen.append(json.loads(message["Body"]))
                receipt = message["ReceiptHandle"]
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)


def made(lab: Lab, name: str) -> Queue:
    """Make a queue that everybody may send to."""
    sqs = lab.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = Queue(lab, url)
    anybody = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [{**anybody, "Resource": queue.arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    return queue


class Bus:
    """The notices of one domain, as a rule of the test's own hands them on."""

    def __init__(self, lab: Lab, name: str, domain: str) -> None:
        events, self._domain = lab.client("events"), domain
        self._queue = made(lab, f"bus-{name}")
        pattern = PATTERN | {"detail": {"domain": [domain]}}
        events.put_rule(Name=f"bus-{name}", EventPattern=json.dumps(pattern))
        events.put_targets(Rule=f"bus-{name}", Targets=[{"Id": "queue", "Arn": self._queue.arn}])

    @classmethod
    def of(cls, lab: Lab, url: str, domain: str) -> Self:
        """Listen to a queue that is there, for what is about one domain."""
        listening = cls.__new__(cls)
        listening._queue, listening._domain = Queue(lab, url), domain
        return listening

    def notices(self) -> list[dict[str, Any]]:
        """Return the details of all events so far, in the order in which they came."""
        events = self._queue.bodies()
        assert all(event["source"] in PATTERN["source"] for event in events)
        assert all(event["detail-type"] in PATTERN["detail-type"] for event in events)
        return [event["detail"] for event in events if event["detail"]["domain"] == self._domain]

    def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Return the notices once they satisfy a condition; AssertionError after PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        while not condition(found := self.notices()):
            assert time.monotonic() < deadline, [one["kind"] for one in found]
            time.sleep(0.1)
        return found


class Topic:
    """What people get: the messages of the topic."""

    def __init__(self, lab: Lab, name: str, filter_policy: object = None) -> None:
        self._queue = made(lab, f"topic-{name}")
        topic = lab.stack_outputs["NoticeTopicArn"]
        more = {"FilterPolicy": json.dumps(filter_policy)} if filter_policy else {}
        lab.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=self._queue.arn, Attributes=more
        )

    def messages(self, domain: str) -> list[tuple[str, str]]:
        """Return subject and text of those so far that name a domain in their first line."""
        told = [(body["Subject"], body["Message"]) for body in self._queue.bodies()]
        return [(subject, text) for subject, text in told if domain in text.partition("\n")[0]]

    def attributes(self, domain: str) -> list[dict[str, str]]:
        """Return what those so far can be filtered by that are about a domain."""
        told = [
            {name: it["Value"] for name, it in body.get("MessageAttributes", {}).items()}
            for body in self._queue.bodies()
        ]
        return [one for one in told if one.get("domain") == domain]
