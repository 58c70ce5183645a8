"""The requests of docs/api.md, taken out of the page and sent in its order, do what the page says."""

import re
from typing import Any

from local.api import Answer, Api
from local.environments import ROOT
from local.lab import Lab
from tests.workflow.life import run as run_named
from tests.workflow.scene import add

PAGE = (ROOT / "docs/api.md").read_text()
DOMAIN = "page-of-the-api.example"  # in the place of the page's own, which other tests have


def requests() -> list[tuple[str, str, dict[str, str], bytes]]:
    """Each block of HTTP: method, address, headers, body."""
    found = []
    for block in re.findall(r"^```http\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        head, _, body = block.partition("\n\n")
        first, *lines = head.strip().splitlines()
        method, path = first.split()
        headers = dict(line.split(": ", 1) for line in lines)
        found.append((method, path, headers, body.strip().encode()))
    return found


def sent(api: Api, number: int, **put: str) -> Answer:
    """Send one of the page's requests, its placeholders filled in."""
    method, path, headers, body = requests()[number]
    for name, value in put.items():
        path, body = path.replace(name, value), body.replace(name.encode(), value.encode())
    path = path.replace("solarmora.com", DOMAIN)
    return api.call(method, path, body, headers)


def test_the_page_from_the_dry_run_to_the_list(lab: Lab) -> None:
    add(lab, DOMAIN, ttl=1)
    api = Api(lab)
    assert len(requests()) == 6
    planned = sent(api, 0)
    digest = planned.json["plan"]["digest"]
    assert planned.status == 200
    started = sent(api, 1, PLAN=digest)
    assert started.status == 202
    assert sent(api, 1, PLAN=digest).json["run"] == started.json["run"]
    run_named(lab, started.json["run"]).wait()
    watched = sent(api, 2, RUN=started.json["run"])
    assert (watched.json["status"], watched.json["ticket"]) == ("succeeded", "OPS-123")
    shown: dict[str, Any] = sent(api, 3).json
    assert shown["phase"] == "draining"
    assert set(shown["answers"]) >= {"off", "mx", "trouble", "hold"}
    checked = sent(api, 4)
    assert (checked.status, checked.json["outcome"]["state"]) == (200, "off")
    listed = sent(api, 5).json
    assert DOMAIN in [one["domain"] for one in listed["domains"]]
    assert "next" in listed
