"""Events and schedules as doors: each starts one run, however often it is delivered; what fails is kept.

The files under `events/eventbridge` and `events/schedules` go through the bus and the scheduler. In a lab
the rule is off, as in a stack as it ships: here it is switched on for as long as these tests last.
"""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.emulator import ACCOUNT
from local.lab import Lab
from local.runs import Run
from mta_sts.due import DAY
from mta_sts.instants import stamp
from mta_sts.starting import OLDEST as HOUR
from tests.permissions.deployed import resources, rules, schedules
from tests.workflow.life import add_short, due, function, item, retire, run, until_true
from tests.workflow.scene import POLICY, RECORD
from tests.workflow.watch import snapshot

FOLDER = Path(__file__).parents[2] / "events"
SOURCE, KIND = "example.change-management", "MTA-STS Off Request"
ARN = f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/nightly"
NOW = stamp(datetime.now(UTC))


@pytest.fixture(scope="module")
def door(lab: Lab) -> Iterator[Lab]:
    """The lab with its rule on."""
    (rule,) = [
        name.rpartition("|")[2]
        for logical, name in resources(lab, "AWS::Events::Rule").items()
        if logical == "RequestedRun"
    ]
    events = lab.client("events")
    assert events.describe_rule(Name=rule)["State"] == "DISABLED"
    events.enable_rule(Name=rule)
    yield lab
    events.disable_rule(Name=rule)


def add(lab: Lab, domain: str) -> str:
    lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=1)
    return domain


def event(request: object, named: str = "") -> dict[str, Any]:
    """An event as the rule delivers it."""
    return {
        "version": "0",
        "id": named or str(uuid.uuid4()),
        "detail-type": KIND,
        "source": SOURCE,
        "account": ACCOUNT,
        "time": stamp(datetime.now(UTC)),
        "detail": request,
    }


def scheduled(**sent: object) -> dict[str, Any]:
    """What a schedule sends, its attributes filled in."""
    return {"schedule": ARN, "at": NOW, **sent}


def put(lab: Lab, *entries: dict[str, Any]) -> None:
    """Put events on the bus."""
    lab.refresh()
    answer = lab.client("events").put_events(Entries=list(entries))
    assert answer["FailedEntryCount"] == 0, answer


def runs(lab: Lab, domain: str) -> list[Run]:
    """The executions that came through these doors for a domain."""
    found = lab.client("stepfunctions").list_executions(
        stateMachineArn=lab.stack_outputs["StateMachineArn"], maxResults=1000
    )["executions"]
    shown = domain.replace(".", "-")[:32]
    begins = (f"event-{shown}-", f"schedule-{shown}-")
    return [run(lab, one["name"]) for one in found if one["name"].startswith(begins)]


def arrived(lab: Lab, domain: str) -> Run:
    """The one run that a delivery has started."""
    until_true(f"a run for {domain}", lambda: runs(lab, domain))
    (found,) = runs(lab, domain)
    return found.wait()


def called(lab: Lab, sent: object) -> dict[str, Any]:
    """What the function answers; its error where it raised one."""
    lab.refresh()
    answer = lab.client("lambda").invoke(
        FunctionName=function(lab, "StartRun"), Payload=json.dumps(sent)
    )
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    return told


def letters(lab: Lab, words: str) -> list[dict[str, Any]]:
    """The dead letters that say something; each is taken out of the queue. Those of others stay."""
    sqs = lab.client("sqs")
    name = lab.stack_outputs["UndeliveredArn"].rpartition(":")[2]
    queue, found = sqs.get_queue_url(QueueName=name)["QueueUrl"], []
    # What has been looked at is out of sight for a second, so that there is an end.
    asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 1}
    while messages := sqs.receive_message(**asked).get("Messages", []):
        for one in messages:
            if words in one["Body"]:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
                found.append(json.loads(one["Body"]))
    return found


def dead_letter(lab: Lab, words: str) -> dict[str, Any]:
    """The dead letter that says something, once Lambda has given up."""
    (found, *_) = until_true(f"a dead letter with {words}", lambda: letters(lab, words), 20)
    letter: dict[str, Any] = found
    return letter


# --- the files, through their doors


