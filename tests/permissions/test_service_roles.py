"""The roles that services use, which the emulator does not enforce: proven by its evaluator instead.

What a state machine, a schedule or a rule needs is read from the deployed stack: it is allowed, and no part
of its role's permissions is there for anything else. The same for who may assume which role, and for
the permission by which a rule reaches its target.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local.deploy import STACK
from local.emulator import ACCOUNT
from local.lab import Lab
from tests.permissions.deployed import (
    Need,
    Role,
    machines,
    needs,
    resources,
    roles,
    rules,
    schedules,
    target_needs,
    uses,
)
from tests.permissions.elements import listed, superfluous
from tests.permissions.evaluator import Context, Document, allowed, request


def needed(lab: Lab) -> dict[str, set[Need]]:
    """Map the ARN of each role that a service other than Lambda uses to what it is needed for."""
    found: dict[str, set[Need]] = {}
    for machine in machines(lab):
        found.setdefault(machine["roleArn"], set()).update(needs(json.loads(machine["definition"])))
    targets = [schedule["Target"] for schedule in schedules(lab)]
    targets += [target for _, target in rules(lab) if "RoleArn" in target]
    for target in targets:
        found.setdefault(target["RoleArn"], set()).update(target_needs(target))
    return found


def by_service(document: Document, resource: str | None = None) -> dict[str, Any]:
    """Say a document that names services as `Principal` as one that has them as a condition.

    A trust policy names no resource, since it belongs to one.
    """
    statements = []
    for statement in listed(document["Statement"]):
        rest = {
            name: value for name, value in statement.items() if name not in {"Principal", "Sid"}
        }
        assert statement["Principal"].keys() == {"Service"}, statement
        services = {"aws:PrincipalServiceName": statement["Principal"]["Service"]}
        given = statement.get("Condition", {})
        equals = {**given.get("StringEquals", {}), **services}
        conditions = {**given, "StringEquals": equals}
        statements.append({"Resource": resource or "*", **rest, "Condition": conditions})
    return {"Version": "2012-10-17", "Statement": statements}


def resource_policy(lab: Lab, arn: str) -> Document:
    """Read the policy of a function, a topic or a queue."""
    kind, name = arn.split(":")[2], arn.split(":", 5)[5]
    if kind == "lambda":
        _, function, *qualifier = name.split(":")
        more = {"Qualifier": qualifier[0]} if qualifier else {}
        text = lab.client("lambda").get_policy(FunctionName=function, **more)["Policy"]
    elif kind == "sns":
        text = lab.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]
    else:
        assert kind == "sqs", f"say here how the policy of {arn} is read"
        url = lab.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
        asked = lab.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        text = asked["Attributes"]["Policy"]
    document: Document = json.loads(text)
    return document


# --- what a role may do


def test_machines_schedules_and_rules_may_do_what_they_need_and_no_part_is_more(lab: Lab) -> None:
    by_arn, needed_by = {role.arn: role for role in roles(lab)}, needed(lab)
    assert needed_by
    for arn, things in needed_by.items():
        asked = [asking(thing) for thing in sorted(things)]
        assert superfluous(by_arn[arn].policies, asked) == [], by_arn[arn].logical_id


def test_they_may_do_nothing_beside(lab: Lab) -> None:
    by_arn = {role.arn: role for role in roles(lab)}
    for arn, things in needed(lab).items():
        beside = [each for thing in things for each in _beside(thing)]
        (answers,) = allowed(beside, [tuple(by_arn[arn].policies.values())])
        assert not any(answers), by_arn[arn].logical_id


def asking(need: Need) -> Context:
    return request(need.action, need.resource, **dict(need.keys))


def _beside(need: Need) -> list[Context]:
    """Give what is near to something needed: another resource, the unqualified one, another action."""
    action, resource, keys = need.action, need.resource, dict(need.keys)
    parts = resource.split(":")
    name = 6 if len(parts) > 6 else 5
    other = [*parts[:name], f"{parts[name]}-other", *parts[name + 1 :]]
    found = [request(action, ":".join(other), **keys)]
    # With the same key unlike, or not told.
    found += [request(action, resource, **{**keys, name: "other"}) for name in keys]
    found += [request(action, resource)] * bool(keys)
    if action == "lambda:InvokeFunction" and len(parts) > 7:
        found.append(request(action, ":".join(parts[:7])))
    more = {"lambda": "UpdateFunctionCode", "states": "StopExecution", "sns": "DeleteTopic"}
    service = action.partition(":")[0]
    return [*found, request(f"{service}:{more.get(service, 'Anything')}", resource)]


# --- who may be lent a role


def test_every_role_is_lent_to_somebody(lab: Lab) -> None:
    assert {role.arn for role in roles(lab)} == {use.arn for use in uses(lab)}


def test_each_role_is_lent_to_whom_it_is_for_and_to_nobody_else(lab: Lab) -> None:
    for role in roles(lab):
        trust = {"trust": by_service(role.trust)}
        assert superfluous(trust, _loans(lab, role)) == [], role.logical_id


def _loans(lab: Lab, role: Role) -> list[Context]:
    return [
        request(
            "sts:AssumeRole",
            aws__PrincipalServiceName=use.service,
            aws__SourceAccount=ACCOUNT,
            aws__SourceArn=use.source,
        )
        for use in uses(lab)
        if use.arn == role.arn
    ]


# --- rules that need no role


def test_a_rule_reaches_its_target_and_no_other_rule_does(lab: Lab) -> None:
    for rule, target in rules(lab):
        if "RoleArn" not in target:
            policy = by_service(resource_policy(lab, target["Arn"]), target["Arn"])
            assert reached(policy, rule, target) == [True, False, False, False], (rule, policy)


def reached(policy: Document, rule: str, target: Mapping[str, Any]) -> list[bool]:
    """Tell who reaches a target: the rule; another one; one that does not tell which; another service."""
    ((action, arn, _),) = target_needs({"Arn": target["Arn"]})
    events, name = {"aws__PrincipalServiceName": "events.amazonaws.com"}, "aws__SourceArn"
    whose = [
        {**events, name: rule},
        {**events, name: f"{rule}-other"},
        events,
        {"aws__PrincipalServiceName": "s3.amazonaws.com", name: rule},
    ]
    (answer,) = allowed([request(action, arn, **keys) for keys in whose], [[policy]])
    return answer


def test_the_stacks_alarms_reach_the_topic_and_no_others_do(lab: Lab) -> None:
    """Nobody else is let in by the topic itself; who publishes has a role that says so."""
    topic = lab.stack_outputs["NoticeTopicArn"]
    policy = by_service(resource_policy(lab, topic), topic)
    names = list(resources(lab, "AWS::CloudWatch::Alarm").values())
    described = lab.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert len(described) == len(names) > 5
    mine = [alarm["AlarmArn"] for alarm in described]
    alarms, name = {"aws__PrincipalServiceName": "cloudwatch.amazonaws.com"}, "aws__SourceArn"
    whose = [{**alarms, name: each} for each in mine]
    whose += [
        {**alarms, name: mine[0].replace(f":alarm:{STACK}-", ":alarm:other-")},
        {**alarms, name: mine[0].replace(ACCOUNT, "111111111111")},
        alarms,
        {"aws__PrincipalServiceName": "events.amazonaws.com", name: mine[0]},
    ]
    (answer,) = allowed([request("sns:Publish", topic, **keys) for keys in whose], [[policy]])
    assert answer == [True] * len(mine) + [False] * 4


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"ArnLike": {"AWS:SourceArn": "the-rule"}}, [True, False, False, False]),
        ({}, [True, True, True, False]),
        ({"StringEquals": {"AWS:SourceAccount": ACCOUNT}}, [False, False, False, False]),
        ({"ArnLike": {"AWS:SourceArn": "the-r*"}}, [True, True, False, False]),
    ],
)
def test_a_permission_for_every_rule_is_noticed(
    condition: dict[str, Any], answer: list[bool]
) -> None:
    target = "arn:aws:lambda:us-east-1:000000000000:function:close"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": target,
        "Condition": condition,
    }
    assert reached(by_service({"Statement": [statement]}), "the-rule", {"Arn": target}) == answer
