"""How a permission that is missing shows: each returns the text that people would get to read."""

import json
from datetime import UTC, datetime, timedelta

from local.lab import Lab
from tests.permissions import battery, mishaps
from tests.workflow import life
from tests.workflow.watch import none_policy


def disabling(lab: Lab, domain: str) -> str:
    """Turn MTA-STS off for a domain behind CloudFront: most functions have a part in it."""
    run = lab.run(none_policy(battery.add(lab, domain, cdn_seconds=60)))
    assert run.status == "FAILED"
    return run.cause or ""


def looking(lab: Lab, domain: str) -> str:
    """Look at a domain: what cannot be looked at is told, and the rest as well."""
    run = lab.run({"domain": battery.add(lab, domain), "method": "check"})
    assert run.status == "SUCCEEDED", run.cause
    return json.dumps(run.output)


def removing(lab: Lab, _domain: str) -> str:
    """Remove the policy of a retired domain once more, as somebody has put it back."""
    (name,) = life.started_for(lab, battery.RETIRED, "retirement")
    lab.account.put_policy(
        *lab.policy_object(battery.RETIRED), life.versions(lab, battery.RETIRED)[-1]
    )
    return mishaps.deliver_again(lab, life.run(lab, name), "Remove Policy")


def sweeping(lab: Lab, _domain: str) -> str:
    """Sweep, as something is due."""
    now = datetime.now(UTC)
    life.make_due(lab, battery.TRACELESS, mishaps.TRACELESS, now - timedelta(seconds=1))
    return mishaps.called(lab, life.function(lab, "SweepDue"), {})


def closing(lab: Lab, domain: str) -> str:
    """Stop a run by hand, before it holds its domain."""
    lab.policy_hosts.hold(battery.add(lab, domain))
    run = lab.start({"domain": domain, "method": "delete-record", "longest_max_age": 604800})
    run.stop()
    lab.policy_hosts.release(domain)
    return mishaps.cut_short(lab, run.wait())
