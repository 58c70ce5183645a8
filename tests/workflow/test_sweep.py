"""Deliveries come twice, late, or not at all, and executions end without a word: nothing is done twice."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from local.lab import Lab
from mta_sts.due import deliveries
from mta_sts.instants import stamp
from tests.workflow.life import (
    add_short,
    call,
    due,
    item,
    make_due,
    retire,
    run,
    started_for,
    sweep,
    until_true,
)
from tests.workflow.scene import forget, write_record
from tests.workflow.watch import none_policy, served, snapshot, txt_values


def drained(lab: Lab, domain: str) -> None:
    """Retire a domain and wait until its record may go."""
    add_short(lab, domain)
    first = lab.run(retire(domain))
    assert first.status == "SUCCEEDED", first.cause
    at = due(lab, domain, "retirement")
    until_true("the retirement is due", lambda: datetime.now(UTC) >= at)


def test_two_sweeps_at_once_start_one_execution(lab: Lab, domain: str) -> None:
    drained(lab, domain)
    call(lab, "SweepDue", {})
    call(lab, "SweepDue", {})
    names = started_for(lab, domain, "retirement")
    assert len(names) == 1
    retirement = run(lab, names[0]).wait()
    assert retirement.status == "SUCCEEDED", retirement.cause
    call(lab, "SweepDue", {})
    assert started_for(lab, domain, "retirement") == names


def test_a_second_delivery_under_another_name_changes_nothing(lab: Lab, domain: str) -> None:
    """As though the first one had been started by hand from the console, with the same input."""
    drained(lab, domain)
    [delivery] = deliveries(item(lab, domain), datetime.now(UTC))
    [retirement] = sweep(lab, domain)
    second = lab.start(dict(delivery.event))
    assert retirement.wait().status == "SUCCEEDED", retirement.cause
    assert second.wait().status == "FAILED"
    # Whether it came while the first was at work, or after it.
    assert second.error in {"DomainBusyError", "SupersededError"}
    before = snapshot(lab, domain)
    third = lab.run(dict(delivery.event))
    assert (third.status, third.error) == ("FAILED", "SupersededError")
    assert (third.cause or "").startswith("MTA-STS is still on or off")
    assert before.changed() == "nothing"
    assert item(lab, domain)["phase"] == "retired"


def test_a_late_sweep_finds_the_same(lab: Lab, domain: str) -> None:
    drained(lab, domain)
    make_due(lab, domain, "retirement", datetime.now(UTC) - timedelta(days=400))
    [retirement] = sweep(lab, domain)
    assert retirement.wait().status == "SUCCEEDED", retirement.cause
    assert txt_values(lab, domain) == []


def test_a_domain_that_is_held_is_left_for_the_next_sweep(lab: Lab, domain: str) -> None:
    drained(lab, domain)
    lab.stale_address(domain)
    busy = lab.start(none_policy(domain, keep_mx=True))
    until_true("the domain is held", lambda: item(lab, domain).get("holder"))
    assert sweep(lab, domain) == []
    lab.heal(domain)
    assert busy.wait().status == "SUCCEEDED", busy.cause
    assert "retirement" not in item(lab, domain)["due"], "a run by hand ends it, and says so"
    assert "(retirement)" in busy.output["text"].partition("Cancelled by this run:")[2]


def test_an_execution_that_ended_without_a_trace_does_not_block_its_name_for_ever(
    lab: Lab, domain: str
) -> None:
    """Its record was lost, and so was the event that it ended: the ledger still has it due."""
    drained(lab, domain)
    found = item(lab, domain)
    long_ago = datetime.now(UTC) - timedelta(days=3)
    make_due(lab, domain, "retirement", long_ago)
    [delivery] = deliveries(item(lab, domain), datetime.now(UTC))
    # Of this name is an execution that ends at once, and knows nothing of the ledger.
    client, machine = lab.client("stepfunctions"), lab.stack_outputs["StateMachineArn"]
    client.start_execution(stateMachineArn=machine, name=delivery.name, input=json.dumps([]))
    run(lab, delivery.name).wait()
    call(lab, "SweepDue", {})
    assert due(lab, domain, "retirement") == long_ago.replace(microsecond=0) + timedelta(
        seconds=1 if long_ago.microsecond else 0
    ), "a function that it called may still be at work"
    assert item(lab, domain)["generation"] == found["generation"]


def test_an_item_that_is_missing_is_no_work(lab: Lab, domain: str) -> None:
    """The index may lag behind, and somebody may have deleted the item by hand."""
    drained(lab, domain)
    [delivery] = deliveries(item(lab, domain), datetime.now(UTC))
    lab.client("dynamodb").delete_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
    )
    assert sweep(lab, domain) == []
    before = snapshot(lab, domain)
    late = lab.run(dict(delivery.event))
    assert (late.status, late.error) == ("FAILED", "SupersededError")
    assert before.changed() == "nothing"
    assert item(lab, domain) == {}
    # Without the ledger nothing is known of the first policy: a restore says so.
    lost = lab.run({"domain": domain, "method": "restore"})
    assert lost.error == "NothingToRestoreError"


def test_the_id_is_changed_in_mid_drain_and_what_is_due_moves_along(lab: Lab, domain: str) -> None:
    """Somebody put an id of their own there; change-id mends it, and the retirement stays due."""
    drained(lab, domain)
    before = due(lab, domain, "retirement")
    write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
    forget(lab, domain)
    mended = lab.run({"domain": domain, "method": "change-id", "longest_max_age": 3})
    assert mended.status == "SUCCEEDED", mended.cause
    assert mended.output["text"].startswith(f"MTA-STS is off for {domain}")
    assert due(lab, domain, "retirement") > before
    assert item(lab, domain)["due"]["retirement"]["request"]["longest_max_age"] == 3
    assert b"mode: none" in served(lab, domain)


def test_change_id_announces_a_policy_that_was_changed_by_hand(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    changed = (
        f"version: STSv1\nmode: enforce\nmx: mail.{domain}\nmx: mx2.{domain}\nmax_age: 86400\n"
    )
    lab.account.put_policy(*lab.policy_object(domain), changed)
    lab.policy_hosts.warm(domain)
    before = snapshot(lab, domain)
    asked: dict[str, Any] = {"domain": domain, "method": "change-id"}
    done = lab.run(asked | {"new_mx": [f"mx2.{domain}"]})
    assert done.status == "SUCCEEDED", done.cause
    assert before.changed() == "record"
    assert served(lab, domain) == changed.encode()
    output = done.output
    assert (output["state"], output["changed"], output["due"]) == ("on", "record", [])
    assert output["text"].startswith(f"MTA-STS is still on for {domain}: ")
    assert output["answers"]["mx"]["answer"] != "now", "the policy of before does not name it"
    assert output["enforced_by_readers_at"] == output["moments"]["record_gone_at"]
    assert item(lab, domain)["phase"] == "on"
    assert stamp(datetime.now(UTC)) >= output["enforced_first_at"]


def test_beside_a_change_nothing_is_looked_at(lab: Lab, domain: str) -> None:
    """The watch would see the change half done, and raise the alarm about this stack's own work."""
    drained(lab, domain)
    make_due(lab, domain, "watch", datetime.now(UTC) - timedelta(days=2))
    call(lab, "SweepDue", {})
    assert len(started_for(lab, domain, "retirement")) == 1
    assert started_for(lab, domain, "watch") == []


def test_what_a_run_that_was_cut_short_may_still_do_is_waited_for(lab: Lab, domain: str) -> None:
    drained(lab, domain)
    table = {
        "TableName": lab.stack_outputs["LedgerTableName"],
        "Key": {"domain": {"S": domain}, "item": {"S": "domain"}},
    }
    soon = stamp(datetime.now(UTC) + timedelta(minutes=1))
    lab.client("dynamodb").update_item(
        **table,
        UpdateExpression="SET free_from = :soon",
        ExpressionAttributeValues={":soon": {"S": soon}},
    )
    assert sweep(lab, domain) == []
    lab.client("dynamodb").update_item(**table, UpdateExpression="REMOVE free_from")
    assert len(sweep(lab, domain)) == 1
