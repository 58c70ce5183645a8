"""Calls of the API that ask for all that its role may."""

import json
from base64 import b64decode

from local.api import Api
from local.lab import Lab
from tests.permissions.mishaps import SUCCEEDED, Expected
from tests.workflow.life import function
from tests.workflow.life import run as run_named
from tests.workflow.scene import add

CALLED = "called.example"


def requests(lab: Lab) -> Expected:
    """Start a run by the API, under a key; show it, its domain, and every domain."""
    add(lab, CALLED, ttl=1)
    api, path = Api(lab), f"/domains/{CALLED}/runs"
    wait = {"Idempotency-Key": "battery", "Prefer": "wait=20"}
    done = api.call("POST", path, {"method": "none-policy"}, wait)
    shown = [
        api.call("GET", address).status
        for address in (f"{path}/{done.json['run']}", f"/domains/{CALLED}", "/domains")
    ]
    assert (done.status, *shown) == (200, 200, 200, 200), done.body
    return [(run_named(lab, done.json["run"]), SUCCEEDED)]


def calling(lab: Lab, domain: str) -> str:
    """Ask for a run; return what the log says of it."""
    event = {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "path": f"/domains/{domain}/runs",
        "headers": {"Content-Type": "application/json"},
        "body": '{"method": "check"}',
        "requestContext": {"identity": {"userArn": "arn:aws:iam::000000000000:user/somebody"}},
    }
    answer = lab.client("lambda").invoke(
        FunctionName=function(lab, "Api"), Payload=json.dumps(event), LogType="Tail"
    )
    assert json.loads(answer["Payload"].read())["statusCode"] == 500
    return b64decode(answer["LogResult"]).decode()
