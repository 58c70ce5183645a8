"""What the lab relies on in its AWS emulator, above all what local/mends.py adds to it.

When a test fails after a new version of ministack, either the mend must be adapted, or ministack
has learnt the thing and the mend can go: take it out and see whether its test still passes.
"""

import io
import json
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import emulator as emulators
from local.emulator import Emulator
from local.runs import Run

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()


def with_policy(emulator: Emulator, name: str, *statements: dict[str, Any]) -> dict[str, str]:
    """Make a user with these permissions; return the credentials."""
    iam = emulator.client("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }


def function(emulator: Emulator, name: str, code: str) -> str:
    """Make a Python function of this code; return its ARN."""
    role = emulator.client("iam").create_role(
        RoleName=f"{name}-role", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("app.py", dedent(code))
    made = emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
        Timeout=60,
    )
    return str(made["FunctionArn"])


def ran(emulator: Emulator, name: str, states: dict[str, Any]) -> Run:
    """Make a state machine of these states, the first one first, and run it to its end."""
    role = emulator.client("iam").create_role(
        RoleName=f"{name}-machine", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    machines = emulator.client("stepfunctions")
    machine = machines.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role
    )["stateMachineArn"]
    return Run.start(machines, machine, {"number": 7}).wait(30)


def zone(emulator: Emulator, name: str) -> str:
    """Make a public hosted zone; return its id."""
    made = emulator.client("route53").create_hosted_zone(Name=name, CallerReference=name)
    return str(made["HostedZone"]["Id"]).removeprefix("/hostedzone/")


def change(action: str, name: str, value: str, kind: str = "TXT", ttl: int = 5) -> dict[str, Any]:
    record_set = {
        "Name": name,
        "Type": kind,
        "TTL": ttl,
        "ResourceRecords": [{"Value": value}],
    }
    return {"Action": action, "ResourceRecordSet": record_set}


def submit(route53: Any, zone_id: str, *changes: dict[str, Any]) -> str:
    answer = route53.change_resource_record_sets(
        HostedZoneId=zone_id, ChangeBatch={"Changes": list(changes)}
    )
    return str(answer["ChangeInfo"]["Id"]).removeprefix("/change/")


def values(emulator: Emulator, zone_id: str, name: str) -> list[str]:
    listed = emulator.client("route53").list_resource_record_sets(HostedZoneId=zone_id)
    return [
        record["Value"]
        for record_set in listed["ResourceRecordSets"]
        if record_set["Name"] == f"{name}." and record_set["Type"] == "TXT"
        for record in record_set["ResourceRecords"]
    ]


def error_code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


# --- functions and the state machine


def test_an_exceptions_class_and_message_reach_the_state_machine(emulator: Emulator) -> None:
    arn = function(
        emulator,
        "odd",
        """
        class OddError(Exception): ...

        def handler(event, context):
            raise OddError("found: two\\nlines")
        """,
    )
    # Only a name that is caught exactly leads to Caught; the other clause comes first on purpose.
    catch = [
        {"ErrorEquals": ["Exception", "Runtime.HandlerError"], "Next": "Wrong"},
        {"ErrorEquals": ["OddError"], "Output": "{% $states.errorOutput %}", "Next": "Caught"},
    ]
    states = {
        "Try": {"Type": "Task", "Resource": arn, "Catch": catch, "End": True},
        "Caught": {"Type": "Pass", "End": True},
        "Wrong": {"Type": "Fail", "Error": "Wrong"},
    }
    run = ran(emulator, "odd", states)
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["Error"] == "OddError"
    assert json.loads(run.output["Cause"]) == {
        "errorType": "OddError",
        "errorMessage": "found: two\nlines",
    }


def test_a_history_tells_what_each_attempt_was_sent(emulator: Emulator) -> None:
    arn = function(emulator, "fails", "def handler(event, context): raise KeyError(event['n'])")
    retry = [{"ErrorEquals": ["KeyError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    sent = {
        "FunctionName": arn,
        "Payload": {
            "n": "{% $states.input.number %}",
            "try": "{% $states.context.State.RetryCount %}",
        },
    }
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Arguments": sent}
    run = ran(emulator, "fails", {"Fail": {**task, "Retry": retry, "End": True}})
    scheduled = [event.get("taskScheduledEventDetails") for event in run.history]
    assert [json.loads(details["parameters"]) for details in scheduled if details] == [
        {"FunctionName": arn, "Payload": {"n": 7, "try": attempt}} for attempt in (0, 1)
    ]


def test_what_a_state_publishes_has_its_attributes(emulator: Emulator) -> None:
    """Subscriptions of the topic filter by them."""
    sns, sqs = emulator.client("sns"), emulator.client("sqs")
    topic = sns.create_topic(Name="told")["TopicArn"]
    url = sqs.create_queue(QueueName="told")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    queue = asked["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}}
    policy = {"Statement": [{**statement, "Action": "sqs:SendMessage", "Resource": queue}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue,
        Attributes={"FilterPolicy": json.dumps({"kind": ["bad"]})},
    )
    states = {
        kind: {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Arguments": {
                "TopicArn": topic,
                "Message": kind,
                "MessageAttributes": {"kind": {"DataType": "String", "StringValue": kind}},
            },
            **({"Next": "bad"} if kind == "good" else {"End": True}),
        }
        for kind in ("good", "bad")
    }
    assert ran(emulator, "tells", states).status == "SUCCEEDED"
    [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    told = json.loads(message["Body"])
    assert told["Message"] == "bad"
    assert told["MessageAttributes"] == {"kind": {"Type": "String", "Value": "bad"}}


def test_a_worker_outlives_an_exception_that_it_raises(emulator: Emulator) -> None:
    function(
        emulator,
        "stubborn",
        """
        calls = []

        def handler(event, context):
            calls.append(event)
            if event == "crash":
                raise SystemExit
            raise LookupError(f"call {len(calls)}")
        """,
    )

    def told(event: str) -> dict[str, str]:
        answer = emulator.client("lambda").invoke(
            FunctionName="stubborn", Payload=json.dumps(event)
        )
        assert answer["FunctionError"] == "Unhandled"
        return dict(json.load(answer["Payload"]))

    # Its memory stays, as that of an execution environment does on AWS …
    for number in (1, 2, 3):
        assert told("raise") == {"errorType": "LookupError", "errorMessage": f"call {number}"}
    # … unless the process itself ends.
    assert told("crash")["errorType"] != "LookupError"
    assert told("raise")["errorMessage"] == "call 1"


def test_a_function_has_nothing_but_its_role(emulator: Emulator) -> None:
    function(
        emulator,
        "poor",
        """
        import boto3

        def handler(event, context):
            boto3.client("s3").list_buckets()
        """,
    )
    answer = emulator.client("lambda").invoke(FunctionName="poor")
    problem = json.load(answer["Payload"])
    assert problem["errorType"] == "AccessDenied", problem
    assert "s3:ListAllMyBuckets" in problem["errorMessage"]


# --- Route 53

NAMES, TYPES, ACTIONS = (
    f"route53:ChangeResourceRecordSets{key}"
    for key in ("NormalizedRecordNames", "RecordTypes", "Actions")
)


def guarded(zone_id: str) -> dict[str, Any]:
    """Allow TXT at _mta-sts.* by DELETE and CREATE; the Null guard denies where keys are absent."""
    return {
        "Effect": "Allow",
        "Action": "route53:ChangeResourceRecordSets",
        "Resource": f"arn:aws:route53:::hostedzone/{zone_id}",
        "Condition": {
            "Null": {NAMES: "false", TYPES: "false", ACTIONS: "false"},
            "ForAllValues:StringLike": {NAMES: ["_mta-sts.*"]},
            "ForAllValues:StringEquals": {TYPES: ["TXT"], ACTIONS: ["CREATE", "DELETE"]},
        },
    }


@pytest.fixture(scope="module")
def guarded_zone(emulator: Emulator) -> tuple[Any, str]:
    zone_id = zone(emulator, "guarded.example")
    keys = with_policy(emulator, "guarded", guarded(zone_id))
    return emulator.client("route53", **keys), zone_id


def test_the_condition_keys_allow_what_they_name(
    emulator: Emulator, guarded_zone: tuple[Any, str]
) -> None:
    route53, zone_id = guarded_zone
    # Capitals and a final dot are normalised before they are compared.
    submit(route53, zone_id, change("CREATE", "_MTA-STS.Guarded.example.", '"v=STSv1; id=1;"'))
    assert values(emulator, zone_id, "_MTA-STS.Guarded.example") == ['"v=STSv1; id=1;"']


@pytest.mark.parametrize(
    "batch",
    [
        [change("CREATE", "www.guarded.example", '"text"')],
        [change("CREATE", "_mta-sts.b.guarded.example", "192.0.2.1", kind="A")],
        [change("UPSERT", "_mta-sts.c.guarded.example", '"v=STSv1; id=2;"')],
        [  # all of a batch counts, not its first change
            change("CREATE", "_mta-sts.d.guarded.example", '"v=STSv1; id=2;"'),
            change("CREATE", "_smtp._tls.guarded.example", '"v=TLSRPTv1;"'),
        ],
    ],
    ids=["name", "type", "action", "one of two"],
)
def test_the_condition_keys_deny_everything_else(
    guarded_zone: tuple[Any, str], batch: list[dict[str, Any]]
) -> None:
    route53, zone_id = guarded_zone
    with pytest.raises(ClientError) as caught:
        submit(route53, zone_id, *batch)
    assert error_code(caught) == "AccessDenied"


def test_get_change_is_allowed_by_the_arn_of_changes(emulator: Emulator) -> None:
    zone_id = zone(emulator, "pending.example")
    change_id = submit(
        emulator.client("route53"), zone_id, change("CREATE", "pending.example", '"x"')
    )
    allow = {"Effect": "Allow", "Action": "route53:GetChange"}
    right = with_policy(emulator, "reader", allow | {"Resource": "arn:aws:route53:::change/*"})
    wrong = with_policy(emulator, "other", allow | {"Resource": "arn:aws:route53:::hostedzone/*"})
    answer = emulator.client("route53", **right).get_change(Id=change_id)
    assert answer["ChangeInfo"]["Status"] == "PENDING"
    with pytest.raises(ClientError) as caught:
        emulator.client("route53", **wrong).get_change(Id=change_id)
    assert error_code(caught) == "AccessDenied"


def test_delete_and_create_are_a_compare_and_swap(emulator: Emulator) -> None:
    route53, zone_id = emulator.client("route53"), zone(emulator, "swap.example")
    name, old, new = "_mta-sts.swap.example", '"v=STSv1; id=1;"', '"v=STSv1; id=2;"'
    submit(route53, zone_id, change("CREATE", name, old))
    for stale in (
        change("DELETE", name, '"v=STSv1; id=0;"'),
        change("DELETE", name, old, ttl=6),
    ):
        with pytest.raises(ClientError) as caught:
            submit(route53, zone_id, stale, change("CREATE", name, new))
        assert error_code(caught) == "InvalidChangeBatch"
        assert values(emulator, zone_id, name) == [old]
    with pytest.raises(ClientError) as caught:  # CREATE alone does not replace
        submit(route53, zone_id, change("CREATE", name, new))
    assert error_code(caught) == "InvalidChangeBatch"
    submit(route53, zone_id, change("DELETE", name, old), change("CREATE", name, new))
    assert values(emulator, zone_id, name) == [new]


# --- S3


def test_if_match_refuses_to_overwrite_another_version(emulator: Emulator) -> None:
    s3, where = emulator.client("s3"), {"Bucket": "mta-sts.match.example", "Key": "policy"}
    s3.create_bucket(Bucket=where["Bucket"])
    seen = s3.put_object(**where, Body=b"one")["ETag"]
    s3.put_object(**where, Body=b"two")
    with pytest.raises(ClientError) as caught:
        s3.put_object(**where, Body=b"three", IfMatch=seen)
    assert error_code(caught) == "PreconditionFailed"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get_object(**where)["Body"].read() == b"two"


# --- CloudFront


@pytest.fixture
def distribution(emulator: Emulator, request: pytest.FixtureRequest) -> str:
    host = f"{request.node.name.replace('_', '-')}.example"
    cache = {
        "TargetOriginId": "policies",
        "ViewerProtocolPolicy": "https-only",
        "MinTTL": 0,
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
    }
    origin = {"Id": "policies", "DomainName": host, "S3OriginConfig": {"OriginAccessIdentity": ""}}
    made = emulator.client("cloudfront").create_distribution(
        DistributionConfig={
            "CallerReference": host,
            "Comment": "",
            "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": cache,
        }
    )
    return str(made["Distribution"]["Id"])


def invalidate(cloudfront: Any, distribution: str, reference: str, *paths: str) -> dict[str, Any]:
    batch = {"CallerReference": reference, "Paths": {"Quantity": len(paths), "Items": list(paths)}}
    answer = cloudfront.create_invalidation(DistributionId=distribution, InvalidationBatch=batch)
    return dict(answer["Invalidation"])


def statuses(cloudfront: Any, distribution: str) -> dict[str, str]:
    """Return what both ways of asking agree on."""
    listed = cloudfront.list_invalidations(DistributionId=distribution)["InvalidationList"]
    found = {each["Id"]: each["Status"] for each in listed.get("Items", [])}
    for each, status in found.items():
        answer = cloudfront.get_invalidation(DistributionId=distribution, Id=each)
        assert answer["Invalidation"]["Status"] == status
    return found


def test_an_invalidation_completes_only_when_it_is_released(
    emulator: Emulator, distribution: str
) -> None:
    cloudfront = emulator.client("cloudfront")
    before = invalidate(cloudfront, distribution, "before", "/a")
    emulator.hold_invalidations(distribution)
    held = invalidate(cloudfront, distribution, "held", "/a")
    assert (before["Status"], held["Status"]) == ("Completed", "InProgress")
    expected = {before["Id"]: "Completed", held["Id"]: "InProgress"}
    assert statuses(cloudfront, distribution) == expected
    emulator.release_invalidations(distribution)
    assert statuses(cloudfront, distribution) == dict.fromkeys(expected, "Completed")


def test_a_hold_is_for_one_distribution(emulator: Emulator, distribution: str) -> None:
    emulator.hold_invalidations("EANOTHERONE")
    made = invalidate(emulator.client("cloudfront"), distribution, "free", "/a")
    assert made["Status"] == "Completed"


def test_the_same_caller_reference_and_paths_give_the_earlier_invalidation(
    emulator: Emulator, distribution: str
) -> None:
    cloudfront = emulator.client("cloudfront")
    first = invalidate(cloudfront, distribution, "once", "/a", "/b")
    assert invalidate(cloudfront, distribution, "once", "/b", "/a")["Id"] == first["Id"]
    assert list(statuses(cloudfront, distribution)) == [first["Id"]]
    with pytest.raises(ClientError) as caught:
        invalidate(cloudfront, distribution, "once", "/c")
    assert error_code(caught) == "InvalidationBatchAlreadyExists"


# --- the process


def test_it_listens_on_loopback_only_and_ends_with_its_parent(tmp_path: Path) -> None:
    script = dedent(
        """
        import sys, time
        from pathlib import Path
        from local.emulator import Emulator
        running = Emulator(Path(sys.argv[1]))
        print(running.endpoint_url, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "emulator")],
        cwd=Path(emulators.__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        host, _, port = parent.stdout.readline().strip().removeprefix("http://").partition(":")
        assert host == "127.0.0.1"
        with socket.create_connection((host, int(port)), timeout=5):
            pass
        parent.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) != 0:
                return
    pytest.fail("the emulator outlives a parent that was killed")
