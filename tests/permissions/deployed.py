"""What the built template became in the lab: its roles, with all their policies, and who uses them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from local.deploy import STACK
from local.emulator import ACCOUNT, REGION
from local.lab import Lab
from tests.permissions.elements import listed
from tests.permissions.evaluator import Document


@dataclass(frozen=True)
class Role:
    """A role of the stack. `policies` maps the name of each, attached or its own, to its document."""

    logical_id: str
    name: str
    arn: str
    trust: Document
    policies: Mapping[str, Document]


def resources(lab: Lab, kind: str) -> dict[str, str]:
    """Map the logical id of each of the stack's resources of a type to its physical id."""
    pages = lab.client("cloudformation").get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages.paginate(StackName=STACK)
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind
    }


def roles(lab: Lab) -> list[Role]:
    """Read every role of the stack."""
    managed = {arn: name for name, arn in resources(lab, "AWS::IAM::ManagedPolicy").items()}
    return [
        _role(lab, logical_id, name, managed)
        for logical_id, name in sorted(resources(lab, "AWS::IAM::Role").items())
    ]


def _role(lab: Lab, logical_id: str, name: str, managed: Mapping[str, str]) -> Role:
    iam = lab.client("iam")
    found = iam.get_role(RoleName=name)["Role"]
    own = iam.list_role_policies(RoleName=name)["PolicyNames"]
    policies = {
        each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] for each in own
    }
    for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        arn = each["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        policies[managed.get(arn, arn)] = document["Document"]
    return Role(logical_id, name, found["Arn"], found["AssumeRolePolicyDocument"], policies)


# --- who uses them


@dataclass(frozen=True)
class Use:
    """A service that is lent a role (`arn`), for the sake of a resource of the stack (`source`)."""

    service: str
    arn: str
    source: str


def functions(lab: Lab) -> dict[str, str]:
    """Map each function of the stack, by its name, to the ARN of its role."""
    client = lab.client("lambda")
    names = resources(lab, "AWS::Lambda::Function").values()
    return {name: client.get_function_configuration(FunctionName=name)["Role"] for name in names}


def machines(lab: Lab) -> list[dict[str, Any]]:
    """Describe every state machine of the stack."""
    client = lab.client("stepfunctions")
    arns = resources(lab, "AWS::StepFunctions::StateMachine").values()
    return [dict(client.describe_state_machine(stateMachineArn=arn)) for arn in arns]


def schedules(lab: Lab) -> list[dict[str, Any]]:
    """Describe every schedule of the stack."""
    client = lab.client("scheduler")
    names = set(resources(lab, "AWS::Scheduler::Schedule").values())
    return [
        dict(client.get_schedule(Name=each["Name"], GroupName=each["GroupName"]))
        for page in client.get_paginator("list_schedules").paginate()
        for each in page["Schedules"]
        if {each["Name"], f"{each['GroupName']}/{each['Name']}", each["Arn"]} & names
    ]


def rules(lab: Lab) -> list[tuple[str, dict[str, Any]]]:
    """Give the ARN of each rule of the stack with each of its targets."""
    client = lab.client("events")
    # The physical id is the rule's name, or its bus, a bar and its name.
    names = [each.rpartition("|")[2] for each in resources(lab, "AWS::Events::Rule").values()]
    return [
        (client.describe_rule(Name=name)["Arn"], dict(target))
        for name in names
        for target in client.list_targets_by_rule(Rule=name)["Targets"]
    ]


def uses(lab: Lab) -> list[Use]:
    """Give everything that is lent a role."""
    found = [Use("lambda.amazonaws.com", arn, name) for name, arn in functions(lab).items()]
    found += [
        Use("states.amazonaws.com", machine["roleArn"], machine["stateMachineArn"])
        for machine in machines(lab)
    ]
    for schedule in schedules(lab):
        # A schedule is known to IAM by its group.
        group = schedule["Arn"].replace(":schedule/", ":schedule-group/").rpartition("/")[0]
        found.append(Use("scheduler.amazonaws.com", schedule["Target"]["RoleArn"], group))
    found += [
        Use("events.amazonaws.com", target["RoleArn"], rule)
        for rule, target in rules(lab)
        if "RoleArn" in target
    ]
    return found


# --- what a machine or a target needs


class Need(NamedTuple):
    """An action, what it is done to, and what else IAM is told of it (condition keys, `__` for `:`)."""

    action: str
    resource: str
    keys: tuple[tuple[str, str], ...] = ()


# The bus that events are put on where none is named.
DEFAULT_BUS = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
# What a state of each kind does, and the argument that names what it does it to.
INTEGRATIONS = {
    "arn:aws:states:::lambda:invoke": ("lambda:InvokeFunction", "FunctionName"),
    "arn:aws:states:::sns:publish": ("sns:Publish", "TopicArn"),
    "arn:aws:states:::states:startExecution": ("states:StartExecution", "StateMachineArn"),
}


def states(definition: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every state of a definition, those of branches and maps included."""
    for state in definition["States"].values():
        yield state
        inner = [*state.get("Branches", []), state.get("ItemProcessor"), state.get("Iterator")]
        for each in inner:
            if each:
                yield from states(each)


def needs(definition: Mapping[str, Any]) -> set[Need]:
    """Give the action and the resource of each task; KeyError for one of a kind not known here."""
    found = set()
    for state in states(definition):
        if state["Type"] != "Task":
            continue
        if state["Resource"].startswith("arn:aws:lambda:"):
            found.add(Need("lambda:InvokeFunction", state["Resource"]))
            continue
        arguments = state.get("Arguments") or state["Parameters"]
        if state["Resource"] == "arn:aws:states:::events:putEvents":
            found |= {_put(entry) for entry in arguments["Entries"]}
            continue
        action, argument = INTEGRATIONS[state["Resource"]]
        resource = arguments[argument]
        assert resource.startswith("arn:"), f"{resource} is known at run time only"
        found.add(Need(action, resource))
    return found


def _put(entry: Mapping[str, str]) -> Need:
    assert "EventBusName" not in entry, "say here which bus that is"
    keys = (("events__source", entry["Source"]), ("events__detail-type", entry["DetailType"]))
    return Need("events:PutEvents", DEFAULT_BUS, keys)


def target_needs(target: Mapping[str, Any]) -> set[Need]:
    """Give what the role of a schedule's or rule's target needs."""
    actions = {
        "lambda": "lambda:InvokeFunction",
        "states": "states:StartExecution",
        "sns": "sns:Publish",
        "sqs": "sqs:SendMessage",
    }
    arns = [target["Arn"], *listed(target.get("DeadLetterConfig", {}).get("Arn", []))]
    return {Need(actions[arn.split(":")[2]], arn) for arn in arns}
