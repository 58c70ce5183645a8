"""A notice as a ticket system takes it: text for people, in which nothing is markup or calls anybody.

EventBridge hands these on as they are: it can neither escape what it puts into a template nor take
markup away, so both are done here.
"""

import re
import textwrap
from typing import Any

LONGEST = 8_000  # characters; Jira takes 32,767 and the event 256 KiB
_WIDTH = 100  # what Jira does not format it does not wrap either
_INTERNAL = {"key": "sd.public.comment", "value": {"internal": True}}
_ENDS_NOFORMAT = re.compile(r"\{(?=\s*noformat\b)", re.IGNORECASE)
# `[code]` is HTML in a work note, `@[name]` calls somebody.
_BEGINS_CODE = re.compile(r"\[(?=\s*/?\s*code\b)|(?<=@)\[", re.IGNORECASE)
_COMMAND = re.compile(r"(?<=:) (?=aws [a-z0-9-]+ [a-z-]+ )")


def comment(text: str) -> dict[str, dict[str, Any]]:
    r"""Compose what the API of each ticket system takes: `{"jira": {"body": …}, "servicenow": {…}}`.

    Jira (text formatting notation): inside ``{noformat}`` nothing is markup, a link or a mention, up
    to the next ``{noformat}``. Jira Service Management would show a comment to the requester, beside the
    agents; a property makes it internal, and elsewhere means nothing. ServiceNow shows a work note as
    it is, but for ``[code]`` and mentions, and to those alone who work on it.

    >>> comment("off: *really*, see [code]")["servicenow"]
    {'work_notes': 'off: *really*, see (code]'}
    """
    if len(text) > LONGEST:
        text = text[:LONGEST] + " … (shortened)"
    plain = _ENDS_NOFORMAT.sub("(", _wrapped(text))
    return {
        "jira": {"body": f"{{noformat}}\n{plain}\n{{noformat}}", "properties": [_INTERNAL]},
        "servicenow": {"work_notes": _BEGINS_CODE.sub("(", text)},
    }


def _wrapped(text: str) -> str:
    """Break long lines at blanks; a command has a line of its own, so that it can be copied."""
    lines = _COMMAND.sub("\n", text).split("\n")
    return "\n".join(line if line.startswith("aws ") else _wrap(line) for line in lines)


def _wrap(line: str) -> str:
    if len(line) <= _WIDTH:
        return line
    indent = " " * (len(line) - len(line.lstrip(" -")))
    return textwrap.fill(
        line,
        _WIDTH,
        subsequent_indent=indent[: _WIDTH // 2],
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
