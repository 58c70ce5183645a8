"""What is due for a domain, and when: the ledger remembers it, the sweep starts it.

Four kinds: ``retirement`` deletes the record, ``restore`` ends a maintenance window, ``watch`` looks at a
domain whose senders let go, ``drained`` tells that they all have. Each is a run's input and a moment.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan
from mta_sts.request import DUE, Request
from mta_sts.retiring import deadline

RETIREMENT, RESTORE, WATCH, DRAINED = "retirement", "restore", "watch", "drained"
DAY = timedelta(days=1)  # between two looks of the watch, and until what failed is tried again
Entries = Mapping[str, Mapping[str, Any]]  # kind → {"at", "request"}
_NO_NAME = re.compile(r"[^a-z0-9-]")


@dataclass(frozen=True)
class Delivery:
    """An execution to be started: the same work has the same name, however often it is delivered."""

    domain: str
    kind: str
    at: str
    generation: int
    name: str
    event: Mapping[str, Any]


def after(
    plan: Plan, request: Request, *, all_off_at: datetime | None, pending: Entries, now: datetime
) -> dict[str, Any]:
    """Say what is due once a run is confirmed; what was due before and is not named here is cancelled.

    ``all_off_at`` is None where no date can be given. ``pending`` is what the ledger has due: only
    ``change-id``, which mends a drain and ends nothing, keeps it.
    """
    if plan.leaves_on or plan.retires:
        return {}
    due: dict[str, Any] = {}
    draining = all_off_at is not None and all_off_at > now
    begin = deadline(all_off_at or now, plan)
    if plan.method == "retire":
        due[RETIREMENT] = {"at": stamp(begin), "request": _retirement(request)}
    elif plan.method == "change-id" and RETIREMENT in pending:
        # What the first run knew of may have grown out of the history since: never earlier than it said.
        begin = max(begin, instant(pending[RETIREMENT]["at"]))
        due[RETIREMENT] = {"at": stamp(begin), "request": pending[RETIREMENT]["request"]}
    elif draining and all_off_at:
        due[DRAINED] = {"at": stamp(all_off_at), "request": _look(request)}
    if plan.restore_at:
        due[RESTORE] = {"at": plan.restore_at, "request": _restore(request)}
    elif plan.method == "change-id" and RESTORE in pending:
        due[RESTORE] = dict(pending[RESTORE])
    if draining or RETIREMENT in due:
        due[WATCH] = {"at": stamp(now + DAY), "request": _look(request)}
    return due


def postponed(kind: str, entries: Entries, at: datetime) -> dict[str, Any]:
    """Give the entries with one of them moved, never to an earlier moment."""
    later = max(stamp(at), str(entries[kind]["at"]))
    return {**entries, kind: {**entries[kind], "at": later}}


def watched(
    kind: str, entries: Entries, now: datetime, *, over_at: datetime | None = None
) -> dict[str, Any]:
    """Give the entries after a look: the watch goes on for as long as something drains.

    ``over_at`` is when the drain is over, by that look; None where it cannot be said. Whoever was to tell
    that it is looks again then, or the next day.
    """
    left = {name: entry for name, entry in entries.items() if name != kind}
    if kind == DRAINED and (over_at is None or over_at > now):
        again = over_at or now + DAY
        left[DRAINED] = {**entries[DRAINED], "at": stamp(again)}
    elif kind == DRAINED:
        left.pop(WATCH, None)
    if kind == WATCH and {RETIREMENT, DRAINED} & set(left):
        left[WATCH] = {**entries[WATCH], "at": stamp(now + DAY)}
    return left


def told(plan: Plan, entries: Entries) -> dict[str, list[str]]:
    """Say, under headings, what comes by itself after a run, what does not any more, and what is left."""
    lines = {
        RETIREMENT: "the record is deleted{remove}, if the policy says none then and the id is this one",
        RESTORE: "the policy is put back, after all checks have been made again",
        DRAINED: "a notice tells that every sender has let go",
        WATCH: "a look at policy, id and certificate, every day; what is wrong is told",
    }
    removes = RETIREMENT in entries and entries[RETIREMENT]["request"].get("remove_policy")
    remove = " and the policy object removed" if removes else ""
    coming = [
        f"{entry['at']}: {lines[kind].format(remove=remove)}."
        for kind, entry in sorted(entries.items(), key=lambda pair: str(pair[1]["at"]))
    ]
    own = plan.due["kind"] if plan.due else ""
    ended = [
        f"what was due {one['at']} ({one['kind']})"
        for one in plan.pending
        if one["kind"] not in {*entries, own, WATCH, DRAINED}
    ]
    return {"By itself": coming, "Cancelled by this run": ended, **_left_over(plan)}


def _left_over(plan: Plan) -> dict[str, list[str]]:
    if not plan.retires:
        return {}
    policy = plan.policy
    rest = [
        (
            f"Remove the DNS records of {plan.policy_host} first: a name that leads to a bucket or a"
            " distribution which was released can be taken over by others."
        ),
        f"Then release the certificate and the alias {plan.policy_host}"
        + (
            f" of distribution {policy.distribution_id}."
            if policy.distribution_id
            else ", if there are any."
        ),
    ]
    if not policy.remove:
        rest.append(f"Then remove s3://{policy.bucket}/{policy.key}.")
    rest.append(f"Last, if nothing else is in it, the bucket {policy.bucket}.")
    return {"Left to be removed by hand, in this order": rest}


def first(entries: Entries) -> str:
    """Give the moment of what is due first; empty where nothing is."""
    return min((str(entry["at"]) for entry in entries.values()), default="")


def deliveries(item: Mapping[str, Any], now: datetime) -> list[Delivery]:
    """Name what a domain's item has due now, the earliest first."""
    entries: Entries = item.get("due", {})
    ripe = sorted(
        (entry["at"], kind) for kind, entry in entries.items() if instant(entry["at"]) <= now
    )
    return [_delivery(item, kind, entries[kind]) for _, kind in ripe]


