"""How a run's end is written down: confirmed, failed, cut short, or only a look.

For the workflow's last states and for the rule that takes care of executions which never reach them.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mta_sts import messages, notices
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
from mta_sts.request import Due, Request
from mta_sts.retiring import not_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from mta_sts.adapters.agenda import Agenda
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore

_SOON = timedelta(minutes=5)  # a domain that is held is free again before long
_NEXT_TRY_OF_BUSY = timedelta(minutes=15)
# AWS was busy, or the account's concurrency used up: nobody has to mend anything before the next try.
_BUSY = ("TransientError", "Lambda.TooManyRequestsException")
_NEXT_TRY = timedelta(hours=1)  # of a notice that could not be sent
# States after a look by the watch that has to be told: what was due is not moved on before that.
TELLING = ("Announce Finding", "Notify Finding", "Move On")
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
            "at": _changed_at(event["moments"], outcome["moments"]["caches_fresh_at"]),
            "gone_at": outcome["moments"]["record_gone_at"],
            "distribution_id": plan.policy.distribution_id,
            "published_at": outcome["moments"]["published_at"],
            "fresh_at": outcome["moments"]["caches_fresh_at"],
        },
        due=entries,
    )
    return outcome


def _changed_at(moments: Mapping[str, Any], fresh_at: str | None) -> str:
    """Say when the record changed; stamps are rounded up, and it was after caches were seen to be fresh."""
    changed_at = str(moments["changed"]["changed_at"])
    if not fresh_at:
        return changed_at
    return max(changed_at, stamp(instant(fresh_at) + timedelta(seconds=1)))


def failed(
    event: Mapping[str, Any],
    plan: Plan | None,
    standing: Standing,
    *,
    ledger: "Ledger",
    agenda: "Agenda",
    now: datetime,
    free_from: datetime | None = None,
    tell: "Callable[[dict[str, Any]], object]" = lambda _: None,
) -> dict[str, Any]:
    """Write down a run that failed or was cut short, release the domain; what was due is tried again.

    Returns the notice (:func:`mta_sts.notices.failed`). Where nobody comes afterwards to send it, ``tell``
    does so, before anything is written down.
    """
    execution, place = event["execution"], event["failed_state"]
    changed = what_changed(plan, place, standing)
    name, cause = messages.error_of(event["failure"])
    request, outcome = _request(event), event.get("outcome") or {}
    asked_for = request is not None and not request.dry_run and not outcome
    restore_at = request.restore_at if request and asked_for else None
    subject, text = messages.failed(
        named(event, plan),
        changed,
        event["failure"],
        place,
        plan,
        confirmed=outcome.get("text", ""),
        restore_at=stamp(restore_at) if restore_at else "",
        free_from=stamp(free_from) if free_from else "",
    )
    again = _try_again(request, agenda, _again_at(name, cause, place, now))
    text += f"\n\n{again}Execution: {execution['arn']}"
    notice = {"subject": subject, "text": text, "changed": changed}
    told = notices.failed(
        event["request"],
        plan,
        {**notice, "domain": _domain(event, plan)},
        name,
        execution["arn"],
        now,
        outcome=outcome,
    )
    tell(told)
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
            domain_fields={"last_outcome": {"state": told["state"], "error": name, **notice}},
            free_from=free_from,
        )
    return told


def _again_at(error: str, cause: str, place: str, now: datetime) -> datetime:
    """Say when what was due is tried again: when it can work, or a day later."""
    if place in TELLING:
        return now + _NEXT_TRY
    if error == DrainNotOverError.__name__:
        return not_before(cause) or now + DAY
    if error in _BUSY:
        return now + _NEXT_TRY_OF_BUSY
    return now + _SOON if error == DomainBusyError.__name__ else now + DAY


def _try_again(request: Request | None, agenda: "Agenda", at: datetime) -> str:
    """Move what the run was started for; say so."""
    if request is None or request.due is None or request.dry_run:
        return ""
    moved = agenda.move(
        request.domain, _entry(request.due), lambda kind, entries: postponed(kind, entries, at)
    )
    return f"It is tried again by itself: {stamp(at)}.\n" if moved else ""


def _entry(due: Due) -> dict[str, Any]:
    return {"kind": due.kind, "generation": due.generation, "at": stamp(due.at)}


def checked(
    event: Mapping[str, Any], *, ledger: "Ledger", agenda: "Agenda", now: datetime
) -> dict[str, Any]:
    """Write down what a check has found, and when the watch looks again.

    Returns the check with ``notify``: a look by hand is answered, and only one that nobody waits for
    has to be told. What that was started for stays due until it was: :func:`moved_on` comes after.
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
    if due is not None and not notify:
        moved_on(event, agenda=agenda, now=now)
    return {**check, "notify": notify}


def moved_on(event: Mapping[str, Any], *, agenda: "Agenda", now: datetime) -> bool:
    """Say when the watch looks again, once what a look has found was told; False: another run came since."""
    request, over_at = Request.parse(event["request"]), _over_at(event["check"], now)
    if request.due is None:
        return False
    return agenda.move(
        request.domain,
        _entry(request.due),
        lambda kind, entries: watched(kind, entries, now, over_at=over_at),
    )


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
    return _domain(event, plan) or ascii(_asked(event))[1:-1][:253] or "an unnamed domain"


def _domain(event: Mapping[str, Any], plan: Plan | None) -> str:
    """Name the domain as DNS does; empty where what was asked for is none."""
    if plan is not None:
        return plan.domain
    try:
        return normalise(_asked(event))
    except DomainNameError:
        return ""


def _asked(event: Mapping[str, Any]) -> str:
    request = event["request"]
    asked = request.get("domain") if isinstance(request, dict) else None
    return asked if isinstance(asked, str) else ""


def _request(event: Mapping[str, Any]) -> Request | None:
    try:
        return Request.parse(event["request"])
    except InvalidRequestError:
        return None
