"""The plan of `delete-record`: what goes, what stays, what it says, and what its digest binds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mta_sts.errors import RecordConflictError, ZoneNotDelegatedError
from mta_sts.observed import Findings, HostedZone, Wildcard
from mta_sts.record_set import RecordSet
from tests.unit.plans import (
    ENFORCE,
    NAME,
    NONE,
    NOT_FOUND,
    WEEK,
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


AWAY = {"Type": "NS", "TTL": 5, "ResourceRecords": [{"Value": "ns.v.example."}]}


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


ALL_OF_THEM: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = [
    ((STS, "v=STSv1; id=2;"), f"{STS}, v=STSv1; id=2;", ("20200425085700", "2")),
    (  # which some senders take for one
        ("v=STSv1 ; id=1;", STS),
        f"v=STSv1 ; id=1;, {STS}",
        ("20200425085700",),
    ),
    ((STS, "v=STSv1"), f"{STS}, v=STSv1", ("20200425085700",)),
]


@pytest.mark.parametrize(("values", "old", "ids"), ALL_OF_THEM)
@pytest.mark.parametrize("neighbours", [(), ("other", "v=STSv10; id=1;", "v=STSv1x")])
def test_all_sts_values_go_and_none_of_their_ids_is_forgotten(
    values: tuple[str, ...], old: str, ids: tuple[str, ...], neighbours: tuple[str, ...]
) -> None:
    made = deletion(found(txt(*values, *neighbours)))
    after = made.record.after
    assert (after.values if after else ()) == tuple(f'"{value}"' for value in neighbours)
    assert (made.record.old, made.record.old_id) == (old, "")
    assert made.record.other_ids == ids
    assert f"has 2 values that senders may take for the record ({old}). All of them are deleted." in (
        made.warnings[0]
    )  # fmt: skip


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
    [warning] = made.warnings
    assert warning.startswith(
        f"No STS record of its own stands at {NAME}: nothing has to be deleted."
    )
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
            AWAY,
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


def test_the_name_servers_of_a_zone_of_its_own_delegate_nothing() -> None:
    own = replace(found(txt(STS), AWAY), zone=HostedZone("Z2", NAME, ("ns.v.example",)))
    assert deletion(own).record.after is None
    assert plan(own).record.new


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


def test_where_a_wildcard_leads_that_answers_in_its_place_is_in_the_plan() -> None:
    vendors = (Wildcard("*.solarmora.com", (), "cdn.vendor.example"),)
    for record_sets in ([txt(STS)], [CNAME], []):
        assert deletion(found(*record_sets, wildcards=vendors)).record.wildcards == (
            "cdn.vendor.example",
        )
    kept = deletion(found(txt(STS, "other"), wildcards=vendors))
    assert kept.record.wildcards == ()  # nothing else answers where a set stays


def test_a_routed_wildcard_may_lead_to_any_of_its_targets() -> None:
    """A weighted CNAME, say: each server answers by the one or the other."""
    routed = tuple(Wildcard("*.solarmora.com", (), target) for target in ("b.example", "a.example"))
    assert deletion(findings(wildcards=routed)).record.wildcards == ("a.example", "b.example")


def test_a_wildcard_that_leads_nobody_knows_where_is_refused() -> None:
    alias = (Wildcard("*.solarmora.com", (), None),)
    with pytest.raises(RecordConflictError, match=r"a CNAME by alias.*Make it a plain CNAME"):
        deletion(findings(wildcards=alias))
    assert deletion(found(txt(STS, "other"), wildcards=alias)).record.after


def test_where_a_withdrawn_cname_led_is_known() -> None:
    assert deletion(found(CNAME)).record.withdrawn == "v.example"
    for made in (deletion(), deletion(found()), plan()):
        assert made.record.withdrawn == ""


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
