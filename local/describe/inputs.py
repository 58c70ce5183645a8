"""An execution's input as JSON Schema: names, types and limits from the code, words from the README."""

import re
from typing import Any

from local.environments import ROOT
from mta_sts import request
from mta_sts.policy import MAX_AGE_LIMIT

# A date, or a moment with its offset; the code says which of these it takes.
_MOMENT = {
    "type": "string",
    "anyOf": [{"format": "date"}, {"format": "date-time"}],
    "maxLength": 40,
    "examples": ["2027-01-31", "2027-01-31T12:00:00Z"],
}
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_SHAPES: dict[str, dict[str, Any]] = {
    "domain": {"type": "string", "minLength": 3, "maxLength": 254, "examples": ["solarmora.com"]},
    "method": {"type": "string", "enum": list(request.METHODS)},
    "new_mx": {
        "type": "array",
        "items": {"type": "string", "minLength": 3, "maxLength": 254},
        "minItems": 1,
        "maxItems": 20,
        "examples": [["mx1.newprovider.example"]],
    },
    "longest_max_age": {"type": "integer", "minimum": 0, "maximum": MAX_AGE_LIMIT},
    "ticket_id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "restore_mode": {"type": "string", "enum": ["testing"]},
    "due": {
        "type": "object",
        "required": ["kind", "generation", "at"],
        "additionalProperties": False,
        "properties": {
            "kind": {"type": "string", "enum": list(request.DUE)},
            "generation": {"type": "integer"},
            "at": _MOMENT,
        },
    },
    **{name: {"type": "boolean", "default": False} for name in request.FLAGS},
    **dict.fromkeys(request.MOMENTS, _MOMENT),
    **dict.fromkeys(request.DIGESTS, _DIGEST),
    **{name: {"type": "string", "maxLength": most} for name, most in request.TEXTS.items()},
}


def properties() -> dict[str, Any]:
    """Give each field's schema, in the order in which the README has them."""
    words = _words()
    return {name: {"description": words[name], **_SHAPES[name]} for name in request.FIELDS}


def schema() -> dict[str, Any]:
    """Give the schema of an execution's input."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Input of an execution of mta-sts-off",
        "type": "object",
        "required": ["method"],
        "anyOf": [
            {"required": ["domain"]},
            {"required": ["discover"], "properties": {"discover": {"const": True}}},
        ],
        "additionalProperties": False,
        "properties": properties(),
    }


def _words() -> dict[str, str]:
    """Read what each field does, and for which methods, out of the README's table of the input."""
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| (.+) \|$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE,
    )
    told: dict[str, str] = {}
    for name, methods, words in rows:
        of = "" if methods.strip() == "all" else f"For {_plain(methods.strip())}. "
        told.setdefault(name, of + _plain(words))
    return told


def _plain(text: str) -> str:
    """Take markup out: links keep their words."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    return text.replace("`", "").replace("*", "")
