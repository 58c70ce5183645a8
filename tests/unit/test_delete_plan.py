"""The plan of `delete-record`: what goes, what stays, what it says, and what its digest binds."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mta_sts.errors import PlanChangedError, RecordConflictError, ZoneNotDelegatedError
from mta_sts.observed import Findings, Location, RecordSet, Wildcard
from mta_sts.plan import Plan
from tests.unit.plans import (
    ENFORCE,
    HOST,
    NAME,
    NONE,
    NOT_FOUND,
    WEEK,
    answered,
    deletion,
    findings,
    plan,
    policy,
    stored,
    txt,
)

STS = "v=STSv1; id=20200425085700;"
CNAME = {"Name": NAME + ".", "Type": "CNAME", "TTL": 900,
         "ResourceRecords": [{"Value": "v.example."}]}  # fmt: skip


def found(*record_sets: Mapping[str, Any], **more: Any) -> Findings:
    return findings(record_sets=list(record_sets), **more)


# --- the record


def test_the_exact_set_goes() -> None:
    record = deletion().record
    assert record.before == RecordSet(NAME, 3600, (f'"{STS}"',))
    assert record.after is None
    assert (record.old, record.old_id) == (STS, "20200425085700")
    assert (record.new, record.new_id) == ("", "")
    assert (record.write, record.wait_seconds) == (True, 3600)
    made = deletion()
    assert made.deletes
    assert not plan().deletes


NEIGHBOURS = [
    '"x"',
    '"y" "z"',
    '"y""z"',
    '"\\101\\"\\\\"',  # escapes stay as they are spelled
    '"\\303\\274"',
    '""',
    '"v=spf1 -all"',
    '"v=STSv2; id=1;"',
    '"\\9"',  # which nobody needs to read
]


def test_neighbours_stay_byte_for_byte_in_their_order_and_the_ttl_too() -> None:
    values = [*NEIGHBOURS[:4], f'"{STS}"', *NEIGHBOURS[4:]]
    records = [{"Value": value} for value in values]
    made = deletion(found(txt(ttl=77) | {"ResourceRecords": records}))
    assert made.record.after == RecordSet(NAME, 77, tuple(NEIGHBOURS))
    assert made.record.before == RecordSet(NAME, 77, tuple(values))
    assert (made.record.old, made.record.write) == (STS, True)


ALL_OF_THEM = [
    ((STS, "v=STSv1; id=2;"), f"{STS}, v=STSv1; id=2;"),
    (("v=STSv1 ; id=1;", STS), f"v=STSv1 ; id=1;, {STS}"),  # which some senders take for one
    ((STS, STS), f"{STS}, {STS}"),
]


@pytest.mark.parametrize(("values", "old"), ALL_OF_THEM)
@pytest.mark.parametrize("neighbours", [(), ("other",)])
def test_all_sts_values_go_and_no_id_is_named(
    values: tuple[str, ...], old: str, neighbours: tuple[str, ...]
) -> None:
    made = deletion(found(txt(*values, *neighbours)))
    after = made.record.after
    assert (after.values if after else ()) == tuple(f'"{value}"' for value in neighbours)
    assert (made.record.old, made.record.old_id) == (old, "")
    assert any("2 STS values" in one and "All of them are deleted" in one for one in made.warnings)


@pytest.mark.parametrize("value", ["v=STSv1; id=?;", "v=STSv1", "V=STSV1; id=1;", "v=STSv1 ;"])
def test_a_malformed_one_goes_as_well(value: str) -> None:
    made = deletion(found(txt(value)))
    assert made.record.after is None
    assert (made.record.old, made.record.old_id) == (value, "")
    assert any("malformed" in one and "It is deleted" in one for one in made.warnings)


def test_a_cname_goes_as_a_whole() -> None:
    made = deletion(found(CNAME))
    assert made.record.before == RecordSet(NAME, 900, ("v.example.",), "CNAME")
    assert made.record.after is None
    assert (made.record.old, made.record.old_id) == ("CNAME to v.example", "")
    assert (made.record.write, made.record.wait_seconds) == (True, 900)
    assert any("It is withdrawn; the name that it leads to" in one for one in made.warnings)
    assert any(f"Delete CNAME to v.example at {NAME} in zone Z1." in one for one in made.steps)


@pytest.mark.parametrize(
    ("record_sets", "wait"),
    [([], 900), ([txt("other", ttl=60)], 60), ([txt("other", ttl=7200)], 7200)],
)
def test_where_there_is_none_nothing_is_changed(record_sets: list[Any], wait: int) -> None:
    """Yet it is proven: an old answer may be held all the same."""
    made = deletion(found(*record_sets))
    assert made.record.after == made.record.before
    assert not made.record.write
    assert (made.record.old, made.record.wait_seconds) == ("", wait)
    assert f"There is no STS record at {NAME}: nothing has to be deleted." in made.warnings
    assert f"Nothing to delete: there is no STS record at {NAME} in zone Z1." in made.steps
    assert made.deletes


def test_longer_ttls_that_were_seen_are_waited_out() -> None:
    assert deletion(findings(longest_ttl=86_400)).record.wait_seconds == 86_400
    assert deletion(found(longest_ttl=86_400)).record.wait_seconds == 86_400


@pytest.mark.parametrize(
    ("record_set", "error", "said"),
    [
        (txt(STS, SetIdentifier="x", Weight=1), RecordConflictError, "a weighted TXT set"),
        (CNAME | {"SetIdentifier": "x", "Failover": "PRIMARY"}, RecordConflictError, "failover CN"),
        (
            {"Name": NAME + ".", "Type": "CNAME", "AliasTarget": {"DNSName": "x."}},
            RecordConflictError,
            "an alias CNAME set",
        ),
        (
            {"Type": "NS", "TTL": 5, "ResourceRecords": [{"Value": "ns.v.example."}]},
            ZoneNotDelegatedError,
            "is delegated to ns.v.example",
        ),
    ],
)
def test_what_cannot_be_deleted_as_a_whole(
    record_set: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match="Nothing was changed") as caught:
        deletion(found(record_set))
    assert said in str(caught.value)


# --- wildcards


def wild(*values: bytes, name: str = "*.solarmora.com") -> tuple[Wildcard, ...]:
    return (Wildcard("*.other.example", (b"v=spf1 -all",)), Wildcard(name, values))


@pytest.mark.parametrize("record_sets", [[txt(STS)], [CNAME], []])
@pytest.mark.parametrize(
    "values", [(b"v=STSv1; id=wild;",), (b"v=spf1 -all", b"v=STSv1; id=wild;"), (b"V=stsv1 ;",)]
)
def test_a_wildcard_with_an_sts_value_would_take_the_records_place(
    record_sets: list[Any], values: tuple[bytes, ...]
) -> None:
    with pytest.raises(RecordConflictError, match="Nothing was changed") as caught:
        deletion(found(*record_sets, wildcards=wild(*values)))
    sts = values[-1].decode()
    assert f"would be answered by *.solarmora.com in zone Z1, with {sts}: MTA-STS would stay on" in str(
        caught.value
    )  # fmt: skip


def test_what_a_wildcard_says_is_shown_not_obeyed() -> None:
    with pytest.raises(RecordConflictError) as caught:
        deletion(findings(wildcards=wild(b"v=STSv1; id=1;\n\x1b[2J" + b"x" * 999)))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_one_without_or_beside_neighbours_does_not_matter() -> None:
    other = deletion(findings(wildcards=wild(b"v=spf1 -all", b"")))
    assert other.record.after is None
    kept = deletion(found(txt(STS, "other"), wildcards=wild(b"v=STSv1; id=wild;")))
    assert kept.record.after == RecordSet(NAME, 3600, ('"other"',))
    assert plan(findings(wildcards=wild(b"v=STSv1; id=wild;"))).record.after is not None


# --- the policy


def test_the_policy_is_left_alone() -> None:
    made = deletion(findings(policy=stored(policy("enforced"), "text/html", tagging="a=b")))
    assert not made.publishes
    assert (made.policy.after, made.policy.after_sha256, made.policy.content_type) == ("", "", "")
    assert not made.policy.write
    assert made.policy.before_mode == "malformed"
    assert not any("present policy" in warning for warning in made.warnings)
    assert made.host["agreeing"][0]["mode"] == "malformed"


def test_no_object_is_fine_where_none_is_written() -> None:
    made = deletion(findings(missing=True), NOT_FOUND, longest_max_age=WEEK)
    assert (made.policy.etag, made.policy.write, made.bodies) == ("", False, ())


@pytest.mark.parametrize("asked", [{}, {"keep_mx": True}])
@pytest.mark.parametrize("body", [ENFORCE, NONE])
def test_with_publish_none_it_is_written_as_by_none_policy(
    body: bytes, asked: dict[str, Any]
) -> None:
    there = findings(policy=stored(body))
    made, other = deletion(there, publish_none=True, **asked), plan(there, **asked)
    assert made.policy == other.policy
    assert made.publishes
    assert made.host == {}, "what is served is proven later"
    assert made.record.after is None


# --- in words


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


# --- the digest


MATTERS: list[tuple[str, dict[str, Any], Findings]] = [
    ("none is published", {"publish_none": True}, findings()),
    ("what is accepted", {"accept_exposure_until": "2028-01-01"}, findings()),
    ("what is vouched for", {"longest_max_age": WEEK}, findings()),
    ("ids that are vouched for", {"ids_changed_since": "2026-01-01"}, findings()),
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
        (findings(), {"new_mx": ["mx.new.example"]}),
        (findings(), {"dry_run": True, "ticket": "CHG-1", "reason": "x"}),
        (findings(longest_ttl=86_400), {}),  # how long somebody holds it is not what is done
        (replace(findings(), used_ids=frozenset({"1"})), {}),
    ],
)
def test_what_changes_nothing_is_the_same_plan(there: Findings, asked: dict[str, Any]) -> None:
    approved = deletion().digest
    assert deletion(there, approved_plan=approved, **asked).digest == approved


def test_what_the_host_serves_is_no_part_of_it() -> None:
    served = answered(policy("testing"))
    assert deletion(findings(), served).digest == deletion(findings(), NOT_FOUND).digest
    assert deletion(findings(), served).policy_host == HOST
