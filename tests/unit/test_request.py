"""The input: everything wrong with it is told at once, and nothing is accepted and ignored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.errors import InvalidRequestError
from mta_sts.request import Request

MUST_BE_A_METHOD = (
    "method must be one of none-policy, delete-record, retire, restore, change-id, check"
)
GOOD = {"domain": "solarmora.com", "method": "none-policy"}
DELETE = GOOD | {"method": "delete-record"}
YEAR = 31_557_600  # seconds, the longest max_age of RFC 8461

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


def test_every_field_of_delete_record_arrives() -> None:
    fields = {
        "publish_none": True, "keep_mx": True, "create_policy": True, "longest_max_age": 604_800,
    }  # fmt: skip
    dated = {"accept_exposure_until": "2027-01-31", "ids_changed_since": "2026-02-01T06:30:00Z"}
    parsed = Request.parse(DELETE | fields | dated | {"new_mx": ["MX.New.example."]})
    assert {name: getattr(parsed, name) for name in fields} == fields
    assert parsed.accept_exposure_until == datetime(2027, 1, 31, tzinfo=UTC)
    assert parsed.ids_changed_since == datetime(2026, 2, 1, 6, 30, tzinfo=UTC)
    assert parsed.new_mx == ("mx.new.example",)


@pytest.mark.parametrize(
    ("asked", "deletes", "publishes"),
    [
        (GOOD, False, True),
        (DELETE, True, False),
        (DELETE | {"publish_none": True}, True, True),
        (DELETE | {"publish_none": False}, True, False),
    ],
)
def test_what_a_method_does(asked: dict[str, object], deletes: bool, publishes: bool) -> None:  # noqa: FBT001
    parsed = Request.parse(asked)
    assert (parsed.deletes, parsed.publishes) == (deletes, publishes)


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
        (
            {"method": "retire-all"},
            MUST_BE_A_METHOD + "; it is 'retire-all'",
        ),
        (
            {"method": ["none-policy"]},
            MUST_BE_A_METHOD + "; it is a list",
        ),
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


SOME_DATE = "2027-01-31"
MUST_BE_A_DATE = "must be a date such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (GOOD | {"publish_none": True}, "publish_none is for delete-record only"),
        (GOOD | {"accept_exposure_until": SOME_DATE}, "accept_exposure_until is for delete-record"),
        (DELETE | {"keep_mx": True}, "keep_mx needs publish_none: true"),
        (DELETE | {"create_policy": True}, "create_policy needs publish_none: true"),
    ],
)
def test_what_a_method_would_have_to_ignore_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(asked)
    assert said in str(caught.value)


@pytest.mark.parametrize("asked", [GOOD, DELETE])
def test_what_says_no_is_not_misplaced(asked: dict[str, object]) -> None:
    no = dict.fromkeys(("publish_none", "keep_mx", "create_policy", "dry_run"), False)
    assert Request.parse(asked | no) == Request.parse(asked)


@pytest.mark.parametrize("asked", [GOOD, DELETE, DELETE | {"publish_none": True}])
def test_attestations_and_new_hosts_are_for_every_method(asked: dict[str, object]) -> None:
    attested = {"longest_max_age": 0, "ids_changed_since": SOME_DATE, "new_mx": ["mx.example"]}
    parsed = Request.parse(asked | attested)
    assert parsed.longest_max_age == 0, "which is not the same as none given"
    assert parsed.ids_changed_since == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),  # its first moment
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31 12:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("2027-01-31T00:00:00-11:00", datetime(2027, 1, 31, 11, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_dates_and_moments(written: str, meant: datetime) -> None:
    parsed = Request.parse(DELETE | {"accept_exposure_until": written})
    assert parsed.accept_exposure_until == meant
    assert parsed.accept_exposure_until.utcoffset() == timedelta(0)


@pytest.mark.parametrize("field", ["accept_exposure_until", "ids_changed_since"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2027-02-29", "it is '2027-02-29'"),  # there is none
        ("31.01.2027", "it is '31.01.2027'"),
        ("2027-01", "it is '2027-01'"),
        ("20270131", "it is '20270131'"),
        ("2027-01-31T12:00:00", "it is '2027-01-31T12:00:00'"),  # where?
        ("2027-01-31t12:00", "it is '2027-01-31t12:00'"),
        ("1999-12-31", "it is '1999-12-31'"),
        ("3027-01-31", "it is '3027-01-31'"),
        ("0001-01-01T00:00:00+23:00", "it is '0001"),
        ("", "it is ''"),
        ("\x1b[2J", "it is '\\x1b[2J'"),  # shown, not obeyed
        (1_800_000_000, "it is a number"),
        (None, "it is null"),
    ],
)
def test_no_dates(field: str, value: object, shown: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(DELETE | {field: value})
    assert f"{field} {MUST_BE_A_DATE}; {shown}" in str(caught.value)


@pytest.mark.parametrize("seconds", [0, 1, YEAR])
def test_the_longest_max_age(seconds: int) -> None:
    assert Request.parse(DELETE | {"longest_max_age": seconds}).longest_max_age == seconds


@pytest.mark.parametrize("seconds", [-1, YEAR + 1, 604_800.0, "604800", True, None, [1]])
def test_no_longest_max_age(seconds: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(DELETE | {"longest_max_age": seconds})
    assert "longest_max_age must be a number of seconds from 0 to 31557600" in str(caught.value)


def test_new_hosts_keep_their_order_and_come_once() -> None:
    asked = ["mx2.new.example", "MX1.New.example.", "mx2.NEW.example", "b\xfccher.example"]
    assert Request.parse(GOOD | {"new_mx": asked}).new_mx == (
        "mx2.new.example",
        "mx1.new.example",
        "xn--bcher-kva.example",
    )
    many = [f"mx{number}.example" for number in range(20)]
    assert len(Request.parse(GOOD | {"new_mx": many}).new_mx) == 20


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("mx.example", "new_mx must be a list of host names, it is text"),
        (None, "new_mx must be a list of host names, it is null"),
        (["mx.example", 7], "new_mx must be a list of host names, it is a list"),
        ([], "new_mx must name 1 to 20 hosts, it names 0"),
        (["mx.example"] * 21, "new_mx must name 1 to 20 hosts, it names 21"),
        (["mx.example", "mx"], "new_mx 'mx': "),
        (["192.0.2.1"], "new_mx '192.0.2.1': "),
        (["*.example.com"], "new_mx '*.example.com': "),  # hosts, not patterns
        (["a b.example"], "new_mx 'a b.example': "),
    ],
)
def test_no_new_hosts(value: object, said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(GOOD | {"new_mx": value})
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


def test_very_many_problems_are_counted() -> None:
    hosts = {"new_mx": [f"h{number}" for number in range(20)]}
    with pytest.raises(InvalidRequestError) as caught:
        Request.parse(DELETE | hosts | {"keep_mx": True, "ticket": 9})
    assert "; and 2 more. An example" in str(caught.value)


@given(JSON)
def test_whatever_comes_is_parsed_or_refused(data: object) -> None:
    said = ""
    try:
        assert Request.parse(data).method in {"none-policy", "delete-record"}
    except InvalidRequestError as error:
        said = str(error)
    assert said.isprintable()


KNOWN = (
    "domain",
    "method",
    "dry_run",
    "keep_mx",
    "publish_none",
    "new_mx",
    "longest_max_age",
    "accept_exposure_until",
    "ids_changed_since",
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": "check", "discover": True, "due": {"kind": "watch"}}, "due is for one domain"),
        ({"method": "delete-record", "publish_none": True, "due": {"kind": "retirement"}},
         "and leaves its policy alone"),
    ],
)  # fmt: skip
def test_what_is_due_is_for_one_domain_and_as_planned(changed: dict[str, Any], said: str) -> None:
    due = {**changed["due"], "generation": 1, "at": "2027-01-31T12:00:00Z"}
    asked = ({} if "discover" in changed else {"domain": "solarmora.com"}) | changed | {"due": due}
    with pytest.raises(InvalidRequestError, match=said):
        Request.parse(asked)


def test_a_moment_of_any_length_is_none() -> None:
    long = "2027-01-31T12:00:00." + "0" * 100_000 + "Z"
    with pytest.raises(InvalidRequestError, match="restore_at must be a date"):
        Request.parse(GOOD | {"restore_at": long})
