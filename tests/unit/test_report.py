"""The parts of the demo: the plain form leaves nothing out, and nothing foreign acts."""

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local import report
from local.answers import answers
from local.report import Delivered
from local.screen import Screen, distance, exactly, is_plain, is_stamp, moment, readable_times
from tests.unit.demo_cases import (
    CAUSE,
    DELETION,
    DELETION_PLAN,
    LAGGING,
    NOW,
    OUTPUT,
    PLAN,
    drawn,
    line_with,
)

# Sets a terminal's title, looks like markup, and overwrites its line.
HOSTILE = "\x1b]0;owned\x07[bold red]loud[/bold red]\rgone\u202e"
SHOWN = r"\x1b]0;owned\x07[bold red]loud[/bold red]\rgone\u202e"
UNASKED_SERVER = {"server": "ns-9.example", "address": "2001:db8::9", "reason": "no route for IPv6"}
UNASKED_HOST = {"address": "2001:db8::1", "reason": "no route to the IPv6 address"}
STALE = {
    "address": "127.0.0.8",
    "status": 404,
    "media_type": "text/html",
    "sha256": "ab" * 32,
    "size": 120,
    "certificate_not_after": None,
    "age": None,
    "cache_control": "",
    "x_cache": "Error from cloudfront",
    "found": "status 404",
    "expected": "the new policy",
}


def evidence(checks: Mapping[str, Any], *, plain: bool = True) -> str:
    return drawn(lambda screen: report.evidence(screen, "The evidence", checks, NOW), plain=plain)


