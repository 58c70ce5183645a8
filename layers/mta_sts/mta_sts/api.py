"""The API's answers: who may ask what, what a request must be, and what is said in return.

The gateway lets nobody through who may not call (IAM, or a Cognito token). What is left to be decided here
is by what the request would do: a look or a plan, or a change.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError

from mta_sts import calls, logs, views, wiring
from mta_sts.adapters.executions import Execution
from mta_sts.adapters.register import PHASES
from mta_sts.calls import Call
from mta_sts.domains import DomainNameError, normalise
from mta_sts.errors import InvalidRequestError, TransientError
from mta_sts.incoming import json_object
from mta_sts.intake import Ask, KeyReusedError, Taken, digest
from mta_sts.logs import logger
from mta_sts.problems import Problem, reply
from mta_sts.request import Request
from mta_sts.transient import is_busy
from mta_sts.visits import last_checks, steps

LARGEST_BODY = 16_384  # bytes; a request is a few hundred
_RUN = re.compile(r"[0-9A-Za-z_-]{1,80}")
# The schedule's own; and a listing of every domain is no run of one.
_NOT_BY_API = {
    "due": "due is what the schedule adds to its own runs: leave it out",
    "discover": "discover looks for every domain, and is for executions that are started otherwise",
}
# Seconds between two looks at an execution: DescribeExecution is limited for the whole account.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 3.0


def start_run(call: Call, domain: str) -> dict[str, Any]:
    """POST /domains/{domain}/runs."""
    name, now = calls.domain(domain), datetime.now(UTC)
    body = json_object(call.body, call.headers.get("content-type", ""), LARGEST_BODY)
    request = _request(name, body)
    changes = request.method != "check" and not request.dry_run
    calls.allow(call, "change" if changes else "check")
    event = {**body, "domain": name}
    event.setdefault("requested_by", call.caller[:256])
    if not event["requested_by"]:
        del event["requested_by"]
    # Who asks again may bear another session's name.
    ask = Ask("api", name, event, calls.keys(call), digest({**body, "domain": name}))
    taken = _take(ask, changes=changes, now=now)
    logs.add(domain=name, ticket=request.ticket, execution=taken.execution)
    # Who asks may name somebody else as requested_by.
    logger.info("asked", caller=call.caller[:256], method=request.method, again=taken.again)
    href = f"{call.path.rstrip('/')}/{taken.run}"
    seconds = calls.wait(call, request)
    seen = _until_ended(taken.run, seconds) if seconds else None
    if seen is None or seen.status == "RUNNING":
        told = {
            "run": taken.run,
            "domain": name,
            "method": request.method,
            "dry_run": request.dry_run,
            "again": taken.again,
            "href": href,
        }
        return reply(202, told, {"Location": href})
    shown = views.run(taken.run, name, _seen(seen, with_steps=False))
    if seen.status != "SUCCEEDED":
        raise Problem(
            409,
            "refused",
            "The run was refused, or has failed",
            seen.cause or "It has ended without a word.",
            {"error": seen.error, "run": taken.run, "href": href},
            {"Location": href},
        )
    return reply(200, {**shown, "again": taken.again, "href": href}, {"Location": href})


def show_run(call: Call, domain: str, run: str) -> dict[str, Any]:
    """GET /domains/{domain}/runs/{run}."""
    calls.allow(call, "check")
    name = calls.domain(domain)
    if not _RUN.fullmatch(run):
        raise _no_run()
    found = wiring.look_at_executions().find(run)
    if found is not None:
        if not views.belongs(found.input, name):
            raise _no_run()
        return reply(200, views.run(run, name, _seen(found, with_steps=True)), {})
    item = wiring.register().run(name, run)
    if not item:
        raise _no_run()
    return reply(200, views.run(run, name, views.recorded(item)), {})


def list_runs(call: Call, domain: str) -> dict[str, Any]:
    """GET /domains/{domain}/runs."""
    calls.allow(call, "check")
    name = calls.domain(domain)
    runs = wiring.register().runs(name, calls.limit(calls.known(call, "limit")))
    return reply(200, {"domain": name, "runs": [views.short(run) for run in runs]}, {})


def show_domain(call: Call, domain: str) -> dict[str, Any]:
    """GET /domains/{domain}."""
    calls.allow(call, "check")
    name, now = calls.domain(domain), datetime.now(UTC)
    item, register = wiring.ledger().domain(name), wiring.register()
    runs = register.runs(name, 10)
    if not item and not runs:
        raise Problem(
            404,
            "no-domain",
            "Nothing is on record for this domain",
            "No run has touched it. Send a check to see how it stands.",
        )
    confirmed = item.get("confirmed_by", "").rpartition(":")[2]
    last = register.run(name, confirmed) if confirmed else {}
    return reply(200, {**views.domain(item, runs, last, now), "domain": name}, {})


def list_domains(call: Call) -> dict[str, Any]:
    """GET /domains?phase=&limit=&after=."""
    calls.allow(call, "check")
    query, now = calls.known(call, "phase", "limit", "after"), datetime.now(UTC)
    phase = query.get("phase", "")
    if "phase" in query and phase not in PHASES:
        raise calls.invalid([f"phase must be one of {', '.join(PHASES)}, or left out"])
    limit, after = calls.limit(query), query.get("after", "")
    page = wiring.register().domains(
        phase, limit=limit, after=calls.domain(after) if "after" in query else "", now=now
    )
    more = {name: value for name, value in query.items() if name != "after"}
    return reply(
        200,
        {
            "domains": [views.listed(item, now) for item in page.items],
            "next": f"{call.path}?{urlencode({**more, 'after': page.after})}"
            if page.after
            else None,
        },
        {},
    )


def unforeseen(error: Exception) -> Problem:
    """Say that a request may be sent again later, or that it was our fault."""
    busy = isinstance(error, ClientError) and is_busy(error)
    if busy or isinstance(error, TransientError | BotoCoreError):
        return Problem(
            503,
            "busy-service",
            "AWS was busy",
            "Send the same request again, with the same Idempotency-Key. Without a key, look first whether a"
            " run has begun.",
            headers={"Retry-After": "5"},
        )
    return Problem(
        500,
        "internal",
        "The request failed here",
        "It is in the log. With the same Idempotency-Key it may be sent again.",
    )


def _request(domain: str, body: Mapping[str, Any]) -> Request:
    problems = [text for name, text in _NOT_BY_API.items() if name in body]
    if "domain" in body:
        problems += _same_domain(domain, body["domain"])
    rest = {name: value for name, value in body.items() if name not in _NOT_BY_API}
    try:
        request = Request.parse({**rest, "domain": domain})
    except InvalidRequestError as error:
        raise calls.invalid([*problems, *error.problems]) from error
    if problems:
        raise calls.invalid(problems)
    return request


def _same_domain(domain: str, named: object) -> list[str]:
    try:
        same = isinstance(named, str) and normalise(named) == domain
    except DomainNameError:
        same = False
    return [] if same else ["domain is another than that of the address: leave it out"]


def _no_run() -> Problem:
    return Problem(
        404,
        "no-run",
        "This domain has no such run",
        "Step Functions remembers a run for 90 days; the ledger has those that claimed a domain, and looks.",
    )


def _take(ask: Ask, *, changes: bool, now: datetime) -> Taken:
    intake = wiring.intake()
    try:
        # A repeated delivery is answered as the first, whoever holds the domain by now.
        if changes and not intake.known(ask) and (holder := intake.busy(ask.domain, now)):
            raise Problem(
                409,
                "busy",
                "Another run holds the domain",
                f"The run {holder.run} is at work on {ask.domain}; nothing was started.",
                {"run": holder.run},
            )
        return intake.start(ask, now)
    except KeyReusedError as error:
        raise Problem(
            409, "key-reused", "The Idempotency-Key stands for another request", str(error)
        ) from error


def _until_ended(
    run: str, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Execution | None:
    """Look until a run has ended; None where it has not, or cannot be looked at any more.

    It is started: whatever goes wrong from here on must not make the caller send it again.
    """
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    try:
        while (found := wiring.look_at_executions().find(run)) is None or found.status == "RUNNING":
            if time.monotonic() + pause > deadline:
                return None
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
    except (BotoCoreError, ClientError):
        logger.warning("could not look", run=run, exc_info=True)
        return None
    return found


def _seen(found: Execution, *, with_steps: bool) -> views.Seen:
    request = found.input if isinstance(found.input, Mapping) else {}
    seen = views.Seen(
        status=found.status,
        request=request,
        started_at=found.started_at,
        ended_at=found.ended_at,
        output=found.output,
        error=found.error,
        cause=found.cause,
        complete=with_steps,
    )
    if not with_steps:
        return seen
    events, complete = wiring.look_at_executions().events(found.arn)
    return replace(seen, steps=steps(events), complete=complete, evidence=last_checks(events))
