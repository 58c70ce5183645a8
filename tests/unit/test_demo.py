"""The demo as a whole: only a domain that is off, and that senders find off, ends in 0."""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from local import demo
from local.report import Delivered
from local.screen import Screen
from local.world.senders import (
    ConformingSender,
    HttpsRenewingSender,
    IdIgnoringSender,
    Network,
)
from tests.unit.demo_cases import CAUSE, DELETION, LAGGING, LOOP, NOW, OUTPUT, PLAN, line_with


class FakeRun:
    """An execution that has ended."""

    arn = "arn:aws:states:us-east-1:000000000000:execution:made:up"

    def __init__(self, status: str, output: Any, events: Sequence[Mapping[str, Any]] = ()) -> None:
        self.status, self.output, self.history = status, output, events
        self.error = None if status == "SUCCEEDED" else "PropagationTimeoutError"
        self.cause = None if status == "SUCCEEDED" else CAUSE


class FakeLab:
    """As much of a lab as the demo uses; `faults` are those that were asked for."""

    stack_outputs: Mapping[str, str] = {"StateMachineArn": "arn"}
    planned = FakeRun("SUCCEEDED", PLAN)

    def __init__(self, run: FakeRun) -> None:
        self._run = run
        self.faults: list[tuple[Any, ...]] = []

    def __call__(self, *, parameters: Mapping[str, str]) -> "FakeLab":
        self.parameters = parameters
        return self

    def __enter__(self) -> "FakeLab":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def client(self, service: str) -> "FakeLab":
        assert service == "stepfunctions"
        return self

    def describe_state_machine(self, **_: str) -> dict[str, str]:
        return {"definition": json.dumps({"States": {"Wait Out TTL": {"Comment": "Until gone."}}})}

    def add_domain(self, domain: str, **_: Any) -> None:
        pass

    def run(self, event: Mapping[str, Any], timeout: float) -> FakeRun:
        assert event["dry_run"]
        assert timeout <= 120
        return self.planned

    def start(self, event: Mapping[str, Any]) -> FakeRun:
        assert "dry_run" not in event
        self.event = event
        return self._run

    def lag(self, *arguments: Any) -> None:
        self.faults.append(arguments)


