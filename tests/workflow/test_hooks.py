"""Deliveries of ticketing systems, through the gateway: what is shipped, and what has to be kept out."""

import json
import time
from typing import Any

import pytest

from local.api import Answer, Api
from local.lab import Lab
from mta_sts.hooks.guards import LARGEST_BODY
from mta_sts.hooks.signature import sign
from tests.workflow.hooks import FOLDER, Hooks, plain, shipped
from tests.workflow.life import run as run_named
from tests.workflow.scene import add, reaches
from tests.workflow.test_api import problem, runs_of
from tests.workflow.watch import txt_values

LISTED = "{}.plain-hook.example"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def hooks(lab: Lab) -> Hooks:
    return Hooks(lab)


def started(answer: Answer) -> Any:
    """What a delivery that was taken is told."""
    assert answer.status == 202, answer.body
    assert answer.headers["location"] == answer.json["href"]
    return answer.json


def ended(lab: Lab, answer: Answer) -> Any:
    """The end of the run that a delivery has started; it is where the answer says."""
    told = started(answer)
    run = run_named(lab, told["run"]).wait()
    assert run.status == "SUCCEEDED", run.cause
    seen = Api(lab).call("GET", told["href"].removeprefix("/v1"))
    assert (seen.status, seen.json["run"]) == (200, told["run"])
    return run.output


# --- what is shipped


def test_a_jira_issue_is_planned_approved_and_carried_out(lab: Lab, hooks: Hooks) -> None:
    """Its plan is what was approved; a plan that nobody has approved is not carried out."""
    domain = "jira-hook.example"
    add(lab, domain)
    before = txt_values(lab, domain)
    plan = ended(lab, hooks.send("jira", shipped("jira-issue-planning")))
    assert txt_values(lab, domain) == before

    other = started(hooks.send("jira", shipped("jira-issue-approved")))
    refused = run_named(lab, other["run"]).wait()
    assert refused.error == "PlanChangedError", "the digest in the file is nobody's"

    approved = shipped("jira-issue-approved")
    approved["issue"]["fields"]["customfield_10044"] = plan["digest"]
    number = {"X_Atlassian_Webhook_Identifier": "3b2f1c7e-1"}
    first = hooks.send("jira", approved, **number)
    again = hooks.send("jira", approved, X_Atlassian_Webhook_Retry="1", **number)
    assert ended(lab, first)["state"] == "off"
    assert txt_values(lab, domain) != before
    late = hooks.send("jira", approved, **number)
    assert {each.json["run"] for each in (first, again, late)} == {first.json["run"]}
    assert [each.json["again"] for each in (first, again, late)] == [False, True, True]
    assert len(runs_of(lab, domain)) == 3


def test_what_happens_to_an_approved_issue_later_starts_nothing(lab: Lab, hooks: Hooks) -> None:
    """An edit or a comment, that of the way back among them, is an update as well."""
    for changelog in ({"items": [{"field": "description", "toString": "x"}]}, None):
        edited = shipped("jira-issue-approved")
        edited["changelog"] = changelog
        edited["issue"]["fields"]["customfield_10042"] = "edited.jira-hook.example"
        answer = hooks.send("jira", edited)
        assert (answer.status, answer.json["started"]) == (200, False)
    assert runs_of(lab, "edited.jira-hook.example") == []


def test_a_servicenow_change_is_looked_at(lab: Lab, hooks: Hooks) -> None:
    add(lab, "servicenow-hook.example")
    answer = hooks.send("servicenow", shipped("servicenow-change"))
    assert ended(lab, answer)["domain"] == "servicenow-hook.example"
    asked = run_input(lab, answer.json["run"])
    assert (asked["ticket"], asked["ticket_id"][:8]) == ("CHG0030192", "1c741bd7")


def test_a_script_has_a_look_and_a_plan(lab: Lab, hooks: Hooks) -> None:
    add(lab, "plain-hook.example")
    assert ended(lab, hooks.send("script", shipped("plain")))["domain"] == "plain-hook.example"
    plan = plain("plain-hook.example", method="retire", dry_run="yes")
    assert len(ended(lab, hooks.send("script", plan))["digest"]) == 64


