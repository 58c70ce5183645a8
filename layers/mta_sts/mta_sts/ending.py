"""How a run's end is written down: confirmed, failed, cut short, or only a look.

For the workflow's last states and for the rule that takes care of executions which never reach them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mta_sts import messages
from mta_sts.adapters.ledger import run_key
from mta_sts.domains import DomainNameError, normalise
from mta_sts.due import DAY, DRAINED, after, postponed, watched
from mta_sts.errors import (
    DomainBusyError,
    DrainNotOverError,
    InvalidRequestError,
    PolicyNotFoundError,
)
from mta_sts.instants import instant, stamp
from mta_sts.outcome import BEFORE_WRITES, Standing, succeeded, what_changed
from mta_sts.plan import Plan
from mta_sts.request import Request
from mta_sts.retiring import not_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from mta_sts.adapters.agenda import Agenda
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore

_SOON = timedelta(minutes=5)  # a domain that is held is free again before long
_CHECK_KEPT = ("state", "subject", "text", "alarms", "findings")


def confirmed(event: Mapping[str, Any], plan: Plan, ledger: "Ledger", now: datetime) -> Any:
    """Write down a confirmed run, release the domain, note what is due; return the output."""
    execution = event["execution"]
    since = plan.ids_changed_since
    request = replace(  # what was vouched for when a drain began counts on where change-id mends it
        Request.parse(event["request"]),
        longest_max_age=plan.longest_max_age,
        ids_changed_since=instant(since) if since else None,
    )
    pending = ledger.domain(plan.domain).get("due", {})
    entries: dict[str, Any] = {}

    def due(every: datetime | None) -> dict[str, Any]:
        entries.update(after(plan, request, all_off_at=every, pending=pending, now=now))
        return entries

    outcome = succeeded(
        plan,
        event["moments"],
        event["record"],
        event["policy"],
        execution["arn"],
        now,
        due=due,
    )
    summary = {name: outcome[name] for name in ("state", "changed", "text", "all_off_at")}
    sha256 = plan.policy.after_sha256 or ("" if plan.policy.remove else plan.policy.before_sha256)
    ledger.finish(
        plan.domain,
        execution["arn"],
        execution["started_at"],
        run={"status": "confirmed", "ended_at": stamp(now), "outcome": outcome},
        domain_fields={
            "phase": "retired" if plan.retires else "on" if plan.leaves_on else "draining",
            "moments": outcome["moments"],
            "all_off_at": outcome["all_off_at"],
            "current_id": plan.record.new_id,
            "policy_sha256": sha256,
            "ours": {"policies": [sha256], "ids": [plan.record.new_id]},
            "attested": {
                "longest_max_age": plan.longest_max_age,
                "ids_changed_since": plan.ids_changed_since or None,
            },
            "last_outcome": summary,
        },
        id_change={
            "id": plan.record.new_id,
            "old": plan.record.found,
            "at": _changed_at(event["moments"]),
            "gone_at": outcome["moments"]["record_gone_at"],
            "distribution_id": plan.policy.distribution_id,
            "published_at": outcome["moments"]["published_at"],
            "fresh_at": outcome["moments"]["caches_fresh_at"],
        },
        due=entries,
    )
    return outcome


def _changed_at(moments: Mapping[str, Any]) -> str:
    """Say when the record changed; stamps are rounded up, and it was after caches were fresh."""
    changed_at = str(moments["changed"]["changed_at"])
    if not moments["caches"]:
        return changed_at
    after_caches = instant(moments["caches"]["fresh_at"]) + timedelta(seconds=1)
    return max(changed_at, stamp(after_caches))


def failed(
    event: Mapping[str, Any],
    plan: Plan | None,
    standing: Standing,
    *,
    ledger: "Ledger",
    agenda: "Agenda",
    now: datetime,
    free_from: datetime | None = None,
) -> dict[str, Any]:
    """Write down a run that failed or was cut short, release the domain; what was due is tried again.

    Returns the notice: ``subject``, ``text``, ``changed``.
    """
    execution, place = event["execution"], event["failed_state"]
    changed = what_changed(plan, place, standing)
    name, cause = messages.error_of(event["failure"])
    subject, text = messages.failed(
        named(event, plan),
        changed,
        event["failure"],
        place,
        plan,
        confirmed=(event.get("outcome") or {}).get("text", ""),
    )
    again = _try_again(event, agenda, _again_at(name, cause, now))
    text += f"\n\n{again}Execution: {execution['arn']}"
    notice = {"subject": subject, "text": text, "changed": changed}
    if plan is not None and not plan.dry_run:
        ledger.finish(
            plan.domain,
            execution["arn"],
            execution["started_at"],
            run={
                "status": "failed",
                "ended_at": stamp(now),
                "error": name,
                "cause": cause,
                **notice,
            },
            domain_fields={
                "last_outcome": {"state": text.partition(" for ")[0], "error": name, **notice}
            },
            free_from=free_from,
        )
    return notice


def _again_at(error: str, cause: str, now: datetime) -> datetime:
    """Say when what was due is tried again: when it can work, or a day later."""
    if error == DrainNotOverError.__name__:
        return not_before(cause) or now + DAY
    return now + _SOON if error == DomainBusyError.__name__ else now + DAY


def _try_again(event: Mapping[str, Any], agenda: "Agenda", at: datetime) -> str:
    """Move what the run was started for; say so."""
    request = _request(event)
    if request is None or request.due is None or request.dry_run:
        return ""
    due = {
        "kind": request.due.kind,
        "generation": request.due.generation,
        "at": stamp(request.due.at),
    }
    moved = agenda.move(request.domain, due, lambda kind, entries: postponed(kind, entries, at))
    return f"It is tried again by itself: {stamp(at)}.\n" if moved else ""


def checked(
    event: Mapping[str, Any], *, ledger: "Ledger", agenda: "Agenda", now: datetime
) -> dict[str, Any]:
    """Write down what a check has found, and when the watch looks again.

    Returns the check with ``notify``: a look by hand is answered, and only one that nobody waits for
    has to be told.
    """
    check, execution = event["check"], event["execution"]
    request = Request.parse(event["request"])
    due = request.due
    notify = due is not None and (due.kind == DRAINED or bool(check["alarms"]))
    if due is not None and notify:
        # A run that has come in between was perhaps seen half done; whoever sent it is told by it.
        item = ledger.domain(request.domain)
        other = bool(item.get("holder")) or item.get("generation", 0) != due.generation
        notify = not (other or check["superseded"])
    if not request.discover and not request.dry_run:
        ledger.record(
            request.domain,
            run_key(execution["started_at"], execution["arn"]),
            {
                "execution": execution["arn"],
                "status": "checked",
                "method": "check",
                "ended_at": stamp(now),
                "outcome": {name: check.get(name) for name in _CHECK_KEPT},
            },
        )
    if due is not None:
        entry = {"kind": due.kind, "generation": due.generation, "at": stamp(due.at)}
        over_at = _over_at(check, now)
        agenda.move(
            request.domain,
            entry,
            lambda kind, entries: watched(kind, entries, now, over_at=over_at),
        )
    return {**check, "notify": notify}


def _over_at(check: Mapping[str, Any], now: datetime) -> datetime | None:
    """Say when the drain is over, by a look; None where that looked otherwise than the run had left it."""
    if check["over"]:
        return now
    every = check["all_off_at"]
    return instant(every) if every and instant(every) > now else None


def look(
    plan: Plan | None,
    place: str,
    *,
    store: "Callable[[], PolicyStore]",
    zones: "Callable[[str], Zones]",
    unseen: "Callable[[str, Exception], None]",
) -> Standing:
    """Look how policy and record are now, each by itself; for what needs no look a stand-in.

    ``unseen`` is told what could not be seen, and why.
    """
    if plan is None or place in BEFORE_WRITES:
        return Standing()
    sha256, seen, record = None, False, None
    try:
        sha256 = store().read(plan.policy.bucket, plan.policy.key).sha256
    except PolicyNotFoundError:
        sha256 = ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the run's end has to be written down
        unseen("the policy", error)
    try:
        record = zones(plan.dns_role_arn).record_set(plan.record.zone_id, plan.record.name)
        seen = True
    except Exception as error:  # noqa: BLE001 - the same
        unseen("the record", error)
    return Standing(sha256, seen, record)


def named(event: Mapping[str, Any], plan: Plan | None) -> str:
    """Name the domain as DNS does, or what was asked for, made harmless, where that is none."""
    if plan is not None:
        return plan.domain
    request = event["request"]
    asked = request.get("domain") if isinstance(request, dict) else None
    if not isinstance(asked, str) or not asked:
        return "an unnamed domain"
    try:
        return normalise(asked)
    except DomainNameError:
        return ascii(asked)[1:-1][:253]


def _request(event: Mapping[str, Any]) -> Request | None:
    try:
        return Request.parse(event["request"])
    except InvalidRequestError:
        return None
