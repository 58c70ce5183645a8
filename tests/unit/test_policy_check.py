"""How what the addresses of a policy host served is judged."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.policy_check import Fetched, describe, evaluate

HOST = "mta-sts.solarmora.com"
NEW = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
OLD = b"version: STSv1\r\nmode: enforce\r\nmx: mail.solarmora.com\r\nmax_age: 604800\r\n"
NEW_SHA = hashlib.sha256(NEW).hexdigest()
OLD_SHA = hashlib.sha256(OLD).hexdigest()
EXPECTED = f"the new policy (sha256 {NEW_SHA[:12]}…)"
NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)


def served(address: str = "192.0.2.1", **changes: Any) -> Fetched:
    """Give an answer that agrees, but for CHANGES."""
    values: dict[str, Any] = {
        "status": 200,
        "media_type": "text/plain",
        "body": NEW,
        "certificate_not_after": "2027-01-01T00:00:00Z",
    }
    return Fetched(address, "answered", **(values | changes))


def silent(address: str, detail: str = "timed out", **changes: Any) -> Fetched:
    return Fetched(address, "no answer", detail=detail, **changes)


def judge(*fetched: Fetched, not_asked: Any = (), **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "accepted": {NEW_SHA: "the new policy"},
        "accept_missing": False,
        "host": HOST,
        "now": NOW,
        "region": "eu-west-1",
    }
    return evaluate(fetched, not_asked, **(values | changes))


def found(*fetched: Fetched, **changes: Any) -> list[str]:
    return [entry["found"] for entry in judge(*fetched, **changes)["laggards"]]


def test_the_shape_of_a_ready_host() -> None:
    answer = served(age=12, cache_control="no-store", x_cache="Hit")
    assert judge(answer) == {
        "ready": True,
        "host": HOST,
        "agreeing": [
            {
                "address": "192.0.2.1",
                "status": 200,
                "media_type": "text/plain",
                "sha256": NEW_SHA,
                "size": len(NEW),
                "certificate_not_after": "2027-01-01T00:00:00Z",
                "age": 12,
                "cache_control": "no-store",
                "x_cache": "Hit",
                "found": "the new policy",
            }
        ],
        "laggards": [],
        "not_asked": [],
        "checked_at": "2026-11-24T04:05:06Z",
        "region": "eu-west-1",
    }


def test_a_laggard_has_the_same_and_what_was_expected() -> None:
    agreeing = judge(served())["agreeing"][0]
    result = judge(served(body=OLD))
    assert not result["ready"]
    (laggard,) = result["laggards"]
    assert set(laggard) == {*agreeing, "expected", "policy"}
    assert laggard["expected"] == EXPECTED
    said = f"other content (sha256 {OLD_SHA[:12]}…, {len(OLD)} bytes), a valid policy"
    assert laggard["found"] == laggard["policy"] == said
    assert laggard["sha256"] == OLD_SHA
    json.dumps(result)


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "TEXT/Plain", "text/plain; charset=utf-8", "text/plain ;format=flowed"],
)
def test_plain_text_with_any_parameter_agrees(media_type: str) -> None:
    assert judge(served(media_type=media_type))["ready"]


def test_a_media_type_beside_plain_text_agrees_only_where_it_is_named() -> None:
    answer = served(media_type="binary/octet-stream")
    assert judge(answer, media_types={"binary/octet-stream"})["ready"]
    assert judge(served(), media_types={"binary/octet-stream"})["ready"]
    assert found(answer, media_types={"text/html"}) == ["media type binary/octet-stream"]
    assert found(answer) == ["media type binary/octet-stream"]


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        (
            silent("192.0.2.1", "timed out after 20 seconds"),
            "no answer: timed out after 20 seconds",
        ),
        (Fetched("192.0.2.1", "certificate", detail="expired on X"), "certificate: expired on X"),
        (Fetched("192.0.2.1", "not asked", detail="why"), "not asked: why"),
        (
            served(status=301, location="https://example.com/"),
            "redirect to https://example.com/ (status 301)",
        ),
        (served(status=304), "status 304"),  # no Location, no redirect
        (served(status=200, location="https://example.com/", body=NEW + b"x"), "other content"),
        (served(status=404), "status 404"),
        (served(status=203), "status 203"),
        (served(media_type="text/html; charset=utf-8"), "media type text/html; charset=utf-8"),
        (served(media_type="text/plainer"), "media type text/plainer"),
        (served(media_type=""), "no media type"),
        (served(body=b"x" * 65_536, too_large=True), "more than 65536 bytes"),
        (served(too_large=True), f"more than {len(NEW)} bytes"),
        (served(content_encoding="gzip"), "content encoding gzip"),
        (served(body=NEW + b"\r\n"), "other content"),
        (
            served(body=b""),
            f"other content (sha256 {hashlib.sha256(b'').hexdigest()[:12]}…, 0 bytes)",
        ),
    ],
)
def test_what_was_found_instead(answer: Fetched, phrase: str) -> None:
    (text,) = found(answer)
    assert text.startswith(phrase)


def test_the_weightiest_reason_is_told() -> None:
    """Each step mends the reason before it, in the order of the sender's own path."""
    wrong = served(
        status=302,
        location="/elsewhere",
        media_type="text/html",
        too_large=True,
        content_encoding="br",
        body=OLD,
    )
    steps: list[tuple[dict[str, Any], str]] = [
        ({}, "redirect to /elsewhere"),
        ({"location": ""}, "status 302"),
        ({"status": 200}, "media type text/html"),
        ({"media_type": "text/plain"}, f"more than {len(OLD)} bytes"),
        ({"too_large": False}, "content encoding br"),
        ({"content_encoding": ""}, "other content"),
    ]
    for change, phrase in steps:
        wrong = Fetched(**(vars(wrong) | change))
        (text,) = found(wrong)
        assert text.startswith(phrase)
    assert found(Fetched(**(vars(wrong) | {"body": NEW}))) == []


