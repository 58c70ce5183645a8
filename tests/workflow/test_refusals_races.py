"""ConcurrentChangeError, DomainBusyError and PlanChangedError: others are at work on the same domain."""

import pytest

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from tests.workflow.life import item, until_true
from tests.workflow.watch import (
    HALF,
    Snapshot,
    check_failure,
    claim,
    none_policy,
    served,
    snapshot,
    txt_values,
    wait_for_state,
)

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
BY_HAND = "version: STSv1\r\nmode: enforce\r\nmx: mx.by-hand.example\r\nmax_age: 604800\r\n"
NONE_POLICY = "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
RECORD, RECORD_BY_HAND = "v=STSv1; id=20200425085700;", "v=STSv1; id=byhand;"


def added(lab: Lab, domain: str, cdn_seconds: int = 0) -> Snapshot:
    """Set a domain up and look at it."""
    lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=2, cdn_seconds=cdn_seconds)
    return snapshot(lab, domain)


def put(lab: Lab, domain: str, policy: str) -> None:
    """Overwrite the policy object by hand."""
    lab.account.put_policy(*lab.policy_object(domain), policy)


def start_and_hold(lab: Lab, domain: str) -> Run:
    """Start a run that has made its plan, and waits for the policy host before the first write.

    The addresses go on with what they serve, so that it is the write that meets what is done now.
    """
    for address in lab.policy_hosts.addresses:
        lab.policy_hosts.stale(domain, address)
    lab.policy_hosts.hold(domain)
    run = lab.start(none_policy(domain))
    wait_for_state(run, "Check Host")
    return run


def start_and_wait_for_cdn(lab: Lab, domain: str) -> Run:
    """Start a run that has written the policy, and waits for an invalidation before the id."""
    lab.hold_invalidations(domain)
    run = lab.start(none_policy(domain))
    wait_for_state(run, "Wait For CDN")
    return run


def test_an_object_that_was_overwritten_after_the_plan(lab: Lab, domain: str) -> None:
    added(lab, domain)
    bucket, key = lab.policy_object(domain)
    planned = lab.client("s3").head_object(Bucket=bucket, Key=key)["ETag"]
    run = start_and_hold(lab, domain)
    put(lab, domain, BY_HAND)
    by_hand = snapshot(lab, domain)
    lab.policy_hosts.release(domain)
    run.wait()
    found = lab.client("s3").head_object(Bucket=bucket, Key=key)["ETag"]
    told = (
        "in “Publish Policy”",
        f"s3://{bucket}/{key} was changed after the plan was made",
        f"its ETag was {found}, expected {planned}",
        "Nothing was overwritten. Find out who writes it, then run again.",
    )
    check_failure(run, "ConcurrentChangeError", by_hand, *told)
    assert served(lab, domain) == BY_HAND.encode()


def test_an_object_that_was_deleted_after_the_plan(lab: Lab, domain: str) -> None:
    added(lab, domain)
    bucket, key = lab.policy_object(domain)
    run = start_and_hold(lab, domain)
    lab.client("s3").delete_object(Bucket=bucket, Key=key)
    by_hand = snapshot(lab, domain)
    lab.policy_hosts.release(domain)
    run.wait()
    told = (f"s3://{bucket}/{key} was changed after the plan was made: it is gone, expected",)
    check_failure(run, "ConcurrentChangeError", by_hand, *told)


def test_an_object_that_appeared_after_the_plan(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[], record=[RECORD], ttl=2)
    lab.policy_hosts.hold(domain)
    run = lab.start(none_policy(domain, create_policy=True))
    wait_for_state(run, "Check Host")
    for address in lab.policy_hosts.addresses:  # which serve nothing as yet
        lab.policy_hosts.stale(domain, address)
    put(lab, domain, BY_HAND)
    by_hand = snapshot(lab, domain)
    lab.policy_hosts.release(domain)
    run.wait()
    told = ("in “Publish Policy”", "was changed after the plan was made", "expected no object")
    check_failure(run, "ConcurrentChangeError", by_hand, *told)
    assert served(lab, domain) == BY_HAND.encode()


def test_the_same_policy_written_by_somebody_else_is_success(lab: Lab, domain: str) -> None:
    added(lab, domain)
    run = start_and_hold(lab, domain)
    put(lab, domain, NONE_POLICY)
    by_hand = snapshot(lab, domain)
    lab.policy_hosts.release(domain)
    wait_for_state(run, "Publish Policy")
    lab.policy_hosts.heal(domain)
    run.wait()
    assert run.status == "SUCCEEDED", run.cause
    assert by_hand.changed() == "record"
    assert served(lab, domain) == NONE_POLICY.encode()