def test_events_that_are_shipped_start_runs(door: Lab) -> None:
    """And those that ask for what cannot be are refused by the workflow, which tells people."""
    add(door, "asked.example")
    good = json.loads((FOLDER / "eventbridge/request.json").read_text())
    bad = {file.stem: file.read_text() for file in (FOLDER / "eventbridge/bad").glob("*.json")}
    put(door, *good, *(json.loads(text)[0] for text in bad.values()))
    refused = {
        "due": ("early.example", "due is what the schedule adds to its own runs"),
        "unknown-method": ("unknown-method.example", "it is 'switch-off'"),
        "key-that-is-none": ("key-that-is-none.example", "unknown field 'key'"),
    }
    assert set(refused) == set(bad)
    for domain, words in refused.values():
        ended = arrived(door, domain)
        assert (ended.status, ended.error) == ("FAILED", "InvalidRequestError"), ended.cause
        assert words in (ended.cause or "")
        assert "Notify Failure" in ended.states
    done = arrived(door, "asked.example")
    assert done.status == "SUCCEEDED", done.cause
    put(door, *good)  # another event, with the same key
    assert called(door, event({**json.loads(good[0]["Detail"])}))["again"] == 1
    assert len(runs(door, "asked.example")) == 1


def test_schedules_that_are_shipped_start_runs(lab: Lab) -> None:
    """As one-time schedules, which the scheduler delivers within some seconds; the same file twice."""
    files = {
        file.relative_to(FOLDER / "schedules").with_suffix("").as_posix(): file.read_text()
        for file in (FOLDER / "schedules").rglob("*.json")
    }
    started = ["once.example", "daily.example", *(f"many-{n}.example" for n in (1, 2, 3))]
    for domain in started:
        add(lab, domain)
    refused = {
        "bad/nothing-filled-in": "schedule-arn",
        "bad/request-alone": "neither detail-type nor schedule",
        "bad/one-of-many": "each of requests has to be",
    }
    assert {name for name in files if name.startswith("bad/")} == set(refused)
    soon = (datetime.now(UTC) + timedelta(seconds=1)).strftime("at(%Y-%m-%dT%H:%M:%S)")
    for name, text in files.items():
        lab.client("scheduler").create_schedule(
            Name=name.replace("/", "-"),
            ScheduleExpression=soon,
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": lab.stack_outputs["StartRunArn"],
                "RoleArn": lab.stack_outputs["RunScheduleRoleArn"],
                "DeadLetterConfig": {"Arn": lab.stack_outputs["UndeliveredArn"]},
                "Input": text,
            },
        )
    for domain in started:
        ended = arrived(lab, domain)
        assert ended.status == "SUCCEEDED", ended.cause
    for words in refused.values():
        letter = dead_letter(lab, words)
        assert letter["responsePayload"]["errorType"] == "EnvelopeError"
    assert runs(lab, "never.example") == runs(lab, "one-of-many.example") == []


# --- twice is as once


def test_the_same_event_twice_is_one_run_also_long_after_it_ended(lab: Lab, domain: str) -> None:
    sent = event({"domain": add(lab, domain), "method": "none-policy", "dry_run": True})
    first = called(lab, sent)
    assert first["again"] == 0
    assert called(lab, sent) == {**first, "again": 1}
    ended = arrived(lab, domain)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.arn.endswith(first["runs"][0])
    assert called(lab, sent) == {**first, "again": 1}
    other = event({"domain": domain, "method": "check"})
    assert called(lab, other)["runs"] != first["runs"], "another event is another run"


def test_another_request_under_a_used_key_starts_nothing_and_is_kept(
    door: Lab, domain: str
) -> None:
    asked = {"domain": add(door, domain), "method": "check", "key": "CHG-1"}
    for _ in range(2):
        put(door, {"Source": SOURCE, "DetailType": KIND, "Detail": json.dumps(asked)})
    assert arrived(door, domain).status == "SUCCEEDED"
    before = snapshot(door, domain)
    other = {**asked, "method": "none-policy"}
    put(door, {"Source": SOURCE, "DetailType": KIND, "Detail": json.dumps(other)})
    letter = dead_letter(door, domain)
    assert letter["requestPayload"]["detail"] == other
    assert letter["responsePayload"]["errorType"] == "StartError"
    assert "KeyReusedError" in letter["responsePayload"]["errorMessage"]
    assert len(runs(door, domain)) == 1
    assert before.changed() == "nothing"


