"""What the API shows: a domain as the ledger has it, and a run as its execution has it, or had.

Nothing here is looked up in the DNS or over HTTPS: what stands there now is for a ``check`` to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mta_sts.domains import DomainNameError, normalise
from mta_sts.instants import instant, stamp
from mta_sts.visits import Step

_STATUS = {
    "RUNNING": "running", "PENDING_REDRIVE": "running", "SUCCEEDED": "succeeded", "FAILED": "failed",
    "ABORTED": "stopped", "TIMED_OUT": "timed out",
}  # fmt: skip
_RECORDED = {"confirmed": "succeeded", "checked": "succeeded"}
_TEXTS = ("requested_by", "ticket", "ticket_id", "reason")
# What an answer tells at its top; the rest of an outcome is details.
_BASIS = "as recorded by the last run that was confirmed; a check looks how it is now"


@dataclass(frozen=True)
class Seen:
    """An execution as it was found, or as the ledger remembers it.

    ``status`` is in Step Functions' words; ``output`` is None until it has succeeded. ``steps`` are empty
    and ``complete`` is false where the execution's history is gone or was too long.
    """

    status: str
    request: Mapping[str, Any]
    started_at: datetime
    ended_at: datetime | None
    output: Any = None
    error: str = ""
    cause: str = ""
    steps: Sequence[Step] = ()
    complete: bool = True
    evidence: Mapping[str, Any] = field(default_factory=dict)


def phase_of(item: Mapping[str, Any], now: datetime) -> str:
    """Say in one word how a domain stands by its last confirmed run.

    ``on``, ``draining`` (off, but some sender may still hold an older policy), ``off`` (for every sender),
    ``retired`` (off, and the record is gone), ``unsettled`` (no run was confirmed yet).
    """
    phase, every = str(item.get("phase") or "unsettled"), item.get("all_off_at")
    return "off" if phase == "draining" and every and instant(every) <= now else phase


def listed(item: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Show a domain as one of many."""
    last = item.get("last_outcome") or {}
    return {
        "domain": item["domain"],
        "phase": phase_of(item, now),
        "all_off_at": item.get("all_off_at"),
        "next_due_at": item.get("due_at"),
        "held_by": _holder(item),
        "last": {name: last.get(name) for name in ("state", "changed", "error")} if last else None,
    }


