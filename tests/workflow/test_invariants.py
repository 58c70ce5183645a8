"""What has to hold whatever happens, told by what becomes of mail, of answers and of others' work.

Each test has a mutant, a wrong version of the product that only this test has to catch.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.lab import Lab
from local.world.web import PATH
from tests.workflow.scene import (
    BY_HAND,
    NONE_POLICY,
    POLICY,
    RECORD,
    add,
    end_of_old,
    entered,
    forget,
    mail,
    reaches,
    send_to,
    start_beside_a_stale_resolver,
    until,
    waits_until,
    write_record,
)
from tests.workflow.watch import claim, none_policy, served, snapshot, txt_values

# --- policy before id: mail that comes during the run must not store the old policy under the new id


def test_mail_during_the_purge_does_not_renew_the_old_policy(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For CDN")
    forget(lab, domain)
    assert mail(lab, domain) == "refused"
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert mail(lab, domain) == "delivered"


def test_every_edge_of_the_cdn_is_made_fresh(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    host = f"mta-sts.{domain}"
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For Policy")
    edges = lab.policy_hosts.addresses
    bodies = {lab.policy_hosts.answer(host, host, edge, PATH).body for edge in edges}
    assert bodies == {NONE_POLICY}
    assert run.wait().status == "SUCCEEDED", run.cause


def test_an_edge_that_is_not_seen_from_here_is_waited_for(lab: Lab, domain: str) -> None:
    """Half the world gets other addresses of the CDN; only a completed purge speaks for those."""
    add(lab, domain)
    lab.account.make_distribution(domain)
    lab.hold_invalidations(domain)
    here, elsewhere, *_ = lab.policy_hosts.addresses
    lab.policy_hosts.stale(domain, elsewhere)
    send_to(lab, domain, here)
    run = lab.start(none_policy(domain))
    # The first wait could be for the second that is rounded up; the next one is for the edges.
    until(run, lambda states: states.count("Wait For CDN") > 1 or "Await Route 53" in states)
    send_to(lab, domain, elsewhere)
    assert mail(lab, domain) == "refused"
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert mail(lab, domain) == "delivered"


def test_a_stale_second_address_holds_the_id_back(lab: Lab, domain: str) -> None:
    add(lab, domain)
    first, second, *_ = lab.policy_hosts.addresses
    send_to(lab, domain, second, first)
    lab.policy_hosts.stale(domain, second)
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For Policy", "Wait To Confirm")
    forget(lab, domain)
    assert mail(lab, domain) == "refused"
    lab.heal(domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert mail(lab, domain) == "delivered"


def test_nothing_is_written_where_the_host_serves_something_else(lab: Lab, domain: str) -> None:
    add(lab, domain)
    lab.wrong_bucket(domain)
    before = snapshot(lab, domain)
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For Policy")
    assert before.changed() == "nothing"
    assert run.wait().error == "PolicyNotServedError"


# --- confirmed: no resolver anywhere may still answer the old id

# Long enough that a run which does not wait is over by far, on a busy machine too.
TTL = 8
LONG_TTL = 600  # which no test waits out


def test_an_old_answer_of_the_last_moment_has_ended(lab: Lab, domain: str) -> None:
    """Some resolver asks just before the change, and is none of those that the run asks."""
    add(lab, domain, ttl=TTL)
    run = lab.start(none_policy(domain))
    held_until = datetime.min.replace(tzinfo=UTC)
    while run.status == "RUNNING" and (ends := end_of_old(lab.name_servers[0], domain)):
        held_until = ends
        time.sleep(0.02)
    # Those that are asked know the new id at once, and so give no reason to wait.
    forget(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert entered(run, "Record Outcome") >= held_until


def test_the_ttl_counts_from_the_last_name_server(lab: Lab, domain: str) -> None:
    add(lab, domain, ttl=TTL)
    lab.lag(domain, server=1)
    run = lab.start(none_policy(domain))
    reached = reaches(run, "Wait For Name Servers", "Wait Out TTL")
    lagging = end_of_old(lab.name_servers[1], domain) is not None
    assert (reached, lagging) == ("Wait For Name Servers", True)
    # Late enough that a TTL counted from anything earlier would be over.
    began = entered(run, "Check Name Servers")
    until(run, lambda _: (datetime.now(UTC) - began).total_seconds() > TTL)
    held_until = end_of_old(lab.name_servers[1], domain)
    assert held_until is not None
    lab.heal(domain)
    forget(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert entered(run, "Record Outcome") >= held_until


def test_a_ttl_that_was_lowered_just_before_is_waited_out_as_it_was(lab: Lab, domain: str) -> None:
    """A resolver is many machines: those that hold the old answer need not be asked again."""
    add(lab, domain, ttl=LONG_TTL)
    write_record(lab, domain, RECORD, ttl=1)
    held_until = end_of_old(lab.resolvers[0], domain)
    assert held_until is not None
    run = lab.start(none_policy(domain))
    reaches(run, "Claim Domain")  # the plan has seen it; later looks see the new one
    forget(lab, domain)
    assert reaches(run, "Wait Out TTL") == "Wait Out TTL"
    run.stop()
    # A resolver tells what is left in whole seconds, rounded up.
    assert waits_until(run) >= held_until - timedelta(seconds=1)


def test_a_resolver_that_serves_stale_answers_keeps_it_from_confirmed(
    lab: Lab, domain: str
) -> None:
    add(lab, domain, ttl=5)
    run = start_beside_a_stale_resolver(lab, domain, none_policy(domain))
    lab.resolvers_world.serve_stale(1, 0, domain)
    assert run.wait().status == "SUCCEEDED", run.cause


# --- others' work: nothing is overwritten, nothing is lost, one run at a time


def test_a_policy_written_by_hand_after_the_plan_stays(lab: Lab, domain: str) -> None:
    add(lab, domain)
    for address in lab.policy_hosts.addresses:
        lab.policy_hosts.stale(domain, address)  # so that it is the write that meets the other
    lab.policy_hosts.hold(domain)
    run = lab.start(none_policy(domain))
    reaches(run, "Check Host")
    lab.account.put_policy(*lab.policy_object(domain), BY_HAND)
    lab.policy_hosts.release(domain)
    reaches(run, "Purge CDN")
    assert served(lab, domain) == BY_HAND.encode()
    assert (run.wait().status, run.error) == ("FAILED", "ConcurrentChangeError")


def test_a_neighbour_that_came_after_the_plan_stays_and_running_again_converges(
    lab: Lab, domain: str
) -> None:
    add(lab, domain, "neighbour", cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For CDN")
    write_record(lab, domain, RECORD, "neighbour", "another")
    lab.heal(domain)
    run.wait()
    assert txt_values(lab, domain) == [f'"{RECORD}"', '"neighbour"', '"another"']
    assert (run.status, run.error) == ("FAILED", "ConcurrentChangeError")
    again = lab.run(none_policy(domain))
    assert (again.status, again.error) == ("SUCCEEDED", None), again.cause
    assert set(txt_values(lab, domain)) > {'"neighbour"', '"another"'}


def test_all_is_saved_before_the_first_write(lab: Lab, domain: str) -> None:
    """Whatever ends a run after its first write, what was there can be put back."""
    add(lab, domain, "neighbour", cdn_seconds=600)
    lab.hold_invalidations(domain)
    run = lab.start(none_policy(domain))
    reaches(run, "Wait For CDN")
    run.stop()
    assert served(lab, domain) == NONE_POLICY
    assert saved(lab, domain) == (POLICY.encode(), [f'"{RECORD}"', '"neighbour"'])
    lab.heal(domain)


def saved(lab: Lab, domain: str) -> tuple[Any, list[str]]:
    """Return the policy's bytes and the record's values as the ledger keeps them."""
    found = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
    )
    kept = found.get("Item", {}).get("saved", {}).get("M", {})
    values = kept.get("record", {}).get("M", {}).get("values", {}).get("L", [])
    return kept.get("policy", {}).get("M", {}).get("body", {}).get("B"), [v["S"] for v in values]


def test_a_second_run_leaves_the_domain_to_the_first(lab: Lab, domain: str) -> None:
    add(lab, domain, cdn_seconds=600)
    lab.hold_invalidations(domain)
    first = lab.start(none_policy(domain))
    reaches(first, "Wait For CDN")
    second = lab.start(none_policy(domain))
    reached = reaches(second, "Wait For CDN")
    assert (reached, claim(lab, domain).holder) == ("FAILED", first.arn)
    assert second.error == "DomainBusyError"
    lab.heal(domain)
    assert first.wait().status == "SUCCEEDED", first.cause


@pytest.mark.parametrize("when", ["before the claim", "after the claim"])
def test_a_run_that_fails_ends_failed(lab: Lab, domain: str, when: str) -> None:
    add(lab, domain, *(["v=STSv1; id=2;"] if when.startswith("before") else []))
    lab.policy_hosts.status(domain, 500)
    run = lab.run(none_policy(domain))
    expected = "RecordConflictError" if when.startswith("before") else "PolicyNotServedError"
    assert (run.status, run.error) == ("FAILED", expected)
