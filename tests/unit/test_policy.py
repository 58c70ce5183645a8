"""The policy body by RFC 8461 section 3.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.policy import (
    MAX_AGE_LIMIT,
    MAX_BODY,
    Mode,
    Policy,
    PolicySyntaxError,
    Problem,
    is_text_plain,
    mx_matches,
    none_policy,
    read,
)

# The time an example takes says how busy the machine is, nothing of the code.

# The active policy of the help page whose procedure this project automates.
ENFORCED = b"""version: STSv1
mode: enforced
mx: mail.solarmora.com
mx: *.solarmora.net
mx: backupmx.solarmora.com
max_age: 604800
"""
NONE = Policy(Mode.NONE, 86400)
LABEL_63 = b"a" * 63
NAME_253 = b".".join([LABEL_63] * 3) + b"." + b"b" * 61


def enforce(*lines: bytes) -> bytes:
    """Return a body that is well-formed as long as the lines added to it are."""
    return b"\n".join([b"version: STSv1", b"mode: enforce", b"max_age: 604800", *lines, b""])


def with_mx(mx: bytes) -> bytes:
    return enforce(b"mx: " + mx)


def with_max_age(value: bytes) -> bytes:
    return b"version: STSv1\nmode: none\nmax_age: " + value + b"\n"


def with_extra(line: bytes) -> bytes:
    return enforce(b"mx: mail.solarmora.com", line)


def enforced(*mx: str) -> Policy:
    return Policy(Mode.ENFORCE, 604800, mx)


def extra(*extensions: tuple[str, str]) -> Policy:
    return Policy(Mode.ENFORCE, 604800, ("mail.solarmora.com",), extensions)


ACCEPTED = [
    (b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n", NONE, "CRLF"),
    (b"version: STSv1\nmode: none\nmax_age: 86400\n", NONE, "LF (sts-policy-term)"),
    (b"version: STSv1\r\nmode: none\nmax_age: 86400\r\n", NONE, "both in one file"),
    (b"version: STSv1\nmode: none\nmax_age: 86400", NONE, "the last terminator is optional"),
    (b"max_age: 86400\nmode: none\nversion: STSv1\n", NONE, "any order"),
    (b"version:STSv1\nmode:none\nmax_age:86400\n", NONE, "no blank after the colon"),
    (b"version: \t STSv1\nmode:\tnone\nmax_age: 86400\n", NONE, "blanks and tabs after it"),
    (b"version: STSv1 \nmode: none\t\nmax_age: 86400 \t\r\n", NONE, "blanks at the end"),
    (with_mx(b"a.b"), enforced("a.b"), "enforce"),
    (
        b"version: STSv1\nmode: testing\nmax_age: 1\nmx: a.b",
        Policy(Mode.TESTING, 1, ("a.b",)),
        "testing",
    ),
    (
        b"version: STSv1\nmode: none\nmax_age: 86400\nmx: a.b\n",
        Policy(Mode.NONE, 86400, ("a.b",)),
        "none may have mx",
    ),
    (b"version: STSv1\nmode: none\nmax_age: 0\n", Policy(Mode.NONE, 0), "max_age of 0"),
    (with_max_age(b"31557600"), Policy(Mode.NONE, MAX_AGE_LIMIT), "the largest max_age"),
    (with_max_age(b"0000086400"), NONE, "ten digits, zeros in front"),
    (b"version: STSv1\nmode: none\nmode: enforce\nmax_age: 86400\n", NONE, "first mode counts"),
    (b"version: STSv1\nmode: none\nmode: bogus\nmax_age: 86400\n", NONE, "whatever others say"),
    (b"version: STSv1\nmode: none\nmax_age: 86400\nmax_age: x\n", NONE, "first max_age counts"),
    (b"version: STSv1\nversion: STSv2\nmode: none\nmax_age: 86400\n", NONE, "first version counts"),
    (
        enforce(b"mx: b.a", b"mx: a.b", b"mx: b.a"),
        enforced("b.a", "a.b", "b.a"),
        "mx repeats, in order",
    ),
    (with_mx(b"*.solarmora.net"), enforced("*.solarmora.net"), "a star"),
    (with_mx(b"MX.Example"), enforced("MX.Example"), "case as written"),
    (with_mx(b"xn--bcher-kva.de"), enforced("xn--bcher-kva.de"), "A-label"),
    (with_mx(b"localhost"), enforced("localhost"), "one label is a Domain"),
    (with_mx(b"1-a.2"), enforced("1-a.2"), "digits and a hyphen inside"),
    (with_mx(NAME_253), enforced(NAME_253.decode()), "253 characters"),
    (
        with_extra(b"x-1_2.3: any = value; at all"),
        extra(("x-1_2.3", "any = value; at all")),
        "unknown keys are kept",
    ),
    (
        with_extra("note: für später".encode()),
        extra(("note", "für später")),
        "UTF-8 in their values",
    ),
    (
        with_extra(b"a: 1\na: 2\nA: 3"),
        extra(("a", "1"), ("A", "3")),
        "the first of a repeated one; keys are case-sensitive",
    ),
    (with_extra(b"url: https://x:1"), extra(("url", "https://x:1")), "colons in a value"),
    (with_extra(b"k" * 32 + b": v"), extra(("k" * 32, "v")), "a key of 32"),
]

REFUSED = [
    (b"", 0, "empty", "nothing"),
    (b"\n", 1, "empty line", "an empty line alone"),
    (b"mode: none\nmax_age: 1\n", 0, "no version", "version missing"),
    (b"version: STSv1\nmax_age: 1\nmx: a.b\n", 0, "no mode", "mode missing"),
    (b"version: STSv1\nmode: none\n", 0, "no max_age", "max_age missing"),
    (enforce(), 0, "no mx", "enforce without mx"),
    (b"version: STSv1\nmode: testing\nmax_age: 1\n", 0, "no mx", "testing without mx"),
    (ENFORCED, 2, "the mode must be", "the help page's own sample says enforced"),
    (b"version: STSv1\nmode: Enforce\nmax_age: 1\nmx: a.b\n", 2, "lower case", "mode: case"),
    (b"version: STSv1\nmode: none none\nmax_age: 1\n", 2, "the mode must be", "two words"),
    (b"version: STSv1\nMode: none\nmax_age: 1\nmx: a.b\n", 0, "no mode", "key: case"),
    (b"version: stsv1\nmode: none\nmax_age: 1\n", 1, "must be STSv1", "version: case"),
    (b"version: STSv2\nmode: none\nmax_age: 1\n", 1, "must be STSv1", "another version"),
    (b"version: STSv2\nversion: STSv1\nmode: none\nmax_age: 1\n", 1, "STSv1", "first counts"),
    (b"v=STSv1\nmode: none\nmax_age: 1\n", 1, "colon", "the record's notation"),
    (with_max_age(b"31557601"), 3, "0 to 31557600", "over the limit"),
    (with_max_age(b"00000086400"), 3, "0 to 31557600", "eleven digits"),
    (with_max_age(b"-1"), 3, "0 to 31557600", "negative"),
    (with_max_age(b"+1"), 3, "0 to 31557600", "a sign"),
    (with_max_age(b"1_000"), 3, "0 to 31557600", "an underscore, which Python would take"),
    (with_max_age(b"1.5"), 3, "0 to 31557600", "a fraction"),
    (with_max_age(b"1d"), 3, "0 to 31557600", "a unit"),
    (with_max_age("٣".encode()), 3, "0 to 31557600", "digits are ASCII"),
    (with_max_age(b""), 3, "without a value", "empty"),
    (with_mx(b"*"), 4, "host name", "a star alone"),
    (with_mx(b"*."), 4, "host name", "a star and a dot"),
    (with_mx(b"*.*.solarmora.com"), 4, "host name", "two stars"),
    (with_mx(b"mx*.solarmora.com"), 4, "host name", "a star within a label"),
    (with_mx(b"mail.*.com"), 4, "host name", "a star that is not in front"),
    (with_mx(b".solarmora.com"), 4, "host name", "a dot in front (an old draft's wildcard)"),
    (with_mx(b"mail.solarmora.com."), 4, "host name", "Domain has no final dot"),
    (with_mx(b"mail..com"), 4, "host name", "an empty label"),
    (with_mx(b"mail_1.solarmora.com"), 4, "host name", "an underscore"),
    (with_mx(b"-a.com"), 4, "host name", "a hyphen in front"),
    (with_mx(b"a-.com"), 4, "host name", "a hyphen at the end"),
    (with_mx("bücher.de".encode()), 4, "A-labels", "a Unicode name"),
    (with_mx(b"[192.0.2.1]"), 4, "host name", "an address literal"),
    (with_mx(b"a.com, b.com"), 4, "host name", "two in one line"),
    (with_mx(b"10 mail.solarmora.com"), 4, "host name", "with its preference"),
    (with_mx(LABEL_63 + b"a.com"), 4, "host name", "a label of 64"),
    (with_mx(NAME_253 + b"b"), 4, "host name", "254 characters"),
    (with_mx(b"a.com\nmx: *"), 5, "host name", "every mx counts"),
    (with_mx(b""), 4, "without a value", "an empty mx"),
    (with_extra(b""), 5, "an empty line", "an empty line at the end"),
    (b"\n" + with_mx(b"a.b"), 1, "an empty line", "an empty line in front"),
    (with_extra(b"\nx: y"), 5, "an empty line", "an empty line in the middle"),
    (with_extra(b" \t"), 5, "an empty line", "a line of blanks"),
    (with_extra(b"# comment"), 5, "colon", "a comment"),
    (with_extra(b"# comment: no"), 5, "a key has", "a comment with a colon"),
    (b"\xef\xbb\xbf" + with_mx(b"a.b"), 1, "byte order mark", "a BOM"),
    (with_extra(b"note: f\xfcr"), 5, "not UTF-8", "Latin-1"),
    (with_extra(b"note: \xed\xa0\x80"), 5, "not UTF-8", "half a surrogate pair"),
    (with_extra(b"note: \xc0\xaf"), 5, "not UTF-8", "an overlong form"),
    (with_mx(b"a.b").decode().encode("utf-16"), 1, "not UTF-8", "UTF-16"),
    (with_extra(b" x: y"), 5, "a blank around the key", "a blank in front"),
    (with_extra(b"\tx: y"), 5, "a blank around the key", "a tab in front"),
    (with_extra(b"x : y"), 5, "a blank around the key", "a blank before the colon"),
    (with_extra(b"x y: z"), 5, "a key has", "a blank in a key"),
    (with_extra(b"-x: y"), 5, "a key has", "a key begins with a letter or digit"),
    (with_extra("ü: y".encode()), 5, "a key has", "a key is ASCII"),
    (with_extra(b": y"), 5, "a key has", "no key"),
    (with_extra(b"k" * 33 + b": v"), 5, "a key has", "a key of 33"),
    (with_extra(b"x:"), 5, "without a value", "no value"),
    (with_extra(b"mode:"), 5, "without a value", "of a repeated key either"),
    (with_extra(b"x: a\x00b"), 5, "control character", "NUL"),
    (with_extra(b"x: a\tb"), 5, "control character", "a tab in a value"),
    (with_extra(b"x: a\x7fb"), 5, "control character", "DEL"),
    (b"version: STSv1\rmode: none\rmax_age: 1\r", 1, "control character", "CR alone"),
    (b"version: STSv1\r\r\nmode: none\nmax_age: 1\n", 1, "control character", "CR CR LF"),
    (
        b"version: STSv1\nmode: none\nmax_age: 1\r",
        3,
        "control character",
        "CR without LF at the end",
    ),
]


@pytest.mark.parametrize(("body", "policy", "why"), ACCEPTED)
def test_policies_are_parsed(body: bytes, policy: Policy, why: str) -> None:
    assert Policy.parse(body) == policy, why
    assert read(body).policy == policy
    assert read(body).problems == ()


@pytest.mark.parametrize(("body", "line", "reason", "why"), REFUSED)
def test_what_is_malformed_is_refused_by_line(
    body: bytes, line: int, reason: str, why: str
) -> None:
    with pytest.raises(PolicySyntaxError) as caught:
        Policy.parse(body)
    problems = caught.value.problems
    assert any(p.line == line and reason in p.reason for p in problems), (why, problems)
    assert read(body).policy is None
    assert read(body).problems == problems
    assert Policy.parse(none_policy(read(body), keep_mx=True)).mode is Mode.NONE


def test_all_problems_are_told_at_once_with_the_text_of_the_line() -> None:
    problems = read(b"version: STSv2\n\nmode: off\nmax_age: 1 day\nnote: f\xfcr\n").problems
    assert problems == (
        Problem(1, "the version must be STSv1", "version: STSv2"),
        Problem(2, "an empty line", ""),
        Problem(3, "the mode must be enforce, testing or none, in lower case", "mode: off"),
        Problem(4, "max_age must be a number of seconds from 0 to 31557600", "max_age: 1 day"),
        Problem(5, "not UTF-8", "note: f\\xfcr"),
        Problem(0, "there is no mx line, and the mode is not none", ""),
    )


def test_a_problem_prints_on_one_line() -> None:
    assert str(Problem(2, "an empty line")) == "line 2: an empty line"
    assert str(Problem(0, "the file is empty")) == "the file is empty"
    assert str(Problem(3, "a control character", "x: a\x00")) == (
        r"line 3: a control character: 'x: a\x00'"
    )
    assert len(str(Problem(1, "r", "x" * 5000))) < 100, "a long line is cut"


def test_an_error_prints_its_first_problems_and_counts_the_others() -> None:
    with pytest.raises(PolicySyntaxError) as caught:
        Policy.parse(b"\n" * 50)
    message = str(caught.value)
    assert message.startswith("line 1: an empty line; line 2: an empty line; ")
    assert message.endswith("; and 44 more"), "of 50 lines, 3 missing keys and no mx 10 are shown"
    with pytest.raises(PolicySyntaxError, match=r"^line 2: the mode must be .*: 'mode: enforced'$"):
        Policy.parse(ENFORCED)


def test_what_a_malformed_policy_says_is_understood() -> None:
    reading = read(ENFORCED + b"note: kept\n# comment\nmx: bad_host\n")
    assert reading.mode == "enforced"
    assert reading.max_age == 604800
    assert reading.mx[:2] == ("mail.solarmora.com", "*.solarmora.net")
    assert reading.mx[2:] == ("backupmx.solarmora.com", "bad_host")
    assert reading.extensions == (("note", "kept"),)


@pytest.mark.parametrize(
    ("body", "mode", "max_age", "why"),
    [
        (b" mode : enforce\n\tmax_age: 60\n", "enforce", 60, "blanks around keys"),
        (b"\xef\xbb\xbfmode: enforce\nmax_age: 60\n", "enforce", 60, "a BOM"),
        (b"mode: a\nmode: b\nmax_age: x\nmax_age: 60\n", "a", None, "the first counts"),
        (b"max_age: 31557601\n", None, None, "an unlawful max_age may mean anything"),
        (b"mode:\n", None, None, "no value"),
        (b"Mode: enforce\n", None, None, "an unknown key"),
        (b"", None, None, "nothing"),
    ],
)
def test_as_much_as_possible_is_understood(
    body: bytes, mode: str | None, max_age: int | None, why: str
) -> None:
    assert (read(body).mode, read(body).max_age) == (mode, max_age), why


NONE_TEXT = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"


@pytest.mark.parametrize(
    ("body", "keep_mx", "expected", "why"),
    [
        (ENFORCED, False, NONE_TEXT, "the help page's own step"),
        (
            ENFORCED,
            True,
            NONE_TEXT
            + b"mx: mail.solarmora.com\r\nmx: *.solarmora.net\r\nmx: backupmx.solarmora.com\r\n",
            "mx lines kept, in order",
        ),
        (b"", True, NONE_TEXT, "nothing to keep"),
        (b"\xff\xfe\x00", True, NONE_TEXT, "nothing understood"),
        (enforce(b"mx: *", b"mx: a.b", b"mx: b_c"), True, NONE_TEXT + b"mx: a.b\r\n", "malformed"),
        (enforce(b"mx: a.b", b"mx: a.b"), True, NONE_TEXT + b"mx: a.b\r\n", "an mx said twice"),
        (
            with_extra(b"x: 1\ny:  2 \nx: 3"),
            False,
            NONE_TEXT + b"x: 1\r\ny: 2\r\n",
            "unknown keys kept, the first of each",
        ),
        (with_extra(b"Mode: enforce\nMAX_AGE: 9\nMx: a"), False, NONE_TEXT, "no contradiction"),
    ],
)
def test_a_policy_is_turned_off(*, body: bytes, keep_mx: bool, expected: bytes, why: str) -> None:
    assert none_policy(read(body), keep_mx=keep_mx) == expected, why


def test_what_would_lift_the_body_over_the_limit_is_left_out() -> None:
    short = b"".join(b"mx:%x\n" % number for number in range(0x1000, 0x3000))
    body = (b"version:STSv1\nmode:enforce\nmax_age:1\n" + short)[:MAX_BODY]
    fresh = none_policy(read(body + b"\n" + b"x:" + b"y" * MAX_BODY), keep_mx=True)
    assert MAX_BODY - len(b"mx: 1000\r\n") < len(fresh) <= MAX_BODY
    assert Policy.parse(fresh).extensions == ()
    padded = none_policy(read(b"x:" + b"y" * (MAX_BODY - len(NONE_TEXT) - 5)), keep_mx=True)
    assert len(padded) == 65_536, "what just fits is kept"


SAMPLES = """version: STSv1|version:STSv2|mode: enforce|mode: enforced|mode : none|Mode: testing
max_age: 604800|max_age: 99999999999|mx:a|mx: *.b.c|mx: *|\ufeffmx: d.e|x: y|x:\tz |ü: ü|note: \u2028ü
|#"""
SAMPLE_LINES = [b"\xff", *SAMPLES.replace("\n", "|").encode().split(b"|")]
LINES = st.lists(st.sampled_from(SAMPLE_LINES) | st.binary(max_size=20), max_size=30)
BODIES = st.binary() | st.builds(
    lambda term, lines: term.join(lines), st.sampled_from([b"\n", b"\r\n"]), LINES
)


