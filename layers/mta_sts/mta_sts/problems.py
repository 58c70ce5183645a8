"""Errors over HTTP: problem details (RFC 9457), which say what is wrong and nothing of the inside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEDIA_TYPE = "application/problem+json"
# Answers are of one moment and for one caller: nobody in between keeps them.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(eq=False)  # not frozen: what is raised is given a traceback
class Problem(Exception):  # noqa: N818 - what RFC 9457 calls it
    """A refusal: ``kind`` ends its URN, ``more`` are its extension members, ``headers`` go with it."""

    status: int
    kind: str
    title: str
    detail: str
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Give the members (RFC 9457 section 3.1)."""
        return {
            "type": f"urn:mta-sts-off:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }


def answer(problem: Problem) -> dict[str, Any]:
    """Give API Gateway's form of a problem."""
    return reply(problem.status, problem.body(), {"Content-Type": MEDIA_TYPE, **problem.headers})


def reply(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Give API Gateway's form of an answer."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", **HEADERS, **headers},
        "body": json.dumps(dict(body), ensure_ascii=False),
        "isBase64Encoded": False,
    }
