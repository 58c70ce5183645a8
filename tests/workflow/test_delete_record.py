"""`delete-record` from end to end: what goes, what stays, and what becomes of mail."""

from dataclasses import dataclass

import pytest

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from local.world.senders import ConformingSender, Network
from mta_sts.instants import instant
from tests.workflow.scene import (
    NEW_MX,
    NONE_POLICY,
    POLICY,
    RECORD,
    add,
    reaches,
)
from tests.workflow.watch import (
    Snapshot,
    claim,
    delete_record,
    none_policy,
    served,
    snapshot,
    txt_values,
)

WEEK = 604_800
DOMAIN = "delete.example"


@dataclass
class Seen:
    """One run of `delete-record`, and the domain before it."""

    run: Run
    before: Snapshot


@pytest.fixture(scope="module")
def seen(lab: Lab) -> Seen:
    add(lab, DOMAIN, ttl=3)
    before = snapshot(lab, DOMAIN)
    run = lab.run(delete_record(DOMAIN, new_mx=[NEW_MX], ticket="CHG-2"))
    return Seen(run, before)


def outcomes(lab: Lab, domain: str) -> dict[str, str]:
    """Send mail to the new provider by each sender, one that comes only now among them."""
    network = Network(lab.resolvers[0], lab.policy_hosts.port, lab.ca_file)
    senders = [*lab.senders, Newcomer(network, lenient_mode=True)]
    return {type(each).__name__: each.deliver(domain, NEW_MX).outcome for each in senders}


class Newcomer(ConformingSender):
    """A sender that has never looked at the domain."""


def gone_at(run: Run) -> float:
    return instant(run.output["moments"]["record_gone_at"]).timestamp()


def after_gone(run: Run, stamp: str) -> float:
    """Return how many seconds after the record was gone a moment lies."""
    return instant(stamp).timestamp() - gone_at(run)


# --- the record alone


def test_the_record_goes_and_nothing_else_moves(seen: Seen, lab: Lab) -> None:
    assert (seen.run.status, seen.run.error) == ("SUCCEEDED", None), seen.run.cause
    assert txt_values(lab, DOMAIN) == []
    assert seen.before.changed() == seen.run.output["changed"] == "record"
    assert served(lab, DOMAIN) == POLICY.encode()
    assert claim(lab, DOMAIN).holder == ""


def test_each_step_is_proven_before_the_next(seen: Seen) -> None:
    order = [
        "Plan Change", "Claim Domain", "Announce Start", "Notify Start", "Check Host", "Which Method?",
        "Delete Record", "Await Route 53", "Check Name Servers", "Wait Out TTL", "Confirm", "Record Outcome",
        "Announce Outcome", "Notify Outcome", "Done",
    ]  # fmt: skip
    states = seen.run.states
    assert [states.index(name) for name in order] == sorted(states.index(name) for name in order)
    assert not {"Publish Policy", "Change Id"} & set(states)


def test_the_answers_tell_who_renews_without_the_record(seen: Seen) -> None:
    """No date for every sender, with the reason; the date for all that need the record."""
    output = seen.run.output
    off = output["answers"]["off"]
    assert output["all_off_at"] is None
    assert off["all_off_at"]["at"] is None
    assert f"mta-sts.{DOMAIN} serves a policy with mode enforce" in off["all_off_at"]["reason"]
    # Who renews without the record conforms as well (RFC 8461 section 10.2).
    assert (output["conforming_off_at"], output["rfc_off_at"]) == (None, None)
    assert after_gone(seen.run, output["needing_record_off_at"]) == WEEK
    assert off["needing_record_off_at"]["confidence"] == "attested"
    assert f"for as long as mta-sts.{DOMAIN} serves one" in output["text"].partition("\n")[0]
    assert (
        output["subject"]
        == f"MTA-STS is off for new senders of {DOMAIN}, and still held, see inside"
    )
    assert output["answers"]["mx"]["answer"] == "now with overlap"
    assert output["answers"]["mx"]["without_overlap_from"] is None
    assert "publish_none" in output["answers"]["trouble"]["next"]


def test_senders_show_both(seen: Seen, lab: Lab) -> None:
    """Who comes now finds nothing; who holds the policy keeps it, and one renews it for ever."""
    assert outcomes(lab, DOMAIN) == {
        "Newcomer": "delivered",
        "ConformingSender": "refused",
        "HttpsRenewingSender": "refused",
        "IdIgnoringSender": "refused",
    }
    held = [sender.state(DOMAIN).held for sender in lab.senders]
    conforming, renewing, _ = [each.expires_at for each in held if each]
    assert conforming <= instant(seen.run.output["needing_record_off_at"])
    assert renewing > conforming  # it has just renewed: hence no date for every sender


