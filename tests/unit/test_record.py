"""The TXT record by RFC 8461 section 3.1."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.record import Record, RecordSyntaxError, is_sts, new_id, replacement

# The time an example takes says how busy the machine is, nothing of the code.

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
STAMP = "20261124040506"

ACCEPTED = [
    ("v=STSv1; id=20200425085700;", Record("20200425085700"), "the usual form"),
    ("v=STSv1;id=1", Record("1"), "no blanks, no final semicolon"),
    ("v=STSv1; id=1; ", Record("1"), "blanks after the final semicolon"),
    ("v=STSv1;\t id=1 \t;", Record("1"), "blanks and tabs around semicolons"),
    ("v=STSv1; id=" + "aZ09" * 8, Record("aZ09" * 8), "32 characters"),
    ("v=STSv1; a=b; id=1;", Record("1", (("a", "b"),)), "fields in any order"),
    ("v=STSv1; id=1; a=b; c_d-e.f=!<>~", Record("1", (("a", "b"), ("c_d-e.f", "!<>~"))), "kept"),
    ("v=STSv1; id=1; ID=2;", Record("1", (("ID", "2"),)), "names are case-sensitive"),
    ("v=STSv1; id=1; id=2;", Record("1"), "the first of a repeated field counts"),
    ("v=STSv1; id=1; a=b; a=c;", Record("1", (("a", "b"),)), "of unknown ones as well"),
    ("v=STSv1; id=1; id=?;", Record("1"), "what a repeated one says is ignored"),
    (f"v=STSv1; id=1; {'a' * 32}=b", Record("1", (("a" * 32, "b"),)), "a name of 32"),
]

REFUSED = [
    ("", "begin with", "nothing"),
    ("id=1; v=STSv1;", "begin with", "the version is first"),
    (" v=STSv1; id=1;", "begin with", "a blank in front"),
    ("V=STSv1; id=1;", "begin with", "case of v"),
    ("v=stsv1; id=1;", "begin with", "case of the version"),
    ("v=STSv2; id=1;", "begin with", "another version"),
    ("v=STSv1 ; id=1;", "begin with", "not v=STSv1; exactly"),
    ("v=STSv1", "begin with", "no semicolon"),
    ("v=STSv1;", "no id", "one field at least"),
    ("v=STSv1; a=b;", "no id", "the id is required"),
    ("v=STSv1; ID=1;", "no id", "id in lower case"),
    ("v=STSv1; id=;", "a value is", "an empty id"),
    ("v=STSv1; id=" + "a" * 33, "1 to 32", "33 characters"),
    ("v=STSv1; id=2020-04-25;", "1 to 32", "letters and digits only"),
    ("v=STSv1; id=?; id=1;", "1 to 32", "the first counts, though it is malformed"),
    ("v=STSv1; id=é;", "a value is", "a letter outside ASCII"),
    ("v=STSv1; id=1 ", "a value is", "a blank at the end without a semicolon"),
    ("v=STSv1; id =1;", "field name", "a blank before ="),
    ("v=STSv1; id= 1;", "a value is", "a blank after ="),
    ("v=STSv1; id=1\n;", "a value is", "a line end is no blank"),
    ("v=STSv1;; id=1;", "empty field", "two semicolons"),
    ("v=STSv1; id=1;;", "empty field", "two at the end"),
    ("v=STSv1; id=1; ;", "empty field", "a blank between two"),
    ("v=STSv1; id", "field name and a value", "no ="),
    ("v=STSv1; id=1; a=b=c;", "a value is", "two ="),
    ("v=STSv1; id=1; a=b c;", "a value is", "a blank in a value"),
    ("v=STSv1; id=1; a=;", "a value is", "an empty value"),
    ("v=STSv1; id=1; =b;", "field name", "an empty name"),
    ("v=STSv1; id=1; -a=b;", "field name", "a name begins with a letter or digit"),
    (f"v=STSv1; id=1; {'a' * 33}=b", "field name", "a name of 33"),
    ("v=STSv1; id=1; a b", "field name", "prose"),
]


@pytest.mark.parametrize(("text", "record", "why"), ACCEPTED)
def test_records_are_parsed(text: str, record: Record, why: str) -> None:
    assert Record.parse(text) == record, why
    assert Record.parse(text.encode()) == record, "bytes alike"


@pytest.mark.parametrize(("text", "reason", "why"), REFUSED)
def test_what_is_malformed_is_refused(text: str, reason: str, why: str) -> None:
    with pytest.raises(RecordSyntaxError) as caught:
        Record.parse(text)
    assert reason in str(caught.value), why


def test_bytes_outside_ascii_are_refused_with_their_place() -> None:
    with pytest.raises(RecordSyntaxError, match="position 12"):
        Record.parse(b"v=STSv1; id=\xff;")


def test_a_record_cannot_hold_what_cannot_be_printed() -> None:
    with pytest.raises(RecordSyntaxError, match="letters or digits"):
        Record("1; id=2")


def test_printing_leaves_no_blank_before_a_semicolon() -> None:
    assert str(Record("1")) == "v=STSv1; id=1;"
    assert str(Record("1", (("a", "b"), ("c", "d")))) == "v=STSv1; id=1; a=b; c=d;"


@pytest.mark.parametrize(
    ("content", "sts", "why"),
    [
        (b"v=STSv1; id=1;", True, "a record"),
        (b"v=STSv1;", True, "a malformed one is considered, and makes the domain have none"),
        (b"v=STSv1;\xff", True, "whatever follows"),
        (b"v=STSv1", False, "no semicolon"),
        (b"v=STSv1 ; id=1;", False, "a blank before it"),
        (b"V=STSv1; id=1;", False, "case"),
        (b" v=STSv1; id=1;", False, "a blank in front"),
        (b"v=spf1 -all", False, "unrelated"),
        (b"", False, "nothing"),
    ],
)
def test_senders_consider_only_values_that_begin_so(*, content: bytes, sts: bool, why: str) -> None:
    assert is_sts(content) is sts, why


@pytest.mark.parametrize(
    ("used", "expected", "why"),
    [
        ((), STAMP, "the time"),
        (("20200425085700",), STAMP, "others do not matter"),
        ((STAMP,), STAMP + "a", "in use"),
        ((STAMP, STAMP + "a"), STAMP + "b", "in use twice in one second"),
        ([STAMP] + [STAMP + c for c in "abcdefghijklmnopqrstuvwxyz"], STAMP + "0", "then digits"),
        (
            [STAMP] + [STAMP + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"],
            STAMP + "aa",
            "then two characters",
        ),
    ],
)
def test_a_new_id_was_never_used(used: list[str], expected: str, why: str) -> None:
    assert new_id(NOW, used) == expected, why


def test_a_new_id_is_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert new_id(NOW.astimezone(tokyo), ()) == STAMP


@given(st.integers(0, 120), st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)))  # noqa: DTZ001 - the strategy adds the zone
def test_ids_of_one_second_differ_and_are_well_formed(count: int, now: datetime) -> None:
    used: set[str] = set()
    for _ in range(count):
        fresh = new_id(now, used)
        assert fresh not in used
        assert Record.parse(f"v=STSv1; id={fresh};").id == fresh
        used.add(fresh)


@pytest.mark.parametrize(
    ("old", "expected", "why"),
    [
        (None, "v=STSv1; id=2;", "there was none"),
        (b"v=STSv1; id=1;", "v=STSv1; id=2;", "the id alone"),
        (b"v=STSv1; a=b; id=1; c=d", "v=STSv1; id=2; a=b; c=d;", "unknown fields stay"),
        (b"v=STSv1; a=b; id=1; a=c", "v=STSv1; id=2; a=b;", "the first of a repeated one"),
        (b"v=STSv1; id=2020-04-25; a=b;", "v=STSv1; id=2; a=b;", "a malformed id"),
        (b"v=STSv1; id=1;; a=b", "v=STSv1; id=2; a=b;", "an empty field"),
        (b"v=STSv1; id=1; \xff=1; a=b", "v=STSv1; id=2; a=b;", "bytes outside ASCII"),
        (b"v=STSv1; id=1; a=b c; d=e ", "v=STSv1; id=2; d=e;", "a malformed field goes"),
        (b"v=STSv1; ID=1; V=x; a=b;", "v=STSv1; id=2; a=b;", "what reads as an id or version"),
    ],
)
def test_a_replacement_keeps_unknown_fields(old: bytes | None, expected: str, why: str) -> None:
    assert str(replacement(old, "2")) == expected, why


FIELDS = st.lists(
    st.tuples(
        st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}\Z"),
        st.from_regex(r"\A[\x21-\x3a\x3c\x3e-\x7e]{1,20}\Z"),
    ).filter(lambda pair: pair[0] != "id"),
    unique_by=lambda pair: pair[0],
    max_size=5,
).map(tuple)


@given(st.from_regex(r"\A[A-Za-z0-9]{1,32}\Z"), FIELDS)
def test_what_is_printed_can_be_parsed(id: str, extensions: tuple[tuple[str, str], ...]) -> None:  # noqa: A002 - the field's own name
    record = Record(id, extensions)
    assert Record.parse(str(record)) == record


@given(
    st.binary()
    | st.lists(st.sampled_from([b"id=1", b" a=b ", b"", b"ID=3", b"\xff", b"x"])).map(b";".join)
)
def test_a_replacement_is_well_formed_whatever_was_there(old: bytes) -> None:
    fresh = replacement(b"v=STSv1;" + old, STAMP)
    assert Record.parse(str(fresh)) == fresh
    assert fresh.id == STAMP
    assert is_sts(str(fresh).encode())
