"""What the demo has to tell, part by part: plan, senders, evidence, failure."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from local.answers import expected
from local.screen import Part, Screen, exactly, line, moment, readable_times

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
    _record_diff(screen, record)
    screen.blank()
    screen.table(
        [[line((f"{n}.", FAINT)), line(step)] for n, step in enumerate(planned["steps"], 1)]
    )
    _warnings(screen, planned["warnings"])
    screen.blank()
    expected(screen, planned["expected"], now)


def _policy_diff(screen: Screen, policy: Mapping[str, Any]) -> None:
    if policy["write"]:
        _diff(screen, policy["before"].splitlines(), policy["after"].splitlines())
    else:
        _diff(screen, policy["before"].splitlines(), policy["before"].splitlines())
        screen.say("It stays as it is.")


def _record_diff(screen: Screen, record: Mapping[str, Any]) -> None:
    stands = record["after"] or record["before"]
    told = f" {stands['type']}, TTL {stands['ttl']} s" if stands else ": no record set"
    screen.say(("Record ", FAINT), f"{record['name']}{told}")
    _diff(screen, *([record[name]] if record[name] else [] for name in ("old", "new")))


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

    `held_until` is the end of a policy that it enforces; None where it enforces none. `renews`: over
    HTTPS alone, whatever the record says.
    """

    sender: str
    outcomes: Mapping[str, str]
    reason: str
    held_until: datetime | None
    renews: bool = False


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


def still_held(
    screen: Screen, deliveries: Sequence[Delivered], output: Mapping[str, Any], now: datetime
) -> None:
    """Say of each sender that still enforces an older policy until when, and how it is counted in."""
    rows = [
        [line(("!", DOUBTFUL)), line(f"A sender that {each.sender} {_held(each, output, now)}")]
        for each in deliveries
        if each.held_until
    ]
    if rows:
        screen.blank()
        screen.table(rows)


def _held(each: Delivered, output: Mapping[str, Any], now: datetime) -> str:
    if each.renews and output["all_off_at"] is None:
        return (
            "keeps the old policy for as long as the policy host serves it: “every sender” below has no "
            "date."
        )
    return (
        f"enforces the old policy until {moment(each.held_until or now, now)}, unless it learns of the "
        "change before; the answers below count it in."
    )


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
