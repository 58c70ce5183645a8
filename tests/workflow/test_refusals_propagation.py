"""PropagationTimeoutError: what is not seen everywhere in time fails, and a second run converges.

Each failure takes the whole deadline, so the runs of this file wait side by side.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from local.account import NAME_SERVERS
from local.lab import DEADLINE_SECONDS, Lab
from local.runs import Run
from tests.workflow.watch import (
    HALF,
    Snapshot,
    check_failure,
    none_policy,
    only_line,
    served,
    snapshot,
    txt_values,
    wait_for_state,
)

# One worker for all of them: what they share is made once.

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
NONE_POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
RECORD = "v=STSv1; id=20200425085700;"
LAGGING, SILENT = 1, 2  # name servers; neither is the first
SECOND = 1  # of the policy host's addresses
LATE = "host-fails-late"


@dataclass(frozen=True)
class Fault:
    """Something that keeps a run from its end: how it is made, and where the run waits for it."""

    make: Callable[[Lab, str], None]
    waits_in: str
    cdn_seconds: int = 0


# The late fault comes while the TTL is waited out; it takes longest, so it begins.
FAULTS: Mapping[str, Fault] = {
    LATE: Fault(lambda lab, domain: lab.policy_hosts.status(domain, 503), "Wait Out TTL"),
    "lagging-server": Fault(lambda lab, domain: lab.lag(domain, LAGGING), "Wait For Name Servers"),
    "server-down": Fault(
        lambda lab, domain: lab.server_down(domain, SILENT), "Wait For Name Servers"
    ),
    "stale-address": Fault(
        lambda lab, domain: lab.stale_address(domain, SECOND), "Wait For Policy"
    ),
    "held-invalidation": Fault(
        lambda lab, domain: lab.hold_invalidations(domain), "Wait For CDN", cdn_seconds=3600
    ),
}


@dataclass(frozen=True)
class Case:
    """A domain with a fault, as it was before the run, and the run."""

    before: Snapshot
    run: Run

    @property
    def domain(self) -> str:
        return self.before.domain


@pytest.fixture(scope="module")
def timed_out(lab: Lab) -> Mapping[str, Case]:
    """Every fault's run, ended."""
    cases = {}
    for name, fault in FAULTS.items():
        domain = f"{name}.timeout.example"
        ttl = 5 if name == LATE else 2
        lab.add_domain(
            domain, policies=[POLICY], record=[RECORD], ttl=ttl, cdn_seconds=fault.cdn_seconds
        )
        before = snapshot(lab, domain)
        if name != LATE:
            fault.make(lab, domain)
        cases[name] = Case(before, lab.start(none_policy(domain)))
        # One after the other, so that functions already started are at hand for the next run. One
        # that never comes there is for its own tests to tell.
        with contextlib.suppress(AssertionError):
            wait_for_state(cases[name].run, fault.waits_in)
        if name == LATE:
            fault.make(lab, domain)
    for case in cases.values():
        case.run.wait(DEADLINE_SECONDS + 60)
    return cases


@pytest.fixture(scope="module")
def repeated(lab: Lab, timed_out: Mapping[str, Case]) -> Mapping[str, Case]:
    """Every fault's second run, after the fault was mended, ended."""
    cases = {}
    for name, case in timed_out.items():
        lab.heal(case.domain)
        cases[name] = Case(snapshot(lab, case.domain), lab.start(none_policy(case.domain)))
        with contextlib.suppress(AssertionError):
            wait_for_state(cases[name].run, "Wait Out TTL")
    for case in cases.values():
        case.run.wait()
    return cases


def checks(run: Run, state: str) -> list[dict[str, Any]]:
    """Return every result of a checking state, oldest first."""
    left = [event.get("stateExitedEventDetails", {}) for event in run.history]
    results = [json.loads(each["output"]) for each in left if each.get("name") == state]
    return [result for result in results if "ready" in result]  # the last one is an error's


def servers_known(check: Mapping[str, Any]) -> bool:
    """Whether a look learned the name servers; resolvers, too, ask the silent one at times."""
    first = check["laggards"][0]["found"] if check["laggards"] else ""
    return "no resolver could tell the name servers" not in first


def new_record(lab: Lab, domain: str) -> str:
    """Return the record as it is now, which is not the old one."""
    (value,) = txt_values(lab, domain)
    assert value != f'"{RECORD}"'
    return value.strip('"')


def test_a_lagging_name_server(lab: Lab, timed_out: Mapping[str, Case]) -> None:
    case = timed_out["lagging-server"]
    told = (
        "in “Check Name Servers”",
        f"_mta-sts.{case.domain} is not the new record everywhere",
        "Look at these servers",
    )
    text = check_failure(
        case.run,
        "PropagationTimeoutError",
        case.before,
        *told,
        state=HALF,
        changed="policy and record",
    )
    address, _ = lab.name_servers[LAGGING]
    line = only_line(text, f"({address})")
    assert line.startswith(f"- {NAME_SERVERS[LAGGING]} ({address}): ")
    assert f'found "{RECORD}" (TTL 2 s)' in line
    assert f'expected "{new_record(lab, case.domain)}"' in line
    for index, (other, _) in enumerate(lab.name_servers):
        assert index == LAGGING or f"({other})" not in text


