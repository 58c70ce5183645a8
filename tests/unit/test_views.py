"""What the API shows of a domain and of a run, from what the ledger and Step Functions have."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mta_sts import views
from mta_sts.instants import instant, stamp
from mta_sts.visits import steps
from tests.unit.demo_cases import LOOP, NOW, OUTPUT, PLAN

DOMAIN = "solarmora.com"
OFF_AT = instant(OUTPUT["all_off_at"])
ME = OUTPUT["execution"]
ITEM: dict[str, Any] = {
    "domain": DOMAIN,
    "phase": "draining",
    "all_off_at": OUTPUT["all_off_at"],
    "moments": OUTPUT["moments"],
    "current_id": OUTPUT["id"]["new"],
    "confirmed_by": ME,
    "last_outcome": {"state": "off", "changed": OUTPUT["changed"], "text": OUTPUT["text"]},
    "due": {
        "drained": {"at": OUTPUT["all_off_at"], "request": {}},
        "watch": {"at": stamp(NOW + timedelta(days=1)), "request": {}},
    },
}
CONFIRMED: dict[str, Any] = {
    "item": f"run#2026-11-24T08:36:33.1Z#{ME.rpartition(':')[2]}",
    "status": "confirmed",
    "method": "none-policy",
    "ended_at": OUTPUT["moments"]["confirmed_at"],
    "ticket": "OPS-1",
    "outcome": OUTPUT,
}
LOOKED: dict[str, Any] = {
    "item": "run#2026-11-24T08:00:00Z#look",
    "status": "checked",
    "method": "check",
    "ended_at": "2026-11-24T08:00:09Z",
    "outcome": {"state": "on", "subject": "MTA-STS is still on", "alarms": []},
}
FAILED = {
    "state": "half changed",
    "error": "PropagationTimeoutError",
    "changed": "policy and record",
    "text": "half changed for solarmora.com: look. Next: mend it.",
}


def shown(item: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    return views.domain(item, [CONFIRMED, LOOKED], CONFIRMED, now)


@pytest.mark.parametrize(
    ("item", "now", "phase"),
    [
        ({}, NOW, "unsettled"),
        ({"phase": "on", "all_off_at": None}, NOW, "on"),
        (ITEM, OFF_AT - timedelta(seconds=1), "draining"),
        (ITEM, OFF_AT, "off"),
        ({**ITEM, "all_off_at": None}, OFF_AT, "draining"),  # nobody knows an end
        ({**ITEM, "phase": "retired"}, OFF_AT, "retired"),
    ],
)
def test_phases(item: dict[str, Any], now: datetime, phase: str) -> None:
    assert views.phase_of(item, now) == phase


def test_the_answers_are_those_of_the_confirmed_run() -> None:
    told = shown(ITEM)
    answers = told["answers"]
    assert answers["off"] == OUTPUT["answers"]["off"]
    assert answers["as_of"] == OUTPUT["moments"]["confirmed_at"]
    assert (answers["hold"], answers["every_sender_has_let_go"]) == (True, False)
    assert answers["trouble"]["next"] == OUTPUT["answers"]["trouble"]["next"]
    assert answers["trouble"]["mail_at_risk"] is False
    assert told["text"] == OUTPUT["text"]
    assert [one["kind"] for one in told["due"]] == ["watch", "drained"]
    assert (told["last_check"]["run"], told["last_check"]["alarms"]) == ("look", [])
    assert [(one["method"], one["status"]) for one in told["runs"]] == [
        ("none-policy", "succeeded"),
        ("check", "succeeded"),
    ]


def test_a_date_that_has_come_is_told_as_come() -> None:
    before, after = (shown(ITEM, at)["answers"] for at in (NOW, OFF_AT))
    assert (before["mx"]["now"], before["mx"]["now_without_overlap"]) == (True, False)
    assert (after["mx"]["now"], after["mx"]["now_without_overlap"]) == (True, True)
    assert after["every_sender_has_let_go"] is True


def test_what_a_later_run_has_disturbed_does_not_hold() -> None:
    answers = shown({**ITEM, "last_outcome": FAILED})["answers"]
    assert (answers["hold"], answers["trouble"]["mail_at_risk"]) == (False, None)
    assert answers["trouble"]["text"] == FAILED["text"]
    assert answers["trouble"]["error"] == "PropagationTimeoutError"
    untouched = {**FAILED, "changed": "nothing", "error": "ZoneNotFoundError"}
    assert shown({**ITEM, "last_outcome": untouched})["answers"]["hold"] is True


def test_a_domain_that_was_only_looked_at_answers_nothing_and_says_so() -> None:
    told = views.domain({}, [LOOKED], {}, NOW)
    assert (told["phase"], told["answers"]["hold"]) == ("unsettled", False)
    assert told["answers"]["off"] is None
    assert told["last_check"]["subject"] == "MTA-STS is still on"


def test_who_is_at_work_is_named() -> None:
    held = {**ITEM, "holder": "arn:aws:states:x:1:execution:m:api-7", "held_since": "2026-11-24"}
    expected = {"run": "api-7", "since": "2026-11-24"}
    assert shown(held)["held_by"] == views.listed(held, NOW)["held_by"] == expected
    assert shown(ITEM)["held_by"] is None


SEEN = views.Seen(
    status="RUNNING",
    request={"domain": DOMAIN, "method": "none-policy", "ticket": "OPS-1"},
    started_at=NOW,
    ended_at=None,
    steps=steps(LOOP),
)


def test_a_running_run_says_what_it_waits_for() -> None:
    told = views.run("api-1", DOMAIN, SEEN)
    assert told["status"] == "running"
    [*_, last] = [one for one in told["states"] if one["to"] is None]
    assert told["waiting"]["state"] == last["state"]
    assert (told["outcome"], told["error"], told["plan"]) == (None, None, None)


def test_a_succeeded_run_has_its_outcome_and_a_failed_one_its_error() -> None:
    ended = replace(SEEN, status="SUCCEEDED", ended_at=NOW, output=OUTPUT)
    told = views.run("api-1", DOMAIN, ended)
    assert (told["status"], told["waiting"]) == ("succeeded", None)
    assert told["outcome"] == OUTPUT
    assert told["evidence"] == OUTPUT["evidence"]
    failed = replace(SEEN, status="FAILED", ended_at=NOW, error="AError", cause="half changed …")
    told = views.run("api-1", DOMAIN, failed)
    assert told["error"] == {"name": "AError", "text": "half changed …"}
    assert told["text"] == "half changed …"


def test_a_dry_run_shows_the_plan_and_no_outcome() -> None:
    request, plan = {**SEEN.request, "dry_run": True}, {**PLAN, "digest": "0" * 64}
    told = views.run(
        "api-1", DOMAIN, replace(SEEN, status="SUCCEEDED", request=request, output=plan)
    )
    assert told["plan"]["digest"] == plan["digest"]
    assert told["plan"]["steps"] == PLAN["steps"]
    assert told["outcome"] is None
    assert told["text"] == PLAN["summary"]


@pytest.mark.parametrize(
    ("status", "shown_as"),
    [
        ("running", "running"),
        ("failed", "failed"),
        ("confirmed", "succeeded"),
        ("checked", "succeeded"),
    ],
)
def test_what_the_ledger_remembers_of_a_run(status: str, shown_as: str) -> None:
    item = {**CONFIRMED, "status": status}
    told = views.run("forgotten", DOMAIN, views.recorded(item))
    assert (told["status"], told["ticket"], told["method"]) == (shown_as, "OPS-1", "none-policy")
    assert told["started_at"] == "2026-11-24T08:36:34Z"
    assert told["states_complete"] is False


def test_a_failure_that_is_remembered_has_its_name_and_text() -> None:
    item = {
        "item": f"run#{stamp(datetime(2026, 1, 1, tzinfo=UTC))}#x",
        "status": "failed",
        "method": "retire",
        "error": "DrainNotOverError",
        "cause": "why",
        "text": "MTA-STS is off …",
    }
    told = views.run("x", DOMAIN, views.recorded(item))
    assert told["error"] == {"name": "DrainNotOverError", "text": "MTA-STS is off …"}
