"""What `restore` puts back, what it leaves alone, and what it refuses."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.errors import (
    MtaStsError,
    NothingToRestoreError,
    RecordConflictError,
)
from mta_sts.instants import stamp
from mta_sts.live_mx import LiveMx, MxAnswer, live_mx
from mta_sts.observed import Findings, Location
from mta_sts.plan import Plan
from mta_sts.policy import MAX_BODY, read, served_mode
from mta_sts.record_set import RecordSet
from tests.unit.plans import ENFORCE, NAME, NONE, NOW, findings, history, plan, policy, stored, txt

FIRST_ID, OFF_ID = "20200425085700", "20261114040506"
SAVED_AT = stamp(NOW - timedelta(days=10))
HOST = "mail.solarmora.com"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def mx_of(*hosts: str, **more: Any) -> LiveMx:
    """The live MX as one server tells it; an empty name makes it a null MX."""
    told = {"outcome": "present" if hosts else "absent", "hosts": tuple((10, one) for one in hosts)}
    return live_mx("solarmora.com", [MxAnswer("solarmora.com", "ns1", "192.0.2.1", **told | more)])


UNKNOWN = mx_of(outcome="unreachable", detail="timed out")
NULL, IMPLICIT, ELSEWHERE = mx_of(""), mx_of(), mx_of("mx.elsewhere.example")


def saved(body: bytes = ENFORCE, **changes: Any) -> dict[str, Any]:
    """The policy as a run has saved it."""
    kept = {"body": body, "sha256": sha256(body), "media_type": "text/plain", "headers": {},
            "tagging": "", "bucket": "mta-sts.solarmora.com", "key": ".well-known/mta-sts.txt",
            "version": "v1"}  # fmt: skip
    return kept | changes


def remembered(
    body: bytes = ENFORCE,
    *,
    values: tuple[str, ...] = (f"v=STSv1; id={FIRST_ID};",),
    kind: str = "TXT",
    **changes: Any,
) -> dict[str, Any]:
    """What the ledger has of a domain that was turned off ten days ago."""
    quoted = [f'"{value}"' for value in values] if kind == "TXT" else list(values)
    record = {"type": kind, "ttl": 1800, "values": quoted}
    item = {
        "saved": {"policy": saved(body), "record": record, "saved_at": SAVED_AT},
        "ours": {"policies": [sha256(NONE)], "ids": [OFF_ID]},
        "current_id": OFF_ID,
    }
    return item | changes


def off(body: bytes = ENFORCE, *, now_there: bytes | None = NONE, **more: Any) -> Findings:
    """A domain that was turned off: what a survey finds for its restore."""
    found: dict[str, Any] = {
        "policy": stored(now_there) if now_there is not None else None,
        "missing": now_there is None,
        "history": history((400, body), (10, now_there or NONE)),
        "record_sets": [txt(f"v=STSv1; id={OFF_ID};")],
        "used_ids": frozenset({FIRST_ID, OFF_ID}),
        "remembered": remembered(body),
        "live_mx": mx_of(HOST),
    }
    return findings(**found | more)


def restored(found: Findings | None = None, **asked: Any) -> Plan:
    return plan(found or off(), method="restore", **asked)


def refused(error: type[MtaStsError], found: Findings, **asked: Any) -> str:
    with pytest.raises(error, match="Nothing was changed") as caught:
        restored(found, **asked)
    return str(caught.value)


def carried(made: Plan) -> Plan:
    """The plan as a later state reads it."""
    return Plan.from_dict(json.loads(json.dumps(made.to_dict())))


def filled(unit: bytes) -> bytes:
    """A policy of 64 KiB, the most that senders read."""
    return (policy() + unit * MAX_BODY)[:MAX_BODY]


# --- the bytes

CRLF = ENFORCE.replace(b"\n", b"\r\n")
BODIES = {
    "LF": ENFORCE,
    "CRLF": CRLF,
    "no end of the last line": ENFORCE.removesuffix(b"\n"),
    "malformed mode": ENFORCE.replace(b"enforce", b"enforced"),
    "not UTF-8": ENFORCE + b"note: caf\xe9 \xff\x00\n",
    "UTF-8": ENFORCE + "note: café\n".encode(),
    "no policy": b"hello",
    "empty": b"",
    "64 KiB": filled(b"x: y\r\n"),
    "64 KiB of empty lines": filled(b"\n"),
    "64 KiB not UTF-8": filled(b"\xff"),
    "64 KiB of UTF-8": filled("é".encode()),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_saved_bytes_are_put_back(body: bytes) -> None:
    made = carried(restored(off(body), accept_mx_mismatch=True))
    assert made.policy.body == body
    assert made.policy.after_sha256 == sha256(body)
    assert made.policy.write
    assert made.publishes, "they are proven to be served before the id changes"
    assert made.policy.before_sha256 == sha256(NONE), "which the write is conditional on"
    assert made.policy.etag == '"etag"'


@given(st.binary(max_size=300).filter(lambda body: served_mode(read(body)) != "none"))
def test_whatever_the_bytes_are(body: bytes) -> None:
    made = carried(restored(off(body), accept_mx_mismatch=True))
    assert made.policy.body == body


def test_media_type_headers_and_tags_are_as_they_were() -> None:
    """Not as they are now: none-policy added no-store, and text/plain where it was something else."""
    kept = saved(
        media_type="text/plain; charset=us-ascii",
        headers={"CacheControl": "max-age=60", "Metadata": {"owner": "mail"}},
        tagging="team=mail",
    )
    now_there = replace(
        stored(NONE), headers={"CacheControl": "no-store", "Metadata": {"by": "us"}}, tagging="x=y"
    )
    item = remembered() | {"saved": remembered()["saved"] | {"policy": kept}}
    change = carried(restored(off(policy=now_there, remembered=item))).policy
    assert change.content_type == "text/plain; charset=us-ascii"
    assert change.headers == {"CacheControl": "max-age=60", "Metadata": {"owner": "mail"}}
    assert change.tagging == "team=mail"


def test_an_object_that_is_gone_is_written_anew() -> None:
    item = remembered(ours={"policies": [""], "ids": [OFF_ID]})
    made = restored(off(now_there=None, remembered=item))
    assert (made.policy.etag, made.policy.write) == ("", True)
    assert made.policy.body == ENFORCE


@pytest.mark.parametrize(
    ("there", "media_type", "write"),
    [(ENFORCE, "text/plain", False), (ENFORCE, "text/html", True), (CRLF, "text/plain", True)],
)
def test_what_stands_as_saved_is_not_written_and_the_id_is_fresh_all_the_same(
    there: bytes,
    media_type: str,
    write: bool,  # noqa: FBT001
) -> None:
    ours = {"policies": [sha256(there)], "ids": [OFF_ID]}
    found = off(policy=stored(there, media_type), remembered=remembered(ours=ours))
    made = restored(found)
    assert made.policy.write is write
    assert made.publishes
    assert made.record.write
    assert made.record.new_id not in {FIRST_ID, OFF_ID}


def test_another_place_than_the_saved_one_is_said() -> None:
    [said] = [
        each
        for each in restored(off(location=Location("new", "key"))).warnings
        if "saved from" in each
    ]
    assert said == (
        "The policy was saved from s3://mta-sts.solarmora.com/.well-known/mta-sts.txt, and is put back to"
        " s3://new/key."
    )
    assert not any("saved from" in each for each in restored().warnings)


@pytest.mark.parametrize(("body", "line"), [(BODIES["malformed mode"], 2), (b"\n" + ENFORCE, 1)])
def test_what_is_malformed_is_told_and_put_back(body: bytes, line: int) -> None:
    [said] = [each for each in restored(off(body)).warnings if "malformed" in each]
    assert said.startswith(f"The saved policy is malformed, line {line}: ")
    assert said.endswith("It is put back as it was.")


# --- restore_mode: testing


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"mode: enforce\n", b"mode: testing\n"),
        (b"mode: enforce\r\n", b"mode: testing\r\n"),
        (b"mode: enforce", b"mode: testing"),
        (b"mode:enforce \t\n", b"mode:testing\n"),
        (b" mode\t:\tenforce\n", b" mode\t:\ttesting\n"),
        (b"mode: enforced\n", b"mode: testing\n"),
        (b"mode: \xff\n", b"mode: testing\n"),
        (b"mode:\n", b"mode:testing\n"),
        (b"mode: testing\n", b"mode: testing\n"),
        # What some sender takes for the mode must not enforce either.
        (b"mode: enforce\nmode: enforce\n", b"mode: testing\nmode: testing\n"),
        (b"Mode: enforce\nmode: enforce\n", b"Mode: testing\nmode: testing\n"),
        (b"\xef\xbb\xbfmode: enforce\n", b"\xef\xbb\xbfmode: testing\n"),
        (b"modes: enforce\nmode: enforce\n", b"modes: enforce\nmode: testing\n"),
        (b"x: mode: enforce\nmode: enforce\n", b"x: mode: enforce\nmode: testing\n"),
    ],
)
@pytest.mark.parametrize("before", [b"", b"\n# caf\xe9\r\nversion: STSv1\r\n"])
def test_testing_changes_the_mode_and_nothing_else(
    was: bytes, becomes: bytes, before: bytes
) -> None:
    after = b"max_age: 604800\r\nmx: mail.solarmora.com\nmode-of-operation: enforce \n\n"
    if not was.endswith(b"\n"):
        before, after = before + after.strip() + b"\n", b""
    made = carried(restored(off(before + was + after), restore_mode="testing"))
    assert made.policy.body == before + becomes + after
    assert read(made.policy.body).mode == "testing"


def test_testing_where_no_mode_can_be_found_is_said() -> None:
    found = off(b"version: STSv1\nmx: mail.solarmora.com\nmax_age: 1\n")
    said = "restore_mode: testing changes nothing, because the saved policy has no mode line"
    assert any(each.startswith(said) for each in restored(found, restore_mode="testing").warnings)
    for fine in (restored(found), restored(restore_mode="testing")):
        assert not any(each.startswith(said) for each in fine.warnings)


# --- the id, and the record


def test_three_ids_over_disabling_and_restoring_though_the_clock_stands_still() -> None:
    disabled = plan(used := findings(used_ids=frozenset({"20261124040506a"})))
    assert disabled.record.after is not None
    ids = {disabled.record.old_id, disabled.record.new_id}
    back = restored(
        off(
            now_there=disabled.policy.body,
            record_sets=[txt(disabled.record.new)],
            used_ids=used.used_ids | ids,
            remembered=remembered(
                ours={"policies": [disabled.policy.after_sha256], "ids": [disabled.record.new_id]}
            ),
        )
    )
    assert back.policy.body == ENFORCE
    assert back.record.new_id not in ids | used.used_ids
    assert len({*ids, back.record.new_id}) == 3
    assert f"id={back.record.new_id};" in back.record.new


def test_other_values_and_the_ttl_stay_as_they_are_now() -> None:
    found = off(record_sets=[txt("new=1", f"v=STSv1; id={OFF_ID}; now=1;", "v=spf1 -all", ttl=77)])
    record = restored(found).record
    new = f'"v=STSv1; id={record.new_id}; now=1;"'
    assert record.after == RecordSet(NAME, 77, ('"new=1"', new, '"v=spf1 -all"'))


@pytest.mark.parametrize(
    ("there", "ttl", "values"),
    [
        ([], 1800, ()),  # nothing at all: the TTL that it had
        ([txt("new=1", "v=spf1 -all", ttl=77)], 77, ('"new=1"', '"v=spf1 -all"')),
    ],
)
def test_a_record_that_was_withdrawn_is_made_again(
    there: list[Mapping[str, Any]], ttl: int, values: tuple[str, ...]
) -> None:
    item = remembered(
        values=("old=1", f"v=STSv1; id={FIRST_ID}; a=b; c.d=e/f;"),
        ours={"policies": [sha256(NONE)], "ids": [""]},
    )
    record = restored(off(record_sets=there, remembered=item)).record
    assert record.new == f"v=STSv1; id={record.new_id}; a=b; c.d=e/f;"
    assert record.after == RecordSet(NAME, ttl, (*values, f'"{record.new}"'))
    assert record.new_id not in {FIRST_ID, OFF_ID}


@pytest.mark.parametrize("saved_record", [None, {"ttl": 60, "values": ['"other"']}])
def test_a_record_that_never_was_is_made(saved_record: dict[str, Any] | None) -> None:
    item = remembered(ours={"policies": [sha256(NONE)], "ids": [""]})
    item["saved"]["record"] = saved_record
    record = restored(off(record_sets=[], remembered=item)).record
    assert record.after == RecordSet(
        NAME, saved_record["ttl"] if saved_record else 300, (f'"v=STSv1; id={record.new_id};"',)
    )


def test_a_cname_that_was_withdrawn_is_not_put_back() -> None:
    item = remembered(values=("sts.vendor.example.",), kind="CNAME")
    item["ours"]["ids"] = [""]
    said = refused(RecordConflictError, off(record_sets=[], remembered=item))
    assert f"{NAME} was a CNAME to sts.vendor.example.: the id belongs to" in said
    assert "then put the CNAME back by hand." in said


# --- nothing to restore


@pytest.mark.parametrize(
    "item", [{}, {"ids": {FIRST_ID}}, {"saved": {"policy": None, "record": None, "saved_at": "x"}}]
)
def test_nothing_was_saved(item: dict[str, Any]) -> None:
    said = refused(NothingToRestoreError, off(remembered=item), accept_mx_mismatch=True)
    assert said.startswith("Nothing was saved of solarmora.com: ")
    assert "then use change-id" in said


@pytest.mark.parametrize("body", [NONE, b"mode: none", b" mode : none\n\xff"])
def test_what_was_saved_says_none(body: bytes) -> None:
    said = refused(NothingToRestoreError, off(body), restore_mode="testing")
    assert said.startswith("The policy that was saved of solarmora.com says none itself")
