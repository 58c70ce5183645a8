"""What comes last: recording and notifying, and what happens when just that fails."""

import json
from collections.abc import Callable
from typing import Any

from local.lab import Lab
from local.runs import Run

OLD = "v=STSv1; id=20200425085700;"
POLICY = "version: STSv1\nmode: enforce\nmx: mail.example\nmax_age: 604800\n"


def run_changed(lab: Lab, event: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> Run:
    """Run a copy of the state machine with one thing broken."""
    states = lab.client("stepfunctions")
    machine = states.describe_state_machine(stateMachineArn=lab.stack_outputs["StateMachineArn"])
    definition = json.loads(machine["definition"])
    change(definition["States"])
    copy = states.create_state_machine(
        name=f"broken-{event['domain'].partition('.')[0]}",
        definition=json.dumps(definition),
        roleArn=machine["roleArn"],
    )
    return Run.start(states, copy["stateMachineArn"], event).wait(60)


def add(lab: Lab, domain: str) -> dict[str, Any]:
    lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    return {"domain": domain, "method": "none-policy"}


def break_notices(states: dict[str, Any]) -> None:
    for name in ("Notify Start", "Notify Outcome", "Notify Failure"):
        states[name]["Arguments"]["TopicArn"] += "-that-does-not-exist"
        del states[name]["Retry"]


def holder(lab: Lab, domain: str) -> Any:
    item = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
    )
    return item.get("Item", {}).get("holder")


def test_a_notice_that_cannot_be_sent_fails_the_run_and_says_that_it_is_off(lab: Lab) -> None:
    event = add(lab, "no-notice.example")
    run = run_changed(lab, event, break_notices)
    assert run.status == "FAILED"
    assert str(run.error).startswith("SNS.")
    assert run.cause is not None
    assert run.cause.startswith("MTA-STS is off for no-notice.example")
    assert "Notify Outcome" in run.cause
    assert holder(lab, "no-notice.example") is None


def test_the_first_error_is_told_even_if_its_notice_cannot_be_sent(lab: Lab) -> None:
    event = add(lab, "refused.example")
    lab.policy_hosts.status("refused.example", 500)
    run = run_changed(lab, event, break_notices)
    assert (run.status, run.error) == ("FAILED", "PolicyNotServedError")
    assert run.cause is not None
    assert run.cause.startswith("MTA-STS is still on for refused.example")
    assert "status 500" in run.cause


def test_the_first_error_is_told_even_if_it_cannot_be_recorded(lab: Lab) -> None:
    event = add(lab, "unrecorded.example")
    lab.policy_hosts.status("unrecorded.example", 500)

    def change(states: dict[str, Any]) -> None:
        states["Record Failure"]["Arguments"]["Payload"]["execution"] = "nonsense"

    run = run_changed(lab, event, change)
    assert (run.status, run.error) == ("FAILED", "PolicyNotServedError")
    assert run.cause is not None
    assert "could not be recorded" in run.cause
    assert "status 500" in run.cause


def test_an_outcome_that_cannot_be_recorded_is_a_failure(lab: Lab) -> None:
    event = add(lab, "no-outcome.example")

    def change(states: dict[str, Any]) -> None:
        states["Record Outcome"]["Arguments"]["Payload"]["moments"] = {}

    run = run_changed(lab, event, change)
    assert run.status == "FAILED"
    assert run.cause is not None
    assert run.cause.startswith("half changed for no-outcome.example")
    assert "Changed: policy and record." in run.cause
    # And running it again converges.
    again = lab.run(event)
    assert again.status == "SUCCEEDED", again.cause
