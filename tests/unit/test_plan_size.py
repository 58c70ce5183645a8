"""A plan travels through the workflow, which carries 256 KiB: what fits, and what is said of the rest."""

import json
from typing import Any

import pytest

from mta_sts.errors import PolicyUnreadableError
from mta_sts.observed import History, Version
from tests.unit.plans import ENFORCE, LONG_AGO, answered, findings, forever, plan, stored


def versions(many: int) -> History:
    """As many policies, each with a host of its own."""
    bodies = (ENFORCE + b"mx: mx%d.example\n" % number for number in range(many))
    return History(tuple(Version(f"v{n}", LONG_AGO, one) for n, one in enumerate(bodies)), LONG_AGO)


LONG_NAMES = [f"mx{number}.{'a' * 60}.{'b' * 60}.{'c' * 60}.example" for number in range(20)]


def test_a_plan_that_no_workflow_can_carry_is_refused_by_what_is_large() -> None:
    many = findings(history=versions(3000))
    with pytest.raises(PolicyUnreadableError) as caught:
        plan(many, new_mx=["a.example", "b.example"])
    assert str(caught.value).startswith(
        "The plan would be larger than 120000 bytes, more than a workflow can carry: 3000 versions of the"
        " policy, 0 recorded changes of the id, 2 hosts in new_mx, 0 addresses of the policy host. Nothing"
        " was changed."
    )
    served = [answered(address=f"192.0.2.{number}") for number in range(48)]
    with pytest.raises(
        PolicyUnreadableError, match=r"0 hosts in new_mx, 48 addresses of the policy"
    ):
        forever(many, *served)


@pytest.mark.parametrize("asked", [{}, {"method": "delete-record", "publish_none": True}])
def test_many_hosts_and_many_versions_fit(asked: dict[str, Any]) -> None:
    """Each version tells which of the hosts it refuses, by their places."""
    made = plan(findings(history=versions(200)), new_mx=LONG_NAMES, **asked)
    assert [body["refuses"] for body in made.bodies] == [list(range(20))] * 200
    assert len(json.dumps(made.to_dict())) < 120_000
    named = plan(findings(history=versions(3)), new_mx=["mx1.example", "mx9.example"])
    assert [body["refuses"] for body in named.bodies] == [[0, 1], [1], [0, 1]]


@pytest.mark.parametrize("filling", [b"\n", "é".encode(), b"\xff", b"x"])
def test_the_largest_policy_is_announced_anew(filling: bytes) -> None:
    """64 KiB, the most that senders read, whatever JSON would make of it."""
    body = (ENFORCE + filling * 65_536)[:65_535]
    made = plan(findings(policy=stored(body)), method="change-id")
    assert made.policy.body == body
    assert not made.policy.write
    assert len(json.dumps(made.to_dict())) < 120_000
