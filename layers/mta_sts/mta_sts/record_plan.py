"""Plans what becomes of the TXT set with the STS value; refuses what cannot be swapped as a whole."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mta_sts.domains import record_name
from mta_sts.errors import RecordConflictError, ZoneNotDelegatedError
from mta_sts.observed import Findings, TxtSet
from mta_sts.plan import RecordChange
from mta_sts.record import Record, RecordSyntaxError, is_sts, new_id, replacement
from mta_sts.record_check import readable
from mta_sts.txt import TxtSyntaxError, quote, unquote

_MOST_SHOWN = 300  # characters of a TXT value in texts
NEW_RECORD_TTL = 300  # seconds; only where no TXT set stands at the name


def plan_record(domain: str, found: Findings, now: datetime, warnings: list[str]) -> RecordChange:
    """Decide id and exact sets; adds to ``warnings``. Raises RecordConflictError, ZoneNotDelegatedError."""
    name = record_name(domain)
    before = _plain_txt_set(name, found)
    contents = [_content(value) for value in before.values] if before else []
    # Some senders take a value for theirs that RFC 8461 section 3.1 has them ignore, "v=STSv1 ;" say:
    # beside a proper one it would be one too many for them, so it counts as malformed.
    marked = [position for position, content in enumerate(contents) if _looks_like_sts(content)]
    if len(marked) > 1:
        shown = ", ".join(readable(contents[position])[:200] for position in marked)
        raise RecordConflictError(
            f"{name} in zone {found.zone.zone_id} has {len(marked)} STS values ({shown}); to senders that is"
            " no policy at all (RFC 8461 section 3.1). Nothing was changed. Remove all but the one that"
            " belongs to the policy, then run again."
        )
    old = contents[marked[0]] if marked else None
    old_id = _id(old, name, warnings)
    if old_id in found.used_ids and found.id_changes and found.id_changes[-1]["id"] != old_id:
        warnings.append(
            f"The record was put back to {old_id}, an id of the past: senders that know it have renewed what"
            " they hold. Find out what manages the record (Terraform, say), or it will do so again."
        )
    fresh = new_id(now, found.used_ids | ({old_id} if old_id else set()))
    new = str(replacement(old, fresh))
    values = list(before.values) if before else []
    if marked:
        values[marked[0]] = quote(new.encode())
    else:
        values.append(quote(new.encode()))
    ttl = before.ttl if before else NEW_RECORD_TTL
    after = TxtSet(name, ttl, tuple(values))
    # Without an STS value in it, resolvers hold either the set as it is or the zone's negative answer.
    wait = max(before.ttl if before else found.negative_ttl, found.longest_ttl)
    if old is None:
        warnings.append(
            f"There is no STS record at {name}. One is made after the policy is proven, because senders may"
            f" still hold the old policy; that there is none may be remembered for {wait} seconds."
        )
    return RecordChange(
        zone_id=found.zone.zone_id,
        zone=found.zone.name,
        name=name,
        before=before,
        after=after,
        old=readable(old)[:_MOST_SHOWN] if old is not None else "",
        new=new,
        old_id=old_id,
        new_id=fresh,
        wait_seconds=wait,
    )


def _plain_txt_set(name: str, found: Findings) -> TxtSet | None:
    """Give the TXT set at ``name``; raise RecordConflictError where it cannot be swapped as a whole."""
    where = f"{name} in zone {found.zone.zone_id}"
    for record_set in found.record_sets:
        if record_set["Type"] == "CNAME":
            values = record_set.get("ResourceRecords", [{"Value": "an alias"}])
            target = values[0]["Value"].rstrip(".")
            raise RecordConflictError(
                f"{where} is a CNAME to {target}: the id belongs to whoever runs that name. Nothing was"
                " changed. Ask them to change the id after the policy, or take the record back first."
            )
        if record_set["Type"] == "NS":
            targets = ", ".join(value["Value"] for value in record_set["ResourceRecords"])
            raise ZoneNotDelegatedError(
                f"{where} is delegated to {targets}: a record in this zone would be seen by nobody. Nothing"
                " was changed. Run where the delegated zone is."
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


def _looks_like_sts(content: bytes) -> bool:
    return is_sts(content) or content.strip().lower().startswith(b"v=stsv1")


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