def test_a_body_that_was_cut_short_has_no_digest() -> None:
    (laggard,) = judge(served(too_large=True))["laggards"]
    assert (laggard["sha256"], laggard["size"]) == ("", len(NEW))
    (laggard,) = judge(silent("192.0.2.1"))["laggards"]
    assert (laggard["sha256"], laggard["size"], laggard["status"]) == ("", 0, None)


def test_one_stale_address_of_several_is_enough() -> None:
    result = judge(served("192.0.2.1"), served("192.0.2.2", body=OLD), served("192.0.2.3"))
    assert not result["ready"]
    assert [entry["address"] for entry in result["agreeing"]] == ["192.0.2.1", "192.0.2.3"]
    assert [entry["address"] for entry in result["laggards"]] == ["192.0.2.2"]


def test_several_bodies_may_be_acceptable() -> None:
    accepted = {NEW_SHA: "the new policy", OLD_SHA: "version 3 of the object"}
    result = judge(served(), served("192.0.2.2", body=OLD), accepted=accepted)
    assert result["ready"]
    assert [entry["found"] for entry in result["agreeing"]] == list(accepted.values())


def test_what_is_expected_stays_short_however_long_the_history() -> None:
    accepted = {hashlib.sha256(bytes([n])).hexdigest(): f"version {n}" for n in range(9)}
    expected = judge(served(), accepted=accepted)["laggards"][0]["expected"]
    assert expected.count("version") == 3
    assert expected.endswith(" or one of 6 more")
    nothing = judge(served(), accepted={})["laggards"][0]["expected"]
    assert nothing == "nothing that could be accepted"


# --- Where no policy has ever existed -------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_policy_agrees_only_where_it_may(status: int) -> None:
    missing = served(status=status, media_type="application/xml", body=b"<Error/>")
    result = judge(missing, accepted={}, accept_missing=True)
    assert result["ready"]
    assert result["agreeing"][0]["found"] == f"no policy (status {status})"
    assert not judge(missing)["ready"]


@pytest.mark.parametrize(
    "answer",
    [
        served(status=500),
        served(status=410),
        served(status=302, location="/404"),
        silent("192.0.2.1"),
        Fetched("192.0.2.1", "certificate", status=404, detail="expired"),
    ],
)
def test_nothing_else_passes_for_a_missing_policy(answer: Fetched) -> None:
    result = judge(answer, accepted={}, accept_missing=True)
    assert not result["ready"]
    assert result["laggards"][0]["expected"] == "no policy (status 403 or 404)"


def test_a_policy_still_agrees_where_none_would_do() -> None:
    assert judge(served(), accept_missing=True)["agreeing"][0]["found"] == "the new policy"


# --- IPv6 -----------------------------------------------------------------------------------------


def test_an_ipv6_address_that_serves_the_old_body_holds_the_id_back() -> None:
    result = judge(served(), served("2001:db8::1", body=OLD))
    assert not result["ready"]
    assert [entry["address"] for entry in result["laggards"]] == ["2001:db8::1"]


def test_an_ipv6_address_that_was_reached_and_failed_holds_the_id_back() -> None:
    certificate = Fetched("2001:db8::1", "certificate", detail="expired")
    assert not judge(served(), certificate)["ready"]
    assert not judge(served(), silent("2001:db8::1"))["ready"]


@pytest.mark.parametrize(
    "answer",
    [
        silent("2001:db8::1", "connection refused", reached=False),
        Fetched("2001:db8::1", "not asked", reached=False, detail="connection refused"),
    ],
)
def test_an_ipv6_address_out_of_reach_is_not_asked(answer: Fetched) -> None:
    result = judge(served(), answer)
    assert result["ready"]
    assert result["not_asked"] == [{"address": "2001:db8::1", "reason": "connection refused"}]


