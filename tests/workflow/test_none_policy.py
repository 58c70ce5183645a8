"""`none-policy` from end to end: what changes, what stays, in which order, and who notices when."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from mta_sts.instants import instant
from tests.workflow.scene import to_be_waited, waits_until
from tests.workflow.watch import wait_for_state

DOMAIN, TTL = "solarmora.com", 3
OLD = "v=STSv1; id=20200425085700;"
NONE = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
NEW_MX, OLD_MX = "mx.newprovider.example", "mail.solarmora.com"


def policy(mode: str, max_age: int = 604800) -> str:
    return f"version: STSv1\nmode: {mode}\nmx: {OLD_MX}\nmx: *.solarmora.net\nmax_age: {max_age}\n"


def records(lab: Lab, domain: str) -> list[dict[str, Any]]:
    """Everything in the zone, as Route 53 lists it."""
    listed = lab.client("route53").list_resource_record_sets(HostedZoneId=lab.zone_id(domain))
    return list(listed["ResourceRecordSets"])


def body(lab: Lab, domain: str) -> bytes:
    bucket, key = lab.policy_object(domain)
    return bytes(lab.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def versions(lab: Lab, domain: str) -> list[str]:
    bucket, key = lab.policy_object(domain)
    listed = lab.client("s3").list_object_versions(Bucket=bucket, Prefix=key)
    return [version["VersionId"] for version in listed.get("Versions", [])]


def ledger(lab: Lab, domain: str) -> list[dict[str, Any]]:
    found = lab.client("dynamodb").query(
        TableName=lab.stack_outputs["LedgerTableName"],
        KeyConditionExpression="#domain = :domain",
        ExpressionAttributeNames={"#domain": "domain"},
        ExpressionAttributeValues={":domain": {"S": domain}},
    )
    return list(found["Items"])


def entered(run: Run, state: str) -> Any:
    """When a state was entered for the last time."""
    return [
        event["timestamp"]
        for event in run.history
        if event.get("stateEnteredEventDetails", {}).get("name") == state
    ][-1]


def left(run: Run, state: str) -> Any:
    return [
        event["timestamp"]
        for event in run.history
        if event.get("stateExitedEventDetails", {}).get("name") == state
    ][-1]


@dataclass
class Seen:
    """One run and what was seen before and after it."""

    run: Run
    records_before: list[dict[str, Any]]
    senders_before: dict[str, str]
    senders_after: dict[str, str]


def deliveries(lab: Lab, domain: str, mx: str) -> dict[str, str]:
    return {type(each).__name__: each.deliver(domain, mx).outcome for each in lab.senders}


@pytest.fixture(scope="module")
def seen(lab: Lab) -> Seen:
    lab.add_domain(
        DOMAIN,
        policies=[policy("enforce", 86400), policy("enforce")],
        record=["unrelated", OLD, "google-site-verification=1"],
        ttl=TTL,
    )
    before, records_before = deliveries(lab, DOMAIN, NEW_MX), records(lab, DOMAIN)
    run = lab.run(
        {
            "domain": "SolarMora.com.",
            "method": "none-policy",
            "ticket": "CHG-1",
            "requested_by": "Ada",
        }
    )
    return Seen(run, records_before, before, deliveries(lab, DOMAIN, NEW_MX))


def test_it_succeeds_and_says_so(seen: Seen) -> None:
    assert (seen.run.status, seen.run.error) == ("SUCCEEDED", None)
    assert seen.run.output["state"] == "off"
    assert seen.run.output["text"].startswith("MTA-STS is off for solarmora.com")
    assert seen.run.output["changed"] == "policy and record"


def test_the_policy_object_is_the_none_policy(seen: Seen, lab: Lab) -> None:
    assert body(lab, DOMAIN) == NONE
    bucket, key = lab.policy_object(DOMAIN)
    head = lab.client("s3").head_object(Bucket=bucket, Key=key)
    assert (head["ContentType"], head["CacheControl"]) == ("text/plain", "no-store")
    assert len(versions(lab, DOMAIN)) == 3  # nothing that was is lost


def test_nothing_else_moves(seen: Seen, lab: Lab) -> None:
    """Invariant: other values, the TTL and every other record set stay as they are."""
    expected = [dict(each) for each in seen.records_before]
    [txt] = [each for each in expected if each["Name"] == f"_mta-sts.{DOMAIN}."]
    fresh = f'"v=STSv1; id={seen.run.output["id"]["new"]};"'
    txt["ResourceRecords"] = [
        {"Value": fresh if value["Value"] == f'"{OLD}"' else value["Value"]}
        for value in txt["ResourceRecords"]
    ]
    assert len(txt["ResourceRecords"]) == 3
    assert records(lab, DOMAIN) == expected
    assert any(each["Type"] == "MX" for each in expected)


def test_policy_before_id_and_every_proof_in_its_place(seen: Seen) -> None:
    order = [
        "Plan Change", "Claim Domain", "Announce Start", "Notify Start", "Check Host", "Publish Policy",
        "Purge CDN", "Check Served Policy", "Change Id", "Await Route 53", "Check Name Servers",
        "Wait Out TTL", "Confirm", "Record Outcome", "Announce Outcome", "Notify Outcome", "Done",
    ]  # fmt: skip
    states = seen.run.states
    assert [states.index(name) for name in order] == sorted(states.index(name) for name in order)


def test_the_ttl_is_waited_out_after_the_last_name_server(seen: Seen) -> None:
    """Compare the Wait's own timestamps with the TTL, from the last server's first right answer."""
    assert to_be_waited(seen.run) >= timedelta(seconds=TTL)
    assert left(seen.run, "Wait Out TTL") >= waits_until(seen.run)
    assert entered(seen.run, "Confirm") >= waits_until(seen.run)


def test_senders_notice(seen: Seen) -> None:
    """Mail to a new provider is refused before and delivered after, by each that re-reads the record."""
    assert set(seen.senders_before.values()) == {"refused"}
    assert seen.senders_after["ConformingSender"] == "delivered"
    assert seen.senders_after["IdIgnoringSender"] == "refused"  # why there is a later date as well


def test_evidence_names_every_server_and_address(seen: Seen, lab: Lab) -> None:
    evidence = seen.run.output["evidence"]
    asked = {row["address"] for row in evidence["record"]["agreeing"]}
    assert {address for address, _ in lab.name_servers} <= asked
    assert {f"{address}:{port}" for address, port in lab.resolvers} <= asked
    addresses = {row["address"] for row in evidence["policy"]["agreeing"]}
    assert addresses == set(lab.policy_hosts.addresses)
    assert not evidence["record"]["laggards"] + evidence["policy"]["laggards"]


def test_the_dates(seen: Seen) -> None:
    output = seen.run.output
    gone = instant(output["moments"]["record_gone_at"])
    assert instant(output["conforming_off_at"]) == gone
    assert (instant(output["known_off_at"]) - gone).total_seconds() == 604800  # the longest max_age
    assert (instant(output["all_off_at"]) - gone).total_seconds() == 31557600  # history is unknown
    assert output["answers"]["off"]["all_off_at"]["confidence"] == "unknown"
    assert output["answers"]["off"]["conforming_off_at"]["confidence"] == "computed"
    assert output["answers"]["mx"]["answer"] == "now with overlap"


def test_nothing_is_lost(seen: Seen, lab: Lab) -> None:
    """The bytes and the set as they were stand in the ledger, and the claim is gone."""
    by_kind = {item["item"]["S"].partition("#")[0]: item for item in ledger(lab, DOMAIN)}
    saved = by_kind["domain"]["saved"]["M"]
    assert saved["policy"]["M"]["body"]["B"] == policy("enforce").encode()
    assert [value["S"] for value in saved["record"]["M"]["values"]["L"]] == [
        '"unrelated"', f'"{OLD}"', '"google-site-verification=1"'
    ]  # fmt: skip
    assert "holder" not in by_kind["domain"]
    assert {"20200425085700", seen.run.output["id"]["new"]} <= set(by_kind["domain"]["ids"]["SS"])
    assert by_kind["run"]["ticket"]["S"] == "CHG-1"
    assert by_kind["run"]["status"]["S"] == "confirmed"


# --- variations, each with a domain of its own


@pytest.mark.parametrize("mode", ["testing", "enforced"])
def test_other_modes_that_are_on(lab: Lab, mode: str) -> None:
    domain = f"mode-{mode}.example"
    lab.add_domain(domain, policies=[policy(mode)], record=[OLD], ttl=1)
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    assert body(lab, domain) == NONE
    [exposure] = [each for each in run.output["exposures"] if each["mode"] != "unknown"]
    # Testing never stops mail; what is malformed counts as enforced.
    assert exposure["blocks_mail"] is (mode != "testing")


def test_policy_already_none_is_left_alone_and_the_id_changes(lab: Lab) -> None:
    domain = "already-none.example"
    lab.add_domain(domain, policies=[policy("enforce"), NONE], record=[OLD], ttl=1)
    before = versions(lab, domain)
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    assert versions(lab, domain) == before
    assert run.output["changed"] == "record"
    assert run.output["id"]["new"] != "20200425085700"


def test_none_policy_that_lives_too_long_is_rewritten(lab: Lab) -> None:
    domain = "long-none.example"
    lab.add_domain(domain, policies=[NONE.replace(b"86400", b"604800")], record=[OLD], ttl=1)
    run = lab.run({"domain": domain, "method": "none-policy", "keep_mx": True})
    assert run.status == "SUCCEEDED", run.cause
    assert body(lab, domain) == NONE


def test_keep_mx_leaves_the_mx_lines(lab: Lab) -> None:
    domain = "keep-mx.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=[OLD], ttl=1)
    run = lab.run({"domain": domain, "method": "none-policy", "keep_mx": True})
    assert run.status == "SUCCEEDED", run.cause
    assert body(lab, domain) == NONE + b"mx: mail.solarmora.com\r\nmx: *.solarmora.net\r\n"


def test_missing_record_is_made_after_the_policy_is_proven(lab: Lab) -> None:
    domain = "no-record.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=None, ttl=2)
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    [made] = [each for each in records(lab, domain) if each["Name"] == f"_mta-sts.{domain}."]
    assert made["ResourceRecords"] == [{"Value": f'"v=STSv1; id={run.output["id"]["new"]};"'}]
    assert any("No STS record of its own" in warning for warning in run.output["warnings"])
    assert to_be_waited(run) >= timedelta(seconds=2)  # the negative TTL of the zone
    assert left(run, "Wait Out TTL") >= waits_until(run)


def test_malformed_record_is_replaced_and_its_neighbours_kept(lab: Lab) -> None:
    domain = "bad-record.example"
    lab.add_domain(
        domain, policies=[policy("enforce")], record=["x=1", "v=STSv1; id=no-good!;"], ttl=1
    )
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    [txt] = [each for each in records(lab, domain) if each["Name"] == f"_mta-sts.{domain}."]
    values = [value["Value"] for value in txt["ResourceRecords"]]
    assert values == ['"x=1"', f'"v=STSv1; id={run.output["id"]["new"]};"']


def test_a_subdomain_is_a_policy_domain_of_its_own(lab: Lab) -> None:
    lab.add_domain("parent.example", policies=[policy("enforce")], record=[OLD], ttl=1)
    lab.add_domain("sub.parent.example", policies=[policy("enforce")], record=[OLD], ttl=1)
    run = lab.run({"domain": "sub.parent.example", "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    assert body(lab, "parent.example") == policy("enforce").encode()
    [parent] = [
        each
        for each in records(lab, "parent.example")
        if each["Name"] == "_mta-sts.parent.example."
    ]
    assert parent["ResourceRecords"] == [{"Value": f'"{OLD}"'}]


@pytest.mark.parametrize("method", ["none-policy", "delete-record"])
def test_the_record_may_have_a_zone_of_its_own(lab: Lab, method: str) -> None:
    """The NS set at its top is the zone's own, and delegates the name to nobody else."""
    domain = f"own-zone-{method}.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=None, ttl=1)
    zone_id, name = lab.account.make_zone(f"_mta-sts.{domain}", 1), f"_mta-sts.{domain}"
    lab.account.put_records(zone_id, record_set(name, "TXT", 1, [f'"{OLD}"']))
    lab.warm(domain)
    run = lab.run({"domain": domain, "method": method, "longest_max_age": 604800})
    assert run.status == "SUCCEEDED", run.cause
    listed = lab.client("route53").list_resource_record_sets(HostedZoneId=zone_id)
    left = {
        each["Type"]: [value["Value"] for value in each["ResourceRecords"]]
        for each in listed["ResourceRecordSets"]
    }
    fresh = [f'"v=STSv1; id={run.output["id"]["new"]};"']
    assert left.pop("TXT", []) == (fresh if method == "none-policy" else [])
    assert set(left) == {"NS", "SOA"}


