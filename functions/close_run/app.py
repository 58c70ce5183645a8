"""Ends the claim of an execution that was stopped, timed out, or failed before it could say so."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts import ending, logs, metrics, notices, wiring
from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS
from mta_sts.errors import TransientError
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.settings import notice_topic

_ERRORS = {
    "ABORTED": ("ExecutionStopped", "The execution was stopped by hand."),
    "TIMED_OUT": ("ExecutionTimedOut", "The execution ran longer than a run may."),
}
# No Catch sees them: nobody was told, whether or not the run had the domain.
_UNCAUGHT = frozenset({"States.Runtime", "States.DataLimitExceeded"})
# The definition says so in the cause, where it could not record or tell a failure.
_UNTOLD = ("could be told to nobody", "its outcome could not be recorded")
_OUTCOMES = {"ABORTED": "stopped", "TIMED_OUT": "timed out", "FAILED": "failed"}


@logged
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """An event “Step Functions Execution Status Change” → ``{"closed": domain or ""}``; twice is as once.

    The domain can be taken again when the longest function that was at work has ended for sure: a
    Lambda function outlives its execution.
    """
    detail = event["detail"]
    request = _input(detail)
    execution = detail["executionArn"]
    domain = ending.named({"request": request}, None)
    ticket = request.get("ticket") if isinstance(request, dict) else ""
    logs.add(execution=execution, domain=domain, ticket=ticket)
    item = wiring.ledger().domain(domain)
    mine = item.get("holder") == execution and "holder_run" in item
    if not mine and detail["status"] == "FAILED" and detail.get("error") not in _UNCAUGHT:
        if any(words in (detail.get("cause") or _UNTOLD[0]) for words in _UNTOLD):
            logger.warning("told to nobody", error=detail.get("error"))
            metrics.failed()
        return {"closed": ""}  # it has recorded and announced its failure itself
    ended = datetime.fromtimestamp(detail["stopDate"] / 1000, UTC)
    run = wiring.ledger().item(domain, item["holder_run"]) if mine else {}
    if not mine and wiring.ledger().is_closed(domain, execution):
        return {"closed": ""}
    _close(request, detail, run, ended)
    logger.warning("closed", status=detail["status"])
    metrics.run_ended(_OUTCOMES[detail["status"]], metrics.method_of(request))
    return {"closed": domain if mine else ""}


def _input(detail: dict[str, Any]) -> Any:
    """Give what the execution was asked; large input is not in the event."""
    text = detail.get("input")
    if text is None:
        text = wiring.executions().describe_execution(executionArn=detail["executionArn"])["input"]
    return json.loads(text)


def _tell(notice: dict[str, Any]) -> None:
    """Tell people and programs; what cannot be told is tried again by whoever calls this function."""
    wiring.notices().publish(
        TopicArn=notice_topic(),
        Subject=notice["subject"],
        Message=notice["text"],
        MessageAttributes=notices.attributes(notice),
    )
    answer = wiring.events().put_events(Entries=[notices.entry(notice)])
    if answer["FailedEntryCount"]:
        raise TransientError(f"The event bus did not take the notice: {answer['Entries']}")


def _close(
    request: Any, detail: dict[str, Any], run: dict[str, Any], ended: datetime
) -> dict[str, Any]:
    """Tell it, then write it down: what is on record is not told again."""
    plan = Plan.from_dict(json.loads(run["plan_json"])) if run else None
    name, cause = _ERRORS.get(
        detail["status"],
        (str(detail.get("error") or "ExecutionFailed"), str(detail.get("cause") or "")),
    )
    place = "some state" if plan else "Plan Change"
    free_from = ended + timedelta(seconds=LONGEST_FUNCTION_SECONDS)
    standing = ending.look(
        plan,
        place,
        store=wiring.policy_store,
        zones=wiring.zones,
        unseen=lambda what, error: logger.warning("not seen", what=what, error=repr(error)),
    )
    return ending.failed(
        {
            "request": request,
            "execution": {
                "arn": detail["executionArn"],
                "started_at": run["started_at"] if run else "",
            },
            "failure": {"Error": name, "Cause": cause},
            "failed_state": place,
        },
        plan,
        standing,
        ledger=wiring.ledger(),
        agenda=wiring.agenda(),
        now=datetime.now(UTC),
        free_from=free_from if plan else None,
        tell=_tell,
    )
