"""The intake on the lab's real table: one run for each key, whatever dies, repeats or races."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from local.lab import Lab
from mta_sts.adapters.deliveries import Deliveries
from mta_sts.intake import Ask, Delivery, Intake, KeyReusedError
from tests.adapters.ledgers import claim, ledger

MACHINE = "arn:aws:states:eu-west-1:1:stateMachine:disable"
NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
LONG_AFTER = NOW + timedelta(days=400)


class AlreadyThereError(Exception):
    """What Step Functions says of a name that it knows."""


class FakeExecutions:
    """Step Functions as far as a start goes: a name is started once, while it is remembered."""

    class exceptions:  # noqa: N801 - boto3's spelling
        """What the client can raise."""

        ExecutionAlreadyExists = AlreadyThereError

    def __init__(self) -> None:
        self.started: list[tuple[str, Any]] = []
        self.before: Callable[[], None] = lambda: None

    def start_execution(self, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803
        assert stateMachineArn == MACHINE
        self.before()
        if name in [known for known, _ in self.started]:
            raise AlreadyThereError
        self.started.append((name, json.loads(input)))


def deliveries(lab: Lab) -> Deliveries:
    return Deliveries(lab.client("dynamodb"), lab.stack_outputs["DeliveriesTableName"])


def intake(lab: Lab, executions: FakeExecutions, **ended: datetime | None) -> Intake:
    return Intake(deliveries(lab), ledger(lab, **ended), cast("Any", executions), MACHINE)


def ask(domain: str, *keys: str, **event: object) -> Ask:
    return Ask("api", domain, {"domain": domain, "method": "none-policy", **event}, keys)


def test_a_key_is_one_run_also_long_after(lab: Lab) -> None:
    executions = FakeExecutions()
    door = intake(lab, executions)
    first = door.start(ask("one-run.example", "api:a"), NOW)
    again = door.start(ask("one-run.example", "api:a"), NOW)
    executions.started.clear()  # Step Functions has forgotten it
    door.start(ask("one-run.example", "api:a"), NOW + timedelta(days=79))
    assert executions.started == []
    later = door.start(ask("one-run.example", "api:a"), LONG_AFTER)
    assert (first.again, again.again, later.again) == (False, True, True)
    assert first.run == again.run == later.run
    assert first.execution == f"arn:aws:states:eu-west-1:1:execution:disable:{first.run}"
    assert executions.started == []


def test_the_run_gets_what_was_asked_for(lab: Lab) -> None:
    executions = FakeExecutions()
    taken = intake(lab, executions).start(ask("input.example", "api:a", reason="ä"), NOW)
    event = {"domain": "input.example", "method": "none-policy", "reason": "ä"}
    assert executions.started == [(taken.run, event)]
    assert taken.run.startswith("api-input-example-")
    assert len(taken.run) <= 80


def test_another_request_under_a_key_is_refused(lab: Lab) -> None:
    executions = FakeExecutions()
    door = intake(lab, executions)
    first = door.start(ask("other.example", "api:a"), NOW)
    other = ask("other.example", "api:a", keep_mx=True)
    with pytest.raises(KeyReusedError, match=first.run):
        door.start(other, NOW)
    with pytest.raises(KeyReusedError):
        door.known(other)
    assert len(executions.started) == 1


def test_keys_of_two_domains_are_two(lab: Lab) -> None:
    door = intake(lab, FakeExecutions())
    runs = {door.start(ask(f"{name}.example", "api:same"), NOW).run for name in ("left", "right")}
    assert len(runs) == 2


def test_without_a_key_every_call_is_a_run(lab: Lab) -> None:
    executions = FakeExecutions()
    door = intake(lab, executions)
    runs = {door.start(ask("keyless.example"), NOW).run for _ in range(2)}
    assert len(runs) == len(executions.started) == 2


@pytest.mark.parametrize("died", ["before the start", "after the start"])
def test_who_died_is_repeated_once(lab: Lab, died: str) -> None:
    domain = f"died-{died[:6].strip()}.example"
    executions = FakeExecutions()
    door, asked = intake(lab, executions), ask(domain, "api:a")
    delivery = Delivery("api-died", asked.digest, json.dumps(dict(asked.event)), NOW)
    assert deliveries(lab).reserve(domain, asked.keys, delivery)
    if died == "after the start":
        executions.start_execution(MACHINE, "api-died", delivery.input)
    taken = door.start(asked, NOW + timedelta(minutes=5))
    assert (taken.run, taken.again) == ("api-died", True)
    assert [name for name, _ in executions.started] == ["api-died"]
    executions.started.clear()
    door.start(asked, LONG_AFTER)
    assert executions.started == [], "it is on record that it was started"


def test_nobody_starts_what_may_have_run_and_been_forgotten(lab: Lab) -> None:
    executions = FakeExecutions()
    asked = ask("forgotten.example", "api:a")
    delivery = Delivery("api-forgotten", asked.digest, json.dumps(dict(asked.event)), NOW)
    deliveries(lab).reserve("forgotten.example", asked.keys, delivery)
    with pytest.raises(KeyReusedError, match="cannot be told any more"):
        intake(lab, executions).start(asked, NOW + timedelta(days=81))
    assert executions.started == []


def test_two_at_once_are_one_run(lab: Lab) -> None:
    """The second delivery comes while the first has reserved its run and not started it yet."""
    executions = FakeExecutions()
    door, asked = intake(lab, executions), ask("race.example", "api:a")
    second: list[Any] = []

    def come_between() -> None:
        executions.before = lambda: None
        second.append(door.start(asked, NOW))

    executions.before = come_between
    first = door.start(asked, NOW)
    assert first.run == second[0].run
    assert len(executions.started) == 1


def test_who_loses_the_race_for_a_key_starts_nothing_of_its_own(lab: Lab) -> None:
    asked = ask("lost.example", "api:a")
    mine, other = (
        Delivery(run, asked.digest, json.dumps(dict(asked.event)), NOW) for run in ("mine", "other")
    )
    assert deliveries(lab).reserve("lost.example", asked.keys, other)
    assert not deliveries(lab).reserve("lost.example", asked.keys, mine)
    found = deliveries(lab).find("lost.example", asked.keys)
    assert found is not None
    assert found.run == "other"


def test_any_of_several_keys_is_the_same_delivery(lab: Lab) -> None:
    door = intake(lab, FakeExecutions())
    first = door.start(ask("several.example", "hook:body", "hook:id"), NOW)
    assert door.start(ask("several.example", "hook:other", "hook:id"), NOW).run == first.run
    # The key that came with the repetition stands for nothing: only what is new reserves.
    assert deliveries(lab).find("several.example", ["hook:other"]) is None


def test_a_domain_that_is_none_is_no_obstacle(lab: Lab) -> None:
    executions = FakeExecutions()
    door = intake(lab, executions)
    for odd in ("", "<script>" * 100, "ü" * 300):
        assert door.start(ask(odd, "event:a"), NOW).again is False
        assert door.start(ask(odd, "event:a"), NOW).again is True
    assert len(executions.started) == 3
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name, _ in executions.started
    )


def test_who_holds_a_domain_is_named_until_it_has_ended(lab: Lab) -> None:
    ledger(lab).claim(claim("held.example"), NOW)
    executions = FakeExecutions()
    holder = intake(lab, executions, me=None).busy("held.example", NOW)
    assert holder is not None
    assert holder.run == "me"
    assert intake(lab, executions, me=NOW).busy("held.example", LONG_AFTER) is None
    assert intake(lab, executions).busy("free.example", NOW) is None