@given(body=BODIES, keep_mx=st.booleans())
def test_anything_can_be_turned_off(*, body: bytes, keep_mx: bool) -> None:
    fresh = none_policy(read(body), keep_mx=keep_mx)
    policy = Policy.parse(fresh)
    assert (policy.mode, policy.max_age) == (Mode.NONE, 86400)
    assert keep_mx or not policy.mx
    assert len(fresh) <= MAX_BODY
    assert fresh.startswith(NONE_TEXT)
    assert fresh.count(b"\r\n") == fresh.count(b"\n") == len(policy.mx + policy.extensions) + 3
    assert none_policy(read(fresh), keep_mx=keep_mx) == fresh, "turned off twice is the same"


@given(BODIES)
def test_reading_and_parsing_agree(body: bytes) -> None:
    reading = read(body)
    if reading.problems:
        assert reading.policy is None
        with pytest.raises(PolicySyntaxError) as caught:
            Policy.parse(body)
        assert caught.value.problems == reading.problems
        return
    policy = Policy.parse(body)
    assert reading.policy == policy
    assert (reading.mode, reading.max_age) == (policy.mode, policy.max_age)
    assert (reading.mx, reading.extensions) == (policy.mx, policy.extensions)


POLICIES = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    max_age=st.integers(0, MAX_AGE_LIMIT),
    mx=st.lists(
        st.from_regex(r"\A(\*\.)?[A-Za-z0-9]{1,9}(\.[a-z0-9]{1,9}){0,3}\Z"), min_size=1
    ).map(tuple),
    extensions=st.lists(
        st.tuples(
            st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}\Z").filter(
                lambda key: key not in {"version", "mode", "max_age", "mx"}
            ),
            st.from_regex(r"\A[!-~ü日𐀀]([ -~\u2028é]*[!-~é])?\Z"),
        ),
        unique_by=lambda pair: pair[0],
    ).map(tuple),
)


