"""The definition as a graph: every state reachable, every path ends, every Catch ends in Fail."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mta_sts.notices import DETAIL_TYPE, SOURCE

ROOT = Path(__file__).parents[2]
DEFINITION = json.loads((ROOT / "statemachine/disable.asl.json").read_text())
STATES: dict[str, dict[str, Any]] = DEFINITION["States"]
# What an account has too little of for all at once, rather than a fault.
BUSY = ["TransientError", "Lambda.TooManyRequestsException"]
# What they tell is told once more: by the output, by the end of the run. A run does not hang on them.
GOES_ON = {
    "Announce Plan": "Show Plan",
    "Announce Start": "Notify Start",
    "Notify Start": "Check Host",
}


def successors(state: dict[str, Any]) -> Iterator[str]:
    """Every state that may come next, those of Catch included."""
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for rule in state.get("Choices", []):
        yield rule["Next"]
    for catch in state.get("Catch", []):
        yield catch["Next"]


def reachable(start: str) -> set[str]:
    found, left = set(), [start]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(successors(STATES[name]))
    return found


def all_states() -> Iterator[tuple[str, dict[str, Any]]]:
    """The states of the machine and those of its branches."""
    for name, state in STATES.items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from branch["States"].items()


TASKS = [pytest.param(state, id=name) for name, state in all_states() if state["Type"] == "Task"]


def test_every_state_is_reachable_and_exists() -> None:
    assert reachable(DEFINITION["StartAt"]) == set(STATES)


@pytest.mark.parametrize("name", STATES)
def test_every_path_can_end(name: str) -> None:
    assert any(
        STATES[each].get("End") or STATES[each]["Type"] == "Fail" for each in reachable(name)
    )


@pytest.mark.parametrize(
    "name", [name for name, state in STATES.items() if state.get("Catch") and name not in GOES_ON]
)
def test_every_caught_error_ends_in_fail(name: str) -> None:
    for catch in STATES[name]["Catch"]:
        ends = {
            each
            for each in reachable(catch["Next"])
            if STATES[each].get("End") or STATES[each]["Type"] in {"Fail", "Succeed"}
        }
        assert ends == {"Failed"}
    assert STATES["Failed"]["Type"] == "Fail"


def test_a_run_does_not_hang_on_the_notice_that_it_has_begun() -> None:
    for name, following in GOES_ON.items():
        [catch] = STATES[name]["Catch"]
        assert (STATES[name]["Next"], catch["Next"]) == (following, following)
        assert "Assign" not in catch, "what failed here is no failure of the run"
        slowest = STATES[name]["TimeoutSeconds"] * 2  # with its one more attempt
        assert (STATES[name]["Retry"][0]["MaxAttempts"], slowest) == (1, 20)


def ways(start: str, end: str, without: str) -> bool:
    """Tell whether there is a way that leaves a state out."""
    found, left = set(), [start]
    while left:
        name = left.pop()
        if name not in found and name != without:
            found.add(name)
            left.extend(successors(STATES[name]))
    return end in found


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("Plan Change", "Show Plan", "Announce Plan"),
        ("Claim Domain", "Check Host", "Announce Start"),
        ("Claim Domain", "Check Host", "Notify Start"),
        ("Record Outcome", "Done", "Announce Outcome"),
        ("Record Outcome", "Done", "Notify Outcome"),
        ("Announce Finding", "Done", "Notify Finding"),
        ("Announce Finding", "Done", "Move On"),
        ("Begin", "Failed", "Announce Failure"),
        ("Begin", "Failed", "Notify Failure"),
    ],
)
def test_nothing_happens_untold(start: str, end: str, told: str) -> None:
    assert ways(start, end, without="")
    assert not ways(start, end, without=told)


def test_what_is_announced_is_what_people_are_told() -> None:
    """The event and the message come from one notice, under one source, to the account's own bus."""
    announced = [
        state["Arguments"] for state in STATES.values() if "putEvents" in state.get("Resource", "")
    ]
    assert len(announced) == 6
    [entry] = announced[0]["Entries"]
    assert entry == {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": "{% $notice %}"}
    assert all(arguments == announced[0] for arguments in announced)
    told = [state["Arguments"] for state in STATES.values() if "sns" in state.get("Resource", "")]
    assert len(told) == 4
    for arguments in told:
        assert arguments["Subject"] == "{% $notice.subject %}"
        assert arguments["Message"] == "{% $notice.text %}"
        attributes = arguments["MessageAttributes"]
        assert attributes == told[0]["MessageAttributes"]
        assert set(attributes) == {"kind", "domain", "mail_at_risk"}


def test_every_failure_is_caught() -> None:
    """A task of the machine or of a branch: some Catch takes all of its errors."""
    for name, state in STATES.items():
        if state["Type"] in {"Task", "Parallel"}:
            assert [catch["ErrorEquals"] for catch in state["Catch"]] == [["States.ALL"]], name


@pytest.mark.parametrize("state", [pytest.param(s, id=n) for n, s in all_states()])
def test_every_state_says_why_it_is_there(state: dict[str, Any]) -> None:
    assert len(state["Comment"]) > 20


@pytest.mark.parametrize("state", TASKS)
def test_every_task_has_a_timeout_and_retries_what_is_not_its_fault(state: dict[str, Any]) -> None:
    assert state["TimeoutSeconds"] > 0
    assert all(retry["JitterStrategy"] == "FULL" for retry in state["Retry"])
    if "lambda" in state["Resource"]:
        assert {
            "Lambda.ClientExecutionTimeoutException", "Lambda.ServiceException", "Lambda.AWSLambdaException",
            "Lambda.SdkClientException", "Lambda.Unknown", "Sandbox.Timedout", "States.Timeout",
        } == set(state["Retry"][0]["ErrorEquals"])  # fmt: skip
        assert state["Retry"][1]["ErrorEquals"] == BUSY


def test_those_that_ask_route_53_wait_for_their_turn() -> None:
    """Ten requests a second are for all runs of the account; one that is at work goes before a new one."""
    patience = {
        name: (state["Retry"][1]["MaxAttempts"], state["Retry"][1]["MaxDelaySeconds"])
        for name, state in all_states()
        if "FunctionName" in state.get("Arguments", {})
    }
    new = {"Plan Change", "Check Domain"}
    at_work = {"Change Id", "Delete Record", "Await Route 53"}
    assert {name for name, often in patience.items() if often == (50, 300)} == new
    assert {name for name, often in patience.items() if often == (50, 60)} == at_work
    assert {patience[name] for name in set(patience) - new - at_work} == {(8, 60)}


def test_choices_are_questions() -> None:
    assert all(name.endswith("?") for name, state in STATES.items() if state["Type"] == "Choice")
    assert all(state["Type"] == "Choice" for name, state in STATES.items() if name.endswith("?"))


def test_policy_is_proven_before_the_id_changes() -> None:
    """Without `Check Served Policy` there is no way to `Change Id` (RFC 8461 section 8.1)."""
    for needed in (
        "Claim Domain",
        "Check Host",
        "Publish Policy",
        "Purge CDN",
        "Check Served Policy",
    ):
        without = {name: state for name, state in STATES.items() if name != needed}
        found, left = set(), [DEFINITION["StartAt"]]
        while left:
            name = left.pop()
            if name in without and name not in found:
                found.add(name)
                left.extend(successors(without[name]))
        assert "Change Id" not in found, needed


def test_every_variable_is_assigned_at_the_start() -> None:
    """The failure path may be entered from anywhere and names its variables."""
    text = json.dumps(DEFINITION)
    used = set(re.findall(r"\$([a-z_]+)\b(?!\()", text)) - {"states"}
    assert used <= set(STATES["Begin"]["Assign"])
    assert set(STATES["Begin"]["Assign"]) - used == set()


def test_substitutions_are_those_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text()
    block = template.split("DefinitionSubstitutions:")[1].split("Role:")[0]
    given = set(re.findall(r"^ +(\w+): !Ref", block, re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", json.dumps(DEFINITION))) == given
    # Versions, so that a long run keeps its code.
    tasks = [state for _, state in all_states() if "FunctionName" in state.get("Arguments", {})]
    named = {state["Arguments"]["FunctionName"][2:-1] for state in tasks}
    assert set(re.findall(r"^ +(\w+): !Ref \w+\.Version", block, re.MULTILINE)) == named


def test_states_that_write_say_whether_they_were_set_going_again() -> None:
    """A redriven execution goes on in the state that was cut short, without its claim."""
    writing = {"PublishPolicy", "ChangeRecord", "RemovePolicy"}
    told = {
        name
        for name, state in STATES.items()
        if "RedriveCount" in state.get("Arguments", {}).get("Payload", {}).get("redriven", "")
    }
    wanted = {
        name
        for name, state in STATES.items()
        if state["Type"] == "Task"
        and state["Arguments"].get("FunctionName", "")[2:-1] in writing
        and state["Arguments"]["Payload"].get("step", "change") == "change"
    }
    assert told == wanted
    assert len(wanted) == 4
