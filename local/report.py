"""What the demo has to tell, part by part: plan, senders, evidence, answers, failure."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from local.screen import Part, Screen, exactly, is_stamp, line, moment, readable_times

GOOD, BAD, DOUBTFUL, FAINT = "green", "red", "yellow", "dim"
AGREES, CONTRADICTS, NOT_ASKED = ("✓", GOOD), ("✗", "bold red"), ("-", DOUBTFUL)
CACHED = ("~", DOUBTFUL)  # a resolver that may still hold the old answer
# Of a digest; the plain form shows all of it.
SHORT_DIGEST = 12


# --- the plan


def plan(screen: Screen, planned: Mapping[str, Any], now: datetime) -> None:
    """Show what a run would do: summary, both before and after, steps, warnings, what it comes to."""
    screen.heading("The plan")
    screen.say((readable_times(planned["summary"], now), "bold"))
    policy, record = planned["policy"], planned["record"]
    screen.blank()
    screen.say(("Policy ", FAINT), planned["policy_url"])
    _policy_diff(screen, policy)
    screen.blank()
    screen.say(("Record ", FAINT), f"{record['name']} TXT, TTL {record['after']['ttl']} s")
    _diff(screen, [record["old"]] if record["old"] else [], [record["new"]])
    screen.blank()
    screen.table(
        [[line((f"{n}.", FAINT)), line(step)] for n, step in enumerate(planned["steps"], 1)]
    )
    _warnings(screen, planned["warnings"])
    if expected := planned.get("expected"):
        screen.blank()
        screen.say(("If it were run now", "bold cyan"))
        _named(screen, expected, now)


def _policy_diff(screen: Screen, policy: Mapping[str, Any]) -> None:
    if policy["write"]:
        _diff(screen, policy["before"].splitlines(), policy["after"].splitlines())
    else:
        _diff(screen, policy["before"].splitlines(), policy["before"].splitlines())
        screen.say("It stays as it is.")


def _diff(screen: Screen, before: Sequence[str], after: Sequence[str]) -> None:
    styles = {"-": BAD, "+": GOOD, " ": FAINT}
    all_of_it = len(before) + len(after)
    compared = difflib.unified_diff(before, after, n=all_of_it, lineterm="")
    for each in list(compared)[3:] or [f" {same}" for same in after]:  # without its headers
        screen.say((f"{each[0]} {each[1:]}", styles[each[0]]))


def _warnings(screen: Screen, warnings: Sequence[str]) -> None:
    if warnings:
        screen.blank()
        screen.table([[line(("!", DOUBTFUL)), line(warning)] for warning in warnings])


# --- the senders


@dataclass(frozen=True)
class Delivered:
    """What became of a sender's mail to each MX: outcomes by MX, and why for the first of them.

    `held_until` is the end of a policy that it enforces; None where it enforces none.
    """

    sender: str
    outcomes: Mapping[str, str]
    reason: str
    held_until: datetime | None


def senders(
    screen: Screen, title: str, deliveries: Sequence[Delivered], now: datetime, *, remark: str = ""
) -> None:
    """Show for each sender whether its mail arrives at each MX, and why."""
    screen.heading(title)
    if remark:
        screen.say(remark)
        screen.blank()
    rows = [
        [line((each.sender, "bold")), *(_outcome(told) for told in each.outcomes.values())]
        for each in deliveries
    ]
    screen.table(rows, header=["a sender that …", *(f"to {mx}" for mx in deliveries[0].outcomes)])
    screen.blank()
    screen.fields([(each.sender, line(readable_times(each.reason, now))) for each in deliveries])


def _outcome(told: str) -> Text:
    return line(("✓ " + told, GOOD) if told == "delivered" else ("✗ " + told, BAD))


def still_held(screen: Screen, deliveries: Sequence[Delivered], now: datetime) -> None:
    """Say of each sender that still enforces an older policy until when, and that it is counted in."""
    rows = [
        [
            line(("!", DOUBTFUL)),
            line(
                f"A sender that {each.sender} has not learnt of the change: unless it looks before, it "
                f"enforces the old policy until {moment(each.held_until, now)}. “Every sender” below "
                "counts it in."
            ),
        ]
        for each in deliveries
        if each.held_until
    ]
    if rows:
        screen.blank()
        screen.table(rows)


# --- the evidence


def evidence(screen: Screen, title: str, checks: Mapping[str, Any], now: datetime) -> None:
    """Show what each server and each address answered, and what was not asked, from both checks."""
    screen.heading(title)
    if not checks:
        screen.say("No check came as far as a result; what was found is told below.")
    if record := checks.get("record"):
        screen.say(("Record", "bold"), (_seen(record, now), FAINT))
        rows = [_record_row(*each) for each in _judged(record)]
        screen.table(rows, header=["  server", "address", "answer", "TTL"])
        if record.get("cached"):
            screen.say(CACHED, (" may still hold the old answer", FAINT))
    if len(checks) > 1:
        screen.blank()
    if policy := checks.get("policy"):
        # So that a ✓ of then is not taken for one of now.
        when = ", before the write" if policy.get("before_write") else ""
        screen.say(("Policy ", "bold"), policy["host"], when, (_seen(policy, now), FAINT))
        screen.table([_policy_row(screen, *each) for each in _judged(policy)])


def _seen(check: Mapping[str, Any], now: datetime) -> str:
    return f", seen from {check['region']} on {readable_times(check['checked_at'], now)}"


def _judged(check: Mapping[str, Any]) -> list[tuple[Part, Mapping[str, Any]]]:
    marks = (
        ("agreeing", AGREES),
        ("laggards", CONTRADICTS),
        ("cached", CACHED),
        ("not_asked", NOT_ASKED),
    )
    return [(mark, row) for name, mark in marks for row in check.get(name, ())]


def _record_row(mark: Part, row: Mapping[str, Any]) -> list[Text]:
    return [
        line(mark, f" {row['server']}"),
        line(row["address"]),
        line(_told(mark, row)),
        line("" if row.get("ttl") is None else f"{row['ttl']} s"),
    ]


def _policy_row(screen: Screen, mark: Part, row: Mapping[str, Any]) -> list[Text]:
    digest, ends = row.get("sha256", ""), row.get("certificate_not_after")
    answer = [
        f"status {row['status']}" if row.get("status") else "",
        row.get("media_type", ""),
        "" if row.get("size") is None else f"{row['size']} bytes",
        "sha256 " + (digest if screen.plain else f"{digest[:SHORT_DIGEST]}…") if digest else "",
    ]
    certificate = [f"certificate until {exactly(datetime.fromisoformat(ends))}" if ends else ""]
    caches = [
        row.get("x_cache", ""),
        "" if row.get("age") is None else f"Age {row['age']} s",
        f"Cache-Control {row['cache_control']}" if row.get("cache_control") else "",
    ]
    groups = [", ".join(filter(None, group)) for group in (answer, certificate, caches)]
    between = ", " if screen.plain else "\n"
    details = "".join(between + group for group in groups if group)
    return [line(mark, f" {row['address']}"), line(_told(mark, row), (details, FAINT))]


def _told(mark: Part, row: Mapping[str, Any]) -> tuple[str, str]:
    if mark == NOT_ASKED:
        return f"not asked: {row['reason']}", DOUBTFUL
    if mark == AGREES:
        return str(row["found"]), ""
    style = BAD if mark == CONTRADICTS else DOUBTFUL
    return f"{row['found']}\nexpected {row['expected']}", style


# --- the answers

_QUESTIONS = {
    "off": "Is MTA-STS off, and for which senders?",
    "mx": "May the MX records or the mail servers change?",
    "trouble": "What state is the domain in, is mail at risk, what next?",
}
# Short, because they take the width of what stands beside them.
_NAMES = {
    "senders_that_reread_the_record": "senders that re-read",
    "every_sender_by_what_is_known": "… by what is known",
    "senders_that_do_not_conform": "non-conforming senders",
    "from": "may change",
    "without_overlap_from": "without overlap",
    "mx_without_overlap_from": "MX, without overlap",
}
# What somebody in a hurry reads, beside the times.
_FIRST = {"answer", "state", "next"}


def answers(screen: Screen, output: Mapping[str, Any], now: datetime) -> None:
    """Show the answers to the three questions; what is not known here is shown by its own name."""
    screen.heading("The answers")
    for number, (question, told) in enumerate(output["answers"].items()):
        if number:
            screen.blank()
        screen.say((_QUESTIONS.get(question, question.replace("_", " ")), "bold cyan"))
        _named(screen, told, now)


def _named(screen: Screen, told: Mapping[str, Any], now: datetime) -> None:
    """Show values by their names, a date that is known for sure once only."""
    known = "every_sender_by_what_is_known"
    screen.fields(
        [
            (_NAMES.get(name, name.replace("_", " ")), _value(value, now, bold=name in _FIRST))
            for name, value in told.items()
            if value not in ("", None, [])
            and not (name == known and value == told.get("every_sender"))
        ]
    )


def _value(value: Any, now: datetime, *, bold: bool) -> Text:
    if isinstance(value, bool):
        return line("yes" if value else "no")
    if isinstance(value, list):
        return line("; ".join(readable_times(str(each), now) for each in value))
    if isinstance(value, str) and is_stamp(value):
        at = datetime.fromisoformat(value)
        return line((f"{'from' if at > now else 'since'} {moment(at, now)}", "bold"))
    return line((readable_times(str(value), now), "bold" if bold else ""))


# --- the failure


def failure(screen: Screen, status: str, error: str | None, cause: str | None) -> None:
    """Show by what name and why an execution failed, word for word."""
    screen.heading("The run failed")
    screen.say((f"{status}: {error or 'no error was given'}", "bold red"))
    first, _, rest = (cause or "No cause was given.").partition("\n")
    screen.blank()
    screen.say((first, "bold"))
    if rest:
        screen.message(rest)
