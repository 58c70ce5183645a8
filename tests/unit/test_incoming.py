"""Bodies are read strictly: what is odd about one has a name, and what is fine comes through whole."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.incoming import json_object
from mta_sts.problems import Problem, answer

TYPE = "application/json"


def refused(raw: bytes, media_type: str = TYPE, most: int = 1000) -> Problem:
    with pytest.raises(Problem) as caught:
        json_object(raw, media_type, most)
    return caught.value


def test_an_object_is_read_as_it_is() -> None:
    raw = (
        '{"method": "check", "new_mx": ["mx.é.example"], "deep": {"er": [1, true, null]}}'.encode()
    )
    assert json_object(raw, "Application/JSON; charset=utf-8", 1000) == json.loads(raw)


def test_the_limit_is_to_the_byte() -> None:
    raw = b'{"a": "' + b"x" * 91 + b'"}'
    assert len(raw) == 100
    assert json_object(raw, TYPE, 100)
    assert refused(raw, most=99).status == 413


@pytest.mark.parametrize("media_type", ["", "text/json", "application/jsonp", "application/xml"])
def test_another_media_type_is_refused_before_the_body_is_read(media_type: str) -> None:
    assert refused(b"{", media_type).status == 415


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b'{"a": "\xff"}', "not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),  # a byte order mark (RFC 8259 section 8.1)
        (b"{} {}", "not JSON"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b'{"a": Infinity}', "no number"),
        (b'{"a": -Infinity}', "no number"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b'{"b": {"a": 1, "a": 2}}', "given twice"),
        (b'{"a": "\\udfff"}', "half a surrogate pair"),
        (b'{"\\ud800": 1}', "half a surrogate pair"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too deeply nested"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "too deeply nested"),
    ],
)
def test_what_is_odd_is_named(raw: bytes, words: str) -> None:
    problem = refused(raw)
    assert problem.status == 400
    assert words in problem.detail.replace("It is", "it is")


def test_nesting_without_end_does_no_harm() -> None:
    raw = b'{"a":' + b"[" * 200_000
    assert refused(raw, most=300_000).detail == "It is too deeply nested."


@given(st.binary(max_size=60))
def test_whatever_comes_is_an_object_or_a_problem(raw: bytes) -> None:
    found: dict[str, Any] | Problem
    try:
        found = json_object(raw, TYPE, 50)
    except Problem as problem:
        found = problem
    status = found.status if isinstance(found, Problem) else 200
    assert status in (200, 400, 413)
    assert status != 200 or found == json.loads(raw)


def test_a_problem_is_what_rfc_9457_says() -> None:
    problem = Problem(409, "busy", "Busy", "Ü", {"run": "api-1"}, {"Location": "/v1/x"})
    told: dict[str, Any] = answer(problem)
    assert told["headers"]["Content-Type"] == "application/problem+json"
    assert told["headers"]["Location"] == "/v1/x"
    assert told["headers"]["Cache-Control"] == "no-store"
    assert json.loads(told["body"]) == {
        "type": "urn:mta-sts-off:problem:busy",
        "title": "Busy",
        "status": 409,
        "detail": "Ü",
        "run": "api-1",
    }
