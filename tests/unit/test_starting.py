"""Events and schedules as they are delivered: which runs they ask for, under which keys."""

import importlib.util
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts import wiring
from mta_sts.errors import InvalidRequestError
from mta_sts.instants import stamp
from mta_sts.intake import Ask, KeyReusedError, Taken
from mta_sts.request import Request
from mta_sts.starting import MOST, OLDEST, EnvelopeError, asks, sent_at
from tests.unit.documents import ROOT

ARN = "arn:aws:scheduler:eu-west-1:1:schedule/default/nightly"
AT = stamp(datetime.now(UTC))
REQUEST = {"domain": "solarmora.example", "method": "check"}
DUE = {"kind": "retirement", "generation": 1, "at": "2026-12-04T05:00:00Z"}


def event(**changed: object) -> dict[str, Any]:
    """An event as EventBridge delivers it."""
    sent = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "MTA-STS Off Request",
        "source": "example.change-management",
        "account": "1",
        "time": AT,
        "detail": REQUEST,
    }
    return {**sent, **changed}


def scheduled(**changed: object) -> dict[str, Any]:
    return {"schedule": ARN, "at": AT, **(changed or {"request": REQUEST})}


# --- events


def test_an_event_is_known_by_its_id() -> None:
    key = "event:17793124-05d4-b198-2fde-7ededc63b103"
    assert asks(event()) == (Ask("event", "solarmora.example", REQUEST, (key,)),)


def test_a_senders_key_comes_first_and_is_no_part_of_the_request() -> None:
    (ask,) = asks(event(detail={**REQUEST, "key": "CHG-204"}))
    assert ask.event == REQUEST
    assert ask.keys[0] == 'event-key:["example.change-management","CHG-204"]'
    assert len(ask.keys) == 2


def test_the_same_key_of_two_senders_is_two() -> None:
    detail = {**REQUEST, "key": "1"}
    keys = [asks(event(source=source, detail=detail))[0].keys[0] for source in ("a.b", "c.d")]
    assert len(set(keys)) == 2


def test_no_key_can_be_read_as_that_of_another_sender() -> None:
    """A source and a key may hold any sign, the one between them too."""
    sent = [("crm", "eu:7"), ("crm:eu", "7"), ('crm", "eu', "7"), ("crm", 'eu", "7')]
    keys = [
        asks(event(source=source, detail={**REQUEST, "key": key}))[0].keys[0]
        for source, key in sent
    ]
    assert len(set(keys)) == len(sent)
    named = asks(event(id=keys[0]))[0].keys
    assert keys[0] not in named


@pytest.mark.parametrize("key", ["", "k" * 257, 204, None, ["a"], {"a": 1}])
def test_a_key_that_is_none_is_refused_by_the_workflow(key: object) -> None:
    (ask,) = asks(event(detail={**REQUEST, "key": key}))
    assert len(ask.keys) == 1
    with pytest.raises(InvalidRequestError, match="unknown field 'key'"):
        Request.parse(ask.event)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"detail-type": "MTA-STS Off Notice"}, "detail-type has to be 'MTA-STS Off Request'"),
        ({"detail-type": ["MTA-STS Off Request"]}, "detail-type has to be"),
        ({"source": "mta-sts-off"}, "source has to be one of your own, not 'mta-sts-off'"),
        ({"source": "aws.events"}, "source has to be one of your own"),
        ({"source": ""}, "source has to be one of your own"),
        ({"source": 5}, "source has to be one of your own"),
        ({"id": ""}, "has no id"),
        ({"id": 5}, "has no id"),
        ({"time": ""}, "time has to be a moment"),
        ({"time": None}, "time has to be a moment"),
        ({"time": "today"}, "time has to be a moment"),
        ({"detail": [REQUEST]}, "detail has to be a JSON object"),
        ({"detail": None}, "detail has to be a JSON object"),
    ],
)
def test_what_is_no_such_event_starts_nothing(changed: dict[str, object], words: str) -> None:
    with pytest.raises(EnvelopeError, match=words):
        asks(event(**changed))


# --- schedules


def test_a_schedule_is_known_by_its_arn_and_the_moment_it_was_set_for() -> None:
    key = f"schedule:{ARN}:{AT}"
    assert asks(scheduled()) == (Ask("schedule", "solarmora.example", REQUEST, (key,)),)


