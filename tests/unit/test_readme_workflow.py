"""The picture of the workflow in the README is the definition."""

import re
from typing import Any

import pytest

from tests.unit.documents import DEFINITION, Picture, picture

FAILURES = "a failure in here goes to Record Failure"


@pytest.fixture(scope="module")
def workflow() -> Picture:
    return picture("The workflow")


def branches(state: dict[str, Any]) -> set[str]:
    return {name for branch in state.get("Branches", []) for name in branch["States"]}


def test_picture_has_every_state_and_no_other(workflow: Picture) -> None:
    states = set(DEFINITION["States"])
    inner = {name for state in DEFINITION["States"].values() for name in branches(state)}
    assert sorted(workflow.titles.values()) == sorted([*states, *inner, FAILURES])


def test_picture_has_every_way_and_no_other(workflow: Picture) -> None:
    ways = {(FAILURES, "Record Failure")}
    for name, state in DEFINITION["States"].items():
        nexts = [state.get("Next"), state.get("Default")]
        nexts += [each["Next"] for each in state.get("Choices", [])]
        nexts += [each["Next"] for each in state.get("Catch", [])]
        # That way is the frame's.
        caught = {each["Next"] for each in state.get("Catch", [])} & {"Record Failure"}
        ways |= {(name, each) for each in nexts if each} - {(name, each) for each in caught}
    assert workflow.titled_arrows() == ways
    assert len(workflow.arrows) == len(ways)


def test_picture_frames_what_can_fail(workflow: Picture) -> None:
    framed = workflow.inside(FAILURES)
    for name, state in DEFINITION["States"].items():
        if any(catch["Next"] == "Record Failure" for catch in state.get("Catch", [])):
            assert name in framed
        elif name in framed:
            assert state["Type"] in {"Choice", "Wait"}, f"{name} does not catch its failures"
        assert workflow.inside(name) == branches(state)


def test_picture_rounds_what_waits(workflow: Picture) -> None:
    waits = {name for name, each in DEFINITION["States"].items() if each["Type"] == "Wait"}
    choices = {name for name, each in DEFINITION["States"].items() if each["Type"] == "Choice"}
    assert set(re.findall(r"\(\[\"(.+?)\"\]\)", workflow.source)) == waits
    assert set(re.findall(r"\{\"(.+?)\"\}", workflow.source)) == choices
