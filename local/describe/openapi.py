"""The API's description (OpenAPI 3.1), made from the function's own routes."""

import importlib.util
import json
import os
import sys
from typing import Any

from local.describe import answers, inputs
from local.environments import ROOT
from mta_sts.adapters.register import PHASES
from mta_sts.calls import LONGEST_WAIT, SCOPES

_SEEN = {
    "listDomains": "Domains", "showDomain": "Domain", "listRuns": "Runs", "showRun": "Run",
}  # fmt: skip
_PROBLEMS = {
    400: "The body is not JSON, or odd: a name twice, too deep, half a character.",
    401: "The token is missing, or is none.",
    403: "Not signed, not allowed by IAM, or the token's scopes do not cover it.",
    404: "Nothing is on record under this name, or there is no such address.",
    405: "Not a method of this address.",
    409: "Another run holds the domain; the Idempotency-Key stands for another request; or what was waited"
    " for was refused.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The request cannot be carried out: every problem is listed.",
    429: "Too many requests in a second.",
    500: "It failed here, and is in the log.",
    503: "AWS was busy: send it again, with the same Idempotency-Key.",
}
_FOR_ALL = (401, 403, 404, 405, 422, 429, 500, 503)
_MORE = {"startRun": (400, 409, 413, 415)}
_DOMAIN = {
    "type": "string",
    "minLength": 3,
    "maxLength": 244,
    "pattern": r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$",
    "description": "The policy domain in lower-case A-labels, without a final dot.",
    "examples": ["solarmora.com"],
}
_RUN = {
    "type": "string",
    "pattern": "^[0-9A-Za-z_-]{1,80}$",
    "description": "The execution's name.",
}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}
_QUERY: dict[str, dict[str, Any]] = {
    "listDomains": {
        "phase": {"type": "string", "enum": list(PHASES)},
        "limit": _LIMIT,
        "after": {
            **_DOMAIN,
            "description": "Where the page begins; `next` of the page before has it.",
        },
    },
    "listRuns": {"limit": _LIMIT},
}
_HEADERS = {
    "Idempotency-Key": {
        "type": "string",
        "pattern": "^[!-~]{1,255}$",
        "description": "The same key and body are the same run, also long after it has ended.",
    },
    "Prefer": {
        "type": "string",
        "pattern": "^(respond-async|wait=[0-9]{1,3})$",
        "description": "RFC 7240: wait=N waits so many seconds for the end of the run, respond-async does"
        f" not; of itself a dry run is waited for, {LONGEST_WAIT} seconds at most.",
    },
}


def description() -> dict[str, Any]:
    """Give the description."""
    made = json.loads(
        _app().get_openapi_json_schema(
            title="mta-sts-off",
            version="1",
            description="Turns MTA-STS (RFC 8461) off for mail domains, safely, provably and reversibly.",
        )
    )
    paths = {path: _path(made["paths"][path]) for path in sorted(made["paths"])}
    return {
        "openapi": made["openapi"],
        "info": made["info"],
        "servers": [
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/v1",
                "description": "The stack's output ApiUrl.",
                "variables": {"api": {"default": "api"}, "region": {"default": "us-east-1"}},
            }
        ],
        "security": [{"sigv4": []}, {"oauth": list(SCOPES.values())}],
        "paths": {**paths, **_hooks()},
        "components": {
            "schemas": {
                "Input": _body(),
                **{name: one for name, one in answers.SCHEMAS.items() if name != "Refused"},
            },
            "securitySchemes": _schemes(),
        },
    }


