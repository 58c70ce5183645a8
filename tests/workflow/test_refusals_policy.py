"""PolicyNotFoundError and PolicyUnreadableError: a policy object that is not there or not at hand."""

import json

from local.lab import Lab
from tests.workflow.watch import Snapshot, check_failure, none_policy, served, snapshot, txt_values

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
NONE_POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
RECORD = "v=STSv1; id=20200425085700;"
# Whoever it is, it is not the owner.
STRANGER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"


def added(lab: Lab, domain: str, *policies: str) -> Snapshot:
    """Set a domain up and look at it."""
    lab.add_domain(domain, policies=policies, record=[RECORD], ttl=2)
    return snapshot(lab, domain)


def uri(lab: Lab, domain: str) -> str:
    """Return the address of the policy object."""
    bucket, key = lab.policy_object(domain)
    return f"s3://{bucket}/{key}"


def deny(lab: Lab, domain: str, action: str) -> None:
    """Let the bucket's policy deny an action on its objects to everybody."""
    bucket, _ = lab.policy_object(domain)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    lab.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def test_no_object_and_create_policy_writes_exactly_the_none_policy(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    run = lab.run(none_policy(domain))
    told = (f"There is no policy object: {uri(lab, domain)}", "create_policy: true")
    check_failure(run, "PolicyNotFoundError", before, *told)

    run = lab.run(none_policy(domain, create_policy=True))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == "policy and record"
    assert served(lab, domain) == NONE_POLICY
    bucket, key = lab.policy_object(domain)
    assert lab.client("s3").head_object(Bucket=bucket, Key=key)["ContentType"] == "text/plain"
    assert txt_values(lab, domain) == [f'"v=STSv1; id={run.output["id"]["new"]};"']


def test_a_deleted_object_can_be_made_anew_too(lab: Lab, domain: str) -> None:
    added(lab, domain, POLICY)
    bucket, key = lab.policy_object(domain)
    lab.client("s3").delete_object(Bucket=bucket, Key=key)
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (f"There is no policy object: {uri(lab, domain)}", "create_policy: true")
    check_failure(run, "PolicyNotFoundError", before, *told)

    run = lab.run(none_policy(domain, create_policy=True))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == "policy and record"
    assert served(lab, domain) == NONE_POLICY


def test_no_bucket(lab: Lab, domain: str) -> None:
    lab.account.put_domain_records(domain, [RECORD], 2)
    lab.refresh()
    before = snapshot(lab, domain)
    told = ("There is no bucket for", uri(lab, domain), "PolicyBucket", "PolicyLocationsParameter")
    for create in (False, True):  # a bucket is more than this stack makes
        run = lab.run(none_policy(domain, create_policy=create))
        check_failure(run, "PolicyNotFoundError", before, *told)


def test_an_object_over_64_kib(lab: Lab, domain: str) -> None:
    before = added(lab, domain, POLICY + "x-filler: 1\r\n" * 6000)
    run = lab.run(none_policy(domain))
    told = (f"{uri(lab, domain)} is larger than 65536 bytes", "Put the real policy there")
    check_failure(run, "PolicyUnreadableError", before, *told)


def test_an_archived_object(lab: Lab, domain: str) -> None:
    added(lab, domain, POLICY)
    bucket, key = lab.policy_object(domain)
    lab.client("s3").put_object(
        Bucket=bucket,
        Key=key,
        Body=POLICY.encode(),
        ContentType="text/plain",
        StorageClass="GLACIER",
    )
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (f"{uri(lab, domain)} was moved to an archive class", "Restore it first")
    check_failure(run, "PolicyUnreadableError", before, *told)


def test_an_object_that_may_not_be_read(lab: Lab, domain: str) -> None:
    before = added(lab, domain, POLICY)
    deny(lab, domain, "s3:GetObject")
    run = lab.run(none_policy(domain))
    told = (
        f"S3 does not let this stack read {uri(lab, domain)}",
        "AccessDenied",
        "Check the bucket's policy, its KMS key",
    )
    check_failure(run, "PolicyUnreadableError", before, *told)


def test_an_object_that_may_not_be_written(lab: Lab, domain: str) -> None:
    before = added(lab, domain, POLICY)
    deny(lab, domain, "s3:PutObject")
    run = lab.run(none_policy(domain))
    told = (
        "in “Publish Policy”",
        f"S3 does not let this stack write {uri(lab, domain)}",
        "AccessDenied",
        "Check the bucket's policy",
    )
    check_failure(run, "PolicyUnreadableError", before, *told)


def test_grants_to_others_that_a_new_version_would_lose(lab: Lab, domain: str) -> None:
    before = added(lab, domain, POLICY)
    s3, (bucket, key) = lab.client("s3"), lab.policy_object(domain)
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    owner = s3.get_object_acl(Bucket=bucket, Key=key)["Owner"]["ID"]
    s3.put_object_acl(
        Bucket=bucket, Key=key, GrantRead=f'id="{STRANGER}"', GrantFullControl=f'id="{owner}"'
    )
    run = lab.run(none_policy(domain))
    told = (
        f"The ACL of {uri(lab, domain)} grants access to {STRANGER}",
        "Serve it by a bucket policy or a CDN, or remove the grants, and run again.",
    )
    check_failure(run, "PolicyUnreadableError", before, *told)
