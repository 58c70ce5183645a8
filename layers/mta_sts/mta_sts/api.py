"""The API's answers: who may ask what, what a request must be, and what is said in return.

The gateway lets nobody through who may not call (IAM, or a Cognito token). What is left to be decided here
is by what the request would do: a look or a plan, or a change.
"""

import re
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import unquote, urlencode

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from mta_sts import views, wiring
from mta_sts.adapters.executions import Execution
from mta_sts.adapters.register import PHASES
from mta_sts.domains import DomainNameError, normalise
from mta_sts.errors import InvalidRequestError, TransientError
from mta_sts.incoming import json_object
from mta_sts.intake import Ask, KeyReusedError, Taken, digest
from mta_sts.problems import Problem, reply
from mta_sts.request import Request
from mta_sts.settings import api_authorisation
from mta_sts.transient import is_busy
from mta_sts.visits import last_checks, steps

LARGEST_BODY = 16_384  # bytes; a request is a few hundred
LONGEST_WAIT = 20  # seconds; API Gateway gives up after 29
SCOPES = {"check": "mta-sts-off/check", "change": "mta-sts-off/change"}
ROUTES = {
    "/domains": ("GET",),
    "/domains/{domain}": ("GET",),
    "/domains/{domain}/runs": ("GET", "POST"),
    "/domains/{domain}/runs/{run}": ("GET",),
}
_RUN = re.compile(r"[0-9A-Za-z_-]{1,80}")
_KEY = re.compile(r"[!-~]{1,255}")
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,4})(?:$|[,;\s])")
# The schedule's own; and a listing of every domain is no run of one.
_NOT_BY_API = {
    "due": "due is what the schedule adds to its own runs: leave it out",
    "discover": "discover looks for every domain, and is for executions that are started otherwise",
}
_PAGE, _LARGEST_PAGE = 50, 100
_PAUSE = 0.25  # seconds between two looks at an execution


@dataclass(frozen=True)
class Call:
    """A request as API Gateway hands it on; names of headers are in lower case."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    caller: str = ""
    scopes: frozenset[str] | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read an event of a REST API (payload 1.0)."""
        context = event.get("requestContext") or {}
        claims = (context.get("authorizer") or {}).get("claims")
        body = event.get("body") or ""
        raw = b64decode(body) if event.get("isBase64Encoded") else _bytes(body)
        identity = context.get("identity") or {}
        return cls(
            path=str(context.get("path") or event.get("path") or ""),
            headers={
                name.lower(): str(value) for name, value in (event.get("headers") or {}).items()
            },
            query=event.get("queryStringParameters") or {},
            body=raw,
            caller=str((claims or {}).get("client_id") or identity.get("userArn") or ""),
            scopes=frozenset(str(claims.get("scope", "")).split()) if claims else None,
        )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def start_run(call: Call, domain: str) -> dict[str, Any]:
    """POST /domains/{domain}/runs."""
    name, now = _domain(domain), datetime.now(UTC)
    body = json_object(call.body, call.headers.get("content-type", ""), LARGEST_BODY)
    request = _request(name, body)
    changes = request.method != "check" and not request.dry_run
    _allow(call, "change" if changes else "check")
    event = {**body, "domain": name}
    event.setdefault("requested_by", call.caller[:256])
    if not event["requested_by"]:
        del event["requested_by"]
    # Who asks again may bear another session's name.
    ask = Ask("api", name, event, _keys(call), digest({**body, "domain": name}))
    taken = _take(ask, changes=changes, now=now)
    href = f"{call.path.rstrip('/')}/{taken.run}"
    seconds = _wait(call, request)
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
    _allow(call, "check")
    name = _domain(domain)
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
    _allow(call, "check")
    name = _domain(domain)
    runs = wiring.register().runs(name, _limit(_known(call, "limit")))
    return reply(200, {"domain": name, "runs": [views.short(run) for run in runs]}, {})


