"""What was found, as tests of the plan and of what follows from it begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts.observed import Findings, History, HostedZone, Location, StoredPolicy, Version
from mta_sts.plan import Plan, Waits
from mta_sts.planning import build
from mta_sts.request import Request

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=500)
NAME = "_mta-sts.solarmora.com"
ENFORCE = b"version: STSv1\nmode: enforce\nmx: mail.solarmora.com\nmax_age: 604800\n"
NONE = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"


def txt(*values: str, ttl: int = 3600, **more: Any) -> dict[str, Any]:
    """A TXT set as Route 53 lists it."""
    records = [{"Value": f'"{value}"'} for value in values]
    return {"Name": NAME + ".", "Type": "TXT", "TTL": ttl, "ResourceRecords": records, **more}


def stored(body: bytes = ENFORCE, content_type: str = "text/plain", **more: Any) -> StoredPolicy:
    """A policy object that has stood for long."""
    return StoredPolicy(body, '"etag"', "v1", LONG_AGO, content_type, **more)


def findings(
    *,
    policy: StoredPolicy | None = None,
    missing: bool = False,
    record_sets: Sequence[Mapping[str, Any]] | None = None,
    **more: Any,
) -> Findings:
    """What a survey finds where everything is as usual."""
    policy = None if missing else policy or stored()
    versions = (Version("v1", LONG_AGO, policy.body),) if policy else ()
    found = Findings(
        location=Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt"),
        stored=policy,
        history=History(versions, LONG_AGO if versions else None),
        zone=HostedZone("Z1", "solarmora.com", ("ns-1.example",)),
        record_sets=[txt("v=STSv1; id=20200425085700;")] if record_sets is None else record_sets,
        negative_ttl=900,
        longest_ttl=0,
        used_ids=frozenset(),
        id_changes=(),
    )
    return replace(found, **more)


def plan(
    found: Findings | None = None,
    *,
    now: datetime = NOW,
    other_cache_seconds: int = 0,
    max_policy_age_seconds: int = 604800,
    **asked: Any,
) -> Plan:
    """The plan made from it."""
    return build(
        Request.parse({"domain": "solarmora.com", "method": "none-policy", **asked}),
        found or findings(),
        waits=Waits(3600, 5, 60),
        max_policy_age_seconds=max_policy_age_seconds,
        other_cache_seconds=other_cache_seconds,
        network={
            "resolvers": ["1.1.1.1:53"],
            "dns_port": 53,
            "https_port": 443,
            "ca_file": "",
            "region": "x",
        },
        dns_role_arn="",
        now=now,
    )
