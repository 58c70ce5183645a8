"""The policy body of RFC 8461 section 3.2: text to value and back.

The grammar, in words (ABNF ``sts-policy-record``): fields, each followed by optional blanks,
separated by LF or CRLF; the terminator after the last field is optional, so a file may end without
one; an empty line, a comment, a byte order mark or a blank in front of a key has no place in it. A
field is a key, a colon, optional blanks and a value. ``version``, ``mode`` and ``max_age`` are
required once, in any order; ``mx`` at least once unless the mode is ``none``. Of any key but ``mx``
that is repeated the first entry counts and the others are ignored, whatever they say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

MAX_AGE_LIMIT: Final = 31_557_600  # seconds, about a year: RFC 8461 section 3.2
MAX_BODY: Final = 65_536  # octets, the limit that RFC 8461 section 3.3 suggests to senders
NONE_MAX_AGE: Final = 86_400  # seconds: "a small max_age" of RFC 8461 section 8.3

_VERSION: Final = "STSv1"
_KNOWN_KEYS: Final = frozenset({"version", "mode", "max_age", "mx"})
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")  # sts-policy-ext-name
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_DIGITS: Final = re.compile(r"[0-9]{1,10}")  # sts-policy-max-age-value
# ["*."] Domain; RFC 5321 section 4.1.2 defines Domain, RFC 1035 section 2.3.4 its lengths.
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MX: Final = re.compile(rf"(?:\*\.)?(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_BLANKS: Final = " \t"
_BYTE_ORDER_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"


class Mode(StrEnum):
    """What a sender does with mail for hosts that fail the policy (RFC 8461 section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True)
class Problem:
    """One departure from the grammar: line counted from 1 (0: the whole file), reason, its text.

    The text is what the file says; bytes that are no UTF-8 are shown as ``\\xNN``.
    """

    line: int
    reason: str
    text: str = ""

    def __str__(self) -> str:
        limit = 80
        text = self.text if len(self.text) <= limit else f"{self.text[:limit]}…"
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.reason}" + (f": {text!r}" if text else "")


class PolicySyntaxError(ValueError):
    """The body is no policy; ``problems`` holds every reason, in the order of the lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        # The message may end up in a workflow's cause, which is limited, and 64 KiB of empty
        # lines are as many problems.
        limit = 10
        lines = [str(problem) for problem in self.problems[:limit]]
        if len(self.problems) > limit:
            lines.append(f"and {len(self.problems) - limit} more")
        return "; ".join(lines)


@dataclass(frozen=True)
class Policy:
    """A policy by RFC 8461 section 3.2; max_age in seconds, mx as written, in order.

    Extensions are unknown keys with their values, in order, no key twice.
    """

    mode: Mode
    max_age: int
    mx: tuple[str, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the policy in a body that keeps every rule of RFC 8461 section 3.2.

        Raises PolicySyntaxError with all problems otherwise.
        """
        found = _Found.of(body)
        if found.problems:
            raise PolicySyntaxError(tuple(found.problems))
        return cls(
            mode=Mode(found.values["mode"]),
            max_age=int(found.values["max_age"]),
            mx=tuple(found.mx),
            extensions=tuple(found.extensions.items()),
        )

    def to_bytes(self) -> bytes:
        """Return the body: CRLF lines, version first, one final CRLF."""
        return b"".join(self._lines())

    def _lines(self) -> Iterator[bytes]:
        yield _line("version", _VERSION)
        yield _line("mode", self.mode)
        yield _line("max_age", str(self.max_age))
        yield from (_line("mx", pattern) for pattern in self.mx)
        yield from (_line(key, value) for key, value in self.extensions)


@dataclass(frozen=True)
class Reading:
    """What could be understood of a body, well-formed or not.

    policy is None where problems exist. mode is the text of the first ``mode`` line, max_age the
    seconds of the first ``max_age`` line if they are allowed ones, mx each ``mx`` value as written,
    well-formed or not; extensions are the well-formed unknown keys, the first of each.
    """

    policy: Policy | None
    problems: tuple[Problem, ...]
    mode: str | None
    max_age: int | None
    mx: tuple[str, ...]
    extensions: tuple[tuple[str, str], ...]


def read(body: bytes) -> Reading:
    """Return what could be understood of a body; never raises.

    A policy that senders reject must still be reported line by line, and turned off.
    """
    found = _Found.of(body)
    return Reading(
        policy=None if found.problems else Policy.parse(body),
        problems=tuple(found.problems),
        mode=found.values.get("mode"),
        max_age=found.max_age,
        mx=tuple(found.mx),
        extensions=tuple(found.extensions.items()),
    )


def mode_of(reading: Reading) -> str:
    """Name the mode, ``malformed`` for what is no policy by RFC 8461."""
    return reading.policy.mode.value if reading.policy else "malformed"


def served_mode(reading: Reading) -> str:
    """Name the mode as it counts for exposure: a malformed policy that says none enforces nothing."""
    return Mode.NONE.value if reading.mode == Mode.NONE.value else mode_of(reading)


