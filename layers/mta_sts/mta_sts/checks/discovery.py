"""Tells which domains of an account have an STS record, by a list of its zones."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mta_sts.checks.standing import id_of
from mta_sts.instants import stamp
from mta_sts.messages import cut, subject, titled
from mta_sts.record import is_sts
from mta_sts.record_check import readable
from mta_sts.record_plan import content

_PREFIX = "_mta-sts."
_MOST_ROWS = 200
_MOST_TOLD = 100
_MOST_BYTES = 60_000
_LONGEST = 200  # characters of a value
_NEXT = (
    "Whether mail is at risk no list can show. Next: run check for each domain that matters, which asks its"
    " servers."
)


@dataclass(frozen=True)
class Listed:
    """What a list of the zones shows; ``sets`` are (zone, name, record set) as Route 53 spells the set.

    ``items`` are the ledger's by domain, where it could be read. ``left_out`` says which zones were not
    looked at, or not as a whole, and why.
    """

    zones: int
    sets: Sequence[tuple[str, str, Mapping[str, Any]]]
    items: Mapping[str, Mapping[str, Any]]
    left_out: tuple[str, ...]


def discovered(listed: Listed, execution_arn: str, now: datetime) -> dict[str, Any]:
    """Give the output of a check that looks for every domain: at most 100 kB of JSON."""
    rows = [_row(*one, listed) for one in listed.sets]
    on = [row for row in rows if row["phase"] != "draining" and (row["values"] or row["leads_to"])]
    draining = [row for row in rows if row["phase"] == "draining"]
    unseen = not listed.zones and bool(listed.left_out)
    state = "unknown" if unseen else "on" if on else "off"
    text = [
        _sentence(listed, on, draining),
        _NEXT,
        *titled(_title(len(rows)), [_line(row) for row in rows[:_MOST_TOLD]]),
        *titled("Not looked at", listed.left_out[:_MOST_TOLD]),
    ]
    return {
        "domain": "",
        "method": "check",
        "execution": execution_arn,
        "state": state,
        "subject": subject(text[0].partition(":")[0].partition(" in ")[0].rstrip(",")),
        "text": cut("\n".join(text)),
        "alarms": [],
        "superseded": False,
        "findings": [],
        "domains": _fitting(rows[:_MOST_ROWS]),
        "domains_found": len(rows),
        "zones": listed.zones,
        "left_out": list(listed.left_out[:_MOST_TOLD]),
        "checked_at": stamp(now),
    }


def _title(count: int) -> str:
    return "Domains" if count <= _MOST_TOLD else f"Domains (the first {_MOST_TOLD} of {count})"


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the rows that a workflow can carry beside the text."""
    size = 0
    for place, row in enumerate(rows):
        size += len(json.dumps(row)) + 2
        if size > _MOST_BYTES:
            return rows[:place]
    return rows


def _sentence(
    listed: Listed,
    on: Sequence[Mapping[str, Any]],
    draining: Sequence[Mapping[str, Any]],
) -> str:
    seen = f"{listed.zones} public {'zone' if listed.zones == 1 else 'zones'} of this account"
    part = ", as far as they were looked at" if listed.left_out else ""
    drains = f"; {len(draining)} more drain, turned off by this stack" if draining else ""
    if on:
        many = "1 domain" if len(on) == 1 else f"{len(on)} domains"
        return f"MTA-STS is still on for {many}, by the record, in {seen}{part}{drains}."
    if not listed.zones and listed.left_out:
        return (
            "MTA-STS is still on or off for the domains of this account as it was before: no zone could be"
            " looked at."
        )
    why = (
        f"{len(draining)} drain, turned off by this stack" if draining else "none has an STS record"
    )
    return f"MTA-STS is off for every domain in {seen}{part}: {why}."


def _row(zone: str, name: str, found: Mapping[str, Any], listed: Listed) -> dict[str, Any]:
    domain = name.removeprefix(_PREFIX)
    item = listed.items.get(domain)
    raw = [str(record["Value"]) for record in found.get("ResourceRecords", ())]
    alias = str(found.get("AliasTarget", {}).get("DNSName", "")).rstrip(".")
    cname = found["Type"] == "CNAME"
    values = [] if cname else [value for value in map(content, raw) if is_sts(value)]
    return {
        "domain": domain,
        "zone": zone,
        "type": found["Type"],
        "values": [readable(value)[:_LONGEST] for value in values[:5]],
        "leads_to": (raw[0].rstrip(".") if cname and raw else alias)[:_LONGEST],
        "id": id_of(values[0]) if len(values) == 1 else "",
        "known": None if item is None else bool(item),
        "phase": str((item or {}).get("phase", "")),
        "all_off_at": (item or {}).get("all_off_at"),
    }


def _line(row: Mapping[str, Any]) -> str:
    what = " | ".join(row["values"]) or (
        f"{row['type']} to {row['leads_to']}" if row["leads_to"] else "no STS value"
    )
    phase = f"{row['phase']}" if row["phase"] else "no run of this stack has touched it"
    if row["known"] is None:
        phase = "the ledger could not be read"
    until = f" until {row['all_off_at']}" if row["all_off_at"] and phase == "draining" else ""
    return f"{row['domain']}: {what} ({phase}{until})"
