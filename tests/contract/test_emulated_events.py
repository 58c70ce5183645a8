"""What the lab relies on in the emulator's EventBridge and Scheduler: what local/mends_events.py adds.

When a test fails after a new version of ministack, see test_emulator.py.
"""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any

import pytest

from local.deploy import runtime
from local.emulator import ACCOUNT, REGION, Emulator
from local.world.ca import CertificateAuthority
from local.world.tickets import TicketSystem

RIGHT = "Basic b3BzQGV4YW1wbGUuY29tOnRva2Vu"
HOSTILE = 'one\n"two" \\ {three} <four> \u2028 “five”'


def trust(service: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def may(action: str, resource: Any, **more: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def template(url: str, secret: str, key: str) -> dict[str, Any]:
    """A rule on source `told`, an API destination, a dead-letter queue; `Allowed` is its role."""
    reference = f"{{{{resolve:secretsmanager:{secret}:SecretString:{key}}}}}"
    rule = {
        "EventPattern": {"source": ["told"]},
        "Targets": [
            {
                "Id": "way-back",
                "Arn": {"Fn::GetAtt": ["Destination", "Arn"]},
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "InputPath": "$.detail.said",
                "HttpParameters": {"PathParameterValues": ["$.detail.ticket"]},
                "RetryPolicy": {"MaximumRetryAttempts": 2},
                "DeadLetterConfig": {"Arn": {"Fn::GetAtt": ["Letters", "Arn"]}},
            }
        ],
    }
    invoke = may("events:InvokeApiDestination", {"Fn::GetAtt": ["Destination", "Arn"]})
    letters = may(
        "sqs:SendMessage",
        {"Fn::GetAtt": ["Letters", "Arn"]},
        Principal={"Service": "events.amazonaws.com"},
        Condition={"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Told", "Arn"]}}},
    )
    authorisation = {"ApiKeyName": "Authorization", "ApiKeyValue": reference}
    return {
        "Resources": {
            "Connection": {
                "Type": "AWS::Events::Connection",
                "Properties": {
                    "AuthorizationType": "API_KEY",
                    "AuthParameters": {"ApiKeyAuthParameters": authorisation},
                },
            },
            "Destination": {
                "Type": "AWS::Events::ApiDestination",
                "Properties": {
                    "ConnectionArn": {"Fn::GetAtt": ["Connection", "Arn"]},
                    "HttpMethod": "POST",
                    "InvocationEndpoint": f"{url}/rest/api/2/issue/*/comment",
                    "InvocationRateLimitPerSecond": 5,
                },
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": "way-back",
                    "AssumeRolePolicyDocument": trust("events.amazonaws.com"),
                    "Policies": [{"PolicyName": "invoke", "PolicyDocument": invoke}],
                },
            },
            "Told": {"Type": "AWS::Events::Rule", "Properties": rule},
            "Letters": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "letters"}},
            "LettersPolicy": {
                "Type": "AWS::SQS::QueuePolicy",
                "Properties": {"Queues": [{"Ref": "Letters"}], "PolicyDocument": letters},
            },
        },
        "Outputs": {
            "Destination": {"Value": {"Ref": "Destination"}},
            "Arn": {"Value": {"Fn::GetAtt": ["Destination", "Arn"]}},
        },
    }


