"""The input: everything wrong with it is told at once, and nothing is accepted and ignored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.errors import InvalidRequestError
from mta_sts.request import Request

GOOD = {"domain": "solarmora.com", "method": "none-policy"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_smallest_request() -> None:
    assert Request.parse(GOOD) == Request(domain="solarmora.com", method="none-policy")


def test_every_field_arrives() -> None:
    fields = {
        "dry_run": True, "keep_mx": True, "create_policy": True, "requested_by": "Ada", "ticket": "CHG-1",
        "reason": "move\nto another provider", "approved_plan": "0a" * 32,
    }  # fmt: skip
    parsed = Request.parse(GOOD | fields)
    assert {name: getattr(parsed, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("SolarMora.COM.", "solarmora.com"),  # capitals and a final dot
        ("bücher.example", "xn--bcher-kva.example"),  # Unicode becomes A-labels
        ("a.b.solarmora.com", "a.b.solarmora.com"),  # a subdomain is a policy domain of its own
    ],
)
def test_domain_is_normalised(written: str, meant: str) -> None:
    assert Request.parse(GOOD | {"domain": written}).domain == meant


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"domain": ""}, "domain ''"),
        ({"domain": "192.0.2.1"}, "domain '192.0.2.1'"),
        ({"domain": "localhost"}, "domain 'localhost'"),
        ({"domain": "a." * 130 + "com"}, "253"),
        ({"domain": "-a.example"}, "domain '-a.example'"),
        ({"domain": "https://solarmora.com/"}, "domain 'https"),
        ({"domain": "ada@solarmora.com"}, "domain 'ada@"),
        ({"domain": 7}, "domain must be text, it is a number"),
        ({"domain": None}, "domain must be text, it is null"),
        ({"domain": ["solarmora.com"]}, "domain must be text, it is a list"),
        ({"method": "retire-all"}, "method must be one of none-policy; it is 'retire-all'"),
        ({"method": ["none-policy"]}, "method must be one of none-policy; it is a list"),
        ({"dry_run": "yes"}, "dry_run must be true or false, it is text"),
        ({"dry_run": None}, "dry_run must be true or false, it is null"),
        ({"keep_mx": 1}, "keep_mx must be true or false, it is a number"),
        ({"create_policy": {}}, "create_policy must be true or false, it is an object"),
        ({"requested_by": 1.5}, "requested_by must be text, it is a number"),
        ({"ticket": "x" * 257}, "ticket is longer than 256 characters"),
        ({"reason": "\x1b[2J"}, "reason contains control characters"),
        ({"reason": "\ud800"}, "reason contains control characters"),
        ({"approved_plan": "0A" * 32}, "approved_plan must be the digest of a plan"),
        ({"approved_plan": ""}, "approved_plan must be the digest of a plan"),
        (
            {"bucket": "mine"},
            "unknown field 'bucket'",
        ),  # where a policy lives is the stack's to say
        ({"\x1b[31m": 1}, "unknown field '\\x1b[31m'"),  # shown, not obeyed
    ],
)
def test_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(GOOD | changed)
    assert said in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "solarmora.com", 7, True])
def test_not_an_object(data: object) -> None:
    with pytest.raises(InvalidRequestError, match="must be a JSON object"):
        Request.parse(data)


def test_all_problems_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse({"domain": "x", "dry_run": "no", "colour": "red", "ticket": 9})
    for problem in (
        "domain 'x'",
        "method is missing",
        "dry_run must",
        "unknown field 'colour'",
        "ticket must",
    ):
        assert problem in str(caught.value)


@given(JSON)
def test_whatever_comes_is_parsed_or_refused(data: object) -> None:
    said = ""
    try:
        assert Request.parse(data).method == "none-policy"
    except InvalidRequestError as error:
        said = str(error)
    assert said.isprintable()


KNOWN = (
    "domain",
    "method",
    "dry_run",
    "keep_mx",
    "requested_by",
    "ticket",
    "reason",
    "approved_plan",
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KNOWN, JSON)))
def test_known_fields_with_any_value(data: dict[str, object]) -> None:
    try:
        parsed = Request.parse(data)
    except InvalidRequestError:
        return
    assert parsed.dry_run is data.get("dry_run", False)
    assert parsed.reason == data.get("reason", "")
