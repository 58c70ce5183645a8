"""The bench's arithmetic: figures and limits, what a history says, what a run costs."""

import io
import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dns.message
import dns.rdatatype
import pytest

from local.bench import asking, cost, history, runs, slow_servers
from local.bench.cost import Function, Use
from local.bench.figures import KINDS, Figure, show, verdict
from local.bench.fresh import NEEDS, NOT_MEASURED
from local.bench.history import Call, IncompleteError, Spent
from local.bench.starts import Deployed
from local.environments import ROOT
from local.screen import Screen
from mta_sts.adapters.dns import TIMEOUT_SECONDS
from mta_sts.request import Request
from tests.unit.demo_cases import history as made
from tests.unit.demo_cases import line_with

VERIFY = "arn:aws:lambda:us-east-1:000000000000:function:mta-sts-off-VerifyRecord-1A:1"
PUBLISH = "arn:aws:sns:us-east-1:000000000000:topic"


def visit(second: float, kind: str, name: str, lasts: float, output: Any = None) -> list[Any]:
    """Make the two events of a visit to a state."""
    return made(
        (second, kind, "StateEntered", (name, {})),
        (second + lasts, kind, "StateExited", (name, output)),
    )


def attempt(second: float, lasts: float, sent: Any, end: str = "TaskSucceeded") -> list[Any]:
    """Make the events of one attempt of a task."""
    scheduled, ended = made((second, "TaskScheduled", "", None), (second + lasts, end, "", None))
    scheduled["taskScheduledEventDetails"] = {"parameters": json.dumps(sent)}
    return [scheduled, ended]


def task(second: float, name: str, lasts: float, sent: Any) -> list[Any]:
    """Make the events of a task that succeeds at once."""
    entered, left = visit(second, "Task", name, lasts)
    return [entered, *attempt(second, lasts, sent), left]


SENT = {"FunctionName": VERIFY, "Payload": {"step": "confirm"}}
# A run that waits twice for Route 53, then for a TTL of 20 seconds.
RUN = [
    *made((0, "ExecutionStarted", "", None)),
    *task(0.5, "Change Id", 0.25, SENT),
    *task(0.75, "Await Route 53", 0.25, SENT),
    *visit(1, "Choice", "In Sync?", 0),
    *visit(1, "Wait", "Wait For Route 53", 1),
    *task(2, "Await Route 53", 0.5, SENT),
    *visit(2.5, "Choice", "In Sync?", 0),
    *visit(2.5, "Wait", "Wait For Route 53", 1),
    *task(3.5, "Await Route 53", 0.25, SENT),
    *visit(3.75, "Choice", "In Sync?", 0),
    *task(3.75, "Check Name Servers", 0.25, SENT),
    *visit(4, "Wait", "Wait Out TTL", 20.5),
    *made((24.5, "Parallel", "StateEntered", ("Confirm", {}))),
    *attempt(24.5, 0.25, SENT),
    *attempt(24.5, 0.5, SENT),
    *made((25, "Parallel", "StateExited", ("Confirm", [{}, {}]))),
    *task(25, "Record Outcome", 0.25, SENT),
    *task(25.25, "Announce Outcome", 0.25, {"Entries": [{"Source": "mta-sts-off", "Detail": {}}]}),
    *task(25.5, "Notify Outcome", 0.25, {"TopicArn": PUBLISH, "Message": "off"}),
]


# --- figures


@pytest.mark.parametrize(
    ("value", "limit", "ratio", "ok"),
    [(0.5, 2, 0.25, True), (2, 2, 1, True), (3, 2, 1.5, False), (0, 0, 0, True)],
)
def test_a_figure_over_its_limit_fails(
    value: float, limit: float, ratio: float, *, ok: bool
) -> None:
    figure = Figure("layer", "zipped", value, "MB", limit)
    told = json.loads(figure.to_json())
    assert (figure.ratio, figure.ok) == (told["ratio"], told["ok"]) == (ratio, ok)


def test_where_nothing_is_allowed_something_is_too_much() -> None:
    told = json.loads(Figure("boto3", "verify_record", 1, "modules", 0).to_json())
    assert (told["ok"], told["ratio"]) == (False, None)  # infinity is no JSON


def test_a_figure_is_one_line_of_json_with_an_aim_only_where_there_is_one() -> None:
    figure = Figure("run", "none-policy", 1.04321, "times", 1.25, 1.05, "22.1 s over 21.2 s")
    assert "\n" not in figure.to_json()
    assert json.loads(figure.to_json()) == {
        "name": "run: none-policy",
        "value": 1.043,
        "unit": "times",
        "limit": 1.25,
        "aim": 1.05,
        "ratio": 0.8346,
        "ok": True,
        "remark": "22.1 s over 21.2 s",
    }
    assert "aim" not in json.loads(Figure("layer", "zipped", 1, "MB", 5).to_json())


def test_the_table_tells_kept_short_and_over_apart() -> None:
    figures = [
        Figure("run", "good", 1.01, "times", 1.25, 1.05),
        Figure("run", "short", 1.1, "times", 1.25, 1.05),
        Figure("run", "over", 1.3, "times", 1.25, 1.05),
        Figure("cost", "cheap", 0.00089, "USD", 0.001),
        Figure("states", "few", 24, "states", 25),
    ]
    stream = io.StringIO()
    show(Screen(stream, plain=True), figures)
    text = stream.getvalue()
    line_with(text, "✓ good", "1.01", "1.25", "1.05")
    line_with(text, "~ short", "1.10")
    line_with(text, "✗ over", "1.30")
    line_with(text, "✓ cheap", "0.00089 USD", "0.00100 USD")
    line_with(text, "✓ few", "24", "25")
    assert KINDS["ask"] not in text  # what was not measured has no table
    assert verdict(figures) == (
        "4 of 5 figures keep their limits. Over: run: over. Short of the aim: run: short."
    )


