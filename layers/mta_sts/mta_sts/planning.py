"""Makes the plan from what was found: decides everything once, in words and in digest.

An approval can be bound to the digest.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mta_sts.domains import policy_host, policy_url, record_name
from mta_sts.errors import PlanChangedError, RecordConflictError
from mta_sts.instants import stamp
from mta_sts.observed import History, HostedZone, Location, StoredPolicy, TxtSet
from mta_sts.plan import Plan, PolicyChange, RecordChange, Waits
from mta_sts.policy import NONE_MAX_AGE, Mode, Reading, is_text_plain, none_policy, read
from mta_sts.record import Record, RecordSyntaxError, is_sts, new_id, replacement
from mta_sts.request import Request
from mta_sts.txt import TxtSyntaxError, quote, unquote

NEW_RECORD_TTL = 300  # seconds; only where no TXT set stands at the name
_EXCERPT = 4096  # characters of the present policy shown in a plan
_WELL_KNOWN = "/.well-known/mta-sts.txt"


@dataclass(frozen=True)
class Findings:
    """What the planning function found; ``longest_ttl`` is the longest TTL seen or remembered."""

    location: Location
    stored: StoredPolicy | None
    history: History
    zone: HostedZone
    record_sets: Sequence[Mapping[str, Any]]
    negative_ttl: int
    longest_ttl: int
    used_ids: frozenset[str]
    id_changes: tuple[Mapping[str, Any], ...]


def build(
    request: Request,
    found: Findings,
    *,
    waits: Waits,
    other_cache_seconds: int,
    network: Mapping[str, Any],
    dns_role_arn: str,
    now: datetime,
) -> Plan:
    """Decide everything once.

    Raises RecordConflictError, or PlanChangedError where the request names another plan's digest.
    """
    warnings: list[str] = []
    record = _plan_record(request.domain, found, now, warnings)
    policy = _plan_policy(request, found, other_cache_seconds, warnings)
    history = found.history
    if history.gap:
        warnings.append(
            f"Earlier policies are not all known ({history.gap}): an unknown one is taken to live a year,"
            " the longest that RFC 8461 allows."
        )
    plan = Plan(
        domain=request.domain,
        method=request.method,
        dry_run=request.dry_run,
        keep_mx=request.keep_mx,
        create_policy=request.create_policy,
        planned_at=stamp(now),
        summary="",  # names the digest
        steps=_steps(policy, record, read(found.stored.body if found.stored else b"")),
        warnings=tuple(warnings),
        policy_host=policy_host(request.domain),
        policy_url=policy_url(request.domain),
        policy=policy,
        record=record,
        bodies=_bodies(history),
        id_changes=found.id_changes,
        history_known_since=stamp(history.known_since) if history.known_since else "",
        history_gap=history.gap,
        waits=waits,
        network=network,
        dns_role_arn=dns_role_arn,
    )
    plan = replace(plan, digest=_digest(plan))
    plan = replace(plan, summary=_summary(plan))
    if request.approved_plan and request.approved_plan != plan.digest:
        raise PlanChangedError(
            f"The approved plan {request.approved_plan} is not what would be done today: that is"
            f" {plan.digest}. Nothing was changed. Today's steps: {' '.join(plan.steps)} Have this plan"
            " approved (dry_run: true shows it whole), or find out what changed."
        )
    return plan


def _plan_policy(
    request: Request, found: Findings, other_cache_seconds: int, warnings: list[str]
) -> PolicyChange:
    stored, location = found.stored, found.location
    reading = read(stored.body if stored else b"")
    body = none_policy(reading, keep_mx=request.keep_mx)
    content_type = (
        stored.content_type if stored and is_text_plain(stored.content_type) else "text/plain"
    )
    fine = (
        stored is not None
        and reading.policy is not None
        and reading.policy.mode is Mode.NONE
        and reading.policy.max_age <= NONE_MAX_AGE
        and content_type == stored.content_type
    )
    if stored and fine:
        body = stored.body
    elif stored:
        _warn_about_policy(reading, stored, request, warnings)
    return PolicyChange(
        bucket=location.bucket,
        key=location.key,
        distribution_id=location.distribution_id,
        # A viewer-request function may rewrite the path, and with it the cache's key: purge both.
        purge_paths=tuple(dict.fromkeys([_WELL_KNOWN, "/" + location.key.lstrip("/")])),
        other_cache_seconds=other_cache_seconds,
        etag=stored.etag if stored else "",
        version_id=stored.version_id if stored else "",
        published_at=stamp(stored.last_modified) if stored else "",
        before=stored.body.decode("utf-8", "backslashreplace")[:_EXCERPT] if stored else "",
        before_sha256=stored.sha256 if stored else "",
        before_mode=_mode(reading) if stored else "",
        before_media_type=stored.content_type if stored else "",
        known=_known(stored, found.history),
        after=body.decode("utf-8"),
        after_sha256=hashlib.sha256(body).hexdigest(),
        content_type=content_type,
        headers={"CacheControl": "no-store", **(stored.headers if stored else {})},
        tagging=stored.tagging if stored else "",
        write=not fine,
    )


def _warn_about_policy(
    reading: Reading, stored: StoredPolicy, request: Request, warnings: list[str]
) -> None:
    warnings.extend(
        f"The present policy is malformed, line {problem.line}: {problem.reason} ({problem.text!r:.90})."
        " It is saved byte for byte and turned off all the same."
        for problem in reading.problems[:10]
    )
    if not is_text_plain(stored.content_type):
        warnings.append(
            f"The present policy is stored as {stored.content_type or 'no media type'}, which most senders"
            " reject (RFC 8461 section 3.2); the new one is text/plain."
        )
    if request.keep_mx:
        warnings.append(
            "keep_mx: the mx lines stay, because some senders reject a none policy without them and would"
            " keep the old one."
        )
    elif reading.mx:
        warnings.append(
            "Some senders (chasquid, Stalwart) reject a none policy without mx lines; keep_mx: true keeps"
            " them."
        )


def _plan_record(domain: str, found: Findings, now: datetime, warnings: list[str]) -> RecordChange:
    name = record_name(domain)
    before = _plain_txt_set(name, found)
    contents = [_content(value) for value in before.values] if before else []
    marked = [position for position, content in enumerate(contents) if is_sts(content)]
    if len(marked) > 1:
        shown = ", ".join(
            contents[position].decode("ascii", "backslashreplace") for position in marked
        )
        raise RecordConflictError(
            f"{name} in zone {found.zone.zone_id} has {len(marked)} STS values ({shown}); to senders that is"
            " no policy at all (RFC 8461 section 3.1). Nothing was changed. Remove all but the one that"
            " belongs to the policy, then run again."
        )
    old = contents[marked[0]] if marked else None
    old_id = _id(old, name, warnings)
    fresh = new_id(now, found.used_ids | ({old_id} if old_id else set()))
    new = str(replacement(old, fresh))
    values = list(before.values) if before else []
    if marked:
        values[marked[0]] = quote(new.encode())
    else:
        values.append(quote(new.encode()))
    if old is None:
        warnings.append(
            f"There is no STS record at {name}. One is made after the policy is proven, because senders may"
            f" still hold the old policy; the negative TTL of {found.negative_ttl} seconds is waited out."
        )
    ttl = before.ttl if before else NEW_RECORD_TTL
    after = TxtSet(name, ttl, tuple(values))
    # Without an STS value in it, resolvers hold either the set as it is or the zone's negative answer.
    answered = before.ttl if before else found.negative_ttl
    return RecordChange(
        zone_id=found.zone.zone_id,
        zone=found.zone.name,
        name=name,
        before=before,
        after=after,
        old=old.decode("ascii", "backslashreplace") if old is not None else "",
        new=new,
        old_id=old_id,
        new_id=fresh,
        wait_seconds=max(answered, found.longest_ttl),
    )


def _plain_txt_set(name: str, found: Findings) -> TxtSet | None:
    """Give the TXT set at ``name``; raise RecordConflictError where it cannot be swapped as a whole."""
    where = f"{name} in zone {found.zone.zone_id}"
    for record_set in found.record_sets:
        if record_set["Type"] == "CNAME":
            target = record_set.get("ResourceRecords", [{"Value": "an alias"}])[0]["Value"]
            raise RecordConflictError(
                f"{where} is a CNAME to {target}: the id belongs to whoever runs that name. Nothing was"
                " changed. Ask them to change the id after the policy, or take the record back first."
            )
    txt = [record_set for record_set in found.record_sets if record_set["Type"] == "TXT"]
    for record_set in txt:
        kind = _routing(record_set)
        if kind:
            raise RecordConflictError(
                f"{where} is {kind} TXT set: resolvers would not all get the same id. Nothing was changed."
                " Replace it by a simple set, then run again."
            )
    if not txt:
        return None
    values = tuple(record["Value"] for record in txt[0]["ResourceRecords"])
    return TxtSet(name, txt[0]["TTL"], values)


def _routing(record_set: Mapping[str, Any]) -> str:
    if "AliasTarget" in record_set:
        return "an alias"
    kinds = {
        "Weight": "a weighted",
        "Region": "a latency",
        "GeoLocation": "a geolocation",
        "GeoProximityLocation": "a geoproximity",
        "CidrRoutingConfig": "an IP-based",
        "Failover": "a failover",
        "MultiValueAnswer": "a multivalue",
        "SetIdentifier": "a routed",
    }
    return next((kind for field, kind in kinds.items() if field in record_set), "")


def _content(value: str) -> bytes:
    try:
        return unquote(value)
    except TxtSyntaxError:
        return b""  # a neighbour that Route 53 spells in its own way; it stays as it is


def _id(old: bytes | None, name: str, warnings: list[str]) -> str:
    if old is None:
        return ""
    try:
        return Record.parse(old).id
    except RecordSyntaxError as error:
        warnings.append(
            f"The STS value at {name} is malformed ({error}): to senders that is no policy (RFC 8461 section"
            " 3.1). It is replaced, its neighbours stay."
        )
        return ""


def _known(stored: StoredPolicy | None, history: History) -> dict[str, str]:
    """Name every body that the policy host may rightly serve before the first write."""
    known = {}
    for version in history.versions:
        if version.body is not None:
            digest = hashlib.sha256(version.body).hexdigest()
            known[digest] = f"the version of {stamp(version.since)}"
    if stored:
        known[stored.sha256] = "the present policy"
    return known


def _bodies(history: History) -> tuple[Mapping[str, Any], ...]:
    """List what was served, oldest first, as exposure is computed from it (a delete marker ends one)."""
    bodies: list[Mapping[str, Any]] = []
    ends = [version.since for version in history.versions[1:]]
    for version, end in zip(history.versions, [*ends, None], strict=False):
        if version.deleted:
            continue
        reading = read(version.body) if version.body is not None else None
        bodies.append(
            {
                "version": version.version_id,
                "mode": _mode(reading) if reading else "malformed",
                "max_age": reading.max_age if reading else None,
                "since": stamp(version.since),
                "replaced_at": stamp(end) if end else None,
            }
        )
    return tuple(bodies)


def _mode(reading: Reading) -> str:
    return reading.policy.mode.value if reading.policy else "malformed"


def _summary(plan: Plan) -> str:
    """Say the domain's state, whether mail is at risk, and the next action."""
    if plan.policy.before_mode == Mode.NONE.value:
        state = (
            f"half changed, or off already, for {plan.domain}: the policy says none; whether every sender"
            " knows is not proven by a plan."
        )
    elif plan.policy.etag:
        state = f"MTA-STS is still on for {plan.domain}: this is a plan, and nothing was changed."
    else:
        state = f"MTA-STS is still on for {plan.domain} where an old policy is held; there is none now."
    changed = "policy and id" if plan.policy.write else "the id"
    return (
        f"{state} Mail is not at risk because of it. Next: have it approved, then send the same request"
        f" without dry_run and with approved_plan {plan.digest}; that changes {changed}."
    )


