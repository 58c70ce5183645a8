"""The plan of `delete-record` in words: steps, state, warnings; and what its digest binds."""

import json
from dataclasses import replace
from typing import Any

import pytest

from mta_sts.errors import PlanChangedError
from mta_sts.observed import Findings, Location
from mta_sts.plan import Plan
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    HOST,
    NAME,
    NONE,
    NOT_FOUND,
    WEEK,
    answered,
    deletion,
    findings,
    forever,
    history,
    plan,
    policy,
    stored,
    txt,
)

STS = "v=STSv1; id=20200425085700;"
CNAME = {"Type": "CNAME", "TTL": 900, "ResourceRecords": [{"Value": "v.example."}]}


def found(*record_sets: Any, **more: Any) -> Findings:
    return findings(record_sets=list(record_sets), **more)


def test_the_steps_of_either_variant() -> None:
    alone = deletion().steps
    assert [step.partition(" ")[0] for step in alone] == [
        "Take",
        "Look",
        "Delete",
        "Wait",
        "Confirm",
    ]
    assert "look what the policy host serves" in alone[-1]
    assert f"Delete {STS} at {NAME} in zone Z1." in alone
    published = deletion(publish_none=True).steps
    assert [step.partition(" ")[0] for step in published] == [
        "Take", "Prove", "Rewrite", "No", "Prove", "Delete", "Wait", "Confirm",
    ]  # fmt: skip
    assert "record is gone and the policy served everywhere" in published[-1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((STS, "a"), "(1 other TXT value stays)."),
        ((STS, "a", "b"), "(2 other TXT values stay)."),
        ((STS, "v=STSv1; id=2;", "b"), "(1 other TXT value stays)."),
    ],
)
def test_the_steps_count_the_neighbours(values: tuple[str, ...], said: str) -> None:
    assert any(step.endswith(said) for step in deletion(found(txt(*values))).steps)


@pytest.mark.parametrize(
    ("made", "beginning", "effect"),
    [
        (
            deletion(),
            "MTA-STS is still on for solarmora.com: this is a plan, and nothing was changed.",
            "that deletes the record.",
        ),
        (
            deletion(publish_none=True),
            "MTA-STS is still on for solarmora.com: this is a plan, and nothing was changed.",
            "that changes the policy and deletes the record.",
        ),
        (
            deletion(findings(policy=stored(NONE)), publish_none=True),
            "half changed, or off already, for solarmora.com: the policy says none",
            "that deletes the record.",
        ),
        (
            deletion(found()),
            "half changed, or off already, for solarmora.com: there is no record",
            "that changes nothing, and confirms that there is no record.",
        ),
        (
            deletion(found(), publish_none=True),
            "half changed, or off already, for solarmora.com: there is no record",
            "that changes the policy.",
        ),
        (
            deletion(findings(missing=True), NOT_FOUND, longest_max_age=WEEK),
            "MTA-STS is still on for solarmora.com: this is a plan, and nothing was changed.",
            "that deletes the record.",
        ),
    ],
)
def test_a_plan_says_the_state_and_what_it_does(made: Plan, beginning: str, effect: str) -> None:
    assert made.summary.startswith(beginning)
    assert effect in made.summary
    assert f"approved_plan {made.digest}" in made.summary
    assert made.expected["off"]["sentence"] in made.summary


def test_the_plan_says_what_it_comes_to() -> None:
    """The TTL of an hour, and then the week of the policy for those that conform."""
    assert deletion().expected["all_off_at"] is None
    expected = deletion(findings(), NOT_FOUND).expected
    assert expected["conforming_off_at"] == expected["all_off_at"] == "2026-12-01T05:05:06Z"
    assert expected["mx"]["without_overlap_from"] == "2026-12-01T05:05:06Z"


