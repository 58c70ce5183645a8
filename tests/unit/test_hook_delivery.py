"""When a delivery was signed, and by what a second one of it is known."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.hooks.delivery import Call, Wanted, marks
from mta_sts.hooks.moment import is_fresh, signed_at
from mta_sts.request import Request

MOMENT = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
ASKED = {"domain": "solarmora.com", "method": "check"}
WANTED = Wanted(Request.parse(ASKED), ASKED)


@pytest.mark.parametrize(
    "value",
    [
        MOMENT.timestamp(),
        int(MOMENT.timestamp()),
        int(MOMENT.timestamp()) * 1000,
        str(int(MOMENT.timestamp())),
        f" {int(MOMENT.timestamp()) * 1000} ",
        "2026-11-24T04:05:06Z",
        "2026-11-24T13:05:06+09:00",
        "2026-11-24T13:05:06.000+0900",
        "2026-11-24 04:05:06+00:00",
    ],
)
def test_moments_are_read(value: Any) -> None:
    assert signed_at(value) == MOMENT


@pytest.mark.parametrize(
    "value",
    [
        None, True, "", "yesterday", "2026-11-24", "2026-11-24T04:05:06", "2026-11-24 04:05:06", [], {},
        [1795493106], 10**400, float("inf"), float("-inf"), float("nan"), -(10**14), "9" * 5000,
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
    ],
)  # fmt: skip
def test_what_is_no_moment(value: Any) -> None:
    assert signed_at(value) is None


@given(st.text() | st.integers() | st.floats() | st.from_regex(r"\A[0-9TZ:+. -]{1,30}\Z"))
def test_reading_a_moment_raises_nothing(value: Any) -> None:
    found = signed_at(value)
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (timedelta(), True),
        (timedelta(minutes=75), True),  # Jira's last try
        (timedelta(hours=2), True),
        (timedelta(hours=2, seconds=1), False),
        (timedelta(minutes=-5), True),  # clocks differ
        (timedelta(minutes=-5, seconds=-1), False),
        (timedelta(days=-400), False),
    ],
)
def test_what_is_fresh(age: timedelta, *, fresh: bool) -> None:
    assert is_fresh(MOMENT - age, MOMENT) is fresh


# --- what was sent


def test_a_call_has_the_bytes_that_were_sent() -> None:
    body = b'{"domain": "b\xc3\xbccher.example"}\n'
    for event in (
        {"body": body.decode()},
        {"body": base64.b64encode(body).decode(), "isBase64Encoded": True},
    ):
        assert Call.of(event).body == body
    assert Call.of({"body": None}).body == b""
    assert Call.of({"body": "\ud800"}).body  # no text of API Gateway's has it


def test_headers_are_known_in_any_case_and_all_of_them() -> None:
    call = Call.of(
        {"multiValueHeaders": {"X-A": ["1", "2"], "x-a": ["3"]}, "headers": {"X-A": "2"}}
    )
    assert call.header("x-a") == "1, 2, 3"
    assert Call.of({"headers": {"X-A": "2"}, "multiValueHeaders": None}).header("x-a") == "2"
    assert Call.of({"headers": None}).header("x-a") == ""


def test_a_run_is_found_at_the_address_by_which_the_hook_was_called() -> None:
    for path, base in (
        ("/v1/hooks/jira", "/v1"),
        ("/hooks/jira", ""),
        ("/tools/sts/hooks/jira", "/tools/sts"),
    ):
        call = Call.of({"requestContext": {"path": path}, "path": "/hooks/jira"})
        assert call.href("solarmora.com", "hook-1") == f"{base}/domains/solarmora.com/runs/hook-1"


# --- a second delivery


def keys(
    body: bytes = b"1", moment: datetime | None = MOMENT, source: str = "jira", *, number: str = ""
) -> set[str]:
    headers = {"x-request-id": (number,)}
    return set(marks(Call("POST", source, body, headers), WANTED, moment).keys)


def test_the_same_bytes_are_the_same_delivery() -> None:
    """Whatever stands in headers that nobody has signed."""
    assert keys() & keys(number="1")
    assert keys(number="1") & keys(number="2")
    assert not keys() & keys(source="other"), "another source has signed it"


def test_other_bytes_are_the_same_if_moment_and_request_are() -> None:
    """A system that tries again may write the same in other bytes; what is not signed decides nothing."""
    for first in ("", "1"):
        for second in ("", "1", "2"):
            assert keys(b"1", number=first) & keys(b"2", number=second)
    later = MOMENT + timedelta(milliseconds=1)
    assert not keys(b"1", number="1") & keys(b"2", later, number="1")
    assert not keys(b"1") & keys(b"2", source="other")


def test_what_asks_for_something_else_is_another_delivery() -> None:
    headers = {"x-request-id": ("1",)}
    other = {**ASKED, "method": "none-policy"}
    first = marks(Call("POST", "jira", b"1", headers), WANTED, MOMENT)
    second = marks(Call("POST", "jira", b"2", headers), Wanted(Request.parse(other), other), MOMENT)
    assert not set(first.keys) & set(second.keys)
    assert first.identity != second.identity


def test_without_a_moment_the_bytes_alone_count() -> None:
    assert len(keys(moment=None, number="1")) == 1
    assert not keys(b"1", None, number="1") & keys(b"2", None, number="1")
