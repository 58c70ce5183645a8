"""What happens to single runs, so that what is there for just that is asked for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from mta_sts.adapters.attributes import typed
from mta_sts.adapters.ledger import DOMAIN, DUE_SHARD, LONGEST_FUNCTION_SECONDS
from mta_sts.due import deliveries
from mta_sts.instants import stamp
from tests.workflow import life
from tests.workflow.life import (
    due,
    function,
    item,
    started_for,
    sweep,
    until_true,
)
from tests.workflow.scene import BY_HAND, POLICY
from tests.workflow.watch import claim, delete_record, none_policy, wait_for_state

Place = tuple[str, str]  # bucket and key
Expected = list[tuple[Run, str]]  # each run, and its status or the name of its error
SUCCEEDED, CHANGED, STOPPED = "SUCCEEDED", "ConcurrentChangeError", "Stopped"
TRACELESS = "watch"


def with_tags(lab: Lab, domain: str, place: Place | None = None) -> Run:
    """The object has tags, which a new version has to be given."""
    bucket, key = place or lab.policy_object(domain)
    tags = {"TagSet": [{"Key": "team", "Value": "mail"}]}
    lab.client("s3").put_object_tagging(Bucket=bucket, Key=key, Tagging=tags)
    return lab.start(none_policy(domain))


def with_cname(lab: Lab, domain: str) -> Run:
    """The record is a CNAME to somebody else's, which is withdrawn."""
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=1)
    cname = record_set(f"_mta-sts.{domain}", "CNAME", 1, [f"customer.vendor.{domain}."])
    lab.account.put_records(lab.zone_id(domain), cname)
    lab.warm(domain)
    return lab.start(delete_record(domain))


def two_at_once(lab: Lab, domain: str) -> Expected:
    """The second of two runs asks whether the first, which holds the domain, is still at work."""
    lab.hold_invalidations(domain)
    first = lab.start(none_policy(domain))
    wait_for_state(first, "Wait For CDN")
    second = lab.run(none_policy(domain))
    lab.heal(domain)
    return [(first, SUCCEEDED), (second, "DomainBusyError")]


def changed_before_the_write(lab: Lab, domain: str, place: Place) -> Run:
    """Somebody writes another policy after the plan."""
    run = _held_before_the_write(lab, domain)
    lab.account.put_policy(*place, BY_HAND)
    lab.policy_hosts.release(domain)
    return run


def put_without_a_version(lab: Lab, place: Place) -> None:
    """Put a policy while its bucket keeps no versions; nobody else may be at work in there."""
    bucket, key = place
    versioning = lab.client("s3").put_bucket_versioning
    versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    lab.account.put_policy(bucket, key, POLICY)
    versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def gone_before_the_write(lab: Lab, domain: str, place: Place) -> Run:
    """Somebody deletes the object after the plan; it was put without a version.

    The claim is delivered once more, as Lambda may: this time there is nothing to save any more.
    """
    bucket, key = place
    run = _held_before_the_write(lab, domain)
    lab.client("s3").delete_object(Bucket=bucket, Key=key)
    answer = deliver_again(lab, run, "Claim Domain")
    assert CHANGED in answer, answer
    lab.policy_hosts.release(domain)
    return run


def stopped(lab: Lab, domain: str, place: Place | None = None) -> Expected:
    """A run is stopped by hand: the rule has its domain released, and looks how it was left.

    The event is delivered once more, and without the input, which EventBridge leaves out where it is
    large; and once more for a run that had another domain, whose object is gone.
    """
    run = _held_before_the_write(lab, domain)
    held_by = item(lab, domain)
    run.stop()
    lab.policy_hosts.release(domain)
    until_true("the domain is released", lambda: claim(lab, domain).holder == "")
    answer = cut_short(lab, run)
    assert json.loads(answer) == {"closed": ""}, answer
    bucket, key = place or lab.policy_object(domain)
    lab.client("s3").delete_object(Bucket=bucket, Key=key)
    _hold_again(lab, domain, held_by)
    answer = cut_short(lab, run)
    assert json.loads(answer) == {"closed": domain}, answer
    return [(run, STOPPED)]


