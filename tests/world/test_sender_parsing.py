"""The senders' own reading of records and policies (RFC 8461 sections 3.1, 3.2 and 4.1)."""

import pytest

from local.world.senders import (
    BadPolicyError,
    BadRecordError,
    Policy,
    parse_policy,
    parse_record,
)
from tests.world.sender_world import DAY, ENFORCE, NONE, SAMPLE, YEAR


@pytest.mark.parametrize(
    ("values", "identity"),
    [
        ([b"v=STSv1; id=20200425085700;"], "20200425085700"),
        ([b"v=STSv1;id=a"], "a"),
        ([b"v=STSv1;\tid=a\t;\t"], "a"),
        ([b"v=STSv1; x.y_z-1=!~; id=a; k=v"], "a"),
        ([b"unrelated", b"v=STSv1; id=a", b"v=STSv2; id=b", b"V=STSv1; id=c"], "a"),
        ([b"v=STSv1; id=" + b"a" * 32], "a" * 32),
    ],
)
def test_record(values: list[bytes], identity: str) -> None:
    assert parse_record(values) == identity


@pytest.mark.parametrize(
    "values",
    [
        [],
        [b"v=STSv1 ; id=a"],  # does not begin with v=STSv1;
        [b"v=STSv1; id=a", b"v=STSv1; id=a"],  # two
        [b"v=STSv1;"],
        [b"v=STSv1; id="],
        [b"v=STSv1; id=a-b"],
        [b"v=STSv1; id=" + b"a" * 33],
        [b"v=STSv1; id=a; id=b"],  # ambiguous
        [b"v=STSv1; id=a;; k=v"],
        [b"v=STSv1; id=a; k"],
        [b"v=STSv1; id=a; k=v=w"],
        [b"v=STSv1; id=a; k=\xc3\xa4"],
        [b"v=STSv1; id=a; -k=v"],
        [b"v=STSv1; id =a"],
        [b"v=STSv1; ID=a"],
    ],
)
def test_bad_record(values: list[bytes]) -> None:
    with pytest.raises(BadRecordError):
        parse_record(values)


LEAST = "version: STSv1\nmode: enforce\nmax_age: 1\nmx: a.example\n"


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        (LEAST, Policy("enforce", ("a.example",), 1)),
        (LEAST.replace("\n", "\r\n"), Policy("enforce", ("a.example",), 1)),
        (LEAST.rstrip(), Policy("enforce", ("a.example",), 1)),
        (LEAST.replace(": ", ":").replace("1\n", "1 \t\n"), Policy("enforce", ("a.example",), 1)),
        (LEAST + "mode: none\nx-y: \u00e4 b\n", Policy("enforce", ("a.example",), 1)),
        (LEAST + "mx: *.b.example\n", Policy("enforce", ("a.example", "*.b.example"), 1)),
        (LEAST.replace("1\n", "31557600\n").replace("STSv31557600", "STSv1"),
         Policy("enforce", ("a.example",), YEAR)),
        ("max_age: 0\nmode: none\nversion: STSv1\n", Policy("none", (), 0)),
        (NONE + "mx: a.example\n", Policy("none", ("a.example",), DAY)),
    ],
)  # fmt: skip
def test_policy(body: str, policy: Policy) -> None:
    assert parse_policy(body.encode()) == policy


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("", "missing"),
        ("\ufeff" + LEAST, "line 1"),  # a byte order mark
        (LEAST.replace("mode", "\nmode"), "line 2"),  # an empty line
        (LEAST + "# comment\n", "line 5"),
        (LEAST + "mx : a.example\n", "line 5"),
        (LEAST + "key:\n", "line 5"),
        (LEAST + "key: a\tb\n", "line 5"),
        (LEAST.replace("\n", "\r"), "line 1"),
        (LEAST.replace("STSv1", "STSv2"), "version"),
        (LEAST.replace("version: STSv1\n", ""), "missing: version"),
        (LEAST.replace("mode: enforce\n", ""), "missing: mode"),
        (LEAST.replace("max_age: 1\n", ""), "missing: max_age"),
        (LEAST.replace("mx: a.example\n", ""), "no mx"),
        (LEAST.replace("mode: enforce", "mode: Enforce"), "mode 'Enforce'"),
        (SAMPLE, "mode 'enforced'"),
        (LEAST.replace(": 1\n", ": -1\n"), "max_age"),
        (LEAST.replace(": 1\n", ": 31557601\n"), "max_age"),
        (LEAST.replace(": 1\n", ": 00000000001\n"), "max_age"),
        (LEAST.replace("a.example", "a.*.example"), "bad mx"),
        (LEAST.replace("a.example", "\u00e4.example"), "bad mx"),
        (LEAST.replace("a.example", ".a.example"), "bad mx"),
    ],
)
def test_bad_policy(body: str, complaint: str) -> None:
    with pytest.raises(BadPolicyError, match=complaint):
        parse_policy(body.encode())


def test_a_policy_in_latin_1_is_none() -> None:
    with pytest.raises(BadPolicyError, match="UTF-8"):
        parse_policy((LEAST + "x: \u00e4\n").encode("latin-1"))


@pytest.mark.parametrize(
    ("mx", "allowed"),
    [
        ("mail.solarmora.com", True),
        ("MAIL.Solarmora.com.", True),
        ("a.solarmora.net", True),
        ("a.b.solarmora.net", False),  # a star stands for one label
        ("solarmora.net", False),
        ("other.solarmora.com", False),
        ("mail", False),
    ],
)
def test_mx_patterns(mx: str, *, allowed: bool) -> None:
    assert parse_policy(ENFORCE.encode()).allows(mx) is allowed
