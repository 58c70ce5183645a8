"""Looks at a domain before and after a run, and says what differs in the words the product uses."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from local.lab import Lab
from local.runs import Run

STILL_ON, HALF = "MTA-STS is still on", "half changed"
# A run that ends before it has a plan has not seen whether MTA-STS was on.
STILL_AS_BEFORE = "MTA-STS is still on or off"
PATIENCE = 60  # seconds; nothing here takes long, but the machine may be busy


@dataclass(frozen=True)
class Version:
    """One version, or delete marker, of an object in the domain's bucket."""

    key: str
    id: str
    etag: str = field(repr=False)
    deleted: bool = False


@dataclass(frozen=True)
class Snapshot:
    """Every version of every object in the domain's bucket, and every record set of its zone.

    `records` maps name, type and set identifier of a record set to the whole of it, as JSON.
    """

    lab: Lab = field(repr=False)
    domain: str
    versions: frozenset[Version]
    records: dict[tuple[str, str, str], str]

    def changed(self) -> str:
        """Say what has changed since: "nothing", "policy", "record" or "policy and record".

        These are the words of a failure's text. "policy" is one more version of the policy object,
        all others being as they were; "record" is another TXT set or CNAME at `_mta-sts.<domain>`, or
        none, every other record set being as it was. AssertionError for whatever else has changed.
        """
        now = snapshot(self.lab, self.domain)
        assert self.versions <= now.versions, "a version is gone"
        added = now.versions - self.versions
        assert len(added) <= 1, f"more than one version was added: {added}"
        for version in added:
            assert version.key == self.lab.policy_object(self.domain)[1]
            assert not version.deleted
        names = self.records.keys() | now.records.keys()
        other = {name for name in names if self.records.get(name) != now.records.get(name)}
        ours = {(f"_mta-sts.{self.domain}.", kind, "") for kind in ("TXT", "CNAME")}
        assert other <= ours, f"other records changed: {other}"
        words = [word for word, is_so in (("policy", added), ("record", other)) if is_so]
        return " and ".join(words) or "nothing"


def snapshot(lab: Lab, domain: str) -> Snapshot:
    """Look at a domain; what it does not have, bucket or zone, has nothing in it."""
    try:
        zone_id = lab.zone_id(domain)
    except KeyError:
        zone_id = ""
    return Snapshot(lab, domain, _versions(lab, domain), _records(lab, zone_id) if zone_id else {})


def _versions(lab: Lab, domain: str) -> frozenset[Version]:
    pages = lab.client("s3").get_paginator("list_object_versions")
    try:
        found = list(pages.paginate(Bucket=lab.policy_object(domain)[0]))
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
        return frozenset()
    stored = [
        Version(each["Key"], each["VersionId"], each["ETag"])
        for page in found
        for each in page.get("Versions", [])
    ]
    markers = [
        Version(each["Key"], each["VersionId"], "", deleted=True)
        for page in found
        for each in page.get("DeleteMarkers", [])
    ]
    return frozenset(stored + markers)


def _records(lab: Lab, zone_id: str) -> dict[tuple[str, str, str], str]:
    pages = lab.client("route53").get_paginator("list_resource_record_sets")
    return {
        (each["Name"], each["Type"], each.get("SetIdentifier", "")): json.dumps(
            each, sort_keys=True
        )
        for page in pages.paginate(HostedZoneId=zone_id)
        for each in page["ResourceRecordSets"]
    }


def served(lab: Lab, domain: str) -> bytes:
    """Return the bytes of the policy object as it is now."""
    bucket, key = lab.policy_object(domain)
    return bytes(lab.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def txt_values(lab: Lab, domain: str) -> list[str]:
    """Return the values at `_mta-sts.<domain>`, as Route 53 spells them."""
    found = _records(lab, lab.zone_id(domain)).get((f"_mta-sts.{domain}.", "TXT", ""), "{}")
    return [record["Value"] for record in json.loads(found).get("ResourceRecords", [])]


@dataclass(frozen=True)
class Claim:
    """The execution that holds a domain, by its ARN, and since when; both empty for none."""

    holder: str
    since: str


def claim(lab: Lab, domain: str) -> Claim:
    """Read a domain's claim from the ledger."""
    found = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": domain}, "item": {"S": "domain"}},
        ConsistentRead=True,
    )
    item = found.get("Item", {})
    return Claim(*(item.get(name, {}).get("S", "") for name in ("holder", "held_since")))


def none_policy(domain: str, **more: object) -> dict[str, Any]:
    """Return the input that turns MTA-STS off for a domain."""
    return {"domain": domain, "method": "none-policy", **more}


def delete_record(domain: str, **more: object) -> dict[str, Any]:
    """Return the input that takes a domain's record away; the lab is too young to know a history."""
    return {"domain": domain, "method": "delete-record", "longest_max_age": 604800, **more}


def check_failure(
    run: Run,
    error: str,
    before: Snapshot,
    *told: str,
    state: str = "",
    changed: str = "nothing",
    since: str | None = None,
    held_by: str = "",
) -> str:
    """Assert all that holds for every failed run, and return its text.

    It ended in Fail with the name ERROR, after its failure was recorded and announced. Its text
    begins with the domain's STATE (by default: still on, or as before where there was no plan yet),
    goes on to the risk and to what to do, holds every TOLD, and says what the run CHANGED; that is
    what has changed since BEFORE, and nothing else has. (SINCE is what has changed where BEFORE was
    taken in the middle of the run.) The domain is held by nobody any more, or still by another
    execution.
    """
    assert (run.status, run.error) == ("FAILED", error), run.cause
    assert run.states[-4:] == ["Record Failure", "Announce Failure", "Notify Failure", "Failed"]
    text = run.cause or ""
    first = text.partition("\n")[0]
    unplanned = run.states[-5] == "Plan Change"
    # Who finds the domain held does not say of it what the other run is about to change.
    as_before = unplanned or error == "DomainBusyError"
    state = state or (STILL_AS_BEFORE if as_before else STILL_ON)
    assert first.startswith(f"{state} for {before.domain}"), text
    assert ("as it was before: this run changed nothing" in first) == as_before, text
    assert 0 < first.find("Mail is not at risk") < first.find("Next: "), text
    for words in told:
        assert words in text, f"{words!r} is not in: {text}"
    assert f"What happened: {error} in “" in text, text
    assert f"\nChanged: {changed}.\n" in text, text
    assert before.changed() == (changed if since is None else since)
    assert claim(before.lab, before.domain).holder == held_by
    return text


def only_line(text: str, part: str) -> str:
    """Return the one line of a text that holds PART; AssertionError unless there is exactly one."""
    found = [line for line in text.splitlines() if part in line]
    assert len(found) == 1, f"{len(found)} lines hold {part!r}: {text}"
    return found[0]


def wait_for_state(run: Run, name: str) -> None:
    """Return once a run has entered a state; AssertionError if it ends before, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while name not in (seen := run.states):
        assert run.status == "RUNNING", f"{run.error}, after {seen}: {run.cause}"
        assert time.monotonic() < deadline, f"not in {name} after {PATIENCE} s, but in: {seen}"
        time.sleep(0.05)