def retired(lab: Lab, domain: str) -> Expected:
    """The sweep finishes a retirement that was begun; to remove the object twice is as once."""
    at = due(lab, domain, "retirement")
    until_true("the retirement is due", lambda: datetime.now(UTC) >= at)
    [run] = sweep(lab, domain)
    assert run.wait().status == SUCCEEDED, run.cause
    answer = deliver_again(lab, run, "Remove Policy")
    assert json.loads(answer).get("version_id") == "", answer
    return [(run, SUCCEEDED)]


def leave_without_a_trace(lab: Lab, domain: str) -> None:
    """Let something be due whose execution has begun and ended, and has not written a word."""
    at = stamp(datetime.now(UTC) - timedelta(seconds=1))
    entries = {TRACELESS: {"at": at, "request": {"method": "check"}}}
    made = {"domain": domain, "item": DOMAIN, "generation": 1, "due": entries}
    lab.client("dynamodb").put_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Item=typed({**made, "due_at": at, "due_shard": DUE_SHARD}),
    )
    [delivery] = deliveries(item(lab, domain), datetime.now(UTC))
    lab.client("stepfunctions").start_execution(
        stateMachineArn=lab.stack_outputs["StateMachineArn"], name=delivery.name, input="{}"
    )


def put_off(lab: Lab, domain: str) -> None:
    """The sweep puts off what ended without a trace, once nothing of it can be at work any more."""
    [name] = started_for(lab, domain, TRACELESS)
    arn = life.run(lab, name).wait().arn
    ended = lab.client("stepfunctions").describe_execution(executionArn=arn)["stopDate"]
    at = ended + timedelta(seconds=LONGEST_FUNCTION_SECONDS + 1)
    until_true("it ended long ago", lambda: datetime.now(UTC) >= at, LONGEST_FUNCTION_SECONDS + 10)
    sweep(lab, domain)
    later = due(lab, domain, TRACELESS) - datetime.now(UTC)
    assert later > timedelta(hours=1), f"it is due in {later}"


def _held_before_the_write(lab: Lab, domain: str) -> Run:
    """Start a run, and let it wait for the policy host, which goes on with what it serves."""
    for address in lab.policy_hosts.addresses:
        lab.policy_hosts.stale(domain, address)
    lab.policy_hosts.hold(domain)
    run = lab.start(none_policy(domain))
    wait_for_state(run, "Check Host")
    return run


def deliver_again(lab: Lab, run: Run, state: str) -> str:
    """Call a state's function once more, with what it was sent; return its answer."""
    entered = ""
    for event in run.history:
        entered = event.get("stateEnteredEventDetails", {}).get("name", entered)
        if entered == state and event["type"] == "TaskScheduled":
            sent = json.loads(event["taskScheduledEventDetails"]["parameters"])
            return called(lab, sent["FunctionName"], sent["Payload"])
    raise AssertionError(f"{run.arn} did not enter {state}")


def cut_short(lab: Lab, run: Run) -> str:
    """Deliver the event of a run that was stopped; return the answer of who closes it."""
    ended = lab.client("stepfunctions").describe_execution(executionArn=run.arn)
    detail: dict[str, Any] = {
        "executionArn": run.arn,
        "stateMachineArn": ended["stateMachineArn"],
        "status": ended["status"],
        "stopDate": int(ended["stopDate"].timestamp() * 1000),
        "input": None,
    }
    return called(lab, function(lab, "CloseRun"), {"detail": detail})


def called(lab: Lab, name: str, event: dict[str, Any]) -> str:
    """Call a function; return its answer as text."""
    answer = lab.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    return str(answer["Payload"].read().decode())


def _hold_again(lab: Lab, domain: str, before: dict[str, Any]) -> None:
    """Let the domain be held as it was, as though nobody had closed the run."""
    names = ("holder", "holder_run")
    lab.client("dynamodb").update_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in names),
        ExpressionAttributeValues={f":{name}": {"S": before[name]} for name in names},
    )
