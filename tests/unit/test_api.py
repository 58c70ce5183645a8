"""What the API decides by itself: who may what, what an address is, and what the page says of errors."""

import ast
import json
import re
from typing import Any

import pytest

from mta_sts import api, views
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


def refused(call: api.Call, scope: str) -> Problem:
    with pytest.raises(Problem) as caught:
        api._allow(call, scope)
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
    call = api.Call.of(event(requestContext=context))
    assert call.caller == "c"
    for scope, may in (("check", look), ("change", change)):
        if may:
            api._allow(call, scope)
        else:
            assert refused(call, scope).status == 403


def test_what_the_gateway_did_not_let_in_is_refused_here_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = api.Call.of(event(requestContext={}))
    for mode in ("IAM", "OAUTH"):
        monkeypatch.setenv("API_AUTHORISATION", mode)
        assert refused(nobody, "check").status == 403
    signed = api.Call.of(event())
    assert refused(signed, "check").kind == "scope", "a signature is no token"


def test_a_body_is_read_as_bytes_however_it_is_handed_on() -> None:
    plain = api.Call.of(event(body='{"reason": "ä"}'))
    coded = api.Call.of(event(body="eyJyZWFzb24iOiAiw6QifQ==", isBase64Encoded=True))
    assert plain.body == coded.body == '{"reason": "ä"}'.encode()
    assert plain.headers == {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("prefer", "dry_run", "seconds"),
    [
        ("", False, 0),
        ("", True, api.LONGEST_WAIT),
        ("wait=5", False, 5),
        ("respond-async, wait=5", True, 0),
        ("respond-async", True, 0),
        ("handling=lenient, Wait=7", False, 7),
        ("wait=9999", False, api.LONGEST_WAIT),
        ("await=9", False, 0),
        ("wait=-1", False, 0),
        ("wait=1e9", False, 0),
    ],
)
def test_how_long_a_caller_waits(prefer: str, *, dry_run: bool, seconds: int) -> None:
    request = Request("a.example", "none-policy", dry_run=dry_run)
    assert api._wait(api.Call("/", {"prefer": prefer}), request) == seconds


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
    problem = api.no_route(method, path)
    assert (problem.status, problem.headers.get("Allow")) == (status, allow)


def test_the_page_names_every_kind_of_problem_and_no_other() -> None:
    [rows] = [one[1:] for one in tables_with_heads(PAGE) if one[0][0] == "status"]
    told = {(int(row[0]), kind) for row in rows for kind in codes(row[1])}
    modules = ("api", "incoming")
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
    assert all(f"`{scope}`" in PAGE for scope in api.SCOPES.values())
    assert f"More than {api.LARGEST_BODY} bytes" in PAGE
    assert f"({api.LONGEST_WAIT} at most)" in PAGE


def test_the_page_has_every_route() -> None:
    [rows] = [one[1:] for one in tables_with_heads(PAGE) if one[0][0] == "request"]
    shown = {tuple(codes(row[0])[0].partition("?")[0].split()) for row in rows}
    assert shown == {(method, path) for path, methods in api.ROUTES.items() for method in methods}


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
