"""A domain is retired: none, the drain, the margin, and the record goes by itself, not a second early."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.lab import DRAIN_MARGIN_SECONDS, Lab
from mta_sts.due import deliveries
from mta_sts.instants import instant
from tests.workflow.life import (
    MAX_AGE,
    add_short,
    due,
    function,
    item,
    make_due,
    object_is_gone,
    retire,
    started_for,
    sweep,
    until_true,
)
from tests.workflow.scene import POLICY, entered, forget, mail, send_to, write_record
from tests.workflow.watch import claim, only_line, served, snapshot, txt_values


def begun(lab: Lab, domain: str, **more: object) -> dict[str, Any]:
    """Run the first half of a retirement; return its output."""
    add_short(lab, domain)
    run = lab.run(retire(domain, **more))
    assert run.status == "SUCCEEDED", run.cause
    output: dict[str, Any] = run.output
    return output


def drained(lab: Lab, domain: str) -> None:
    """Wait until the retirement is due."""
    at = due(lab, domain, "retirement")
    until_true("the retirement is due", lambda: datetime.now(UTC) >= at)


def test_the_record_goes_when_everybody_has_let_go_and_the_margin_is_over(
    lab: Lab, domain: str
) -> None:
    output = begun(lab, domain)
    assert output["state"] == "off"
    margin = timedelta(seconds=DRAIN_MARGIN_SECONDS)
    at = due(lab, domain, "retirement")
    assert at == instant(output["all_off_at"]) + margin
    assert {"kind": "retirement", "at": item(lab, domain)["due"]["retirement"]["at"]} in output[
        "due"
    ]
    assert item(lab, domain)["due_at"] in only_line(output["text"], "the record is deleted")
    assert item(lab, domain)["phase"] == "draining"
    watch = due(lab, domain, "watch") - instant(output["moments"]["confirmed_at"])
    assert watch == timedelta(days=1), "somebody looks every day"
    drained(lab, domain)
    [run] = sweep(lab, domain)
    run.wait()
    assert run.status == "SUCCEEDED", run.cause
    assert entered(run, "Delete Record") >= at, "not a second early"
    assert txt_values(lab, domain) == []
    assert b"mode: none" in served(lab, domain), "the object is left alone"
    assert run.output["subject"] == f"MTA-STS is off for {domain}, and retired: the record is gone"
    assert "Left to be removed by hand, in this order:" in run.output["text"]
    assert (item(lab, domain)["phase"], run.output["due"]) == ("retired", [])
    assert "due_at" not in item(lab, domain)
    assert sweep(lab, domain) == [], "nothing is left to be done"
    assert mail(lab, domain) == "delivered"


def test_a_sweep_before_its_time_starts_nothing(lab: Lab, domain: str) -> None:
    begun(lab, domain)
    # The first moment at which nothing at all is due any more but the record still stands.
    assert sweep(lab, domain) == [] or datetime.now(UTC) >= due(lab, domain, "retirement")
    assert len(txt_values(lab, domain)) == 1


def test_the_policy_object_is_removed_last(lab: Lab, domain: str) -> None:
    begun(lab, domain, remove_policy=True)
    drained(lab, domain)
    [run] = sweep(lab, domain)
    run.wait()
    assert run.status == "SUCCEEDED", run.cause
    assert run.states.index("Remove Policy") > run.states.index("Confirm")
    assert object_is_gone(lab, domain)
    assert run.output["removed"]["version_id"]
    assert run.output["changed"] == "policy and record"
    steps = run.output["text"].partition("in this order:")[2]
    assert 0 < steps.find(f"mta-sts.{domain} first") < steps.find("bucket mta-sts."), (
        "name before bucket"
    )
    assert "s3://" not in steps, "which is gone"


def test_a_bucket_without_versions_is_refused_before_anything_is_begun(
    lab: Lab, domain: str
) -> None:
    add_short(lab, domain)
    lab.client("s3").put_bucket_versioning(
        Bucket=lab.policy_object(domain)[0], VersioningConfiguration={"Status": "Suspended"}
    )
    run = lab.run(retire(domain, remove_policy=True))
    assert (run.status, run.error) == ("FAILED", "PolicyUnreadableError")
    assert "versioning is Suspended" in (run.cause or "")


def test_delivered_before_its_time_it_is_put_off(lab: Lab, domain: str) -> None:
    """A clock that is ahead, or a hand that moved it: the arithmetic decides, not the delivery."""
    lab.add_domain(domain, policies=[POLICY], record=["v=STSv1; id=1;"], ttl=1)
    assert lab.run(retire(domain, longest_max_age=604_800)).status == "SUCCEEDED"
    at = due(lab, domain, "retirement")
    make_due(lab, domain, "retirement", datetime.now(UTC) - timedelta(seconds=1))
    [run] = sweep(lab, domain)
    run.wait()
    assert (run.status, run.error) == ("FAILED", "DrainNotOverError"), run.cause
    assert len(txt_values(lab, domain)) == 1
    assert due(lab, domain, "retirement") == at
    told = item(lab, domain)["due"]["retirement"]["at"]
    assert f"It is tried again by itself: {told}" in (run.cause or "")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("policy", "the policy object says enforce"),
        ("id", "and not the id"),
        ("record", "the record is gone already"),
        ("host", "gave no answer"),
    ],
    ids=["policy", "id", "record", "host"],
)
def test_a_drain_that_was_disturbed_is_not_finished(
    lab: Lab, domain: str, what: str, told: str
) -> None:
    begun(lab, domain)
    drained(lab, domain)
    if what == "policy":
        policy = f"version: STSv1\nmode: enforce\nmx: mail.{domain}\nmax_age: {MAX_AGE}\n"
        lab.account.put_policy(*lab.policy_object(domain), policy)
    elif what == "id":
        write_record(lab, domain, "v=STSv1; id=byhand;")
    elif what == "record":
        write_record(lab, domain, "v=spf1 -all")
    else:
        send_to(lab, domain, "127.255.255.253")
    forget(lab, domain)
    before = snapshot(lab, domain)
    [run] = sweep(lab, domain)
    run.wait()
    assert (run.status, run.error) == ("FAILED", "DrainDisturbedError"), run.cause
    assert told in (run.cause or "")
    assert before.changed() == "nothing"
    assert claim(lab, domain).holder == ""
    again = due(lab, domain, "retirement") - datetime.now(UTC)
    assert timedelta(hours=23) < again < timedelta(hours=25), "it is tried again a day later"
    assert "Notify Failure" in run.states


def test_a_retirement_that_ended_half_way_is_finished_later(lab: Lab, domain: str) -> None:
    """The record is deleted by its own hand, and not by somebody who came in between."""
    begun(lab, domain)
    drained(lab, domain)
    lab.lag(domain, 1)
    [run] = sweep(lab, domain)
    run.wait()
    assert (run.status, run.error) == ("FAILED", "PropagationTimeoutError"), run.cause
    assert "Changed: record." in (run.cause or "")
    lab.heal(domain)
    make_due(lab, domain, "retirement", datetime.now(UTC) - timedelta(seconds=1))
    [again] = sweep(lab, domain)
    again.wait()
    assert again.status == "SUCCEEDED", again.cause
    assert item(lab, domain)["phase"] == "retired"
    assert len(started_for(lab, domain, "retirement")) == 2


def test_a_plan_that_has_waited_is_not_carried_out_on_another_policy(lab: Lab, domain: str) -> None:
    """Between plan and deletion the policy came back: the last look before the write sees it."""
    begun(lab, domain)
    drained(lab, domain)
    [delivery] = deliveries(item(lab, domain), datetime.now(UTC))
    planned = lab.run({**delivery.event, "dry_run": True})
    assert planned.status == "SUCCEEDED", planned.cause
    policy = f"version: STSv1\nmode: enforce\nmx: mail.{domain}\nmax_age: {MAX_AGE}\n"
    lab.account.put_policy(*lab.policy_object(domain), policy)
    answer = lab.client("lambda").invoke(
        FunctionName=function(lab, "VerifyPolicy"),
        Payload=json.dumps({"plan": planned.output, "step": "host"}),
    )
    told = json.loads(answer["Payload"].read())
    assert told["errorType"] == "DrainDisturbedError"
    assert "mode enforce" in told["errorMessage"]
