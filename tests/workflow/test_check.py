"""The method check: it looks at every server and address, says how the domain stands, and writes nothing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local.account import quoted, record_set
from local.lab import Lab
from mta_sts.instants import instant
from tests.workflow.life import (
    FIRST_ID,
    MAX_AGE,
    add_short,
    due,
    item,
    make_due,
    sweep,
)
from tests.workflow.scene import NEW_MX, forget, reaches, write_record
from tests.workflow.watch import snapshot

LOOKS = [
    "Begin", "What Is Asked?", "Check Domain", "Record Check", "Anything To Tell?", "Announce Check", "Done",
]  # fmt: skip
A_WEEK = "version: STSv1\r\nmode: enforce\r\nmx: mail.{domain}\r\nmax_age: 604800\r\n"


def look(lab: Lab, domain: str, **asked: Any) -> dict[str, Any]:
    """Check a domain by hand."""
    run = lab.run({"domain": domain, "method": "check", **asked})
    assert run.status == "SUCCEEDED", run.cause
    assert run.states == LOOKS
    told: dict[str, Any] = run.output
    assert told["text"].startswith(("MTA-STS is off", "MTA-STS is still on", "half changed"))
    assert len(json.dumps(told)) < 100_000
    return told


def codes(told: dict[str, Any], *levels: str) -> set[str]:
    """The findings of these levels, or of all."""
    return {one["code"] for one in told["findings"] if not levels or one["level"] in levels}


def drain(lab: Lab, domain: str) -> dict[str, Any]:
    """Turn MTA-STS off for a domain whose policy is held for a week; return the run's output."""
    policy = A_WEEK.format(domain=domain)
    lab.add_domain(domain, policies=[policy], record=[f"v=STSv1; id={FIRST_ID};"], ttl=1)
    run = lab.run({"domain": domain, "method": "none-policy", "longest_max_age": 604_800})
    assert run.status == "SUCCEEDED", run.cause
    output: dict[str, Any] = run.output
    return output


def put_by_hand(lab: Lab, domain: str, policy: str) -> None:
    bucket, key = lab.policy_object(domain)
    lab.account.put_policy(bucket, key, policy)