# A policy of seven days that was fetched before the run, and one that no answer accounts for.
SOON, LONGER = NOW + timedelta(days=6), NOW + timedelta(days=400)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the senders that refuse mail to the new MX; others deliver."""
    names: set[str] = set()
    network = Network(("127.0.0.1", 0), 0, "")
    people = [
        ("follows", ConformingSender(network)),
        ("renews", HttpsRenewingSender(network)),
        ("ignores", IdIgnoringSender(network)),
        ("ignores for too long", IdIgnoringSender(network)),
    ]

    def deliveries(people: Sequence[tuple[str, object]]) -> list[Delivered]:
        return [
            Delivered(
                name,
                {demo.NEW_MX: "refused" if name in names else "delivered"},
                "",
                (LONGER if "too long" in name else SOON) if name in names else None,
            )
            for name, _ in people
        ]

    monkeypatch.setattr(demo, "_senders", lambda _lab: people)
    monkeypatch.setattr(demo, "_newcomer", lambda _lab: ConformingSender(network))
    monkeypatch.setattr(demo, "_deliveries", deliveries)
    return names


def test_a_confirmed_run_ends_in_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusing: set[str]
) -> None:
    refusing.add("ignores")  # which may be, until its policy has run out
    monkeypatch.setattr(demo, "Lab", FakeLab(FakeRun("SUCCEEDED", OUTPUT, LOOP)))
    assert demo.main([]) == 0
    text = capsys.readouterr().out
    assert "Wait Out TTL until 04:05:06Z" in text
    assert "Until gone." in text
    assert "MTA-STS is off and confirmed." in text


def test_after_a_deletion_senders_may_refuse_for_as_long_as_was_said(
    monkeypatch: pytest.MonkeyPatch, refusing: set[str]
) -> None:
    refusing |= {"follows", "renews", "ignores"}
    monkeypatch.setattr(demo, "Lab", FakeLab(FakeRun("SUCCEEDED", DELETION, LOOP)))
    assert demo.main(["--method", "delete-record"]) == 0


def test_what_is_asked_for_is_sent(monkeypatch: pytest.MonkeyPatch, refusing: set[str]) -> None:
    lab = FakeLab(FakeRun("SUCCEEDED", DELETION, LOOP))
    monkeypatch.setattr(demo, "Lab", lab)
    demo.main(["--method", "delete-record", "--publish-none"])
    assert lab.event["method"] == "delete-record"
    assert lab.event["publish_none"] is True
    assert lab.event["longest_max_age"] == 604800
    demo.main([])
    assert lab.event.keys() == {"domain", "method", "new_mx"}
    with pytest.raises(SystemExit):
        demo.main(["--publish-none"])


def test_it_draws_on_a_terminal_as_well(
    refusing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "Lab", FakeLab(FakeRun("SUCCEEDED", OUTPUT, LOOP)))
    screen = Screen(io.StringIO(), plain=False, width=100)
    event = {"domain": "solarmora.com", "method": "none-policy"}
    assert demo.show(screen, event, None) == 0


@pytest.mark.parametrize(
    ("run", "refuses"),
    [
        (FakeRun("FAILED", None, LOOP), set()),
        (FakeRun("ABORTED", None, LOOP), set()),
        (FakeRun("SUCCEEDED", OUTPUT | {"state": "half changed"}), set()),
        # The run says off, a sender knows better.
        (FakeRun("SUCCEEDED", OUTPUT), {"follows"}),
        (FakeRun("SUCCEEDED", OUTPUT), {"ignores for too long"}),
        (FakeRun("SUCCEEDED", OUTPUT), {demo.ANEW}),
        (FakeRun("SUCCEEDED", DELETION), {demo.ANEW}),
        (FakeRun("SUCCEEDED", DELETION), {"ignores for too long"}),
    ],
)
def test_anything_but_off_ends_in_1(
    monkeypatch: pytest.MonkeyPatch, refusing: set[str], run: FakeRun, refuses: set[str]
) -> None:
    refusing |= refuses
    monkeypatch.setattr(demo, "Lab", FakeLab(run))
    assert demo.main([]) == 1


def test_a_fault_is_made_and_its_culprit_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusing: set[str]
) -> None:
    lab = FakeLab(FakeRun("FAILED", None, LOOP[:2]))
    monkeypatch.setattr(demo, "Lab", lab)
    assert demo.main(["--fault", "lagging-server"]) == 1
    text = capsys.readouterr().out
    assert lab.faults == [("solarmora.com", 1)]
    assert lab.parameters == {"DeadlineSeconds": "12"}
    assert "✗" in line_with(text, "ns-2.example", "127.0.0.2", f"{LAGGING['found']} expected")
    for each in filter(None, CAUSE.splitlines()):
        assert each in text


def test_a_plan_that_is_refused_ends_in_1_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusing: set[str]
) -> None:
    lab = FakeLab(FakeRun("SUCCEEDED", OUTPUT))
    lab.planned = FakeRun("FAILED", None)
    monkeypatch.setattr(demo, "Lab", lab)
    assert demo.main([]) == 1
    assert CAUSE.splitlines()[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError("no port\nis free"), 2, "The lab failed: OSError: no port is free\n"),
        (KeyboardInterrupt(), 130, "\nStopped; nothing is left of the lab.\n"),
    ],
)
def test_a_lab_that_breaks_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    told: str,
) -> None:
    def broken(**_: Any) -> None:
        raise error

    monkeypatch.setattr(demo, "Lab", broken)
    assert demo.main([]) == status
    assert capsys.readouterr().err == told
