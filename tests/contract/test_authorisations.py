"""What the emulator decides for roles is written down; S3 and Lambda's log ask for all that AWS asks for."""

import io
import json
import sys
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator import ACCOUNT, REGION, Authorisation, Emulator

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/of-the-policies"
BUCKET, OBJECT = "mta-sts.asked.example", "policy"
BUCKET_ARN, OBJECT_ARN = f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/{OBJECT}"
WHERE = {"Bucket": BUCKET, "Key": OBJECT}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def encrypted(emulator: Emulator) -> str:
    """A bucket whose objects a KMS key encrypts, with one object in it; its version."""
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
        },
    )
    return str(s3.put_object(**WHERE, Body=b"one")["VersionId"])


def allowed(*actions: str, on: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on}


def make_role(emulator: Emulator, name: str, *statements: dict[str, Any]) -> str:
    """Make a role that functions and the account may assume; return its ARN."""
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    iam = emulator.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document(*statements))
    return str(made["Role"]["Arn"])


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def as_role(emulator: Emulator, service: str, name: str, *statements: dict[str, Any]) -> Any:
    """Return a client of somebody who has assumed a role with these permissions."""
    arn = make_role(emulator, name, *statements)
    lent = emulator.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    return emulator.client(
        service,
        aws_access_key_id=lent["AccessKeyId"],
        aws_secret_access_key=lent["SecretAccessKey"],
        aws_session_token=lent["SessionToken"],
    )


def asked(emulator: Emulator, role: str) -> list[Authorisation]:
    return [each for each in emulator.authorisations() if each.role == role]


def decisions(emulator: Emulator, role: str) -> list[tuple[str, str, str]]:
    return [(each.action, each.resource, each.decision) for each in asked(emulator, role)]


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


# --- what is written down


def test_what_a_role_asks_for_is_written_down_with_the_decision(emulator: Emulator) -> None:
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/mine"
    mine = allowed("dynamodb:GetItem", on=table)
    denied = {"Effect": "Deny", "Action": "dynamodb:Scan", "Resource": "*"}
    client = as_role(emulator, "dynamodb", "reader", mine, denied)
    with pytest.raises(ClientError) as caught:
        client.get_item(TableName="mine", Key={"key": {"S": "1"}})
    assert code(caught) == "ResourceNotFoundException"  # allowed, but there is none
    for call in (client.scan, client.query):
        with pytest.raises(ClientError) as caught:
            call(TableName="mine")
        assert code(caught) == "AccessDeniedException"
    assert decisions(emulator, "reader") == [
        ("dynamodb:GetItem", table, "Allow"),
        ("dynamodb:Scan", table, "Deny"),
        ("dynamodb:Query", table, "ImplicitDeny"),
    ]


def test_each_part_of_a_transaction_is_written_down(emulator: Emulator) -> None:
    client = as_role(emulator, "dynamodb", "writer", allowed("dynamodb:PutItem"))
    key = {"key": {"S": "1"}}
    with pytest.raises(ClientError):
        client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": "one", "Item": key}},
                {"Delete": {"TableName": "two", "Key": key}},
            ]
        )
    assert [(action, decision) for action, _, decision in decisions(emulator, "writer")] == [
        ("dynamodb:PutItem", "Allow"),
        ("dynamodb:DeleteItem", "ImplicitDeny"),
    ]


def test_the_context_has_the_condition_keys(emulator: Emulator) -> None:
    route53 = emulator.client("route53")
    zone = route53.create_hosted_zone(Name="keys.example", CallerReference="keys")
    client = as_role(emulator, "route53", "dns", allowed("route53:ChangeResourceRecordSets"))
    record = {"Name": "_mta-sts.keys.example.", "Type": "TXT", "TTL": 5}
    values = {"ResourceRecords": [{"Value": '"v=STSv1; id=1;"'}]}
    client.change_resource_record_sets(
        HostedZoneId=zone["HostedZone"]["Id"],
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": {**record, **values}}]},
    )
    (given,) = asked(emulator, "dns")
    prefix = "route53:changeresourcerecordsets"
    assert {
        name.removeprefix(prefix): value
        for name, value in given.context["service_context"].items()
        if name.startswith(prefix)
    } == {
        "normalizedrecordnames": ["_mta-sts.keys.example"],
        "recordtypes": ["TXT"],
        "actions": ["CREATE"],
    }


