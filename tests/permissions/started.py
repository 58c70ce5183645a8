"""Events and schedules that start runs, and what is kept of calls that fail for good."""

import uuid

from local.lab import Lab
from tests.permissions import mishaps
from tests.permissions.mishaps import SUCCEEDED, Expected
from tests.workflow.life import call, function, until_true
from tests.workflow.life import run as run_named
from tests.workflow.scene import add
from tests.workflow.test_doors import event

LOOKED, KEEPERS = "looked.example", ("StartRun", "CloseRun")


def deliveries(lab: Lab) -> Expected:
    """An event starts a run; functions that rules call get what they cannot understand."""
    add(lab, LOOKED, ttl=1)
    told = call(lab, "StartRun", event({"domain": LOOKED, "method": "check"}))
    names = {name: function(lab, name) for name in KEEPERS}
    for name in names.values():
        lab.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    until_true("they are kept", lambda: _kept(lab) >= set(names.values()))
    return [(run_named(lab, told["runs"][0]), SUCCEEDED)]


def _kept(lab: Lab) -> set[str]:
    """Name the functions that have asked for keeping what they failed at."""
    asked = lab.emulator.authorisations()
    return {
        each.context["principal_arn"].rpartition("/")[2]
        for each in asked
        if each.action == "sqs:SendMessage"
    }


def starting(lab: Lab, domain: str) -> str:
    """Have an event start a run."""
    sent = {**event({"domain": domain, "method": "check"}), "id": str(uuid.uuid4())}
    return mishaps.called(lab, function(lab, "StartRun"), sent)
