"""A CNAME where the record belongs: the zone's servers know where it leads, seldom what stands there."""

from datetime import timedelta

import pytest

from local.account import record_set
from local.lab import Lab
from tests.workflow.scene import POLICY, RECORD, entered, to_be_waited, waits_until
from tests.workflow.watch import delete_record, none_policy, snapshot, txt_values


def lead(lab: Lab, domain: str, target: str, ttl: int, name: str = "_mta-sts") -> None:
    """Set a domain up whose record's name is a CNAME."""
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=1)
    cname = record_set(f"{name}.{domain}", "CNAME", ttl, [f"{target}."])
    lab.account.put_records(lab.zone_id(domain), cname)
    lab.warm(domain)


def vendor(lab: Lab, domain: str, text: str = RECORD) -> str:
    """Make a vendor's zone with one TXT value in it; return that one's name."""
    zone = f"vendor-{domain}"
    target = f"customer.{zone}"
    zone_id = lab.account.make_zone(zone, 1)
    lab.account.put_records(zone_id, record_set(target, "TXT", 1, [f'"{text}"']))
    return target


@pytest.mark.parametrize("where", ["this zone", "a vendor's zone", "nowhere"])
def test_it_is_withdrawn_and_its_own_ttl_waited(lab: Lab, domain: str, where: str) -> None:
    targets = {"this zone": f"vendor.{domain}", "nowhere": f"sts.{domain}.nowhere.example"}
    target = targets[where] if where in targets else vendor(lab, domain)
    lead(lab, domain, target, 4)
    if where == "this zone":
        record = record_set(target, "TXT", 1, [f'"{RECORD}"'])
        lab.account.put_records(lab.zone_id(domain), record)
        lab.warm(domain)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == "record"
    assert (f"_mta-sts.{domain}.", "CNAME", "") not in snapshot(lab, domain).records
    assert to_be_waited(run) >= timedelta(seconds=4)  # not the target's, which is shorter
    assert entered(run, "Confirm") >= waits_until(run)
    assert any("is a CNAME to" in warning for warning in run.output["warnings"])


def test_a_wildcard_cname_gives_way_to_a_record(lab: Lab, domain: str) -> None:
    """It answers at the name as long as nothing stands there (RFC 4592 section 3.3.1)."""
    lead(lab, domain, vendor(lab, domain), 1, "*")
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == "policy and record"
    (value,) = txt_values(lab, domain)
    assert value.startswith('"v=STSv1; id=')


@pytest.mark.parametrize("stands", ["a record", "a CNAME", "nothing"])
def test_a_wildcard_cname_that_answers_afterwards(lab: Lab, domain: str, stands: str) -> None:
    """The name servers say where it leads; only resolvers can say that no STS value is there."""
    target = vendor(lab, domain, "v=spf1 -all")
    lead(lab, domain, target, 1, "*")
    name, zone_id = f"_mta-sts.{domain}", lab.zone_id(domain)
    if stands == "a record":
        lab.account.put_records(zone_id, record_set(name, "TXT", 1, [f'"{RECORD}"']))
    elif stands == "a CNAME":
        other = [f"sts.{domain}.nowhere.example."]
        lab.account.put_records(zone_id, record_set(name, "CNAME", 1, other))
    lab.warm(domain)
    before = snapshot(lab, domain)
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert before.changed() == ("nothing" if stands == "nothing" else "record")
    rows = run.output["evidence"]["record"]["agreeing"]
    assert all(f"CNAME to {target}" in row["found"] for row in rows), rows
    assert {row["server"] for row in rows} > {"resolver"}


def test_who_still_leads_where_the_cname_led_has_not_withdrawn_it(lab: Lab, domain: str) -> None:
    """Nothing stands there now, but a record there would be found again."""
    lead(lab, domain, f"empty.{domain}", 1)
    lab.lag(domain, 2)
    run = lab.run(delete_record(domain))
    assert (run.status, run.error) == ("FAILED", "PropagationTimeoutError")
    address = lab.name_servers[2][0]
    assert f'({address}): found "no STS record (through a CNAME to empty.{domain})"' in str(
        run.cause
    )
