"""What happened is told once for people and once for programs, and what cannot be told is not lost."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator

from local.environments import ROOT
from local.lab import Lab
from local.runs import Run
from mta_sts.due import deliveries
from tests.unit.documents import DOCUMENTS, blocks
from tests.workflow.bus import Bus, Topic
from tests.workflow.life import add_short, due, item, make_due, retire, sweep, until_true
from tests.workflow.scene import forget, reaches, write_record
from tests.workflow.test_last_steps import run_changed
from tests.workflow.watch import none_policy, txt_values

SCHEMA = json.loads((ROOT / "docs/notice.schema.json").read_text())
WHO = {"ticket": "OPS-1", "requested_by": "mail team"}


def valid(notices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for notice in notices:
        problems = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(notice)]
        assert problems == [], notice
    return notices


def told(bus: Bus, many: int) -> list[dict[str, Any]]:
    """Return the notices once there are so many of them, as the schema says."""
    return valid(bus.until(lambda found: len(found) >= many))


def refuse(*names: str) -> Callable[[dict[str, Any]], None]:
    """Let no event and no message of these states be taken."""

    def change(states: dict[str, Any]) -> None:
        for name in names:
            arguments = states[name]["Arguments"]
            if "Entries" in arguments:
                arguments["Entries"] *= 11  # ten is the most that EventBridge takes
            else:
                arguments["TopicArn"] += "-that-does-not-exist"
            del states[name]["Retry"]

    return change


def attributed(notice: dict[str, Any]) -> dict[str, str]:
    """Give what a message's attributes have to say of a notice."""
    risk = {True: "true", False: "false", None: "unknown"}[notice["mail_at_risk"]]
    return {"kind": notice["kind"], "domain": notice["domain"], "mail_at_risk": risk}


def filter_policy() -> dict[str, Any]:
    """Give the filter that the page has for a pager."""
    _, template = blocks(DOCUMENTS["docs/notices.md"], "yaml")
    [subscription] = yaml.safe_load(template)["Resources"].values()
    policy: dict[str, Any] = subscription["Properties"]["FilterPolicy"]
    return policy


