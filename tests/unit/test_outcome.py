"""How a run ended: what changed is seen, not believed; every text begins with state, risk, next action."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts import messages
from mta_sts.instants import stamp
from mta_sts.observed import History, TxtSet, Version
from mta_sts.outcome import BEFORE_WRITES, Standing, succeeded, what_changed
from mta_sts.plan import Plan
from tests.unit.plans import ENFORCE, NONE, NOW, findings, plan, stored
from tests.unit.test_state_machine import DEFINITION, STATES, reachable

WEEK = timedelta(seconds=604800)
BEGINNINGS = ("MTA-STS is off", "MTA-STS is still on", "half changed")


def moments(*, written: bool = True) -> dict[str, Any]:
    return {
        "published": {"published_at": stamp(NOW), "written": written},
        "caches": {"fresh_at": stamp(NOW + timedelta(seconds=60))},
        "changed": {"changed_at": stamp(NOW + timedelta(seconds=90))},
        "in_sync": {"checked_at": stamp(NOW + timedelta(seconds=120))},
        "names": {"record_gone_at": stamp(NOW + timedelta(seconds=3720))},
    }


def end(made: Plan, *, written: bool = True) -> dict[str, Any]:
    now = NOW + timedelta(seconds=3800)
    return succeeded(
        made, moments(written=written), {"ready": True}, {"ready": True}, "arn:run", now
    )


# --- what changed

ON = plan()
NOT_WRITTEN = plan(findings(policy=stored(NONE)))
OLD_SHA, NEW_SHA = ON.policy.before_sha256, ON.policy.after_sha256
OTHER = TxtSet(ON.record.name, 3600, ('"v=STSv1; id=somebody;"',))


def saw(policy_sha256: str, record: TxtSet | None) -> Standing:
    return Standing(seen=True, policy_sha256=policy_sha256, record=record)


@pytest.mark.parametrize(
    ("made", "place", "standing", "changed"),
    [
        (None, "Plan Change", Standing(seen=False), "nothing"),  # there was not even a plan
        (ON, "Check Host", Standing(seen=False), "nothing"),  # before any write: no look needed
        (ON, "Publish Policy", saw(OLD_SHA, ON.record.before), "nothing"),
        (
            ON,
            "Publish Policy",
            saw(NEW_SHA, ON.record.before),
            "policy",
        ),  # died after its effect
        (
            ON,
            "Publish Policy",
            saw("0" * 64, ON.record.before),
            "nothing",
        ),  # somebody else's
        (ON, "Change Id", saw(NEW_SHA, ON.record.before), "policy"),
        (ON, "Change Id", saw(NEW_SHA, OTHER), "policy"),
        (ON, "Change Id", saw(NEW_SHA, None), "policy"),
        (ON, "Change Id", saw(NEW_SHA, ON.record.after), "policy and record"),
        (ON, "Confirm", Standing(seen=False), "unknown"),  # looking failed: do not guess
        (
            NOT_WRITTEN,
            "Change Id",
            saw(NOT_WRITTEN.policy.after_sha256, None),
            "nothing",
        ),
        (NOT_WRITTEN, "Confirm", saw("", NOT_WRITTEN.record.after), "record"),
    ],
)
def test_what_changed(made: Plan | None, place: str, standing: Standing, changed: str) -> None:
    assert what_changed(made, place, standing) == changed


def test_states_before_the_writes_are_those_of_the_definition() -> None:
    """No write can precede these states, and every other task may follow one."""
    after_publishing = reachable("Publish Policy")
    assert set(STATES) >= BEFORE_WRITES
    assert not BEFORE_WRITES & after_publishing
    can_fail = {name for name, state in STATES.items() if state["Type"] in {"Task", "Parallel"}}
    assert can_fail - BEFORE_WRITES <= after_publishing
    assert DEFINITION["StartAt"] in BEFORE_WRITES


# --- the texts


@pytest.mark.parametrize("changed", ["nothing", "policy", "record", "policy and record", "unknown"])
@pytest.mark.parametrize("made", [None, ON, NOT_WRITTEN])
def test_every_failure_begins_with_state_risk_and_next_action(
    made: Plan | None, changed: str
) -> None:
    failure = {
        "Error": "X",
        "Cause": json.dumps({"errorType": "PolicyNotServedError", "errorMessage": "Why."}),
    }
    subject, text = messages.failed(
        "solarmora.com", changed, failure, "Check Host", made, off=False
    )
    first = text.splitlines()[0]
    assert first.startswith(BEGINNINGS)
    assert "Mail is not at risk" in first
    assert first.index("risk") < first.index("Next: ")
    assert "solarmora.com" in first
    assert "PolicyNotServedError in “Check Host”.\nWhy." in text
    assert f"Changed: {changed}." in text
    assert len(subject) < 100
    assert subject.isascii()


@pytest.mark.parametrize(
    ("made", "changed", "beginning"),
    [
        (ON, "nothing", "MTA-STS is still on"),
        (None, "nothing", "MTA-STS is still on"),
        (NOT_WRITTEN, "nothing", "half changed"),  # a run before it may have died in between
        (ON, "policy", "half changed"),
        (ON, "policy and record", "half changed"),
        (ON, "unknown", "half changed"),
    ],
)
def test_states(made: Plan | None, changed: str, beginning: str) -> None:
    _, text = messages.failed(
        "a.example", changed, {"Error": "X", "Cause": "y"}, "s", made, off=False
    )
    assert text.startswith(beginning)


def test_what_a_foreign_host_serves_may_put_mail_at_risk() -> None:
    failure = {"Error": "PolicyNotServedError", "Cause": "c"}
    _, text = messages.failed("a.example", "nothing", failure, "Check Host", ON, off=False)
    assert "may be because of what the policy host serves" in text.splitlines()[0]


def test_off_although_the_notice_could_not_be_sent() -> None:
    failure = {"Error": "SNS.NotFoundException", "Cause": "no topic"}
    _, text = messages.failed(
        "a.example", "policy and record", failure, "Notify Outcome", ON, off=True
    )
    assert text.startswith("MTA-STS is off for a.example")
    assert "SNS.NotFoundException in “Notify Outcome”.\nno topic" in text


@pytest.mark.parametrize(
    "cause", ["", "plain", "[]", "7", '{"errorType": "X"}', "{not json", "null"]
)
def test_any_cause_is_told(cause: str) -> None:
    name, told = messages.error_of({"Error": "States.Timeout", "Cause": cause})
    assert told == cause
    assert name in {"States.Timeout", "X"}


def test_a_cause_always_fits_a_fail_state() -> None:
    _, text = messages.failed(
        "a.example", "nothing", {"Error": "X", "Cause": "é" * 40_000}, "s", None, off=False
    )
    assert len(text) < 32_768 - 300


def test_subjects_are_what_sns_takes() -> None:
    domain = "a" * 60 + "." + "b" * 60 + ".example"
    subject, _ = messages.failed(domain, "nothing", {"Error": "E" * 50}, "s\n", None, off=False)
    assert len(subject) < 100
    assert "\n" not in subject


# --- the answers


def test_dates_of_a_known_history() -> None:
    output = end(plan())
    gone = NOW + timedelta(seconds=3720)
    assert output["conforming_off_at"] == stamp(gone)
    assert output["all_off_at"] == stamp(gone + WEEK)  # renewed on the old id at the last moment
    assert output["rfc_off_at"] == stamp(NOW + timedelta(seconds=60) + WEEK)
    assert output["answers"]["off"]["confidence"] == "computed"
    assert "604800 seconds (7 days)" in output["answers"]["off"]["reason"]
    assert output["answers"]["mx"]["answer"] == "now with overlap"
    assert output["answers"]["mx"]["without_overlap_from"] == stamp(gone + WEEK)
    assert output["text"].startswith("MTA-STS is off for solarmora.com")
    assert output["changed"] == "policy and record"


def test_an_unknown_history_is_told_beside_what_is_known() -> None:
    recent = NOW - timedelta(days=3)
    history = History((Version("v1", recent, ENFORCE),), recent)
    output = end(plan(findings(history=history)))
    known, certain = stamp(NOW + timedelta(seconds=3720) + WEEK), output["all_off_at"]
    assert f"from {known} by what is known and from {certain} for certain" in output["text"]
    assert output["answers"]["off"]["confidence"] == "assumed"
    assert certain == stamp(NOW + timedelta(seconds=3720 + 31557600))


def test_testing_never_blocks_mail() -> None:
    output = end(plan(findings(policy=stored(ENFORCE.replace(b"enforce", b"testing")))))
    assert output["answers"]["mx"]["answer"] == "now"
    assert output["all_off_at"] == stamp(NOW + timedelta(seconds=3720) + WEEK)


def test_nothing_written_is_said() -> None:
    output = end(plan(findings(policy=stored(NONE))), written=False)
    assert output["changed"] == "record"
    assert output["answers"]["mx"]["answer"] == "now"


def test_a_body_is_dated_by_the_first_purge_after_it() -> None:
    """A second run, long after, does not make an old policy young again."""
    first = NOW - timedelta(days=100)
    change = {
        "id": "a", "at": stamp(first + timedelta(seconds=90)), "gone_at": stamp(first + timedelta(hours=1)),
        "published_at": stamp(first), "fresh_at": stamp(first + timedelta(seconds=60)),
    }  # fmt: skip
    again = replace(
        plan(findings(policy=stored(NONE))),
        bodies=(
            {"version": "v1", "mode": "enforce", "max_age": 604800, "since": stamp(NOW - timedelta(days=500)),
             "replaced_at": stamp(first)},
        ),
        id_changes=(change,),
    )  # fmt: skip
    distributed = replace(again, policy=replace(again.policy, distribution_id="E1"))
    assert end(distributed, written=False)["all_off_at"] == stamp(first + timedelta(hours=1) + WEEK)
    unrecorded = replace(distributed, id_changes=())
    assert end(unrecorded, written=False)["all_off_at"] == stamp(
        NOW + timedelta(seconds=3720) + WEEK
    )
