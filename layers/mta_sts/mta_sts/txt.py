r"""TXT values as Route 53 writes them: quoted strings, with other bytes as octal escapes.

Route 53 differs from master files (RFC 1035 section 5.1) in one trap: ``\101`` is octal, not
decimal. A value is one or several character strings of at most 255 octets; their blanks in
between separate and are no content, for RFC 8461 section 3.1 joins strings without spaces.
"""

import re
from typing import Final

# RFC 1035 section 3.3: a character string carries its length in one octet.
_MAX_STRING: Final = 255
_STRING: Final = re.compile(r'[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*', re.DOTALL)
_UNIT: Final = re.compile(r"\\([0-3][0-7]{2})|\\([^0-9])|([^\\])", re.DOTALL)
_PRINTABLE: Final = range(0x20, 0x7F)


class TxtSyntaxError(ValueError):
    """The text is not a TXT value in Route 53's notation; the message says why."""


def unquote(value: str) -> bytes:
    """Return the content of one TXT value, its strings joined as senders join them.

    Strings may touch, for Route 53 lists some values that way although it refuses them on write.

    Raises TxtSyntaxError for text outside quotes, an unknown escape, a character outside ASCII,
    and a string of more than 255 octets.
    """
    if not value.strip(" \t"):
        raise TxtSyntaxError("the value is empty: not even a pair of quotes")
    content = bytearray()
    position = 0
    while position < len(value):
        match = _STRING.match(value, position)
        if match is None:
            raise TxtSyntaxError(f"expected a quoted string at position {position}: {value!r}")
        string = _unescape(match[1])
        if len(string) > _MAX_STRING:
            raise TxtSyntaxError(f"a string has {len(string)} octets; {_MAX_STRING} are the limit")
        content += string
        position = match.end()
    return bytes(content)


def quote(content: bytes) -> str:
    """Return content as Route 53 accepts it: strings of at most 255 octets, one blank between."""
    starts = range(0, len(content), _MAX_STRING) or range(1)
    return " ".join(f'"{_escape(content[start : start + _MAX_STRING])}"' for start in starts)


def _unescape(text: str) -> bytes:
    octets = bytearray()
    position = 0
    while position < len(text):
        unit = _UNIT.match(text, position)
        if unit is None:
            raise TxtSyntaxError(f"unknown escape {text[position : position + 4]!r} in {text!r}")
        octal, escaped, plain = unit.groups()
        char = chr(int(octal, 8)) if octal else escaped or plain
        if not octal and not char.isascii():
            raise TxtSyntaxError(f"character outside ASCII in {text!r}: it must be an octal escape")
        octets.append(ord(char))
        position = unit.end()
    return bytes(octets)


def _escape(octets: bytes) -> str:
    return "".join(_escaped(octet) for octet in octets)


def _escaped(octet: int) -> str:
    char = chr(octet)
    if char in '"\\':
        return f"\\{char}"
    return char if octet in _PRINTABLE else f"\\{octet:03o}"
