"""Loops of the workflow: a check that is not there yet is data, one past its deadline an exception."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mta_sts.errors import PropagationTimeoutError, SupersededError
from mta_sts.plan import Waits

LONGEST_PAUSE = 60


def refuse_redriven(event: Mapping[str, Any]) -> None:
    """Raise SupersededError where a stopped execution was set going again: its claim is not its own any more.

    Step Functions goes on in the state that was cut short ("redrive"), with a plan of then.
    """
    if event.get("redriven"):
        raise SupersededError(
            "This execution was stopped and redriven. Its claim was released when it was stopped, and"
            " others may have changed the domain since. Nothing more was changed."
            " Send the same request again instead."
        )


def settle(
    check: Mapping[str, Any], waits: Waits, *, since: datetime, now: datetime, explanation: str
) -> dict[str, Any]:
    """Add ``pause_seconds`` to a check that is not ready, growing with the time since ``since``.

    A ready check is returned as it is. Raises PropagationTimeoutError with ``explanation`` where the
    deadline, counted from ``since``, is over.
    """
    if check["ready"]:
        return dict(check) | {"pause_seconds": 0}
    waited = (now - since).total_seconds()
    if waited >= waits.deadline_seconds:
        raise PropagationTimeoutError(
            f"Not there after {round(waited)} seconds (the deadline is {waits.deadline_seconds}):"
            f" {explanation}"
        )
    pause = min(max(waits.first_pause_seconds, round(waited / 4)), LONGEST_PAUSE)
    return dict(check) | {
        "pause_seconds": max(1, min(pause, round(waits.deadline_seconds - waited)))
    }
