"""The files under events/: each good one is carried out, each bad one is refused and told why."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.lab import Lab
from mta_sts.domains import normalise
from tests.workflow.scene import RECORD, forget
from tests.workflow.watch import none_policy, txt_values

FOLDER = Path(__file__).parents[2] / "events"
GOOD = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}
BAD = {file.stem: file for file in sorted(FOLDER.glob("bad/*.json"))}

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.{mx}\r\nmax_age: 604800\r\n"
NONE = "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
WITHOUT_POLICY = {"create-policy"}  # what this event is there to make
MOVED = {"restore-accept-mx"}  # the mail went elsewhere meanwhile: the policy names no live MX host
# What is due after each method, if nothing more was asked for.
DUE = {
    "none-policy": {"drained", "watch"},
    "delete-record": set(),  # the host goes on serving the policy: there is no date
    "retire": {"retirement", "watch"},
    "restore": set(),
    "change-id": set(),
}

# For each bad event all that its refusal has to say.
REFUSALS = {
    "check-that-changes": [
        "keep_mx is for none-policy, delete-record and retire only",
        "approved_plan is for",
    ],
    "discover-with-a-domain": ["discover looks for every domain: leave domain out"],
    "due-by-hand": ["due is what the schedule adds to its own runs: leave it out"],
    "due-of-another-method": ["due retirement is for delete-record only"],
    "e-mail-address": ["is an e-mail address; give the part after the @"],
    "ip-address": ["'192.0.2.25' is an IP address"],
    "misplaced-fields": [
        "publish_none is for delete-record only",
        "accept_exposure_until is for delete-record only",
    ],
    "missing-fields": ["domain is missing", "method is missing"],
    "no-date": [
        "accept_exposure_until must be a date such as 2027-01-31",
        "longest_max_age must be a number of seconds",
        "new_mx must be a list of host names, it is text",
    ],
    "not-an-object": ["The input must be a JSON object", "it is a list"],
    "null": ["The input must be a JSON object", "it is null"],
    "plan-that-is-no-digest": ["approved_plan must be the digest of a plan"],
    "remove-policy-misplaced": ["remove_policy is for retire only"],
    "restore-misplaced-fields": [
        "keep_mx is for",
        "create_policy is for",
        "new_mx is for",
        "longest_max_age is for",
    ],
    "restore-mode-unknown": [
        "restore_mode must be testing, or left out for the mode that was saved; it is 'enforce'",
        "accept_current must be the digest of policy and record",
    ],
    "two-problems": ["is a single label", "dry_run must be true or false, it is text"],
    "unknown-field": ["unknown field 'bucket'"],
    "unknown-method": ["method must be one of", "it is 'switch-off'"],
    "url": ["is a URL or a path; give the domain alone"],
    "window-without-an-end": [
        "restore_mode needs restore_at",
        "accept_mx_mismatch needs restore_at",
    ],
    "window-without-none-policy": ["restore_at is for none-policy only"],
    "wrong-type": ["domain must be text, it is a list"],
}


def event_of(file: Path) -> Any:
    return json.loads(file.read_text())


def domain_of(file: Path) -> str:
    """The domain of an event; empty where it looks for every domain."""
    return normalise(named) if (named := event_of(file).get("domain")) else ""


def policy_of(name: str, domain: str) -> str:
    return POLICY.format(mx="example.net" if name in MOVED else domain)


def set_up(lab: Lab, name: str, event: dict[str, Any], domain: str) -> str:
    """Set up the domain as somebody who sends this event has it; return its policy."""
    policy = policy_of(name, domain)
    policies = [] if name in WITHOUT_POLICY else [policy]
    moved = [f"mail.{domain}"] if name in MOVED else []
    lab.add_domain(domain, policies=policies, record=[RECORD], ttl=1, mx=moved)
    if event["method"] == "restore":  # what was turned off
        off = lab.run(none_policy(domain))
        assert off.status == "SUCCEEDED", off.cause
        forget(lab, domain)
    if event["method"] == "change-id":  # the file was changed by hand, the id was not
        policy = policy.replace("max_age: 604800", "max_age: 86400")
        lab.account.put_policy(*lab.policy_object(domain), policy)
        lab.policy_hosts.warm(domain)
    return policy


def body(lab: Lab, domain: str) -> str:
    bucket, key = lab.policy_object(domain)
    read: bytes = lab.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return read.decode()


def expected_body(event: dict[str, Any], policy: str) -> str:
    """The policy object after an event was carried out."""
    method = event["method"]
    if event.get("dry_run") or method in ("change-id", "check"):
        return policy
    if method == "delete-record" and not event.get("publish_none"):
        return policy
    if method == "restore":
        return policy.replace("enforce", event.get("restore_mode", "enforce"))
    kept = [line for line in policy.splitlines(keepends=True) if line.startswith("mx:")]
    return NONE + "".join(kept if event.get("keep_mx") else [])


def expected_due(event: dict[str, Any]) -> set[str]:
    """What is due by itself after an event was carried out."""
    due = set(DUE[event["method"]])
    if event.get("publish_none"):
        due |= DUE["none-policy"]
    return due | ({"restore"} if "restore_at" in event else set())


def test_events_keep_out_of_each_others_way() -> None:
    """All of them can be sent to one lab, as this file does."""
    domains = list(filter(None, (domain_of(file) for file in GOOD.values())))
    assert len(domains) > 1
    assert len(set(domains)) == len(domains)
    assert all(domain.endswith(".example") for domain in domains)  # nobody's mail (RFC 2606)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_event_is_carried_out(lab: Lab, name: str) -> None:
    event, domain = event_of(GOOD[name]), domain_of(GOOD[name])
    policy = set_up(lab, name, event, domain) if domain else ""
    before = txt_values(lab, domain) if domain else []
    run = lab.run(event)
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["domain"] == domain
    if event.get("dry_run"):
        assert len(run.output["digest"]) == 64
    elif event["method"] != "check":
        on = event["method"] in ("restore", "change-id")
        assert run.output["state"] == ("on" if on else "off")
        assert {one["kind"] for one in run.output["due"]} == expected_due(event)
        assert run.output["answers"]["trouble"]["mail_at_risk"] is (name in MOVED)
    if domain:
        assert body(lab, domain) == expected_body(event, policy)
        after = txt_values(lab, domain)
        if event.get("dry_run") or event["method"] == "check":
            assert after == before
        else:
            assert len(after) == (0 if event["method"] == "delete-record" else 1)
            assert after != before, "the id is a fresh one, or the record is gone"


def test_every_bad_event_has_its_refusal_here() -> None:
    assert set(BAD) == set(REFUSALS)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_event_is_refused(lab: Lab, name: str) -> None:
    run = lab.run(event_of(BAD[name]))
    assert (run.status, run.error) == ("FAILED", "InvalidRequestError"), run.cause
    assert run.cause is not None
    assert "Changed: nothing." in run.cause
    for words in REFUSALS[name]:
        assert words in run.cause
