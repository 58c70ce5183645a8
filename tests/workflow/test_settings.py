"""The stack's settings, each doing what its description says, in a lab of their own."""

import json
from collections.abc import Iterator

import pytest

from local.lab import Lab
from tests.workflow.scene import entered

OLD = "v=STSv1; id=20200425085700;"
POLICY = b"version: STSv1\nmode: enforce\nmx: mail.example\nmax_age: 604800\n"
NONE = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
ACCOUNT, CACHE_SECONDS = "000000000000", 6
PARAMETER, ROLE = "/mta-sts/locations", "dns-account"
BUCKET, KEY = "elsewhere", "policies/special.txt"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    parameters = {
        "PolicyLocationsParameter": PARAMETER,
        "PolicyLocationArns": f"arn:aws:s3:::{BUCKET},arn:aws:s3:::{BUCKET}/{KEY}",
        "DistributionId": "none",
        "OtherCacheSeconds": str(CACHE_SECONDS),
        "DnsRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
    }
    with Lab(parameters=parameters) as running:
        role_of_the_dns_account(running)
        running.client("s3").create_bucket(Bucket=BUCKET)
        versioning = {"Status": "Enabled"}
        running.client("s3").put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration=versioning
        )
        yield running


def role_of_the_dns_account(lab: Lab) -> None:
    iam = lab.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "sts:AssumeRole",
    }
    allowed = {"Effect": "Allow", "Action": "route53:*", "Resource": "*"}
    iam.create_role(
        RoleName=ROLE,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    iam.put_role_policy(
        RoleName=ROLE,
        PolicyName="dns",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )


def locations(lab: Lab, text: str) -> None:
    lab.client("ssm").put_parameter(Name=PARAMETER, Value=text, Type="String", Overwrite=True)


def test_an_exception_says_where_a_policy_lives_and_other_caches_are_waited_for(lab: Lab) -> None:
    domain = "special.example"
    lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    s3 = lab.client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=POLICY, ContentType="text/plain")
    lab.policy_hosts.serve(domain, BUCKET, KEY, None)
    locations(lab, json.dumps({domain: {"bucket": BUCKET, "key": KEY}}))
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == NONE
    usual_bucket, usual_key = lab.policy_object(domain)
    assert s3.get_object(Bucket=usual_bucket, Key=usual_key)["Body"].read() == POLICY
    # A cache that is not ours may keep the old policy for so long after the write.
    written = s3.get_object(Bucket=BUCKET, Key=KEY)["LastModified"]  # in whole seconds, cut off
    waited = entered(run, "Change Id") - written
    assert waited.total_seconds() >= CACHE_SECONDS + 1


def test_other_domains_live_where_the_patterns_say(lab: Lab) -> None:
    domain = "usual.example"
    lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    locations(lab, "{}")
    run = lab.run({"domain": domain, "method": "none-policy", "dry_run": True})
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["policy"]["bucket"] == f"mta-sts.{domain}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json", "must be JSON"),
        ("[]", "must be JSON"),
        ('{"broken.example": {"buket": "b"}}', "buket"),
    ],
)
def test_exceptions_that_cannot_be_read_are_refused(lab: Lab, text: str, said: str) -> None:
    domain = "broken.example"
    if domain not in str(lab.client("route53").list_hosted_zones()["HostedZones"]):
        lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    locations(lab, text)
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert (run.status, run.error) == ("FAILED", "PolicyUnreadableError")
    assert run.cause is not None
    assert said in run.cause
    assert run.cause.startswith("MTA-STS is still on")


def test_without_the_role_of_the_dns_account_nothing_is_changed(lab: Lab) -> None:
    """Route 53 is asked by that role alone: the functions' own have no permission there."""
    domain = "no-role.example"
    lab.add_domain(domain, policies=[POLICY], record=[OLD], ttl=1)
    locations(lab, "{}")
    lab.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="dns")
    try:
        run = lab.run({"domain": domain, "method": "none-policy"})
    finally:
        lab.client("iam").delete_role(RoleName=ROLE)
        role_of_the_dns_account(lab)
    assert run.status == "FAILED"
    assert run.cause is not None
    assert run.cause.startswith("MTA-STS is still on")
    assert "AccessDenied" in run.cause