def none_policy(reading: Reading, *, keep_mx: bool) -> bytes:
    """Return the body that turns a policy off and keeps what senders must ignore anyway.

    ``mode: none`` with a max_age of a day (RFC 8461 section 8.3), then the well-formed mx lines if
    keep_mx (some senders reject ``none`` without any), then the unknown keys. A line that would
    lift the body over 64 KiB, where senders stop reading, is left out.
    """
    candidates = dict.fromkeys(filter(_MX.fullmatch, reading.mx)) if keep_mx else {}
    # "Mode: enforce" is an unknown key by the letter of RFC 8461 section 3.2, and what some
    # senders read as the mode. It must not contradict the line above it.
    extensions = [pair for pair in reading.extensions if pair[0].lower() not in _KNOWN_KEYS]
    room = MAX_BODY - len(Policy(Mode.NONE, NONE_MAX_AGE).to_bytes())
    kept_mx, kept_extensions = [], []
    for pattern in candidates:
        if (size := len(_line("mx", pattern))) <= room:
            kept_mx.append(pattern)
            room -= size
    for key, value in extensions:
        if (size := len(_line(key, value))) <= room:
            kept_extensions.append((key, value))
            room -= size
    return Policy(Mode.NONE, NONE_MAX_AGE, tuple(kept_mx), tuple(kept_extensions)).to_bytes()


def mx_matches(pattern: str, host: str) -> bool:
    """Tell whether an MX host satisfies an mx pattern (RFC 8461 section 4.1).

    The star stands for exactly one label, the left-most. Case does not matter, nor does the final
    dot with which the DNS writes host names.
    """
    wanted, given = pattern.lower(), host.lower().removesuffix(".")
    if not wanted.startswith("*."):
        return wanted == given
    label, dot, rest = given.partition(".")
    return bool(label and dot) and rest == wanted[len("*.") :]


def is_text_plain(content_type: str | None) -> bool:
    """Tell whether a Content-Type is ``text/plain``, with whatever parameters.

    RFC 8461 section 3.2 has senders check it, so that a page which users may write is no policy.
    """
    if content_type is None:
        return False
    return content_type.partition(";")[0].strip(_BLANKS).lower() == "text/plain"


def _line(key: str, value: str) -> bytes:
    return f"{key}: {value}\r\n".encode()


@dataclass
class _Found:
    """The state of one reading: what the lines so far said, and what is wrong with them."""

    problems: list[Problem] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    mx: list[str] = field(default_factory=list)
    extensions: dict[str, str] = field(default_factory=dict)
    max_age: int | None = None

    @classmethod
    def of(cls, body: bytes) -> Self:
        found = cls()
        for number, line in enumerate(_split(body), start=1):
            found._take(number, line)
        found._complete(empty=not body)
        return found

    def _take(self, number: int, line: bytes) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            shown = line.decode(errors="backslashreplace")
            self.problems.append(Problem(number, "not UTF-8", shown))
            return
        key, colon, value = text.partition(":")
        value = value.strip(_BLANKS)
        if reason := _line_fault(text, key, colon, value):
            self.problems.append(Problem(number, reason, text))
            key = key.strip(_BLANKS + _BYTE_ORDER_MARK)  # " mode : none" can be understood
            if key not in _KNOWN_KEYS or not value:
                return
        elif key not in _KNOWN_KEYS:
            self.extensions.setdefault(key, value)
            return
        if key == "mx":
            self.mx.append(value)
        elif key in self.values:
            return
        else:
            self.values[key] = value
        if reason := self._value_fault(key, value):
            self.problems.append(Problem(number, reason, text))

    def _value_fault(self, key: str, value: str) -> str:
        """Return what is wrong with the value of a known key, or an empty text."""
        if key == "version" and value != _VERSION:
            return f"the version must be {_VERSION}"
        if key == "mode" and value not in set(Mode):
            return "the mode must be enforce, testing or none, in lower case"
        if key == "max_age":
            if not _DIGITS.fullmatch(value) or int(value) > MAX_AGE_LIMIT:
                return f"max_age must be a number of seconds from 0 to {MAX_AGE_LIMIT}"
            self.max_age = int(value)
        if key == "mx" and not _MX.fullmatch(value):
            return "an mx must be a host name in A-labels, or *. and a name"
        return ""

    def _complete(self, *, empty: bool) -> None:
        if empty:
            self.problems.append(Problem(0, "the file is empty"))
            return
        for key in ("version", "mode", "max_age"):
            if key not in self.values:
                self.problems.append(Problem(0, f"there is no {key} line (keys are lower case)"))
        if not self.mx and self.values.get("mode") != Mode.NONE:
            self.problems.append(Problem(0, "there is no mx line, and the mode is not none"))


def _split(body: bytes) -> list[bytes]:
    """Split at LF and CRLF; the last terminator is optional (ABNF ``[sts-policy-term]``)."""
    lines = body.split(b"\n")
    ended, last = [line.removesuffix(b"\r") for line in lines[:-1]], lines[-1]
    return [*ended, last] if last else ended


def _line_fault(text: str, key: str, colon: str, value: str) -> str:  # noqa: PLR0911 - one reason each
    """Return why a line is no field, whatever its key, or an empty text."""
    if not text.strip(_BLANKS):
        return "an empty line"
    if text.startswith(_BYTE_ORDER_MARK):
        return "a byte order mark in front of the key"
    if not colon:
        return "no key and value separated by a colon"
    if key != key.strip(_BLANKS):
        return "a blank around the key"
    if not _KEY.fullmatch(key):
        return "a key has 1 to 32 letters, digits, _ - or ., the first a letter or digit"
    if not value:
        return "a key without a value"
    if _CONTROL.search(value):
        return "a control character"
    return ""
