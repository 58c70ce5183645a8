"""What a delivery has to pass, one guard after the other; each raises a Problem, or lets it through.

Their order is part of them: whoever has not signed is told nothing but that, and nothing is read from a
body before that.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn

from mta_sts.errors import InvalidRequestError
from mta_sts.hooks import signature
from mta_sts.hooks.delivery import Call, Wanted
from mta_sts.hooks.expressions import ExpressionError
from mta_sts.hooks.moment import FARTHEST_AHEAD, OLDEST, is_fresh, signed_at
from mta_sts.hooks.sources import Source
from mta_sts.hooks.ticket import event_of
from mta_sts.incoming import json_object
from mta_sts.problems import Problem
from mta_sts.request import Request

LARGEST_BODY = 262_144  # bytes; a large issue of Jira has some ten thousand


def is_post(call: Call) -> None:
    """405 for any other method (RFC 9110 section 15.5.6)."""
    if call.method != "POST":
        raise Problem(
            405,
            "method",
            "The method is not for this address",
            "Deliveries are POSTs.",
            headers={"Allow": "POST"},
        )


def fits(call: Call) -> None:
    """413 for a body that is too large to be a delivery."""
    if len(call.body) > LARGEST_BODY:
        raise Problem(
            413, "too-large", "The body is too large", f"At most {LARGEST_BODY} bytes are taken."
        )


def claims_signature(call: Call) -> bytes:
    """401 for a delivery that bears no signature, or none that could be one; give its digest."""
    return signature.claimed(call.headers) or refuse_unsigned()


def is_signed(call: Call, digest: bytes, keys: Iterable[bytes]) -> None:
    """401 for a delivery that none of the keys has signed; nobody has keys where the source is not known."""
    if not signature.is_by(call.body, digest, keys):
        refuse_unsigned()


def refuse_unsigned() -> NoReturn:
    """Say the same whatever is wrong: who is known here is nobody's business (RFC 9110 section 15.5.2)."""
    raise Problem(
        401,
        "unsigned",
        "The delivery is not signed by a source that is known",
        "Sign the raw body by HMAC-SHA256 with the source's secret, as X-Hub-Signature: sha256=<digest>.",
        headers={"WWW-Authenticate": "X-Hub-Signature"},
    )


def is_json(call: Call) -> dict[str, Any]:
    """415 for another media type, or one that is packed; 400 for what is no strict JSON object; give it."""
    if call.header("content-encoding").lower() not in {"", "identity"}:
        raise Problem(
            415,
            "media-type",
            "The body's media type is not taken",
            "Send JSON as it is, not packed.",
        )
    return json_object(call.body, call.header("content-type"), LARGEST_BODY)


def is_current(source: Source, data: Mapping[str, Any], now: datetime) -> datetime | None:
    """401 for what was signed long ago, or nobody knows when; give the moment, None where none is due."""
    if source.moment is None:
        return None
    try:
        moment = signed_at(source.moment.of(data))
    except ExpressionError:
        moment = None
    if moment is None or not is_fresh(moment, now):
        told = (
            "It does not say when it was sent, in a form that is known."
            if moment is None
            else f"It was sent more than {OLDEST.seconds // 60} minutes ago, or is"
            f" {FARTHEST_AHEAD.seconds // 60} minutes and more ahead."
        )
        raise Problem(
            401,
            "stale",
            "The delivery is not fresh",
            told,
            headers={"WWW-Authenticate": "X-Hub-Signature"},
        )
    return moment


def reason_to_ignore(source: Source, data: Mapping[str, Any]) -> str:
    """Say why nothing is to be done about a delivery; nothing where its condition is true."""
    if source.when is None:
        return ""
    try:
        return "" if source.when.of(data) is True else "The source's condition is not true."
    except ExpressionError as error:
        return f"The source's condition cannot be evaluated here ({error})."


def can_be_carried_out(source: Source, data: Mapping[str, Any]) -> Wanted:
    """422 with every problem for a ticket that asks for nothing that a run can do; give what it asks for."""
    try:
        event = event_of(source, data)
        request = Request.parse(event)
    except InvalidRequestError as error:
        problems = list(error.problems) or [str(error)]
        raise Problem(
            422,
            "invalid",
            "The request cannot be carried out",
            f"{'; '.join(problems)}.",
            {"problems": problems},
        ) from error
    return Wanted(request, {**event, "domain": request.domain})


def is_in_domains(source: Source, request: Request) -> None:
    """403 for a domain that is not in the source's list."""
    if not source.may_touch(request.domain):
        raise Problem(
            403,
            "domain-not-allowed",
            "The source may not ask for this domain",
            f"{request.domain} is not in its list; nothing was started.",
        )


def is_in_methods(source: Source, request: Request) -> None:
    """403 for a method that is not in the source's list, at once or later; dry runs change nothing."""
    wanted = [request.method, *(["restore"] if request.restore_at else [])]
    missing = [method for method in wanted if method not in source.methods]
    if missing and not request.dry_run:
        later = " (restore_at has it done later)" if missing[0] != request.method else ""
        raise Problem(
            403,
            "method-not-allowed",
            "The source may not ask for this method",
            f"{missing[0]} is not in its list{later}, except as a dry run; nothing was started.",
        )


def is_free(holder: str, domain: str) -> None:
    """409 while another run holds the domain; ``holder`` is its name, empty where none does."""
    if holder:
        raise Problem(
            409,
            "busy",
            "Another run holds the domain",
            f"The run {holder} is at work on {domain}; nothing was started.",
            {"run": holder},
        )
