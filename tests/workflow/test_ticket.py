"""What a run comes to is written into the ticket that asked for it: once, as text, or it is a dead letter."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deploy import STACK
from local.emulator import ACCOUNT, REGION
from local.environments import ROOT
from local.lab import Lab
from mta_sts.comments import comment
from tests.permissions.deployed import roles, rules, uses
from tests.permissions.elements import superfluous
from tests.permissions.evaluator import request
from tests.permissions.test_service_roles import by_service
from tests.workflow.commands import Shell, blocks
from tests.workflow.hooks import Hooks, shipped
from tests.workflow.life import run as run_named
from tests.workflow.scene import add

SYS_ID = "46e18c0fa9fe19810066a0083f76bd56"
HOSTILE = '{noformat}[~admin] !https://x.example/y.png! "quoted" \\ [code]<script>\nnext line'
SECONDS = 20


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of its own: its stack has a ticket system."""
    with Lab(way_back="jira") as running:
        yield running


def notice(ticket_id: Any, text: str = "MTA-STS is off.", **more: Any) -> dict[str, Any]:
    """What the rule looks at in the detail of a notice."""
    told = {"version": "1", "kind": "checked", "ticket_id": ticket_id, "text": text, "stack": STACK}
    return {**told, "comment": comment(text) if ticket_id else None, **more}


def put(lab: Lab, *details: dict[str, Any], **other: str) -> None:
    given = {"Source": "mta-sts-off", "DetailType": "MTA-STS Off Notice", **other}
    entries = [{**given, "Detail": json.dumps(detail)} for detail in details]
    assert not lab.client("events").put_events(Entries=entries)["FailedEntryCount"]


def matches(lab: Lab, detail: dict[str, Any], **other: str) -> bool:
    """Ask EventBridge itself whether the rule takes it."""
    events = lab.client("events")
    [rule] = events.list_rules(NamePrefix="mta-sts-off-TicketNotice")["Rules"]
    event = {
        "id": "1",
        "account": ACCOUNT,
        "region": REGION,
        "time": "2026-11-24T20:00:00Z",
        "resources": [],
        "source": other.get("Source", "mta-sts-off"),
        "detail-type": other.get("DetailType", "MTA-STS Off Notice"),
        "detail": detail,
    }
    answer = events.test_event_pattern(EventPattern=rule["EventPattern"], Event=json.dumps(event))
    return bool(answer["Result"])


def written(lab: Lab, ticket: str, many: int = 1) -> list[str]:
    """Wait until so much is written into the ticket."""
    deadline = time.monotonic() + SECONDS
    while len(lab.tickets.written(ticket)) < many and time.monotonic() < deadline:
        time.sleep(0.02)
    return lab.tickets.written(ticket)


