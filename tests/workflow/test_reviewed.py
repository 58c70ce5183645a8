"""What can feign an end: old policies that come back, caches nobody named, ids and versions of the past."""

import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.account import record_set
from local.deploy import STACK
from local.lab import Lab
from local.runs import Run
from local.world.cdn import Cdn, CloudFrontInvalidations
from local.world.web import PATH
from mta_sts.instants import instant
from tests.workflow.scene import (
    NONE_POLICY,
    POLICY,
    RECORD,
    add,
    entered,
    forget,
    mail,
    reaches,
    start_beside_a_stale_resolver,
    waits_until,
)
from tests.workflow.watch import (
    HALF,
    STILL_ON,
    check_failure,
    none_policy,
    only_line,
    served,
    snapshot,
    txt_values,
)

LAGGING = 1  # a name server
WEEK = timedelta(seconds=604800)


def edges(lab: Lab, domain: str) -> set[bytes]:
    """Return what the addresses of the policy host serve."""
    host = f"mta-sts.{domain}"
    addresses = lab.policy_hosts.addresses
    return {lab.policy_hosts.answer(host, host, each, PATH).body for each in addresses}


def definition(lab: Lab) -> Any:
    """Return the state machine's definition, to be changed."""
    machine = lab.client("stepfunctions").describe_state_machine(
        stateMachineArn=lab.stack_outputs["StateMachineArn"]
    )
    return json.loads(machine["definition"])


def start_copy(lab: Lab, name: str, states: Any, event: object, role: str = "") -> Run:
    """Start a copy of the state machine that has this definition, by the stack's own role or another."""
    client = lab.client("stepfunctions")
    own = client.describe_state_machine(stateMachineArn=lab.stack_outputs["StateMachineArn"])
    copy = client.create_state_machine(
        name=name, definition=json.dumps(states), roleArn=role or own["roleArn"]
    )
    return Run.start(client, copy["stateMachineArn"], event)


def start_with(lab: Lab, domain: str, **settings: str) -> Run:
    """Start a run where the stack has these settings: they come with the definition."""
    states = definition(lab)
    given = states["States"]["Begin"]["Assign"]["settings"]
    assert given.keys() >= settings.keys()
    given |= settings
    return start_copy(lab, domain.partition(".")[0], states, none_policy(domain))


# --- an old policy that is served once more, under the new id


def put_back_by_hand(lab: Lab, domain: str) -> None:
    lab.account.put_policy(*lab.policy_object(domain), POLICY)


def serve_a_stale_mirror(lab: Lab, domain: str) -> None:
    mirror, key = f"mirror.{domain}", lab.policy_object(domain)[1]
    lab.account.make_bucket(mirror)
    lab.account.put_policy(mirror, key, POLICY)
    lab.policy_hosts.wrong_bucket(domain, mirror)


def serve_anothers(lab: Lab, domain: str) -> None:
    lab.wrong_bucket(domain)


OLD_ONE = "an earlier policy, the one before this run (sha256 "


@pytest.mark.parametrize(
    ("put_back", "state", "changed", "found"),
    [
        pytest.param(
            put_back_by_hand, STILL_ON, "record; the policy was put back", OLD_ONE, id="in-bucket"
        ),
        pytest.param(serve_a_stale_mirror, HALF, "policy and record", OLD_ONE, id="by-mirror"),
        pytest.param(serve_anothers, HALF, "policy and record", "a valid policy", id="anothers"),
    ],
)
def test_another_policy_under_the_new_id_is_ended_by_another_id(
    lab: Lab,
    domain: str,
    put_back: Callable[[Lab, str], None],
    state: str,
    changed: str,
    found: str,
) -> None:
    """Who fetches it keeps it: waiting until the host is fine again would help nobody."""
    add(lab, domain, ttl=1)
    lab.lag(domain, server=LAGGING)  # so that there is time, however slow the machine
    run = lab.start(none_policy(domain))
    assert reaches(run, "Wait For Name Servers") == "Wait For Name Servers"
    put_back(lab, domain)
    before, first = snapshot(lab, domain), txt_values(lab, domain)
    lab.name_servers_world.catch_up(LAGGING, domain)
    forget(lab, domain)
    assert mail(lab, domain) == "refused"  # and the sender holds it under the new id
    assert reaches(run, "Wait To Confirm") == "FAILED"
    told = (
        f"https://mta-sts.{domain}/.well-known/mta-sts.txt served another policy after the id was",
        "only another id ends that",
        "run again for a fresh id",
    )
    text = check_failure(
        run, "PolicyNotServedError", before, *told, state=state, changed=changed, since="nothing"
    )
    line = only_line(text, f"- {lab.policy_hosts.addresses[0]}: ")
    assert found in line

    lab.policy_hosts.heal(domain)
    forget(lab, domain)
    if served(lab, domain) == NONE_POLICY:
        assert mail(lab, domain) == "refused"  # a host that is mended does not mend the sender
    again = lab.run(none_policy(domain))
    assert again.status == "SUCCEEDED", again.cause
    assert served(lab, domain) == NONE_POLICY
    assert len({f'"{RECORD}"', *first, *txt_values(lab, domain)}) == 3
    forget(lab, domain)
    assert mail(lab, domain) == "delivered"


