"""What `delete-record` refuses before it writes anything, each with what to do instead."""

from datetime import UTC, datetime, timedelta

import pytest

from local.account import record_set
from local.lab import Lab
from mta_sts.instants import instant
from tests.workflow.scene import POLICY, RECORD, add
from tests.workflow.watch import (
    Snapshot,
    check_failure,
    delete_record,
    none_policy,
    snapshot,
)

MONTH = 2_592_000
LONG = POLICY.replace("604800", str(MONTH))


def added(lab: Lab, domain: str, *policies: str) -> Snapshot:
    """Set a domain up with these versions of its policy, and look at it."""
    lab.add_domain(domain, policies=policies or [POLICY], record=[RECORD], ttl=2)
    return snapshot(lab, domain)


def versions(lab: Lab, domain: str) -> list[str]:
    """Return the versions of the policy object, oldest first."""
    bucket, key = lab.policy_object(domain)
    listed = lab.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    return [version["VersionId"] for version in reversed(listed)]


# --- a policy that lives too long


def test_the_longest_policy_of_the_whole_history_counts(lab: Lab, domain: str) -> None:
    """The present policy lives a week; one that was replaced a moment ago, a month."""
    before = added(lab, domain, LONG, POLICY)
    earliest = datetime.now(UTC) + timedelta(seconds=MONTH)
    run = lab.run(delete_record(domain, longest_max_age=MONTH))
    text = check_failure(
        run,
        "ExposureTooLongError",
        before,
        f"version {versions(lab, domain)[0]} of the policy (mode enforce), max_age {MONTH} seconds (30 days)",
        "more than the 604800 seconds (7 days) that this stack accepts (MaxPolicyAgeSeconds)",
        "Use none-policy",
        "accept the wait by accept_exposure_until: ",
    )
    until = instant(text.partition("hold until ")[2].partition(".")[0])
    assert until >= earliest.replace(microsecond=0)


def test_a_policy_of_before_the_bucket_kept_versions_counts(lab: Lab, domain: str) -> None:
    """Its version is called "null"; asked for without a version, S3 gives the present one."""
    bucket, key = lab.policy_object(domain)
    lab.account.make_bucket(bucket)
    lab.account.put_policy(bucket, key, LONG)
    before = added(lab, domain)
    assert versions(lab, domain)[0] == "null"
    run = lab.run(delete_record(domain, longest_max_age=MONTH))
    check_failure(run, "ExposureTooLongError", before, "version null of the policy (mode enforce)")


def test_the_wait_is_accepted_until_a_named_date(lab: Lab, domain: str) -> None:
    before = added(lab, domain, LONG)
    bound = datetime.now(UTC) + timedelta(seconds=MONTH)
    early = delete_record(
        domain, longest_max_age=MONTH, accept_exposure_until=bound.date().isoformat()
    )
    text = check_failure(lab.run(early), "ExposureTooLongError", before, "longer than was accepted")
    date = text.partition("accept_exposure_until: ")[2][: len("2027-01-31")]
    run = lab.run(early | {"accept_exposure_until": date})
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["needing_record_off_at"] < date
    assert any("accept_exposure_until" in warning for warning in run.output["warnings"])