def letter(lab: Lab, about: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Wait for the dead letter about a ticket: the event, and why it is one."""
    queue = lab.client("sqs").get_queue_url(
        QueueName=lab.stack_outputs["UndeliveredArn"].split(":")[-1]
    )
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for message in (
            lab.client("sqs")
            .receive_message(
                QueueUrl=queue["QueueUrl"],
                WaitTimeSeconds=1,
                VisibilityTimeout=0,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            )
            .get("Messages", [])
        ):
            event = json.loads(message["Body"])
            if event.get("detail", {}).get("ticket_id") == about:
                named = message["MessageAttributes"].items()
                return event, {name: value["StringValue"] for name, value in named}
    raise AssertionError(f"no dead letter about {about}")


def asked(lab: Lab, ticket: str) -> list[int]:
    return [each.status for each in lab.tickets.requests() if f"/{ticket}" in each.path]


def test_a_notice_is_one_comment_with_its_text_and_nothing_in_it_is_markup(lab: Lab) -> None:
    for ticket in ("OPS-1", "OPS-2", "ops_3"):
        lab.tickets.add(ticket)
    put(lab, notice("OPS-1", "MTA-STS is off.\nMail is not at risk."), notice("OPS-2", HOSTILE))
    put(lab, notice("ops_3", "x" * 20_000))
    assert written(lab, "OPS-1") == [
        "{noformat}\nMTA-STS is off.\nMail is not at risk.\n{noformat}"
    ]
    [sent] = [each for each in lab.tickets.requests() if "/OPS-1/" in each.path]
    internal = [{"key": "sd.public.comment", "value": {"internal": True}}]
    assert json.loads(sent.body)["properties"] == internal
    [hostile] = written(lab, "OPS-2")
    assert hostile == f"{{noformat}}\n{HOSTILE.replace('{noformat}', '(noformat}')}\n{{noformat}}"
    [long] = written(lab, "ops_3")
    assert "(shortened)" in long[-30:]


def test_what_is_no_notice_about_a_ticket_goes_nowhere(lab: Lab) -> None:
    """Nor does a ticket_id that would be another address, whoever put it there; nor another stack's."""
    lab.tickets.add("OPS-9")
    before = len(lab.tickets.requests())
    addresses = ["..", "a/b", "OPS-9/../..", "OPS-9%2fx", "OPS-9?x=", "OPS-9#x", "a\\b", "./x"]
    wrong: list[tuple[dict[str, Any], dict[str, str]]] = [
        *((notice(each), {}) for each in [*addresses, "", None]),
        ({"version": "1", "text": "x"}, {}),
        (notice("OPS-9", comment=None), {}),
        (notice("OPS-9", version="2"), {}),
        (notice("OPS-9", stack=f"{STACK}-other"), {}),
        (notice("OPS-9", stack=None), {}),
        (notice("OPS-9"), {"Source": "somebody-else"}),
        (notice("OPS-9"), {"DetailType": "Something Else"}),
    ]
    for detail, other in wrong:
        assert not matches(lab, detail, **other), (detail, other)
        put(lab, detail, **other)
    assert matches(lab, notice("OPS-9"))
    put(lab, notice("OPS-9", "last"))
    assert written(lab, "OPS-9") == ["{noformat}\nlast\n{noformat}"]
    assert len(lab.tickets.requests()) == before + 1


def test_what_goes_wrong_once_is_tried_again(lab: Lab) -> None:
    for ticket, status in (("OPS-20", 429), ("OPS-21", 503)):
        lab.tickets.add(ticket)
        lab.tickets.fail(ticket, status, times=1, retry_after="1" if status == 429 else None)
    put(lab, notice("OPS-20"), notice("OPS-21"))
    for ticket, status in (("OPS-20", 429), ("OPS-21", 503)):
        assert len(written(lab, ticket)) == 1
        assert asked(lab, ticket) == [status, 201]


def test_what_cannot_be_written_becomes_a_dead_letter_with_the_notice(lab: Lab) -> None:
    lab.tickets.add("OPS-30")
    lab.tickets.fail("OPS-30", 503)
    put(lab, notice("OPS-30", "kept"), notice("OPS-31"))  # the second is no ticket at all
    event, why = letter(lab, "OPS-30")
    assert event["detail"] == notice("OPS-30", "kept")
    assert why["ERROR_MESSAGE"] == "HTTP 503"
    assert ":rule/mta-sts-off-TicketNotice" in why["RULE_ARN"]
    assert letter(lab, "OPS-31")[1]["ERROR_MESSAGE"] == "HTTP 404"
    assert asked(lab, "OPS-31") == [404]


def test_the_system_refuses_who_has_another_word(lab: Lab) -> None:
    lab.tickets.add("OPS-40")
    right, lab.tickets.authorization = lab.tickets.authorization, "Basic other"
    try:
        put(lab, notice("OPS-40"))
        assert letter(lab, "OPS-40")[1]["ERROR_MESSAGE"] == "HTTP 401"
    finally:
        lab.tickets.authorization = right
    assert lab.tickets.written("OPS-40") == []


def shown(comment: str) -> str:
    """What a reader of a Jira comment sees, its lines put together again."""
    assert comment.count("{noformat}") == 2
    return " ".join(comment.removeprefix("{noformat}").removesuffix("{noformat}").split())


def test_from_a_jira_issue_to_its_comments_and_from_its_approval_to_the_end(lab: Lab) -> None:
    """Planned, approved by the digest in the comment, carried out; each told once, in the issue."""
    hooks, domain, key = Hooks(lab), "ticket.jira-hook.example", "OPS-123"
    add(lab, domain)
    lab.tickets.add(key)
    planning, approved = shipped("jira-issue-planning"), shipped("jira-issue-approved")
    for issue in (planning, approved):
        assert issue["issue"]["key"] == key
        issue["issue"]["fields"]["customfield_10042"] = domain
    assert hooks.send("jira", planning).status == 202
    [plan] = written(lab, key)
    [digest] = re.findall(r"\b[0-9a-f]{64}\b", plan)
    approved["issue"]["fields"]["customfield_10044"] = digest
    answer = hooks.send("jira", approved)
    assert answer.status == 202
    assert run_named(lab, answer.json["run"]).wait().status == "SUCCEEDED"
    _, begun, done = written(lab, key, many=3)
    assert shown(begun).startswith(f"MTA-STS is still on for {domain}: a run has begun")
    assert shown(done).startswith(f"MTA-STS is off for {domain}")
    assert answer.json["run"] in begun

    # Refused, it says so there as well: that plan has been carried out, today's is another.
    again = {**approved, "timestamp": approved["timestamp"] + 1}
    assert run_named(lab, hooks.send("jira", again).json["run"]).wait().error == "PlanChangedError"
    *_, refused = written(lab, key, many=4)
    assert "nothing was changed" in shown(refused).lower()

    # And what no run was started for: told once, though Jira sends it twice.
    approved["issue"]["fields"]["customfield_10043"] = {"value": "retire"}
    approved["timestamp"] += 2
    assert [hooks.send("jira", approved).status for _ in range(2)] == [403, 403]
    *_, turned_away = written(lab, key, many=5)
    begin = f"MTA-STS is still on or off for {domain} as it was before: nothing was started."
    assert shown(turned_away).startswith(begin)
    assert "retire is not in its list" in shown(turned_away)
    assert [each.status for each in lab.tickets.requests() if f"/{key}/" in each.path] == [201] * 5


def test_its_role_is_for_that_rule_and_that_destination_alone(lab: Lab) -> None:
    [role] = [each for each in roles(lab) if each.logical_id == "TicketNoticeRole"]
    [target] = [each for _, each in rules(lab) if each.get("RoleArn") == role.arn]
    asked = [request("events:InvokeApiDestination", target["Arn"])]
    assert superfluous(role.policies, asked) == []
    [lent] = [use for use in uses(lab) if use.arn == role.arn]
    keys = {"aws__PrincipalServiceName": lent.service, "aws__SourceAccount": ACCOUNT}
    trust = {"trust": by_service(role.trust)}
    assert superfluous(trust, [request("sts:AssumeRole", **keys)]) == []


def test_the_commands_of_the_page_do_what_it_shows(lab: Lab, tmp_path: Path) -> None:
    """Its secret is the one that a stack can be given; its try ends in the ticket."""
    page = (ROOT / "docs/ticketing.md").read_text().partition("\n## The way back")[2]
    add(lab, "solarmora.com")
    lab.tickets.add("OPS-124")
    shell, secrets = Shell(lab, tmp_path), lab.client("secretsmanager")
    found = blocks(page.replace("OPS-123", "OPS-124"))
    assert len(found) == 3
    for block in found:
        shell.follow(block)
    for stage in ("AWSCURRENT", "AWSPREVIOUS"):
        kept = secrets.get_secret_value(
            SecretId="mta-sts-off/way-back-to-tickets", VersionStage=stage
        )["SecretString"]
        kind, _, word = json.loads(kept)["authorization"].partition(" ")
        assert (kind, base64.b64decode(word)) == ("Basic", b"mta-sts-off@example.com:API_TOKEN")
    [look] = written(lab, "OPS-124")
    assert shown(look).startswith("MTA-STS is still on for solarmora.com")


def test_a_run_without_a_ticket_is_told_in_none(lab: Lab) -> None:
    add(lab, "untold.example")
    before = len(lab.tickets.requests())
    run = lab.run({"domain": "untold.example", "method": "check", "ticket": "not / an id"})
    assert run.status == "SUCCEEDED"
    assert len(lab.tickets.requests()) == before


def test_servicenow_is_told_by_a_work_note(lab: Lab) -> None:
    """Last of all, for it deploys another ticket system, and another version of the secret."""
    lab.tickets.authorization = "Basic anew"
    version = lab.client("secretsmanager").put_secret_value(
        SecretId="mta-sts-off/way-back",
        SecretString=json.dumps({"authorization": lab.tickets.authorization}),
    )["VersionId"]
    lab._deploy({**lab.way_back("servicenow"), "TicketSecretVersion": version})
    lab.tickets.add(SYS_ID)
    put(lab, notice(SYS_ID, HOSTILE))
    assert written(lab, SYS_ID) == [HOSTILE.replace("[code]", "(code]")]
    [request] = [each for each in lab.tickets.requests() if SYS_ID in each.path]
    assert (request.method, request.path) == ("PATCH", f"/api/now/table/change_request/{SYS_ID}")

    change = shipped("servicenow-change")
    add(lab, change["domain"])
    lab.tickets.add(change["sys_id"])
    assert Hooks(lab).send("servicenow", change).status == 202
    [look] = written(lab, change["sys_id"])
    assert look.startswith(f"MTA-STS is still on for {change['domain']}")
