"""Plans what becomes of the TXT set with the STS value; refuses what cannot be swapped as a whole."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from mta_sts.domains import record_name
from mta_sts.errors import RecordConflictError, ZoneNotDelegatedError
from mta_sts.instants import instant
from mta_sts.observed import Findings
from mta_sts.plan import RecordChange
from mta_sts.record import Record, RecordSyntaxError, new_id, replacement
from mta_sts.record_check import readable
from mta_sts.record_set import RecordSet
from mta_sts.spans import days
from mta_sts.txt import TxtSyntaxError, quote, unquote

# "v=STSv1 ;" and "V=stsv1", but not a longer word that begins so.
_LIKE_STS = re.compile(rb"\s*v=stsv1\s*(?:;|$)", re.IGNORECASE)
_MOST_SHOWN = 300  # characters of a TXT value in texts
NEW_RECORD_TTL = 300  # seconds; only where no TXT set stands at the name
# Beside its other waits an execution has to end within 30 days; resolvers seldom keep anything for seven.
_LONGEST_WAIT = timedelta(days=14)


def plan_change(
    domain: str,
    found: Findings,
    now: datetime,
    warnings: list[str],
    *,
    saved: RecordSet | None = None,
) -> RecordChange:
    """Decide id and exact sets; adds to ``warnings``. Raises RecordConflictError, ZoneNotDelegatedError.

    Where no record stands, the one made has the unknown fields of the ``saved`` set's STS value, and its
    TTL where no TXT set stands at all.
    """
    name = record_name(domain)
    before = _plain_set(name, found)
    if before and before.type == "CNAME":
        raise RecordConflictError(
            f"{_where(name, found)} is a CNAME to {_target(before)}: the id belongs to whoever runs that"
            " name. Nothing was changed. Ask them to change the id after the policy, take the record back"
            " first, or withdraw the CNAME by delete-record."
        )
    contents, marked = _sts_values(before)
    if len(marked) > 1:
        raise RecordConflictError(
            f"{_where(name, found)} has {len(marked)} STS values ({_shown(contents, marked)}); to senders"
            " that is no policy at all (RFC 8461 section 3.1). Nothing was changed. Remove all but the one"
            " that belongs to the policy, then run again."
        )
    old = contents[marked[0]] if marked else None
    old_id = _id(old, name, "replaced", warnings)
    known = found.id_changes and found.id_changes[-1]["id"] != old_id
    # A run that ended half way may have left it so.
    own = old_id in found.remembered.get("ours", {}).get("ids", ())
    if old_id in found.used_ids and known and not own:
        warnings.append(
            f"The record was put back to {old_id}, an id of the past: senders that know it have renewed what"
            " they hold. Find out what manages the record (Terraform, say), or it will do so again."
        )
    fresh = new_id(now, found.used_ids | ({old_id} if old_id else set()))
    new = str(replacement(old if old is not None else _saved_value(saved), fresh))
    values = list(before.values) if before else []
    if marked:
        values[marked[0]] = quote(new.encode())
    else:
        values.append(quote(new.encode()))
    ttl = before.ttl if before else saved.ttl if saved else NEW_RECORD_TTL
    wait = _wait(name, before, found)
    if old is None:
        warnings.append(
            f"No STS record of its own stands at {name}. One is made after the policy is proven, because"
            " senders may still hold an older policy; what is answered there now may be remembered for"
            f" {wait} seconds."
        )
    return RecordChange(
        zone_id=found.zone.zone_id,
        zone=found.zone.name,
        name=name,
        before=before,
        after=RecordSet(name, ttl, tuple(values)),
        old=readable(old)[:_MOST_SHOWN] if old is not None else "",
        new=new,
        old_id=old_id,
        new_id=fresh,
        wait_seconds=wait,
    )


def _saved_value(saved: RecordSet | None) -> bytes | None:
    contents, marked = _sts_values(saved)
    return contents[marked[0]] if marked else None


def plan_deletion(
    domain: str, found: Findings, warnings: list[str], *, taken_id: str = ""
) -> RecordChange:
    """Decide what is left of the set without its STS values; adds to ``warnings``.

    ``taken_id`` is the id that stood there until a run of this stack took it away.

    A CNAME goes as a whole: it is the zone's, only its target is not. Raises RecordConflictError, where
    a wildcard would answer with an STS value afterwards too, or ZoneNotDelegatedError.
    """
    name = record_name(domain)
    before = _plain_set(name, found)
    contents, marked = _sts_values(before)
    ids: tuple[str, ...] = ()
    after = None
    wildcards: tuple[str, ...] = ()
    if before and before.type == "TXT":
        kept = [value for place, value in enumerate(before.values) if place not in marked]
        after = replace(before, values=tuple(kept)) if kept else None
    if after is None:
        _refuse_wildcards(name, found)
        wildcards = tuple(sorted({one.leads_to for one in found.wildcards if one.leads_to}))
    if before and before.type == "CNAME":
        old, old_id = f"CNAME to {_target(before)}", ""
        warnings.append(
            f"{name} is a CNAME to {_target(before)}. It is withdrawn; the name that it leads to, and the"
            " policy if it is served elsewhere, are not touched."
        )
    elif len(marked) > 1:
        old, old_id = _shown(contents, marked), ""
        ids = tuple(filter(None, (_id(contents[place], name, "deleted", []) for place in marked)))
        warnings.append(
            f"{name} has {len(marked)} values that senders may take for the record ({old}). All of them are"
            " deleted."
        )
    else:
        one = contents[marked[0]] if marked else None
        old = readable(one)[:_MOST_SHOWN] if one is not None else ""
        old_id = _id(one, name, "deleted", warnings)
    if not old:
        warnings.append(
            f"No STS record of its own stands at {name}: nothing has to be deleted. Dates count from this"
            " run; an earlier date, of the run that deleted the record, still holds."
        )
    return RecordChange(
        zone_id=found.zone.zone_id,
        zone=found.zone.name,
        name=name,
        before=before,
        after=after,
        old=old,
        new="",
        old_id=old_id,
        new_id="",
        wait_seconds=_wait(name, before, found),
        other_ids=ids,
        wildcards=wildcards,
        taken_id="" if old else taken_id,
    )


def _wait(name: str, before: RecordSet | None, found: Findings) -> int:
    """Say for how many seconds an old answer may be kept; raise RecordConflictError where it is too long.

    Without an STS value in it, resolvers hold either the set as it is or the zone's negative answer.
    """
    wait = max(before.ttl if before else found.negative_ttl, found.longest_ttl)
    if wait > _LONGEST_WAIT.total_seconds():
        raise RecordConflictError(
            f"Answers about {_where(name, found)} may be kept for {wait} seconds ({days(wait)}), by their"
            f" TTL: no run waits for more than {_LONGEST_WAIT.days} days. Nothing was changed. Lower the TTL,"
            " wait until nobody keeps the old answer (resolvers seldom keep one for more than a week), then"
            " run again."
        )
    return wait


def remembered_ttl(remembered: Mapping[str, Any], now: datetime) -> int:
    """Give what remains of the longest TTL that the record had when it was last seen.

    All of it where no run has been confirmed since: some server may have answered until a moment ago.
    """
    ends = [
        instant(seen["seen_at"]) + timedelta(seconds=seen["ttl"])
        for seen in remembered.get("ttls", ())
    ]
    open_ttl = int(remembered.get("open_ttl", 0))
    return max([open_ttl, *(ceil((end - now).total_seconds()) for end in ends)])


def _refuse_wildcards(name: str, found: Findings) -> None:
    for wildcard in found.wildcards:
        if wildcard.leads_to is None:
            raise RecordConflictError(
                f"Without a record of its own {name} would be answered by {wildcard.name} in zone"
                f" {found.zone.zone_id}, a CNAME by alias: where it leads cannot be told, nor be confirmed"
                " afterwards. Nothing was changed. Make it a plain CNAME, or use none-policy."
            )
        values = [readable(value)[:200] for value in wildcard.values if _looks_like_sts(value)]
        if values:
            raise RecordConflictError(
                f"Without a record of its own {name} would be answered by {wildcard.name} in zone"
                f" {found.zone.zone_id}, with {', '.join(values)}: MTA-STS would stay on, under another id."
                f" Nothing was changed. Take the STS value out of {wildcard.name}, or use none-policy."
            )


def has_sts(record_set: RecordSet | None) -> bool:
    """Tell whether a set holds what some sender may take for the record; a CNAME may lead to one."""
    return record_set is not None and (
        record_set.type == "CNAME" or bool(_sts_values(record_set)[1])
    )


def _sts_values(before: RecordSet | None) -> tuple[list[bytes], list[int]]:
    """Give the contents of a TXT set's values, and the places of those that senders take for a record.

    Some senders take a value for theirs that RFC 8461 section 3.1 has them ignore, "v=STSv1 ;" say:
    beside a proper one it would be one too many for them, so it counts as malformed.
    """
    if before is None or before.type != "TXT":
        return [], []
    contents = [content(value) for value in before.values]
    return contents, [place for place, content in enumerate(contents) if _looks_like_sts(content)]


def _shown(contents: Sequence[bytes], marked: Sequence[int]) -> str:
    return ", ".join(readable(contents[place])[:200] for place in marked)[:_MOST_SHOWN]


def _where(name: str, found: Findings) -> str:
    return f"{name} in zone {found.zone.zone_id}"


def _target(cname: RecordSet) -> str:
    return cname.values[0].rstrip(".")


def _plain_set(name: str, found: Findings) -> RecordSet | None:
    """Give the TXT set or CNAME at ``name``; raise RecordConflictError where it is no plain one."""
    where = _where(name, found)
    for record_set in found.record_sets:
        # A zone of this very name has an NS set of its own, which delegates nothing.
        if record_set["Type"] == "NS" and name != found.zone.name:
            targets = ", ".join(value["Value"] for value in record_set["ResourceRecords"])
            raise ZoneNotDelegatedError(
                f"{where} is delegated to {targets}: a record in this zone would be seen by nobody. Nothing"
                " was changed. Run where the delegated zone is."
            )
    ours = [one for one in found.record_sets if one["Type"] in {"TXT", "CNAME"}]
    for record_set in ours:
        kind = _routing(record_set)
        if kind:
            raise RecordConflictError(
                f"{where} is {kind} {record_set['Type']} set: resolvers would not all get the same answer."
                " Nothing was changed. Replace it by a simple set, then run again."
            )
    if not ours:
        return None
    values = tuple(record["Value"] for record in ours[0]["ResourceRecords"])
    return RecordSet(name, ours[0]["TTL"], values, ours[0]["Type"])


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
    return bool(_LIKE_STS.match(content))


def content(value: str) -> bytes:
    """Read a TXT value as senders do; empty where Route 53 spells it in a way that nobody needs to read."""
    try:
        return unquote(value)
    except TxtSyntaxError:
        return b""  # a neighbour that Route 53 spells in its own way; it stays as it is


def _id(old: bytes | None, name: str, fate: str, warnings: list[str]) -> str:
    if old is None:
        return ""
    try:
        return Record.parse(old).id
    except RecordSyntaxError as error:
        warnings.append(
            f"The STS value at {name} is malformed ({error}): to senders that is no policy (RFC 8461 section"
            f" 3.1). It is {fate}, its neighbours stay."
        )
        return ""
