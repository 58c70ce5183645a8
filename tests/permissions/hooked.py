"""Deliveries of systems that sign, so that all that is there for them is asked for."""

import json
from base64 import b64decode

from local.lab import Lab
from mta_sts.hooks.signature import sign
from tests.permissions.mishaps import SUCCEEDED, Expected
from tests.workflow.hooks import Hooks, plain, shipped
from tests.workflow.life import function
from tests.workflow.life import run as run_named
from tests.workflow.scene import add
from tests.workflow.watch import none_policy, wait_for_state

HELD, SEEN = "held.jira-hook.example", "seen.plain-hook.example"


def deliveries(lab: Lab) -> Expected:
    """One is taken, one refused because another run holds its domain, one because that is not its own.

    Each is signed by its own key.
    """
    hooks = Hooks(lab)
    add(lab, HELD, ttl=1, cdn_seconds=60)
    add(lab, SEEN, ttl=1)
    lab.hold_invalidations(HELD)
    holder = lab.start(none_policy(HELD))
    wait_for_state(holder, "Wait For CDN")
    issue = shipped("jira-issue-approved")
    issue["issue"]["fields"]["customfield_10042"] = HELD
    refused = hooks.send("jira", issue)
    assert refused.status == 409, refused.body
    lab.heal(HELD)
    elsewhere = {**shipped("servicenow-change"), "domain": "elsewhere.example"}
    assert hooks.send("servicenow", elsewhere).status == 403
    taken = hooks.send("script", plain(SEEN))
    assert taken.status == 202, taken.body
    return [(holder, SUCCEEDED), (run_named(lab, taken.json["run"]), SUCCEEDED)]


def taking(lab: Lab, _domain: str) -> str:
    """Have a delivery taken; return what the log says of it."""
    body = json.dumps(plain(SEEN)).encode()
    event = {
        "httpMethod": "POST",
        "path": "/hooks/script",
        "pathParameters": {"source": "script"},
        "headers": {
            "Content-Type": "application/json",
            "X-Hub-Signature": sign(body, Hooks(lab).key("script")),
        },
        "body": body.decode(),
    }
    answer = lab.client("lambda").invoke(
        FunctionName=function(lab, "TakeHook"), Payload=json.dumps(event), LogType="Tail"
    )
    assert json.loads(answer["Payload"].read())["statusCode"] == 500
    return b64decode(answer["LogResult"]).decode()