def show_domain(call: Call, domain: str) -> dict[str, Any]:
    """GET /domains/{domain}."""
    _allow(call, "check")
    name, now = _domain(domain), datetime.now(UTC)
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
    _allow(call, "check")
    query, now = _known(call, "phase", "limit", "after"), datetime.now(UTC)
    phase = query.get("phase", "")
    if phase and phase not in PHASES:
        raise _invalid([f"phase must be one of {', '.join(PHASES)}, or left out"])
    limit, after = _limit(query), query.get("after", "")
    page = wiring.register().domains(
        phase, limit=limit, after=_domain(after) if after else "", now=now
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


def no_route(method: str, path: str) -> Problem:
    """Say that there is nothing at a path, or that its methods are others (RFC 9110 section 15.5.6)."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    for route, methods in ROUTES.items():
        wanted = route.strip("/").split("/")
        if len(parts) == len(wanted) and all(
            one.startswith("{") or one == given for one, given in zip(wanted, parts, strict=True)
        ):
            if method in methods:
                break  # the domain or run was none that a route takes
            return Problem(
                405,
                "method",
                "The method is not for this address",
                f"{route} knows {' and '.join(methods)}.",
                headers={"Allow": ", ".join(methods)},
            )
    return Problem(404, "not-found", "There is nothing at this address", "See the description.")


def unforeseen(error: Exception) -> Problem:
    """Say that a request may be sent again later, or that it was our fault."""
    busy = isinstance(error, ClientError) and is_busy(error)
    if busy or isinstance(error, TransientError | NoConnectionError | HTTPClientError):
        return Problem(
            503,
            "busy-service",
            "AWS was busy",
            "Nothing was lost: send the same request again, with the same Idempotency-Key.",
            headers={"Retry-After": "5"},
        )
    return Problem(
        500,
        "internal",
        "The request failed here",
        "It is in the log. With the same Idempotency-Key it may be sent again.",
    )


def _domain(text: str) -> str:
    """Read the domain of a path; only one way of writing it is taken.

    IAM policies name paths: another spelling of a domain must not lead around them.
    """
    given = unquote(text)
    try:
        name = normalise(given)
    except DomainNameError as error:
        raise _invalid([f"domain {given[:80]!a}: {error}"]) from error
    if name != text:
        raise _invalid([f"write the domain as {name} in the address"])
    return name


def _request(domain: str, body: Mapping[str, Any]) -> Request:
    problems = [text for name, text in _NOT_BY_API.items() if name in body]
    if "domain" in body:
        problems += _same_domain(domain, body["domain"])
    rest = {name: value for name, value in body.items() if name not in _NOT_BY_API}
    try:
        request = Request.parse({**rest, "domain": domain})
    except InvalidRequestError as error:
        raise _invalid([*problems, *error.problems]) from error
    if problems:
        raise _invalid(problems)
    return request


def _same_domain(domain: str, named: object) -> list[str]:
    try:
        same = isinstance(named, str) and normalise(named) == domain
    except DomainNameError:
        same = False
    return [] if same else ["domain is another than that of the address: leave it out"]


def _invalid(problems: list[str]) -> Problem:
    return Problem(
        422,
        "invalid",
        "The request cannot be carried out",
        "; ".join(problems) + ".",
        {"problems": problems},
    )


def _no_run() -> Problem:
    return Problem(
        404,
        "no-run",
        "This domain has no such run",
        "Step Functions remembers a run for 90 days; the ledger has those that claimed a domain, and looks.",
    )


def _allow(call: Call, scope: str) -> None:
    """Make sure that the gateway has let somebody through, who may do this."""
    if api_authorisation() == "OAUTH":
        # Whoever may change may look.
        wanted = {SCOPES[scope], SCOPES["change"]}
        if call.scopes is None or not wanted & call.scopes:
            raise Problem(
                403,
                "scope",
                "The token's scopes do not cover this",
                f"The scope {SCOPES[scope]} is needed.",
            )
    elif not call.caller:
        raise Problem(403, "unsigned", "The request is not signed", "Sign it (SigV4).")


def _keys(call: Call) -> tuple[str, ...]:
    given = call.headers.get("idempotency-key")
    if given is None:
        return ()
    key = given.strip().strip('"')  # a structured string has quotes
    if not _KEY.fullmatch(key):
        raise _invalid(["Idempotency-Key must be 1 to 255 visible ASCII characters"])
    return (f"api:{key}",)


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


def _wait(call: Call, request: Request) -> float:
    """Say for how long to wait for the end of a run (RFC 7240): of itself only for a plan."""
    prefer = call.headers.get("prefer", "").lower()
    if "respond-async" in prefer:
        return 0
    asked = _PREFER_WAIT.search(prefer)
    if asked:
        return min(int(asked[1]), LONGEST_WAIT)
    return LONGEST_WAIT if request.dry_run else 0


def _until_ended(
    run: str, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Execution | None:
    executions, deadline = wiring.look_at_executions(), time.monotonic() + seconds
    while (found := executions.find(run)) is None or found.status == "RUNNING":
        if time.monotonic() > deadline:
            break
        sleep(_PAUSE)
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


def _known(call: Call, *names: str) -> Mapping[str, str]:
    """Refuse parameters that would have to be ignored."""
    unknown = [name for name in call.query if name not in names]
    if unknown:
        raise _invalid(
            [f"unknown parameter {name[:40]!a} (known: {', '.join(names)})" for name in unknown]
        )
    return call.query


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(_PAGE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _LARGEST_PAGE):
        raise _invalid([f"limit must be 1 to {_LARGEST_PAGE}"])
    return int(text)
