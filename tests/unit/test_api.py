"""What the API decides by itself: who may what, what an address is, and what the page says of errors."""

import ast
import json
import re
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mta_sts import api, calls, views, wiring
from mta_sts.adapters.register import PHASES
from mta_sts.problems import Problem
from mta_sts.request import Request
from tests.unit.documents import DOCUMENTS, ROOT, codes, tables_with_heads

PAGE = DOCUMENTS["docs/api.md"]
NOT_OURS = {"gateway"}  # what the gateway says; see the template


def event(**more: Any) -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "path": "/domains",
        "headers": {"Content-Type": "application/json"},
        "queryStringParameters": None,
        "body": None,
        "requestContext": {"path": "/v1/domains", "identity": {"userArn": "arn:aws:iam::1:user/a"}},
        **more,
    }


def refused(call: calls.Call, scope: str) -> Problem:
    with pytest.raises(Problem) as caught:
        calls.allow(call, scope)
    return caught.value


@pytest.mark.parametrize(
    ("scopes", "look", "change"),
    [
        ("mta-sts-off/check", True, False),
        ("mta-sts-off/change", True, True),
        ("mta-sts-off/check mta-sts-off/change", True, True),
        ("mta-sts-off/checks other/change", False, False),
        ("", False, False),
    ],
)
def test_a_tokens_scopes_say_what_it_may(
    monkeypatch: pytest.MonkeyPatch, scopes: str, *, look: bool, change: bool
) -> None:
    monkeypatch.setenv("API_AUTHORISATION", "OAUTH")
    context = {"authorizer": {"claims": {"scope": scopes, "client_id": "c"}}}
    call = calls.Call.of(event(requestContext=context))
    assert call.caller == "c"
    for scope, may in (("check", look), ("change", change)):
        if may:
            calls.allow(call, scope)
        else:
            assert refused(call, scope).status == 403


def test_what_the_gateway_did_not_let_in_is_refused_here_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = calls.Call.of(event(requestContext={}))
    for mode in ("IAM", "OAUTH"):
        monkeypatch.setenv("API_AUTHORISATION", mode)
        assert refused(nobody, "check").status == 403
    signed = calls.Call.of(event())
    assert refused(signed, "check").kind == "scope", "a signature is no token"


def test_a_body_is_read_as_bytes_however_it_is_handed_on() -> None:
    plain = calls.Call.of(event(body='{"reason": "ä"}'))
    coded = calls.Call.of(event(body="eyJyZWFzb24iOiAiw6QifQ==", isBase64Encoded=True))
    assert plain.body == coded.body == '{"reason": "ä"}'.encode()
    assert plain.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("prefer", "dry_run", "seconds"),
    [
        ("", False, 0),
        ("", True, calls.LONGEST_WAIT),
        ("wait=5", False, 5),
        ("respond-async, wait=5", True, 0),
        ("respond-async", True, 0),
        ("handling=lenient, Wait=7", False, 7),
        ("wait=9999", False, calls.LONGEST_WAIT),
        ("await=9", False, 0),
        ("wait=-1", False, 0),
        ("wait=1e9", False, 0),
    ],
)
def test_how_long_a_caller_waits(prefer: str, *, dry_run: bool, seconds: int) -> None:
    request = Request("a.example", "none-policy", dry_run=dry_run)
    assert calls.wait(calls.Call("/", {"prefer": prefer}), request) == seconds


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/domains", 405, "GET"),
        ("PUT", "/domains/a.example/runs", 405, "GET, POST"),
        ("GET", "/domains/a.example/runs/a/b", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/domains/%00/runs", 404, None),
    ],
)
def test_no_route(method: str, path: str, status: int, allow: str | None) -> None:
    problem = calls.no_route(method, path)
    assert (problem.status, problem.headers.get("Allow")) == (status, allow)


def test_the_page_names_every_kind_of_problem_and_no_other() -> None:
    [rows] = [one[1:] for one in tables_with_heads(PAGE) if one[0][0] == "status"]
    told = {(int(row[0]), kind) for row in rows for kind in codes(row[1])}
    modules = ("api", "calls", "incoming")
    made = {
        pair
        for name in modules
        for pair in problems_of((ROOT / f"layers/mta_sts/mta_sts/{name}.py").read_text())
    }
    assert {pair for pair in told if pair[1] not in NOT_OURS} == made


def problems_of(source: str) -> set[tuple[int, str]]:
    """Status and kind of each problem that a module makes."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {
        (call.args[0].value, call.args[1].value)  # type: ignore[attr-defined]  # constants, all of them
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "Problem"
    }


def test_the_page_names_every_phase_scope_and_limit() -> None:
    [rows] = [one[1:] for one in tables_with_heads(PAGE) if one[0][0] == "`phase`"]
    assert [codes(row[0])[0] for row in rows] == list(PHASES)
    assert all(f"`{scope}`" in PAGE for scope in calls.SCOPES.values())
    assert f"More than {api.LARGEST_BODY} bytes" in PAGE
    assert f"({calls.LONGEST_WAIT} at most)" in PAGE


def test_the_page_has_every_route() -> None:
    [rows] = [one[1:] for one in tables_with_heads(PAGE) if one[0][0] == "request"]
    shown = {tuple(codes(row[0])[0].partition("?")[0].split()) for row in rows}
    assert shown == {(method, path) for path, methods in calls.ROUTES.items() for method in methods}


def test_the_policies_of_the_page_are_json() -> None:
    blocks = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert [json.loads(block)["Version"] for block in blocks] == ["2012-10-17"]


@pytest.mark.parametrize(
    ("request_", "domain", "belongs"),
    [
        ({"domain": "A.example."}, "a.example", True),
        ({"domain": "a.example"}, "b.example", False),
        ({"domain": "-"}, "-", False),
        ({"domain": ["a.example"]}, "a.example", False),
        ({"discover": True}, "", False),
        (None, "a.example", False),
        ([], "a.example", False),
    ],
)
def test_whose_run_it_is(request_: object, domain: str, *, belongs: bool) -> None:
    assert views.belongs(request_, domain) is belongs


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            "arn:aws:sts::1:assumed-role/tickets/a",
            "arn:aws:sts::1:assumed-role/tickets/b",
            True,
        ),
        (
            "arn:aws:sts::1:assumed-role/tickets/a",
            "arn:aws:sts::1:assumed-role/others/a",
            False,
        ),
        ("arn:aws:iam::1:user/a", "arn:aws:iam::1:user/b", False),
        ("client-1", "client-2", False),
    ],
)
def test_whose_key_it_is(one: str, other: str, *, same: bool) -> None:
    """A role's sessions retry for one another; nobody else uses up a key."""
    given = {"idempotency-key": "k"}
    first, second = (calls.keys(calls.Call("/", given, caller=caller)) for caller in (one, other))
    assert (first == second) is same


class Throttled:
    """Executions that cannot be looked at."""

    def find(self, _run: str) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "DescribeExecution")


def test_a_look_that_fails_after_the_start_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told 503 the caller would send the request again, and without a key begin a second run."""
    monkeypatch.setattr(wiring, "look_at_executions", Throttled)
    assert api._until_ended("api-1", 20) is None


def test_looks_grow_rarer_and_keep_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Running:
        def find(self, _run: str) -> None:
            return None

    clock = iter(range(1000))
    monkeypatch.setattr(wiring, "look_at_executions", Running)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    assert api._until_ended("api-1", 20, pauses.append) is None
    assert pauses == sorted(pauses)
    assert pauses[0] >= 0.5
    assert max(pauses) <= 3
    assert len(pauses) <= 20
