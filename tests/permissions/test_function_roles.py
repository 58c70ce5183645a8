"""The functions' permissions, proven both ways: all that runs need is granted, and nothing else.

The lab records what each role asks for while the battery runs, in three stacks one after the other. Then
each part of each permission is taken away and the requests are decided again.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from local.emulator import Authorisation
from local.lab import Lab
from tests.permissions import battery
from tests.permissions.called import calling
from tests.permissions.deployed import Role, functions, roles
from tests.permissions.elements import Element, elements, superfluous
from tests.permissions.evaluator import Context, Document, allowed
from tests.permissions.failing import closing, disabling, looking, removing, sweeping
from tests.permissions.hooked import taking
from tests.permissions.mishaps import Expected
from tests.permissions.started import starting

SHIPPED = "as it ships"
CHANGE = "route53:ChangeResourceRecordSets"

# The functions that do each kind of write: one of each, and every front door starts runs.
WRITERS = {
    "s3:PutObject": ("PublishPolicy",),
    "s3:DeleteObject": ("RemovePolicy",),
    CHANGE: ("ChangeRecord",),
    "cloudfront:CreateInvalidation": ("PurgeCdn",),
    "states:StartExecution": ("SweepDue", "Api", "TakeHook", "StartRun"),
}

# What is really taken from a role, one by one: how the element begins, what it is for, who misses it.
TAKEN = [
    ("PlanChange", "Action s3:GetBucketVersioning of", "s3:GetBucketVersioning", disabling),
    ("ClaimDomain", "Action dynamodb:PutItem of", "dynamodb:PutItem", disabling),
    ("PublishPolicy", "Action s3:PutObject of", "s3:PutObject", disabling),
    ("PurgeCdn", "Action cloudfront:GetInvalidation of", "cloudfront:GetInvalidation", disabling),
    ("ChangeRecord", f"{CHANGE}Actions CREATE of", CHANGE, disabling),
    ("ChangeRecord", "route53:GetChange on", "route53:GetChange", disabling),
    ("RecordOutcome", "Action dynamodb:UpdateItem of", "dynamodb:UpdateItem", disabling),
    ("RemovePolicy", "s3:DeleteObject on", "s3:DeleteObject", removing),
    ("CheckDomain", "dynamodb:GetItem on", "dynamodb:GetItem", looking),
    ("SweepDue", "states:StartExecution on", "states:StartExecution", sweeping),
    ("Api", "states:StartExecution on", "states:StartExecution", calling),
    ("TakeHook", "states:StartExecution on", "states:StartExecution", taking),
    ("StartRun", "states:StartExecution on", "states:StartExecution", starting),
    ("CloseRun", "states:DescribeExecution on", "states:DescribeExecution", closing),
]


@dataclass(frozen=True)
class Stack:
    """A stack after its battery: how runs ended and should have, its roles, all that was asked for."""

    name: str
    ended: list[tuple[str, str, str]]
    roles: list[Role]
    asked: list[Authorisation]

    def requests(self, role: Role) -> list[Context]:
        """Give what a role was allowed, each once."""
        return contexts(each for each in self.asked if each.role == role.name)


def contexts(asked: Iterator[Authorisation]) -> list[Context]:
    """Give what requests were decided from, each once; who asked, and when, is left out."""
    found = [{**each.context, "principal_keys": {}} for each in asked]
    return list({json.dumps(each, sort_keys=True): each for each in found}.values())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of its own: its stack changes. It ends as it ships."""
    with Lab(parameters=battery.OTHER_SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def stacks(lab: Lab) -> dict[str, Stack]:
    others = _after(lab, "other settings", battery.with_other_settings)
    one = _after(lab, "one distribution", battery.with_one_distribution)
    lab._deploy(battery.SHIPPED_SETTINGS)
    shipped = _after(lab, SHIPPED, battery.shipped)
    return {each.name: each for each in (shipped, others, one)}


def _after(lab: Lab, name: str, run: Callable[[Lab], Expected]) -> Stack:
    before = len(lab.emulator.authorisations())
    try:
        ended = [(end, each.error or each.status, each.cause or "") for each, end in run(lab)]
    except Exception as error:
        error.add_note(f"Denied: {denied(lab.emulator.authorisations()[before:])}")
        raise
    lent = set(functions(lab).values())
    mine = [role for role in roles(lab) if role.arn in lent]
    return Stack(name, ended, mine, lab.emulator.authorisations()[before:])


def denied(asked: Iterable[Authorisation]) -> set[tuple[str, str, str]]:
    return {(each.role, each.action, each.resource) for each in asked if each.decision != "Allow"}


def test_every_run_ends_as_it_should(stacks: dict[str, Stack]) -> None:
    for stack in stacks.values():
        assert len(stack.ended) > 0
        assert [each for each in stack.ended if each[0] != each[1]] == [], stack.name


def test_no_run_is_denied_anything(stacks: dict[str, Stack]) -> None:
    asked = [each for stack in stacks.values() for each in stack.asked]
    assert len(asked) > 100
    assert denied(asked) == set()


def test_no_permission_is_without_need(stacks: dict[str, Stack]) -> None:
    """Each part of each, in the stack as it ships; in another stack, of the statements that it has more."""
    known = {
        (role.logical_id, element.statement)
        for role in stacks[SHIPPED].roles
        for element in elements(role.policies)
    }
    found = [
        f"{stack.name}: {role.logical_id}, {element}"
        for stack in stacks.values()
        for role in stack.roles
        for element in superfluous(role.policies, stack.requests(role), battery.LISTED)
        if stack.name == SHIPPED or (role.logical_id, element.statement) not in known
    ]
    assert found == []


# --- what nobody may


def test_only_those_functions_write_that_are_for_it(stacks: dict[str, Stack]) -> None:
    """Checks and plans cannot write, whatever goes wrong in them."""
    stack = stacks[SHIPPED]
    asked = contexts(each for each in stack.asked if each.action in WRITERS)
    assert {each["action"] for each in asked} == set(WRITERS)
    for role in stack.roles:
        (answers,) = allowed(asked, [tuple(role.policies.values())])
        may = {each["action"] for each, answer in zip(asked, answers, strict=True) if answer}
        name = role.logical_id.removesuffix("Role")
        own = {action for action, names in WRITERS.items() if name in names}
        assert may == own, role.logical_id


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NormalizedRecordNames", "www.solarmora.example"),
        ("NormalizedRecordNames", "solarmora.example"),
        ("RecordTypes", "MX"),
        ("RecordTypes", "A"),
        ("Actions", "UPSERT"),
        ("NormalizedRecordNames", None),
        ("RecordTypes", None),
        ("Actions", None),
    ],
)
def test_no_other_record_can_be_changed_and_none_by_upsert(
    stacks: dict[str, Stack], key: str, value: str | None
) -> None:
    """Not even beside the record, in one batch with it."""
    (role,) = [each for each in stacks[SHIPPED].roles if each.logical_id == "ChangeRecordRole"]
    asked = [each for each in stacks[SHIPPED].requests(role) if each["action"] == CHANGE]
    name, beside = f"{CHANGE}{key}".lower(), []
    for each in asked:
        keys = dict(each["service_context"])
        given = keys.pop(name)
        for values in [[value], [*given, value]] if value else [None]:
            more = {name: values} if values else {}
            beside.append({**each, "service_context": {**keys, **more}})
    (answers,) = allowed([*asked, *beside], [tuple(role.policies.values())])
    assert answers == [True] * len(asked) + [False] * len(beside)