@dataclass(frozen=True)
class World:
    emulator: Emulator
    tickets: TicketSystem
    secret: str

    def deployed(self, key: str, verb: str = "create") -> None:
        formation = self.emulator.client("cloudformation")
        body = json.dumps(template(self.tickets.url, self.secret, key))
        getattr(formation, f"{verb}_stack")(
            StackName="told", TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        formation.get_waiter(f"stack_{verb}_complete").wait(
            StackName="told", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
        )

    def tell(self, ticket: str, text: str = "x") -> None:
        self.tickets.add(ticket)
        self.put(ticket, text)

    def put(self, ticket: str, text: str = "x") -> None:
        detail = json.dumps({"ticket": ticket, "said": {"body": text}})
        answer = self.emulator.client("events").put_events(
            Entries=[{"Source": "told", "DetailType": "Told", "Detail": detail}]
        )
        assert not answer["FailedEntryCount"]

    def asked(self, ticket: str) -> list[int]:
        return [each.status for each in self.tickets.requests() if f"/{ticket}/" in each.path]

    def letter(self, about: str, seconds: float = 30) -> tuple[Any, dict[str, str]]:
        """Wait for the dead letter that says `about`: its body, its attributes."""
        queues = self.emulator.client("sqs")
        url = queues.get_queue_url(QueueName="letters")["QueueUrl"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for message in queues.receive_message(
                QueueUrl=url,
                WaitTimeSeconds=1,
                VisibilityTimeout=0,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            ).get("Messages", []):
                if about in message["Body"]:
                    named = message.get("MessageAttributes", {}).items()
                    return message["Body"], {name: value["StringValue"] for name, value in named}
        raise AssertionError(f"no dead letter about {about}")

    def written(self, ticket: str) -> list[str]:
        deadline = time.monotonic() + 10
        while not self.tickets.written(ticket) and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.tickets.written(ticket)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("emulator")
    emulator = Emulator(folder)
    with TicketSystem("127.0.0.1", RIGHT, CertificateAuthority(folder)) as tickets:
        secret = emulator.client("secretsmanager").create_secret(
            Name="tickets", SecretString=json.dumps({"right": RIGHT, "wrong": "Basic wrong"})
        )["ARN"]
        world = World(emulator, tickets, secret)
        world.deployed("right")
        yield world
    emulator.close()


def test_a_part_of_an_event_arrives_as_it_is_with_the_secret(world: World) -> None:
    world.tell("OPS-1", HOSTILE)
    assert world.written("OPS-1") == [HOSTILE]
    [request] = [each for each in world.tickets.requests() if "OPS-1" in each.path]
    assert (request.method, request.path) == ("POST", "/rest/api/2/issue/OPS-1/comment")
    assert request.headers["authorization"] == RIGHT
    assert json.loads(request.body) == {"body": HOSTILE}


def test_an_answer_that_asks_for_it_is_tried_again_not_too_early(world: World) -> None:
    for ticket, status in (("OPS-20", 429), ("OPS-21", 500), ("OPS-22", 401), ("OPS-23", 409)):
        world.tickets.add(ticket)
        world.tickets.fail(ticket, status, times=1, retry_after="1" if status == 429 else None)
    begun = time.monotonic()
    for ticket in ("OPS-20", "OPS-21", "OPS-22", "OPS-23"):
        world.put(ticket)
    for ticket, status in (("OPS-21", 500), ("OPS-22", 401), ("OPS-23", 409)):
        assert world.written(ticket) == ["x"]
        assert world.asked(ticket) == [status, 201]
    assert world.written("OPS-20") == ["x"]
    assert time.monotonic() - begun >= 1


def test_what_is_never_delivered_becomes_a_dead_letter_with_the_event(world: World) -> None:
    world.tickets.add("OPS-30")
    world.tickets.fail("OPS-30", 503)
    world.put("OPS-30")
    body, said = world.letter("OPS-30")
    event = json.loads(body)
    assert (event["source"], event["detail"]["said"]) == ("told", {"body": "x"})
    assert world.asked("OPS-30") == [503, 503, 503]
    assert said["ERROR_CODE"] == "ERROR_FROM_TARGET"
    assert said["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert said["RETRY_ATTEMPTS"] == "2"
    assert said["RULE_ARN"].startswith(f"arn:aws:events:{REGION}:{ACCOUNT}:rule/")
    assert ":api-destination/" in said["TARGET_ARN"]
    # What nobody has is not asked for twice.
    world.put("OPS-31")
    _, said = world.letter("OPS-31")
    assert (said["ERROR_CODE"], said["ERROR_MESSAGE"]) == ("SDK_CLIENT_ERROR", "HTTP 404")
    assert world.asked("OPS-31") == [404]


def test_nothing_is_told_to_whom_no_authority_vouches_for(world: World) -> None:
    world.tickets.certificate_fault = "issuer"
    world.tell("OPS-40")
    _, said = world.letter("OPS-40")
    assert "certificate verify failed" in said["ERROR_MESSAGE"]
    world.tickets.certificate_fault = None
    assert world.asked("OPS-40") == []


def test_role_and_queue_decide_what_may_be_sent(world: World) -> None:
    iam, queues = world.emulator.client("iam"), world.emulator.client("sqs")
    granted = iam.get_role_policy(RoleName="way-back", PolicyName="invoke")["PolicyDocument"]
    url = queues.get_queue_url(QueueName="letters")["QueueUrl"]
    policy = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    iam.delete_role_policy(RoleName="way-back", PolicyName="invoke")
    try:
        world.tell("OPS-50")
        assert world.letter("OPS-50")[1]["ERROR_CODE"] == "NO_PERMISSIONS"
        queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
        world.tell("OPS-51")
        queues.set_queue_attributes(QueueUrl=url, Attributes=policy)
        world.tell("OPS-52")
        world.letter("OPS-52")
    finally:
        document = granted if isinstance(granted, str) else json.dumps(granted)
        iam.put_role_policy(RoleName="way-back", PolicyName="invoke", PolicyDocument=document)
    assert [world.asked(ticket) for ticket in ("OPS-50", "OPS-51", "OPS-52")] == [[], [], []]
    with pytest.raises(AssertionError, match="OPS-51"):
        world.letter("OPS-51", seconds=0.5)  # the later one is there already


def test_a_changed_reference_changes_what_is_sent(world: World) -> None:
    world.deployed("wrong", "update")
    try:
        world.tell("OPS-60")
        world.letter("OPS-60")
        assert world.asked("OPS-60") == [401, 401, 401]
    finally:
        world.deployed("right", "update")
    world.tell("OPS-61")
    assert world.written("OPS-61") == ["x"]


def schedule(world: World, name: str, target: str, document: dict[str, Any]) -> str:
    """Let a schedule call a target at once; return its ARN."""
    role = world.emulator.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(trust("scheduler.amazonaws.com"))
    )["Role"]["Arn"]
    world.emulator.client("iam").put_role_policy(
        RoleName=name, PolicyName="all", PolicyDocument=json.dumps(document)
    )
    request = {
        "at": "<aws.scheduler.scheduled-time>",
        "schedule": "<aws.scheduler.schedule-arn>",
        "execution": "<aws.scheduler.execution-id>",
        "attempt": "<aws.scheduler.attempt-number>",
        "name": name,
    }
    moment = datetime.now(UTC) - timedelta(seconds=1)
    made = world.emulator.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({moment:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": target,
            "RoleArn": role,
            "Input": json.dumps(request),
            "DeadLetterConfig": {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"},
        },
    )
    return str(made["ScheduleArn"])


def test_a_schedule_says_when_it_was_due_and_which_it_is(world: World) -> None:
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
    arn = schedule(world, "to-the-queue", queue, may("sqs:SendMessage", queue))
    body, _ = world.letter("to-the-queue")
    said = json.loads(body)
    due = datetime.strptime(said["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta() < datetime.now(UTC) - due < timedelta(seconds=15)
    assert (said["schedule"], said["attempt"]) == (arn, "1")
    assert len(said["execution"]) == 36


@pytest.mark.parametrize(
    ("name", "allowed", "code"),
    [("gone", "*", "NO_RESOURCE"), ("forbidden", "sqs:SendMessage", "NO_PERMISSIONS")],
)
def test_what_a_schedule_cannot_call_becomes_a_dead_letter(
    world: World, name: str, allowed: str, code: str
) -> None:
    target = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    if code == "NO_PERMISSIONS":
        target = failing(world, name)
    arn = schedule(world, name, target, may(allowed, "*"))
    body, said = world.letter(f'"{name}"')
    assert json.loads(body)["schedule"] == said["SCHEDULE_ARN"] == arn
    assert (said["ERROR_CODE"], said["TARGET_ARN"]) == (code, target)
    assert json.loads(body)["at"] == said["SCHEDULED_TIME"]


def failing(world: World, name: str) -> str:
    """Make a function that raises; return its ARN."""
    role = world.emulator.client("iam").create_role(
        RoleName=f"{name}-function",
        AssumeRolePolicyDocument=json.dumps(trust("lambda.amazonaws.com")),
    )["Role"]["Arn"]
    keep = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
    world.emulator.client("iam").put_role_policy(
        RoleName=f"{name}-function",
        PolicyName="keep",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [keep]}),
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(
            "app.py", dedent("def handler(event, context): raise LookupError(event['detail'])")
        )
    made = world.emulator.client("lambda").create_function(
        FunctionName=name,
        Runtime=runtime(),
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
    )
    return str(made["FunctionArn"])


def test_a_function_that_fails_a_rule_hands_the_event_to_its_destination(world: World) -> None:
    arn = failing(world, "raises")
    world.emulator.client("lambda").put_function_event_invoke_config(
        FunctionName="raises",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"}},
    )
    events = world.emulator.client("events")
    events.put_rule(Name="raises", EventPattern=json.dumps({"source": ["raised"]}))
    events.put_targets(Rule="raises", Targets=[{"Id": "function", "Arn": arn}])
    events.put_events(
        Entries=[{"Source": "raised", "DetailType": "x", "Detail": '{"number": "OPS-70"}'}]
    )
    body, _ = world.letter("OPS-70")
    said = json.loads(body)
    assert said["requestPayload"]["source"] == "raised"
    assert said["responsePayload"]["errorType"] == "LookupError"