def test_a_schedules_second_delivery_is_the_same_run_and_its_next_time_another(
    lab: Lab, domain: str
) -> None:
    request = {"domain": add(lab, domain), "method": "check"}
    first = called(lab, scheduled(request=request))
    assert called(lab, scheduled(request=request)) == {**first, "again": 1}
    assert arrived(lab, domain).status == "SUCCEEDED"
    assert called(lab, scheduled(requests=[request])) == {**first, "again": 1}
    next_time = called(lab, scheduled(request=request, at=stamp(datetime.now(UTC) + DAY)))
    assert (next_time["again"], len(runs(lab, domain))) == (0, 2)
    late = called(lab, scheduled(request=request, at=stamp(datetime.now(UTC) - 2 * HOUR)))
    assert "LateError" in late["errorMessage"]
    assert len(runs(lab, domain)) == 2


# --- what is not to be started


def test_nobody_outside_ends_a_retirement_early(lab: Lab, domain: str) -> None:
    """By an event that looks as though the sweep had started it, with all that the ledger says."""
    add_short(lab, domain)
    off = lab.run(retire(domain))
    assert off.status == "SUCCEEDED", off.cause
    entry = item(lab, domain)["due"]["retirement"]
    generation = item(lab, domain)["generation"]
    claimed = {"kind": "retirement", "generation": generation, "at": entry["at"]}
    until_true("it is due", lambda: datetime.now(UTC) >= due(lab, domain, "retirement"))
    before = snapshot(lab, domain)
    request = {**entry["request"], "domain": domain, "due": claimed}
    called(lab, event(request))
    ended = arrived(lab, domain)
    assert (ended.status, ended.error) == ("FAILED", "InvalidRequestError"), ended.cause
    assert before.changed() == "nothing"
    assert item(lab, domain)["due"]["retirement"] == entry


@pytest.mark.parametrize(
    "entry",
    [
        {"Source": "mta-sts-off", "DetailType": KIND},
        {"Source": SOURCE, "DetailType": "MTA-STS Off Notice"},
    ],
    ids=["from-itself", "a-notice"],
)
def test_what_the_rule_is_not_for_reaches_nothing(
    door: Lab, domain: str, entry: dict[str, str]
) -> None:
    """The rule is tried by the service that has it; and the function itself refuses such an event."""
    detail = {"domain": domain, "method": "check"}
    sent = {**event(detail), "source": entry["Source"], "detail-type": entry["DetailType"]}
    (rule,) = [
        door.client("events").describe_rule(Name=name.rpartition("|")[2])
        for logical, name in resources(door, "AWS::Events::Rule").items()
        if logical == "RequestedRun"
    ]
    asked = {"EventPattern": rule["EventPattern"], "time": "2026-12-01T02:00:00Z"}
    more = {"resources": [], "region": "us-east-1", "time": asked.pop("time")}

    def matches(**changed: object) -> bool:
        whole = json.dumps({**event(detail), **more, **changed})
        answer = door.client("events").test_event_pattern(Event=whole, **asked)
        return bool(answer["Result"])

    assert matches()
    assert not matches(source=entry["Source"], **{"detail-type": entry["DetailType"]})
    assert not matches(account="111122223333")
    assert called(door, sent)["errorType"] == "EnvelopeError"
    assert runs(door, domain) == []


def test_whatever_cannot_be_delivered_is_kept(lab: Lab) -> None:
    """By each rule and schedule, and by the functions that they call; but the sweep, which comes again."""
    queue = lab.stack_outputs["UndeliveredArn"]
    targets = [one["Target"] for one in schedules(lab)] + [target for _, target in rules(lab)]
    assert len(targets) >= 5
    assert {target["DeadLetterConfig"]["Arn"] for target in targets} == {queue}
    called_by_them = {one["Arn"] for one in targets if one["Arn"].split(":")[2] == "lambda"}
    assert len(called_by_them) == 3
    for arn in called_by_them:
        config = lab.client("lambda").get_function_event_invoke_config(
            FunctionName=arn, Qualifier="$LATEST"
        )
        kept = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        again = config["MaximumRetryAttempts"]
        assert (kept, again) in {(queue, 2), (None, 0)}, arn
        assert kept == queue or function(lab, "SweepDue") in arn