def _steps(policy: PolicyChange, record: RecordChange, reading: Reading) -> tuple[str, ...]:
    where = f"s3://{policy.bucket}/{policy.key}"
    mode = f"mode {policy.before_mode}"
    if reading.policy is None:
        written = ascii(reading.mode)[1:-1][:40] if reading.mode else ""
        mode = f"mode {written} (malformed)" if written else "a malformed policy without a mode"
    if not policy.write:
        publish = f"Leave {where} as it is: mode none already."
    elif policy.etag:
        publish = f"Rewrite {where}: {mode} becomes none, max_age {NONE_MAX_AGE}."
    else:
        publish = f"Write a none policy to {where}, where there is none."
    if policy.distribution_id:
        paths = " and ".join(policy.purge_paths)
        purge = f"Invalidate {paths} in distribution {policy.distribution_id} and wait for it."
    else:
        purge = "No CloudFront distribution of this account is in front: nothing to invalidate."
    if policy.other_cache_seconds:
        purge += (
            f" Wait until no other cache can be older than {policy.other_cache_seconds} seconds."
        )
    neighbours = len(record.after.values) - 1
    beside = f" ({neighbours} other TXT values stay)" if neighbours else ""
    change = (
        f"Make the record {record.name}" if not record.old else f"Change the id at {record.name}"
    )
    return (
        "Take the domain, save policy and record as they are.",
        "Prove that every address of the policy host serves this object.",
        publish,
        purge,
        "Prove that every IPv4 address of the policy host serves the new policy.",
        f"{change} in zone {record.zone_id}: {record.old or 'nothing'} becomes {record.new}{beside}.",
        f"Wait for Route 53 and every name server, then {record.wait_seconds} seconds for old answers.",
        "Confirm record and policy everywhere, then say for whom MTA-STS is off.",
    )


def _digest(plan: Plan) -> str:
    """Digest what a plan does; not when, by whom, nor the fresh id, which differs each time."""
    policy, record = asdict(plan.policy), asdict(plan.record)
    for volatile in ("etag", "version_id", "published_at", "before", "known"):
        del policy[volatile]
    for volatile in ("new", "new_id", "wait_seconds"):
        del record[volatile]
    record["after"]["values"] = [
        value.replace(plan.record.new_id, "NEW") for value in record["after"]["values"]
    ]
    stable = {
        "domain": plan.domain,
        "method": plan.method,
        "keep_mx": plan.keep_mx,
        "create_policy": plan.create_policy,
        "policy": policy,
        "record": record,
        "waits": asdict(plan.waits),
        "network": plan.network,
        "dns_role_arn": plan.dns_role_arn,
    }
    text = json.dumps(stable, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
