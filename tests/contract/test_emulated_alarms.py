"""What the lab relies on in the emulator's CloudWatch: what local/mends_alarms.py adds.

Figures out of functions' logs are proven by tests/workflow/test_runbook.py. When a test fails after a new
version of ministack, see test_emulator.py.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.emulator import ACCOUNT, Emulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(Path(tmp_path_factory.mktemp("emulator")))
    yield running
    running.close()


def state(emulator: Emulator, name: str) -> str:
    alarms = emulator.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(alarms[0]["StateValue"])


def alarm(emulator: Emulator, name: str, **more: Any) -> str:
    """Make an alarm at 1, over a period of five minutes; return its name."""
    given: dict[str, Any] = {
        "Namespace": "test",
        "MetricName": name,
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1,
        "TreatMissingData": "notBreaching",
    }
    emulator.client("cloudwatch").put_metric_alarm(AlarmName=name, **given | more)
    return name


def tell(emulator: Emulator, name: str, value: float, seconds: int = 0, **dimensions: str) -> None:
    """Tell a figure of so many seconds ago."""
    datum = {
        "MetricName": name,
        "Value": value,
        "Timestamp": datetime.now(UTC) - timedelta(seconds=seconds),
        "Dimensions": [{"Name": key, "Value": it} for key, it in dimensions.items()],
    }
    emulator.client("cloudwatch").put_metric_data(Namespace="test", MetricData=[datum])


def test_an_alarm_looks_at_its_own_dimensions_only(emulator: Emulator) -> None:
    mine = alarm(emulator, "mine", Dimensions=[{"Name": "service", "Value": "me"}])
    tell(emulator, mine, 1, service="other")
    tell(emulator, mine, 1)
    assert state(emulator, mine) == "OK"
    tell(emulator, mine, 1, service="me")
    assert state(emulator, mine) == "ALARM"


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        ("notBreaching", "OK"),
        ("breaching", "ALARM"),
        ("ignore", "INSUFFICIENT_DATA"),
        ("missing", "INSUFFICIENT_DATA"),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(
    emulator: Emulator, missing: str, found: str
) -> None:
    """Nobody has to tell any figure for that."""
    assert state(emulator, alarm(emulator, missing, TreatMissingData=missing)) == found


def test_every_period_counts_by_itself(emulator: Emulator) -> None:
    twice = alarm(emulator, "twice", EvaluationPeriods=2)
    tell(emulator, twice, 9)
    assert state(emulator, twice) == "OK"
    tell(emulator, twice, 1, seconds=301)
    assert state(emulator, twice) == "ALARM"


def test_a_queue_that_is_not_empty_is_seen(emulator: Emulator) -> None:
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName="letters")["QueueUrl"]
    full = alarm(
        emulator,
        "full",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Statistic="Maximum",
        Dimensions=[{"Name": "QueueName", "Value": "letters"}],
    )
    assert state(emulator, full) == "OK"
    sqs.send_message(QueueUrl=url, MessageBody="lost")
    assert state(emulator, full) == "ALARM"


def test_executions_that_fail_are_counted_for_their_machine(emulator: Emulator) -> None:
    trust = {"Service": "states.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    emulator.client("iam").create_role(
        RoleName="fails", AssumeRolePolicyDocument=json.dumps(document)
    )
    client = emulator.client("stepfunctions")
    machine = client.create_state_machine(
        name="fails",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/fails",
        definition=json.dumps(
            {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "E", "Cause": "c"}}}
        ),
    )["stateMachineArn"]
    for name, whose in (("failed", machine), ("others", f"{machine}-other")):
        alarm(
            emulator,
            name,
            Namespace="AWS/States",
            MetricName="ExecutionsFailed",
            Dimensions=[{"Name": "StateMachineArn", "Value": whose}],
        )
    client.start_execution(stateMachineArn=machine)
    deadline = time.monotonic() + 20
    while state(emulator, "failed") != "ALARM":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert state(emulator, "others") == "OK"