def leaves(value: Any) -> Iterator[Any]:
    """Yield every value in a structure that is none itself."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


# --- the plain form holds everything


def test_each_answer_of_a_server_is_a_line_with_all_that_is_known_of_it() -> None:
    text = evidence(OUTPUT["evidence"])
    rows = OUTPUT["evidence"]["record"]["agreeing"]
    assert len(rows) > 8
    for row in rows:
        address, ttl = f"{row['address']} ", f"{row['ttl']} s"
        assert "✓" in line_with(text, row["server"], f" {address}", row["found"], ttl)


def test_each_address_of_the_policy_host_is_a_line_with_the_whole_digest() -> None:
    text = evidence(OUTPUT["evidence"])
    rows = OUTPUT["evidence"]["policy"]["agreeing"]
    assert len(rows) == 3
    for row in rows:
        ends = exactly(datetime.fromisoformat(row["certificate_not_after"]))
        told = (row["status"], row["media_type"], row["sha256"], row["size"], row["found"])
        caches = (row["x_cache"], f"Age {row['age']} s", row["cache_control"])
        assert "✓" in line_with(text, f" {row['address']} ", *told, ends, *caches)


def test_evidence_says_from_where_and_when_it_was_seen() -> None:
    text = evidence(OUTPUT["evidence"])
    for check in OUTPUT["evidence"].values():
        seen = moment(datetime.fromisoformat(check["checked_at"]), NOW)
        assert text.count(f"seen from {check['region']} on {seen}") >= 1
    assert OUTPUT["evidence"]["policy"]["host"] in text


def test_culprits_say_what_they_answered_and_what_was_expected() -> None:
    record = OUTPUT["evidence"]["record"] | {"agreeing": [], "laggards": [LAGGING]}
    policy = OUTPUT["evidence"]["policy"] | {"agreeing": [], "laggards": [STALE]}
    text = evidence({"record": record, "policy": policy})
    for row, told in ((LAGGING, ("5 s",)), (STALE, (STALE["sha256"], 120, STALE["x_cache"]))):
        line = line_with(text, row["address"], row["found"], f"expected {row['expected']}", *told)
        assert "✗" in line
        assert "✓" not in line
    assert "ns-2.example" in text


def test_a_resolver_that_keeps_the_old_answer_is_told_and_is_no_culprit() -> None:
    record = OUTPUT["evidence"]["record"] | {"agreeing": [], "cached": [LAGGING]}
    text = evidence({"record": record})
    line = line_with(text, LAGGING["address"], LAGGING["found"])
    assert "~" in line
    assert "✗" not in line
    assert text.count("\n  ~ may still hold the old answer\n") == 1
    assert "may still" not in evidence(OUTPUT["evidence"])


def test_a_check_of_before_the_write_is_not_taken_for_one_of_after_it() -> None:
    policy = OUTPUT["evidence"]["policy"]
    title = f"Policy {policy['host']}, before the write, seen from"
    assert title in evidence({"policy": policy | {"before_write": True}})
    assert "before the write" not in evidence({"policy": policy})


@pytest.mark.parametrize(("check", "row"), [("record", UNASKED_SERVER), ("policy", UNASKED_HOST)])
def test_what_was_not_asked_is_marked_as_such(check: str, row: Mapping[str, str]) -> None:
    changed = {check: OUTPUT["evidence"][check] | {"not_asked": [row]}}
    line = line_with(evidence(changed), row["address"], f"not asked: {row['reason']}")
    assert "✓" not in line


@pytest.mark.parametrize("output", [OUTPUT, DELETION], ids=["changed", "deleted"])
def test_every_answer_to_the_three_questions_is_given(output: Mapping[str, Any]) -> None:
    text = drawn(lambda screen: answers(screen, output, NOW))
    for value in leaves(output["answers"]):
        if isinstance(value, bool):
            assert "mail at risk: no" in text
        elif value is None:
            assert ("no date can be given" in text) == (output["all_off_at"] is None)
        elif is_stamp(value):
            assert moment(datetime.fromisoformat(value), NOW) in text
        else:
            assert readable_times(value, NOW) in text
    assert len(output["answers"]) == 3
    for question in ("Is MTA-STS off", "May the MX records", "What state is the domain in"):
        assert question in text


def test_an_answer_that_does_not_hold_is_marked_as_such() -> None:
    text = drawn(lambda screen: answers(screen, OUTPUT, NOW))
    for choice in OUTPUT["answers"]["mx"]["choices"]:
        mark = "✓" if choice["holds"] else "✗"
        line_with(text, f"{mark} {choice['answer']} ", choice["confidence"])


def test_the_plan_shows_policy_and_record_before_and_after_and_each_step_and_warning() -> None:
    text = drawn(lambda screen: report.plan(screen, PLAN, NOW))
    for gone in PLAN["policy"]["before"].splitlines()[1:]:
        assert f"\n  - {gone}\n" in text
    for new in PLAN["policy"]["after"].splitlines()[1:]:
        assert f"\n  + {new}\n" in text
    assert "\n    version: STSv1\n" in text
    assert f"\n  - {PLAN['record']['old']}\n  + {PLAN['record']['new']}\n" in text
    assert readable_times(PLAN["summary"], NOW) in text
    for each in (*PLAN["steps"], *PLAN["warnings"]):
        line_with(text, each)


@pytest.mark.parametrize("planned", [PLAN, DELETION_PLAN], ids=["change", "deletion"])
def test_the_plan_says_once_what_it_would_come_to(planned: Mapping[str, Any]) -> None:
    text = drawn(lambda screen: report.plan(screen, planned, NOW))
    assert text.count("If it were run now") == 1
    for name in ("conforming_off_at", "rfc_off_at", "all_off_at"):
        at = planned["expected"][name]
        assert (moment(datetime.fromisoformat(at), NOW) if at else "no date can be given") in text
    line_with(text, "MX: ", planned["expected"]["mx"]["answer"])


def test_a_plan_that_deletes_shows_what_goes() -> None:
    text = drawn(lambda screen: report.plan(screen, DELETION_PLAN, NOW))
    record = DELETION_PLAN["record"]
    assert f"Record {record['name']} TXT, TTL 5 s\n  - {record['old']}\n\n" in text
    nothing = DELETION_PLAN | {"record": record | {"before": None, "old": ""}}
    text = drawn(lambda screen: report.plan(screen, nothing, NOW))
    assert f"Record {record['name']}: no record set\n\n" in text


def test_a_policy_that_stays_is_shown_without_a_change() -> None:
    kept = PLAN | {"policy": PLAN["policy"] | {"write": False}}
    text = drawn(lambda screen: report.plan(screen, kept, NOW))
    for same in PLAN["policy"]["before"].splitlines():
        assert f"\n    {same}\n" in text
    assert "It stays as it is." in text


def test_a_failure_is_told_by_its_name_and_word_for_word() -> None:
    text = drawn(lambda screen: report.failure(screen, "FAILED", "PropagationTimeoutError", CAUSE))
    assert "FAILED: PropagationTimeoutError" in text
    for each in filter(None, CAUSE.splitlines()):
        assert f"  {each}\n" in text


def test_the_senders_say_what_became_of_mail_and_until_when_they_enforce() -> None:
    until = NOW + timedelta(days=7)
    refused = {"new": "refused", "old": "delivered"}
    told = [
        Delivered("follows", {"new": "delivered", "old": "delivered"}, "nothing is asked", None),
        Delivered("ignores", refused, "new is not among", until),
        Delivered("renews", refused, "new is not among", until, renews=True),
    ]

    def draw(screen: Screen) -> None:
        report.senders(screen, "The senders", told, NOW)
        report.still_held(screen, told, DELETION, NOW)

    text = drawn(draw)
    assert "refused" not in line_with(text, "follows", "delivered")
    assert "✓ delivered" in line_with(text, "ignores", "✗ refused")
    line_with(text, "follows: nothing is asked")
    line_with(text, "ignores: new is not among")
    line_with(text, "A sender that ignores", moment(until, NOW))
    line_with(text, "A sender that renews", "for as long as the policy host serves it")


# --- nothing foreign acts


def everything(screen: Screen) -> None:
    """Draw each part with hostile text wherever text comes from outside."""
    check: dict[str, Any] = {
        "agreeing": [LAGGING | {"found": HOSTILE}],
        "laggards": [],
        "not_asked": [],
    }
    check |= {"region": HOSTILE, "checked_at": "2026-11-24T04:05:06Z"}
    host = check | {"host": HOSTILE, "agreeing": [STALE | {"media_type": HOSTILE}]}
    policy = PLAN["policy"] | {"before": HOSTILE}
    plan = PLAN | {"policy": policy, "steps": [HOSTILE], "warnings": [HOSTILE]}
    report.plan(screen, plan, NOW)
    report.senders(screen, "Senders", [Delivered("s", {"mx": "refused"}, HOSTILE, NOW)], NOW)
    report.evidence(screen, "Evidence", {"record": check, "policy": host}, NOW)
    told = OUTPUT["answers"]
    hostile = {
        "off": told["off"] | {"sentence": HOSTILE},
        "trouble": {**told["trouble"], "next": HOSTILE},
    }
    answers(screen, {"answers": told | hostile}, NOW)
    report.failure(screen, "FAILED", HOSTILE, HOSTILE)
    with screen.working(HOSTILE):
        pass


def test_plain_lines_hold_no_control_characters_and_show_foreign_text_as_it_is() -> None:
    text = drawn(everything)
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert text.count(SHOWN) >= 10


def test_a_terminal_obeys_no_foreign_text() -> None:
    text = drawn(everything, plain=False, width=110)
    assert "\x1b[" in text  # it has colours
    assert "\x1b]" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]loud" in text


def test_plain_lines_are_never_wrapped_or_shortened() -> None:
    long = "x " * 500 + "end"
    row = LAGGING | {"found": long}
    text = evidence({"record": OUTPUT["evidence"]["record"] | {"agreeing": [row]}})
    line_with(text, long)


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, False),  # no-color.org: set and not empty
        (True, {"TERM": "dumb"}, True),
        (False, {"TERM": "xterm"}, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, *, terminal: bool, environment: dict[str, str], expected: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    assert is_plain(stream) is expected


# --- times


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "now"),
        (1, "in 1 second"),
        (-90, "90 seconds ago"),
        (600, "in 10 minutes"),
        (-7200, "2 hours ago"),
        (604_800, "in 7 days"),
        (31_557_600, "in 365 days"),
    ],
)
def test_distances_are_told_in_the_unit_that_fits(seconds: float, told: str) -> None:
    assert distance(NOW + timedelta(seconds=seconds), NOW) == told


def test_times_within_a_text_are_told_as_people_read_them() -> None:
    now = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
    text = readable_times("until 2026-12-01T04:05:06Z (held until 2026-11-24T04:05:16Z)", now)
    assert text == (
        "until 1 December 2026, 04:05:06 UTC (in 7 days)"
        " (held until 24 November 2026, 04:05:16 UTC, in 10 seconds)"
    )