def domain(
    item: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    confirmed: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Show a domain: the three answers, what is due, what runs there were.

    ``item`` is the ledger's, ``runs`` are the latest, the last first, ``confirmed`` is that of the last run
    that was confirmed, empty where there was none.
    """
    outcome = confirmed.get("outcome") or {}
    last = item.get("last_outcome") or {}
    shown = [short(run) for run in runs]
    checks = [run for run in shown if run["method"] == "check"]
    return {
        "domain": item.get("domain"),
        "phase": phase_of(item, now),
        "now": stamp(now),
        "text": last.get("text"),
        "answers": _answers(item, outcome, last, now),
        "all_off_at": item.get("all_off_at"),
        "moments": item.get("moments"),
        "current_id": item.get("current_id") or None,
        "held_by": _holder(item),
        "due": [
            {"kind": kind, "at": entry["at"]}
            for kind, entry in sorted(item.get("due", {}).items(), key=lambda pair: pair[1]["at"])
        ],
        "last_check": checks[0] if checks else None,
        "runs": shown,
    }


def _answers(
    item: Mapping[str, Any],
    outcome: Mapping[str, Any],
    last: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Answer the three questions by what is on record, and say on what that rests."""
    given = outcome.get("answers") or {}
    off, mx = given.get("off"), given.get("mx")
    disturbed = bool(last.get("error")) and last.get("changed") not in (None, "nothing")
    return {
        "basis": _BASIS,
        "as_of": (outcome.get("moments") or {}).get("confirmed_at"),
        # A later run has changed something and was not confirmed: what was computed before may not hold.
        "hold": bool(given) and not disturbed,
        "off": off,
        "mx": mx
        and {
            **mx,
            "now": _reached(mx.get("from"), now),
            "now_without_overlap": _reached(mx.get("without_overlap_from"), now),
        },
        "trouble": {
            "state": last.get("state"),
            "error": last.get("error"),
            "changed": last.get("changed"),
            "mail_at_risk": None if disturbed else (given.get("trouble") or {}).get("mail_at_risk"),
            "next": (given.get("trouble") or {}).get("next") if not last.get("error") else None,
            "text": last.get("text"),
        },
        "every_sender_has_let_go": phase_of(item, now) in ("off", "retired"),
    }


def _reached(begins: str | None, now: datetime) -> bool:
    """Tell whether the moment is there from which the MX records may change; None: no date is known."""
    return begins is not None and instant(begins) <= now


def _holder(item: Mapping[str, Any]) -> dict[str, Any] | None:
    holder = item.get("holder")
    if not holder:
        return None
    return {"run": str(holder).rpartition(":")[2], "since": item.get("held_since")}


def short(run: Mapping[str, Any]) -> dict[str, Any]:
    """Show a run of the ledger as one of many."""
    _, started_at, name = str(run["item"]).split("#", 2)
    outcome = run.get("outcome") or {}
    return {
        "run": name,
        "method": run.get("method"),
        "status": _RECORDED.get(str(run.get("status")), run.get("status")),
        "started_at": started_at,
        "ended_at": run.get("ended_at"),
        "subject": outcome.get("subject") or run.get("subject"),
        "error": run.get("error"),
        "changed": run.get("changed"),
        "alarms": outcome.get("alarms"),
        "requested_by": run.get("requested_by") or None,
        "ticket": run.get("ticket") or None,
    }


def belongs(request: object, name: str) -> bool:
    """Tell whether an execution's input is for a domain; what is no valid name is for none."""
    asked = request.get("domain") if isinstance(request, Mapping) else None
    try:
        return isinstance(asked, str) and normalise(asked) == name
    except DomainNameError:
        return False


def run(name: str, domain: str, seen: Seen) -> dict[str, Any]:
    """Show a run: the states done with their times, what is waited for, how it ended and why."""
    output = seen.output if isinstance(seen.output, Mapping) else {}
    planned = bool(seen.request.get("dry_run")) and "digest" in output
    waits = next((step for step in reversed(seen.steps) if step.ended is None), None)
    return {
        "run": name,
        "domain": domain,
        "method": seen.request.get("method"),
        "dry_run": bool(seen.request.get("dry_run")),
        "status": _STATUS.get(seen.status, seen.status),
        "started_at": stamp(seen.started_at),
        "ended_at": stamp(seen.ended_at) if seen.ended_at else None,
        **{text: seen.request.get(text) for text in _TEXTS},
        "subject": output.get("subject"),
        "text": (output.get("summary") if planned else output.get("text")) or seen.cause or None,
        "waiting": _waiting(waits) if waits and seen.status == "RUNNING" else None,
        "states": list(_states(seen.steps)),
        "states_complete": seen.complete,
        "plan": {"digest": output["digest"], **_plan(output)} if planned else None,
        "outcome": None if planned else seen.output,
        "evidence": output.get("evidence") or dict(seen.evidence) or None,
        "error": {"name": seen.error, "text": seen.cause} if seen.error else None,
    }


def _waiting(step: Step) -> dict[str, Any]:
    return {
        "state": step.name,
        "for": step.found or None,
        "until": stamp(step.until) if step.until else None,
    }


def _states(steps: Iterable[Step]) -> Iterable[dict[str, Any]]:
    for step in steps:
        yield {
            "state": step.name,
            "from": stamp(step.started),
            "to": stamp(step.ended) if step.ended else None,
            "found": step.found or None,
            "ready": None if step.ended is None else not step.pending,
            "failed": step.failed,
        }


def _plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Show of a plan what somebody approves: what will be done, to what, and what is warned of."""
    names = ("summary", "steps", "warnings", "policy", "record", "planned_at", "method")
    return {name: plan.get(name) for name in names}


def recorded(item: Mapping[str, Any]) -> Seen:
    """Read a run out of the ledger, which remembers when Step Functions does not any more."""
    started_at = str(item["item"]).split("#", 2)[1]
    status = {"running": "RUNNING", "failed": "FAILED"}.get(str(item["status"]), "SUCCEEDED")
    ended = item.get("ended_at")
    return Seen(
        status=status,
        request={"method": item.get("method"), **{name: item.get(name) for name in _TEXTS}},
        started_at=instant(started_at),
        ended_at=instant(ended) if ended else None,
        output=item.get("outcome"),
        error=str(item.get("error") or ""),
        cause=str(item.get("text") or item.get("cause") or ""),
        complete=False,
    )