def test_a_domain_where_all_is_well(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    before = snapshot(lab, domain)
    told = look(lab, domain, new_mx=[f"mail.{domain}"], longest_max_age=MAX_AGE)
    assert told["state"] == "on"
    assert codes(told) == set()
    assert told["evidence"]["problems"] == {}
    rows = told["evidence"]["record"]["rows"]
    assert {row["server"] for row in rows} >= {"Route 53", "resolver", "ns-1.awsdns-1.com"}
    assert {row["id"] for row in rows} == {FIRST_ID}
    served = told["evidence"]["policy"]["agreeing"]
    assert {row["address"] for row in served} == set(lab.policy_hosts.addresses)
    assert {row["mode"] for row in served} == {"enforce"}
    assert told["evidence"]["mx"]["hosts"] == [f"mail.{domain}"]
    assert before.changed() == "nothing"
    assert item(lab, domain) == {}, "no run has touched it"


def test_a_domain_that_never_had_mta_sts(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[], record=None, ttl=1)
    told = look(lab, domain)
    assert told["text"].split("\n")[0] == (
        f"MTA-STS is off for {domain}: it has neither record nor policy."
    )
    assert codes(told, "alarm", "warning") == set()


def test_a_domain_of_nobody_is_no_error(lab: Lab) -> None:
    told = look(lab, "nobody-has-this.example")
    assert {"zone-unknown", "mx-unknown"} <= codes(told, "warning")


def test_it_names_who_disagrees(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    lab.lag(domain, 1)
    lab.server_down(domain, 2)
    lab.stale_address(domain, 1)
    put_by_hand(lab, domain, policy.replace(f"max_age: {MAX_AGE}", "max_age: 9"))
    write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
    zone_id = lab.zone_id(domain)
    lab.account.put_records(
        zone_id,
        record_set(domain, "MX", 1, [f"10 {NEW_MX}.", f"20 mail.{domain}."]),
        record_set(f"_mta-sts.news.{domain}", "TXT", 1, [quoted("v=STSv1; id=1;")]),
        action="UPSERT",
    )
    forget(lab, domain)
    told = look(lab, domain, longest_max_age=9)
    lab.heal(domain)
    assert {
        "record-differs", "name-server-silent", "policy-differs", "object-differs",
        "mx-some-not-named",
    } <= codes(told, "warning")  # fmt: skip
    assert "other-domains" in codes(told, "note")
    by_server = {
        (row["server"], row["id"]) for row in told["evidence"]["record"]["rows"] if row["ttl"]
    }
    assert ("ns-2.awsdns-2.net", FIRST_ID) in by_server
    assert ("ns-1.awsdns-1.com", "byhand") in by_server
    assert f"news.{domain}. Each is a policy domain of its own" in told["text"]
    assert told["answers"]["trouble"]["mail_at_risk"] is True


@pytest.mark.parametrize("kind", ["expired", "name", "issuer"])
def test_a_certificate_that_no_sender_accepts(lab: Lab, domain: str, kind: Any) -> None:
    add_short(lab, domain)
    lab.broken_certificate(domain, kind)
    told = look(lab, domain)
    lab.heal(domain)
    assert told["alarms"] == ["certificate-invalid"]
    assert told["answers"]["trouble"]["next"] == "renew the certificate."


def test_the_policy_is_somebody_elses(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    lab.wrong_bucket(domain)
    no_reports = record_set(f"_smtp._tls.{domain}", "TXT", 1, [quoted("no report")])
    lab.account.put_records(lab.zone_id(domain), no_reports, action="UPSERT")
    forget(lab, domain)
    told = look(lab, domain)
    lab.heal(domain)
    assert "object-differs" in codes(told, "warning")
    assert "tlsrpt-missing" in codes(told, "note")
    assert told["alarms"] == ["mx-none-named"]
    assert told["text"].split("\n")[1].startswith("Mail is at risk: ")


def test_a_run_that_is_at_work_is_told(lab: Lab, domain: str) -> None:
    add_short(lab, domain)
    lab.server_down(domain)  # so that it waits
    run = lab.start({"domain": domain, "method": "none-policy"})
    assert reaches(run, "Await Name Servers", "Wait For Name Servers", "Check Name Servers")
    told = look(lab, domain)
    lab.heal(domain)
    run.wait()
    [claimed] = [one for one in told["findings"] if one["code"] == "claimed"]
    assert claimed["evidence"]["holder"] == run.arn
    assert told["alarms"] == []
    assert told["answers"]["trouble"]["next"].startswith("wait for that execution to end")


def test_the_file_was_changed_and_the_id_was_not(lab: Lab, domain: str) -> None:
    policy = add_short(lab, domain)
    announced = lab.run({"domain": domain, "method": "change-id"})
    assert announced.status == "SUCCEEDED", announced.cause
    assert "file-changed-id-not" not in codes(look(lab, domain))
    put_by_hand(lab, domain, policy.replace(f"max_age: {MAX_AGE}", "max_age: 9"))
    told = look(lab, domain)
    assert "file-changed-id-not" in codes(told, "warning")
    assert "change-id" in told["answers"]["trouble"]["next"]
    mended = lab.run({"domain": domain, "method": "change-id"})
    assert mended.status == "SUCCEEDED", mended.cause
    assert "file-changed-id-not" not in codes(look(lab, domain))


def test_in_mid_drain_it_says_what_the_run_has_said(lab: Lab, domain: str) -> None:
    said = drain(lab, domain)
    before = item(lab, domain)
    told = look(lab, domain, longest_max_age=604_800, new_mx=[NEW_MX])
    dates = ("conforming_off_at", "all_off_at", "known_off_at", "needing_record_off_at")
    assert {name: told[name] for name in dates} == {name: said[name] for name in dates}
    assert told["state"] == "off"
    assert told["answers"]["off"]["sentence"] == said["answers"]["off"]["sentence"]
    assert told["answers"]["mx"]["answer"] == "now with overlap"
    assert NEW_MX in told["answers"]["mx"]["choices"][0]["reason"]
    assert codes(told, "alarm", "warning") == set()
    assert {"due", "restorable"} <= codes(told, "note")
    assert item(lab, domain) == before


def test_the_daily_watch_finds_nothing_and_tells_nobody(lab: Lab, domain: str) -> None:
    drain(lab, domain)
    make_due(lab, domain, "watch", datetime.now(UTC) - timedelta(seconds=1))
    [run] = sweep(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    assert (run.output["alarms"], run.output["state"]) == ([], "off")
    assert run.states[-2:] == ["Anything To Tell?", "Done"]
    again = due(lab, domain, "watch") - datetime.now(UTC)
    assert timedelta(hours=23) < again <= timedelta(days=1, seconds=1)


@pytest.mark.parametrize(
    "harm", ["policy", "object", "id", "record", "certificate", "host", "address"]
)
def test_the_daily_watch_raises_the_alarm(lab: Lab, domain: str, harm: str) -> None:
    drain(lab, domain)
    policy, alarm = A_WEEK.format(domain=domain), "none-not-served"
    if harm == "policy":
        lab.wrong_bucket(domain)
    elif harm == "object":
        put_by_hand(lab, domain, policy)
        alarm = "object-changed"
    elif harm == "id":
        write_record(lab, domain, "v=STSv1; id=byhand;", ttl=1)
        alarm = "id-not-ours"
    elif harm == "record":
        write_record(lab, domain, "somebody else's", ttl=1)
        alarm = "record-gone"
    elif harm == "certificate":
        lab.broken_certificate(domain)
    elif harm == "host":
        lab.hosts.set(f"mta-sts.{domain}", ipv4=[], ipv6=[], ttl=1)
    else:
        first = lab.policy_hosts.addresses[0]
        lab.hosts.set(f"mta-sts.{domain}", ipv4=[first, "127.0.0.2"], ipv6=[], ttl=1)
    forget(lab, domain)
    make_due(lab, domain, "watch", datetime.now(UTC) - timedelta(seconds=1))
    [run] = sweep(lab, domain)
    assert run.wait().status == "SUCCEEDED", run.cause
    lab.heal(domain)
    assert alarm in run.output["alarms"]
    assert run.output["text"].startswith(f"half changed for {domain}: ")
    assert " Next: " in run.output["text"].split("\n")[1]
    assert "(alarm: " in run.output["subject"]
    assert run.states[-4:] == ["Announce Finding", "Notify Finding", "Move On", "Done"]
    assert due(lab, domain, "watch") > datetime.now(UTC), "it looks again tomorrow"


def test_every_domain_of_the_account(lab: Lab, domain: str) -> None:
    drain(lab, domain)
    add_short(lab, f"other-{domain}")
    lab.account.put_records(
        lab.zone_id(domain),
        record_set(f"_mta-sts.cname.{domain}", "CNAME", 1, ["_mta-sts.vendor.example."]),
    )
    run = lab.run({"method": "check", "discover": True})
    assert run.status == "SUCCEEDED", run.cause
    assert run.states == LOOKS
    rows = {row["domain"]: row for row in run.output["domains"]}
    phases = {name: (rows[name]["phase"], rows[name]["known"]) for name in rows}
    assert phases[domain] == ("draining", True)
    assert phases[f"other-{domain}"] == ("", False)
    assert rows[f"other-{domain}"]["id"] == FIRST_ID
    assert rows[f"cname.{domain}"]["leads_to"] == "_mta-sts.vendor.example"
    assert instant(run.output["checked_at"])
    assert run.output["text"].startswith("MTA-STS is still on for ")
