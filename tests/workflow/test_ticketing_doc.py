"""Commands, requests and scripts of docs/ticketing.md, taken out of the page and run in the lab."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.api import Answer, Api
from local.environments import ROOT
from local.lab import HOOK_SOURCES, Lab
from mta_sts.hooks.sources import parse
from tests.workflow.commands import Shell, blocks
from tests.workflow.hooks import Hooks, shipped
from tests.workflow.life import run as run_named

PAGE = (ROOT / "docs/ticketing.md").read_text().partition("\n## The way back")[0]
# What ServiceNow has in the place of a browser's or Node's own, as far as the script asks for it.
SERVICENOW = """
const crypto = require('crypto'), given = JSON.parse(process.env.GIVEN);
const gs = {getProperty: (name) => given[name], error: (text) => { throw new Error(text); }};
const sn_cc = {StandardCredentialsProvider: function () {
  this.getCredentialByID = (id) => ({getAttribute: (name) => given[id][name]});
}};
const GlideStringUtil = {base64Encode: (text) => Buffer.from(text).toString('base64')};
function GlideCertificateEncryption() {
  this.generateMac = (key, algorithm, data) => {
    if (algorithm !== 'HmacSHA256') throw new Error(algorithm);
    return crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(data).digest('base64');
  };
}
function GlideDateTime() { this.getNumericValue = () => Date.now(); }
const sn_ws = {RESTMessageV2: function () {
  const sent = {headers: {}};
  this.setHttpMethod = (method) => { sent.method = method; };
  this.setEndpoint = (address) => { sent.address = address; };
  this.setRequestHeader = (name, value) => { sent.headers[name] = value; };
  this.setRequestBody = (body) => { sent.body = body; };
  this.execute = () => {
    console.log(JSON.stringify(sent));
    return {getStatusCode: () => 202, getBody: () => ''};
  };
}};
const current = given.current;
current.requested_by = {getDisplayValue: () => given.current.opened_by};
"""


def shown(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def started(lab: Lab, answer: Any) -> Any:
    """The input of the run that a delivery has started."""
    described = lab.client("stepfunctions").describe_execution(
        executionArn=run_named(lab, answer["run"]).arn
    )
    return json.loads(described["input"])


def test_the_commands_do_what_the_page_shows(lab: Lab, tmp_path: Path) -> None:
    shell = Shell(lab, tmp_path)
    found = blocks(PAGE)
    assert len(found) == 5
    for block in found:
        shell.follow(block)
    kept = lab.client("ssm").get_parameter(Name=HOOK_SOURCES)["Parameter"]["Value"]
    assert set(parse(kept)) == {"jira", "servicenow", "script"}
    versions = lab.client("secretsmanager").list_secret_version_ids(SecretId="mta-sts-off/tickets")
    stages = [stage for each in versions["Versions"] for stage in each["VersionStages"]]
    assert stages == ["AWSCURRENT"], "the key before is ended"


def test_what_jira_sends_is_taken(lab: Lab) -> None:
    [request] = shown("http")
    head, _, body = request.partition("\n\n")
    first, *headers = head.splitlines()
    assert (first, headers) == ("POST /hooks/jira", ["X-Hub-Signature: sha256=SIGNATURE"])
    assert body.strip() == "@events/hooks/jira-issue-planning.json"
    answer = Hooks(lab).send("jira", shipped("jira-issue-planning"))
    assert started(lab, answer.json)["dry_run"] is True


def test_the_script_starts_a_look(lab: Lab) -> None:
    [script] = shown("python")
    hooks = Hooks(lab)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"API": Api(lab).url, "KEY": hooks.key("script").decode()},
        capture_output=True,
        text=True,
        check=True,
    )
    asked = started(lab, json.loads(done.stdout))
    assert asked == {
        "domain": "plain-hook.example", "method": "check", "ticket": "4711",
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("node") is None, reason="the script is JavaScript")
def test_the_business_rule_signs_what_it_sends(lab: Lab) -> None:
    [script] = shown("javascript")
    hooks = Hooks(lab)
    fields = {
        "number": "CHG0030192",
        "sys_id": "1c741bd70b2322007518478d83673af3",
        "short_description": "Umzug von Bücher „Ü“ 🚚 \\ \u2028",
        "opened_by": "Zoë Ångström",
        "u_mail_domain": "servicenow-hook.example",
        "u_mta_sts_method": "none-policy",
        "u_mta_sts_dry_run": "true",
        "u_mta_sts_plan": "",
        "u_new_mx": "mx1.newprovider.example, mx2.newprovider.example",
    }
    given = {
        "mta_sts_off.credential": "c",
        "mta_sts_off.api": "API",
        "c": {"password": hooks.key("servicenow").decode()},
        "current": fields,
    }
    done = subprocess.run(
        ["node", "-e", SERVICENOW + script],  # noqa: S607 - the machine's own
        env={"GIVEN": json.dumps(given), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    sent = json.loads(done.stdout)
    assert (sent["method"], sent["address"]) == ("post", "API/hooks/servicenow")
    headers = {name.replace("-", "_"): value for name, value in sent["headers"].items()}
    answer: Answer = hooks.send_unsigned("servicenow", sent["body"].encode("ascii"), **headers)
    assert answer.status == 202, answer.body
    asked = started(lab, answer.json)
    assert asked["reason"] == "Umzug von Bücher „Ü“ 🚚 \\ \u2028".strip()
    assert (asked["requested_by"], asked["dry_run"]) == ("Zoë Ångström", True)
    assert asked["new_mx"] == ["mx1.newprovider.example", "mx2.newprovider.example"]
