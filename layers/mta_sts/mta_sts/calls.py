"""A call of the API: who it is from, what that one may, and how an address is written."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote

from mta_sts.domains import DomainNameError, normalise
from mta_sts.problems import Problem
from mta_sts.request import Request
from mta_sts.settings import api_authorisation

LONGEST_WAIT = 20  # seconds; API Gateway gives up after 29
SCOPES = {"check": "mta-sts-off/check", "change": "mta-sts-off/change"}
ROUTES = {
    "/domains": ("GET",),
    "/domains/{domain}": ("GET",),
    "/domains/{domain}/runs": ("GET", "POST"),
    "/domains/{domain}/runs/{run}": ("GET",),
}
_KEY = re.compile(r"[!-~]{1,255}")
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,4})(?:$|[,;\s])")
_PAGE, _LARGEST_PAGE = 50, 100


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


def is_plain(path: str) -> bool:
    """Tell whether an address is written in the one way that IAM policies name it by."""
    return not (path.endswith("/") or "//" in path)


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
    return nowhere()


def nowhere() -> Problem:
    return Problem(404, "not-found", "There is nothing at this address", "See the description.")


def allow(call: Call, scope: str) -> None:
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


def keys(call: Call) -> tuple[str, ...]:
    """Give the key of a request, none where it has none: a caller's own, so that no other can use it up."""
    given = call.headers.get("idempotency-key")
    if given is None:
        return ()
    key = given.strip().strip('"')  # a structured string has quotes
    if not _KEY.fullmatch(key):
        raise invalid(["Idempotency-Key must be 1 to 255 visible ASCII characters"])
    return (f"api:{_account(call.caller)}:{key}",)


def _account(caller: str) -> str:
    """Give whose keys these are: a role's sessions are one caller, who retries from another machine."""
    kind, _, rest = caller.partition(":assumed-role/")
    return f"{kind}:role/{rest.partition('/')[0]}" if rest else caller


def wait(call: Call, request: Request) -> float:
    """Say for how long to wait for the end of a run (RFC 7240): of itself only for a plan."""
    prefer = call.headers.get("prefer", "").lower()
    if "respond-async" in prefer:
        return 0
    asked = _PREFER_WAIT.search(prefer)
    if asked:
        return min(int(asked[1]), LONGEST_WAIT)
    return LONGEST_WAIT if request.dry_run else 0


def domain(text: str) -> str:
    """Read the domain of a path; only one way of writing it is taken.

    IAM policies name paths: another spelling of a domain must not lead around them.
    """
    given = unquote(text)
    try:
        name = normalise(given)
    except DomainNameError as error:
        raise invalid([f"domain {given[:80]!a}: {error}"]) from error
    if name != text:
        raise invalid([f"write the domain as {name} in the address"])
    return name


def known(call: Call, *names: str) -> Mapping[str, str]:
    """Refuse parameters that would have to be ignored."""
    unknown = [name for name in call.query if name not in names]
    if unknown:
        raise invalid(
            [f"unknown parameter {name[:40]!a} (known: {', '.join(names)})" for name in unknown]
        )
    return call.query


def limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(_PAGE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _LARGEST_PAGE):
        raise invalid([f"limit must be 1 to {_LARGEST_PAGE}"])
    return int(text)


def invalid(problems: list[str]) -> Problem:
    return Problem(
        422,
        "invalid",
        "The request cannot be carried out",
        "; ".join(problems) + ".",
        {"problems": problems},
    )
