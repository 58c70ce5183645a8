"""What the API takes: its first call in a fresh process, and an answer over HTTP beside one of nothing."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

from local.api import Api
from local.bench.starts import Deployed
from local.lab import Lab

RESOURCE = "Api"
REPETITIONS = 31


def event(domain: str) -> dict[str, Any]:
    """Give what API Gateway sends for GET /domains/{domain} (REST, payload 1.0)."""
    return {
        "resource": "/{proxy+}",
        "path": f"/domains/{domain}",
        "httpMethod": "GET",
        "headers": {"Accept": "application/json"},
        "queryStringParameters": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "path": f"/v1/domains/{domain}",
            "httpMethod": "GET",
            "resourcePath": "/{proxy+}",
            "identity": {"userArn": "arn:aws:iam::000000000000:user/bench"},
        },
    }


def sent(functions: Mapping[str, Deployed], domain: str) -> dict[str, Any]:
    """Give the API's event by its function's name in Lambda."""
    return {name: event(domain) for name, each in functions.items() if each.resource == RESOURCE}


def latencies(lab: Lab, domain: str) -> tuple[float, float]:
    """Return the seconds of GET /domains/{domain}, warm, and of a request that is refused unread.

    Medians of calls in turns, through the gateway and the function alike.
    """
    api, answered, refused = Api(lab), [], []
    for _ in range(REPETITIONS):
        answered.append(_seconds(api, f"/domains/{domain}", 200))
        refused.append(_seconds(api, "/nothing", 404))
    return statistics.median(answered), statistics.median(refused)


def _seconds(api: Api, path: str, status: int) -> float:
    began = time.perf_counter()
    answer = api.call("GET", path)
    took = time.perf_counter() - began
    if answer.status != status:
        raise ValueError(f"{path}: {answer.status} instead of {status}: {answer.body!r}")
    return took
