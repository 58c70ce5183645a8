"""`delete-record`: what counts as gone, who else writes, and what reviews had broken."""

import json

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from mta_sts.instants import instant
from tests.workflow.scene import (
    POLICY,
    RECORD,
    add,
    end_of_old,
    forget,
    reaches,
    start_beside_a_stale_resolver,
    until,
    waits_until,
    write_record,
)
from tests.workflow.watch import HALF, delete_record, served, txt_values


def release(lab: Lab, domain: str) -> None:
    """Take the claim away, as an administrator who knows that nothing runs any more.

    And what was seen of TTLs: what is still open has to do.
    """
    lab.client("dynamodb").update_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        UpdateExpression="REMOVE holder, held_since, ttls",
    )


def laggards(run: Run) -> list[set[str]]:
    """Return, for each look that did not confirm, the servers that had the old record."""
    entered = [event.get("stateEnteredEventDetails", {}) for event in run.history]
    looks = [json.loads(one["input"])[0] for one in entered if one.get("name") == "Wait To Confirm"]
    return [{laggard["server"] for laggard in look["laggards"]} for look in looks]


def delete_by_hand(lab: Lab, domain: str, ttl: int = 2) -> None:
    present = record_set(f"_mta-sts.{domain}", "TXT", ttl, [f'"{RECORD}"'])
    lab.account.put_records(lab.zone_id(domain), present, action="DELETE")


# --- gone means that everybody says so


def test_a_server_that_times_out_has_not_said_that_the_record_is_gone(
    lab: Lab, domain: str
) -> None:
    """Three servers say gone, the fourth has the old record and is silent."""
    add(lab, domain)
    lab.lag(domain, server=1)
    run = lab.start(delete_record(domain))
    reaches(run, "Delete Record")
    lab.server_down(domain, server=1)
    reaches(run, "Await Route 53")
    lab.refresh()  # so that nobody is waited for but the silent one
    reached = reaches(run, "Wait For Name Servers", "Wait Out TTL")
    lab.name_servers_world.up(1, domain)
    old = end_of_old(lab.name_servers[1], domain)  # it was right not to believe it
    assert (reached, old is not None) == ("Wait For Name Servers", True)
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause


def test_a_resolver_that_still_answers_is_waited_for(lab: Lab, domain: str) -> None:
    add(lab, domain, ttl=5)
    run = start_beside_a_stale_resolver(lab, domain, delete_record(domain))
    lab.resolvers_world.serve_stale(1, 0, domain)
    assert run.wait().status == "SUCCEEDED", run.cause


def test_a_record_that_was_deleted_by_hand_after_the_plan_is_as_planned(
    lab: Lab, domain: str
) -> None:
    add(lab, domain, cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(delete_record(domain, publish_none=True))
    reaches(run, "Wait For CDN")
    delete_by_hand(lab, domain)
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause


def test_a_record_written_by_hand_after_the_plan_stays(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(delete_record(domain, publish_none=True))
    reaches(run, "Wait For CDN")
    write_record(lab, domain, RECORD, "another")
    lab.heal(domain)
    assert (run.wait().status, run.error) == ("FAILED", "ConcurrentChangeError")
    assert txt_values(lab, domain) == [f'"{RECORD}"', '"another"']
    assert (run.cause or "").startswith(f"half changed for {domain}: the policy says none, but")


# --- what reviews had broken


def test_the_ttl_is_remembered_when_the_record_is_gone_and_not_confirmed(
    lab: Lab, domain: str
) -> None:
    """Some server may have answered with it until a moment before the second run."""
    add(lab, domain, ttl=1)
    write_record(lab, domain, RECORD, ttl=600)
    lab.refresh()
    lab.lag(domain, server=1)
    first = lab.start(delete_record(domain))
    reaches(first, "Wait For Name Servers")
    first.stop()
    release(lab, domain)
    held_until = end_of_old(lab.name_servers[1], domain)
    assert held_until is not None
    lab.heal(domain)
    forget(lab, domain)
    second = lab.start(delete_record(domain))
    assert reaches(second, "Wait Out TTL") == "Wait Out TTL"
    second.stop()
    assert waits_until(second) >= held_until


def test_a_record_that_came_back_while_confirming_is_waited_out(lab: Lab, domain: str) -> None:
    """Those that are asked forget it early; others may have taken it at the last moment."""
    add(lab, domain, ttl=8)
    run = lab.start(delete_record(domain))
    reaches(run, "Wait Out TTL")
    write_record(lab, domain, RECORD, ttl=8)
    lab.refresh()
    assert reaches(run, "Wait To Confirm") == "Wait To Confirm"
    held_until = end_of_old(lab.name_servers[0], domain)
    assert held_until is not None
    delete_by_hand(lab, domain, ttl=8)
    lab.refresh()
    # Once more it is seen, by resolvers that took it at the first look; others may hold it for longer.
    until(run, lambda _: {"resolver"} in laggards(run))
    assert {"resolver"} in laggards(run)
    forget(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert instant(run.output["moments"]["record_gone_at"]) >= held_until.replace(microsecond=0)


def test_a_value_that_only_begins_like_a_record_is_a_neighbour(lab: Lab, domain: str) -> None:
    add(lab, domain, "v=STSv1beta-site-verification=abc")
    run = lab.run(delete_record(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert txt_values(lab, domain) == ['"v=STSv1beta-site-verification=abc"']


def test_a_policy_put_back_after_the_deletion_fails_in_its_own_words(lab: Lab, domain: str) -> None:
    add(lab, domain, ttl=4)
    run = lab.start(delete_record(domain, publish_none=True))
    reaches(run, "Wait Out TTL")
    lab.account.put_policy(*lab.policy_object(domain), POLICY)
    assert (run.wait().status, run.error) == ("FAILED", "PolicyNotServedError")
    text = run.cause or ""
    assert text.startswith(
        f"{HALF} for {domain}: the record is deleted, but an older policy was put"
    )
    assert "served another policy after the record was deleted" in text
    again = lab.run(delete_record(domain, publish_none=True))
    assert again.status == "SUCCEEDED", again.cause
    assert b"mode: none" in served(lab, domain)


def test_a_record_made_after_a_plan_that_found_none_is_not_overlooked(
    lab: Lab, domain: str
) -> None:
    lab.add_domain(domain, policies=[POLICY], record=None, ttl=1, cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(delete_record(domain, publish_none=True))
    reaches(run, "Wait For CDN")
    write_record(lab, domain, RECORD)
    lab.heal(domain)
    assert (run.wait().status, run.error) == ("FAILED", "ConcurrentChangeError")
    assert txt_values(lab, domain) == [f'"{RECORD}"']


def test_what_somebody_adds_after_the_deletion_does_not_hide_it(lab: Lab, domain: str) -> None:
    add(lab, domain)
    lab.lag(domain)
    run = lab.start(delete_record(domain))
    reaches(run, "Wait For Name Servers")
    write_record(lab, domain, "somebody else's")
    assert (run.wait(60).status, run.error) == ("FAILED", "PropagationTimeoutError")
    assert "\nChanged: record.\n" in (run.cause or "")
