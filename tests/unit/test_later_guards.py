"""What change-id looks at and carries on, and a sweep that one domain cannot stop."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mta_sts import wiring
from mta_sts.instants import stamp
from mta_sts.plan import Plan
from tests.unit.plans import LONG_AGO, NONE, findings, plan, stored
from tests.unit.test_functions import handled
from tests.unit.test_restoring import ELSEWHERE, mx_of


def changed(**found: Any) -> Plan:
    return plan(findings(**found), method="change-id")


def test_an_enforced_policy_that_no_live_host_satisfies_is_not_announced_in_silence() -> None:
    """It is what was asked for, so it is done; but nobody may read that mail is not at risk."""
    made = changed(live_mx=ELSEWHERE)
    assert made.restored["matched"] == []
    assert any("would deliver to nobody" in told for told in made.warnings)
    fine = changed(live_mx=mx_of("mail.solarmora.com"))
    assert fine.restored["matched"] == ["mail.solarmora.com"]
    assert not any("would deliver to nobody" in told for told in fine.warnings)


def test_a_none_policy_asks_nothing_of_the_hosts() -> None:
    assert changed(policy=stored(NONE), live_mx=ELSEWHERE).restored == {}


@pytest.mark.parametrize(("phase", "longest"), [("draining", 604_800), ("on", None)])
def test_what_was_vouched_for_when_a_drain_began_counts_on(phase: str, longest: int | None) -> None:
    vouched = {"longest_max_age": 604_800, "ids_changed_since": None}
    item = {"phase": phase, "attested": vouched}
    assert changed(policy=stored(NONE), remembered=item).longest_max_age == longest


class Agenda:
    """Two domains have something due; the item of the first cannot be read."""

    def domains(self, **_until: Any) -> Iterator[str]:
        yield from ("broken.example", "fine.example")

    def item(self, domain: str) -> dict[str, Any]:
        if domain == "broken.example":
            raise RuntimeError("no such luck")
        due = {"watch": {"at": stamp(LONG_AGO), "request": {"method": "check"}}}
        return {"domain": domain, "generation": 1, "due": due}

    def count(self) -> int:
        return 2


class Executions:
    """Remembers whom it was asked to start."""

    class exceptions:  # noqa: N801 - boto3's spelling
        class ExecutionAlreadyExists(Exception):  # noqa: N818 - the same
            pass

    def __init__(self) -> None:
        self.started: list[str] = []

    def start_execution(self, *, name: str, **_what: str) -> None:
        self.started.append(name)


def test_a_domain_that_cannot_be_dealt_with_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    executions = Executions()
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:1:stateMachine:m")
    for name, part in (("agenda", Agenda()), ("ledger", object()), ("executions", executions)):
        monkeypatch.setattr(wiring, name, lambda part=part: part)
    with pytest.raises(Exception, match=r"could not be started for broken\.example\.") as caught:
        handled("sweep_due", {})
    assert type(caught.value).__name__ == "SweepError", "so that it is seen"
    assert [name.startswith("watch-fine-example-") for name in executions.started] == [True]
    told = [line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert len(told) == 1, "a sweep that fails tells its figures as well"
    figures = json.loads(told[0])
    assert (figures["DrainsPending"], figures["SweepFailures"]) == ([2], [1])
    since = (datetime.now(UTC) - LONG_AGO).total_seconds()
    assert since - 60 < figures["OldestOverdueSeconds"][0] <= since


class Crowd(Agenda):
    """Many domains have a look due."""

    def __init__(self, many: int) -> None:
        self.names = [f"fine-{number}.example" for number in range(many)]

    def domains(self, **_until: Any) -> Iterator[str]:
        yield from self.names


def test_a_sweep_starts_no_more_than_route_53_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is there the next time, the earliest first."""
    crowd, executions = Crowd(250), Executions()
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:eu-west-1:1:stateMachine:m")
    for name, part in (("agenda", crowd), ("ledger", object()), ("executions", executions)):
        monkeypatch.setattr(wiring, name, lambda part=part: part)
    for started, left in ((100, 150), (100, 50), (50, 0)):
        told = handled("sweep_due", {})
        assert (len(told["started"]), told["left"]) == (started, left)
        crowd.names = crowd.names[started:]  # which are at work, or have moved on
    assert len(set(executions.started)) == 250
