"""The TXT record of RFC 8461 section 3.1: text to value and back.

The grammar, in words (ABNF ``sts-text-record``): ``v=STSv1`` first, exactly; then one field at
least, each after a semicolon with optional blanks around it; a final semicolon is optional. The
first semicolon follows the version directly, for values that do not begin with ``v=STSv1;`` are
not considered at all. Of a field that is repeated the first counts (section 3.2 says so for
records and policies alike).
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, product
from string import ascii_lowercase, digits
from typing import Final, Self

_START: Final = "v=STSv1;"
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")  # sts-id
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")  # sts-ext-name
_VALUE: Final = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")  # sts-ext-value: no ";", "=", blank
_BLANKS: Final = " \t"
_MAX_SUFFIX: Final = 32 - len("YYYYMMDDHHMMSS")


class RecordSyntaxError(ValueError):
    """The value is no STS record; the message is the reason."""


@dataclass(frozen=True)
class Record:
    """An STS record: the id of the policy that is current, and unknown fields in order.

    Raises RecordSyntaxError for an id that is not 1 to 32 letters or digits.
    """

    id: str
    extensions: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise RecordSyntaxError(f"the id must be 1 to 32 letters or digits: {self.id!r}")

    @classmethod
    def parse(cls, value: str | bytes) -> Self:
        """Return the record in a TXT value that keeps every rule of RFC 8461 section 3.1.

        The value is the content, its strings joined and unquoted. Raises RecordSyntaxError.
        """
        fields: dict[str, str] = {}
        for text in _fields(_ascii(value)):
            name, content = _field(text)
            fields.setdefault(name, content)
        if "id" not in fields:
            raise RecordSyntaxError("there is no id")
        return cls(fields.pop("id"), tuple(fields.items()))

    def __str__(self) -> str:
        """Return the content of the TXT value; no blank before ``;``, on which senders disagree."""
        extensions = "".join(f" {name}={value};" for name, value in self.extensions)
        return f"{_START} id={self.id};{extensions}"


def is_sts(content: bytes) -> bool:
    """Tell whether senders consider a TXT value at all (RFC 8461 section 3.1)."""
    return content.startswith(_START.encode())


def new_id(now: datetime, used: Collection[str]) -> str:
    """Return an id that the domain never had: ``now`` in UTC, to the second, and a suffix if used.

    An id that comes back would tell a sender that what it has cached under it is current.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%d%H%M%S")
    candidates = chain([stamp], (stamp + suffix for suffix in _suffixes()))
    return next(candidate for candidate in candidates if candidate not in used)


def replacement(old: bytes | None, id: str) -> Record:  # noqa: A002 - the field's own name
    """Return the record with a new id that keeps the well-formed unknown fields of an old value.

    The old value may be malformed elsewhere. Raises RecordSyntaxError for an id that is not one.
    """
    kept: dict[str, str] = {}
    for piece in (old or b"").split(b";"):
        try:
            name, value = _field(_ascii(piece).strip(_BLANKS))
        except RecordSyntaxError:
            continue
        # "ID=1" is an unknown field by the letter, and the id to a sender that ignores case.
        if name.lower() not in {"v", "id"}:
            kept.setdefault(name, value)
    return Record(id, tuple(kept.items()))


def _suffixes() -> Iterator[str]:
    """Return a … z, 0 … 9, aa, ab, …: a fresh id stays within 32 characters (sts-id)."""
    lengths = range(1, _MAX_SUFFIX + 1)
    alphabet = ascii_lowercase + digits
    return map("".join, chain.from_iterable(product(alphabet, repeat=n) for n in lengths))


def _ascii(value: str | bytes) -> str:
    try:
        return value.decode("ascii") if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        raise RecordSyntaxError(f"a byte outside ASCII at position {error.start}") from error


def _fields(value: str) -> Iterator[str]:
    if not value.startswith(_START):
        raise RecordSyntaxError(f"the value must begin with {_START}")
    *texts, last = value.removeprefix(_START).split(";")
    yield from (text.strip(_BLANKS) for text in texts)
    # A final semicolon may be followed by blanks; a last field may not (ABNF sts-field-delim).
    if last.strip(_BLANKS):
        yield last.lstrip(_BLANKS)


def _field(text: str) -> tuple[str, str]:
    if not text:
        raise RecordSyntaxError("an empty field between two semicolons")
    name, equals, value = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise RecordSyntaxError(f"not a field name and a value separated by =: {text!r}")
    if not _VALUE.fullmatch(value):
        raise RecordSyntaxError(
            f"a value is printable ASCII without ; = and blanks, one character at least: {text!r}"
        )
    return name, value
