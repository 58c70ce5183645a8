"""From enforced to retired by itself, through the schedule as it is deployed."""

from datetime import UTC, datetime

from local.lab import Lab
from tests.workflow.life import (
    FIRST_ID,
    add_short,
    due,
    function,
    item,
    object_is_gone,
    retire,
    run,
    started_for,
    until_true,
)
from tests.workflow.scene import entered
from tests.workflow.watch import served, txt_values

DOMAIN = "by-itself.example"
# The shortest that a schedule can have is a minute, and the run itself takes some seconds.
PATIENCE = 150


def test_a_retirement_needs_nobody() -> None:
    with Lab(parameters={"SweepMinutes": "1"}) as lab:
        name = function(lab, "SweepSchedule")
        schedule = lab.client("scheduler").get_schedule(Name=name)
        assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(1 minute)")
        policy = add_short(lab, DOMAIN)
        assert served(lab, DOMAIN) == policy.encode()
        first = lab.run(retire(DOMAIN, remove_policy=True))
        assert first.status == "SUCCEEDED", first.cause
        at = due(lab, DOMAIN, "retirement")
        [before] = txt_values(lab, DOMAIN)
        assert FIRST_ID not in before
        until_true(
            "the domain is retired", lambda: item(lab, DOMAIN)["phase"] == "retired", PATIENCE
        )
        assert txt_values(lab, DOMAIN) == []
        assert object_is_gone(lab, DOMAIN)
        [name] = started_for(lab, DOMAIN, "retirement")
        retirement = run(lab, name).wait()
        assert retirement.status == "SUCCEEDED", retirement.cause
        assert at <= entered(retirement, "Delete Record") <= datetime.now(UTC)