@given(POLICIES)
def test_what_is_printed_can_be_parsed(policy: Policy) -> None:
    assert Policy.parse(policy.to_bytes()) == policy


def test_a_policy_prints_itself() -> None:
    policy = Policy(Mode.ENFORCE, 1, ("a.b", "*.c.d"), (("x", "ü"),))
    assert policy.to_bytes() == (
        "version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\nmx: a.b\r\nmx: *.c.d\r\nx: ü\r\n".encode()
    )


@pytest.mark.parametrize(
    ("pattern", "host", "matches", "why"),
    [
        ("mail.solarmora.com", "mail.solarmora.com", True, "the same"),
        ("Mail.Solarmora.com", "mAIL.solarmora.COM", True, "case does not matter"),
        ("mail.solarmora.com", "mail.solarmora.com.", True, "the final dot of the DNS"),
        ("mail.solarmora.com", "mail2.solarmora.com", False, "another host"),
        ("solarmora.com", "mail.solarmora.com", False, "no suffix match without a star"),
        ("*.solarmora.com", "mail.solarmora.com", True, "one label"),
        ("*.Solarmora.com", "MAIL.solarmora.com.", True, "case and dot with a star"),
        ("*.solarmora.com", "solarmora.com", False, "the star is a label"),
        ("*.solarmora.com", "a.mail.solarmora.com", False, "of two labels one alone"),
        ("*.solarmora.com", ".solarmora.com", False, "an empty label"),
        ("*.solarmora.com", "mail.xsolarmora.com", False, "whole labels"),
        ("*.solarmora.com", "mailsolarmora.com", False, "a dot after the star"),
        ("*", "mail", False, "a star alone is no wildcard"),
        ("*.", "mail", False, "nor with a dot"),
        ("mail.*", "mail.com", False, "nor anywhere but in front"),
        ("m*.solarmora.com", "mail.solarmora.com", False, "nor as part of a label"),
    ],
)
def test_mx_hosts_are_matched(*, pattern: str, host: str, matches: bool, why: str) -> None:
    assert mx_matches(pattern, host) is matches, why


@pytest.mark.parametrize(
    ("content_type", "plain", "why"),
    [
        ("text/plain", True, "as it should be"),
        ("text/plain; charset=utf-8", True, "with a charset"),
        ("text/plain;charset=us-ascii", True, "without a blank"),
        (" Text/PLAIN ; x=y", True, "case and blanks"),
        ("text/plainer", False, "another subtype"),
        ("text/html; x=text/plain", False, "in a parameter"),
        ("binary/octet-stream", False, "what S3 says by default"),
        ("text", False, "half of it"),
        ("", False, "empty"),
        (None, False, "no header"),
    ],
)
def test_the_media_type_is_checked(*, content_type: str | None, plain: bool, why: str) -> None:
    assert is_text_plain(content_type) is plain, why