def test_what_the_object_said_otherwise_is_sent_again(lab: Lab) -> None:
    domain = "headers.example"
    lab.add_domain(domain, policies=[], record=[OLD], ttl=1)
    bucket, key = lab.policy_object(domain)
    s3 = lab.client("s3")
    s3.put_object(
        Bucket=bucket, Key=key, Body=policy("enforce").encode(), ContentType="binary/octet-stream",
        CacheControl="max-age=60", Metadata={"owner": "mail"}, Tagging="team=mail",
    )  # fmt: skip
    run = lab.run({"domain": domain, "method": "none-policy"})
    assert run.status == "SUCCEEDED", run.cause
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["ContentType"] == "text/plain"  # the wrong one is mended, the rest is kept
    assert (head["CacheControl"], head["Metadata"]) == ("max-age=60", {"owner": "mail"})
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [
        {"Key": "team", "Value": "mail"}
    ]


def test_a_dead_resolver_is_not_counted_as_agreeing(lab: Lab) -> None:
    domain = "dead-resolver.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=[OLD], ttl=1)
    lab.resolvers_world.down(1, domain)
    try:
        run = lab.run({"domain": domain, "method": "none-policy"})
    finally:
        lab.resolvers_world.up(1, domain)
    assert run.status == "SUCCEEDED", run.cause
    address, port = lab.resolvers[1]
    rows = run.output["evidence"]["record"]
    assert f"{address}:{port}" in [row["address"] for row in rows["not_asked"]]
    assert f"{address}:{port}" not in [row["address"] for row in rows["agreeing"]]