def _delivery(item: Mapping[str, Any], kind: str, entry: Mapping[str, Any]) -> Delivery:
    domain, generation = str(item["domain"]), int(item.get("generation", 0))
    shown = _NO_NAME.sub("-", domain)[:24]
    digest = hashlib.sha256(domain.encode()).hexdigest()[:8]
    moment = re.sub(r"[^0-9TZ]", "", entry["at"])
    due = {"kind": kind, "generation": generation, "at": entry["at"]}
    return Delivery(
        domain=domain,
        kind=kind,
        at=entry["at"],
        generation=generation,
        # At most 80 characters of 0-9 A-Z a-z - and _, which logs can take as well.
        name=f"{kind}-{shown}-{digest}-g{generation}-{moment}",
        event={**entry["request"], "domain": domain, "method": DUE[kind], "due": due},
    )


def _retirement(request: Request) -> dict[str, Any]:
    more = {"remove_policy": True} if request.remove_policy else {}
    return {**_plain(request, "delete-record"), **_attested(request), **more}


def _look(request: Request) -> dict[str, Any]:
    return {**_plain(request, "check"), **_attested(request)}


def _attested(request: Request) -> dict[str, Any]:
    """Carry on what the caller vouches for, so that later dates are computed as these were."""
    more: dict[str, Any] = {}
    if request.longest_max_age is not None:
        more["longest_max_age"] = request.longest_max_age
    if request.ids_changed_since:
        more["ids_changed_since"] = stamp(request.ids_changed_since)
    return more


def _restore(request: Request) -> dict[str, Any]:
    more: dict[str, Any] = {"restore_mode": request.restore_mode} if request.restore_mode else {}
    if request.accept_mx_mismatch:
        more["accept_mx_mismatch"] = True
    return {**_plain(request, "restore"), **more}


def _plain(request: Request, method: str) -> dict[str, Any]:
    names = ("requested_by", "ticket", "ticket_id", "reason")
    texts = {name: getattr(request, name) for name in names}
    return {"method": method, **{name: text for name, text in texts.items() if text}}
