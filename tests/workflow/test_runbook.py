"""The night call, rehearsed: what raises an alarm is brought about, its notice arrives, the page is followed.

Commands are taken out of docs/runbook.md as they stand there. Where the lab cannot bring the condition about,
the test says what the metric would say (`pretend`), under the alarm's own dimensions.
"""

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.lab import Lab
from tests.permissions.deployed import functions
from tests.unit.documents import DOCUMENTS, section
from tests.workflow.alarms import Topic, calm, hastened, pretend, rings, state
from tests.workflow.commands import Block, Shell, blocks
from tests.workflow.life import (
    add_short,
    call,
    item,
    make_due,
    retire,
    started_for,
    until_true,
)
from tests.workflow.life import (
    function as physical,
)
from tests.workflow.scene import POLICY, RECORD, reaches
from tests.workflow.watch import none_policy, served

PAGE = DOCUMENTS["docs/runbook.md"]
LONG_AGO = timedelta(days=3)


class Night:
    """Somebody with the page open: the first block of it was run, the others are for the asking."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._shell = Shell(lab, folder, TMPDIR=str(folder))
        first, *self._looks = blocks(section("First look", PAGE))
        self._shell.run(first.script)

    def about(self, **variables: str) -> "Night":
        """Say whom it is about."""
        self._shell.run("\n".join(f"{name}={shlex.quote(it)}" for name, it in variables.items()))
        return self

    def alarms(self) -> str:
        """What is in alarm."""
        return self._shell.run(self._looks[0].script)

    def check(self) -> str:
        """How the domain stands."""
        return self._shell.run(self._looks[1].script)

    def ledger(self) -> str:
        """What the ledger has of the domain."""
        return self._shell.run(self._looks[2].script)

    def blocks(self, title: str) -> list[Block]:
        """Give the blocks of a part of the page."""
        return blocks(section(title, PAGE))

    def do(self, block: Block | str) -> str:
        """Run a block, or a line of one's own."""
        return self._shell.run(block if isinstance(block, str) else block.script)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of its own: runs of other tests fail, and would ring here."""
    with Lab() as running:
        yield running


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The page, open."""
    return Night(lab, tmp_path_factory.mktemp("night"))


@pytest.fixture(scope="module")
def topic(lab: Lab) -> Topic:
    """What is told to people from here on."""
    return Topic(lab, "runbook")


@contextlib.contextmanager
def forbidden(lab: Lab, resource: str, action: str) -> Iterator[None]:
    """Let a function of the stack not do something, as a careless change of its role would."""
    role = functions(lab)[physical(lab, resource)].rpartition("/")[2]
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    iam = lab.client("iam")
    iam.put_role_policy(
        RoleName=role,
        PolicyName="careless",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="careless")


def explained(error: str) -> str:
    """Return the page's line on an error."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| `{error}` |")]
    return line


def letters(lab: Lab) -> int:
    """Say how many letters there are, whether or not somebody has taken them into a file."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    queue = physical(lab, "Undelivered")
    told = lab.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)
    return sum(int(told["Attributes"][name]) for name in names)


def _lines(printed: str) -> list[str]:
    """Give what functions have written, without what Lambda writes about them."""
    found = re.split(r"[\t\n]", printed)
    return [line for line in found if line.startswith("{") and '"_aws"' not in line]


def test_a_failed_execution(lab: Lab, domain: str, topic: Topic, page: Night) -> None:
    lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=1)
    lab.wrong_bucket(domain)
    calm(lab, "failed-executions")
    failed = lab.run(none_policy(domain, ticket="OPS-77"))
    assert state(lab, "failed-executions") == "OK", "a refusal is told, and nobody's night call"
    end = lab.client("stepfunctions").describe_execution(executionArn=failed.arn)
    detail = {**{name: end.get(name) for name in ("executionArn", "status", "input", "error")},
        "stopDate": int(end["stopDate"].timestamp() * 1000)}  # fmt: skip
    call(
        lab,
        "CloseRun",
        {"detail": detail | {"cause": f"{failed.cause}\n\nThis could be told to nobody: X."}},
    )
    rings(lab, "failed-executions")
    topic.hears("mta-sts-off-failed-executions", "ALARM:", "docs/runbook.md")
    night = page.about(domain=domain, run=failed.arn)
    assert "mta-sts-off-failed-executions" in night.alarms()
    listed, read = night.blocks("Alarm: failed executions")
    assert failed.arn in night.do(listed)
    text = night.do(read)
    assert text.startswith(f"MTA-STS is still on for {domain}")
    error = text.strip().splitlines()[-1]
    assert error == failed.error == "PolicyNotServedError"
    assert "Mend the host first" in explained(error)
    logged = [json.loads(line) for line in _lines(night.do('logged "$domain"'))]
    assert "PolicyNotServedError" in {line.get("error") for line in logged}
    assert {(line.get("execution"), line.get("ticket")) for line in logged} == {
        (failed.arn, "OPS-77")
    }
    verbs = {line["location"].partition(":")[0] for line in logged}
    assert verbs >= {"handler", "wrapped"}, "what functions say, and what they raise"


