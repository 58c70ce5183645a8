"""The stack's alarms in the lab: in which state each is, and what arrives of them at the topic.

local/mends_alarms.py takes the figures out of the functions' logs and counts executions and dead letters, as
AWS does. What the lab cannot bring about (throttling, an API that answers 5xx, thirty days) `pretend` tells.
"""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from local.deploy import STACK
from local.lab import Lab
from tests.workflow.life import until_true


def alarm(lab: Lab, name: str) -> dict[str, Any]:
    """Describe an alarm by its name without the stack's, as it is now."""
    found = lab.client("cloudwatch").describe_alarms(AlarmNames=[f"{STACK}-{name}"])
    (only,) = found["MetricAlarms"]
    return dict(only)


def state(lab: Lab, name: str) -> str:
    """Say in which state an alarm is now."""
    return str(alarm(lab, name)["StateValue"])


def rings(lab: Lab, name: str, patience: float = 20) -> None:
    """Return once an alarm is in ALARM."""
    until_true(f"{name} is in ALARM", lambda: state(lab, name) == "ALARM", patience)


def pretend(lab: Lab, name: str, value: float, times: int = 1) -> None:
    """Tell what an alarm looks at, under exactly its dimensions, in each of its last periods.

    Of a sum it is told for the last of what is summed up.
    """
    looked = alarm(lab, name)
    if looked.get("Metrics"):
        last = looked["Metrics"][-1]["MetricStat"]
        looked = {**last["Metric"], "Period": last["Period"]}
    now = datetime.now(UTC)
    lab.client("cloudwatch").put_metric_data(
        Namespace=looked["Namespace"],
        MetricData=[
            {
                "MetricName": looked["MetricName"],
                "Dimensions": looked["Dimensions"],
                "Timestamp": now - timedelta(seconds=number * looked["Period"]),
                "Value": value,
            }
            for number in range(times)
        ],
    )


def calm(lab: Lab, *names: str) -> None:
    """Let alarms forget what other tests of this lab have made them say: what rings is heard anew."""
    for name in names:
        lab.client("cloudwatch").set_alarm_state(
            AlarmName=f"{STACK}-{name}", StateValue="OK", StateReason="another test"
        )


@contextlib.contextmanager
def hastened(lab: Lab, name: str, seconds: int) -> Iterator[str]:
    """Make the same alarm once more, with shorter periods, for a while; give its name."""
    looked = alarm(lab, name)
    own = {"AlarmName", "AlarmArn", "Period", "AlarmConfigurationUpdatedTimestamp"}
    kept = {key: it for key, it in looked.items() if key not in own and not key.startswith("State")}
    client, full = lab.client("cloudwatch"), f"{STACK}-{name}-hastened"
    client.put_metric_alarm(**kept, Period=seconds, AlarmName=full)
    try:
        yield f"{name}-hastened"
    finally:
        client.delete_alarms(AlarmNames=[full])


class Topic:
    """What is told to people: a queue that is subscribed to the topic for notices."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._sqs, self._seen = lab.client("sqs"), list[dict[str, Any]]()
        self._url = self._sqs.create_queue(QueueName=f"topic-{name}")["QueueUrl"]
        asked = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sns.amazonaws.com"},
                    "Action": "sqs:SendMessage",
                    "Resource": asked["Attributes"]["QueueArn"],
                }
            ],
        }
        self._sqs.set_queue_attributes(
            QueueUrl=self._url, Attributes={"Policy": json.dumps(policy)}
        )
        lab.client("sns").subscribe(
            TopicArn=lab.stack_outputs["NoticeTopicArn"],
            Protocol="sqs",
            Endpoint=asked["Attributes"]["QueueArn"],
        )

    def told(self) -> list[dict[str, Any]]:
        """Return all messages so far: ``Subject`` and ``Message``."""
        while got := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in got:
                self._seen.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return list(self._seen)

    def hears(self, *words: str) -> str:
        """Return the first message that has all words, once it has arrived."""

        def heard() -> list[str]:
            texts = [f"{one.get('Subject')}\n{one['Message']}" for one in self.told()]
            return [text for text in texts if all(word in text for word in words)]

        found: list[str] = until_true(f"a notice with {words}", heard, 20)
        return found[0]
