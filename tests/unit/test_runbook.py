"""The runbook knows every alarm and every error, and nothing else; alarms look at figures that are told."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from mta_sts import errors, metrics
from tests.unit.documents import DOCUMENTS, ROOT, codes, tables

PAGE = DOCUMENTS["docs/runbook.md"]
# What Step Functions and Lambda call it, and this project where an execution says nothing.
FOREIGN = {
    "ExecutionStopped",
    "ExecutionTimedOut",
    "ExecutionFailed",
    "States.DataLimitExceeded",
    "States.Runtime",
    "States.Timeout",
    "States.TaskFailed",
    "States.Permissions",
    "Lambda.Unknown",
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "ClientError",
}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads the template; a tag such as !Ref becomes its name and what it is given."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return f"!{tag} {node.value}"
    if isinstance(node, yaml.SequenceNode):
        return {tag: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {tag: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _tagged)
RESOURCES = yaml.load((ROOT / "template.yaml").read_text(), Loader)["Resources"]  # noqa: S506 - a safe one
ALARMS = {
    str(each["Properties"]["AlarmName"]).removeprefix("!Sub ${AWS::StackName}-"): each["Properties"]
    for each in RESOURCES.values()
    if each["Type"] == "AWS::CloudWatch::Alarm"
}


def raised() -> set[str]:
    """Name every error that leaves a function: the foreseen ones, and those of the doors and the sweep."""
    known = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.MtaStsError)
    }
    files = [*ROOT.glob("functions/*/app.py"), *ROOT.glob("layers/mta_sts/mta_sts/**/*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            # A ValueError of our own stays inside; whatever is plain leaves.
            bases = {ast.unparse(base) for base in getattr(node, "bases", [])}
            if isinstance(node, ast.ClassDef) and "Exception" in bases:
                known.add(node.name)
    return known - {"MtaStsError", "Problem"}


def test_it_explains_every_error_and_no_other() -> None:
    [rows] = [table for table in tables(PAGE) if table[0][0] == "`InvalidRequestError`"]
    explained = [name for row in rows for name in codes(row[0])]
    assert len(explained) == len(set(explained)) == len(rows)
    assert set(explained) == raised() | FOREIGN
    for row in rows:
        assert all(row), (
            f"{row[0]}: say what it means, whether mail is at risk, where to look, what to do"
        )
        assert re.match(r"no\b|as for|\*\*perhaps\*\*", row[2]), row


def test_it_has_a_part_for_every_alarm_and_for_no_other() -> None:
    told = re.findall(r"^## Alarm: (.+)$", PAGE, re.MULTILINE)
    assert told == [name.replace("-", " ") for name in ALARMS]
    [rows] = [table for table in tables(PAGE) if table[0][0].startswith("[failed executions]")]
    assert [re.findall(r"\[(.+)\]", row[0]) for row in rows] == [[name] for name in told]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_it_means_and_where_to_read_on(name: str) -> None:
    alarm = ALARMS[name]
    text = alarm["AlarmDescription"]
    assert f'docs/runbook.md, "Alarm: {name.replace("-", " ")}".' in text
    assert len(text) < 1024
    assert (
        alarm["AlarmActions"]
        == alarm["OKActions"]
        == [{"If": ["HasAlarmTopic", "!Ref AlarmTopicArn", "!Ref NoticeTopic"]}]
    )
    assert alarm["TreatMissingData"] in {"breaching", "notBreaching", "ignore"}


def looked_at(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the metrics of an alarm, more than one where it sums them up."""
    summed = [each["MetricStat"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    assert len(summed) <= 10, "CloudWatch takes no more"
    return [each["Metric"] for each in summed] or [alarm]


def test_an_alarm_looks_at_this_stack_alone() -> None:
    """What another team's functions and machines do is nobody's call here."""
    for name, alarm in ALARMS.items():
        for metric in looked_at(alarm):
            named = [each["Value"] for each in metric["Dimensions"] if each["Name"] != "Stage"]
            assert named, name
            assert all("!Ref" in value or "!GetAtt" in value for value in named), name


def test_throttling_is_looked_at_for_every_function_of_the_workflow() -> None:
    machine = RESOURCES["DisableMachine"]["Properties"]["DefinitionSubstitutions"]
    called = {value.removesuffix(".Version") for value in machine.values() if ".Version" in value}
    summed = looked_at(ALARMS["throttled-functions"])
    assert {metric["Dimensions"][0]["Value"] for metric in summed} == called


def test_one_answer_that_a_caller_repeats_rings_no_bell() -> None:
    api = ALARMS["api-errors"]
    assert (api["Period"], api["EvaluationPeriods"], api["DatapointsToAlarm"]) == (60, 15, 3)


def test_silence_ends_no_finding() -> None:
    assert ALARMS["watch-findings"]["TreatMissingData"] == "ignore"


def emitted(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Name every figure that the product tells."""
    metrics.run_ended("failed", "check")
    metrics.took_longer(1)
    metrics.watched(1)
    metrics.swept(pending=1, overdue_seconds=1, failures=1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {
        metric["Name"]
        for line in lines
        for directive in line["_aws"]["CloudWatchMetrics"]
        for metric in directive["Metrics"]
    }


def shown(widgets: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for widget in widgets:
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], str):
                yield metric[0], metric[1]
            else:
                namespace, name = re.findall(
                    r"{([\w-]+),.*MetricName=\"(\w+)\"", metric[0]["expression"]
                )[0]
                yield namespace, name


def test_alarms_and_dashboard_look_at_figures_that_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    known, own = emitted(capsys), metrics.NAMESPACE
    for name, alarm in ALARMS.items():
        if alarm.get("Namespace") == own:
            assert alarm["MetricName"] in known, name
            assert alarm["Dimensions"] == [{"Name": "service", "Value": "!Ref AWS::StackName"}]
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"].removeprefix("!Sub ")
    widgets = json.loads(body)["widgets"]
    assert {name for namespace, name in shown(widgets) if namespace == own} == known
    everything = {f"${{{name}.Arn}}" for name, each in RESOURCES.items() if "Alarm" in each["Type"]}
    assert set(widgets[0]["properties"]["alarms"]) == everything
    service = yaml.load((ROOT / "template.yaml").read_text(), Loader)["Globals"]["Function"]  # noqa: S506
    assert service["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == "!Ref AWS::StackName"