def test_a_stopped_execution_whose_end_cannot_be_written_down(
    lab: Lab, domain: str, topic: Topic, page: Night
) -> None:
    """A person stops it; the function that releases the domain has lost a right: a dead letter."""
    lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=5)
    first = lab.start(none_policy(domain))
    night = page.about(domain=domain, run=first.arn)
    [stop] = night.blocks("A run that was stopped by hand")
    lab.client("sqs").purge_queue(QueueUrl=physical(lab, "Undelivered"))
    calm(lab, "dead-letters")
    with forbidden(lab, "CloseRun", "dynamodb:GetItem"):
        assert reaches(first, "Wait Out TTL") == "Wait Out TTL"
        night.do(stop)
        rings(lab, "dead-letters", patience=40)
    topic.hears("mta-sts-off-dead-letters", "ALARM:", "docs/runbook.md")
    held = item(lab, domain)["holder"]
    assert held == first.arn
    look, again, take = night.blocks("Alarm: dead letters")
    told = night.do(look)
    assert first.arn in told
    assert "AccessDenied" in told
    night.do(again)
    until_true("the domain is released", lambda: not item(lab, domain).get("holder"), 20)
    topic.hears(domain, "ExecutionStopped")
    night.do(take)
    assert letters(lab) == 0
    assert "ExecutionStopped" in night.ledger()


def test_sweeps_that_fail_work_that_is_overdue_and_what_the_watch_finds_at_last(
    lab: Lab, domain: str, topic: Topic, page: Night
) -> None:
    """The sweep may start nothing any more: nobody sees that somebody has put the old policy back."""
    policy = add_short(lab, domain)
    assert lab.run(retire(domain)).status == "SUCCEEDED"
    lab.account.put_policy(*lab.policy_object(domain), policy)
    lab.policy_hosts.warm(domain)
    make_due(lab, domain, "watch", datetime.now(UTC) - LONG_AGO)
    make_due(lab, domain, "retirement", datetime.now(UTC) + LONG_AGO)
    night = page.about(domain=domain)
    errors = night.blocks("Alarm: sweep errors")
    listed, sweep = night.blocks("Alarm: overdue work")
    calm(lab, "sweep-errors", "overdue-work", "watch-findings")
    with forbidden(lab, "SweepDue", "states:StartExecution"):
        first, told = night.do(errors[0]), night.do(errors[0])
        assert "SweepError" in first
        assert domain in first
        rings(lab, "sweep-errors")
        rings(lab, "overdue-work")
    for name in ("sweep-errors", "overdue-work"):
        topic.hears(f"mta-sts-off-{name}", "ALARM:", "docs/runbook.md")
    reasons = [line for line in told.splitlines() if '"could not start what is due"' in line]
    assert any("AccessDenied" in line and domain in line for line in reasons)
    overdue = [line.split("\t") for line in night.do(listed).splitlines()]
    assert domain in [name for _, name in overdue]
    assert overdue == sorted(overdue), "the oldest first"
    refused, answer, *_ = night.do(sweep).splitlines()
    assert refused == "null"
    assert "started" in answer
    rings(lab, "watch-findings")
    topic.hears("mta-sts-off-watch-findings", "ALARM:", "docs/runbook.md")
    topic.hears(domain, "half changed")
    look, which = night.blocks("Alarm: watch findings")
    assert night.do(look).startswith(f"half changed for {domain}")
    [watch] = started_for(lab, domain, "watch")
    assert watch in night.do(which)
    again = lab.run(retire(domain))
    assert again.status == "SUCCEEDED", again.cause
    assert b"mode: none" in served(lab, domain)
    assert night.check().startswith(f"MTA-STS is off for {domain}")
    [line] = [one for one in night.do(listed).splitlines() if domain in one] or [""]
    assert line > str(datetime.now(UTC)), "nothing of it is late"


def test_sweeps_that_say_nothing(lab: Lab, topic: Topic, page: Night) -> None:
    """The alarm of the template, in periods of seconds: no figure for two of them is silence."""
    with hastened(lab, "silent-sweep", 3) as alarm:
        rings(lab, alarm)
        assert "docs/runbook.md" in topic.hears(f"mta-sts-off-{alarm}", "ALARM")
        [look] = page.blocks("Alarm: silent sweep")
        told = page.do(look)
        assert "ENABLED\trate(5 minutes)" in told
        assert '"started"' in told
        assert state(lab, alarm) == "OK"
        topic.hears(f"mta-sts-off-{alarm}", "OK:")


def test_what_the_lab_cannot_bring_about(lab: Lab, topic: Topic, page: Night) -> None:
    """Its alarms ring at what the metric says, and what the page has one look at can be looked at."""
    for name, periods, printed in (
        ("timed-out-executions", 1, r"(None)?"),
        ("throttled-executions", 3, r"\d+"),
        ("throttled-functions", 3, r"\d+\t\d+"),
        ("api-errors", 3, r"(.|\n)*"),
    ):
        assert state(lab, name) == "OK"
        if periods > 1:
            pretend(lab, name, 1, times=periods - 1)
            assert state(lab, name) == "OK", "one of them is nothing that a person has to mend"
        pretend(lab, name, 1, times=periods)
        rings(lab, name)
        assert "docs/runbook.md" in topic.hears(f"mta-sts-off-{name}", "ALARM")
        [look] = page.blocks(f"Alarm: {name.replace('-', ' ')}")
        assert re.fullmatch(printed, page.do(look).strip()), name
