"""A mail domain in the lab amid its senders and servers: what tests do to it, and see of it."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.message
import dns.query

from local.account import record_set
from local.lab import Lab
from local.runs import Run
from mta_sts.instants import instant
from tests.workflow.watch import PATIENCE

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
BY_HAND = POLICY.replace("mail.example.net", "mx.by-hand.example")
NONE_POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
RECORD = "v=STSv1; id=20200425085700;"
NEW_MX = "mx.newprovider.example"


def add(lab: Lab, domain: str, *neighbours: str, ttl: int = 2, cdn_seconds: int = 0) -> None:
    """Set up a domain whose policy is enforced, with other values beside its record."""
    record = [RECORD, *neighbours]
    lab.add_domain(domain, policies=[POLICY], record=record, ttl=ttl, cdn_seconds=cdn_seconds)


def until(run: Run, condition: Callable[[list[str]], bool]) -> None:
    """Return once the states entered so far satisfy a condition, or the run has ended."""
    deadline = time.monotonic() + PATIENCE
    while run.status == "RUNNING" and not condition(run.states):
        assert time.monotonic() < deadline, f"still running after {PATIENCE} s: {run.states}"
        time.sleep(0.05)


def reaches(run: Run, *names: str) -> str:
    """Return the first of these states that a run enters; its status where it ends before."""
    until(run, lambda states: any(name in states for name in names))
    return next((state for state in run.states if state in names), run.status)


def entered(run: Run, state: str) -> datetime:
    """Return when a state was entered for the first time."""
    moments: list[datetime] = [
        event["timestamp"]
        for event in run.history
        if event.get("stateEnteredEventDetails", {}).get("name") == state
    ]
    return moments[0]


def forget(lab: Lab, domain: str) -> None:
    """Let the resolvers forget the domain: whoever asks them now gets what the world says now."""
    lab.refresh()
    lab.resolvers_world.flush(domain)


def mail(lab: Lab, domain: str) -> str:
    """Send mail to the new provider, as a sender that follows RFC 8461 does; say what became of it."""
    return lab.senders[0].deliver(domain, NEW_MX).outcome


def end_of_old(server: tuple[str, int], domain: str) -> datetime | None:
    """Return how long whoever asks this server now may keep the old record; None: it has another."""
    asked_at = datetime.now(UTC)
    query = dns.message.make_query(f"_mta-sts.{domain}", "TXT")
    response = dns.query.udp(query, server[0], timeout=5, port=server[1])
    for rrset in response.answer:
        if RECORD in [b"".join(rdata.strings).decode() for rdata in rrset]:
            return asked_at + timedelta(seconds=rrset.ttl)
    return None


def write_record(lab: Lab, domain: str, *values: str, ttl: int = 2) -> None:
    """Write the record's set by hand, whatever was there."""
    name = f"_mta-sts.{domain}"
    new = record_set(name, "TXT", ttl, [f'"{value}"' for value in values])
    lab.account.put_records(lab.zone_id(domain), new, action="UPSERT")


def send_to(lab: Lab, domain: str, *addresses: str) -> None:
    """Give the policy host these addresses, in the order in which senders try them."""
    lab.hosts.set(f"mta-sts.{domain}", ipv4=list(addresses), ipv6=[], ttl=2)
    forget(lab, domain)


def start_beside_a_stale_resolver(lab: Lab, domain: str, event: dict[str, Any]) -> Run:
    """Start a run, and return when it has met a resolver that goes on with what its TTL has ended for.

    Some do (RFC 8767). That one is silent until the TTL has been waited out: a stale answer is said to
    live 30 seconds, which would be waited out as well. `serve_stale(1, 0, domain)` ends it.
    """
    record = f"_mta-sts.{domain}"
    lab.resolvers_world.serve_stale(1, 600, domain)
    lab.resolvers_world.down(1, record)
    run = lab.start(event)
    reaches(run, "Wait Out TTL")
    lab.resolvers_world.up(1, record)
    reached = reaches(run, "Wait To Confirm")
    stale = end_of_old(lab.resolvers[1], domain) is not None
    assert (reached, stale) == ("Wait To Confirm", True), f"{reached}, stale: {stale}"
    return run


def waits_until(run: Run) -> datetime:
    """Return what the last answer of the name servers has the run wait for."""
    return instant(_last_look(run)["record_gone_at"])


def to_be_waited(run: Run) -> timedelta:
    """Return how long that is from the answer itself."""
    return waits_until(run) - instant(_last_look(run)["checked_at"])


def _last_look(run: Run) -> dict[str, Any]:
    left = [event.get("stateExitedEventDetails", {}) for event in run.history]
    [*_, last] = [each for each in left if each.get("name") == "Check Name Servers"]
    look: dict[str, Any] = json.loads(last["output"])
    return look
