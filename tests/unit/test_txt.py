"""Route 53's notation of TXT values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.txt import TxtSyntaxError, quote, unquote

# The time an example takes says how busy the machine is, nothing of the code.

READ = [
    ('"v=STSv1; id=1;"', b"v=STSv1; id=1;", "one string"),
    ('""', b"", "an empty string"),
    ('"v=STS" "v1;"', b"v=STSv1;", "joined without blanks, RFC 8461 section 3.1"),
    ('"v=STS""v1;"', b"v=STSv1;", "listed without a blank between"),
    ('"a" \t "b"', b"ab", "several blanks between"),
    (' "a" ', b"a", "blanks around"),
    ('"a " "b"', b"a b", "a blank inside is content"),
    (r'"\042"', b'"', "an octal escape"),
    (r'"\101"', b"A", "octal, not decimal: 101 is A, not e"),
    (r'"\303\274"', "ü".encode(), "UTF-8 by octets"),
    (r'"\377"', b"\xff", "the last octet"),
    (r'"say \"hi\""', b'say "hi"', "quotes escaped"),
    (r'"a\\b"', rb"a\b", "a backslash escaped"),
    (r'"\;"', b";", "an escape that was not needed"),
    (r'"\1011"', b"A1", "three digits and no more"),
]

REFUSED = [
    ("", "empty", "nothing at all"),
    ("  ", "empty", "blanks alone"),
    ("v=STSv1; id=1;", "quoted string", "not quoted"),
    ('"a" b', "position 4", "text after a string"),
    ('"a', "quoted string", "never closed"),
    ('"a\\"', "quoted string", "the closing quote is escaped"),
    ('"a" "', "position 4", "a second string never closed"),
    (r'"\12"', "unknown escape", "two octal digits"),
    (r'"\400"', "unknown escape", "over an octet"),
    (r'"\189"', "unknown escape", "no octal digits"),
    ('"ü"', "outside ASCII", "must be octal escapes"),
    (r'"\ü"', "outside ASCII", "nor can it be escaped like that"),
    (f'"{"a" * 256}"', "256 octets", "a string is 255 octets at most"),
]


@pytest.mark.parametrize(("value", "content", "why"), READ)
def test_values_are_read(value: str, content: bytes, why: str) -> None:
    assert unquote(value) == content, why


@pytest.mark.parametrize(("value", "reason", "why"), REFUSED)
def test_what_is_no_value_is_refused(value: str, reason: str, why: str) -> None:
    with pytest.raises(TxtSyntaxError) as caught:
        unquote(value)
    assert reason in str(caught.value), why


@pytest.mark.parametrize(
    ("content", "value", "why"),
    [
        (b"v=STSv1; id=1;", '"v=STSv1; id=1;"', "printable ASCII stays"),
        (b"", '""', "empty content is one empty string"),
        (b'"\\', r'"\"\\"', "quote and backslash"),
        (b"\t\x7f\xff", r'"\011\177\377"', "three octal digits each"),
        (b"a" * 256, f'"{"a" * 255}" "a"', "a second string, one blank between"),
    ],
)
def test_values_are_written(content: bytes, value: str, why: str) -> None:
    assert quote(content) == value, why


@given(st.binary(max_size=700))
def test_what_is_written_can_be_read(content: bytes) -> None:
    value = quote(content)
    assert unquote(value) == content
    assert value.isascii()
    assert value.isprintable()


@given(st.text() | st.text(alphabet='"\\ 0127aü').map('"{}"'.format))
def test_any_text_is_read_or_refused(value: str) -> None:
    try:
        content = unquote(value)
    except TxtSyntaxError:
        return
    assert unquote(quote(content)) == content
