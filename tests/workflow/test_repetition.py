"""Every function that writes, called twice with the same plan: the second call finds it done."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.lab import Lab
from mta_sts.instants import stamp

OLD = "v=STSv1; id=20200425085700;"
POLICY = "version: STSv1\nmode: enforce\nmx: mail.example\nmax_age: 604800\n"
DOMAIN = "twice.example"


class Functions:
    """The functions' versions as the state machine calls them."""

    def __init__(self, lab: Lab) -> None:
        self._lambda = lab.client("lambda")
        machine = lab.client("stepfunctions").describe_state_machine(
            stateMachineArn=lab.stack_outputs["StateMachineArn"]
        )
        states = json.loads(machine["definition"])["States"]
        self._arns = {
            name: state["Arguments"]["FunctionName"]
            for name, state in states.items()
            if state["Type"] == "Task" and "lambda" in state["Resource"]
        }
        self.settings = states["Begin"]["Assign"]["settings"]

    def call(self, state: str, payload: dict[str, Any]) -> Any:
        answer = self._lambda.invoke(FunctionName=self._arns[state], Payload=json.dumps(payload))
        result = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result


@pytest.fixture(scope="module")
def functions(lab: Lab) -> Iterator[Functions]:
    lab.add_domain(DOMAIN, policies=[POLICY], record=["neighbour", OLD], ttl=1, cdn_seconds=600)
    yield Functions(lab)
    lab.heal(DOMAIN)


EXECUTION = {
    "arn": "arn:aws:states:us-east-1:000000000000:execution:m:twice",
    "started_at": "2020-01-01T04:05:06Z",
}
REQUEST = {"domain": DOMAIN, "method": "none-policy"}


@pytest.fixture(scope="module")
def plan(functions: Functions) -> Any:
    event = {"request": REQUEST, "execution": EXECUTION, "settings": functions.settings}
    made = functions.call("Plan Change", event)["plan"]
    functions.call("Claim Domain", {"plan": made, "request": REQUEST, "execution": EXECUTION})
    return made


def test_claiming_twice(functions: Functions, plan: Any) -> None:
    event = {"plan": plan, "request": REQUEST, "execution": EXECUTION}
    first, second = functions.call("Claim Domain", event), functions.call("Claim Domain", event)
    assert second["claimed"] == first["claimed"] == DOMAIN
    assert second["notice"]["plan"] == first["notice"]["plan"]


def test_publishing_twice_makes_one_version(functions: Functions, plan: Any, lab: Lab) -> None:
    first = functions.call("Publish Policy", {"plan": plan})
    assert functions.call("Publish Policy", {"plan": plan}) == first
    bucket, key = lab.policy_object(DOMAIN)
    listed = lab.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    assert len(listed) == 2


def test_purging_twice_makes_one_invalidation(functions: Functions, plan: Any, lab: Lab) -> None:
    published = functions.call("Publish Policy", {"plan": plan})
    since = published["published_at"]
    event = {
        "plan": plan, "published": published, "since": since, "caches": None, "execution": EXECUTION,
    }  # fmt: skip
    lab.hold_invalidations(DOMAIN)
    first = functions.call("Purge CDN", event)
    second = functions.call("Purge CDN", event | {"caches": first})
    assert first["status"] == second["status"]
    assert "InProgress" in first["status"]
    assert not second["ready"]
    lab.heal(DOMAIN)
    completed = functions.call("Purge CDN", event | {"caches": second})
    assert "Completed" in completed["status"]
    later = functions.call("Purge CDN", event | {"caches": completed})
    assert later["completed_at"] == completed["completed_at"]
    distribution = plan["policy"]["distribution_id"]
    listed = lab.client("cloudfront").list_invalidations(DistributionId=distribution)[
        "InvalidationList"
    ]
    assert len(listed["Items"]) == 1


def test_changing_the_id_twice(functions: Functions, plan: Any, lab: Lab) -> None:
    event = {"plan": plan, "step": "change"}
    functions.call("Change Id", event)
    once = lab.client("route53").list_resource_record_sets(HostedZoneId=lab.zone_id(DOMAIN))[
        "ResourceRecordSets"
    ]
    second = functions.call("Change Id", event)
    assert second["change_id"]  # there is something to wait for, whichever call had the effect
    twice = lab.client("route53").list_resource_record_sets(HostedZoneId=lab.zone_id(DOMAIN))[
        "ResourceRecordSets"
    ]
    assert twice == once


def test_recording_a_failure_twice(functions: Functions, plan: Any) -> None:
    event = {
        "request": REQUEST,
        "plan": plan,
        "execution": EXECUTION,
        "failure": {"Error": "X", "Cause": "y"},
        "failed_state": "Confirm",
        "outcome": None,
    }
    first, second = functions.call("Record Failure", event), functions.call("Record Failure", event)
    assert second | {"at": ""} == first | {"at": ""}


def test_deleting_the_record_twice(functions: Functions, lab: Lab) -> None:
    domain = "deleted-twice.example"
    lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    request = {"domain": domain, "method": "delete-record", "longest_max_age": 604800}
    event = {"request": request, "execution": EXECUTION, "settings": functions.settings}
    deletion = {"plan": functions.call("Plan Change", event)["plan"], "step": "change"}
    first = functions.call("Delete Record", deletion)
    assert first["change_id"]
    second = functions.call("Delete Record", deletion)
    # There is no change to ask for, so its time is waited out from now.
    assert second["change_id"] == ""
    soon = datetime.now(UTC) + timedelta(minutes=1)
    waiting = deletion | {"step": "await", "changed": second, "since": stamp(soon)}
    check = functions.call("Delete Record", waiting)
    assert not check["ready"]
    assert 0 < check["pause_seconds"] <= 64  # two seconds from then, in whole ones
    earlier = waiting | {"since": EXECUTION["started_at"]}
    assert functions.call("Delete Record", earlier)["ready"]
