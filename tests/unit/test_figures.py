"""Which figures functions tell: how runs ended, what the watch finds, and what is overdue."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mta_sts import ending, wiring
from mta_sts.instants import stamp
from tests.unit.plans import GONE, LONG_AGO, NOT_FOUND, NOW, deletion, looked
from tests.unit.test_functions import EXECUTION, Book, book, handled
from tests.unit.test_later_guards import Executions
from tests.unit.test_state_machine import ROOT

__all__ = ["book"]  # a fixture

HOLDER = "arn:aws:states:eu-west-1:1:execution:m:holder"


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return all figures told since, each by its name, with what it is told of."""
    found: dict[str, Any] = {}
    for line in capsys.readouterr().out.splitlines():
        if '"_aws"' in line:
            told = json.loads(line)
            [directive] = told.pop("_aws")["CloudWatchMetrics"]
            about = [told[name] for name in directive["Dimensions"][0] if name != "service"]
            for metric in directive["Metrics"]:
                found[metric["Name"]] = (told[metric["Name"]][0], *sorted(about))
    return found


def test_a_confirmed_run_tells_how_much_longer_it_took(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    """Than the TTL, which has to be waited out whoever does it."""
    made = deletion()
    moments = {
        "host": looked(NOT_FOUND),
        "published": None,
        "caches": None,
        "served": None,
        "changed": {"changed_at": stamp(NOW)},
        "in_sync": {"checked_at": stamp(NOW)},
        "names": {"record_gone_at": stamp(GONE)},
        "contradicted": None,
    }
    event = {
        "request": {"domain": made.domain, "method": "delete-record"},
        "plan": made.to_dict(),
        "execution": EXECUTION,
        "moments": moments,
        "record": {"ready": True},
        "policy": looked(NOT_FOUND),
    }
    outcome = handled("record_outcome", event)["outcome"]
    late = datetime.fromisoformat(outcome["moments"]["confirmed_at"]) - GONE
    told = figures(capsys)
    assert told["Runs"] == (1, "confirmed", "delete-record")
    assert told["SecondsOverLimit"] == (max(0, late.total_seconds()),)


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [("PlanChangedError", "refused"), ("KeyError", "failed")],
)
def test_a_refusal_is_no_failure(
    book: Book, capsys: pytest.CaptureFixture[str], changed: str, outcome: str
) -> None:
    event = {
        "request": {"domain": "a.example", "method": "restore"},
        "plan": None,
        "execution": EXECUTION,
        "failure": {"Error": changed, "Cause": "why"},
        "failed_state": "Plan Change",
    }
    handled("record_outcome", event)
    more = {"FailedRuns": (1,)} if outcome == "failed" else {}
    assert figures(capsys) == {"Runs": (1, outcome, "restore"), **more}


