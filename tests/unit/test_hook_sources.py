"""Who may send deliveries: a configuration is read as a whole, or refused as a whole."""

import json
from typing import Any

import pytest

from mta_sts.hooks.expressions import Expression, ExpressionError
from mta_sts.hooks.formats import FIELDS, FORMATS
from mta_sts.hooks.sources import HooksUnusableError, parse
from mta_sts.request import Request
from tests.unit.test_state_machine import ROOT

DESK = {"format": "plain", "secret": "s", "domains": ["solarmora.com"]}
SHIPPED = (ROOT / "events/hooks/sources.json").read_text()
# What a caller of an execution may vouch for, accept or widen.
NEVER = (
    "accept_exposure_until", "accept_mx_mismatch", "accept_current", "remove_policy", "create_policy",
    "longest_max_age", "ids_changed_since", "discover", "due", "restore_mode",
)  # fmt: skip


def refusal(found: object) -> str:
    with pytest.raises(HooksUnusableError) as caught:
        parse(found if isinstance(found, str) else json.dumps(found))
    return str(caught.value)


def test_a_source_may_look_unless_more_is_said() -> None:
    desk = parse(json.dumps({"desk": DESK}))["desk"]
    assert desk.methods == ("check",)
    assert desk.when is None
    assert desk.own == frozenset()
    assert desk.moment is not None
    assert set(desk.fields) == set(FIELDS)


def test_the_shipped_configuration_is_one() -> None:
    assert set(parse(SHIPPED)) == {"jira", "servicenow", "script"}
    assert parse("{}") == {}


@pytest.mark.parametrize("format_", FORMATS)
def test_formats_hold_expressions_for_fields_of_hooks(format_: str) -> None:
    table = FORMATS[format_]
    assert set(table.fields) <= set(FIELDS)
    for text in (*table.fields.values(), table.moment):
        Expression(text)


def test_every_field_is_in_one_of_both_lists() -> None:
    """A new field of a request is for hooks, or it is not: somebody has to say so."""
    assert set(FIELDS) | set(NEVER) == set(Request.__dataclass_fields__)
    assert not set(FIELDS) & set(NEVER)


@pytest.mark.parametrize("field", NEVER)
def test_what_no_hook_may_set_refuses_the_whole(field: str) -> None:
    told = refusal({"good": DESK, "desk": {**DESK, "fields": {field: "x"}}})
    assert f"'desk': fields: '{field}' is not for hooks" in told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"format": None}, "format must be one of jira, servicenow, plain"),
        ({"format": "bugzilla"}, "format must be one of"),
        ({"format": ["jira"]}, "format must be one of"),
        ({"format": "jira"}, "fields: domain is not mapped; 'desk': fields: method is not mapped"),
        ({"fields": {"domain": ""}}, "fields: domain is not mapped"),
        ({"secret": ""}, "secret must name a secret"),
        ({"secret": {"arn": "a"}}, "secret must name a secret"),
        ({"domains": []}, "domains must be a list"),
        ({"domains": None}, "domains must be a list"),
        ({"domains": "solarmora.com"}, "domains must be a list"),
        ({"domains": [1]}, "domains must be a list"),
        ({"domains": ["*"]}, "domains: "),
        ({"domains": ["*.com"]}, "domains: "),
        ({"domains": ["*.*.example.org"]}, "domains: "),
        ({"domains": ["a.*.example.org"]}, "domains: "),
        ({"methods": ["switch-off"]}, "methods must be a list of some of"),
        ({"methods": "check"}, "methods must be a list of some of"),
        ({"methods": [["check"]]}, "methods must be a list of some of"),
        ({"when": "a =="}, "when: "),
        ({"when": "shout(a)"}, "when: unknown function: shout()"),
        ({"when": "a || length(shout(b))"}, "when: unknown function: shout()"),
        ({"when": True}, "when must be a JMESPath expression"),
        ({"fields": {"reason": 1}}, "fields must be an object of expressions"),
        ({"fields": {"bucket": "b"}}, "fields: 'bucket' is not for hooks"),
        ({"fields": {"reason": "a["}}, "fields: reason: "),
        ({"moment": None}, "moment must be a JMESPath expression"),
        ({"domain": "solarmora.com"}, "unknown: 'domain'"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], told: str) -> None:
    assert told in refusal({"desk": {**DESK, **changed}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"desk": []}',
        "\ud800",
        '"' * 70_000,
    ],
)
def test_what_is_no_configuration(text: str) -> None:
    assert "not usable" in refusal(text)


ARN = "arn:aws:secretsmanager:eu-west-1:1:secret:"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("s", "s"),
        ("mta-sts-off/a", f"{ARN}mta-sts-off/a-AbC123"),
        ("mta-sts-off/a", f"{ARN}mta-sts-off/a"),
        (f"{ARN}a-AbC123", f"{ARN}a"),
        (f"{ARN}a-AbC123", f"{ARN.replace('west', 'north')}a-AbC123"),  # a replica is the same key
    ],
)
def test_one_key_is_not_for_two(one: str, two: str) -> None:
    """What is signed does not say by whom: each could send in the other's name, to its address."""
    for first, second in ((one, two), (two, one)):
        given = {"a": {**DESK, "secret": first}, "b": {**DESK, "secret": second}}
        assert "'b': its secret is that of 'a'" in refusal(given)


def test_keys_with_names_alike_are_two() -> None:
    secrets = ("s", "s-2", f"{ARN}t-AbC123", f"{ARN}t-2-AbC123", "S")
    given = {f"a{n}": {**DESK, "secret": secret} for n, secret in enumerate(secrets)}
    assert len(parse(json.dumps(given))) == len(secrets)


@pytest.mark.parametrize("name", ["Desk", "a b", "", "ü", "a/b", "-"])
def test_names_can_stand_in_an_address(name: str) -> None:
    assert "its name has other characters" in refusal({name: DESK})


def test_every_problem_is_named_at_once() -> None:
    told = refusal({"a": {}, "b": {**DESK, "methods": [], "when": "("}})
    for words in ("'a': format", "'a': secret", "'a': domains", "'b': when"):
        assert words in told


@pytest.mark.parametrize(
    ("domain", "allowed"),
    [
        ("solarmora.com", True),
        ("xn--bcher-kva.example", True),
        ("a.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),  # those below it only
        ("badexample.org", False),
        ("mail.solarmora.com", False),
        ("solarmora.com.evil.example", False),
    ],
)
def test_domains_are_those_of_the_list(domain: str, *, allowed: bool) -> None:
    listed = ["SolarMora.com.", "*.Example.org", "bücher.example"]
    desk = parse(json.dumps({"desk": {**DESK, "domains": listed}}))["desk"]
    assert desk.may_touch(domain) is allowed


def test_a_source_may_do_without_a_moment_if_that_is_said() -> None:
    assert parse(json.dumps({"desk": {**DESK, "moment": ""}}))["desk"].moment is None


def test_an_expression_that_fails_quotes_nothing() -> None:
    with pytest.raises(ExpressionError, match=r"^JMESPathTypeError$"):
        Expression("length(a)").of({"a": 1})
    assert Expression("a.b").of({"c": 1}) is None
