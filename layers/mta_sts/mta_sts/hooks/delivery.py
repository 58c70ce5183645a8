"""A delivery as API Gateway hands it on, and what makes a second one of it recognisable."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from mta_sts.request import Request

_ROUTE = "/hooks/"


@dataclass(frozen=True)
class Wanted:
    """What a ticket asks for: the checked request, and the execution's input."""

    request: Request
    event: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        """Whether the run would hold the domain."""
        return self.request.method != "check" and not self.request.dry_run


@dataclass(frozen=True)
class Call:
    """A request; names of headers are in lower case, ``base`` is what comes before ``/hooks/``."""

    method: str
    source: str
    body: bytes = b""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base: str = ""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        """Read an event of a REST API (payload 1.0); the body is the bytes that were sent."""
        text = event.get("body") or ""
        given: dict[str, list[str]] = {}
        several = event.get("multiValueHeaders") or {
            name: [value] for name, value in (event.get("headers") or {}).items()
        }
        for name, values in several.items():
            given.setdefault(name.lower(), []).extend(str(value) for value in values or ())
        path = str((event.get("requestContext") or {}).get("path") or event.get("path") or "")
        return cls(
            method=str(event.get("httpMethod", "")),
            source=str((event.get("pathParameters") or {}).get("source", "")),
            body=b64decode(text) if event.get("isBase64Encoded") else _bytes(text),
            headers={name: tuple(values) for name, values in given.items()},
            base=path.rpartition(_ROUTE)[0],
        )

    def header(self, name: str) -> str:
        """Give a header's value, its lines joined as one (RFC 9110 section 5.3)."""
        return ", ".join(self.headers.get(name, ())).strip()

    def href(self, domain: str, run: str) -> str:
        """Give the address of a run in the API."""
        return f"{self.base}/domains/{quote(domain)}/runs/{quote(run)}"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Marks:
    """By what a second delivery is known: ``keys``, whichever of them it bears, and what it must be."""

    keys: tuple[str, ...]
    identity: str


def marks(call: Call, wanted: Wanted, moment: datetime | None) -> Marks:
    """Say by what a second delivery of the same is known.

    Only what is signed counts: the same bytes are the same run, and so is what was signed at the same moment
    and asks for the same, for a sender that tries again may write it anew. Without a moment the bytes alone
    count. A sender's own number of a delivery is not signed: whoever passes one on could choose it.
    """
    body = hashlib.sha256(call.body).hexdigest()
    said = [moment.isoformat() if moment else body, dict(wanted.event)]
    identity = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    keys = [f"hook:{call.source}:body:{body}"]
    if moment:
        keys.append(f"hook:{call.source}:said:{identity}")
    return Marks(tuple(keys), identity)