def test_an_ipv4_address_out_of_reach_holds_the_id_back() -> None:
    result = judge(served(), silent("192.0.2.2", "connection refused", reached=False))
    assert not result["ready"]
    assert result["laggards"][0]["found"] == "no answer: connection refused"


def test_an_ipv4_address_written_as_ipv6_is_ipv6() -> None:
    result = judge(served("::ffff:192.0.2.1"))
    assert not result["ready"]
    assert result["laggards"][0]["found"] == "the policy host has no IPv4 address"


@pytest.mark.parametrize(
    "fetched", [(), (served("2001:db8::1"),), (silent("2001:db8::1", reached=False),)]
)
def test_without_ipv4_nothing_is_ever_ready(fetched: tuple[Fetched, ...]) -> None:
    result = judge(*fetched)
    assert not result["ready"]
    assert result["laggards"][-1] == {
        "address": "",
        "expected": EXPECTED,
        "found": "the policy host has no IPv4 address",
    }


def test_a_failed_look_up_of_addresses_is_not_taken_for_a_host_without_any() -> None:
    failed = [{"address": "", "reason": "A: 127.0.0.1:53 timed out"}]
    result = judge(not_asked=failed)
    assert not result["ready"]
    assert [entry["found"] for entry in result["laggards"]] == [
        "no IPv4 address of the policy host is known (A: 127.0.0.1:53 timed out)"
    ]
    assert result["not_asked"] == failed
    assert judge(served(), not_asked=failed)["ready"]  # another resolver knew the address


def test_what_the_caller_did_not_ask_is_listed_and_never_agrees() -> None:
    ipv6 = {"address": "2001:db8::1", "reason": "no IPv6 route"}
    result = judge(served(), not_asked=[ipv6])
    assert (result["ready"], result["not_asked"]) == (True, [ipv6])
    ipv4 = {"address": "192.0.2.9", "reason": "too many addresses"}
    result = judge(served(), not_asked=[ipv4])
    assert (result["ready"], result["not_asked"], result["laggards"]) == (False, [ipv4], [])
    assert judge(not_asked=[ipv4])["laggards"] == []  # there is one, only it was not asked


ANSWERS = st.builds(
    lambda address, make: make(address),
    st.sampled_from(["192.0.2.1", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1"]),
    st.sampled_from(
        [
            served,
            lambda address: served(address, body=OLD),
            lambda address: served(address, status=404),
            silent,
            lambda address: silent(address, reached=False),
            lambda address: Fetched(address, "certificate", detail="expired"),
            lambda address: Fetched(address, "not asked", reached=False, detail="no IPv6 route"),
        ]
    ),
)


@given(st.lists(ANSWERS, max_size=6))
def test_ready_is_what_the_rule_says(fetched: list[Fetched]) -> None:
    result = judge(*fetched)
    good = [
        answer.outcome == "answered" and (answer.status, answer.body) == (200, NEW)
        for answer in fetched
    ]
    ipv4 = [":" not in answer.address for answer in fetched]
    reached = [answer.reached for answer in fetched]
    must = [
        is_good for is_good, four, heard in zip(good, ipv4, reached, strict=True) if four or heard
    ]
    assert result["ready"] == (any(ipv4) and all(must))
    listed = [*result["agreeing"], *result["laggards"], *result["not_asked"]]
    addresses = sorted(entry["address"] for entry in listed if entry["address"])
    assert addresses == sorted(answer.address for answer in fetched)  # nobody is forgotten


# --- Words and times ------------------------------------------------------------------------------


def test_the_time_is_given_in_utc() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert judge(served(), now=elsewhere)["checked_at"] == "2026-11-24T04:05:06Z"


def test_lines_for_messages() -> None:
    (agreeing,) = judge(served())["agreeing"]
    assert describe(agreeing) == (
        "192.0.2.1: the new policy (certificate until 2027-01-01T00:00:00Z)"
    )
    stale = served(body=OLD, age=0, cache_control="max-age=300", x_cache="Hit from cloudfront")
    (laggard,) = judge(stale)["laggards"]
    assert describe(laggard) == (
        f"192.0.2.1: other content (sha256 {OLD_SHA[:12]}…, {len(OLD)} bytes), a valid policy; expected "
        f"{EXPECTED} "
        "(certificate until 2027-01-01T00:00:00Z, Age 0, Cache-Control max-age=300, "
        "X-Cache Hit from cloudfront)"
    )
    (laggard,) = judge(silent("192.0.2.1"))["laggards"]
    assert describe(laggard) == f"192.0.2.1: no answer: timed out; expected {EXPECTED}"
    (none,) = judge()["laggards"]
    assert describe(none) == f"the policy host has no IPv4 address; expected {EXPECTED}"