def test_a_policy_that_nobody_knows_counts_as_a_year(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    run = lab.run({"domain": domain, "method": "delete-record"})
    told = ("before the known history", "31557600 seconds", ". If you know that no policy of this")
    check_failure(run, "ExposureTooLongError", before, *told)


def test_the_policy_first_does_not_shorten_it(lab: Lab, domain: str) -> None:
    """Without a record nobody is told that the policy is another one."""
    before = added(lab, domain, LONG)
    run = lab.run(delete_record(domain, longest_max_age=MONTH, publish_none=True))
    check_failure(run, "ExposureTooLongError", before, "max_age 2592000 seconds")


def test_what_can_only_report_is_no_reason(lab: Lab, domain: str) -> None:
    added(lab, domain, LONG.replace("enforce", "testing"), POLICY)
    # No attestation holds for a longest max_age that a version exceeds: this one is of a month.
    accepted = {"longest_max_age": MONTH, "accept_exposure_until": "2999-01-01"}
    run = lab.run(delete_record(domain, **accepted))
    assert run.status == "SUCCEEDED", run.cause
    [testing] = [one for one in run.output["exposures"] if one["mode"] == "testing"]
    assert not testing["blocks_mail"]


# --- what the caller vouches for and is not so


def test_an_attested_max_age_that_a_version_exceeds(lab: Lab, domain: str) -> None:
    before = added(lab, domain, LONG, POLICY)
    told = ("longest_max_age says 604800", f"has {MONTH}", "Correct it or leave it out")
    check_failure(lab.run(delete_record(domain)), "InvalidRequestError", before, *told)


@pytest.mark.parametrize("method", ["none-policy", "delete-record"])
def test_an_attested_change_of_the_id_that_is_to_come(lab: Lab, domain: str, method: str) -> None:
    before = added(lab, domain)
    event = delete_record(domain, ids_changed_since="2999-01-01", method=method)
    check_failure(lab.run(event), "InvalidRequestError", before, "which is to come")


def test_an_attested_change_of_an_id_that_the_ledger_has_seen_before(lab: Lab, domain: str) -> None:
    added(lab, domain)
    first = lab.run(none_policy(domain))
    assert first.status == "SUCCEEDED", first.cause
    before = snapshot(lab, domain)
    run = lab.run(
        none_policy(domain, ids_changed_since=datetime.now(UTC).isoformat(timespec="seconds"))
    )
    told = (f"the record's id {first.output['id']['new']} stood in it before",)
    check_failure(
        run,
        "InvalidRequestError",
        before,
        *told,
    )


# --- something else would answer


@pytest.mark.parametrize("kind", ["TXT", "CNAME"])
def test_a_wildcard_that_would_answer_with_an_sts_value(lab: Lab, domain: str, kind: str) -> None:
    added(lab, domain)
    target, value = f"vendor.{domain}", '"v=STSv1; id=wild;"'
    wildcard = record_set(f"*.{domain}", kind, 2, [value if kind == "TXT" else f"{target}."])
    lab.account.put_records(lab.zone_id(domain), wildcard, record_set(target, "TXT", 2, [value]))
    lab.warm(domain)
    before = snapshot(lab, domain)
    told = (f"*.{domain} in zone {lab.zone_id(domain)}", "v=STSv1; id=wild;", "none-policy")
    check_failure(lab.run(delete_record(domain)), "RecordConflictError", before, *told)


def test_a_wildcard_that_covers_a_name_which_only_the_record_keeps_alive(
    lab: Lab, domain: str
) -> None:
    """Of sub.<domain> there is nothing but the record: once that is gone *.<domain> answers."""
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=2)
    sub = f"sub.{domain}"
    zone_id = lab.zone_id(domain)
    lab.account.put_policies(sub, [POLICY])
    lab.policy_hosts.serve(sub, *lab.policy_object(sub))
    lab.account.put_records(
        zone_id,
        record_set(f"_mta-sts.{sub}", "TXT", 2, [f'"{RECORD}"']),
        record_set(f"*.{domain}", "TXT", 2, ['"v=STSv1; id=wild;"']),
    )
    lab.refresh()
    before = snapshot(lab, domain)
    run = lab.run(delete_record(sub))
    assert run.error == "RecordConflictError", run.cause
    assert f"answered by *.{domain}" in (run.cause or "")
    assert before.changed() == "nothing"


def test_a_routed_set_is_not_deleted_either(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=2)
    plain = record_set(f"_mta-sts.{domain}", "TXT", 2, [f'"{RECORD}"'])
    weighted = plain | {"Weight": 1, "SetIdentifier": "one"}
    lab.account.put_records(lab.zone_id(domain), weighted)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain))
    check_failure(run, "RecordConflictError", before, "is a weighted TXT set")


# --- nothing is proven


def test_a_lagging_server_keeps_it_from_confirmed(lab: Lab, domain: str) -> None:
    add(lab, domain)
    before = snapshot(lab, domain)
    lab.lag(domain)
    run = lab.run(delete_record(domain))
    check_failure(
        run,
        "PropagationTimeoutError",
        before,
        f"_mta-sts.{domain} is not gone everywhere",
        f'found "{RECORD}"',
        'expected "no STS record"',
        state="half changed",
        changed="record",
    )


def test_a_host_that_serves_something_else_is_no_place_to_publish(lab: Lab, domain: str) -> None:
    add(lab, domain)
    lab.wrong_bucket(domain)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain, publish_none=True))
    check_failure(run, "PolicyNotServedError", before, "other content")