def test_the_administrator_is_not_written_down(emulator: Emulator) -> None:
    before = len(emulator.authorisations())
    emulator.client("s3").list_buckets()
    assert len(emulator.authorisations()) == before


# --- what S3 asks for beside the action itself


@pytest.mark.parametrize(
    ("may_list", "told"), [(True, ("NoSuchKey", "404")), (False, ("AccessDenied", "403"))]
)
def test_a_missing_object_is_told_only_to_who_may_list(
    emulator: Emulator, encrypted: str, told: tuple[str, str], *, may_list: bool
) -> None:
    role = f"lists-{may_list}"
    more = [allowed("s3:ListBucket", on=BUCKET_ARN)] if may_list else []
    client = as_role(emulator, "s3", role, allowed("s3:GetObject"), *more)
    for ask, said in zip((client.get_object, client.head_object), told, strict=True):
        with pytest.raises(ClientError) as caught:
            ask(Bucket=BUCKET, Key="missing")
        assert code(caught) == said
    listing = ("s3:ListBucket", BUCKET_ARN, "Allow" if may_list else "ImplicitDeny")
    assert decisions(emulator, role).count(listing) == 2


@pytest.mark.parametrize("version", [False, True], ids=["present", "version"])
@pytest.mark.parametrize("key", [KEY, f"{KEY}-other"])
def test_reading_needs_the_key(
    emulator: Emulator, encrypted: str, key: str, *, version: bool
) -> None:
    role, more = f"decrypts-{key == KEY}-{version}", {"VersionId": encrypted} if version else {}
    reading = allowed("s3:GetObject", "s3:GetObjectVersion", on=OBJECT_ARN)
    client = as_role(emulator, "s3", role, reading, allowed("kms:Decrypt", on=key))
    if key == KEY:
        assert client.get_object(**WHERE, **more)["Body"].read() == b"one"
    else:
        with pytest.raises(ClientError) as caught:
            client.get_object(**WHERE, **more)
        assert code(caught) == "AccessDenied"
    decision = "Allow" if key == KEY else "ImplicitDeny"
    assert ("kms:Decrypt", KEY, decision) in decisions(emulator, role)


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:Decrypt"])
def test_writing_needs_a_key_of_its_own(emulator: Emulator, encrypted: str, action: str) -> None:
    role, where = action.replace(":", "-"), {"Bucket": BUCKET, "Key": action}
    writing = allowed("s3:PutObject", on=f"{BUCKET_ARN}/*")
    client = as_role(emulator, "s3", role, writing, allowed(action, on=KEY))
    if action == "kms:GenerateDataKey":
        client.put_object(**where, Body=b"two")
        return
    with pytest.raises(ClientError) as caught:
        client.put_object(**where, Body=b"two")
    assert code(caught) == "AccessDenied"


def test_tags_need_a_permission_of_their_own(emulator: Emulator) -> None:
    emulator.client("s3").create_bucket(Bucket="mta-sts.tags.example")
    client = as_role(emulator, "s3", "tags", allowed("s3:PutObject"))
    where = {"Bucket": "mta-sts.tags.example", "Key": "policy"}
    for tagging in ({}, {"Tagging": ""}):
        client.put_object(**where, Body=b"one", **tagging)
    with pytest.raises(ClientError) as caught:
        client.put_object(**where, Body=b"two", Tagging="team=mail")
    assert code(caught) == "AccessDenied"
    tagged = ("s3:PutObjectTagging", "arn:aws:s3:::mta-sts.tags.example/policy", "ImplicitDeny")
    assert decisions(emulator, "tags").count(tagged) == 1


# --- who may publish


