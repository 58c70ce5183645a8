"""The plan: decided once, told in words, bound by a digest; refusals by name."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.errors import (
    PlanChangedError,
    RecordConflictError,
    ZoneNotDelegatedError,
)
from mta_sts.observed import History, Location, Version
from mta_sts.plan import Plan
from mta_sts.policy import Mode, Policy
from mta_sts.record import Record
from mta_sts.record_set import RecordSet
from tests.unit.plans import (
    ENFORCE,
    LONG_AGO,
    NAME,
    NONE,
    NOW,
    deletion,
    findings,
    plan,
    stored,
    txt,
)


def values_after(made: Plan) -> tuple[str, ...]:
    """What the TXT set holds after the change."""
    assert made.record.after is not None
    return made.record.after.values


def test_an_ordinary_plan() -> None:
    made = plan()
    assert made.policy.write
    assert made.policy.after == "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
    assert (made.record.old_id, made.record.new_id) == ("20200425085700", "20261124040506")
    assert made.record.before == RecordSet(NAME, 3600, ('"v=STSv1; id=20200425085700;"',))
    assert made.record.after == RecordSet(NAME, 3600, ('"v=STSv1; id=20261124040506;"',))
    assert made.record.wait_seconds == 3600
    assert made.policy.headers == {"CacheControl": "no-store"}
    assert made.summary.startswith("MTA-STS is still on for solarmora.com: this is a plan")
    assert made.digest in made.summary


def test_a_plan_survives_the_workflow() -> None:
    made = plan(findings(record_sets=[txt("v=STSv1; id=a;", "other")]))
    assert Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("body", "content_type", "write"),
    [
        (ENFORCE, "text/plain", True),
        (ENFORCE.replace(b"enforce", b"testing"), "text/plain", True),
        (
            ENFORCE.replace(b"enforce", b"enforced"),
            "text/plain",
            True,
        ),  # malformed: off all the same
        (NONE, "text/plain", False),  # fine as it is
        (NONE, "text/plain; charset=us-ascii", False),
        (NONE.replace(b"86400", b"3600"), "text/plain", False),  # drains even sooner
        (NONE.replace(b"86400", b"86401"), "text/plain", True),  # would be held for too long
        (NONE, "binary/octet-stream", True),  # S3's default, which most senders reject
        (NONE.replace(b"version: STSv1\r\n", b""), "text/plain", True),  # none, and malformed
    ],
)
def test_what_is_rewritten(body: bytes, content_type: str, write: bool) -> None:  # noqa: FBT001
    made = plan(findings(policy=stored(body, content_type)))
    assert made.policy.write is write
    parsed = Policy.parse(made.policy.after.encode())
    assert parsed.mode is Mode.NONE
    assert parsed.max_age <= 86400
    assert made.policy.content_type.startswith("text/plain")
    assert write or made.policy.after.encode() == body  # exactly as it is


@pytest.mark.parametrize(
    ("body", "step"),
    [
        (ENFORCE, "mode enforce becomes none"),
        (ENFORCE.replace(b"enforce", b"enforced"), "mode enforced (malformed) becomes none"),
        (ENFORCE.replace(b"enforce", b"\x1b[2J"), "(malformed) becomes none"),  # shown, not obeyed
        (b"hello", "a malformed policy without a mode becomes none"),
    ],
)
def test_the_steps_say_the_mode_as_it_is_written(body: bytes, step: str) -> None:
    [said] = [each for each in plan(findings(policy=stored(body))).steps if "becomes none" in each]
    assert step in said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("found", "beginning"),
    [
        (findings(policy=stored(NONE)), "half changed, or off already"),
        (findings(missing=True), "MTA-STS is still on"),
    ],
)
def test_a_plan_begins_with_the_state(found: Any, beginning: str) -> None:
    assert plan(found, dry_run=True, create_policy=True).summary.startswith(beginning)


def test_keep_mx() -> None:
    assert "mx: mail.solarmora.com\r\n" in plan(keep_mx=True).policy.after
    assert "mx" not in plan().policy.after
    assert any("keep_mx: true" in warning for warning in plan().warnings)


def test_malformed_policy_is_reported_by_line() -> None:
    made = plan(findings(policy=stored(ENFORCE.replace(b"enforce", b"enforced"))))
    assert any("line 2" in warning and "enforced" in warning for warning in made.warnings)
    assert made.policy.before_mode == "malformed"


def test_what_the_object_said_otherwise_is_sent_again() -> None:
    headers = {
        "CacheControl": "max-age=60",
        "Metadata": {"owner": "mail"},
        "ServerSideEncryption": "AES256",
    }
    made = plan(findings(policy=stored(headers=headers, tagging="team=mail")))
    assert made.policy.headers == headers
    assert made.policy.tagging == "team=mail"


def test_no_object_and_create_policy() -> None:
    made = plan(findings(missing=True), create_policy=True)
    assert (made.policy.write, made.policy.etag, made.policy.known) == (True, "", {})
    assert Policy.parse(made.policy.after.encode()).mode is Mode.NONE


def test_purges_the_viewers_path_and_the_objects() -> None:
    location = Location("b", "solarmora.com/policy.txt", "E1")
    made = plan(findings(location=location))
    assert made.policy.purge_paths == ("/.well-known/mta-sts.txt", "/solarmora.com/policy.txt")
    assert any("distribution E1" in step for step in made.steps)


# --- the record


def test_neighbours_and_ttl_stay() -> None:
    made = plan(findings(record_sets=[txt("x", "v=STSv1; id=a;", 'y" "z', ttl=60)]))
    assert made.record.after == RecordSet(
        NAME, 60, ('"x"', '"v=STSv1; id=20261124040506;"', '"y" "z"')
    )


def test_extension_fields_stay() -> None:
    made = plan(findings(record_sets=[txt("v=STSv1; id=a; note=b;")]))
    assert Record.parse(made.record.new) == Record("20261124040506", (("note", "b"),))


def test_malformed_value_is_replaced_and_its_neighbours_kept() -> None:
    made = plan(findings(record_sets=[txt("other", "v=STSv1; id=not-allowed!;")]))
    assert values_after(made) == ('"other"', '"v=STSv1; id=20261124040506;"')
    assert any("malformed" in warning for warning in made.warnings)


def test_no_record_set_gets_one_and_the_negative_ttl_is_waited_out() -> None:
    made = plan(findings(record_sets=[]))
    assert made.record.before is None
    assert values_after(made) == ('"v=STSv1; id=20261124040506;"',)
    assert made.record.wait_seconds == 900
    assert any("No STS record of its own stands" in warning for warning in made.warnings)


def test_a_set_without_sts_value_gets_one_beside_the_others() -> None:
    made = plan(findings(record_sets=[txt("other", ttl=7200)]))
    assert values_after(made) == ('"other"', '"v=STSv1; id=20261124040506;"')
    assert made.record.wait_seconds == 7200


@pytest.mark.parametrize("method", ["none-policy", "delete-record"])
@pytest.mark.parametrize(
    "more",
    [
        {"record_sets": [txt("v=STSv1; id=1;", ttl=1_209_601)]},
        {"record_sets": [], "negative_ttl": 1_209_601},
        {"longest_ttl": 2**31 - 1},
    ],
)
def test_a_ttl_that_no_run_can_wait_out_is_refused(more: dict[str, Any], method: str) -> None:
    build = plan if method == "none-policy" else deletion
    with pytest.raises(
        RecordConflictError, match=r"more than 14 days\. Nothing was changed\. Lower"
    ):
        build(findings(**more))
    assert build(findings(longest_ttl=1_209_600)).record.wait_seconds == 1_209_600


def test_longer_ttls_that_were_seen_are_waited_out() -> None:
    assert plan(findings(longest_ttl=86400)).record.wait_seconds == 86400


@pytest.mark.parametrize("word", ["v=STSv1beta-1", "v=STSv1beta; id=1;", "v=STSv10", "v=STSv1.1"])
def test_a_longer_word_that_begins_so_is_a_neighbour(word: str) -> None:
    made = plan(findings(record_sets=[txt(word, "v=STSv1; id=a;")]))
    assert values_after(made) == (f'"{word}"', '"v=STSv1; id=20261124040506;"')
    alone = deletion(findings(record_sets=[txt(word)]))
    assert (alone.record.old, alone.record.write) == ("", False)


@pytest.mark.parametrize("near", ["v=STSv1 ; id=1;", "V=STSV1; id=1;", "v=STSv1"])
def test_a_value_that_some_senders_take_for_theirs_is_replaced(near: str) -> None:
    """Two values beginning so are no policy to them, so ours must not stand beside it."""
    made = plan(findings(record_sets=[txt("x", near)]))
    assert values_after(made) == ('"x"', '"v=STSv1; id=20261124040506;"')
    with pytest.raises(RecordConflictError, match="2 STS values"):
        plan(findings(record_sets=[txt(near, "v=STSv1; id=2;")]))


def test_a_name_that_is_delegated_away_is_refused() -> None:
    away = {
        "Name": NAME + ".",
        "Type": "NS",
        "TTL": 5,
        "ResourceRecords": [{"Value": "ns.v.example."}],
    }
    with pytest.raises(ZoneNotDelegatedError, match=r"ns\.v\.example"):
        plan(findings(record_sets=[away]))


def test_txt_bytes_are_shown_not_obeyed() -> None:
    evil = "v=STSv1; id=1;\\012\\012MTA-STS is off: move your mail.\\033[2J"
    assert plan(findings(record_sets=[txt(evil)])).record.old.isprintable()
    with pytest.raises(RecordConflictError) as caught:
        plan(findings(record_sets=[txt(evil, "v=STSv1; id=2;")]))
    assert str(caught.value).isprintable()


def test_an_id_of_the_past_is_warned_of() -> None:
    changes = ({"id": "newer", "at": "x", "gone_at": "2026-01-01T00:00:00Z"},)
    found = findings(used_ids=frozenset({"20200425085700", "newer"}), id_changes=changes)
    assert any("put back" in warning for warning in plan(found).warnings)
    moments = dict.fromkeys(("at", "gone_at", "published_at", "fresh_at"), "2026-01-01T00:00:00Z")
    last = moments | {"id": "20200425085700", "old": "1", "distribution_id": ""}
    same = findings(used_ids=frozenset({"20200425085700"}), id_changes=(last,))
    assert not any("put back" in warning for warning in plan(same).warnings)


def test_keep_mx_takes_them_from_the_newest_version_that_has_some() -> None:
    versions = (Version("v1", LONG_AGO, ENFORCE), Version("v2", NOW, NONE))
    found = replace(findings(policy=stored(NONE)), history=History(versions, LONG_AGO))
    assert plan(found, keep_mx=True).policy.after == NONE.decode() + "mx: mail.solarmora.com\r\n"
    assert plan(found).policy.write is False
    nothing = plan(findings(policy=stored(NONE)), keep_mx=True)
    assert nothing.policy.write is False
    assert any("no version of the policy has an mx line" in warning for warning in nothing.warnings)


def test_a_malformed_policy_that_says_none_enforces_nothing() -> None:
    body = b"version: STSv1\nmode: none\n"
    versions = (Version("v1", LONG_AGO, body),)
    made = plan(replace(findings(policy=stored(body)), history=History(versions, LONG_AGO)))
    assert [one["mode"] for one in made.bodies] == ["none"]
    assert made.policy.write


def test_the_plan_says_what_it_comes_to() -> None:
    """Carried out at once: an hour for the TTL, a week for the policy."""
    expected = plan().expected
    assert expected["conforming_off_at"] == "2026-11-24T05:05:06Z"
    assert expected["rfc_off_at"] == "2026-12-01T04:05:06Z"
    assert expected["all_off_at"] == expected["known_off_at"] == "2026-12-01T05:05:06Z"
    assert expected["off"]["sentence"] in plan().summary
    assert [one["answer"] for one in expected["mx"]["choices"]] == [
        "now",
        "now with overlap",
        "from all_off_at",
        "better for a plain move",
    ]


def test_no_id_is_used_twice() -> None:
    used = frozenset({"20261124040506"})
    fresh = plan(findings(used_ids=used)).record.new_id
    assert fresh not in used
    assert (
        plan(findings(record_sets=[txt("v=STSv1; id=20261124040506;")])).record.new_id
        != "20261124040506"
    )


@pytest.mark.parametrize(
    ("record_sets", "said"),
    [
        ([txt("v=STSv1; id=a;", "v=STSv1; id=b;")], "2 STS values"),
        ([txt("v=STSv1; id=a;", SetIdentifier="x", Weight=1)], "weighted"),
        ([txt("v=STSv1; id=a;", SetIdentifier="x", Region="eu-west-1")], "latency"),
        (
            [txt("v=STSv1; id=a;", SetIdentifier="x", GeoLocation={"CountryCode": "*"})],
            "geolocation",
        ),
        ([txt("v=STSv1; id=a;", SetIdentifier="x", Failover="PRIMARY")], "failover"),
        ([txt("v=STSv1; id=a;", SetIdentifier="x", MultiValueAnswer=True)], "multivalue"),
        ([txt("v=STSv1; id=a;", SetIdentifier="x")], "routed"),
        ([{"Name": NAME + ".", "Type": "TXT", "AliasTarget": {"DNSName": "x."}}], "alias"),
        (
            [
                {
                    "Name": NAME + ".",
                    "Type": "CNAME",
                    "TTL": 5,
                    "ResourceRecords": [{"Value": "v.example."}],
                }
            ],
            "CNAME to v.example:",
        ),
    ],
)
def test_record_conflicts(record_sets: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(RecordConflictError, match="Nothing was changed") as caught:
        plan(findings(record_sets=record_sets))
    assert said in str(caught.value)


# --- the digest


def test_the_same_tomorrow_is_the_same_plan() -> None:
    today = plan(dry_run=True, ticket="CHG-1")
    tomorrow = plan(now=NOW + timedelta(days=1), approved_plan=today.digest, requested_by="Ada")
    assert tomorrow.digest == today.digest
    assert tomorrow.record.new_id != today.record.new_id


@pytest.mark.parametrize(
    "found",
    [
        findings(policy=stored(ENFORCE + b"mx: new.example\n")),
        findings(policy=stored(content_type="binary/octet-stream")),
        findings(policy=stored(tagging="a=b")),
        findings(record_sets=[txt("v=STSv1; id=other;")]),
        findings(record_sets=[txt("v=STSv1; id=20200425085700;", ttl=60)]),
        findings(record_sets=[txt("v=STSv1; id=20200425085700;", "neighbour")]),
        findings(location=Location("elsewhere", "k")),
        findings(location=Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt", "E1")),
    ],
)
def test_another_plan_is_not_the_approved_one(found: Any) -> None:
    approved = plan(dry_run=True).digest
    with pytest.raises(PlanChangedError, match=approved) as caught:
        plan(found, approved_plan=approved)
    assert "Nothing was changed" in str(caught.value)


@pytest.mark.parametrize("asked", [{"keep_mx": True}])
def test_other_options_are_another_plan(asked: dict[str, Any]) -> None:
    assert plan(**asked).digest != plan().digest


def test_hosts_edited_after_the_approval_are_another_plan() -> None:
    """The answers about them were shown to whoever has approved."""
    shown = ["mx1.new.example", "mx2.new.example"]
    approved = plan(new_mx=shown).digest
    assert plan(new_mx=shown[::-1], approved_plan=approved).digest == approved
    for edited in (shown[:1], [*shown, "mx3.new.example"]):
        with pytest.raises(PlanChangedError):
            plan(new_mx=edited, approved_plan=approved)
    with pytest.raises(PlanChangedError):
        plan(approved_plan=approved)


# --- what exposure is computed from


def test_bodies_are_told_with_their_end() -> None:
    later = LONG_AGO + timedelta(days=10)
    gone = LONG_AGO + timedelta(days=20)
    again = LONG_AGO + timedelta(days=30)
    versions = (
        Version("v1", LONG_AGO, ENFORCE),
        Version("v2", later, None),  # archived: cannot be read
        Version("v3", gone, None, deleted=True),
        Version("v4", again, NONE),
    )
    made = plan(replace(findings(policy=stored(NONE)), history=History(versions, LONG_AGO)))
    told = [
        (body["version"], body["mode"], body["max_age"], body["replaced_at"])
        for body in made.bodies
    ]
    assert told == [
        ("v1", "enforce", 604800, "2025-07-22T04:05:06Z"),
        ("v2", "unknown", None, "2025-08-01T04:05:06Z"),  # a delete marker ends a body
        ("v4", "none", 86400, None),
    ]
    assert set(made.policy.known.values()) == {
        "the version of 2025-07-12T04:05:06Z",
        "the present policy",
    }


def test_unknown_history_is_said() -> None:
    made = plan(findings(history=History((), None, "the bucket keeps no versions")))
    assert any("the bucket keeps no versions" in warning for warning in made.warnings)
