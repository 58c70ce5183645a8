"""What comes in over HTTP: a body is read strictly, and anything odd about it is a problem with a name."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from mta_sts.problems import Problem

_DEEPEST = 32  # levels; a ticket's own nesting is far less
_SURROGATES = range(0xD800, 0xE000)


def json_object(raw: bytes, content_type: str, most: int) -> dict[str, Any]:
    """Read a JSON object of at most so many bytes (RFC 8259).

    Raises Problem: 413 too large, 415 another media type, 400 not JSON, not UTF-8, too deeply nested, a name
    given twice, a number that is none, or no object.
    """
    if len(raw) > most:
        raise Problem(413, "too-large", "The body is too large", f"At most {most} bytes are taken.")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(
            415,
            "media-type",
            "The body's media type is not taken",
            "Send JSON, as Content-Type: application/json.",
            headers={"Accept": "application/json"},
        )
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise _malformed("it is too deeply nested") from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ones
        raise _malformed("it is not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise _malformed("it is no JSON object")
    _check(found, 1)
    return found


def _malformed(why: str) -> Problem:
    return Problem(400, "malformed", "The body cannot be read", f"{why[0].upper()}{why[1:]}.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is given twice: readers differ in which of them counts (RFC 8259 section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _malformed("a name is given twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise _malformed(f"{name} is no number of JSON")


def _check(value: object, depth: int) -> None:
    """Refuse what others could not read back: deep nesting, and half characters (RFC 8259 section 8.2)."""
    if depth > _DEEPEST:
        raise _malformed("it is too deeply nested")
    if isinstance(value, str) and any(ord(c) in _SURROGATES for c in value):
        raise _malformed("a text holds half a surrogate pair")
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list):
        inner = value
    for each in inner:
        _check(each, depth + 1)
