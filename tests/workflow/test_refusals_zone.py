"""ZoneNotFoundError, ZoneNotDelegatedError and RecordConflictError: DNS that cannot be changed safely."""

from typing import Any

import pytest

from local.account import NAME_SERVERS, record_set
from local.lab import Lab
from tests.workflow.watch import Snapshot, check_failure, none_policy, snapshot

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
RECORD = "v=STSv1; id=20200425085700;"


def added(lab: Lab, domain: str, record: list[str] | None) -> Snapshot:
    """Set a domain up and look at it."""
    lab.add_domain(domain, policies=[POLICY], record=record, ttl=2)
    return snapshot(lab, domain)


def test_no_zone(lab: Lab, domain: str) -> None:
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (f"No public hosted zone holds _mta-sts.{domain}.", "DnsRoleArn")
    check_failure(run, "ZoneNotFoundError", before, *told)


def test_a_private_zone_is_none(lab: Lab, domain: str) -> None:
    lab.client("route53").create_hosted_zone(
        Name=domain,
        CallerReference=domain,
        VPC={"VPCRegion": "us-east-1", "VPCId": "vpc-0123456789abcdef0"},
        HostedZoneConfig={"PrivateZone": True},
    )
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    check_failure(
        run, "ZoneNotFoundError", before, f"No public hosted zone holds _mta-sts.{domain}."
    )


def test_a_zone_that_is_not_the_one_delegated_to(lab: Lab, domain: str) -> None:
    before = added(lab, domain, [RECORD])
    other = f"ns.{domain.partition('.')[0]}.elsewhere.example"
    lab.hosts.set(other, ipv4=["127.0.0.53"], ipv6=[], ttl=2)
    lab.resolvers_world.delegate(domain, [other])
    run = lab.run(none_policy(domain))
    addresses = [address for address, _ in lab.name_servers]
    told = (
        f"zone {domain} ({lab.zone_id(domain)})",
        *NAME_SERVERS,
        *addresses,
        f"the DNS delegates to {other} (127.0.0.53)",
        "Run where the delegated zone is, or correct the delegation.",
    )
    check_failure(run, "ZoneNotDelegatedError", before, *told)


def test_a_zone_that_shares_only_some_servers_with_the_delegation(lab: Lab, domain: str) -> None:
    """Those who ask the other server would go on with the old record."""
    before = added(lab, domain, [RECORD])
    other = f"ns.{domain.partition('.')[0]}.elsewhere.example"
    lab.hosts.set(other, ipv4=["127.0.0.53"], ipv6=[], ttl=2)
    lab.resolvers_world.delegate(domain, [NAME_SERVERS[0], other])
    run = lab.run(none_policy(domain))
    check_failure(run, "ZoneNotDelegatedError", before, f"{other} (127.0.0.53)", NAME_SERVERS[1])


def test_a_zone_that_nobody_delegates_to(lab: Lab, domain: str) -> None:
    before = added(lab, domain, [RECORD])
    lab.resolvers_world.delegate(domain, [])
    run = lab.run(none_policy(domain))
    told = (f"zone {domain} ({lab.zone_id(domain)})", NAME_SERVERS[0], "delegates to nobody")
    check_failure(run, "ZoneNotDelegatedError", before, *told)


def test_two_sts_values(lab: Lab, domain: str) -> None:
    before = added(lab, domain, [RECORD, "a neighbour", "v=STSv1; id=2;"])
    run = lab.run(none_policy(domain))
    told = (
        f"_mta-sts.{domain} in zone {lab.zone_id(domain)} has 2 STS values",
        RECORD,
        "v=STSv1; id=2;",
        "Remove all but the one that belongs to the policy",
    )
    text = check_failure(run, "RecordConflictError", before, *told)
    assert "a neighbour" not in text


@pytest.mark.parametrize(
    ("kind", "routing"),
    [
        ("a weighted", {"Weight": 1}),
        ("a latency", {"Region": "us-east-1"}),
        ("a geolocation", {"GeoLocation": {"CountryCode": "*"}}),
        ("a failover", {"Failover": "PRIMARY"}),
        ("a multivalue", {"MultiValueAnswer": True}),
    ],
)
def test_a_routed_set(lab: Lab, domain: str, kind: str, routing: dict[str, Any]) -> None:
    added(lab, domain, None)
    plain = record_set(f"_mta-sts.{domain}", "TXT", 2, [f'"{RECORD}"'])
    lab.account.put_records(lab.zone_id(domain), plain | routing | {"SetIdentifier": "one"})
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (
        f"_mta-sts.{domain} in zone {lab.zone_id(domain)} is {kind} TXT set",
        "Replace it by a simple set",
    )
    check_failure(run, "RecordConflictError", before, *told)


def test_an_alias_set(lab: Lab, domain: str) -> None:
    added(lab, domain, None)
    zone_id, other = lab.zone_id(domain), f"elsewhere.{domain}"
    target = {"HostedZoneId": zone_id, "DNSName": other, "EvaluateTargetHealth": False}
    alias = {"Name": f"_mta-sts.{domain}", "Type": "TXT", "AliasTarget": target}
    lab.account.put_records(zone_id, record_set(other, "TXT", 2, [f'"{RECORD}"']))
    lab.account.put_records(zone_id, alias)
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (
        f"_mta-sts.{domain} in zone {zone_id} is an alias TXT set",
        "Replace it by a simple set",
    )
    check_failure(run, "RecordConflictError", before, *told)


def test_a_cname(lab: Lab, domain: str) -> None:
    added(lab, domain, None)
    zone_id, name = lab.zone_id(domain), f"_mta-sts.{domain}"
    lab.account.put_records(zone_id, record_set(name, "CNAME", 2, [f"{domain}.provider.example."]))
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    told = (
        f"{name} in zone {zone_id} is a CNAME to {domain}.provider.example",
        "take the record back first, or withdraw the CNAME by delete-record.",
    )
    check_failure(run, "RecordConflictError", before, *told)


def test_name_servers_that_are_all_silent(lab: Lab, domain: str) -> None:
    """No change could be proven, so none is begun."""
    before = added(lab, domain, [RECORD])
    lab.resolvers_world.warm(domain, "NS")  # which resolvers go on knowing
    for server in range(len(lab.name_servers)):
        lab.server_down(domain, server)
    run = lab.run(none_policy(domain))
    told = (f"no name server of zone {domain}", NAME_SERVERS[0], "timed out")
    check_failure(run, "DnsUnreachableError", before, *told)
