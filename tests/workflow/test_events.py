"""The files under events/: each good one is carried out, each bad one is refused and told why."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.lab import Lab
from mta_sts.domains import normalise
from tests.workflow.watch import txt_values

FOLDER = Path(__file__).parents[2] / "events"
GOOD = {file.stem: file for file in sorted(FOLDER.glob("*.json"))}
BAD = {file.stem: file for file in sorted(FOLDER.glob("bad/*.json"))}

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
NONE = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
OLD = "v=STSv1; id=20200425085700;"
WITHOUT_POLICY = {"create-policy"}  # what this event is there to make

# For each bad event all that its refusal has to say.
REFUSALS = {
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
    "two-problems": ["is a single label", "dry_run must be true or false, it is text"],
    "unknown-field": ["unknown field 'bucket'"],
    "unknown-method": ["method must be one of", "it is 'switch-off'"],
    "url": ["is a URL or a path; give the domain alone"],
    "wrong-type": ["domain must be text, it is a list"],
}


def event_of(file: Path) -> Any:
    return json.loads(file.read_text())


def domain_of(file: Path) -> str:
    return normalise(event_of(file)["domain"])


def body(lab: Lab, domain: str) -> bytes:
    bucket, key = lab.policy_object(domain)
    return bytes(lab.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def test_events_keep_out_of_each_others_way() -> None:
    """All of them can be sent to one lab, as this file does."""
    domains = [domain_of(file) for file in GOOD.values()]
    assert len(domains) > 1
    assert len(set(domains)) == len(domains)
    assert all(domain.endswith(".example") for domain in domains)  # nobody's mail (RFC 2606)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_event_is_carried_out(lab: Lab, name: str) -> None:
    event, domain = event_of(GOOD[name]), domain_of(GOOD[name])
    policies = [] if name in WITHOUT_POLICY else [POLICY]
    lab.add_domain(domain, policies=policies, record=[OLD], ttl=1)
    run = lab.run(event)
    assert run.status == "SUCCEEDED", run.cause
    if event.get("dry_run"):
        assert run.output["domain"] == domain
        assert len(run.output["digest"]) == 64
        assert body(lab, domain) == POLICY.encode()
        return
    assert (run.output["domain"], run.output["state"]) == (domain, "off")
    if event["method"] == "delete-record":
        assert txt_values(lab, domain) == []
        if not event.get("publish_none"):
            assert body(lab, domain) == POLICY.encode()
            return
    kept = b"mx: mail.example.net\r\n" if event.get("keep_mx") else b""
    assert body(lab, domain) == NONE + kept


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
