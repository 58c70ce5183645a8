"""The ticket system answers as Jira and ServiceNow do: plain urllib3, no code of the product."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from local.world.ca import CertificateAuthority
from local.world.tickets import TicketSystem

RIGHT = "Basic b3BzQGV4YW1wbGUuY29tOnRva2Vu"
JIRA, SERVICENOW = "/rest/api/2/issue/{}/comment", "/api/now/table/change_request/{}"
SYS_ID = "46e18c0fa9fe19810066a0083f76bd56"


@pytest.fixture
def tickets(tmp_path: Path) -> Iterator[TicketSystem]:
    with TicketSystem("127.0.0.1", RIGHT, CertificateAuthority(tmp_path)) as running:
        running.add("OPS-1")
        running.add(SYS_ID)
        yield running


def send(
    tickets: TicketSystem, method: str, path: str, body: Any, **headers: str
) -> tuple[int, Any, Any]:
    given = {"Authorization": RIGHT, "Content-Type": "application/json", **headers}
    with urllib3.PoolManager(
        ca_certs=tickets.ca_file,
        retries=False,
        timeout=5,
    ) as pool:
        answer = pool.request(
            method,
            tickets.url + path,
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers=given,
        )
        return answer.status, answer.json(), answer.headers


def test_writes_a_comment_and_a_work_note(tickets: TicketSystem) -> None:
    status, said, _ = send(tickets, "POST", JIRA.format("OPS-1"), {"body": "one\n“two”"})
    assert (status, said["body"]) == (201, "one\n“two”")
    status, said, _ = send(tickets, "PATCH", SERVICENOW.format(SYS_ID), {"work_notes": "three"})
    assert (status, said["result"]["sys_id"]) == (200, SYS_ID)
    assert (tickets.written("OPS-1"), tickets.written(SYS_ID)) == (["one\n“two”"], ["three"])


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", JIRA.format("OPS-1"), {"body": "x"}, {"Authorization": "Basic wrong"}, 401),
        ("POST", JIRA.format("OPS-2"), {"body": "x"}, {"Authorization": "Basic wrong"}, 401),
        ("POST", JIRA.format("OPS-2"), {"body": "x"}, {}, 404),
        ("POST", JIRA.format("OPS-1"), {"text": "x"}, {}, 400),
        ("POST", JIRA.format("OPS-1"), {"body": " "}, {}, 400),
        ("POST", JIRA.format("OPS-1"), {"body": "x" * 32_768}, {}, 400),
        ("POST", JIRA.format("OPS-1"), b'{"body": "a\nb"}', {}, 400),  # a newline as it is
        ("POST", JIRA.format("OPS-1"), {"body": "x"}, {"Content-Type": "text/plain"}, 415),
        ("PUT", JIRA.format("OPS-1"), {"body": "x"}, {}, 405),
        ("POST", "/rest/api/2/issue", {"body": "x"}, {}, 404),
        ("POST", JIRA.format("../OPS-1"), {"body": "x"}, {}, 404),
        ("PATCH", SERVICENOW.format(SYS_ID), {"work_notes": "x"}, {"Authorization": ""}, 401),
        ("PATCH", SERVICENOW.format("0" * 32), {"work_notes": "x"}, {}, 404),
        ("PATCH", SERVICENOW.format(SYS_ID), {"body": "x"}, {}, 400),
    ],
)
def test_refuses_what_they_refuse(
    tickets: TicketSystem, method: str, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    assert send(tickets, method, path, body, **headers)[0] == status
    assert [each.status for each in tickets.requests()] == [status]
    assert tickets.written("OPS-1") == tickets.written(SYS_ID) == []


def test_faults_are_for_one_ticket_and_end(tickets: TicketSystem) -> None:
    tickets.fail("OPS-1", 429, times=1, retry_after="1")
    tickets.fail(SYS_ID, 503)
    status, _, headers = send(tickets, "POST", JIRA.format("OPS-1"), {"body": "x"})
    assert (status, headers["Retry-After"]) == (429, "1")
    assert send(tickets, "POST", JIRA.format("OPS-1"), {"body": "x"})[0] == 201
    for _ in range(2):
        assert send(tickets, "PATCH", SERVICENOW.format(SYS_ID), {"work_notes": "x"})[0] == 503
    tickets.heal(SYS_ID)
    assert send(tickets, "PATCH", SERVICENOW.format(SYS_ID), {"work_notes": "x"})[0] == 200


def test_a_client_that_looks_refuses_a_broken_certificate(tickets: TicketSystem) -> None:
    tickets.certificate_fault = "expired"
    with pytest.raises(urllib3.exceptions.SSLError):
        send(tickets, "POST", JIRA.format("OPS-1"), {"body": "x"})
    assert tickets.requests() == []
