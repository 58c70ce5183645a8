"""What a check tells by the ledger: who holds the domain, what is due and overdue, what can be restored."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from mta_sts.checks.sight import Finding, Sight
from mta_sts.checks.standing import Held, Standing
from mta_sts.instants import instant, stamp
from mta_sts.policy import read
from mta_sts.request import Due

# What is due is started every few minutes and tried again a day later: this late, something is broken.
_LATE = timedelta(hours=1)
_WORK = {
    "retirement": "the record is to be deleted",
    "restore": "the policy is to be put back",
    "watch": "the daily look at the drain",
    "drained": "it is to be told that the drain is over",
}


def ledger_findings(
    sight: Sight, seen: Standing, held: Held | None, due: Due | None
) -> list[Finding]:
    """Judge the domain's item; ``due`` is what the sweep started this very check for.

    What is due by itself is for :func:`due_findings`, which knows whether the drain is over.
    """
    if sight.item is None:
        text = f"The ledger could not be read: {sight.problems.get('ledger', '')}"
        return [Finding("ledger-unseen", "warning", text)]
    return [
        *_claimed(sight.item),
        *_overdue(sight, due),
        *_unfinished(sight, seen, held),
        *_restorable(sight.item),
    ]


def shown(sight: Sight) -> dict[str, Any]:
    """Give what the ledger says, as evidence."""
    item = sight.item or {}
    names = (
        "phase", "current_id", "policy_sha256", "all_off_at", "generation", "holder", "held_since",
    )  # fmt: skip
    return {
        **{name: item.get(name) for name in names},
        "known": bool(item),
        "due": {kind: entry["at"] for kind, entry in item.get("due", {}).items()},
        "saved": saved(item),
    }


def saved(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say what can be restored: when it was saved, and the mode of the policy; None for nothing."""
    kept = item.get("saved") or {}
    policy = kept.get("policy")
    if not policy:
        return None
    body = policy.get("body", b"")
    reading = read(body if isinstance(body, bytes) else str(body).encode())
    return {"saved_at": kept.get("saved_at"), "mode": reading.mode, "mx": list(reading.mx[:10])}


def superseded(item: Mapping[str, Any] | None, due: Due | None) -> bool:
    """Tell whether what a check was started for is not due any more."""
    if due is None or item is None:
        return False
    entry = item.get("due", {}).get(due.kind, {})
    same = entry.get("at") == stamp(due.at) and item.get("generation", 0) == due.generation
    return not same


def _claimed(item: Mapping[str, Any]) -> Iterator[Finding]:
    if item.get("holder"):
        yield Finding(
            "claimed",
            "note",
            f"The execution {item['holder']} holds the domain since {item.get('held_since', '?')}: what is"
            " seen now may change under its hands.",
            "wait for that execution to end, then check again",
            {"holder": item["holder"], "held_since": item.get("held_since")},
        )


def _overdue(sight: Sight, due: Due | None) -> Iterator[Finding]:
    """Tell of what was due and was not done: the sweep does not run, or the work fails."""
    item = sight.item or {}
    for kind, entry in sorted(item.get("due", {}).items()):
        at = instant(entry["at"])
        own = due is not None and due.kind == kind and due.at == at
        if not own and at + _LATE < sight.now:
            yield Finding(
                "overdue",
                "warning",
                f"Overdue since {entry['at']}: {_WORK.get(kind, kind)}.",
                "look whether the stack's schedule is enabled, and why its last executions failed",
                {"kind": kind, "at": entry["at"]},
            )


def _unfinished(sight: Sight, seen: Standing, held: Held | None) -> Iterator[Finding]:
    """Tell of a drain that is past its end, and that nothing is going to finish."""
    item = sight.item or {}
    entries = item.get("due", {})
    if item.get("phase") != "draining" or seen.all_off_at is None:
        return
    end = seen.all_off_at
    if "retirement" in entries:
        end += timedelta(seconds=sight.drain_margin_seconds)
    if sight.now < end + _LATE:
        return
    left = held.bounds if held else None
    longer = (
        f" By what is seen now some sender may hold a policy until {stamp(left.needing)}."
        if left and left.needing > sight.now
        else ""
    )
    if "retirement" in entries:
        # One that failed is put off by a day, so that it is never late by itself.
        yield Finding(
            "overdue-drain",
            "warning",
            f"The drain was over {stamp(seen.all_off_at)}, but the record is still there; the next try is"
            f" {entries['retirement']['at']}.{longer}",
            "look at the last executions for the domain, and send retire again if they do not mend it",
        )
    elif not {"drained", "restore"} & set(entries):
        yield Finding(
            "drain-over",
            "note",
            f"The drain was over {stamp(seen.all_off_at)}: nothing more is due.{longer} The record may go, by"
            " delete-record, or the policy be put back, by restore.",
        )


def due_findings(sight: Sight, due: Due | None, *, over: bool) -> Iterator[Finding]:
    """Tell what comes by itself: not what this check was started for, nor a watch that ends with it."""
    done = {due.kind} if due else set()
    done |= {"watch"} if over else set()
    entries = {
        kind: entry for kind, entry in (sight.item or {}).get("due", {}).items() if kind not in done
    }
    if entries:
        told = [
            f"{_WORK.get(kind, kind)}: {entry['at']}"
            for kind, entry in sorted(entries.items(), key=lambda pair: str(pair[1]["at"]))
        ]
        yield Finding("due", "note", f"Due by itself: {'; '.join(told)}.")


def _restorable(item: Mapping[str, Any]) -> Iterator[Finding]:
    kept = saved(item)
    if kept and item.get("phase") != "on":
        named = ", ".join(kept["mx"]) or "no host"
        yield Finding(
            "restorable",
            "note",
            f"restore can put back the policy that was saved {kept['saved_at']}: mode"
            f" {kept['mode'] or 'that cannot be read'}, for {named}.",
            evidence=kept,
        )