@pytest.mark.parametrize(
    "made",
    [deletion(), deletion(found(CNAME)), deletion(found()), deletion(found(txt(STS, "other")))],
)
def test_a_plan_survives_the_workflow(made: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made


# --- warnings


ACCEPTED = {"accept_exposure_until": "2028-01-01"}


def test_what_was_accepted_bounds_nobody_who_renews_without_the_record() -> None:
    said = "accept_exposure_until (2028-01-01T00:00:00Z) bounds senders that need the record."
    assert any(one.startswith(said) for one in deletion(findings(), **ACCEPTED).warnings)
    assert any("have no date: mta-sts" in one for one in deletion(findings(), **ACCEPTED).warnings)
    for other in (deletion(findings(), NOT_FOUND, **ACCEPTED), deletion()):
        assert not any("bounds senders that need" in one for one in other.warnings)


def test_a_policy_that_says_none_is_better_left_its_record_for_a_while() -> None:
    there = findings(policy=stored(NONE), history=history((400, ENFORCE), (5, NONE)))
    for made in (deletion(there), deletion(there, publish_none=True)):
        [said] = [one for one in made.warnings if one.startswith("The policy says none already.")]
        assert "keep what they hold until 2026-12-01T05:05:06Z. Better wait until then." in said
    over = deletion(findings(policy=stored(NONE)))
    assert not any("says none already" in one for one in over.warnings)
    assert not any("says none already" in one for one in plan(there).warnings)
    stale = deletion(there, answered())  # who looks finds an older one
    assert not any("says none already" in one for one in stale.warnings)


def test_a_foreign_policy_is_warned_of_by_what_it_names() -> None:
    made = forever(findings(), answered(policy("enforce", "mx.elsewhere.example", "*.a.example")))
    [said] = [one for one in made.warnings if "S3 has no version of it" in one]
    assert said.startswith(
        f"{HOST} serves a policy with mode enforce at {ADDRESS}, which names mx.elsewhere.example,"
        " *.a.example: "
    )
    assert not any("S3 has no version" in one for one in deletion().warnings)


# --- the digest


MATTERS: list[tuple[str, dict[str, Any], Findings]] = [
    ("none is published", {"publish_none": True}, findings()),
    ("what is accepted", {"accept_exposure_until": "2028-01-01"}, findings()),
    ("what is vouched for", {"longest_max_age": WEEK}, findings()),
    ("ids that are vouched for", {"ids_changed_since": "2026-01-01"}, findings()),
    ("hosts that are answered for", {"new_mx": ["mx.new.example"]}, findings()),
    ("another record", {}, found(txt("v=STSv1; id=other;"))),
    ("another TTL", {}, found(txt(STS, ttl=60))),
    ("a neighbour", {}, found(txt(STS, "neighbour"))),
    ("a CNAME", {}, found(CNAME)),
    ("nothing there", {}, found()),
    ("another policy", {}, findings(policy=stored(ENFORCE + b"mx: a.example\n"))),
    ("another object", {}, findings(location=Location("elsewhere", "k"))),
]


@pytest.mark.parametrize(("why", "asked", "there"), MATTERS)
def test_what_matters_is_another_plan(why: str, asked: dict[str, Any], there: Findings) -> None:
    approved = deletion().digest
    assert deletion(there, **asked).digest != approved, why
    with pytest.raises(PlanChangedError, match=approved):
        deletion(there, approved_plan=approved, **asked)


def test_another_method_or_option_of_publishing_is_another_plan() -> None:
    published = deletion(publish_none=True).digest
    assert plan().digest not in {published, deletion().digest}
    assert deletion(publish_none=True, keep_mx=True).digest != published
    assert deletion(publish_none=True, create_policy=True).digest != published


@pytest.mark.parametrize(
    ("there", "asked"),
    [
        (findings(), {"dry_run": True, "ticket": "CHG-1", "reason": "x"}),
        (findings(longest_ttl=86_400), {}),  # how long somebody holds it is not what is done
        (replace(findings(), used_ids=frozenset({"1"})), {}),
    ],
)
def test_what_changes_nothing_is_the_same_plan(there: Findings, asked: dict[str, Any]) -> None:
    approved = deletion().digest
    assert deletion(there, approved_plan=approved, **asked).digest == approved


def test_what_the_host_serves_is_no_part_of_it() -> None:
    foreign = answered(policy("testing"))
    assert forever(findings(), foreign).digest == deletion(findings(), NOT_FOUND).digest
    assert forever(findings(), foreign).policy_host == HOST