@pytest.mark.parametrize("error", ["KeyError", "SupersededError"])
def test_a_look_that_failed_keeps_what_was_found_the_day_before(
    book: Book, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    """Zeros of other domains would end the alarm; what is not due any more is no failure."""
    due = {"kind": "watch", "generation": 1, "at": stamp(NOW)}
    event = {
        "request": {"domain": "a.example", "method": "check", "due": due},
        "plan": None,
        "execution": EXECUTION,
        "failure": {"Error": error, "Cause": "why"},
        "failed_state": "Check Domain",
    }
    handled("record_outcome", event)
    assert figures(capsys).get("WatchFindings") == ((1,) if error == "KeyError" else None)


@pytest.mark.parametrize(
    ("error", "cause", "counted"),
    [
        ("InvalidRequestError", "MTA-STS is still on for a.example: …", False),
        (
            "PropagationTimeoutError",
            "half changed for a.example: …",
            False,
        ),  # counted as it was recorded
        ("InvalidRequestError", None, True),  # what it said is not known
        ("InvalidRequestError", "MTA-STS is still on … This could be told to nobody: SNS.X.", True),
        ("ClientError", "half changed, perhaps: … its outcome could not be recorded (X).", True),
    ],
)
def test_a_failure_that_was_told_to_nobody_is_counted(
    book: Book,
    capsys: pytest.CaptureFixture[str],
    error: str,
    cause: str | None,
    counted: bool,  # noqa: FBT001 - a case
) -> None:
    """By whoever hears of ended executions; the words are the definition's own."""
    event = ended(error, cause)
    assert handled("close_run", event) == {"closed": ""}
    assert figures(capsys) == ({"FailedRuns": (1,)} if counted else {})
    definition = (ROOT / "statemachine/disable.asl.json").read_text()
    assert "This could be told to nobody: " in definition
    assert " and its outcome could not be recorded (" in definition


@pytest.mark.parametrize("error", ["States.Runtime", "States.DataLimitExceeded"])
def test_what_no_catch_sees_is_told_and_counted(
    book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    """Before it has the domain, too."""
    told = Told()
    monkeypatch.setenv("NOTICE_TOPIC_ARN", "arn:aws:sns:eu-west-1:1:t")
    monkeypatch.setattr(wiring, "notices", lambda: told)
    monkeypatch.setattr(wiring, "events", lambda: told)
    assert handled("close_run", ended(error, "an expression failed")) == {"closed": ""}
    assert figures(capsys) == {"Runs": (1, "check", "failed"), "FailedRuns": (1,)}
    assert error in told.message["Subject"]
    attributes = {name: it["StringValue"] for name, it in told.message["MessageAttributes"].items()}
    [entry] = told.entries
    notice = json.loads(entry["Detail"])
    assert attributes == {
        "kind": "failed",
        "domain": "a.example",
        "mail_at_risk": {True: "true", False: "false", None: "unknown"}[notice["mail_at_risk"]],
    }


def ended(error: str, cause: str | None) -> dict[str, Any]:
    """The event of an execution that has failed."""
    detail = {
        "executionArn": EXECUTION["arn"],
        "status": "FAILED",
        "stopDate": int(NOW.timestamp() * 1000),
        "input": json.dumps({"domain": "a.example", "method": "check"}),
        "error": error,
        "cause": cause,
    }
    return {"detail": detail}


class Told:
    """A topic and a bus that keep what they are told."""

    def publish(self, **message: Any) -> None:
        self.message = message

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, int]:  # noqa: N803 - as boto3 has it
        self.entries = Entries
        return {"FailedEntryCount": 0}


@pytest.mark.parametrize(
    ("due", "notify", "told"),
    [
        (True, True, {"WatchFindings": (2,)}),
        # Another run came in between: what was seen is half done, and nobody is told.
        (True, False, {"WatchFindings": (0,)}),
        # Whoever looks by hand reads the answer.
        (False, False, {}),
    ],
)
def test_what_the_watch_finds_is_counted(
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    due: bool,  # noqa: FBT001 - a case
    notify: bool,  # noqa: FBT001 - a case
    told: dict[str, Any],
) -> None:
    check = {
        "domain": "a.example",
        "alarms": ["none-not-served", "certificate-ends-early"],
        "findings": [],
        "state": "half changed",
        "subject": "s",
        "text": "t",
        "notify": notify,
        "over": False,
        "all_off_at": None,
        "answers": {"trouble": {"mail_at_risk": False}},
    }
    monkeypatch.setattr(ending, "checked", lambda *_a, **_k: check)
    more = {"due": {"kind": "watch", "generation": 1, "at": stamp(NOW)}} if due else {}
    request = {"domain": "a.example", "method": "check", **more}
    handled("record_outcome", {"request": request, "execution": EXECUTION, "check": check})
    assert figures(capsys) == {"Runs": (1, "check", "checked"), **told}


class Held:
    """One domain has had something due for long, and an execution holds it."""

    def __init__(self, *, running: bool) -> None:
        self._running = running

    def domains(self, **_until: Any) -> list[str]:
        return ["held.example"]

    def count(self) -> int:
        return 1

    def item(self, domain: str) -> dict[str, Any]:
        due = {"watch": {"at": stamp(LONG_AGO), "request": {"method": "check"}}}
        return {"domain": domain, "generation": 1, "due": due, "holder": HOLDER}

    def ended_long_ago(self, _execution: str, _now: datetime) -> bool:
        return not self._running


@pytest.mark.parametrize("running", [True, False])
def test_what_somebody_is_at_work_on_is_not_overdue(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    running: bool,  # noqa: FBT001 - a case
) -> None:
    """However long it takes: a TTL may be a day. Whoever ended long ago is at work on nothing."""
    held, executions = Held(running=running), Executions()
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:1:stateMachine:m")
    for name, part in (("agenda", held), ("ledger", held), ("executions", executions)):
        monkeypatch.setattr(wiring, name, lambda part=part: part)
    handled("sweep_due", {})
    told = figures(capsys)
    assert (told["DrainsPending"], told["SweepFailures"]) == ((1,), (0,))
    since = datetime.now(UTC) - LONG_AGO
    assert len(executions.started) == (0 if running else 1)
    overdue = told["OldestOverdueSeconds"][0]
    assert overdue == 0 if running else overdue > (since - timedelta(minutes=1)).total_seconds()