def test_each_of_many_requests_is_a_run_of_its_domain() -> None:
    requests = [{**REQUEST, "domain": f"d{n}.example"} for n in range(MOST)]
    found = asks(scheduled(requests=requests))
    assert [ask.event for ask in found] == requests
    assert len({(ask.domain, ask.keys) for ask in found}) == MOST


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (REQUEST, "neither detail-type nor schedule"),
        ([], "neither detail-type nor schedule"),
        (None, "neither detail-type nor schedule"),
        ("x", "neither detail-type nor schedule"),
        ({"schedule": ARN, "at": AT}, "either request or requests"),
        (scheduled(request=REQUEST, requests=[REQUEST]), "either request or requests"),
        (scheduled(request=REQUEST, domain="x.example"), "either request or requests"),
        (scheduled(request="x"), "request has to be a JSON object"),
        (scheduled(requests=REQUEST), "list of 1 to 500"),
        (scheduled(requests=[]), "list of 1 to 500"),
        (scheduled(requests=[REQUEST] * (MOST + 1)), "list of 1 to 500"),
        (scheduled(requests=[REQUEST, "x"]), "each of requests has to be a JSON object"),
        (scheduled(schedule="nightly", request=REQUEST), "schedule-arn"),
        (scheduled(schedule="<aws.scheduler.schedule-arn>", request=REQUEST), "schedule-arn"),
        (scheduled(at="<aws.scheduler.scheduled-time>", request=REQUEST), "scheduled-time"),
        (scheduled(at="", request=REQUEST), "scheduled-time"),
        (scheduled(at=5, request=REQUEST), "scheduled-time"),
    ],
)
def test_what_is_no_such_input_starts_nothing(sent: object, words: str) -> None:
    with pytest.raises(EnvelopeError, match=words):
        asks(sent)


# --- what is asked for


def test_due_from_outside_is_not_passed_on() -> None:
    """Nor is it left out: the run would do something else than was asked for."""
    for due in (DUE, None, "x", {}):
        asked = {"domain": "solarmora.example", "method": "delete-record", "due": due}
        for ask in (*asks(event(detail=asked)), *asks(scheduled(requests=[asked]))):
            with pytest.raises(InvalidRequestError, match="due is what the schedule adds"):
                Request.parse(ask.event)


