"""The input of an execution: what is asked for, by whom, and how it is checked."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from mta_sts.domains import DomainNameError, normalise
from mta_sts.errors import InvalidRequestError
from mta_sts.policy import MAX_AGE_LIMIT

METHODS = ("none-policy", "delete-record", "retire", "restore", "change-id", "check")
FLAGS = (
    "dry_run", "keep_mx", "create_policy", "publish_none", "remove_policy", "accept_mx_mismatch",
    "discover",
)  # fmt: skip
TEXTS = {"requested_by": 256, "ticket": 256, "reason": 2000}  # most characters
MOMENTS = ("accept_exposure_until", "ids_changed_since", "restore_at")
DIGESTS = ("approved_plan", "accept_current")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TICKET_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # it becomes part of an address
_LONGEST_MOMENT = 40  # characters
_YEARS = range(2000, 3000)  # what lies outside is a slip
_MOST_MX = 20
_MOST_TOLD = 20
FIELDS = (
    "domain", "method", *FLAGS, "new_mx", "longest_max_age", *MOMENTS, *TEXTS, "ticket_id",
    "restore_mode", *DIGESTS, "due",
)  # fmt: skip
# Which methods a field is for; those that are not named are for all.
_TURNING_OFF = ("none-policy", "delete-record", "retire")
_FOR = {
    "keep_mx": _TURNING_OFF,
    "create_policy": _TURNING_OFF,
    "publish_none": ("delete-record",),
    "accept_exposure_until": ("delete-record",),
    "remove_policy": ("retire",),
    "restore_at": ("none-policy",),
    "restore_mode": ("restore", "none-policy"),
    "accept_mx_mismatch": ("restore", "none-policy"),
    "accept_current": ("restore", "change-id"),
    "new_mx": (*_TURNING_OFF, "change-id", "check"),
    "longest_max_age": (*_TURNING_OFF, "change-id", "check"),
    "ids_changed_since": (*_TURNING_OFF, "change-id", "check"),
    "approved_plan": (*_TURNING_OFF, "restore", "change-id"),
    "discover": ("check",),
}
# What the ledger has due, and the method that does it.
DUE = {
    "retirement": "delete-record",
    "restore": "restore",
    "watch": "check",
    "drained": "check",
}


@dataclass(frozen=True)
class Due:
    """What the sweep started a run for: the ledger must still have it, under this generation."""

    kind: str
    generation: int
    at: datetime


@dataclass(frozen=True)
class Request:
    """A checked request; ``domain`` and ``new_mx`` are in lower-case A-labels without a final dot.

    ``longest_max_age`` (seconds) and ``ids_changed_since`` are attestations: what the caller vouches
    for where the history is not known. ``due`` is None in a request by hand. ``domain`` is empty
    where ``discover`` is set. ``ticket_id`` is how the ticket system's own API names the ticket, which
    people know as ``ticket``; where only that is given and fits, it stands for both.
    """

    domain: str
    method: str
    dry_run: bool = False
    keep_mx: bool = False
    create_policy: bool = False
    publish_none: bool = False
    remove_policy: bool = False
    accept_mx_mismatch: bool = False
    discover: bool = False
    new_mx: tuple[str, ...] = ()
    longest_max_age: int | None = None
    accept_exposure_until: datetime | None = None
    ids_changed_since: datetime | None = None
    restore_at: datetime | None = None
    restore_mode: str = ""
    requested_by: str = ""
    ticket: str = ""
    ticket_id: str = ""
    reason: str = ""
    approved_plan: str = ""
    accept_current: str = ""
    due: Due | None = None

    @property
    def deletes(self) -> bool:
        """Whether the record goes."""
        return self.method == "delete-record"

    @property
    def publishes(self) -> bool:
        """Whether a policy is proven to be served before the record changes."""
        return not self.deletes or self.publish_none

    @property
    def retires(self) -> bool:
        """Whether this run is the second half of a retirement: the drain is over, the record goes."""
        return self.due is not None and self.due.kind == "retirement"

    @classmethod
    def parse(cls, data: object) -> Self:
        """Check an execution's input; raise InvalidRequestError naming every problem at once."""
        if not isinstance(data, Mapping):
            wrong = f"The input must be a JSON object such as {_EXAMPLE}; it is {_kind(data)}."
            raise InvalidRequestError(wrong, [wrong])
        problems = [
            f"unknown field {_shown(name)} (known: {', '.join(FIELDS)})"
            for name in data
            if name not in FIELDS
        ]
        fields: dict[str, Any] = {}
        fields["domain"] = "" if data.get("discover") is True else _domain(data, problems)
        fields["method"] = _method(data, problems)
        for name in FLAGS:
            fields[name] = _flag(data, name, problems)
        fields["new_mx"] = _new_mx(data, problems)
        fields["longest_max_age"] = _seconds(data, "longest_max_age", problems)
        for name in MOMENTS:
            fields[name] = _moment(data, name, problems)
        for name, most in TEXTS.items():
            fields[name] = _text(data, name, most, problems)
        fields["ticket_id"] = _ticket_id(data, problems)
        for name in DIGESTS:
            fields[name] = _digest(data, name, problems)
        fields["restore_mode"] = _restore_mode(data, problems)
        fields["due"] = _due(data, problems)
        request = cls(**fields)
        problems.extend(_misplaced(request, data))
        if problems:
            more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
            told = "; ".join(problems[:_MOST_TOLD]) + more
            raise InvalidRequestError(
                f"The input cannot be carried out: {told}. An example: {_EXAMPLE}", problems
            )
        return request


