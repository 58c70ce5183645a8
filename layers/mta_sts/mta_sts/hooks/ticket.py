"""From a ticket's fields to an execution's input.

What people wrote is cut and cleaned rather than refused: no run fails for its words. What
decides what is done is taken as it stands, or refused.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from mta_sts.errors import InvalidRequestError
from mta_sts.hooks.expressions import ExpressionError
from mta_sts.hooks.sources import Source

# Most characters, as a request takes them.
TEXTS = {"reason": 2000, "requested_by": 256, "ticket": 256}
_FLAGS = ("dry_run", "keep_mx", "publish_none")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_HOSTS = re.compile(r"[\s,;]+")
_LINES = ("\n", "\t")
# They turn the text that follows around: what is read is not what was written (Unicode TR 36, section 2.6).
_TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def event_of(source: Source, data: Mapping[str, Any]) -> dict[str, Any]:
    """Map what a source has sent; a field of which there is nothing is left out.

    A source that maps ``dry_run`` itself always has to say it, and one that maps ``approved_plan`` to give it
    wherever something would change: what is missing there must not have a run do more. Raises
    InvalidRequestError, and so does what an expression cannot be evaluated on.
    """
    event, problems = _fields(source, data)
    if "dry_run" in source.own and "dry_run" not in event:
        problems.append("dry_run is mapped: it has to be true or false, and there is nothing")
    changes = event.get("method") != "check" and event.get("dry_run") is not True
    if "approved_plan" in source.own and changes and "approved_plan" not in event:
        problems.append("approved_plan is mapped: what changes something needs the plan's digest")
    if problems:
        raise InvalidRequestError("; ".join(problems), problems)
    return event


def legible(source: Source, data: Mapping[str, Any]) -> dict[str, Any]:
    """Map what can be mapped of a delivery, whatever is wrong with the rest; not for what is done."""
    return _fields(source, data)[0]


def _fields(source: Source, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    event, problems = {}, []
    for field, expression in source.fields.items():
        try:
            value = _read(field, expression.of(data))
        except ExpressionError as error:
            problems.append(f"{field}: its expression cannot be evaluated here ({error})")
            continue
        if value is not None:
            event[field] = value
    return event, problems


def _read(field: str, value: Any) -> Any:
    if isinstance(value, str):
        value = clean(value, lines=field == "reason")
    if value is None or value in ("", []):
        return None
    if isinstance(value, str):
        return _read_text(field, value)
    if isinstance(value, int) and not isinstance(value, bool) and field in {*TEXTS, "ticket_id"}:
        return str(value)
    return value


def _read_text(field: str, text: str) -> Any:
    if field in TEXTS:
        return text if len(text) <= TEXTS[field] else f"{text[: TEXTS[field] - 1]}…"
    if field in _FLAGS:
        return _WORDS.get(text.lower(), text)
    if field == "new_mx":
        return [host for host in _HOSTS.split(text) if host]
    return text


def clean(text: str, *, lines: bool) -> str:
    """Put blanks for control characters, halves of characters and what turns text around.

    Ends of lines and tabs are kept where ``lines`` says so.
    """
    return "".join(
        " "
        if (unicodedata.category(c) in {"Cc", "Cs"} and not (lines and c in _LINES))
        or c in _TURNING
        else c
        for c in text
    ).strip()