@pytest.mark.parametrize("granted", [True, False])
def test_a_topic_is_open_to_whose_role_says_so(emulator: Emulator, *, granted: bool) -> None:
    """CloudFormation's too: its default policy names the owner, and nobody else."""
    stack = f"topic-{granted}"
    emulator.client("cloudformation").create_stack(
        StackName=stack,
        TemplateBody=json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}),
    )
    emulator.client("cloudformation").get_waiter("stack_create_complete").wait(StackName=stack)
    made = emulator.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId="Topic"
    )
    topic = made["StackResourceDetail"]["PhysicalResourceId"]
    client = as_role(emulator, "sns", stack, *[allowed("sns:Publish", on=topic)] * granted)
    if granted:
        assert client.publish(TopicArn=topic, Message="told")["MessageId"]
        return
    with pytest.raises(ClientError) as caught:
        client.publish(TopicArn=topic, Message="told")
    assert code(caught) == "AuthorizationError"


@pytest.mark.parametrize(
    ("source", "kind", "passes"),
    [("ours", "Told", True), ("others", "Told", False), ("ours", "Other", False)],
)
def test_events_are_judged_by_source_and_type(
    emulator: Emulator, source: str, kind: str, *, passes: bool
) -> None:
    role, bus = f"puts-{source}-{kind}", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    keys = {"StringEquals": {"events:source": "ours", "events:detail-type": "Told"}}
    client = as_role(
        emulator, "events", role, allowed("events:PutEvents", on=bus) | {"Condition": keys}
    )
    entries: Any = [{"Source": source, "DetailType": kind, "Detail": "{}"}]
    if passes:
        assert client.put_events(Entries=entries)["FailedEntryCount"] == 0
        return
    with pytest.raises(ClientError) as caught:
        client.put_events(Entries=entries)
    assert code(caught) == "AccessDeniedException"
    with pytest.raises(ClientError):  # one that may not be put keeps the others from the bus
        client.put_events(
            Entries=[{**entries[0], "Source": "ours", "DetailType": "Told"}, *entries]
        )


# --- what Lambda asks for


def make_function(emulator: Emulator, name: str, role: str, does: str) -> Any:
    """Make a function that does one thing; return the client."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("app.py", f"def handler(event, context):\n    {does}\n")
    functions = emulator.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
    )
    return functions


@pytest.mark.parametrize("missing", ["", "logs:CreateLogStream", "logs:PutLogEvents"])
def test_a_log_is_written_by_the_functions_role(emulator: Emulator, missing: str) -> None:
    name = f"logs-{missing.rpartition(':')[2]}".lower()
    group = f"/aws/lambda/{name}"
    both = {"logs:CreateLogStream", "logs:PutLogEvents"}
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"
    role = make_role(emulator, name, allowed(*both - {missing}, on=log))
    emulator.client("logs").create_log_group(logGroupName=group)
    functions = make_function(emulator, name, role, "print('hello')")
    functions.invoke(FunctionName=name)
    written = emulator.client("logs").filter_log_events(logGroupName=group)["events"]
    assert any("hello" in event["message"] for event in written) == (not missing)
    assert {(action, decision) for action, _, decision in decisions(emulator, name)} == {
        (action, "ImplicitDeny" if action == missing else "Allow") for action in both
    }


@pytest.mark.parametrize("granted", [True, False])
def test_what_a_function_fails_at_is_kept_by_its_role(emulator: Emulator, *, granted: bool) -> None:
    name, action = f"fails-{granted}".lower(), "sqs:SendMessage"
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    role = make_role(emulator, name, *[allowed(action, on=queue)] * granted)
    functions = make_function(emulator, name, role, "raise ValueError('it failed')")
    functions.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": queue}},
    )
    functions.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    wanted, deadline = (
        (action, queue, "Allow" if granted else "ImplicitDeny"),
        time.monotonic() + 30,
    )
    while wanted not in decisions(emulator, name):
        assert time.monotonic() < deadline, decisions(emulator, name)
        time.sleep(0.05)
    kept = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2 * granted).get("Messages", [])
    assert ["it failed" in one["Body"] for one in kept] == [True] * granted