def test_the_record_is_saved_and_the_attestation_kept(seen: Seen, lab: Lab) -> None:
    found = lab.client("dynamodb").query(
        TableName=lab.stack_outputs["LedgerTableName"],
        KeyConditionExpression="#domain = :domain",
        ExpressionAttributeNames={"#domain": "domain"},
        ExpressionAttributeValues={":domain": {"S": DOMAIN}},
    )["Items"]
    by_kind = {item["item"]["S"].partition("#")[0]: item for item in found}
    saved = by_kind["domain"]["saved"]["M"]["record"]["M"]
    assert (saved["type"]["S"], saved["ttl"]["N"]) == ("TXT", "3")
    assert saved_record(lab, DOMAIN) == [f'"{RECORD}"']
    assert by_kind["run"]["attested"]["M"]["longest_max_age"] == {"N": str(WEEK)}
    [change] = by_kind["domain"]["id_changes"]["L"]
    assert (change["M"]["old"]["S"], change["M"]["id"]["S"]) == ("20200425085700", "")


def saved_record(lab: Lab, domain: str) -> list[str]:
    """Return the values of the record that the ledger has for a restoration."""
    item = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
    )["Item"]
    record = item["saved"]["M"]["record"].get("M", {})
    return [value["S"] for value in record.get("values", {}).get("L", [])]


def test_published_later_it_ends_for_those_that_renew_too(seen: Seen, lab: Lab) -> None:
    assert seen.run.status == "SUCCEEDED"
    again = lab.run(delete_record(DOMAIN, publish_none=True))
    assert again.status == "SUCCEEDED", again.cause
    assert again.output["changed"] == "policy"
    assert served(lab, DOMAIN) == NONE_POLICY
    assert after_gone(again, again.output["all_off_at"]) == WEEK
    assert outcomes(lab, DOMAIN)["HttpsRenewingSender"] == "delivered"
    assert saved_record(lab, DOMAIN) == [
        f'"{RECORD}"'
    ]  # the first run's, since this one found none


# --- the policy first


def test_publish_none_ends_it_for_senders_that_renew(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    run = lab.run(delete_record(domain, publish_none=True))
    assert run.status == "SUCCEEDED", run.cause
    assert (served(lab, domain), txt_values(lab, domain)) == (NONE_POLICY, [])
    assert run.output["changed"] == "policy and record"
    assert after_gone(run, run.output["all_off_at"]) == WEEK
    assert run.output["conforming_off_at"] == run.output["all_off_at"]
    assert outcomes(lab, domain) == {
        "Newcomer": "delivered",
        "ConformingSender": "refused",
        "HttpsRenewingSender": "delivered",
        "IdIgnoringSender": "refused",
    }
    states = run.states
    order = ["Publish Policy", "Purge CDN", "Check Served Policy", "Delete Record", "Confirm"]
    assert [states.index(name) for name in order] == sorted(states.index(name) for name in order)
    assert "Change Id" not in states


def test_the_record_stands_until_the_policy_is_proven(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(delete_record(domain, publish_none=True))
    reaches(run, "Wait For CDN")
    assert txt_values(lab, domain) == [f'"{RECORD}"']
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause


# --- what stands beside the record


def test_neighbours_stay(lab: Lab, domain: str) -> None:
    """Other values, their order and the TTL; deleting the set by its name would take all."""
    lab.add_domain(
        domain, policies=[POLICY], record=["first", RECORD, "google-site-verification=1"], ttl=2
    )
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert txt_values(lab, domain) == ['"first"', '"google-site-verification=1"']
    assert before.changed() == "record"


def test_every_sts_value_goes(lab: Lab, domain: str) -> None:
    add(lab, domain, "a neighbour", "v=STSv1; id=2;")
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert txt_values(lab, domain) == ['"a neighbour"']
    assert any("2 values that senders may take" in warning for warning in run.output["warnings"])


def test_an_unrelated_wildcard_is_fine(lab: Lab, domain: str) -> None:
    add(lab, domain)
    spf = record_set(f"*.{domain}", "TXT", 2, ['"v=spf1 -all"'])
    lab.account.put_records(lab.zone_id(domain), spf)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert all(
        "no STS record" in row["found"] for row in run.output["evidence"]["record"]["agreeing"]
    )


def test_a_wildcard_counts_for_nothing_where_neighbours_stay(lab: Lab, domain: str) -> None:
    add(lab, domain, "a neighbour")
    wildcard = record_set(f"*.{domain}", "TXT", 2, ['"v=STSv1; id=wild;"'])
    lab.account.put_records(lab.zone_id(domain), wildcard)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause


# --- nothing to delete, and doing it twice


def test_nothing_to_delete_is_success_and_confirmed(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=1)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["changed"] == before.changed() == "nothing"
    assert "nothing has to be deleted" in run.output["text"]
    assert {"Check Name Servers", "Confirm"} <= set(run.states)
    assert run.output["evidence"]["record"]["agreeing"]


def test_a_run_that_died_after_the_deletion_is_mended_by_the_next(lab: Lab, domain: str) -> None:
    add(lab, domain)
    run = lab.start(delete_record(domain))
    reaches(run, "Await Route 53")
    run.stop()
    assert txt_values(lab, domain) == []
    # Its claim outlives it by a minute; here the administrator knows that nothing runs any more.
    lab.client("dynamodb").update_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        UpdateExpression="REMOVE holder, held_since",
    )
    again = lab.run(delete_record(domain))
    assert again.status == "SUCCEEDED", again.cause
    assert again.output["changed"] == "nothing"


def test_none_policy_afterwards_makes_a_record_again(lab: Lab, domain: str) -> None:
    add(lab, domain)
    assert lab.run(delete_record(domain)).status == "SUCCEEDED"
    run = lab.run(none_policy(domain, longest_max_age=WEEK))
    assert run.status == "SUCCEEDED", run.cause
    assert txt_values(lab, domain) == [f'"v=STSv1; id={run.output["id"]["new"]};"']


def test_a_dry_run_tells_the_dates_and_writes_nothing(lab: Lab, domain: str) -> None:
    add(lab, domain)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain, dry_run=True))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == "nothing"
    plan = run.output
    assert plan["record"]["after"] is None
    assert plan["expected"]["all_off_at"] is None  # because the host was seen to serve the policy
    assert plan["expected"]["needing_record_off_at"] > plan["planned_at"]