# --- what is refused

BAD = {
    "jira-domain-not-in-list": (403, "domain-not-allowed"),
    "jira-method-not-in-list": (403, "method-not-allowed"),
    "jira-not-approved": (422, "invalid"),
    "servicenow-no-dry-run": (422, "invalid"),
    "servicenow-unknown-method": (422, "invalid"),
    "plain-no-moment": (401, "stale"),
    "plain-for-real": (403, "method-not-allowed"),
    "plain-sent-long-ago": (401, "stale"),
}


def test_what_is_shipped_as_bad_is_refused(lab: Lab, hooks: Hooks) -> None:
    assert {file.stem for file in FOLDER.glob("bad/*.json")} == set(BAD)
    known = all_runs(lab)
    for name, (status, kind) in BAD.items():
        source = name.partition("-")[0].replace("plain", "script")
        problem(hooks.send(source, shipped(f"bad/{name}")), status, kind)
    assert all_runs(lab) == known


def all_runs(lab: Lab) -> set[str]:
    states = lab.client("stepfunctions")
    listed = states.list_executions(
        stateMachineArn=lab.stack_outputs["StateMachineArn"], maxResults=1000
    )
    return {one["name"] for one in listed["executions"] if one["name"].startswith("hook-")}


def test_nobody_gets_in_without_a_key(lab: Lab, hooks: Hooks) -> None:
    domain = LISTED.format("unsigned")
    body = json.dumps(plain(domain)).encode()
    good, other = sign(body, hooks.key("script")), sign(body, hooks.key("servicenow"))
    answers = [
        hooks.send_unsigned("script", body),
        hooks.send_unsigned("script", body, X_Hub_Signature="sha256=" + "0" * 64),
        hooks.send_unsigned("script", body, X_Hub_Signature=other),
        hooks.send_unsigned("script", body + b" ", X_Hub_Signature=good),
        hooks.send_unsigned("script", body, X_Hub_Signature=good[7:]),
        hooks.send_unsigned("script", body, X_Hub_Signature_256="sha256=", X_Hub_Signature=good),
        hooks.send_unsigned("nobody", body, X_Hub_Signature=good),
        hooks.send_unsigned("jira", body, X_Hub_Signature=good),
        hooks.send_unsigned("script", b"", X_Hub_Signature=good),
    ]
    for answer in answers:
        problem(answer, 401, "unsigned")
    assert len({answer.body for answer in answers}) == 1
    assert runs_of(lab, domain) == []
    started(hooks.send_unsigned("script", body, X_Hub_Signature=good))


def test_only_deliveries_are_taken(lab: Lab, hooks: Hooks) -> None:
    domain = LISTED.format("odd")
    body = json.dumps(plain(domain)).encode()
    for method in ("GET", "PUT", "DELETE"):
        answer = hooks.send_unsigned("script", b"", method)
        problem(answer, 405, "method")
        assert answer.headers["allow"] == "POST"
    problem(hooks.send("script", body + b" " * LARGEST_BODY), 413, "too-large")
    problem(hooks.send("script", body, Content_Type="text/plain"), 415, "media-type")
    problem(hooks.send("script", body, Content_Encoding="gzip"), 415, "media-type")
    twice = body.replace(b"{", b'{"method": "check", ', 1)
    deep = body.replace(b"{", b'{"more": ' + b"[" * 20_000 + b"]" * 20_000 + b", ", 1)
    for each in (b"domain=solarmora.com", b"[]", b"", twice, deep, body[:-1]):
        problem(hooks.send("script", each), 400, "malformed")
    assert runs_of(lab, domain) == []