def _app() -> Any:
    """Load the function's module by its file: every handler is called app.py."""
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "mta-sts-off")
    name = "mta_sts_off_api"
    spec = importlib.util.spec_from_file_location(name, ROOT / "functions/api/app.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("functions/api/app.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    spec.loader.exec_module(module)
    return module.app


def _path(item: dict[str, Any]) -> dict[str, Any]:
    return {method: _operation(one) for method, one in sorted(item.items())}


def _operation(made: dict[str, Any]) -> dict[str, Any]:
    name: str = made["operationId"]
    shapes = {"domain": _DOMAIN, "run": _RUN}
    parameters = [
        {"name": one["name"], "in": "path", "required": True, "schema": shapes[one["name"]]}
        for one in made.get("parameters", [])
    ]
    parameters += [_parameter(key, "query", shape) for key, shape in _QUERY.get(name, {}).items()]
    starts = name == "startRun"
    if starts:
        parameters += [_parameter(key, "header", shape) for key, shape in _HEADERS.items()]
    body = {"required": True, "content": {"application/json": {"schema": _ref("Input")}}}
    return {
        "operationId": name,
        "summary": made["summary"],
        "description": made["description"],
        "parameters": parameters,
        **({"requestBody": body} if starts else {}),
        "responses": {
            **(_started() if starts else {"200": _answer("It is shown.", _SEEN[name])}),
            **{str(each): _problem(each) for each in sorted({*_FOR_ALL, *_MORE.get(name, ())})},
        },
    }


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": schema}


def _started() -> dict[str, Any]:
    location = {
        "Location": {"schema": {"type": "string"}, "description": "Where the run is shown."}
    }
    return {
        "200": {
            **_answer("The run was waited for, and has succeeded.", "FinishedRun"),
            "headers": location,
        },
        "202": {**_answer("The run is started, or was before.", "StartedRun"), "headers": location},
    }


def _answer(words: str, name: str) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": _ref(name)}}}


def _problem(status: int) -> dict[str, Any]:
    content: dict[str, Any] = {"application/problem+json": {"schema": _ref("Problem")}}
    if status in (401, 403, 429):
        content["application/json"] = {"schema": {"type": "object", "required": ["message"]}}
    return {"description": _PROBLEMS[status], "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _body() -> dict[str, Any]:
    """Give the schema of a run's request: an execution's input, without what is not for the API."""
    left_out = ("due", "discover")
    fields = {name: one for name, one in inputs.properties().items() if name not in left_out}
    fields["domain"] = {**fields["domain"], "description": "May be left out: the address names it."}
    return {
        "type": "object",
        "required": ["method"],
        "additionalProperties": False,
        "properties": fields,
    }


def _schemes() -> dict[str, Any]:
    return {
        "sigv4": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "Each request is signed (AWS Signature Version 4, service execute-api).",
            "x-amazon-apigateway-authtype": "awsSigv4",
        },
        "oauth": {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {
                    "tokenUrl": "https://{prefix}.auth.{region}.amazoncognito.com/oauth2/token",
                    "scopes": {
                        SCOPES["check"]: "Look, plan, and read what is on record.",
                        SCOPES["change"]: "Turn MTA-STS off and on.",
                    },
                }
            },
        },
    }


def _hooks() -> dict[str, Any]:
    """Describe the door for systems that sign: another function's, and there only where sources are set."""
    started = _answer("The run is started, or was before; or nothing was to be started.", "Hooked")
    del started["content"]
    statuses = (400, 405, 409, 413, 415, 422, 429, 500, 503)
    words = {
        401: "Not signed by this source, or stale.",
        403: "Not what this source may ask for.",
    }
    return {
        "/hooks/{source}": {
            "post": {
                "operationId": "takeHook",
                "summary": "Take a webhook",
                "description": "For systems that sign the body (HMAC-SHA256): docs/ticketing.md.",
                "security": [],
                "parameters": [
                    {
                        "name": "source",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
                    },
                    {
                        "name": "X-Hub-Signature",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string", "pattern": "^sha256=[0-9a-f]{64}$"},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "responses": {
                    "200": {**started, "description": "Nothing was to be started."},
                    "202": started,
                    **{
                        str(each): {
                            **_problem(each if each in _PROBLEMS else 400),
                            "description": words.get(each, _PROBLEMS.get(each, "")),
                        }
                        for each in sorted({*statuses, *words})
                    },
                },
            }
        }
    }
