"""A look at the policy host that expects nothing: what each address serves, and who said nothing."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.policy_check import Fetched, describe, look
from tests.unit.plans import ADDRESS, ENFORCE, HOST, NONE, NOT_FOUND, NOW, SILENT, answered, policy

SHA = hashlib.sha256(ENFORCE).hexdigest()
KNOWN = {SHA: "the present policy"}
NO_IPV6 = Fetched("2001:db8::1", "not asked", reached=False, detail="no IPv6 route")
EXPIRED = Fetched(ADDRESS, "certificate", detail="expired")


def seen(*fetched: Fetched, not_asked: Any = (), missing: bool = False) -> dict[str, Any]:
    return look(
        fetched, not_asked, known=KNOWN, missing=missing, host=HOST, now=NOW, region="eu-west-1"
    )


def test_the_shape_of_a_look() -> None:
    served = answered(age=12, cache_control="no-store", x_cache="Hit")
    assert seen(served) == {
        "ready": True,
        "host": HOST,
        "agreeing": [
            {
                "address": ADDRESS,
                "status": 200,
                "media_type": "text/plain",
                "sha256": SHA,
                "size": len(ENFORCE),
                "certificate_not_after": "",
                "age": 12,
                "cache_control": "",  # a plan with many addresses has no room for it
                "x_cache": "Hit",
                "mode": "enforce",
                "max_age": 604_800,
                "mx": [],
                "found": "the present policy, mode enforce",
            }
        ],
        "laggards": [],
        "not_asked": [],
        "doubts": [],
        "checked_at": "2026-11-24T04:05:06Z",
        "region": "eu-west-1",
    }


UNKNOWN = "a policy that S3 has no version of"


@pytest.mark.parametrize(
    ("body", "mode", "max_age", "found"),
    [
        (ENFORCE, "enforce", 604_800, "the present policy, mode enforce"),
        (policy("testing", max_age=60), "testing", 60, f"{UNKNOWN}, mode testing"),
        (NONE, "none", 86_400, f"{UNKNOWN}, mode none"),
        (policy("enforced"), "malformed", 604_800, f"{UNKNOWN}, mode malformed"),
        (policy(max_age="soon"), "malformed", None, f"{UNKNOWN}, mode malformed"),
        (b"mode: none\n", "none", None, f"{UNKNOWN}, mode none"),  # it enforces nothing
        (b"Mode: enforce\n", "malformed", None, f"{UNKNOWN}, mode malformed"),
        (b"version: STSv1\r\n\tMODE :x", "malformed", None, f"{UNKNOWN}, mode malformed"),
    ],
)
def test_a_policy_is_read_as_leniently_as_any_sender_may(
    body: bytes, mode: str, max_age: int | None, found: str
) -> None:
    [row] = seen(answered(body))["agreeing"]
    assert (row["mode"], row["max_age"], row["found"]) == (mode, max_age, found)


@pytest.mark.parametrize("media_type", ["text/html", "application/octet-stream", ""])
def test_lenient_senders_do_not_mind_the_media_type(media_type: str) -> None:
    [row] = seen(answered(media_type=media_type))["agreeing"]
    assert (row["mode"], row["media_type"]) == ("enforce", media_type)


def test_a_body_that_was_cut_short_counts_by_what_was_read() -> None:
    [row] = seen(answered(too_large=True))["agreeing"]
    assert (row["mode"], row["sha256"]) == ("enforce", "")


def test_the_patterns_are_those_of_a_policy_that_nobody_here_wrote() -> None:
    """What is stored is known; what is not is told, and a part of a name would be another's."""
    foreign = ["mx.example", f"{'a' * 60}.{'b' * 60}.example", "b\xfccher.example", "*.example.net"]
    [row] = seen(answered(policy("enforce", *foreign)))["agreeing"]
    assert row["mx"] == ["mx.example", "*.example.net"]
    many = [f"mx{number}.example" for number in range(60)]
    [row] = seen(answered(policy("enforce", *many)))["agreeing"]
    assert row["mx"] == many[:10]


@pytest.mark.parametrize(
    ("fetched", "found"),
    [
        (NOT_FOUND, "status 404"),
        (answered(status=500), "status 500"),  # though it is the policy's bytes
        (answered(status=301, location="https://a.example/"), "redirect to https://a.example/"),
        (answered(b""), "other content (sha256 e3b0c44298fc…, 0 bytes)"),
        (answered(b"<html>", media_type="text/html"), "media type text/html"),
        (EXPIRED, "certificate: expired"),
    ],
)
def test_what_is_no_policy(fetched: Fetched, found: str) -> None:
    [row] = seen(fetched)["agreeing"]
    assert (row["mode"], row["max_age"], row["mx"]) == ("", None, [])
    assert row["found"].startswith(found)
    assert found in describe(row)


