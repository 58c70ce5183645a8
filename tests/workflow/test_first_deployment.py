"""The commands of docs/first-deployment.md and docs/starting.md, run as they stand there.

The lab has a stack already, which `make deploy` would make, and another world than CloudFront in which the
policy's bucket is served. Everything else is done by the page itself.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from local.account import policy_object
from local.lab import Lab
from local.world.cdn import Cdn
from tests.permissions.deployed import resources
from tests.workflow.commands import Shell, blocks
from tests.workflow.life import until_true
from tests.workflow.scene import POLICY, RECORD
from tests.workflow.test_doors import arrived, runs

DOCS = Path(__file__).parents[2] / "docs"
SANDBOX, CACHED_SECONDS = "sandbox.example", 60


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of its own: the page removes what others would need."""
    with Lab(parameters={"EventRequests": "yes"}) as running:
        yield running


def serve(lab: Lab, domain: str) -> None:
    """Do what CloudFront does: serve the bucket that the page has made, through edges that keep a copy."""
    (distribution,) = [
        one["Id"]
        for one in lab.client("cloudfront").list_distributions()["DistributionList"]["Items"]
        if f"mta-sts.{domain}" in one["Aliases"]["Items"]
    ]
    cdn = Cdn(distribution, CACHED_SECONDS, lab._invalidations)
    lab.policy_hosts.serve(domain, *policy_object(domain), cdn)
    lab.hosts.set(f"mta-sts.{domain}", ipv4=lab.policy_hosts.addresses[:2], ipv6=[], ttl=1)


def test_ways_to_start_a_run(lab: Lab, tmp_path: Path) -> None:
    for domain in ("solarmora.example", "asked.example"):
        lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=1)
    shell = Shell(lab, tmp_path)
    for block in blocks((DOCS / "starting.md").read_text()):
        shell.follow(block)
    assert arrived(lab, "asked.example").status == "SUCCEEDED"
    until_true("the schedules are there", lambda: len(schedules(lab)) == 3)
    assert runs(lab, "once.example") == []


def schedules(lab: Lab) -> list[str]:
    own = set(resources(lab, "AWS::Scheduler::Schedule").values())
    listed = lab.client("scheduler").list_schedules()["Schedules"]
    return [one["Name"] for one in listed if one["Name"] not in own]


def test_a_first_deployment(lab: Lab, tmp_path: Path) -> None:
    lab.account.make_zone(SANDBOX, 1)
    shell = Shell(lab, tmp_path, domain=SANDBOX)
    page = blocks((DOCS / "first-deployment.md").read_text())
    assert len(page) > 8
    for block in page:
        # Where people wait for a minute, a second is long enough.
        shell.follow(replace(block, script=block.script.replace('"TTL": 60', '"TTL": 1')))
        if "policy-host.yaml" in block.script:
            serve(lab, SANDBOX)
    assert [
        one for one in lab.client("s3").list_buckets()["Buckets"] if SANDBOX in one["Name"]
    ] == []
