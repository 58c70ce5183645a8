"""Figures that CloudWatch takes out of the log, and that alarms and dashboard of the template look at."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mta_sts import metrics


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("emit", "figures", "dimensions"),
    [
        (
            lambda: metrics.run_ended("timed out", "retire"),
            {"Runs": ("Count", 1)},
            {"Outcome": "timed out", "Method": "retire"},
        ),
        (metrics.failed, {"FailedRuns": ("Count", 1)}, {}),
        (lambda: metrics.took_longer(2.5), {"SecondsOverLimit": ("Seconds", 2.5)}, {}),
        (lambda: metrics.took_longer(-1), {"SecondsOverLimit": ("Seconds", 0)}, {}),
        (lambda: metrics.watched(0), {"WatchFindings": ("Count", 0)}, {}),
        (
            lambda: metrics.swept(pending=3, overdue_seconds=-4, failures=1),
            {
                "DrainsPending": ("Count", 3),
                "OldestOverdueSeconds": ("Seconds", 0),
                "SweepFailures": ("Count", 1),
            },
            {},
        ),
    ],
)
def test_a_figure_is_one_line_that_cloudwatch_takes(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    emit: Callable[[], None],
    figures: dict[str, tuple[str, float]],
    dimensions: dict[str, str],
) -> None:
    """As "Specification: Embedded metric format" of the CloudWatch user guide has it."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "the-stack")
    emit()
    [line] = told(capsys)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == metrics.NAMESPACE
    [names] = directive["Dimensions"]
    assert {name: line[name] for name in names} == {"service": "the-stack", **dimensions}
    found = {each["Name"]: (each["Unit"], line[each["Name"]][0]) for each in directive["Metrics"]}
    assert found == figures


def test_one_call_leaves_nothing_for_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.run_ended("confirmed", "restore")
    metrics.watched(1)
    _, second = told(capsys)
    assert not {"Runs", "Outcome", "Method"} & set(second)


@pytest.mark.parametrize(
    ("request_", "method"),
    [
        ({"method": "check"}, "check"),
        ({"method": "x" * 999}, "other"),
        ({"method": ["check"]}, "other"),
        ([], "other"),
        (None, "other"),
    ],
)
def test_nobody_can_make_up_new_metrics(request_: object, method: str) -> None:
    assert metrics.method_of(request_) == method
