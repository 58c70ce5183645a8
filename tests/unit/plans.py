"""What was found, as tests of the plan and of what follows from it begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts.bounds import Bounds, compute
from mta_sts.exposure import Moments
from mta_sts.live_mx import MxAnswer, live_mx
from mta_sts.observed import Findings, History, HostedZone, Location, StoredPolicy, Version
from mta_sts.plan import Plan, Waits
from mta_sts.planning import build
from mta_sts.policy_check import Fetched, look
from mta_sts.request import Request

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=500)
GONE = NOW + timedelta(hours=1)  # when no resolver holds the old record any more
NAME = "_mta-sts.solarmora.com"
ENFORCE = b"version: STSv1\nmode: enforce\nmx: mail.solarmora.com\nmax_age: 604800\n"
NONE = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
WEEK = 604_800  # seconds
HOST = "mta-sts.solarmora.com"
ADDRESS = "192.0.2.1"
MX = ((10, "mail.solarmora.com"),)


def policy(mode: str = "enforce", *mx: str, max_age: int | str = WEEK) -> bytes:
    """A policy body; without mx it names mail.solarmora.com."""
    named = "".join(f"mx: {host}\n" for host in mx or ("mail.solarmora.com",))
    return f"version: STSv1\nmode: {mode}\n{named}max_age: {max_age}\n".encode()


def txt(*values: str, ttl: int = 3600, **more: Any) -> dict[str, Any]:
    """A TXT set as Route 53 lists it."""
    records = [{"Value": f'"{value}"'} for value in values]
    return {"Name": NAME + ".", "Type": "TXT", "TTL": ttl, "ResourceRecords": records, **more}


def stored(body: bytes = ENFORCE, content_type: str = "text/plain", **more: Any) -> StoredPolicy:
    """A policy object that has stood for long."""
    return StoredPolicy(body, '"etag"', "v1", LONG_AGO, content_type, **more)


def history(*versions: tuple[int, bytes | None], known: bool = True) -> History:
    """Versions v1, v2, … of the object: how many days before NOW each came, and its body."""
    told = tuple(
        Version(f"v{number}", NOW - timedelta(days=ago), body)
        for number, (ago, body) in enumerate(versions, start=1)
    )
    return History(told, LONG_AGO if known else told[0].since)


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
        live_mx=live_mx(
            "solarmora.com", [MxAnswer("solarmora.com", "ns1", "192.0.2.1", "present", MX)]
        ),
    )
    return replace(found, **more)


def plan(
    found: Findings | None = None,
    *,
    now: datetime = NOW,
    other_cache_seconds: int = 0,
    max_policy_age_seconds: int = 604800,
    drain_margin_seconds: int = 259_200,
    **asked: Any,
) -> Plan:
    """The plan made from it."""
    return build(
        Request.parse({"domain": "solarmora.com", "method": "none-policy", **asked}),
        found or findings(),
        waits=Waits(3600, 5, 60),
        max_policy_age_seconds=max_policy_age_seconds,
        other_cache_seconds=other_cache_seconds,
        drain_margin_seconds=drain_margin_seconds,
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


def answered(body: bytes = ENFORCE, address: str = ADDRESS, **changes: Any) -> Fetched:
    """What an address of the policy host served."""
    values: dict[str, Any] = {"status": 200, "media_type": "text/plain", "body": body}
    return Fetched(address, "answered", **values | changes)


NOT_FOUND = answered(b"<Error/>", status=404)
SILENT = Fetched(ADDRESS, "no answer", detail="timed out")


def looked(
    *fetched: Fetched, not_asked: Sequence[Mapping[str, str]] = (), missing: bool = False
) -> dict[str, Any]:
    """A look at the policy host."""
    return look(fetched, not_asked, known={}, missing=missing, host=HOST, now=NOW, region="x")


def deletion(found: Findings | None = None, *fetched: Fetched, **asked: Any) -> Plan:
    """A plan to delete the record; the policy host serves what is stored, unless told otherwise."""
    found = found or findings()
    if not asked.get("publish_none") and not found.host:
        served = fetched or ((answered(found.stored.body),) if found.stored else (NOT_FOUND,))
        found = replace(found, host=looked(*served))
    return plan(found, method="delete-record", **asked)


def forever(found: Findings | None = None, *fetched: Fetched, **asked: Any) -> Plan:
    """A deletion that no policy is too long for."""
    return deletion(found, *fetched, max_policy_age_seconds=31_557_600, **asked)


def confirmed(made: Plan, *, now: datetime = GONE, seen: Mapping[str, Any] | None = None) -> Bounds:
    """The bounds when the record is gone; the policy host serves what the plan saw, or what is seen."""
    if made.publishes:
        published = Moments(GONE, NOW, published_at=NOW, fresh_at=NOW, written=made.policy.write)
        return compute(made, published, {}, now)
    seen = seen or made.host
    return compute(made, Moments(GONE, NOW, looks=(seen,)), seen, now)
