"""Takes deliveries of systems that sign: a ticket's fields become a run's input."""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from mta_sts import wiring
from mta_sts.errors import TransientError
from mta_sts.hooks import guards, refusal
from mta_sts.hooks.delivery import Call, Wanted, marks
from mta_sts.hooks.sources import HooksUnusableError, Source
from mta_sts.intake import Ask, KeyReusedError, Taken
from mta_sts.logs import add, logged, logger
from mta_sts.problems import Problem, answer, reply
from mta_sts.settings import state_machine
from mta_sts.transient import is_busy


@logged
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """An event of API Gateway (REST, payload 1.0) → its answer. Nothing of a body gets into the log."""
    try:
        return _take(Call.of(event), datetime.now(UTC))
    except Problem as problem:
        logger.info("refused", status=problem.status, kind=problem.kind)
        return answer(problem)
    except HooksUnusableError as error:
        logger.error("hooks are not usable", why=str(error))
        return answer(_later("The hooks cannot be used as they are set up; their log says why."))
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told nothing of the inside
        # Messages of errors may quote what was sent.
        logger.error("failed", error=_named(error), where=_where(error))
        return answer(_unforeseen(error))


def _take(call: Call, now: datetime) -> dict[str, Any]:
    guards.is_post(call)
    guards.fits(call)
    source = _sender(call, now)
    add(source=source.name)
    data = guards.is_json(call)
    try:
        return _carry_out(call, source, data, now)
    except Problem as problem:
        _tell(call, source, data, problem, now)
        return answer(problem)


def _carry_out(call: Call, source: Source, data: dict[str, Any], now: datetime) -> dict[str, Any]:
    moment = guards.is_current(source, data, now)
    if reason := guards.reason_to_ignore(source, data):
        logger.info("ignored", reason=reason)
        return reply(200, {"started": False, "reason": reason}, {})
    wanted = guards.can_be_carried_out(source, data)
    domain = wanted.request.domain
    add(domain=domain, ticket=wanted.request.ticket)
    guards.is_in_domains(source, wanted.request)
    guards.is_in_methods(source, wanted.request)
    taken = _start(call, wanted, moment, now)
    logger.info("taken", execution=taken.execution, again=taken.again)
    href = call.href(domain, taken.run)
    told = {"run": taken.run, "domain": domain, "again": taken.again, "href": href}
    return reply(202, told, {"Location": href})


def _tell(
    call: Call, source: Source, data: dict[str, Any], problem: Problem, now: datetime
) -> None:
    """Say why a signed delivery is refused, in the log and to its ticket; no answer hangs on that."""
    try:
        notice = refusal.notice(source, data, problem, state_machine(), now)
        add(domain=notice["domain"], ticket=notice["ticket"])
        why = refusal.problems(problem)
        logger.warning("refused", status=problem.status, kind=problem.kind, problems=why)
        # Nobody asked for anything by what would have been ignored: a comment, that of the way back.
        if not guards.reason_to_ignore(source, data):
            wiring.refusals().tell(notice, refusal.keys(call, notice, now), now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the refusal is what has to be answered
        logger.error("a refusal was not told", error=_named(error), where=_where(error))


def _sender(call: Call, now: datetime) -> Source:
    """Give the source that has signed a delivery."""
    digest = guards.claims_signature(call)
    source = wiring.hook_sources().find(call.source, now)
    guards.is_signed(call, digest, wiring.hook_keys().of(source, now) if source else ())
    return source or guards.refuse_unsigned()


def _start(call: Call, wanted: Wanted, moment: datetime | None, now: datetime) -> Taken:
    domain, known = wanted.request.domain, marks(call, wanted, moment)
    asked = Ask("hook", domain, wanted.event, known.keys, known.identity)
    intake = wiring.intake()
    try:
        # One that comes again is answered as the first was, whoever holds the domain by now.
        if wanted.changes and not intake.known(asked):
            holder = intake.busy(domain, now)
            guards.is_free(holder.run if holder else "", domain)
        return intake.start(asked, now)
    except KeyReusedError as error:
        raise Problem(
            409, "key-reused", "This delivery was taken for another request", str(error)
        ) from error


def _later(detail: str) -> Problem:
    return Problem(
        503,
        "unavailable",
        "The delivery cannot be taken now",
        detail,
        headers={"Retry-After": "60"},
    )


def _unforeseen(error: Exception) -> Problem:
    busy = isinstance(error, ClientError) and is_busy(error)
    if busy or isinstance(error, TransientError | BotoCoreError):
        return _later("AWS was busy: send the same delivery again.")
    return Problem(
        500, "internal", "The delivery failed here", "It is in the log; it may be sent again."
    )


def _named(error: Exception) -> str:
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return f"{type(error).__name__} {code}" if code else type(error).__name__


def _where(error: Exception) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
