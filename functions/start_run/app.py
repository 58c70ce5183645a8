"""Starts the runs that events and schedules ask for, each once however often it is delivered."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from mta_sts import wiring
from mta_sts.intake import Ask, Taken
from mta_sts.logs import cut, logged, logger
from mta_sts.starting import asks, late

_SPARE_MILLISECONDS = 10_000  # for the last start; what is left over is started by the next try
_MOST_TOLD = 20


class StartError(Exception):
    """Some run could not be started; Lambda tries again, and then it is a dead letter."""


@logged
def handler(event: object, context: Any) -> dict[str, Any]:
    """An event, or a schedule's input → ``{"runs": [names], "again": n}``, n of which were there before.

    Raises EnvelopeError, or StartError once all others are started: delivered again, those are not.
    """
    taken: list[Taken] = []
    failed: list[str] = []
    asked = asks(event)
    for ask in asked:
        if _time_is_up(context):
            failed.append(f"no time was left for {len(asked) - len(taken) - len(failed)} of them")
            break
        try:
            taken.append(_start(ask, event))
        except Exception as error:  # noqa: BLE001 - whatever it is, it holds up no other
            logger.exception("not started", domain=cut(ask.domain))
            failed.append(f"{ask.domain[:253]}: {type(error).__name__}: {str(error)[:400]}")
    if failed:
        told = "; ".join(failed[:_MOST_TOLD])
        raise StartError(f"{len(taken)} of {len(asked)} runs are started. Not started: {told}")
    again = sum(one.again for one in taken)
    return {"runs": [one.run for one in taken], "again": again}


def _start(ask: Ask, delivery: Any) -> Taken:
    now, intake = datetime.now(UTC), wiring.intake()
    refusal = late(delivery, now)
    if refusal and not intake.known(ask):  # a repetition is answered with its run, however late
        raise refusal
    taken = intake.start(ask, now)
    logger.info(
        "started",
        domain=cut(ask.domain),
        ticket=cut(ask.event.get("ticket") or "") or None,
        execution=taken.execution,
        again=taken.again,
    )
    return taken


def _time_is_up(context: Any) -> bool:
    remaining: Callable[[], int] | None = getattr(context, "get_remaining_time_in_millis", None)
    return remaining is not None and remaining() < _SPARE_MILLISECONDS