# --- the policy host is broken, or serves nothing


@pytest.mark.parametrize("fault", ["certificate", "status", "no object"])
def test_a_host_that_serves_nothing_lets_nobody_renew(lab: Lab, domain: str, fault: str) -> None:
    """Then there is a date for every sender: nobody can have fetched after the record went."""
    add(lab, domain)
    if fault == "certificate":
        lab.broken_certificate(domain)
    elif fault == "status":
        lab.policy_hosts.status(domain, 410)
    else:
        bucket, key = lab.policy_object(domain)
        lab.client("s3").delete_object(Bucket=bucket, Key=key)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    output = run.output
    assert after_gone(run, output["conforming_off_at"]) == WEEK
    assert after_gone(run, output["all_off_at"]) == WEEK
    reason = output["answers"]["off"]["all_off_at"]["reason"]
    assert "nothing can renew it, as long as that stays so" in reason
    words = {"certificate": "certificate", "status": "status 410", "no object": "status 404"}
    assert words[fault] in reason
    assert f"let mta-sts.{domain} serve no policy" in output["answers"]["trouble"]["next"]
    assert outcomes(lab, domain)["Newcomer"] == "delivered"


@pytest.mark.parametrize("code", [403, 503])
def test_an_answer_that_may_be_for_us_alone_gives_no_date(lab: Lab, domain: str, code: int) -> None:
    """A firewall may keep this address out, and let senders in."""
    add(lab, domain)
    lab.policy_hosts.status(domain, code)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["all_off_at"] is None
    told = run.output["answers"]["off"]["all_off_at"]
    assert told["confidence"] == "unknown"
    assert f"status {code}, which may be for us alone" in told["reason"]
    assert after_gone(run, run.output["needing_record_off_at"]) == WEEK


def test_a_policy_of_somebody_else_is_a_risk_that_is_told(lab: Lab, domain: str) -> None:
    add(lab, domain)
    lab.wrong_bucket(domain)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["answers"]["trouble"]["mail_at_risk"]
    risk = run.output["text"].splitlines()[1]
    assert risk.startswith("Mail may be at risk: the MX records name ")
    assert "which may still be held, names none of them. Next: find out what" in risk
    assert any("which names mx.elsewhere.example" in one for one in run.output["warnings"])


def test_a_policy_that_lies_elsewhere_counts_as_it_is_served(lab: Lab, domain: str) -> None:
    """A vendor's policy, of which no bucket here knows: what it says is what was seen."""
    add(lab, domain)
    lab.wrong_bucket(domain)
    bucket, key = lab.policy_object(domain)
    s3 = lab.client("s3")
    for version in s3.list_object_versions(Bucket=bucket)["Versions"]:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=bucket)
    run = lab.run(delete_record(domain, new_mx=["mx.elsewhere.example"]))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["all_off_at"] is None
    assert [one["version"] for one in run.output["exposures"] if one["mode"] == "enforce"] == [
        f"the policy served at {lab.policy_hosts.addresses[-1]}"
    ]
    # What that host has served before is not known, whatever a bucket of ours may say.
    unvouched = lab.run({"domain": domain, "method": "delete-record"})
    assert unvouched.error == "ExposureTooLongError"
    assert any("There is no bucket" in warning for warning in run.output["warnings"])