_EXAMPLE = '{"domain": "solarmora.com", "method": "none-policy"}'


def _misplaced(request: Request, data: Mapping[str, Any]) -> list[str]:
    """Name what the method would have to ignore: nothing that is accepted is."""
    method = request.method
    if not method:
        return []
    told = [
        f"{name} is for {_series(methods)} only"
        for name, methods in _FOR.items()
        if _given(data, name)
        and method not in methods
        and not (name == "remove_policy" and request.retires)
    ]
    if method == "delete-record" and not request.publish_none:
        told += [
            f"{name} needs publish_none: true, without which delete-record writes no policy"
            for name in ("keep_mx", "create_policy")
            if _given(data, name)
        ]
    if method == "none-policy" and request.restore_at is None:
        told += [
            f"{name} needs restore_at, without which none-policy restores nothing"
            for name in ("restore_mode", "accept_mx_mismatch")
            if _given(data, name)
        ]
    if request.due and DUE[request.due.kind] != method:
        told.append(f"due {request.due.kind} is for {DUE[request.due.kind]} only")
    if request.due and (request.discover or request.publish_none):
        told.append("due is for one domain, and leaves its policy alone")
    if request.discover and "domain" in data:
        told.append("discover looks for every domain: leave domain out")
    return told


def _series(names: Sequence[str]) -> str:
    *firsts, last = names
    return f"{', '.join(firsts)} and {last}" if firsts else last


def _given(data: Mapping[str, Any], name: str) -> bool:
    return name in data and data[name] is not False


def _domain(data: Mapping[str, Any], problems: list[str]) -> str:
    if "domain" not in data:
        problems.append("domain is missing")
    elif not isinstance(data["domain"], str):
        problems.append(f"domain must be text, it is {_kind(data['domain'])}")
    else:
        return _name(data["domain"], "domain", problems)
    return ""


def _name(text: str, field: str, problems: list[str]) -> str:
    try:
        return normalise(text)
    except DomainNameError as error:
        problems.append(f"{field} {_shown(text)}: {error}")
        return ""


def _new_mx(data: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    if "new_mx" not in data:
        return ()
    value = data["new_mx"]
    if not isinstance(value, list) or not all(isinstance(host, str) for host in value):
        problems.append(f"new_mx must be a list of host names, it is {_kind(value)}")
        return ()
    if not 0 < len(value) <= _MOST_MX:
        problems.append(f"new_mx must name 1 to {_MOST_MX} hosts, it names {len(value)}")
        return ()
    return tuple(dict.fromkeys(_name(host, "new_mx", problems) for host in value))


def _seconds(data: Mapping[str, Any], name: str, problems: list[str]) -> int | None:
    if name not in data:
        return None
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_AGE_LIMIT:
        problems.append(f"{name} must be a number of seconds from 0 to {MAX_AGE_LIMIT}")
        return None
    return value


def _moment(data: Mapping[str, Any], name: str, problems: list[str]) -> datetime | None:
    """Read a date, which stands for its first moment in UTC, or a moment with its offset."""
    if name not in data:
        return None
    value = data[name]
    wanted = f"{name} must be a date such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z"
    if not isinstance(value, str):
        problems.append(f"{wanted}; it is {_kind(value)}")
        return None
    try:
        moment = datetime.fromisoformat(value[:_LONGEST_MOMENT])
        if _DATE.fullmatch(value):
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is not None and moment.year in _YEARS:
            return moment.astimezone(UTC)
    except ValueError:
        pass
    problems.append(f"{wanted}; it is {_shown(value)}")
    return None


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


def _ticket_id(data: Mapping[str, Any], problems: list[str]) -> str:
    named = data.get("ticket")
    default = named if isinstance(named, str) and _TICKET_ID.fullmatch(named) else ""
    value = data.get("ticket_id", default)
    if value != "" and not (isinstance(value, str) and _TICKET_ID.fullmatch(value)):
        problems.append("ticket_id must be 1 to 64 letters, digits, - and _")
        return ""
    return str(value)


def _digest(data: Mapping[str, Any], name: str, problems: list[str]) -> str:
    if name not in data:
        return ""
    value = data[name]
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):  # noqa: PLR2004
        of = "a plan" if name == "approved_plan" else "policy and record, as the refusal tells it"
        problems.append(f"{name} must be the digest of {of}: 64 digits 0-9 and a-f")
        return ""
    return value


def _restore_mode(data: Mapping[str, Any], problems: list[str]) -> str:
    value = data.get("restore_mode", "")
    if "restore_mode" in data and value != "testing":
        found = _shown(value) if isinstance(value, str) else _kind(value)
        problems.append(
            f"restore_mode must be testing, or left out for the mode that was saved; it is {found}"
        )
        return ""
    return str(value)


def _due(data: Mapping[str, Any], problems: list[str]) -> Due | None:
    """Read what the sweep adds; by hand nobody needs it, and it does no harm: the ledger decides."""
    value = data.get("due")
    if value is None:
        return None
    wrong = "due is what the schedule adds to its own runs: leave it out"
    if not isinstance(value, Mapping) or set(value) != {"kind", "generation", "at"}:
        problems.append(wrong)
        return None
    kind, generation = value["kind"], value["generation"]
    at = _moment(value, "at", problems)
    fine = isinstance(kind, str) and kind in DUE and type(generation) is int
    if not fine:
        problems.append(wrong)
    return Due(kind, generation, at) if fine and at else None


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