def run_due(lab: Lab, domain: str, kind: str) -> Run:
    """Let what is due be due now, and run it as the sweep does."""
    make_due(lab, domain, kind, datetime.now(UTC) - timedelta(seconds=1))
    [run] = sweep(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    return run


def test_everything_that_happens_to_a_domain_is_told(lab: Lab, domain: str) -> None:
    bus, topic = Bus(lab, "life", domain), Topic(lab, "life")
    pager = Topic(lab, "pager", filter_policy())
    add_short(lab, domain)
    planned = lab.start(none_policy(domain, dry_run=True, **WHO))
    looked = lab.start({"domain": domain, "method": "check", **WHO})
    refused = lab.start(none_policy(domain, remove_policy=True, **WHO))
    assert [run.wait().status for run in (planned, looked, refused)] == [
        "SUCCEEDED", "SUCCEEDED", "FAILED",
    ]  # fmt: skip
    early = {notice["kind"]: notice for notice in told(bus, 3)}
    assert set(early) == {"planned", "checked", "refused"}
    assert early["planned"]["plan"] == planned.output["digest"]
    assert early["checked"]["text"] == looked.output["text"]
    assert (early["refused"]["error"], early["refused"]["text"]) == (
        "InvalidRequestError", refused.cause,
    )  # fmt: skip

    # Long enough for two looks at the drain.
    confirmed = lab.run(none_policy(domain, longest_max_age=6, **WHO))
    assert confirmed.status == "SUCCEEDED", confirmed.cause
    begun, done = told(bus, 5)[3:]
    assert (begun["kind"], done["kind"]) == ("started", "confirmed")
    assert begun["execution"] == done["execution"] == confirmed.arn
    assert (begun["state"], done["state"]) == ("on", "off")
    assert done["text"] == confirmed.output["text"]
    assert done["all_off_at"] == confirmed.output["all_off_at"]
    assert done["plan"] == begun["plan"] == confirmed.output["plan"]

    run_due(lab, domain, "watch")
    assert len(bus.notices()) == 5, "a look that finds nothing is no news"
    ids = txt_values(lab, domain)
    write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
    forget(lab, domain)
    assert "id-not-ours" in run_due(lab, domain, "watch").output["alarms"]
    write_record(lab, domain, ids[0].strip('"'), ttl=1)
    forget(lab, domain)
    at = due(lab, domain, "drained")
    until_true("the drain is over", lambda: datetime.now(UTC) > at)
    assert run_due(lab, domain, "drained").output["over"]
    found, over = told(bus, 7)[5:]
    assert (found["kind"], found["state"]) == ("finding", "half changed")
    assert (over["kind"], over["state"], over["mail_at_risk"]) == ("drained", "off", False)
    assert item(lab, domain).get("due", {}) == {}, "it was told, and nothing is left"

    notices = told(bus, 7)
    assert {(one["domain"], one["ticket_id"], one["requested_by"]) for one in notices} == {
        (domain, "OPS-1", "mail team")
    }
    people = [one for one in notices if one["kind"] not in {"planned", "checked"}]
    assert topic.messages(domain) == [(one["subject"], one["text"]) for one in people]
    assert topic.attributes(domain) == [attributed(one) for one in people]
    assert pager.attributes(domain) == [
        attributed(one) for one in people if one["mail_at_risk"] is not False
    ]


def test_a_run_does_not_hang_on_the_notice_that_it_has_begun(lab: Lab, domain: str) -> None:
    bus = Bus(lab, "begun", domain)
    add_short(lab, domain)
    change = refuse("Announce Start", "Notify Start", "Announce Plan")
    done = run_changed(lab, none_policy(domain), change)
    assert done.status == "SUCCEEDED", done.cause
    assert {"Announce Start", "Notify Start", "Notify Outcome"} <= set(done.states)
    assert [notice["kind"] for notice in told(bus, 1)] == ["confirmed"]


def test_an_outcome_that_cannot_be_announced_fails_the_run_and_people_are_told(
    lab: Lab, domain: str
) -> None:
    bus, topic = Bus(lab, "outcome", domain), Topic(lab, "outcome")
    add_short(lab, domain)
    run = run_changed(lab, none_policy(domain), refuse("Announce Outcome"))
    assert run.status == "FAILED"
    assert (run.cause or "").startswith(f"MTA-STS is off for {domain}")
    assert "in “Announce Outcome”" in (run.cause or "")
    assert "Notify Outcome" not in run.states
    begun, failed = told(bus, 2)
    assert (begun["kind"], failed["kind"]) == ("started", "failed")
    assert (failed["state"], failed["text"]) == ("off", run.cause)
    assert failed["all_off_at"] is not None
    assert [text for _, text in topic.messages(domain)] == [begun["text"], run.cause]
    assert not item(lab, domain).get("holder")


def test_what_the_watch_has_found_is_told_later_where_it_cannot_be_now(
    lab: Lab, domain: str
) -> None:
    bus = Bus(lab, "later", domain)
    add_short(lab, domain)
    assert lab.run(retire(domain)).status == "SUCCEEDED"
    write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
    forget(lab, domain)
    make_due(lab, domain, "watch", datetime.now(UTC) - timedelta(seconds=1))
    [delivery] = [
        one for one in deliveries(item(lab, domain), datetime.now(UTC)) if one.kind == "watch"
    ]
    lost = run_changed(lab, dict(delivery.event), refuse("Notify Finding"))
    assert (lost.status, str(lost.error)[:4]) == ("FAILED", "SNS.")
    assert (lost.cause or "").startswith(f"half changed for {domain}")
    assert "It is tried again by itself: " in (lost.cause or "")
    again = due(lab, domain, "watch") - datetime.now(UTC)
    assert timedelta(minutes=55) < again <= timedelta(hours=1, seconds=1)
    found = run_due(lab, domain, "watch")
    assert found.states[-4:] == ["Announce Finding", "Notify Finding", "Move On", "Done"]
    assert due(lab, domain, "watch") - datetime.now(UTC) > timedelta(hours=23)
    kinds = [notice["kind"] for notice in told(bus, 5)]
    assert kinds == ["started", "confirmed", "finding", "failed", "finding"]


def test_a_run_that_was_stopped_is_told_to_whoever_listens_for_trouble(
    lab: Lab, domain: str
) -> None:
    """By the rule that the page shows."""
    template, _ = blocks(DOCUMENTS["docs/notices.md"], "yaml")
    stacks = lab.client("cloudformation")
    stacks.create_stack(StackName="trouble", TemplateBody=template)
    stacks.get_waiter("stack_create_complete").wait(StackName="trouble")
    made = stacks.describe_stack_resource(StackName="trouble", LogicalResourceId="Trouble")
    trouble = Bus.of(lab, made["StackResourceDetail"]["PhysicalResourceId"], domain)
    add_short(lab, domain)
    run = lab.start(none_policy(domain, **WHO))
    assert reaches(run, "Wait Out TTL") == "Wait Out TTL"
    run.stop()
    [stopped] = told(trouble, 1)
    assert (stopped["kind"], stopped["error"]) == ("failed", "ExecutionStopped")
    assert (stopped["run"], stopped["ticket_id"]) == (run.arn.rpartition(":")[2], "OPS-1")
    assert (stopped["changed"], stopped["state"]) == ("policy and record", "half changed")
    until_true("the domain is released", lambda: not item(lab, domain).get("holder"))
    assert item(lab, domain)["last_outcome"]["text"] == stopped["text"]