# --- caches that the settings do not know, or know wrongly


def check_unknown_cache_refused(lab: Lab, domain: str, start: Callable[[], Run]) -> None:
    assert edges(lab, domain) == {POLICY.encode()}
    before = snapshot(lab, domain)
    run = start()
    assert reaches(run, "Publish Policy") == "FAILED"
    told = (
        f"A cache stands in front of mta-sts.{domain} that this stack's settings do not know",
        "Name the distribution (DistributionId)",
        "the longest time for which the cache may keep a policy (OtherCacheSeconds)",
        "Nothing was changed.",
    )
    text = check_failure(run, "PolicyNotServedError", before, *told)
    for address in lab.policy_hosts.addresses:
        line = only_line(text, f"- {address}: ")
        assert "Age " in line
        assert "X-Cache Hit from cloudfront" in line


def test_a_cdn_that_the_settings_deny_is_found_out(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    check_unknown_cache_refused(
        lab,
        domain,
        lambda: start_with(lab, domain, distribution_id="none", other_cache_seconds="0"),
    )


def test_a_cdn_of_another_account_is_found_out(lab: Lab, domain: str) -> None:
    """No distribution here has the alias: there is none to be invalidated."""
    add(lab, domain)
    theirs = Cdn("ETHEIRS", 600, CloudFrontInvalidations(lab.client("cloudfront")))
    lab.policy_hosts.serve(domain, *lab.policy_object(domain), theirs)
    lab.policy_hosts.warm(domain)
    check_unknown_cache_refused(lab, domain, lambda: lab.start(none_policy(domain)))


def allow_distributions_to_be_read(lab: Lab) -> None:
    """Allow planning what it may where the stack's settings name a distribution; this lab's name none."""
    role = lab.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="PlanChangeRole"
    )["StackResourceDetail"]["PhysicalResourceId"]
    statement = {"Effect": "Allow", "Action": "cloudfront:GetDistribution", "Resource": "*"}
    lab.client("iam").put_role_policy(
        RoleName=role,
        PolicyName="distributions",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def test_a_distribution_without_the_alias_is_not_invalidated(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    other = lab.account.make_distribution(f"other.{domain}")
    before = snapshot(lab, domain)
    allow_distributions_to_be_read(lab)
    run = start_with(lab, domain, distribution_id=other)
    assert reaches(run, "Claim Domain") == "FAILED"
    told = (
        f"The distribution {other}",
        f"does not have mta-sts.{domain}",
        "Correct DistributionId",
    )
    check_failure(run, "PolicyNotServedError", before, *told)
    listed = lab.client("cloudfront").list_invalidations(DistributionId=other)
    assert not listed["InvalidationList"].get("Items")


# --- versions and ids of the past


def references(lab: Lab, domain: str) -> list[str]:
    """Return the references of the product's own invalidations."""
    client, distribution = lab.client("cloudfront"), lab.account.distribution_id(domain)
    listed = client.list_invalidations(DistributionId=distribution)["InvalidationList"]
    found = [
        client.get_invalidation(DistributionId=distribution, Id=each["Id"])
        for each in listed.get("Items", [])
    ]
    given = [each["Invalidation"]["InvalidationBatch"]["CallerReference"] for each in found]
    return [each for each in given if each.startswith("mta-sts-off-")]


def test_a_version_that_is_the_present_one_again_is_purged_again(lab: Lab, domain: str) -> None:
    """What stood there in between may be in any cache, though its version is gone."""
    add(lab, domain, ttl=1, cdn_seconds=600)
    assert lab.run(none_policy(domain)).status == "SUCCEEDED"
    bucket, key = lab.policy_object(domain)
    s3 = lab.client("s3")
    put = s3.put_object(Bucket=bucket, Key=key, Body=POLICY.encode(), ContentType="text/plain")
    paths = {"Quantity": 1, "Items": [PATH]}
    lab.client("cloudfront").create_invalidation(
        DistributionId=lab.account.distribution_id(domain),
        InvalidationBatch={"Paths": paths, "CallerReference": "by hand"},
    )
    lab.policy_hosts.warm(domain)
    s3.delete_object(Bucket=bucket, Key=key, VersionId=put["VersionId"])
    assert (served(lab, domain), edges(lab, domain)) == (NONE_POLICY, {POLICY.encode()})

    again = lab.start(none_policy(domain))
    assert reaches(again, "Check Served Policy") == "Check Served Policy"
    assert len(set(references(lab, domain))) == 2
    assert again.wait().status == "SUCCEEDED", again.cause
    assert edges(lab, domain) == {NONE_POLICY}
    assert again.output["changed"] == "record"
    # It was seen to be served just before: whoever fetched it may hold it for its whole max_age.
    assert instant(again.output["known_off_at"]) >= entered(again, "Check Host") + WEEK


def test_an_id_that_was_put_back_makes_old_policies_young_again(lab: Lab, domain: str) -> None:
    """Senders that know it have renewed what they hold; the record of the first run is worth nothing."""
    add(lab, domain, ttl=1)
    first = lab.run(none_policy(domain))
    assert first.status == "SUCCEEDED", first.cause
    name = f"_mta-sts.{domain}"
    old = record_set(name, "TXT", 1, [f'"{RECORD}"'])
    lab.account.put_records(lab.zone_id(domain), old, action="UPSERT")
    forget(lab, domain)
    again = lab.run(none_policy(domain))
    assert again.status == "SUCCEEDED", again.cause
    gone = instant(again.output["moments"]["record_gone_at"])
    assert instant(again.output["known_off_at"]) >= gone + WEEK
    assert any("put back to 20200425085700" in warning for warning in again.output["warnings"])
    # As a comparison: undisturbed, a third run believes the record of the second.
    third = lab.run(none_policy(domain))
    assert third.output["known_off_at"] == again.output["known_off_at"]


# --- the record: who answers for it, and until when


def test_a_name_below_a_zone_cut_is_not_the_zones(lab: Lab, domain: str) -> None:
    """Route 53 holds a record there, and would change it; resolvers never ask for it."""
    sub, other = f"sub.{domain}", f"ns.{domain.partition('.')[0]}.elsewhere.example"
    add(lab, domain)
    add(lab, sub)
    lab.hosts.set(other, ipv4=["127.0.0.53"], ipv6=[], ttl=2)
    cut = record_set(sub, "NS", 2, [f"{other}."])
    lab.account.put_records(lab.zone_id(domain), cut)
    forget(lab, domain)
    before = snapshot(lab, sub)
    run = lab.start(none_policy(sub))
    assert reaches(run, "Claim Domain") == "FAILED"
    told = (
        f"The name servers of zone {domain} ({lab.zone_id(domain)}) refer to others for _mta-sts.{sub}",
        "a record in this zone would be seen by nobody",
        "Run where the delegated zone is.",
    )
    check_failure(run, "ZoneNotDelegatedError", before, *told)
    # The parent, above the cut, is the zone's own.
    run = lab.run(none_policy(domain, dry_run=True))
    assert run.status == "SUCCEEDED", run.cause


def test_an_old_record_that_is_seen_late_moves_the_dates(lab: Lab, domain: str) -> None:
    """The TTL was waited out, and a resolver gave the old record all the same."""
    add(lab, domain, ttl=5)
    run = start_beside_a_stale_resolver(lab, domain, none_policy(domain))
    lab.resolvers_world.serve_stale(1, 0, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    output = run.output
    gone = instant(output["moments"]["record_gone_at"])
    assert gone > waits_until(run)
    assert gone >= entered(run, "Wait To Confirm")
    assert output["conforming_off_at"] == output["moments"]["record_gone_at"]
    assert id_changes(lab, domain)[-1] == (txt_id(lab, domain), output["conforming_off_at"])


def id_changes(lab: Lab, domain: str) -> list[tuple[str, str]]:
    """Return the ids that the ledger has on record, each with the end of the record before it."""
    found = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
    )["Item"]
    changes = [each["M"] for each in found["id_changes"]["L"]]
    return [(each["id"]["S"], each["gone_at"]["S"]) for each in changes]


def txt_id(lab: Lab, domain: str) -> str:
    """Return the id that the record has."""
    (value,) = txt_values(lab, domain)
    return value.strip('"').partition("id=")[2].rstrip(";")


# --- AWS being busy

BUSY_TWICE = """
class TransientError(Exception):
    pass

class InvalidRequestError(Exception):
    pass

calls = []

def handler(event, context):
    calls.append(event)
    if len(calls) <= 2:
        raise TransientError(f"busy, call {len(calls)}")
    raise InvalidRequestError(f"call {len(calls)}")
"""


def test_a_busy_aws_is_tried_again_and_a_refusal_is_not(lab: Lab, domain: str) -> None:
    name = domain.partition(".")[0]
    iam = lab.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": ["states.amazonaws.com", "lambda.amazonaws.com"]},
             "Action": "sts:AssumeRole"}  # fmt: skip
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]  # fmt: skip
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam.put_role_policy(
        RoleName=name, PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )  # fmt: skip
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", BUSY_TWICE)
    function = lab.client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Handler="app.handler", Role=role,
        Code={"ZipFile": code.getvalue()}, Timeout=60,
    )["FunctionArn"]  # fmt: skip
    states = definition(lab)
    states["States"]["Plan Change"]["Arguments"]["FunctionName"] = function
    run = start_copy(lab, name, states, none_policy(domain), role).wait()
    assert (run.status, run.error) == ("FAILED", "InvalidRequestError"), run.cause
    assert "call 3" in (run.cause or "")
