"""Starts what the ledger has due; the schedule calls it every few minutes."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from mta_sts import metrics, wiring
from mta_sts.due import DAY, Delivery, deliveries, first, postponed
from mta_sts.instants import instant, stamp
from mta_sts.logs import logged, logger
from mta_sts.request import DUE
from mta_sts.settings import state_machine

_MOST = 100  # started at once: Route 53's ten requests a second are for all runs of the account
_SPARE_MILLISECONDS = 15_000  # for the last start; what is left over is there the next time


class SweepError(Exception):
    """Something due could not be started; the next sweep tries again."""


@logged
def handler(_event: object, context: Any) -> dict[str, Any]:
    """→ ``{"started": [names], "left": n}``. Called twice, late or not at all it changes nothing.

    ``left`` counts the domains that were not looked at: the next sweep does.
    A domain that cannot be dealt with holds up no other; in the end it fails the sweep, which is seen.
    """
    started: list[str] = []
    failed: list[str] = []
    now, left, overdue = datetime.now(UTC), 0, 0.0
    ledger, agenda = wiring.ledger(), wiring.agenda()
    for domain in agenda.domains(until=now):
        if len(started) >= _MOST or _time_is_up(context):
            left += 1
            continue
        try:
            item = agenda.item(domain)
            holder = item.get("holder", "")
            if holder and not ledger.ended_long_ago(holder, now):
                continue  # it ends, or the rule ends it; what is due is still there then
            if item.get("free_from", "") > stamp(now):
                continue  # a function of a run that was cut short may be at work
            overdue = max(overdue, _seconds_overdue(item, now))
            started += [one.name for one in _next(item, now) if _deliver(one, now)]
        except Exception:  # noqa: BLE001 - whatever it is, it holds up no other domain
            logger.exception("could not start what is due", domain=domain)
            failed.append(domain)
    logger.info("swept", started=started, left=left)
    metrics.swept(pending=agenda.count(), overdue_seconds=overdue, failures=len(failed))
    if failed:
        raise SweepError(f"What is due could not be started for {', '.join(failed)}.")
    return {"started": started, "left": left}


def _seconds_overdue(item: Mapping[str, Any], now: datetime) -> float:
    due_at = first(item.get("due", {}))
    return (now - instant(due_at)).total_seconds() if due_at else 0.0


def _next(item: Mapping[str, Any], now: datetime) -> list[Delivery]:
    """Give what is to be started now: one change at most, and no look beside it."""
    ripe = deliveries(item, now)
    changes = [one for one in ripe if DUE[one.kind] != "check"]
    return changes[:1] or ripe


def _time_is_up(context: Any) -> bool:
    remaining: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return remaining is not None and remaining() < _SPARE_MILLISECONDS


def _deliver(delivery: Delivery, now: datetime) -> bool:
    """Start an execution; tell whether it is a new one.

    One that bears the name already either is at work, or has ended without a trace in the ledger: then
    the work is due again, a day later, under another name.
    """
    executions, arn = wiring.executions(), state_machine()
    try:
        executions.start_execution(
            stateMachineArn=arn, name=delivery.name, input=json.dumps(dict(delivery.event))
        )
    except executions.exceptions.ExecutionAlreadyExists:
        execution = f"{arn.replace(':stateMachine:', ':execution:')}:{delivery.name}"
        if wiring.ledger().ended_long_ago(execution, now):
            due = {"kind": delivery.kind, "generation": delivery.generation, "at": delivery.at}
            logger.warning("ended without a trace", execution=execution, domain=delivery.domain)
            wiring.agenda().move(
                delivery.domain, due, lambda kind, entries: postponed(kind, entries, now + DAY)
            )
        return False
    return True
