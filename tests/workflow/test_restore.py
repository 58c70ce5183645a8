"""What was turned off is put back: the same bytes, a fresh id, and only where that loses no mail."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.account import record_set
from local.lab import Lab
from mta_sts.instants import instant, stamp
from tests.workflow.life import (
    FIRST_ID,
    add_short,
    due,
    item,
    make_due,
    object_is_gone,
    retire,
    started_for,
    sweep,
    until_true,
    versions,
)
from tests.workflow.scene import BY_HAND, forget, write_record
from tests.workflow.watch import (
    check_failure,
    delete_record,
    none_policy,
    served,
    snapshot,
    txt_values,
)

NEIGHBOUR = "v=spf1 -all"


def restore(domain: str, **more: object) -> dict[str, Any]:
    return {"domain": domain, "method": "restore", **more}


def off(lab: Lab, domain: str) -> str:
    """Set up a domain and turn it off; return the policy that was in force."""
    policy = add_short(lab, domain)
    run = lab.run(none_policy(domain))
    assert run.status == "SUCCEEDED", run.cause
    return policy


def ids(lab: Lab, domain: str) -> list[str]:
    return re.findall(r"v=STSv1; id=(\w+);", " ".join(txt_values(lab, domain)))


def test_the_bytes_are_the_first_ones_under_a_third_id(lab: Lab, domain: str) -> None:
    policy = off(lab, domain)
    [second] = ids(lab, domain)
    write_record(lab, domain, f"v=STSv1; id={second};", NEIGHBOUR, ttl=2)  # as somebody has left it
    forget(lab, domain)
    run = lab.run(restore(domain))
    assert run.status == "SUCCEEDED", run.cause
    first, none, last = versions(lab, domain)
    assert first == last == policy.encode()
    assert b"mode: none" in none
    [third] = ids(lab, domain)
    assert len({FIRST_ID, second, third}) == 3
    assert f'"{NEIGHBOUR}"' in txt_values(lab, domain), "what came meanwhile stays"
    output = run.output
    assert (output["state"], output["all_off_at"], output["due"]) == ("on", None, [])
    gone = instant(output["moments"]["record_gone_at"])
    assert instant(output["enforced_by_readers_at"]) == gone
    assert instant(output["enforced_by_all_at"]) == gone + timedelta(days=1), "none lives for a day"
    assert output["text"].startswith(f"MTA-STS is on again for {domain}: ")
    assert "The TLS of the MX hosts was not asked" in output["text"]
    assert item(lab, domain)["phase"] == "on"
    sender = lab.senders[0]
    assert sender.deliver(domain, "mx.elsewhere.example").outcome == "refused", (
        "it is enforced again"
    )
    assert sender.deliver(domain, f"mail.{domain}").outcome == "delivered"


def test_a_record_that_was_withdrawn_is_made_again(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    write_record(lab, domain, f"v=STSv1; id={FIRST_ID}; x=kept;", ttl=2)
    forget(lab, domain)
    assert lab.run(delete_record(domain, publish_none=True)).status == "SUCCEEDED"
    assert ids(lab, domain) == []
    run = lab.run(restore(domain))
    assert run.status == "SUCCEEDED", run.cause
    [value] = txt_values(lab, domain)
    assert re.fullmatch(r'"v=STSv1; id=\d{14}; x=kept;"', value)
    assert FIRST_ID not in value
    assert served(lab, domain) == policy.encode()


def test_a_retired_domain_comes_back_whole(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    assert lab.run(retire(domain, remove_policy=True)).status == "SUCCEEDED"
    at = due(lab, domain, "retirement")
    until_true("the retirement is due", lambda: datetime.now(UTC) >= at)
    [retirement] = sweep(lab, domain)
    assert retirement.wait().status == "SUCCEEDED", retirement.cause
    assert object_is_gone(lab, domain)
    forget(lab, domain)
    run = lab.run(restore(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert served(lab, domain) == policy.encode()
    assert len(ids(lab, domain)) == 1


def test_a_restore_in_mid_drain_ends_the_retirement(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    assert lab.run(retire(domain)).status == "SUCCEEDED"
    at = due(lab, domain, "retirement")
    generation = item(lab, domain)["generation"]
    run = lab.run(restore(domain))
    assert run.status == "SUCCEEDED", run.cause
    assert f"what was due {stamp(at)} (retirement)" in run.output["text"]
    assert served(lab, domain) == policy.encode()
    until_true("the retirement would be due", lambda: datetime.now(UTC) >= at)
    assert sweep(lab, domain) == []
    # One that was under way already when the restore came finds that it is late.
    stale = {"kind": "retirement", "generation": generation, "at": stamp(at)}
    before = snapshot(lab, domain)
    late = lab.run({"domain": domain, "method": "delete-record", "due": stale})
    assert (late.status, late.error) == ("FAILED", "SupersededError")
    assert before.changed() == "nothing"
    assert started_for(lab, domain, "retirement") == []


def test_in_testing_first(lab: Lab, domain: str) -> None:
    policy = off(lab, domain)
    run = lab.run(restore(domain, restore_mode="testing"))
    assert run.status == "SUCCEEDED", run.cause
    assert served(lab, domain) == policy.replace("enforce", "testing").encode()
    assert run.output["text"].startswith(f"MTA-STS is on again for {domain}, in testing: ")
    assert lab.senders[0].deliver(domain, "mx.elsewhere.example").outcome == "delivered"
    for _ in range(2):  # the second finds the first's work, and must not take it for what was saved
        run = lab.run(restore(domain))
        assert run.status == "SUCCEEDED", run.cause
        assert served(lab, domain) == policy.encode()


def test_nothing_was_saved(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    before = snapshot(lab, domain)
    run = lab.run(restore(domain))
    check_failure(run, "NothingToRestoreError", before, "change-id")


@pytest.mark.parametrize("what", ["policy", "record"])
def test_what_somebody_else_has_written_is_not_overwritten_unless_named(
    lab: Lab, domain: str, what: str
) -> None:
    policy = off(lab, domain)
    if what == "policy":
        lab.account.put_policy(*lab.policy_object(domain), BY_HAND)
    else:
        write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
    forget(lab, domain)
    before = snapshot(lab, domain)
    run = lab.run(restore(domain))
    assert (run.status, run.error) == ("FAILED", "ConcurrentChangeError"), run.cause
    assert before.changed() == "nothing"
    [digest] = re.findall(r"accept_current: (\w{64})", run.cause or "")
    run = lab.run(restore(domain, accept_current="0" * 64))
    assert run.error == "ConcurrentChangeError"
    run = lab.run(restore(domain, accept_current=digest))
    assert run.status == "SUCCEEDED", run.cause
    assert served(lab, domain) == policy.encode()


def test_no_mail_is_lost(lab: Lab, domain: str) -> None:
    """The mail went to another provider meanwhile: the old policy names none of its hosts."""
    off(lab, domain)
    moved(lab, domain, "10 mx.newprovider.example.")
    before = snapshot(lab, domain)
    run = lab.run(restore(domain))
    assert (run.status, run.error) == ("FAILED", "RestoreWouldLoseMailError"), run.cause
    assert "mx.newprovider.example" in (run.cause or "")
    assert before.changed() == "nothing"
    moved(lab, domain, "10 mx.newprovider.example.", f"20 mail.{domain}.")
    run = lab.run(restore(domain, dry_run=True))
    assert run.status == "SUCCEEDED", run.cause
    assert "and not mx.newprovider.example" in " ".join(run.output["warnings"])
    moved(lab, domain, "10 mx.newprovider.example.")
    run = lab.run(restore(domain, accept_mx_mismatch=True))
    assert run.status == "SUCCEEDED", run.cause
    assert "Mail may be at risk" in run.output["text"]


def moved(lab: Lab, domain: str, *targets: str) -> None:
    new = record_set(domain, "MX", 1, list(targets))
    lab.account.put_records(lab.zone_id(domain), new, action="UPSERT")
    lab.refresh()


def test_the_end_of_a_window_checks_everything_again(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    end = datetime.now(UTC) + timedelta(hours=1)
    run = lab.run(none_policy(domain, restore_at=stamp(end), ticket="CHG-7"))
    assert run.status == "SUCCEEDED", run.cause
    assert due(lab, domain, "restore") == instant(stamp(end))
    moved(lab, domain, "10 mx.newprovider.example.")
    make_due(lab, domain, "restore", datetime.now(UTC) - timedelta(minutes=1))
    [refused] = sweep(lab, domain)
    assert refused.wait().error == "RestoreWouldLoseMailError"
    assert b"mode: none" in served(lab, domain)
    moved(lab, domain, f"10 mail.{domain}.")
    make_due(lab, domain, "restore", datetime.now(UTC) - timedelta(seconds=1))
    [ended] = sweep(lab, domain)
    assert ended.wait().status == "SUCCEEDED", ended.cause
    assert served(lab, domain) == policy.encode()
    assert "due_at" not in item(lab, domain)


def test_a_window_of_the_past_is_refused(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain, restore_at="2020-01-01"))
    assert run.error == "InvalidRequestError"
    assert "which is not to come" in (run.cause or "")
    assert before.changed() == "nothing"
