"""Each line of the log says whom it is about, stays one line, and takes nothing along to the next call."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from mta_sts import logs
from mta_sts.errors import PolicyNotServedError
from mta_sts.transient import retried_by_the_workflow
from tests.unit.test_state_machine import ROOT

ARN = "arn:aws:states:eu-west-1:1:execution:m:me"
EXECUTION = {"arn": ARN, "started_at": "2026-12-01T00:00:00Z", "ticket": "OPS-7"}
HOSTILE = 'x"}\n{"level":"INFO","message":"all is well"}\u2028\u202e\x1b[2J'


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to the log, as text."""
    [handler] = logs.logger.handlers
    monkeypatch.setattr(handler, "stream", io.StringIO())
    return cast("io.StringIO", handler.stream)  # type: ignore[attr-defined]


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    """Read the log as CloudWatch keeps it: one JSON object for each line."""
    return [json.loads(line) for line in log.getvalue().split("\n") if line]


def said(event: object) -> dict[str, Any]:
    logs.logger.info("said", more=1)
    return {}


@pytest.mark.parametrize(
    ("event", "about"),
    [
        ({"plan": {"domain": "a.example"}, "execution": EXECUTION}, ("a.example", ARN, "OPS-7")),
        (
            {"request": {"domain": "a.example", "ticket": "T"}, "execution": {"arn": ARN}},
            ("a.example", ARN, "T"),
        ),
        ({"check": {"domain": "a.example"}, "request": {"domain": "A.example."}}, ("a.example",)),
        ({"request": ["none"], "execution": EXECUTION}, (None, ARN, "OPS-7")),
        ("no object", ()),
    ],
)
def test_each_line_says_whom_it_is_about(
    log: io.StringIO, event: Any, about: tuple[Any, ...]
) -> None:
    logs.logged(lambda event, _context: said(event))(event, None)
    [line] = lines(log)
    found = tuple(line.get(name) for name in ("domain", "execution", "ticket"))
    assert found == (*about, *[None] * (3 - len(about)))
    assert (line["message"], line["more"]) == ("said", 1)


def test_a_warm_process_carries_nothing_over(log: io.StringIO) -> None:
    """Neither what the event said, nor what was added on the way, nor past an exception."""

    def handler(event: Any, _context: Any) -> dict[str, Any]:
        logs.add(door="first")
        if event.get("fails"):
            raise PolicyNotServedError("no")
        return said(event)

    called = logs.logged(handler)
    with pytest.raises(PolicyNotServedError):
        called({"plan": {"domain": "a.example"}, "execution": EXECUTION, "fails": True}, None)
    logs.logger.info("between")
    logs.logged(lambda event, _context: said(event))({}, None)
    raised, between, second = lines(log)
    assert raised["domain"] == "a.example"
    for line in (between, second):
        assert not {"domain", "execution", "ticket", "door"} & set(line)


def test_what_is_raised_is_logged_before_it_leaves(log: io.StringIO) -> None:
    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise event["error"]

    called = logs.logged(retried_by_the_workflow(handler))
    about = {"plan": {"domain": "a.example"}, "execution": EXECUTION}
    for error in (PolicyNotServedError("not there"), KeyError("defect")):
        with pytest.raises(type(error)):
            called(about | {"error": error}, None)
    refused, failed = lines(log)
    assert (refused["level"], refused["error"]) == ("WARNING", "PolicyNotServedError")
    assert refused["why"] == "not there"
    assert "exception" not in refused
    assert (failed["level"], failed["error"]) == ("ERROR", "KeyError")
    assert "Traceback" in failed["exception"]
    for line in (refused, failed):
        assert (line["domain"], line["ticket"]) == ("a.example", "OPS-7")


def test_foreign_text_stays_inside_its_string(log: io.StringIO) -> None:
    def handler(event: Any, _context: Any) -> dict[str, Any]:
        logs.logger.info(HOSTILE, found=HOSTILE)
        raise PolicyNotServedError(HOSTILE)

    with pytest.raises(PolicyNotServedError):
        logs.logged(handler)({"request": {"domain": HOSTILE, "ticket": HOSTILE * 99}}, None)
    text = log.getvalue()
    assert text.count("\n") == 2
    assert text.isascii()
    assert not set(text) & {"\x1b", "\r"}
    for line in map(json.loads, text.splitlines()):
        assert line["domain"] == HOSTILE
        assert len(line["ticket"]) == 256
        assert line["level"] in {"INFO", "WARNING"}


@pytest.mark.parametrize("sign", ["x", "\u00e9", "\U0001f69a"])
def test_no_line_grows_with_what_others_write(log: io.StringIO, sign: str) -> None:
    """CloudWatch takes no line above 1 MiB; an event of 256 KB had one of 424 KB by its escapes."""
    long = sign * 70_000

    def handler(_event: Any, _context: Any) -> dict[str, Any]:
        logs.add(domain=long)
        logs.logger.info("said", found=long, nested={"a": [long, (long,)]}, other=ValueError(long))
        raise ValueError(f"first{long}last")

    with pytest.raises(ValueError, match="first"):
        logs.logged(handler)({}, None)
    told, raised = lines(log)
    assert len(told["found"]) < 500
    assert len(told["nested"]["a"][1][0]) < 500
    for line in log.getvalue().splitlines():
        assert len(line) < 160_000
    assert raised["why"].startswith("first")
    assert raised["why"].endswith("last")
    assert "characters left out" in raised["why"]
    assert "Traceback" in raised["exception"]
    assert raised["exception"].endswith("last")


def test_what_is_short_is_written_as_it_is(log: io.StringIO) -> None:
    whole = {"text": "x" * 400, "list": [1, None, True, 1.5, {"a": "b"}], "none": None}
    logs.logger.info("said", whole=whole)
    [line] = lines(log)
    assert line["whole"] == whole


def payloads(part: object) -> Iterator[dict[str, Any]]:
    """Give what the state machine sends to each function."""
    if isinstance(part, dict):
        if "Payload" in part:
            yield part["Payload"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from payloads(each)


def test_every_state_tells_its_function_which_execution_calls_it() -> None:
    definition = json.loads((ROOT / "statemachine" / "disable.asl.json").read_text())
    sent = list(payloads(definition))
    assert len(sent) > 10
    for payload in sent:
        assert payload.get("execution") == "{% $execution %}", payload
    assert set(definition["States"]["Begin"]["Assign"]["execution"]) == {
        "arn",
        "started_at",
        "ticket",
    }


def test_every_handler_is_logged() -> None:
    handlers = sorted((ROOT / "functions").glob("*/app.py"))
    for file in handlers:
        text = file.read_text()
        assert re.search(r"^@logged\n(@\w+\n)*def handler\(", text, re.MULTILINE), file
        assert "Logger(" not in text, f"{file}: one logger for all, in mta_sts.logs"
