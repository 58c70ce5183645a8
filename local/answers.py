"""The answers to the three questions, as the demo draws them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from local.screen import Screen, line, moment, readable_times

GOOD, DOUBTFUL, FAINT = "green", "yellow", "dim"
_RISK = {True: "yes", False: "no", None: "not known"}
_QUESTIONS = {
    "off": "Is MTA-STS off, and for which senders?",
    "mx": "May the MX records or the mail servers change?",
    "trouble": "What state is the domain in, is mail at risk, what next?",
}
_DATES = {
    "conforming_off_at": "senders that conform",
    "rfc_off_at": "by the last fetch",
    "needing_record_off_at": "that need the record",
    "all_off_at": "every sender",
}


def answers(screen: Screen, output: Mapping[str, Any], now: datetime) -> None:
    """Show the answers of a run that has succeeded."""
    screen.heading("The answers")
    told = output["answers"]
    screen.say((_QUESTIONS["off"], "bold cyan"))
    _off(screen, told["off"], now)
    screen.blank()
    screen.say((_QUESTIONS["mx"], "bold cyan"))
    _mx(screen, told["mx"], now)
    screen.blank()
    screen.say((_QUESTIONS["trouble"], "bold cyan"))
    trouble = told["trouble"]
    screen.fields(
        [
            ("state", line((trouble["state"], "bold"))),
            ("mail at risk", line(_RISK[trouble["mail_at_risk"]])),
            ("next", line((readable_times(trouble["next"], now), "bold"))),
        ]
    )


def expected(screen: Screen, told: Mapping[str, Any], now: datetime) -> None:
    """Show what a plan would come to if it were carried out at once."""
    screen.say(("If it were run now", "bold cyan"))
    screen.fields([(name, _at(told[key], now)) for key, name in _DATES.items()])
    mx = told["mx"]
    screen.fields([("MX", line((mx["answer"], "bold"), f": {readable_times(mx['reason'], now)}"))])


def _off(screen: Screen, told: Mapping[str, Any], now: datetime) -> None:
    screen.say((readable_times(told["sentence"], now), "bold"))
    screen.fields(
        [
            (
                name,
                line(
                    *_at_parts(told[key]["at"], now),
                    f" ({told[key]['confidence']}): ",
                    _why(told[key], now),
                ),
            )
            for key, name in _DATES.items()
        ]
    )
    screen.say(("Senders that do otherwise", FAINT))
    screen.table(
        [
            [line(one["who"]), line(f"{one['what']}{_until(one['until'], now)}")]
            for one in told["other_senders"]
        ]
    )


def _mx(screen: Screen, told: Mapping[str, Any], now: datetime) -> None:
    rows = []
    for choice in told["choices"]:
        mark = ("✓ ", GOOD) if choice["holds"] else ("✗ ", DOUBTFUL)
        style = "bold" if choice["answer"] == told["answer"] else ""
        begin = f"{_begin(choice['from'], now)}: " if choice["from"] else ""
        reason = (f" ({choice['confidence']})", FAINT)
        rows.append([line(mark, (choice["answer"], style)), line(begin, _why(choice, now), reason)])
    screen.table(rows)
    screen.fields([("without overlap", _at(told["without_overlap_from"], now))])


def _why(told: Mapping[str, Any], now: datetime) -> str:
    return readable_times(told["reason"], now)


def _until(stamp: str | None, now: datetime) -> str:
    return f", until {moment(datetime.fromisoformat(stamp), now)}" if stamp else ""


def _at(stamp: str | None, now: datetime) -> Text:
    return line(*_at_parts(stamp, now))


def _at_parts(stamp: str | None, now: datetime) -> list[tuple[str, str]]:
    if stamp is None:
        return [("no date can be given", f"bold {DOUBTFUL}")]
    return [(_begin(stamp, now), "bold")]


def _begin(stamp: str, now: datetime) -> str:
    at = datetime.fromisoformat(stamp)
    return f"{'from' if at > now else 'since'} {moment(at, now)}"