@pytest.mark.parametrize(
    "fetched", [SILENT, NO_IPV6, Fetched("2001:db8::1", "no answer", detail="reset")]
)
def test_who_gave_no_answer_is_listed_as_not_asked(fetched: Fetched) -> None:
    result = seen(answered(), fetched)
    assert [row["address"] for row in result["agreeing"]] == [ADDRESS]
    assert result["not_asked"] == [{"address": fetched.address, "reason": fetched.detail}]


# --- where it is not known what others are served


V6 = "2001:db8::1"
REACHED = Fetched(V6, "no answer", detail="reset")
UNREACHED = Fetched(V6, "no answer", reached=False, detail="timed out")
UNASKED = {"address": "192.0.2.9", "reason": "more than 48 addresses"}
FORBIDDEN = answered(b"<Error/>", status=403)


@pytest.mark.parametrize(
    ("fetched", "doubt"),
    [
        (answered(), None),
        (answered(b"hello"), None),
        (NOT_FOUND, None),
        (answered(b"", status=410), None),
        (EXPIRED, None),  # no sender takes it either
        (FORBIDDEN, "answered with status 403, which may be for us alone"),
        (answered(b"", status=500), "answered with status 500, which may be for us alone"),
        (answered(b"", status=302, location="/x"), "answered with status 302, which may be for us"),
        (answered(content_encoding="gzip"), "answered with the content encoding gzip"),
        (SILENT, "gave no answer (timed out)"),
    ],
)
def test_silence_and_what_may_be_for_us_alone_is_a_doubt(
    fetched: Fetched, doubt: str | None
) -> None:
    doubts = seen(fetched)["doubts"]
    assert len(doubts) == (doubt is not None)
    assert not doubt or doubts[0].startswith(f"{ADDRESS} {doubt}")


def test_s3_says_403_for_a_key_that_is_missing() -> None:
    assert seen(FORBIDDEN, missing=True)["doubts"] == []
    assert len(seen(FORBIDDEN, missing=False)["doubts"]) == 1
    assert len(seen(answered(b"", status=401), missing=True)["doubts"]) == 1


@pytest.mark.parametrize(
    ("fetched", "not_asked", "doubts"),
    [
        ((NOT_FOUND, NO_IPV6), [], []),  # senders there fall back to IPv4
        ((NOT_FOUND, UNREACHED), [], []),
        ((NOT_FOUND, REACHED), [], [f"{V6} gave no answer (reset)"]),  # as here they do not
        ((NOT_FOUND,), [UNASKED], ["192.0.2.9 could not be asked (more than 48 addresses)"]),
        ((NOT_FOUND,), [{"address": V6, "reason": "more than 48 addresses"}], []),
        ((NOT_FOUND,), [{"address": "", "reason": "SERVFAIL"}], [f"{HOST} could not be asked"]),
        ((NO_IPV6,), [], [f"{V6} could not be asked (no IPv6 route)"]),  # there is nothing else
        ((answered(NONE, V6), NO_IPV6), [], []),
        ((), [], []),
    ],
)
def test_ipv6_counts_where_a_sender_would_not_fall_back(
    fetched: tuple[Fetched, ...], not_asked: list[dict[str, str]], doubts: list[str]
) -> None:
    told = seen(*fetched, not_asked=not_asked)["doubts"]
    assert len(told) == len(doubts)
    assert all(one.startswith(doubt) for one, doubt in zip(told, doubts, strict=True))


def test_no_more_than_five_doubts_are_told() -> None:
    many = [Fetched(f"192.0.2.{number}", "no answer", detail="x") for number in range(9)]
    assert len(seen(*many)["doubts"]) == 5


def test_what_the_caller_could_not_ask_stays_listed() -> None:
    failed = [{"address": "", "reason": "SERVFAIL"}]
    result = seen(NO_IPV6, not_asked=failed)
    assert result["not_asked"] == [*failed, {"address": V6, "reason": "no IPv6 route"}]
    assert (result["ready"], result["agreeing"], result["laggards"]) == (True, [], [])


ANYTHING = st.one_of(
    st.binary(max_size=200).map(answered),
    st.sampled_from([NOT_FOUND, EXPIRED, SILENT, NO_IPV6, answered(NONE)]),
)


@given(st.lists(ANYTHING, max_size=6))
def test_nobody_is_forgotten_and_nothing_is_held_back(fetched: list[Fetched]) -> None:
    result = seen(*fetched)
    listed = [*result["agreeing"], *result["not_asked"]]
    assert sorted(row["address"] for row in listed) == sorted(one.address for one in fetched)
    assert (result["ready"], result["laggards"]) == (True, [])
    assert not result["doubts"] or SILENT in fetched or NO_IPV6 in fetched
    assert SILENT not in fetched or result["doubts"]
