"""How a run ended: what changed is seen, not believed; and what a confirmed run gives out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.instants import instant, stamp
from mta_sts.observed import History, Version
from mta_sts.outcome import BEFORE_WRITES, Standing, succeeded, what_changed
from mta_sts.plan import Plan
from mta_sts.record_set import RecordSet
from tests.unit.plans import ENFORCE, NONE, NOW, findings, plan, stored
from tests.unit.test_state_machine import DEFINITION, STATES, reachable

WEEK = timedelta(seconds=604800)


def moments(*, written: bool = True) -> dict[str, Any]:
    return {
        "host": {"agreeing": [{"sha256": "aa"}]},
        "published": {"published_at": stamp(NOW), "written": written},
        "caches": {"fresh_at": stamp(NOW + timedelta(seconds=60))},
        "served": {"checked_at": stamp(NOW + timedelta(seconds=60))},
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
OTHER = RecordSet(ON.record.name, 3600, ('"v=STSv1; id=somebody;"',))


def saw(policy_sha256: str | None, record: RecordSet | None) -> Standing:
    return Standing(policy_sha256, record_seen=True, record=record)


@pytest.mark.parametrize(
    ("made", "place", "standing", "changed"),
    [
        (None, "Plan Change", Standing(), "nothing"),  # there was not even a plan
        (ON, "Check Host", Standing(), "nothing"),  # before any write: no look needed
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
        (ON, "Confirm", Standing(), "unknown"),  # looking failed: do not guess
        (ON, "Confirm", saw(None, ON.record.after), "unknown"),
        (ON, "Confirm", Standing(NEW_SHA), "unknown"),
        (
            NOT_WRITTEN,
            "Change Id",
            saw(NOT_WRITTEN.policy.after_sha256, None),
            "nothing",
        ),
        (NOT_WRITTEN, "Confirm", saw("", NOT_WRITTEN.record.after), "record"),
        (ON, "Confirm", saw(OLD_SHA, ON.record.after), "record; the policy was put back"),
    ],
)
def test_what_changed(made: Plan | None, place: str, standing: Standing, changed: str) -> None:
    assert what_changed(made, place, standing) == changed


def test_states_before_the_writes_are_those_of_the_definition() -> None:
    """No write can precede these states, and every other task may follow one."""
    after_publishing = reachable("Publish Policy")
    assert set(STATES) >= BEFORE_WRITES
    assert not BEFORE_WRITES & (after_publishing | reachable("Delete Record"))
    can_fail = {name for name, state in STATES.items() if state["Type"] in {"Task", "Parallel"}}
    assert can_fail - BEFORE_WRITES <= after_publishing
    assert DEFINITION["StartAt"] in BEFORE_WRITES


# --- the answers


def test_dates_of_a_known_history() -> None:
    output = end(plan())
    gone = NOW + timedelta(seconds=3720)
    assert output["conforming_off_at"] == stamp(gone)
    assert output["all_off_at"] == stamp(gone + WEEK)  # renewed on the old id at the last moment
    assert output["rfc_off_at"] == stamp(NOW + timedelta(seconds=60) + WEEK)
    every = output["answers"]["off"]["all_off_at"]
    assert (every["at"], every["confidence"]) == (output["all_off_at"], "computed")
    assert "604800 seconds (7 days)" in every["reason"]
    assert output["answers"]["mx"]["answer"] == "now with overlap"
    assert output["answers"]["mx"]["without_overlap_from"] == stamp(gone + WEEK)
    assert output["text"].startswith("MTA-STS is off for solarmora.com")
    assert output["changed"] == "policy and record"


def test_an_unknown_history_is_told_beside_what_is_known() -> None:
    recent = NOW - timedelta(days=3)
    history = History((Version("v1", recent, ENFORCE),), recent)
    output = end(plan(findings(history=history)))
    known, certain = stamp(NOW + timedelta(seconds=3720) + WEEK), output["all_off_at"]
    assert f"from {known} by what is known, {certain} at the latest" in output["text"]
    assert output["answers"]["off"]["all_off_at"]["confidence"] == "unknown"
    assert output["known_off_at"] == known
    assert certain == stamp(NOW + timedelta(seconds=3720 + 31557600))


def test_testing_never_blocks_mail() -> None:
    output = end(plan(findings(policy=stored(ENFORCE.replace(b"enforce", b"testing")))))
    assert output["answers"]["mx"]["answer"] == "now"
    assert output["all_off_at"] == stamp(NOW + timedelta(seconds=3720) + WEEK)


def test_nothing_written_is_said() -> None:
    output = end(plan(findings(policy=stored(NONE))), written=False)
    assert output["changed"] == "record"
    assert output["answers"]["mx"]["answer"] == "now"


def longest(output: dict[str, Any]) -> str:
    """When the policy ends that lives longest, in the past as well."""
    return str(output["exposures"][0]["ends"])


def test_a_bound_of_the_past_does_not_come_before_the_senders_that_reread() -> None:
    untouched = moments(written=False) | {"host": {"agreeing": []}}
    output = succeeded(again_after({}), untouched, {}, {}, "arn", NOW + timedelta(hours=2))
    assert (
        output["all_off_at"] == output["conforming_off_at"] == stamp(NOW + timedelta(seconds=3720))
    )


def test_a_body_is_dated_by_the_first_purge_after_it() -> None:
    """A second run, long after, does not make an old policy young again."""
    first = NOW - timedelta(days=100)
    change = {
        "id": "20200425085700", "old": "1", "distribution_id": "E1",
        "at": stamp(first + timedelta(seconds=90)),
        "gone_at": stamp(first + timedelta(hours=1)), "published_at": stamp(first),
        "fresh_at": stamp(first + timedelta(seconds=60)),
    }  # fmt: skip
    again = replace(
        plan(findings(policy=stored(NONE))),
        bodies=(
            {"version": "v1", "mode": "enforce", "max_age": 604800, "since": stamp(NOW - timedelta(days=500)),
             "replaced_at": stamp(first), "sha256": "bb"},
        ),
        id_changes=(change,),
    )  # fmt: skip
    distributed = replace(again, policy=replace(again.policy, distribution_id="E1"))
    assert longest(end(distributed, written=False)) == stamp(first + timedelta(hours=1) + WEEK)
    unrecorded = replace(distributed, id_changes=())
    assert end(unrecorded, written=False)["all_off_at"] == stamp(
        NOW + timedelta(seconds=3720) + WEEK
    )


def again_after(change: dict[str, Any], **more: Any) -> Plan:
    """A second run, 100 days after a first one that is on record; the policy says none by now."""
    first = NOW - timedelta(days=100)
    body = {"version": "v1", "mode": "enforce", "max_age": 604800, "since": stamp(NOW - timedelta(days=500)),
            "replaced_at": stamp(first), "sha256": "aa"}  # fmt: skip
    later = stamp(first + timedelta(minutes=1))
    recorded = {"id": "20200425085700", "old": "1", "distribution_id": "", "at": later, "gone_at": later,
                "published_at": stamp(first), "fresh_at": stamp(first)}  # fmt: skip
    made = plan(findings(policy=stored(NONE)))
    return replace(made, bodies=(body,), id_changes=(recorded | change,), **more)


SECOND = NOW + timedelta(seconds=3720) + WEEK


def test_an_id_of_the_past_that_was_put_back_makes_the_record_worthless() -> None:
    """Terraform restores the id: whoever knows it has renewed the old policy since."""
    untouched = moments(written=False) | {"host": {"agreeing": []}}
    recorded = NOW - timedelta(days=100) + timedelta(minutes=1) + WEEK
    for change, ends in (({}, recorded), ({"id": "another"}, SECOND)):
        output = succeeded(again_after(change), untouched, {}, {}, "arn", NOW + timedelta(hours=2))
        assert longest(output) == stamp(ends)


def test_an_id_that_was_put_back_is_not_forgotten_one_run_later() -> None:
    """What was recorded before somebody put an id back ends nothing, though a run came in between."""
    made = again_after({"id": "2", "old": "1"})
    (first,) = made.id_changes
    at = NOW - timedelta(days=50)
    second = {**first, "id": "20200425085700", "at": stamp(at), "gone_at": stamp(at)}
    untouched = moments(written=False) | {"host": {"agreeing": []}}
    for found, ends in (("2", instant(first["gone_at"])), ("1", at)):
        third = replace(made, id_changes=(first, second | {"old": found}))
        output = succeeded(third, untouched, {}, {}, "arn", NOW + timedelta(hours=2))
        assert longest(output) == stamp(ends + WEEK)


def test_a_stale_mirror_that_was_seen_makes_an_old_policy_young_again() -> None:
    """Check Host accepts an earlier version: then it was served until this run."""
    seen = moments(written=False) | {"host": {"agreeing": [{"sha256": "aa"}]}}
    output = succeeded(again_after({}), seen, {}, {}, "arn", NOW + timedelta(hours=2))
    assert output["all_off_at"] == stamp(SECOND)
    assert output["answers"]["mx"]["answer"] == "from all_off_at", "the plan knew it as dead"


def test_a_purge_of_another_distribution_does_not_count() -> None:
    made = again_after({})
    made = replace(made, policy=replace(made.policy, distribution_id="E1"))
    untouched = moments(written=False) | {"host": {"agreeing": []}}
    output = succeeded(made, untouched, {}, {}, "arn", NOW + timedelta(hours=2))
    assert output["all_off_at"] == stamp(SECOND)


@pytest.mark.parametrize(
    ("server", "gone"),
    [
        ("resolver", timedelta(seconds=5000)),  # its cache has let go when it agrees
        ("ns-1.example", timedelta(seconds=8600)),  # it may have handed the old record out again
    ],
)
def test_an_old_record_seen_late_moves_the_dates(server: str, gone: timedelta) -> None:
    late = moments() | {"contradicted": {"laggards": [{"server": server}]}}
    check = {
        "checked_at": stamp(NOW + timedelta(seconds=5000)),
        "record_gone_at": stamp(NOW + timedelta(seconds=8600)),
    }
    output = succeeded(plan(), late, check, {}, "arn", NOW + timedelta(hours=3))
    assert output["conforming_off_at"] == stamp(NOW + gone)


def test_a_certificate_that_ends_too_early_is_warned_of() -> None:
    ends = [stamp(NOW + timedelta(days=90)), stamp(NOW + timedelta(days=3))]
    check = {"agreeing": [{"certificate_not_after": end} for end in ends]}
    output = succeeded(plan(), moments(), {}, check, "arn", NOW + timedelta(hours=2))
    assert [ends[1] in warning for warning in output["warnings"] if "certificate" in warning] == [
        True
    ]
    check = {"agreeing": [{"certificate_not_after": ends[0]}]}
    assert not succeeded(plan(), moments(), {}, check, "arn", NOW + timedelta(hours=2))["warnings"][
        1:
    ]