def test_a_name_server_that_is_down_never_agrees(lab: Lab, timed_out: Mapping[str, Case]) -> None:
    case = timed_out["server-down"]
    text = check_failure(
        case.run,
        "PropagationTimeoutError",
        case.before,
        "in “Check Name Servers”",
        state=HALF,
        changed="policy and record",
    )
    address, _ = lab.name_servers[SILENT]
    line = only_line(text, f"({address})")
    assert line.startswith(f"- {NAME_SERVERS[SILENT]} ({address}): ")
    assert "unreachable: timed out" in line
    assert f'expected "{new_record(lab, case.domain)}"' in line
    seen = checks(case.run, "Check Name Servers")
    agreeing = [{each["server"] for each in check["agreeing"]} for check in seen]
    for check, agreed in zip(seen, agreeing, strict=True):
        assert not check["ready"]
        assert NAME_SERVERS[SILENT] not in agreed
    # The others do, once they have the change, unless no resolver can tell who they are.
    told = [agreed for check, agreed in zip(seen, agreeing, strict=True) if servers_known(check)]
    assert told[-1] >= set(NAME_SERVERS) - {NAME_SERVERS[SILENT]}, seen


def test_a_second_address_that_stays_stale(lab: Lab, timed_out: Mapping[str, Case]) -> None:
    case = timed_out["stale-address"]
    told = (
        "in “Check Served Policy”",
        f"https://mta-sts.{case.domain}/.well-known/mta-sts.txt is not the new policy everywhere",
        "this run did not change the id",
        "Look at these addresses",
    )
    text = check_failure(
        case.run, "PropagationTimeoutError", case.before, *told, state=HALF, changed="policy"
    )
    stale = lab.policy_hosts.addresses[SECOND]
    line = only_line(text, f"- {stale}: ")
    old, new = (hashlib.sha256(body).hexdigest() for body in (POLICY.encode(), NONE_POLICY))
    assert f"an earlier policy, the one before this run (sha256 {old[:12]}…)" in line
    assert f"expected the new policy (sha256 {new[:12]}…)" in line
    for address in lab.policy_hosts.addresses:
        assert address == stale or f"- {address}: " not in text
    assert "Change Id" not in case.run.states
    assert txt_values(lab, case.domain) == [f'"{RECORD}"']


def test_an_invalidation_that_stays_in_progress(lab: Lab, timed_out: Mapping[str, Case]) -> None:
    case = timed_out["held-invalidation"]
    distribution = lab.account.distribution_id(case.domain)
    listed = lab.client("cloudfront").list_invalidations(DistributionId=distribution)
    (invalidation,) = listed["InvalidationList"]["Items"]
    told = (
        "in “Purge CDN”",
        f"invalidation {invalidation['Id']} in distribution {distribution}: InProgress",
        "this run did not change the id",
        "so the record was left as it is",
        "Look at the distribution in CloudFront",
    )
    check_failure(
        case.run, "PropagationTimeoutError", case.before, *told, state=HALF, changed="policy"
    )
    assert "Check Served Policy" not in case.run.states
    assert txt_values(lab, case.domain) == [f'"{RECORD}"']


def test_a_host_that_changes_after_the_id(lab: Lab, timed_out: Mapping[str, Case]) -> None:
    case = timed_out[LATE]
    text = check_failure(
        case.run,
        "PropagationTimeoutError",
        case.before,
        f"https://mta-sts.{case.domain}/.well-known/mta-sts.txt is not the new policy everywhere",
        state=HALF,
        changed="policy and record",
    )
    for address in lab.policy_hosts.addresses:
        assert "status 503" in only_line(text, f"- {address}: ")
    for state in ("Wait Out TTL", "Confirm"):
        assert state in case.run.states
    assert "Record Outcome" not in case.run.states


@pytest.mark.parametrize("name", FAULTS)
def test_the_deadline_was_waited_for(timed_out: Mapping[str, Case], name: str) -> None:
    run = timed_out[name].run
    told = (run.cause or "").partition("Not there after ")[2].partition(" seconds")[0]
    assert DEADLINE_SECONDS <= int(told) < 2 * DEADLINE_SECONDS
    assert run.states.count(FAULTS[name].waits_in if name != LATE else "Wait To Confirm") > 1


@pytest.mark.parametrize("name", FAULTS)
def test_running_again_converges(
    lab: Lab, timed_out: Mapping[str, Case], repeated: Mapping[str, Case], name: str
) -> None:
    first, case = timed_out[name], repeated[name]
    assert case.run.status == "SUCCEEDED", case.run.cause
    assert case.run.output["text"].startswith(f"MTA-STS is off for {case.domain}")
    # The policy was written by the first run already; senders need a fresh id all the same.
    assert case.run.output["changed"] == case.before.changed() == "record"
    assert first.before.changed() == "policy and record"
    assert served(lab, case.domain) == NONE_POLICY
    assert new_record(lab, case.domain) == f"v=STSv1; id={case.run.output['id']['new']};"
    assert case.run.output["id"]["new"] != case.run.output["id"]["old"]
