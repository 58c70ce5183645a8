"""Executions that are stopped by hand: the domain is released, people are told, running again converges."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.lab import Lab
from local.runs import Run
from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS
from mta_sts.instants import instant
from tests.workflow.life import add_short, call, due, item, retire, run, sweep, until_true
from tests.workflow.scene import reaches
from tests.workflow.watch import none_policy, served, txt_values

RULE = "Step Functions Execution Status Change"


def stopped(lab: Lab, execution: Run) -> datetime:
    """Stop an execution by hand; return when."""
    execution.stop()
    found = lab.client("stepfunctions").describe_execution(executionArn=execution.arn)
    moment: datetime = found["stopDate"]
    return moment


def released(lab: Lab, domain: str, before: datetime) -> dict[str, Any]:
    """Wait until the rule has released the domain; return its item."""
    until_true(
        "the rule releases the domain", lambda: not item(lab, domain).get("holder"), patience=20
    )
    found = item(lab, domain)
    assert "free_from" in found, "a function may still be at work"
    free = timedelta(seconds=LONGEST_FUNCTION_SECONDS)
    assert timedelta(0) <= instant(found["free_from"]) - (before + free) < timedelta(seconds=2)
    return found


def free_at_once(lab: Lab, domain: str) -> None:
    """Let the minute pass after which no function can be at work any more."""
    lab.client("dynamodb").update_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        UpdateExpression="SET free_from = :past",
        ConditionExpression="attribute_exists(free_from)",
        ExpressionAttributeValues={":past": {"S": "2026-01-01T00:00:00Z"}},
    )


@pytest.mark.parametrize(
    "state",
    [
        "Check Host",
        "Publish Policy",
        "Purge CDN",
        "Check Served Policy",
        "Change Id",
        "Await Route 53",
        "Check Name Servers",
        "Wait Out TTL",
        "Confirm",
        "Record Outcome",
    ],
)
def test_stopped_anywhere_it_is_released_and_running_again_converges(
    lab: Lab, domain: str, state: str
) -> None:
    add_short(lab, domain)
    first = lab.start(none_policy(domain))
    assert reaches(first, state) == state
    if state == "Record Outcome":
        # It may have written the end down, or may be about to: a function outlives its execution.
        with contextlib.suppress(ClientError):  # it may have ended
            first.stop()
        until_true("it has ended", lambda: not item(lab, domain).get("holder"))
        if "free_from" in item(lab, domain):
            free_at_once(lab, domain)
    else:
        told = released(lab, domain, stopped(lab, first))["last_outcome"]
        assert told["error"] == "ExecutionStopped"
        assert told["text"].startswith(("half changed", "MTA-STS is still on"))
        assert told["state"] in {"half changed", "on"}
        assert "Mail is not at risk" in told["text"]
        when = f"again after {item(lab, domain)['free_from']}, if it is still wanted"
        assert when in told["text"].splitlines()[0]
        refused = lab.run(none_policy(domain))
        assert refused.error == "DomainBusyError"
        assert f"until {item(lab, domain)['free_from']}" in (refused.cause or "")
        free_at_once(lab, domain)
    again = lab.run(none_policy(domain))
    assert again.status == "SUCCEEDED", again.cause
    assert b"mode: none" in served(lab, domain)
    assert len(txt_values(lab, domain)) == 1


def test_before_it_has_the_domain_nothing_is_released(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    first = lab.start(none_policy(domain))
    assert reaches(first, "Plan Change") == "Plan Change"
    stopped(lab, first)
    # The plan may have been made, and the next state entered, in the meantime.
    until_true("nobody holds the domain", lambda: not item(lab, domain).get("holder"))


def test_a_function_that_outlives_its_execution_meets_no_other_run(lab: Lab, domain: str) -> None:
    """Stopped while the id is about to change: the function goes on, and changes it."""
    add_short(lab, domain)
    first = lab.start(none_policy(domain))
    assert reaches(first, "Check Served Policy") == "Check Served Policy"
    moment = stopped(lab, first)
    plan = next(
        json.loads(event["stateExitedEventDetails"]["output"])
        for event in first.history
        if event.get("stateExitedEventDetails", {}).get("name") == "Plan Change"
    )
    released(lab, domain, moment)
    # Within the minute nobody else may begin, whatever happens to the event and the rule.
    assert lab.run(none_policy(domain)).error == "DomainBusyError"
    late = call(lab, "ChangeRecord", {"plan": plan, "step": "change"})
    assert late["change_id"]
    assert plan["record"]["new_id"] in txt_values(lab, domain)[0]
    free_at_once(lab, domain)
    again = lab.run(none_policy(domain))
    assert again.status == "SUCCEEDED", again.cause
    assert again.output["id"]["old"] == plan["record"]["new_id"]
    assert again.output["id"]["new"] != plan["record"]["new_id"], "no id is used twice"


def test_an_event_that_comes_twice_or_late_tells_nothing_new(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    first = lab.start(none_policy(domain))
    assert reaches(first, "Wait Out TTL") == "Wait Out TTL"
    moment = stopped(lab, first)
    released(lab, domain, moment)
    free_at_once(lab, domain)
    second = lab.run(none_policy(domain))
    assert second.status == "SUCCEEDED", second.cause
    before = item(lab, domain)
    event = {
        "source": "aws.states",
        "detail-type": RULE,
        "detail": {
            "executionArn": first.arn,
            "status": "ABORTED",
            "input": json.dumps(none_policy(domain)),
            "startDate": 0,
            "stopDate": int(moment.timestamp() * 1000),
        },
    }
    assert call(lab, "CloseRun", event) == {"closed": ""}
    del event["detail"]["input"]  # type: ignore[attr-defined]  # as for a large one
    assert call(lab, "CloseRun", event) == {"closed": ""}
    assert item(lab, domain) == before, "the domain's later run is left alone"


def test_a_retirement_that_is_stopped_is_tried_again_by_itself(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    assert lab.run(retire(domain)).status == "SUCCEEDED"
    at = due(lab, domain, "retirement")
    until_true("the retirement is due", lambda: datetime.now(UTC) >= at)
    [retirement] = sweep(lab, domain)
    assert reaches(retirement, "Wait Out TTL") == "Wait Out TTL"
    moment = stopped(lab, retirement)
    found = released(lab, domain, moment)
    again = due(lab, domain, "retirement")
    assert timedelta(hours=23) < again - datetime.now(UTC) < timedelta(hours=25)
    assert "It is tried again by itself" in found["last_outcome"]["text"]
    assert "record" in found["last_outcome"]["changed"]


def test_a_look_that_is_stopped_holds_nothing(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    look = lab.start({"domain": domain, "method": "check"})
    assert reaches(look, "Check Domain") == "Check Domain"
    stopped(lab, look)
    assert run(lab, look.arn.rpartition(":")[2]).status == "ABORTED"
    assert lab.run(none_policy(domain)).status == "SUCCEEDED"
