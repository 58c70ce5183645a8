"""The verdict about a record, as tables: what the servers say, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.record_check import (
    Answer,
    Expected,
    Kind,
    NotAsked,
    Outcome,
    describe,
    evaluate,
    readable,
)

NEW, OLD, OTHER = b"v=STSv1; id=2;", b"v=STSv1; id=1;", b"unrelated"
NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
Scope = Literal["authorities", "everyone"]


def answer(
    text: str, outcome: Outcome, *values: bytes, ttl: int | None = 60, detail: str = ""
) -> Answer:
    """TEXT is ``server@address``, or ``resolver@address``."""
    server, _, address = text.partition("@")
    kind: Kind = "resolver" if server == "resolver" else "authority"
    return Answer(server, address, kind, outcome, values, ttl, detail)


def new(text: str) -> Answer:
    return answer(text, "present", NEW)


def old(text: str, ttl: int = 60) -> Answer:
    return answer(text, "present", OLD, ttl=ttl)


def gone(text: str, *others: bytes) -> Answer:
    return answer(text, "present" if others else "absent", *others, ttl=300)


def dead(text: str) -> Answer:
    return answer(text, "unreachable", ttl=None, detail="timed out after 3 s")


def garbled(text: str) -> Answer:
    return answer(text, "malformed", ttl=None, detail="FormError: short")


def leads_away(text: str, to: str = "x.example") -> Answer:
    said = answer(text, "alias", ttl=3600, detail=f"a CNAME to {to}, which …")
    return replace(said, leads_to=to)


def led(text: str, to: str, *values: bytes) -> Answer:
    """An answer through a CNAME: no STS value, unless one is given."""
    return replace(gone(text, *values), ttl=3600, leads_to=to)


def skipped(text: str, reason: str = "no IPv6 route") -> NotAsked:
    server, _, address = text.partition("@")
    return NotAsked(server, address, "resolver" if server == "resolver" else "authority", reason)


def judge(
    *said: Answer | NotAsked,
    expected: bytes | None = NEW,
    scope: Scope = "everyone",
    withdrawn: str = "",
    wildcards: tuple[str, ...] = (),
) -> dict[str, Any]:
    return evaluate(
        [item for item in said if isinstance(item, Answer)],
        [item for item in said if isinstance(item, NotAsked)],
        expected=Expected(expected, withdrawn, wildcards),
        scope=scope,
        now=NOW,
        region="eu-west-1",
    )


R1, R2 = "resolver@127.0.1.1:53", "resolver@127.0.1.2:53"

READY: list[tuple[str, bool, list[Answer | NotAsked]]] = [
    ("all agree", True, [new("ns1@a"), new("ns2@b"), new(R1), new(R2)]),
    ("one authority lags", False, [new("ns1@a"), old("ns2@b"), new(R1)]),
    ("one address of a server lags", False, [new("ns1@a"), old("ns1@b"), new(R1)]),
    ("nothing at one authority", False, [new("ns1@a"), gone("ns2@b"), new(R1)]),
    ("an address is dead, its server is not", True, [new("ns1@a"), dead("ns1@b"), new(R1)]),
    ("a server is dead at every address", False, [new("ns1@a"), dead("ns2@b"), new(R1)]),
    ("IPv6 was not asked", True, [new("ns1@a"), skipped("ns1@::1"), new(R1)]),
    ("a server with IPv6 only", False, [new("ns1@a"), skipped("ns2@::1"), new(R1)]),
    ("dead over IPv4, not asked over IPv6", False, [dead("ns1@a"), skipped("ns1@::1"), new(R1)]),
    ("a server without address", False, [new("ns1@a"), skipped("ns2@", "no address"), new(R1)]),
    ("a malformed answer at one address", False, [new("ns1@a"), garbled("ns1@b"), new(R1)]),
    ("no authority at all", False, [new(R1), new(R2)]),
    ("nothing at all", False, []),
    ("one resolver of two is dead", True, [new("ns1@a"), dead(R1), new(R2)]),
    ("every resolver is dead", False, [new("ns1@a"), dead(R1), dead(R2)]),
    ("no resolver", False, [new("ns1@a")]),
    ("a resolver not asked", False, [new("ns1@a"), skipped(R1)]),
    ("one round of a resolver is lost", True, [new("ns1@a"), new(R1), dead(R1), dead(R1)]),
    ("one round contradicts, first", False, [new("ns1@a"), old(R1), new(R1), new(R1)]),
    ("one round contradicts, last", False, [new("ns1@a"), new(R1), new(R1), old(R1)]),
    ("one resolver contradicts", False, [new("ns1@a"), new(R1), old(R2)]),
    ("one resolver is malformed", False, [new("ns1@a"), new(R1), garbled(R2)]),
    ("two STS values", False, [answer("ns1@a", "present", NEW, OLD), new(R1)]),
    ("another value beside it", True, [answer("ns1@a", "present", OTHER, NEW), new(R1)]),
    ("same id, other bytes", False, [answer("ns1@a", "present", NEW[:-1]), new(R1)]),
]


@pytest.mark.parametrize(("ready", "said"), [r[1:] for r in READY], ids=[r[0] for r in READY])
def test_ready_for_a_value(ready: bool, said: list[Answer | NotAsked]) -> None:  # noqa: FBT001 - a table's column
    verdict = judge(*said)
    assert verdict["ready"] is ready
    assert ready is not bool(verdict["laggards"]), "whatever is missing is named"


GONE: list[tuple[str, bool, list[Answer | NotAsked]]] = [
    ("no name", True, [gone("ns1@a"), gone(R1)]),
    ("only other values", True, [gone("ns1@a", OTHER), gone(R1)]),
    ("almost an STS value", True, [gone("ns1@a", b"v=STSv10; id=1;", b"V=STSv1;"), gone(R1)]),
    ("still there", False, [gone("ns1@a"), old("ns2@b"), gone(R1)]),
    ("there beside others", False, [gone("ns1@a", OTHER, OLD), gone(R1)]),
    ("a malformed STS value", False, [gone("ns1@a", b"v=STSv1; id=!"), gone(R1)]),
    ("two STS values", False, [gone("ns1@a", NEW, OLD), gone(R1)]),
    ("silence of an authority", False, [gone("ns1@a"), dead("ns2@b"), gone(R1)]),
    ("silence of all authorities", False, [dead("ns1@a"), dead("ns2@b"), gone(R1)]),
    ("silence of the resolvers", False, [gone("ns1@a"), dead(R1)]),
    ("a malformed message", False, [gone("ns1@a"), garbled("ns1@b"), gone(R1)]),
    ("a malformed message at a resolver", False, [gone("ns1@a"), gone(R1), garbled(R2)]),
    ("an old answer at a resolver", False, [gone("ns1@a"), gone(R1), old(R2)]),
    ("a CNAME at an authority", False, [leads_away("ns1@a"), gone(R1)]),
    ("a CNAME at one address of two", False, [gone("ns1@a"), leads_away("ns1@b"), gone(R1)]),
    ("a CNAME at a resolver", False, [gone("ns1@a"), gone(R1), leads_away(R2)]),
    ("a CNAME in one round of three", False, [gone("ns1@a"), gone(R1), leads_away(R1), gone(R1)]),
]


@pytest.mark.parametrize(("ready", "said"), [r[1:] for r in GONE], ids=[r[0] for r in GONE])
def test_ready_for_gone(ready: bool, said: list[Answer | NotAsked]) -> None:  # noqa: FBT001 - a table's column
    verdict = judge(*said, expected=None)
    assert verdict["ready"] is ready
    assert ready is not bool(verdict["laggards"])


BOTH = ("left.example", "wild.example")  # where the withdrawn CNAME and the wildcard's lead
LEADS: list[tuple[str, bool, tuple[str, ...], list[Answer | NotAsked]]] = [
    ("another CNAME leads to nothing", True, BOTH, [led("ns1@a", "o.example"), gone(R1)]),
    ("it still leads to nothing", False, BOTH, [led("ns1@a", BOTH[0]), gone(R1)]),
    ("to another value", False, BOTH, [led("ns1@a", BOTH[0], OTHER), gone(R1)]),
    ("away", False, BOTH, [leads_away("ns1@a", BOTH[0]), gone(R1)]),
    ("at one address of two", False, BOTH, [gone("ns1@a"), led("ns1@b", BOTH[0]), gone(R1)]),
    ("at a resolver", False, BOTH, [gone("ns1@a"), gone(R1), led(R2, BOTH[0])]),
    ("the wildcard leads away", True, BOTH, [leads_away("ns1@a", BOTH[1]), led(R1, BOTH[1])]),
    ("and at a resolver too", False, BOTH, [gone("ns1@a"), gone(R1), leads_away(R2, BOTH[1])]),
    ("to an STS value", False, BOTH, [leads_away("ns1@a", BOTH[1]), led(R1, BOTH[1], OLD)]),
    ("as an authority knows", False, BOTH, [led("ns1@a", BOTH[1], OLD), gone(R1)]),
    ("where no resolver tells", False, BOTH, [leads_away("ns1@a", BOTH[1]), dead(R1)]),
    ("there is no wildcard", False, ("",), [leads_away("ns1@a", "wild.example"), gone(R1)]),
    ("both lead there", True, ("w", "w"), [leads_away("ns1@a", "w"), led(R1, "w")]),
]


@pytest.mark.parametrize(
    ("ready", "names", "said"), [r[1:] for r in LEADS], ids=[r[0] for r in LEADS]
)
def test_ready_for_gone_where_a_cname_leads_away(
    ready: bool,  # noqa: FBT001 - a table's column
    names: tuple[str, ...],
    said: list[Answer | NotAsked],
) -> None:
    verdict = judge(
        *said, expected=None, withdrawn=names[0], wildcards=("other.example", *names[1:])
    )
    assert verdict["ready"] is ready
    assert ready is not bool(verdict["laggards"])


def test_how_long_a_resolver_may_still_lead_away_is_told() -> None:
    said = [gone("ns1@a"), led(R1, BOTH[0]), gone(R2)]
    assert judge(*said, expected=None, withdrawn=BOTH[0])["longest_ttl"] == 3600
    assert judge(*said, expected=None)["longest_ttl"] == 0


def test_a_wildcard_is_no_excuse_where_a_value_is_expected() -> None:
    verdict = judge(leads_away("ns1@a", BOTH[1]), new(R1), wildcards=BOTH[1:])
    assert not verdict["ready"]


@pytest.mark.parametrize("resolvers", [[], [old(R1)], [dead(R1)], [garbled(R1)], [skipped(R1)]])
def test_resolvers_do_not_block_the_scope_of_authorities(
    resolvers: list[Answer | NotAsked],
) -> None:
    assert judge(new("ns1@a"), *resolvers, scope="authorities")["ready"]
    assert not judge(old("ns1@a"), *resolvers, scope="authorities")["ready"]
    assert not judge(*resolvers, scope="authorities")["ready"]


def test_the_report_says_who_what_and_where() -> None:
    verdict = judge(
        new("ns1@127.0.0.2"),
        dead("ns1@127.0.0.3"),
        old("ns2@127.0.0.4", ttl=300),
        skipped("ns2@::1"),
        dead("ns3@127.0.0.5"),
        old(R1, ttl=41),
        new(R1),
        old(R1, ttl=17),
        dead(R2),
    )
    silence = "unreachable: timed out after 3 s"
    wanted = {"expected": "v=STSv1; id=2;"}
    assert verdict == {
        "ready": False,
        "agreeing": [
            {"server": "ns1", "address": "127.0.0.2", "found": "v=STSv1; id=2;", "ttl": 60}
        ],
        "laggards": [
            {"server": "ns2", "address": "127.0.0.4", "found": "v=STSv1; id=1;", "ttl": 300}
            | wanted,
            {"server": "ns3", "address": "127.0.0.5", "found": silence, "ttl": None} | wanted,
            {
                "server": "resolver",
                "address": "127.0.1.1:53",
                "found": "v=STSv1; id=1; (in 2 of 3 answers)",
                "ttl": 41,
            }
            | wanted,
        ],
        "cached": [],
        "not_asked": [
            {"server": "ns2", "address": "::1", "reason": "no IPv6 route"},
            {"server": "ns1", "address": "127.0.0.3", "reason": silence},
            {"server": "resolver", "address": "127.0.1.2:53", "reason": silence},
        ],
        "longest_ttl": 41,
        "checked_at": "2026-11-24T04:05:06Z",
        "region": "eu-west-1",
    }


def test_each_resolver_is_told_once_with_its_longest_ttl() -> None:
    rounds = [answer(R1, "present", NEW, ttl=ttl) for ttl in (12, 40, 7)]
    (_, row) = judge(new("ns1@a"), *rounds)["agreeing"]
    assert row == {
        "server": "resolver",
        "address": "127.0.1.1:53",
        "found": "v=STSv1; id=2;",
        "ttl": 40,
    }


@pytest.mark.parametrize(
    ("rounds", "found"),
    [
        ([old(R1)] * 3, ["v=STSv1; id=1;"]),
        (
            [old(R1), gone(R1), new(R1)],
            ["v=STSv1; id=1; (in 1 of 3 answers)", "no STS record (in 1 of 3 answers)"],
        ),
        ([old(R1), old(R1), dead(R1)], ["v=STSv1; id=1; (in 2 of 3 answers)"]),
    ],
)
def test_a_resolver_that_contradicts_only_at_times_is_told_as_such(
    rounds: list[Answer], found: list[str]
) -> None:
    verdict = judge(new("ns1@a"), *rounds)
    assert [row["found"] for row in verdict["laggards"]] == found


FOUND: list[tuple[Answer, str]] = [
    (gone("ns1@a"), "no STS record"),
    (gone("ns1@a", OTHER), "no STS record"),
    (old("ns1@a"), "v=STSv1; id=1;"),
    (
        answer("ns1@a", "present", OLD, NEW),
        "two STS values: v=STSv1; id=1; | v=STSv1; id=2;",
    ),
    (
        answer("ns1@a", "present", NEW, OLD, b"v=STSv1; id=0;"),
        "3 STS values: v=STSv1; id=0; | v=STSv1; id=1; | v=STSv1; id=2;",
    ),
    (dead("ns1@a"), "unreachable: timed out after 3 s"),
    (garbled("ns1@a"), "malformed: FormError: short"),
    (leads_away("ns1@a"), "a CNAME to x.example, which …"),
    (
        answer("ns1@a", "present", OLD, detail="through a CNAME to x.example"),
        "v=STSv1; id=1; (through a CNAME to x.example)",
    ),
    (answer("ns1@a", "present", b"v=STSv1;\x00\\\n"), "v=STSv1;\\000\\092\\010"),
]


@pytest.mark.parametrize(("said", "found"), FOUND)
def test_what_was_found_in_words(said: Answer, found: str) -> None:
    (laggard, *_) = judge(said, new(R1), scope="authorities")["laggards"]
    assert (laggard["found"], laggard["expected"]) == (found, "v=STSv1; id=2;")


def test_what_was_expected_in_words_when_it_has_to_be_gone() -> None:
    (laggard,) = judge(old("ns1@a"), gone(R1), expected=None)["laggards"]
    assert (laggard["found"], laggard["expected"]) == ("v=STSv1; id=1;", "no STS record")


NOBODY: list[tuple[list[Answer | NotAsked], str, str]] = [
    ([new(R1)], "name servers", "unreachable: no name server is known"),
    ([new("ns1@a")], "resolvers", "unreachable: no resolver answered"),
    ([new("ns1@a"), new(R1), skipped("ns2@::1")], "ns2", "unreachable: no IPv6 route"),
    (
        [new("ns1@a"), new(R1), skipped("ns2@::1"), skipped("ns2@::2", "other")],
        "ns2",
        "unreachable: no IPv6 route; other",
    ),
]


@pytest.mark.parametrize(("said", "server", "found"), NOBODY)
def test_who_could_not_be_asked_at_all_is_named(
    said: list[Answer | NotAsked], server: str, found: str
) -> None:
    (laggard,) = judge(*said)["laggards"]
    assert (laggard["server"], laggard["address"], laggard["found"]) == (server, "", found)


def test_a_laggard_in_one_phrase() -> None:
    verdict = judge(old("ns1@127.0.0.2", ttl=300), dead("ns2@127.0.0.3"), new("ns3@127.0.0.4"))
    expected = 'expected "v=STSv1; id=2;"'
    assert [describe(laggard) for laggard in verdict["laggards"]] == [
        f'ns1 (127.0.0.2): found "v=STSv1; id=1;" (TTL 300 s), {expected}',
        f'ns2 (127.0.0.3): found "unreachable: timed out after 3 s", {expected}',
        f'resolvers: found "unreachable: no resolver answered", {expected}',
    ]


LONGEST: list[tuple[list[Answer], int]] = [
    ([new(R1), new(R2)], 0),
    ([old(R1, ttl=5), old(R1, ttl=50), old(R2, ttl=20)], 50),
    ([answer(R1, "absent", ttl=300), old(R2, ttl=20)], 300),  # a negative answer lives as well
    ([answer(R1, "absent", ttl=None)], 0),
    ([dead(R1), garbled(R2)], 0),
    ([leads_away(R1)], 3600),
    ([old("ns2@b", ttl=9000), new(R1)], 0),  # authorities do not cache
]


@pytest.mark.parametrize(("said", "longest"), LONGEST)
def test_the_longest_ttl_of_an_answer_that_differs(said: list[Answer], longest: int) -> None:
    assert judge(new("ns1@a"), *said, scope="authorities")["longest_ttl"] == longest


def test_the_moment_is_utc_and_rounded_up() -> None:
    now = datetime(2026, 11, 24, 13, 5, 6, 1, tzinfo=timezone(timedelta(hours=9)))
    verdict = evaluate([], [], expected=Expected(None), scope="everyone", now=now, region="")
    assert verdict["checked_at"] == "2026-11-24T04:05:07Z"


def test_readable_is_one_line_of_ascii() -> None:
    assert readable(bytes([9, 32, 65, 92, 126, 127, 255])) == r"\009 A\092~\127\255"


ANY = st.builds(
    lambda server, outcome, values: answer(
        server, outcome, *(values if outcome == "present" else ())
    ),
    st.sampled_from(["ns1@a", "ns1@b", "ns2@c", R1, R2]),
    st.sampled_from(["present", "absent", "alias", "unreachable", "malformed"]),
    st.lists(st.sampled_from([NEW, OLD, OTHER]), min_size=1, max_size=3, unique=True),
)


@given(st.lists(ANY, max_size=8), st.sampled_from([NEW, None]))
def test_confirmed_means_that_no_answer_differs(said: list[Answer], expected: bytes | None) -> None:
    """However servers answer: READY leaves no other answer and no silent server behind."""
    if not judge(*said, expected=expected)["ready"]:
        return
    told = [item for item in said if item.outcome != "unreachable"]
    assert {item.server for item in told} == {item.server for item in said}
    assert {item.kind for item in told} == {"authority", "resolver"}
    for item in told:
        assert item.outcome not in {"malformed", "alias"}
        sts = [value for value in item.values if value.startswith(b"v=STSv1;")]
        assert sts == ([] if expected is None else [expected])