# --- histories


def test_where_the_time_of_a_run_went() -> None:
    spent = history.spent(RUN)
    assert spent == Spent(
        before_the_write=0.5, until_in_sync=3.25, name_servers=0.25, waiting=20.5, confirming=0.5
    )
    assert spent.over(ttl=20) == pytest.approx(25 / 23.25)


def test_a_run_that_was_not_confirmed_is_no_measure() -> None:
    with pytest.raises(IncompleteError, match="never came to Record Outcome"):
        history.spent(RUN[:-12])
    with pytest.raises(IncompleteError, match="never left In Sync"):
        history.spent(RUN[:9])


def test_all_visits_to_a_state_count_for_its_seconds() -> None:
    seconds = history.seconds_by_state(RUN)
    assert seconds["Await Route 53"] == 1.0
    assert seconds["Wait For Route 53"] == 2.0
    assert list(seconds)[:2] == ["Change Id", "Await Route 53"]


def test_states_are_counted_as_if_there_were_nothing_to_wait_for() -> None:
    # Change, Await, In Sync?, Check, Wait Out TTL, Confirm and its two branches, Record, Announce, Notify.
    assert history.states(RUN) == 11


def test_transitions_are_counted_as_they_were_and_attempts_with_them() -> None:
    # 7 visits to other states than tasks, 10 attempts of tasks; start and end.
    assert history.transitions(RUN) == 7 + 10 + 2
    again = attempt(25.5, 0.1, SENT, "TaskFailed")
    assert history.transitions([*RUN, *again]) == history.transitions(RUN) + 1


def test_calls_are_told_with_what_they_were_sent() -> None:
    calls = history.calls(RUN)
    assert calls[0] == Call("mta-sts-off-VerifyRecord-1A", {"step": "confirm"}, 0.25)
    assert calls[-2:] == [Call("", None, 0.25, events=1), Call("", None, 0.25)]
    assert sum(call.seconds for call in calls) == pytest.approx(3.0)


# --- cost


def test_every_price_says_for_what_it_is_and_where_it_stands() -> None:
    assert set(cost.prices()) == {field.name for field in fields(Use)}
    told = tomllib.loads(cost.PRICES.read_text())
    for entry in told.values():
        if isinstance(entry, dict):
            assert entry["unit"]
            assert urlsplit(entry["source"]).hostname == "aws.amazon.com"


def test_a_price_is_that_of_one(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text("as_of = 2026-11-24\n[calls]\nusd = 0.20\nper = 1_000_000\n")
    assert cost.prices(file) == {"calls": pytest.approx(2e-7)}


def test_a_cost_is_the_sum_of_what_was_used() -> None:
    use = Use(transitions=2, calls=3, gb_seconds=0.5, log_gb=0.0, events=2, notices=1, mails=1)
    each = {
        "transitions": 1.0,
        "calls": 10,
        "gb_seconds": 100,
        "log_gb": 7,
        "events": 0.25,
        "notices": 0.5,
        "mails": 0,
    }
    assert cost.cost(use, each) == 83.0
    with pytest.raises(KeyError):
        cost.cost(use, {})


@pytest.mark.parametrize(("memory_mb", "counted_mb"), [(512, 1769), (3008, 3008)])
def test_a_run_pays_for_every_call_and_one_cold_start(memory_mb: int, counted_mb: int) -> None:
    function = Function(memory_mb, start_seconds=0.5, log_bytes=550)
    use = cost.used(RUN, {"mta-sts-off-VerifyRecord-1A": function})
    # 2.5 seconds of calls, the notice left out, and the start of the one function.
    assert use.gb_seconds == pytest.approx(3.0 * counted_mb / 1024)
    assert (use.calls, use.events, use.notices, use.mails) == (8, 1, 1, 1)
    assert use.log_gb == pytest.approx(8 * 1000 / 1024**3)
    assert use.transitions == history.transitions(RUN)


# --- what has to keep up with the product


@pytest.mark.parametrize("method", runs.METHODS, ids=lambda method: method.name)
def test_the_input_of_every_method_is_a_good_one(method: runs.Method) -> None:
    request = Request.parse({**method.event, "domain": "bench.example"})
    assert request.method == method.event["method"]


def test_every_function_says_what_it_cannot_do_without() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert not NEEDS.keys() & NOT_MEASURED
    assert {Deployed(name, 0, {}, 0).folder for name in NEEDS.keys() | NOT_MEASURED} == folders


def test_the_time_out_is_that_of_the_product() -> None:
    assert asking.TIMEOUT_SECONDS == TIMEOUT_SECONDS


# --- slow servers


@pytest.mark.parametrize(
    ("name", "rdtype", "said"),
    [
        ("slow.example", "NS", ["ns-0.slow.example."]),
        ("ns-0.slow.example", "A", ["127.0.0.9"]),
        ("ns-0.slow.example", "AAAA", []),
        ("_mta-sts.slow.example", "TXT", ['"v=STSv1; id=1;"']),
    ],
)
def test_a_server_answers_with_authority(name: str, rdtype: str, said: list[str]) -> None:
    servers = {"ns-0.slow.example": "127.0.0.9"}
    zone = slow_servers.Zone("slow.example", "_mta-sts.slow.example", "v=STSv1; id=1;", servers)
    query = dns.message.make_query(name, dns.rdatatype.from_text(rdtype), use_edns=0)
    wire = query.to_wire()
    reply = dns.message.from_wire(wire[:2] + slow_servers.answer(zone, wire[2:]))
    assert query.is_response(reply)
    assert reply.flags & dns.flags.AA
    assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == said
