"""Expressions of the real definition, evaluated where it runs: what a run remembers of its checks."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.emulator import Emulator
from local.runs import Run

ROOT = Path(__file__).parents[2]
STATES = json.loads((ROOT / "statemachine/disable.asl.json").read_text())["States"]
REMEMBER = STATES["Wait To Confirm"]["Assign"]
ROLE = "arn:aws:iam::000000000000:role/any"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}

RESOLVERS = {"ready": False, "laggards": [{"server": "resolver"}]}
NAME_SERVER = {"ready": False, "laggards": [{"server": "resolver"}, {"server": "ns-1.example"}]}
UNASKED: dict[str, Any] = {"ready": False, "laggards": []}
READY: dict[str, Any] = {"ready": True, "laggards": []}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    running = Emulator(tmp_path_factory.mktemp("emulator"))
    running.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps(TRUST))
    yield running
    running.close()


def remembered(emulator: Emulator, name: str, looks: Sequence[dict[str, Any]]) -> Any:
    """Go through the looks as `Confirm` and `Wait To Confirm` do; return what is left of them."""
    states: dict[str, Any] = {
        "Begin": {"Type": "Pass", "Assign": {"contradicted": None}, "Next": "Look 0"}
    }
    for number, look in enumerate(looks):
        states[f"Look {number}"] = {
            "Type": "Pass",
            "Output": [look, READY],
            "Next": f"Remember {number}",
        }
        states[f"Remember {number}"] = {
            "Type": "Pass",
            "Assign": REMEMBER,
            "Next": f"Look {number + 1}",
        }
    states[f"Look {len(looks)}"] = {
        "Type": "Pass",
        "Output": "{% {'kept': $contradicted} %}",
        "End": True,
    }
    machines = emulator.client("stepfunctions")
    machine = machines.create_state_machine(
        name=name,
        definition=json.dumps({"QueryLanguage": "JSONata", "StartAt": "Begin", "States": states}),
        roleArn=ROLE,
    )["stateMachineArn"]
    run = Run.start(machines, machine, {}).wait(30)
    return run.output["kept"]


@pytest.mark.parametrize(
    ("name", "looks", "kept"),
    [
        ("never", [READY, READY], None),
        ("resolvers", [RESOLVERS, READY], RESOLVERS),
        ("name-server", [NAME_SERVER, READY], NAME_SERVER),
        ("name-server-first", [NAME_SERVER, RESOLVERS, UNASKED, READY], NAME_SERVER),
        ("name-server-last", [RESOLVERS, NAME_SERVER], NAME_SERVER),
        ("unasked", [RESOLVERS, UNASKED], UNASKED),
    ],
)
def test_a_name_server_that_fell_back_is_not_forgotten_for_a_resolver(
    emulator: Emulator, name: str, looks: list[dict[str, Any]], kept: dict[str, Any] | None
) -> None:
    """It may have handed the old record out again, whoever contradicts after it."""
    assert remembered(emulator, name, looks) == kept
