"""The life of a domain in the lab: sweeps, what the ledger has due, and runs that come by themselves."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from local.deploy import STACK
from local.lab import Lab
from local.runs import Run
from mta_sts.adapters.agenda import Agenda
from mta_sts.due import deliveries
from mta_sts.instants import instant, stamp
from tests.workflow.watch import PATIENCE

MAX_AGE = 3
SHORT = f"version: STSv1\r\nmode: enforce\r\nmx: mail.{{domain}}\r\nmax_age: {MAX_AGE}\r\n"
FIRST_ID = "20200425085700"


def add_short(lab: Lab, domain: str, **more: Any) -> str:
    """Set up a domain whose policy lives for seconds, and names the MX host that the zone has."""
    policy = SHORT.format(domain=domain)
    lab.add_domain(domain, policies=[policy], record=[f"v=STSv1; id={FIRST_ID};"], ttl=1, **more)
    return policy


def retire(domain: str, **more: object) -> dict[str, Any]:
    """Return the input that retires a domain; the lab is too young to know a history."""
    return {"domain": domain, "method": "retire", "longest_max_age": MAX_AGE, **more}


def agenda(lab: Lab) -> Agenda:
    """Give access to what the ledger has due."""
    return Agenda(lab.client("dynamodb"), lab.stack_outputs["LedgerTableName"])


def item(lab: Lab, domain: str) -> dict[str, Any]:
    """Read a domain's item in the ledger."""
    return agenda(lab).item(domain)


def due(lab: Lab, domain: str, kind: str) -> datetime:
    """Return when something is due."""
    entries = item(lab, domain).get("due", {})
    assert kind in entries, f"not due: {kind}"
    return instant(entries[kind]["at"])


def make_due(lab: Lab, domain: str, kind: str, at: datetime) -> None:
    """Move what is due, as though so much time had passed."""
    found = item(lab, domain)
    one = {"kind": kind, "generation": found["generation"], "at": found["due"][kind]["at"]}
    moved = agenda(lab).move(
        domain, one, lambda name, entries: {**entries, name: {**entries[name], "at": stamp(at)}}
    )
    assert moved


def function(lab: Lab, resource: str) -> str:
    """Return a function, or whatever else the stack has, by its name in the template."""
    found = lab.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId=resource
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def sweep(lab: Lab, domain: str) -> list[Run]:
    """Sweep as the schedule does; return the executions of what this domain has due.

    Whoever has started them: the lab's own schedule may have come a moment before.
    """
    ripe = deliveries(item(lab, domain), datetime.now(UTC))
    call(lab, "SweepDue", {})
    return [run(lab, one.name) for one in ripe if one.name in started_for(lab, domain, one.kind)]


def call(lab: Lab, resource: str, event: object) -> Any:
    """Call a function of the stack as its trigger does."""
    answer = lab.client("lambda").invoke(
        FunctionName=function(lab, resource), Payload=json.dumps(event)
    )
    told = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told


def run(lab: Lab, name: str) -> Run:
    """Return an execution by its name."""
    machine = lab.stack_outputs["StateMachineArn"].replace(":stateMachine:", ":execution:")
    return Run(lab.client("stepfunctions"), f"{machine}:{name}")


def started_for(lab: Lab, domain: str, kind: str) -> list[str]:
    """Name the executions that have been started by themselves for a domain."""
    found = lab.client("stepfunctions").list_executions(
        stateMachineArn=lab.stack_outputs["StateMachineArn"], maxResults=1000
    )["executions"]
    begins = f"{kind}-{domain.replace('.', '-')[:24]}-"
    return [one["name"] for one in found if one["name"].startswith(begins)]


def until_true(what: str, condition: Any, patience: float = PATIENCE) -> Any:
    """Return what a condition gives once it is true; AssertionError after so many seconds."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not after {patience} s: {what}"
        time.sleep(0.1)
    return found


def object_is_gone(lab: Lab, domain: str) -> bool:
    """Tell whether the policy object has a delete marker on top."""
    bucket, key = lab.policy_object(domain)
    try:
        lab.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        return error.response["Error"]["Code"] in {"404", "NoSuchKey"}
    return False


def versions(lab: Lab, domain: str) -> list[bytes]:
    """Return the bytes of each version of the policy object, oldest first."""
    bucket, key = lab.policy_object(domain)
    listed = lab.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    return [
        bytes(
            lab.client("s3")
            .get_object(Bucket=bucket, Key=key, VersionId=one["VersionId"])["Body"]
            .read()
        )
        for one in reversed(listed)
    ]