@pytest.mark.parametrize(
    ("domain", "partition"),
    [
        ("SolarMora.Example.", "solarmora.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("https://x", "https://x"),
        (5, ""),
        (None, ""),
    ],
)
def test_however_a_domain_is_written_its_deliveries_are_in_one_place(
    domain: object, partition: str
) -> None:
    (ask,) = asks(event(detail={"domain": domain}))
    assert ask.domain == partition
    assert ask.event == {"domain": domain}, "what is wrong with it the workflow says"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FIELDS = st.sampled_from(
    ["detail-type", "source", "id", "detail", "schedule", "at", "request", "requests", "key", "due"]
)


@given(st.dictionaries(FIELDS, JSON) | JSON)
def test_whatever_is_delivered_is_an_envelope_or_is_refused(sent: object) -> None:
    told = ""
    try:
        found = asks(sent)
    except EnvelopeError as error:
        found, told = (), str(error)
    assert bool(told) != bool(found)
    assert told.isascii()
    assert len(told) < 300
    assert all(ask.keys for ask in found)


@given(st.dictionaries(st.text() | FIELDS, JSON), st.sampled_from(["event", "schedule"]))
def test_whatever_is_asked_for_is_a_run_with_a_key(request: Any, door: str) -> None:
    (ask,) = asks(event(detail=request) if door == "event" else scheduled(request=request))
    assert (ask.door, bool(ask.keys)) == (door, True)
    assert set(ask.event) <= set(request)


# --- the function


class Door:
    """An intake that remembers, and can be told to fail for a domain."""

    def __init__(self) -> None:
        self.failing: dict[str, Exception] = {}
        self.runs: dict[tuple[str, str], str] = {}

    def known(self, ask: Ask) -> bool:
        return (ask.domain, ask.keys[0]) in self.runs

    def start(self, ask: Ask, _now: object) -> Taken:
        if ask.domain in self.failing:
            raise self.failing[ask.domain]
        again = self.known(ask)
        run = self.runs.setdefault((ask.domain, ask.keys[0]), f"run-{len(self.runs)}")
        return Taken(run, f"arn:{run}", again)


class Clock:
    """What Lambda tells of the time that is left, in milliseconds: less each time."""

    def __init__(self, *left: int) -> None:
        self.left = list(left)

    def get_remaining_time_in_millis(self) -> int:
        return self.left.pop(0)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door()
    monkeypatch.setattr(wiring, "intake", lambda: made)
    return made


def function() -> Any:
    spec = importlib.util.spec_from_file_location("start_run", ROOT / "functions/start_run/app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def many(*domains: str) -> dict[str, Any]:
    return scheduled(requests=[{**REQUEST, "domain": domain} for domain in domains])


def test_runs_are_named_and_those_of_before_counted(door: Door) -> None:
    app = function()
    assert app.handler(scheduled(), None) == {"runs": ["run-0"], "again": 0}
    assert app.handler(scheduled(), None) == {"runs": ["run-0"], "again": 1}


@pytest.mark.parametrize("long", ["\u00e9" * 70_000, {"a": ["\u00e9" * 9] * 9_000}])
def test_no_log_line_grows_with_what_is_sent(
    door: Door, monkeypatch: pytest.MonkeyPatch, long: Any
) -> None:
    app, written = function(), io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", written)
    app.handler(event(detail={"domain": long, "ticket": long}), None)
    door.failing[asks(event(detail={"domain": long}))[0].domain] = ValueError(str(long))
    with pytest.raises(app.StartError):
        app.handler(event(detail={"domain": long, "ticket": long}), None)
    assert "started" in written.getvalue()
    assert max(map(len, written.getvalue().splitlines())) < 120_000


def test_one_that_fails_keeps_no_other_from_starting_and_is_tried_again(door: Door) -> None:
    app = function()
    door.failing["b.example"] = KeyReusedError("The key was used for another request.")
    with pytest.raises(app.StartError, match=r"^2 of 3 runs are started.*b\.example: KeyReused"):
        app.handler(many("a.example", "b.example", "c.example"), None)
    door.failing.clear()
    assert app.handler(many("a.example", "b.example", "c.example"), None)["again"] == 2
    assert len(door.runs) == 3


def ago(age: timedelta) -> str:
    return stamp(datetime.now(UTC) - age)


@pytest.mark.parametrize("age", [OLDEST + timedelta(seconds=2), timedelta(days=40)])
def test_what_is_late_starts_nothing(door: Door, age: timedelta) -> None:
    """Whoever kept it waiting, bus, scheduler or Lambda: another hour was agreed upon."""
    app, request = function(), {"request": REQUEST}
    for sent in (event(time=ago(age)), scheduled(at=ago(age), **request)):
        with pytest.raises(app.StartError, match=r"0 of 1 .*LateError: It is of 20.*an hour ago"):
            app.handler(sent, None)
    assert door.runs == {}
    just = OLDEST - timedelta(seconds=30)
    for sent in (event(time=ago(just)), scheduled(at=ago(just), **request)):
        assert app.handler(sent, None)["again"] == 0


def test_what_was_started_in_time_is_the_same_run_however_late_it_comes_again(door: Door) -> None:
    """An attempt that died after the start is repeated, and has to find what it did."""
    app, moment = function(), ago(timedelta(minutes=59))
    assert app.handler(scheduled(at=moment, request=REQUEST), None)["again"] == 0
    (key,) = asks(scheduled(at=moment, request=REQUEST))[0].keys
    late = ago(timedelta(hours=5))
    door.runs[REQUEST["domain"], key.replace(moment, late)] = "run-of-before"
    told = app.handler(scheduled(at=late, request=REQUEST), None)
    assert told == {"runs": ["run-of-before"], "again": 1}


def test_a_moment_without_a_zone_is_utc() -> None:
    assert sent_at(scheduled(at="2026-12-01T02:00:00", request=REQUEST)) == datetime(
        2026, 12, 1, 2, tzinfo=UTC
    )
    assert sent_at(event(time="2026-12-01T02:00:00+01:00")) == datetime(2026, 12, 1, 1, tzinfo=UTC)


def test_what_there_is_no_time_for_is_left_for_the_next_try(door: Door) -> None:
    app, sent = function(), many("a.example", "b.example", "c.example")
    with pytest.raises(app.StartError, match=r"1 of 3 .* no time was left for 2"):
        app.handler(sent, Clock(30_000, 9_000))
    told = app.handler(sent, Clock(30_000, 30_000, 30_000))
    assert (len(told["runs"]), told["again"]) == (3, 1)


def test_what_a_dead_letter_says_is_bounded(door: Door) -> None:
    app = function()
    names = [f"d{n}.example" for n in range(MOST)]
    door.failing = {name: ValueError("x" * 10_000) for name in names}
    with pytest.raises(app.StartError) as raised:
        app.handler(many(*names), None)
    assert len(str(raised.value)) < 20_000


# --- what is shipped


def shipped(folder: str) -> dict[str, Any]:
    return {file.stem: json.loads(file.read_text()) for file in (ROOT / folder).glob("*.json")}


def test_the_examples_in_the_template_are_the_files() -> None:
    template = (ROOT / "template.yaml").read_text()
    for name, schedule in (("none-policy", "TurnOffOnce"), ("check", "CheckDaily")):
        block = template.partition(f"  {schedule}:\n")[2].partition("\n\n")[0]
        assert json.loads(block.partition("Input: >-\n")[2]) == shipped("events/schedules")[name]
        assert "State: DISABLED" in block
