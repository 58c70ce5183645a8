"""Takes a role's permissions apart: each statement, action, resource and condition, and the rest without it.

What no request needs is found by replay: with the element gone every request is still allowed. A
condition is needed where a request outside of it is denied with it, and allowed without.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.permissions.evaluator import Context, Document, allowed

# What lies outside of a condition, where a real value tells more than any other.
OUTSIDE = {
    "aws:sourceaccount": "111111111111",
    "route53:changeresourcerecordsetsnormalizedrecordnames": "www.solarmora.example",
    "route53:changeresourcerecordsetsrecordtypes": "A",
    "route53:changeresourcerecordsetsactions": "UPSERT",
}
ELSEWHERE = "outside"


@dataclass(frozen=True)
class Element:
    """A part of one statement in a role's policies; `rest` are all of its documents without it."""

    policy: str
    statement: str
    what: str
    rest: tuple[Document, ...]

    def __str__(self) -> str:
        return f"{self.policy}: {self.what}"


@dataclass(frozen=True)
class Condition(Element):
    """One condition key under one operator."""

    operator: str
    key: str
    value: Any


def elements(policies: Mapping[str, Document], parameter: Sequence[str] = ()) -> Iterator[Element]:
    """Give every statement, action, resource and value of a condition that can go by itself.

    The last of a list goes with its statement, the last value of a condition with the condition. What a
    `parameter` of the template lists is one resource there, and goes as one.
    AssertionError for what is not taken apart here: Deny, NotAction, NotResource.
    """
    for policy, index, statement in _statements(policies):
        assert statement["Effect"] == "Allow", f"{policy}: teach this file how to prove a Deny"
        assert not {"NotAction", "NotResource"} & statement.keys(), f"{policy}: name what is meant"
        text, actions = _text(statement), listed(statement["Action"])
        called = f"{', '.join(actions)} on {_briefly(listed(statement['Resource']))}"
        yield Element(policy, text, called, _without(policies, policy, index, ()))
        for path, values in _lists(statement):
            for value in values if len(values) > 1 and values != list(parameter) else ():
                rest = _without(policies, policy, index, path, value)
                yield Element(policy, text, f"{path[-1]} {value} of {called}", rest)


def conditions(policies: Mapping[str, Document]) -> Iterator[Condition]:
    """Give every condition."""
    for policy, index, statement in _statements(policies):
        for operator, keys in statement.get("Condition", {}).items():
            for key, value in keys.items():
                rest = _without(policies, policy, index, ("Condition", operator, key))
                what = f"{operator} {key} of {', '.join(listed(statement['Action']))}"
                yield Condition(policy, _text(statement), what, rest, operator, key, value)


def superfluous(
    policies: Mapping[str, Document], requests: Sequence[Context], parameter: Sequence[str] = ()
) -> list[Element]:
    """Give the elements without which all of these requests, allowed now, would still be allowed."""
    whole = list(elements(policies, parameter))
    answers = allowed(requests, [tuple(policies.values()), *(each.rest for each in whole)])
    assert all(answers[0]), f"denied: {_denied(requests, answers[0])}"
    found = [each for each, answer in zip(whole, answers[1:], strict=True) if all(answer)]
    return [*found, *_idle(policies, requests)]


def _idle(policies: Mapping[str, Document], requests: Sequence[Context]) -> list[Element]:
    """Give the conditions by which alone no request outside of them is denied."""
    whole = list(conditions(policies))
    outside = [[_outside(context, each) for context in requests] for each in whole]
    asked = [context for contexts in outside for context in contexts]
    with_all, *without = allowed(asked, [tuple(policies.values()), *(each.rest for each in whole)])
    found: list[Element] = []
    for position, each in enumerate(whole):
        own = range(position * len(requests), (position + 1) * len(requests))
        if not any(without[position][index] and not with_all[index] for index in own):
            found.append(each)
    return found


def _outside(context: Context, condition: Condition) -> Context:
    """Change a request in nothing but the key of a condition, so that it no longer fits."""
    key = condition.key.lower()
    keys = dict(context["service_context"])
    present = keys.pop(key, None)
    if condition.operator != "Null":
        value = OUTSIDE.get(key, ELSEWHERE)
        keys[key] = [value] if isinstance(present, list) else value
    elif condition.value in ("true", ["true"]):
        keys[key] = ELSEWHERE
    return {**context, "service_context": keys}


def listed(value: Any) -> list[Any]:
    """Give what is one or several as a list."""
    return value if isinstance(value, list) else [value]


def _statements(policies: Mapping[str, Document]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for policy, document in policies.items():
        for index, statement in enumerate(listed(document["Statement"])):
            yield policy, index, statement


def _lists(statement: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Give every list in a statement, and the way to it."""
    for name in ("Action", "Resource"):
        yield (name,), listed(statement[name])
    for operator, keys in statement.get("Condition", {}).items():
        for key, value in keys.items():
            yield ("Condition", operator, key), listed(value)


def _without(
    policies: Mapping[str, Document],
    policy: str,
    index: int,
    path: Sequence[str],
    value: Any = None,
) -> tuple[Document, ...]:
    """Copy all documents but for one statement, what `path` leads to in it, or one value there."""
    copied = copy.deepcopy(dict(policies))
    statements = listed(copied[policy]["Statement"])
    if not path:
        del statements[index]
    else:
        *way, last = path
        inner = statements[index]
        for step in way:
            inner = inner[step]
        if value is None:
            del inner[last]
        else:
            inner[last].remove(value)
    copied[policy] = {**copied[policy], "Statement": statements}
    return tuple(copied.values())


def _briefly(resources: Sequence[str]) -> str:
    return resources[0] if len(resources) == 1 else f"{len(resources)} resources"


def _text(statement: Mapping[str, Any]) -> str:
    return json.dumps(statement, sort_keys=True)


def _denied(requests: Sequence[Context], answers: Sequence[bool]) -> list[str]:
    return [
        f"{request['action']} on {request['resource_arn']}"
        for request, answer in zip(requests, answers, strict=True)
        if not answer
    ]