def test_a_bad_moment_of_every_resolver_is_waited_out(lab: Lab) -> None:
    domain = "bad-moment.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=[OLD], ttl=3)
    run = lab.start({"domain": domain, "method": "none-policy"})
    wait_for_state(run, "Wait Out TTL")
    for resolver in range(2):
        lab.resolvers_world.down(resolver, domain)
    wait_for_state(run, "Wait To Confirm")
    for resolver in range(2):
        lab.resolvers_world.up(resolver, domain)
    assert run.wait(60).status == "SUCCEEDED", run.cause


def test_dry_run_is_the_full_plan_and_nothing_else(lab: Lab) -> None:
    domain = "dry-run.example"
    lab.add_domain(domain, policies=[policy("enforce")], record=[OLD], ttl=1)
    before = versions(lab, domain), records(lab, domain)
    run = lab.run({"domain": domain, "method": "none-policy", "dry_run": True})
    assert run.status == "SUCCEEDED", run.cause
    assert (versions(lab, domain), records(lab, domain)) == before
    assert ledger(lab, domain) == []
    plan = run.output
    assert (plan["record"]["old"], plan["policy"]["before"]) == (OLD, policy("enforce"))
    assert len(plan["digest"]) == 64
    assert plan["policy"]["after"].encode() == NONE
    assert len(plan["steps"]) >= 6