def test_a_source_stays_within_its_list(lab: Lab, hooks: Hooks) -> None:
    known = all_runs(lab)
    for domain in ("solarmora.com", "jira-hook.example", "notplain-hook.example"):
        problem(hooks.send("script", plain(domain)), 403, "domain-not-allowed")
    domain = LISTED.format("methods")
    for method in ("none-policy", "delete-record", "retire", "restore", "change-id"):
        for more in ({}, {"dry_run": False}, {"dry_run": "no"}):
            answer = hooks.send("script", plain(domain, method=method, **more))
            problem(answer, 403, "method-not-allowed")
    # What no hook may set is not even looked at: only what the table names is.
    answer = hooks.send("script", plain(domain, remove_policy=True, due={}, accept_current="x"))
    assert run_input(lab, started(answer)["run"]) == {"domain": domain, "method": "check"}
    assert all_runs(lab) - known == {answer.json["run"]}


def run_input(lab: Lab, run: str) -> Any:
    described = lab.client("stepfunctions").describe_execution(executionArn=run_named(lab, run).arn)
    return json.loads(described["input"])


def test_script_is_text_or_refused(lab: Lab, hooks: Hooks) -> None:
    domain = LISTED.format("script")
    texts = dict.fromkeys(("requested_by", "ticket", "reason"), SCRIPT)
    answer = hooks.send("script", plain(domain, **texts, reason_="\x1b"))
    assert SCRIPT.encode() not in answer.body
    asked = run_input(lab, started(answer)["run"])
    assert asked == {"domain": domain, "method": "check", **texts}
    for name in ("method", "ticket_id", "approved_plan", "restore_at", "new_mx", "dry_run"):
        told = hooks.send("script", plain(domain, **{name: SCRIPT}))
        problem(told, 422, "invalid")
        assert told.headers["x-content-type-options"] == "nosniff"
    problem(hooks.send("script", plain(SCRIPT)), 422, "invalid")
    assert len(runs_of(lab, domain)) == 1


def test_a_replay_is_the_run_that_it_was(lab: Lab, hooks: Hooks) -> None:
    domain = LISTED.format("replay")
    first = plain(domain)
    run = started(hooks.send("script", first, X_Request_Id="1"))["run"]
    for headers in ({}, {"X_Request_Id": "1"}, {"X_Request_Id": "2"}):
        told = started(hooks.send("script", first, **headers))
        assert (told["run"], told["again"]) == (run, True)
    written_otherwise = {**first, "attempt": 2}
    for headers in ({"X_Request_Id": "1"}, {}):
        assert started(hooks.send("script", written_otherwise, **headers))["run"] == run
    assert len(runs_of(lab, domain)) == 1
    # A number is not signed: another delivery under it is another run.
    for other in ({**first, "sent_at": first["sent_at"] + 1}, {**first, "reason": "another"}):
        assert started(hooks.send("script", other, X_Request_Id="1"))["again"] is False
    assert len(runs_of(lab, domain)) == 3


def test_a_stale_delivery_starts_nothing(lab: Lab, hooks: Hooks) -> None:
    domain = LISTED.format("stale")
    now = time.time()
    for moment in (now - 2 * 3600 - 60, now + 600, None, "yesterday", True):
        problem(hooks.send("script", plain(domain, sent_at=moment)), 401, "stale")
    assert runs_of(lab, domain) == []


def test_the_run_that_holds_a_domain_is_named(lab: Lab, hooks: Hooks) -> None:
    domain = "busy.jira-hook.example"
    add(lab, domain, ttl=4)
    approved = shipped("jira-issue-approved")
    fields = approved["issue"]["fields"]
    fields["customfield_10042"] = domain
    holder = lab.start({"domain": domain, "method": "none-policy"})
    reaches(holder, "Wait Out TTL")
    told = problem(hooks.send("jira", approved), 409, "busy")
    assert told["run"] == holder.arn.rpartition(":")[2]
    looked = shipped("jira-issue-planning")
    looked["issue"]["fields"]["customfield_10042"] = domain
    started(hooks.send("jira", looked))
    holder.wait()
    assert started(hooks.send("jira", approved))["again"] is False
