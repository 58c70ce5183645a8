"""Every route of the API, through the gateway: who may call, what is asked, what comes back."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.credentials import Credentials

from local.api import Answer, Api
from local.emulator import ACCOUNT, REGION
from local.lab import Lab
from tests.workflow.life import run as run_named
from tests.workflow.life import until_true
from tests.workflow.scene import add, reaches
from tests.workflow.watch import txt_values

JSON, PROBLEM = "application/json", "application/problem+json"
SCRIPT = "<script>alert(1)</script>\x7f\u202e"


@pytest.fixture(scope="module")
def api(lab: Lab) -> Api:
    return Api(lab)


def problem(answer: Answer, status: int, kind: str) -> dict[str, Any]:
    """What a refusal says: problem details (RFC 9457), not to be kept by anybody."""
    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM), answer.body
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json
    assert told["type"] == f"urn:mta-sts-off:problem:{kind}", told
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    return told


def runs_of(lab: Lab, domain: str) -> list[str]:
    """The executions whose input names a domain."""
    states = lab.client("stepfunctions")
    listed = states.list_executions(
        stateMachineArn=lab.stack_outputs["StateMachineArn"], maxResults=1000
    )["executions"]
    found = [states.describe_execution(executionArn=one["executionArn"]) for one in listed]
    return [one["name"] for one in found if f'"{domain}"' in one["input"]]


def allowed_only(lab: Lab, name: str, *resources: str) -> Credentials:
    """Credentials of a new role that may invoke these addresses of the API."""
    iam, api = lab.client("iam"), lab.stack_outputs["ApiUrl"].split("/")[2].partition(".")[0]
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}/v1"
    may = {
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": [f"{arn}/{resource}" for resource in resources],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName="call", PolicyDocument=document(may))
    return session(lab, role["RoleName"], "first")


def session(lab: Lab, role: str, name: str) -> Credentials:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    lent = lab.client("sts").assume_role(RoleArn=arn, RoleSessionName=name)
    keys = lent["Credentials"]
    return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


def document(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


ROUTES = [
    ("GET", "/domains"),
    ("GET", "/domains/unsigned.example"),
    ("GET", "/domains/unsigned.example/runs"),
    ("POST", "/domains/unsigned.example/runs"),
    ("GET", "/domains/unsigned.example/runs/any"),
    ("DELETE", "/nothing"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_comes_in_unsigned_or_signed_by_a_stranger(lab: Lab, method: str, path: str) -> None:
    body = {"method": "check"} if method == "POST" else None
    strangers = Credentials("AKIAIOSFODNN7EXAMPLE", "not the key of anybody")
    for credentials in (None, strangers):
        answer = Api(lab, credentials).call(method, path, body)
        assert answer.status == 403, answer.body
    assert runs_of(lab, "unsigned.example") == []


def test_iam_says_who_may_ask_what_and_for_which_domain(lab: Lab) -> None:
    reader = Api(lab, allowed_only(lab, "reader", "GET/domains", "GET/domains/*"))
    one = Api(lab, allowed_only(lab, "one-domain", "*/domains/mine.example/*"))
    asked = {"method": "none-policy", "dry_run": True}
    assert reader.call("GET", "/domains").status == 200
    assert reader.call("POST", "/domains/mine.example/runs", asked).status == 403
    assert one.call("POST", "/domains/mine.example/runs", asked).status != 403
    for other in ("other.example", "MINE.example", "mine.example%2e"):
        answer = one.call("POST", f"/domains/{other}/runs", asked)
        assert answer.status in (403, 404), answer.body
    named = {**asked, "domain": "other.example"}
    problem(one.call("POST", "/domains/mine.example/runs", named), 422, "invalid")
    assert runs_of(lab, "other.example") == []


def test_another_spelling_of_a_domain_leads_around_no_policy(api: Api) -> None:
    for path in (
        "/domains/Solarmora.com",
        "/domains/solarmora.com.",
        "/domains/%EF%BD%93olarmora.com",
    ):
        told = problem(api.call("GET", path), 422, "invalid")
        assert "write the domain as solarmora.com" in told["detail"]


def test_a_run_from_the_request_to_its_outcome(lab: Lab, api: Api) -> None:
    domain = "api-run.example"
    add(lab, domain)
    path = f"/domains/{domain}/runs"
    request = {"method": "none-policy", "ticket": "OPS-7", "reason": SCRIPT.replace("\x7f", "")}
    mover = Api(lab, allowed_only(lab, "mover", f"POST{path}"))
    started = mover.call("POST", path, request, {"Idempotency-Key": '"move-7"'})
    assert (started.status, started.json["again"]) == (202, False), started.body
    assert started.headers["location"] == started.json["href"] == f"/v1{path}/{started.json['run']}"
    href = f"{path}/{started.json['run']}"
    run = run_named(lab, started.json["run"])
    reaches(run, "Wait Out TTL")

    busy = problem(api.call("POST", path, {"method": "restore"}), 409, "busy")
    assert busy["run"] == started.json["run"]
    assert api.call("GET", f"/domains/{domain}").json["held_by"]["run"] == started.json["run"]
    mover = Api(lab, session(lab, "mover", "second"))
    again = mover.call("POST", path, request, {"Idempotency-Key": "move-7"})
    assert (again.status, again.json["run"], again.json["again"]) == (202, busy["run"], True)
    running = api.call("GET", href).json
    assert running["status"] == "running"
    assert running["waiting"]["state"] == "Wait Out TTL"
    assert running["waiting"]["until"] > running["started_at"]
    assert {"Publish Policy", "Change Id"} < {
        one["state"] for one in running["states"] if one["to"]
    }
    assert running["evidence"]["policy"]["agreeing"]

    run.wait()
    ended = api.call("GET", href).json
    assert (ended["status"], ended["error"]) == ("succeeded", None)
    assert ended["text"].startswith(f"MTA-STS is off for {domain}")
    assert ended["outcome"]["answers"]["off"]["sentence"] in ended["text"]
    assert ended["evidence"]["record"]["agreeing"]
    assert (ended["ticket"], ended["reason"]) == ("OPS-7", request["reason"])
    assert ended["requested_by"].endswith(":assumed-role/mover/first")
    later = mover.call("POST", path, request, {"Idempotency-Key": "move-7", "Prefer": "wait=5"})
    assert (later.status, later.json["run"]) == (200, started.json["run"]), "long after it ended"
    other = mover.call("POST", path, {"method": "restore"}, {"Idempotency-Key": "move-7"})
    assert started.json["run"] in problem(other, 409, "key-reused")["detail"]
    assert len(runs_of(lab, domain)) == 1


def test_nobody_uses_up_the_key_of_another(lab: Lab, api: Api) -> None:
    path, key = "/domains/two-callers.example/runs", {"Idempotency-Key": "CHG0030192"}
    other = Api(lab, allowed_only(lab, "looks-first", f"POST{path}"))
    looked = other.call("POST", path, {"method": "check"}, key)
    changed = api.call("POST", path, {"method": "none-policy"}, key)
    assert (looked.status, changed.status) == (202, 202), changed.body
    assert looked.json["run"] != changed.json["run"]


def test_a_domain_answers_by_what_is_on_record(lab: Lab, api: Api) -> None:
    domain = "api-domain.example"
    problem(api.call("GET", f"/domains/{domain}"), 404, "no-domain")
    add(lab, domain, ttl=1)
    path = f"/domains/{domain}/runs"
    looked = api.call("POST", path, {"method": "check"}, {"Prefer": "wait=20"})
    assert (looked.status, looked.json["outcome"]["state"]) == (200, "on"), looked.body
    before = api.call("GET", f"/domains/{domain}").json
    assert (before["phase"], before["answers"]["hold"]) == ("unsettled", False)
    assert before["last_check"]["run"] == looked.json["run"]
    done = api.call("POST", path, {"method": "none-policy"}, {"Prefer": "wait=20"})
    assert done.status == 200, done.body
    shown = api.call("GET", f"/domains/{domain}").json
    outcome = done.json["outcome"]
    assert shown["phase"] == "draining"
    assert shown["answers"]["hold"] is True
    assert shown["answers"]["off"] == outcome["answers"]["off"]
    assert shown["answers"]["mx"]["answer"] == outcome["answers"]["mx"]["answer"]
    assert shown["answers"]["every_sender_has_let_go"] is False
    assert shown["all_off_at"] == outcome["all_off_at"]
    assert {one["kind"] for one in shown["due"]} == {"watch", "drained"}
    assert [one["method"] for one in shown["runs"]] == ["none-policy", "check"]
    listed = api.call("GET", f"{path}?limit=1").json["runs"]
    assert [one["run"] for one in listed] == [done.json["run"]]


def test_domains_are_listed_by_phase_and_page(lab: Lab, api: Api) -> None:
    names = [f"page-{letter}.example" for letter in "abc"]
    for name in names:
        add(lab, name, ttl=1)
    for name in names[:2]:
        api.call("POST", f"/domains/{name}/runs", {"method": "none-policy"})
    refused = {"method": "delete-record"}  # it refuses long-lived policies
    api.call("POST", f"/domains/{names[2]}/runs", refused, {"Prefer": "wait=20"})
    until_true("both are off", lambda: all(phase(api, name) == "draining" for name in names[:2]))
    query, seen = "/domains?phase=draining&limit=1&after=pa.example", []
    while query:
        page = api.call("GET", query).json
        assert len(page["domains"]) <= 1
        seen += [one["domain"] for one in page["domains"] if one["phase"] == "draining"]
        query = (page["next"] or "").removeprefix("/v1")
    assert [name for name in seen if name in names] == names[:2]
    every = [one["domain"] for one in pages(api)]
    assert every == sorted(every)
    assert set(names[:2]) <= set(every)
    assert names[2] not in every, "it was refused before anything was claimed"


def phase(api: Api, domain: str) -> str | None:
    answer = api.call("GET", f"/domains/{domain}")
    return answer.json["phase"] if answer.status == 200 else None


def pages(api: Api) -> list[dict[str, Any]]:
    found, query = [], "/domains?limit=100"
    while query:
        page = api.call("GET", query).json
        found += page["domains"]
        query = (page["next"] or "").removeprefix("/v1")
    return found


def test_an_approval_is_for_exactly_the_plan_that_was_shown(lab: Lab, api: Api) -> None:
    domain = "api-plan.example"
    add(lab, domain, ttl=1)
    path = f"/domains/{domain}/runs"
    shown = api.call("POST", path, {"method": "none-policy", "dry_run": True})
    assert shown.status == 200, shown.body
    plan = shown.json["plan"]
    assert plan["digest"] in shown.json["text"]
    assert plan["steps"]
    assert len(txt_values(lab, domain)) == 1
    # The ticket approves it; meanwhile somebody changes what it rests on.
    digest = plan["digest"]
    other = {"method": "none-policy", "keep_mx": True, "approved_plan": digest}
    refused = problem(api.call("POST", path, other, {"Prefer": "wait=20"}), 409, "refused")
    assert refused["error"] == "PlanChangedError"
    assert "Changed: nothing." in refused["detail"]
    approved = {"method": "none-policy", "approved_plan": digest}
    done = api.call("POST", path, approved, {"Prefer": "wait=20"})
    assert (done.status, done.json["outcome"]["plan"]) == (200, digest), done.body


def test_a_refused_plan_says_why(lab: Lab, api: Api) -> None:
    asked = {"method": "none-policy", "dry_run": True}
    told = problem(api.call("POST", "/domains/nowhere.example/runs", asked), 409, "refused")
    assert told["error"] == "ZoneNotFoundError"
    shown = api.call("GET", told["href"].removeprefix("/v1")).json
    assert (shown["status"], shown["error"]["name"]) == ("failed", "ZoneNotFoundError")
    assert shown["plan"] is None


def test_a_run_of_another_domain_is_none(lab: Lab, api: Api) -> None:
    run = lab.run({"domain": "nowhere-else.example", "method": "none-policy", "dry_run": True})
    name = run.arn.rpartition(":")[2]
    assert api.call("GET", f"/domains/nowhere-else.example/runs/{name}").status == 200
    for path in (f"/domains/other.example/runs/{name}", "/domains/other.example/runs/no-such-run"):
        told = problem(api.call("GET", path), 404, "no-run")
        assert "nowhere-else" not in json.dumps(told)


def test_a_run_that_step_functions_has_forgotten_is_still_shown(lab: Lab, api: Api) -> None:
    domain = "api-old.example"
    add(lab, domain, ttl=1)
    path = f"/domains/{domain}/runs"
    done = api.call(
        "POST", path, {"method": "none-policy", "ticket": "OPS-8"}, {"Prefer": "wait=20"}
    )
    name = done.json["run"]
    ledger = lab.client("dynamodb")
    table = lab.stack_outputs["LedgerTableName"]
    items = ledger.query(
        TableName=table,
        KeyConditionExpression="#d = :d AND begins_with(#i, :r)",
        ExpressionAttributeNames={"#d": "domain", "#i": "item"},
        ExpressionAttributeValues={":d": {"S": domain}, ":r": {"S": "run#"}},
    )["Items"]
    [item] = [one for one in items if one["item"]["S"].endswith(f"#{name}")]
    # As though the execution had been forgotten: the same item under a name that never was one.
    item["item"] = {"S": item["item"]["S"].replace(name, "forgotten-run")}
    ledger.put_item(TableName=table, Item=item)
    shown = api.call("GET", f"{path}/forgotten-run").json
    assert (shown["status"], shown["ticket"]) == ("succeeded", "OPS-8")
    assert shown["outcome"]["answers"] == done.json["outcome"]["answers"]
    assert (shown["states"], shown["states_complete"]) == ([], False)


BAD_BODIES: list[tuple[str, bytes, str, int, str]] = [
    ("not JSON", b"{", JSON, 400, "malformed"),
    ("nothing", b"", JSON, 400, "malformed"),
    ("no object", b"[1]", JSON, 400, "malformed"),
    ("no number", b'{"longest_max_age": NaN}', JSON, 400, "malformed"),
    ("a name twice", b'{"method": "check", "method": "restore"}', JSON, 400, "malformed"),
    ("half a character", b'{"method": "check", "reason": "\\ud800"}', JSON, 400, "malformed"),
    ("deep", b'{"method": ' + b"[" * 5000 + b"]" * 5000 + b"}", JSON, 400, "malformed"),
    ("too large", b'{"reason": "' + b"x" * 20_000 + b'"}', JSON, 413, "too-large"),
    ("another type", b'{"method": "check"}', "text/plain", 415, "media-type"),
    ("a form", b"method=check", "application/x-www-form-urlencoded", 415, "media-type"),
]


@pytest.mark.parametrize(
    ("body", "media_type", "status", "kind"),
    [each[1:] for each in BAD_BODIES],
    ids=[each[0] for each in BAD_BODIES],
)
def test_a_body_that_cannot_be_read_starts_nothing(
    lab: Lab, api: Api, body: bytes, media_type: str, status: int, kind: str
) -> None:
    headers = {"Content-Type": media_type}
    problem(api.call("POST", "/domains/bad-body.example/runs", body, headers), status, kind)
    assert runs_of(lab, "bad-body.example") == []


BAD_REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "every problem at once": (
        {"method": "off", "dry_run": "yes", "bucket": "mine"},
        ["method must be one of", "dry_run must be true or false", "unknown field 'bucket'"],
    ),
    "another domain": ({"method": "check", "domain": "a.example"}, ["domain is another"]),
    "the schedule's own": (
        {
            "method": "delete-record",
            "due": {"kind": "retirement", "generation": 1, "at": "2026-01-01T00:00:00Z"},
        },
        ["due is what the schedule adds"],
    ),
    "a listing": ({"method": "check", "discover": True}, ["discover looks for every domain"]),
    "script": (
        {"method": SCRIPT, "ticket_id": SCRIPT, SCRIPT: 1, "restore_mode": SCRIPT},
        ["method must be one of", "ticket_id must be", "unknown field"],
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_told_all_that_is_wrong(lab: Lab, api: Api, name: str) -> None:
    body, expected = BAD_REQUESTS[name]
    told = problem(api.call("POST", "/domains/bad-request.example/runs", body), 422, "invalid")
    for words in expected:
        assert any(words in one for one in told["problems"]), told
    assert "\u202e" not in json.dumps(told, ensure_ascii=False), "nothing that a screen would obey"
    assert runs_of(lab, "bad-request.example") == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/domains?phase=later", "phase must be one of"),
        ("/domains?phase=", "phase must be one of"),
        ("/domains?after=", "domain"),
        ("/domains?limit=0", "limit must be 1 to 100"),
        ("/domains?limit=%D9%A1", "limit must be 1 to 100"),
        ("/domains?fase=on", "unknown parameter 'fase'"),
        ("/domains?after=192.0.2.1", "is an IP address"),
        ("/domains/solarmora", "single label"),
        ("/domains/a.example/runs?limit=1000", "limit must be 1 to 100"),
    ],
)
def test_odd_parameters_are_refused_and_not_ignored(api: Api, path: str, words: str) -> None:
    assert words in problem(api.call("GET", path), 422, "invalid")["detail"]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a b"])
def test_a_key_has_to_be_one(lab: Lab, api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key}
    answer = api.call("POST", "/domains/bad-key.example/runs", {"method": "check"}, headers)
    assert "Idempotency-Key" in problem(answer, 422, "invalid")["detail"]
    assert runs_of(lab, "bad-key.example") == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/domains", "GET"),
        ("PUT", "/domains/a.example", "GET"),
        ("PATCH", "/domains/a.example/runs", "GET, POST"),
        ("POST", "/domains/a.example/runs/any", "GET"),
    ],
)
def test_a_method_that_is_not_for_an_address(api: Api, method: str, path: str, allow: str) -> None:
    answer = api.call(method, path, {})
    problem(answer, 405, "method")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/domains/a.example/other",
        "/domains/a.example/runs/a/b",
        # Another spelling of an address leads around no policy either.
        "/domains/",
        "/domains//",
        "/domains/a.example/runs/",
        "//domains",
    ],
)
def test_an_address_that_is_none(api: Api, path: str) -> None:
    problem(api.call("GET", path), 404, "not-found")
