"""The input of an execution: what is asked for, by whom, and how it is checked."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mta_sts.domains import DomainNameError, normalise
from mta_sts.errors import InvalidRequestError

METHODS = ("none-policy",)
_FLAGS = ("dry_run", "keep_mx", "create_policy")
_TEXTS = {"requested_by": 256, "ticket": 256, "reason": 2000}  # most characters
_MOST_TOLD = 20
_FIELDS = ("domain", "method", *_FLAGS, *_TEXTS, "approved_plan")


@dataclass(frozen=True)
class Request:
    """A checked request; ``domain`` is in lower-case A-labels without a final dot."""

    domain: str
    method: str
    dry_run: bool = False
    keep_mx: bool = False
    create_policy: bool = False
    requested_by: str = ""
    ticket: str = ""
    reason: str = ""
    approved_plan: str = ""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Check an execution's input; raise InvalidRequestError naming every problem at once."""
        if not isinstance(data, Mapping):
            raise InvalidRequestError(
                f"The input must be a JSON object such as {_EXAMPLE}; it is {_kind(data)}."
            )
        problems = [
            f"unknown field {_shown(name)} (known: {', '.join(_FIELDS)})"
            for name in data
            if name not in _FIELDS
        ]
        fields: dict[str, Any] = {}
        fields["domain"] = _domain(data, problems)
        fields["method"] = _method(data, problems)
        for name in _FLAGS:
            fields[name] = _flag(data, name, problems)
        for name, most in _TEXTS.items():
            fields[name] = _text(data, name, most, problems)
        fields["approved_plan"] = _digest(data, problems)
        if problems:
            more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
            told = "; ".join(problems[:_MOST_TOLD]) + more
            raise InvalidRequestError(
                f"The input cannot be carried out: {told}. An example: {_EXAMPLE}"
            )
        return cls(**fields)


_EXAMPLE = '{"domain": "solarmora.com", "method": "none-policy"}'


def _domain(data: Mapping[str, Any], problems: list[str]) -> str:
    if "domain" not in data:
        problems.append("domain is missing")
    elif not isinstance(data["domain"], str):
        problems.append(f"domain must be text, it is {_kind(data['domain'])}")
    else:
        try:
            return normalise(data["domain"])
        except DomainNameError as error:
            problems.append(f"domain {_shown(data['domain'])}: {error}")
    return ""


def _method(data: Mapping[str, Any], problems: list[str]) -> str:
    if "method" not in data:
        problems.append(f"method is missing (one of: {', '.join(METHODS)})")
        return ""
    method = data["method"]
    if method not in METHODS:
        found = _shown(method) if isinstance(method, str) else _kind(method)
        problems.append(f"method must be one of {', '.join(METHODS)}; it is {found}")
        return ""
    return str(method)


def _flag(data: Mapping[str, Any], name: str, problems: list[str]) -> bool:
    value = data.get(name, False)
    if not isinstance(value, bool):
        problems.append(f"{name} must be true or false, it is {_kind(value)}")
        return False
    return value


def _text(data: Mapping[str, Any], name: str, most: int, problems: list[str]) -> str:
    value = data.get(name, "")
    if not isinstance(value, str):
        problems.append(f"{name} must be text, it is {_kind(value)}")
        return ""
    if len(value) > most:
        problems.append(f"{name} is longer than {most} characters")
        return ""
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t" for c in value):
        problems.append(f"{name} contains control characters")
        return ""
    return value


def _digest(data: Mapping[str, Any], problems: list[str]) -> str:
    if "approved_plan" not in data:
        return ""
    value = data["approved_plan"]
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):  # noqa: PLR2004
        problems.append("approved_plan must be the digest of a plan: 64 digits 0-9 and a-f")
        return ""
    return value


def _kind(value: object) -> str:
    """Name a JSON type as a person would."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object")


def _shown(text: object) -> str:
    """Quote foreign text for a message: short, and without anything that a terminal would obey."""
    return ascii(str(text)[:80])