# --- replay and reality


@pytest.mark.parametrize(
    ("function", "begins", "action", "work"), TAKEN, ids=[f"{each[0]}-{each[2]}" for each in TAKEN]
)
def test_without_a_permission_the_work_fails(
    lab: Lab,
    stacks: dict[str, Stack],
    function: str,
    begins: str,
    action: str,
    work: Callable[[Lab, str], str],
) -> None:
    """And the replay decides on each request as the emulator does."""
    role = next(each for each in stacks[SHIPPED].roles if each.logical_id == f"{function}Role")
    (element,) = [each for each in elements(role.policies) if each.what.startswith(begins)]
    with taken(lab, role, element):
        before = len(lab.emulator.authorisations())
        told = work(lab, f"{function}-{len(begins)}.example".lower())
        # Read before the role has all of it again: the rule may call a function at any moment.
        since = lab.emulator.authorisations()[before:]
    asked = [each for each in since if each.role == role.name]
    (replayed,) = allowed([each.context for each in asked], [element.rest])
    assert replayed == [each.decision == "Allow" for each in asked]
    assert {each.action for each in asked if each.decision != "Allow"} == {action}
    assert re.search("AccessDenied|SweepError", told), told


def test_every_function_of_a_run_has_something_taken(stacks: dict[str, Stack]) -> None:
    """Those aside that may write their log and nothing else."""
    lacking = {function for function, *_ in TAKEN}
    more = {
        role.logical_id.removesuffix("Role")
        for role in stacks[SHIPPED].roles
        if any(
            not request["action"].startswith("logs:") for request in stacks[SHIPPED].requests(role)
        )
    }
    assert more == lacking


@contextlib.contextmanager
def taken(lab: Lab, role: Role, element: Element) -> Iterator[None]:
    """Take an element away from a role of the lab."""
    iam = lab.client("iam")
    own = iam.list_role_policies(RoleName=role.name)["PolicyNames"]
    assert element.policy in own, "other roles have this policy as well"
    position = list(role.policies).index(element.policy)
    where = {"RoleName": role.name, "PolicyName": element.policy}

    def put(document: Document) -> None:
        if document["Statement"]:
            iam.put_role_policy(**where, PolicyDocument=json.dumps(document))
        else:
            iam.delete_role_policy(**where)

    put(element.rest[position])
    try:
        yield
    finally:
        put(role.policies[element.policy])