@pytest.mark.parametrize("removed", [False, True], ids=["other-id", "removed"])
def test_a_record_that_changed_after_the_plan(lab: Lab, domain: str, *, removed: bool) -> None:
    before = added(lab, domain, cdn_seconds=3600)
    run = start_and_wait_for_cdn(lab, domain)
    assert before.changed() == "policy"
    zone_id, name = lab.zone_id(domain), f"_mta-sts.{domain}"
    present = record_set(name, "TXT", 2, [f'"{RECORD}"'])
    other = record_set(name, "TXT", 2, [f'"{RECORD_BY_HAND}"'])
    lab.account.put_records(zone_id, present, action="DELETE")
    if not removed:
        lab.account.put_records(zone_id, other)
    by_hand = snapshot(lab, domain)
    lab.heal(domain)
    run.wait()
    found = "none" if removed else f'{name} TXT, TTL 2: "{RECORD_BY_HAND}"'
    told = (
        "in “Change Id”",
        f"The record set {name} in zone {zone_id} was changed after the plan was made",
        f'found {found}; expected {name} TXT, TTL 2: "{RECORD}".',
        "It was not overwritten. Find out who writes it, then run again.",
        "the policy says none",
    )
    text = check_failure(
        run,
        "ConcurrentChangeError",
        by_hand,
        *told,
        state=HALF,
        changed="policy",
        since="nothing",
    )
    # Nothing is said of the id as it is: somebody has changed or removed it.
    assert "the policy says none, but this run did not change the id." in text
    assert txt_values(lab, domain) == ([] if removed else [f'"{RECORD_BY_HAND}"'])


def test_a_domain_that_another_run_holds(lab: Lab, domain: str) -> None:
    before = added(lab, domain, cdn_seconds=3600)
    first = start_and_wait_for_cdn(lab, domain)
    held = snapshot(lab, domain)
    # A refusal leaves the claim to whom it belongs: the next one is refused as well.
    for _ in range(2):
        second = lab.run(none_policy(domain))
        told = (
            "in “Claim Domain”",
            f"Another execution holds {domain}: {first.arn}, since {claim(lab, domain).since}.",
            "Run again once it has ended",
        )
        text = check_failure(second, "DomainBusyError", held, *told, held_by=first.arn)
        name = first.arn.rpartition(":")[2]
        assert f"the run {name} is at work on it since {claim(lab, domain).since}. " in text
        assert f" Next: wait for the run {name}: its end is told, " in text
    lab.heal(domain)
    first.wait()
    assert first.status == "SUCCEEDED", first.cause
    assert before.changed() == "policy and record"
    assert claim(lab, domain).holder == ""


def test_a_domain_that_a_stopped_run_holds_is_not_taken_over_at_once(lab: Lab, domain: str) -> None:
    """A function that the stopped run called may be at work until its own time is up."""
    added(lab, domain, cdn_seconds=3600)
    first = start_and_wait_for_cdn(lab, domain)
    first.stop()
    assert first.wait().status == "ABORTED"
    until_true("the rule has seen it", lambda: "free_from" in item(lab, domain))
    held = snapshot(lab, domain)
    second = lab.run(none_policy(domain))
    free_from = item(lab, domain)["free_from"]
    told = f"may be at work until {free_from}."
    again = f" Next: send the same request again at {free_from}."
    check_failure(second, "DomainBusyError", held, told, again)
    lab.heal(domain)


def test_an_approved_plan_that_is_not_todays(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    approved = lab.run(none_policy(domain, dry_run=True)).output["digest"]
    assert before.changed() == "nothing"
    put(lab, domain, BY_HAND)
    by_hand = snapshot(lab, domain)
    todays = lab.run(none_policy(domain, dry_run=True)).output["digest"]
    assert todays != approved

    run = lab.run(none_policy(domain, approved_plan=approved))
    told = (
        f"The approved plan {approved} is not what would be done today: that is {todays}.",
        "mode enforce becomes none, max_age 86400.",
        "Have this plan approved (dry_run: true shows it whole), or find out what changed.",
    )
    check_failure(run, "PlanChangedError", by_hand, *told)

    run = lab.run(none_policy(domain, approved_plan=todays))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["plan"] == todays
    assert by_hand.changed() == "policy and record"
