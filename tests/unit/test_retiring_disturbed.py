"""What ends a retirement: somebody changed what the drain rests on, or it is not due any more."""

from dataclasses import replace
from typing import Any

import pytest

from mta_sts.errors import DrainDisturbedError, PolicyUnreadableError, SupersededError
from mta_sts.instants import stamp
from mta_sts.observed import Version
from mta_sts.policy_check import Fetched
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    HOST,
    NONE,
    NOT_FOUND,
    SILENT,
    answered,
    findings,
    plan,
    policy,
    txt,
)
from tests.unit.test_restoring import off, restored
from tests.unit.test_restoring_refused import ours_of
from tests.unit.test_retiring import MARGIN, SECOND, Life, begun, retirement, said

LIFE = begun()
NEW_ID = LIFE.first.record.new_id
REMOVING = begun(findings(versioning="Enabled"), remove_policy=True)
IN_FORCE = answered(policy("enforce", "mx.somebody.example"))
OTHER_ADDRESS = "192.0.2.2"


def disturbed(*fetched: Fetched, life: Life = LIFE, **changes: Any) -> str:
    told = said(DrainDisturbedError, life, life.at, *fetched, **changes)
    assert told.startswith("solarmora.com is to lose its record now, but ")
    assert "send retire again as at first, for a new drain" in told
    return told


def test_where_nothing_was_changed_it_goes_on() -> None:
    made = LIFE.goes_on(LIFE.at)
    assert made.record.write
    assert made.policy.write is False
    assert not made.policy.remove
    assert REMOVING.goes_on(REMOVING.at, versioning="Enabled").policy.remove


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (ENFORCE, "the policy object says enforce;"),
        (policy("testing"), "the policy object says testing;"),
        (b"hello", "the policy object says malformed;"),
        (None, "the policy object is gone;"),
    ],
)
def test_the_object_has_to_say_none(there: bytes | None, says: str) -> None:
    fetched = NOT_FOUND if there is None else answered(there)
    assert says in disturbed(fetched, there=there)


def test_the_object_alone_disturbs_it() -> None:
    assert "the policy object says enforce. What" in disturbed(
        answered(LIFE.first.policy.body), there=ENFORCE
    )


@pytest.mark.parametrize(
    ("record_sets", "says"),
    [
        ([txt("v=STSv1; id=somebody;")], "the record says v=STSv1; id=somebody;, and not the id"),
        (
            [txt("v=STSv1; id=20200425085700;")],
            "the record says v=STSv1; id=20200425085700;, and not",
        ),
        ([txt(f"v=STSv1; id={NEW_ID};", "v=STSv1; id=2;")], "id=2;, and not the id"),
        ([txt("v=STSv1; id=not-one;")], "the record says v=STSv1; id=not-one;, and not the id"),
        ([], "the record is gone already"),
        ([txt("v=spf1 -all")], "the record is gone already"),
    ],
)
def test_the_record_has_to_bear_our_id(record_sets: list[Any], says: str) -> None:
    told = disturbed(record_sets=record_sets)
    assert says in told
    assert "already" in says or f"the id {NEW_ID} that this stack has published" in told


def test_neighbours_and_the_ttl_may_have_changed() -> None:
    made = LIFE.goes_on(
        LIFE.at, record_sets=[txt("new=1", f"v=STSv1; id={NEW_ID}; x=y;", "v=spf1 -all", ttl=60)]
    )
    assert made.record.after is not None
    assert made.record.after.values == ('"new=1"', '"v=spf1 -all"')


@pytest.mark.parametrize(
    ("fetched", "says"),
    [
        ((IN_FORCE,), f"{ADDRESS} of {HOST} serves a policy that S3 has no version of, mode enforce"),
        ((answered(ENFORCE),), f"{ADDRESS} of {HOST} serves"),
        ((answered(policy("testing")),), "mode testing"),
        ((answered(ENFORCE.replace(b"enforce", b"enforced")),), "mode malformed"),
        # None of somebody else's: what that host served before is not known.
        ((answered(b"version: STSv1\nmode: none\nmax_age: 1\n"),), "has no version of, mode none"),
        ((NOT_FOUND,), f"{ADDRESS} of {HOST} serves"),
        ((answered(b"<html>"),), f"{ADDRESS} of {HOST} serves other content"),
        ((answered(NONE), answered(ENFORCE, OTHER_ADDRESS)), f"{OTHER_ADDRESS} of {HOST} serves"),
        ((Fetched(ADDRESS, "certificate", detail="expired"),), "serves certificate: expired"),
        ((SILENT,), f"{ADDRESS} gave no answer (timed out); {HOST} has no address that answers"),
        ((answered(NONE), replace(SILENT, address=OTHER_ADDRESS)), f"{OTHER_ADDRESS} gave no answer"),
        ((answered(b"x", status=503),), f"{ADDRESS} answered with status 503"),
    ],
)  # fmt: skip
def test_every_address_has_to_serve_none(fetched: tuple[Fetched, ...], says: str) -> None:
    assert says in disturbed(*fetched)


def test_a_host_without_an_address_serves_nothing() -> None:
    made = LIFE.found(LIFE.at)
    nowhere = {**made.host, "agreeing": [], "doubts": []}
    assert f"but {HOST} has no address that answers. What" in disturbed(host=nowhere)


def test_an_earlier_none_that_is_still_served_is_none() -> None:
    """Of two none policies either will do: nobody enforces by one."""
    earlier = Version("v0", LIFE.versions[0].since, b"mode: none\n")
    life = replace(LIFE, versions=(earlier, *LIFE.versions))
    assert life.goes_on(life.at, answered(b"mode: none\n")).retires


def test_an_ipv6_address_that_cannot_be_asked_beside_ipv4_is_no_disturbance() -> None:
    unreached = replace(SILENT, address="2001:db8::1", reached=False)
    assert LIFE.goes_on(LIFE.at, answered(LIFE.first.policy.body), unreached).retires


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = disturbed(SILENT, there=ENFORCE, record_sets=[])
    for part in ("says enforce; ", "is gone already; ", "gave no answer"):
        assert part in told


def test_a_disturbance_comes_before_the_date() -> None:
    """Nobody needs to wait for a drain that will be refused."""
    said(DrainDisturbedError, LIFE, LIFE.at - SECOND, there=ENFORCE)


# --- one that ended half way


def half(monkeypatch: pytest.MonkeyPatch, life: Life, **changes: Any) -> Life:
    """A retirement that took the domain, and then ended."""
    made = life.goes_on(life.at, versioning="Enabled", **changes)
    asked = {name: value for name, value in made_request(life).items() if name != "method"}
    return replace(life, item={**life.item, "ours": ours_of(monkeypatch, made, **asked)})


def made_request(life: Life) -> dict[str, Any]:
    due = {"kind": "retirement", "generation": 2, "at": stamp(life.at)}
    return {**life.item["due"]["retirement"]["request"], "due": due}


def test_before_it_deleted_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    again = half(monkeypatch, LIFE)
    assert again.item["ours"]["ids"] == ["", NEW_ID]
    assert again.goes_on(again.at).record.write


@pytest.mark.parametrize("neighbours", [[], [txt("v=spf1 -all")]])
def test_after_the_record_is_gone(
    monkeypatch: pytest.MonkeyPatch, neighbours: list[dict[str, Any]]
) -> None:
    again = half(monkeypatch, LIFE)
    for _ in range(2):  # however often it ends there
        made = again.goes_on(again.at, record_sets=neighbours)
        assert not made.record.write
        assert made.record.found == NEW_ID, "which the ledger is told that the run took away"
        again = half(monkeypatch, again, record_sets=neighbours)
        assert again.item["ours"]["ids"] == ["", NEW_ID]
    assert "the policy object says enforce" in disturbed(
        life=again, record_sets=neighbours, there=ENFORCE
    )


def test_after_the_policy_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    again = half(monkeypatch, REMOVING)
    assert "" in again.item["ours"]["policies"]
    marker = Version("v3", again.at, None, deleted=True)
    gone: dict[str, Any] = {"record_sets": [], "there": None, "versioning": "Enabled"}
    removed = replace(again, versions=(*again.versions, marker))
    for fetched in (NOT_FOUND, SILENT):  # nobody has to serve anything any more
        made = removed.goes_on(removed.at + MARGIN, fetched, **gone)
        assert (made.policy.etag, made.policy.remove, made.record.write) == ("", True, False)
    # Somebody put another one there since.
    there = gone | {"there": ENFORCE}
    assert "the policy object says enforce" in disturbed(life=removed, **there)


def test_who_was_not_to_remove_the_policy_does_not_take_its_absence_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = half(monkeypatch, LIFE)
    told = disturbed(NOT_FOUND, life=again, record_sets=[], there=None)
    assert "the policy object is gone" in told


# --- what is not due any more


def due(**changes: Any) -> dict[str, Any]:
    return {"kind": "retirement", "generation": 2, "at": stamp(LIFE.at)} | changes


@pytest.mark.parametrize(
    "changes", [{"generation": 1}, {"generation": 3}, {"at": stamp(LIFE.at + SECOND)}]
)
def test_of_another_generation_or_moment_is_superseded(changes: dict[str, Any]) -> None:
    told = said(SupersededError, LIFE, LIFE.at, due=due(**changes))
    assert told.startswith(
        f"What was due for solarmora.com at {due(**changes)['at']} (retirement) "
    )
    # Whatever else would be refused.
    said(SupersededError, LIFE, LIFE.at, SILENT, due=due(**changes), there=ENFORCE, record_sets=[])


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"generation": 2},
        {"generation": 2, "due": {}},
        {"generation": 2, "due": {"drained": {"at": stamp(LIFE.at), "request": {}}}},
        {"due": LIFE.item["due"]},
    ],
)
def test_without_such_an_entry_it_is_superseded(item: dict[str, Any]) -> None:
    """A second delivery after the first was confirmed, a run by hand in between, an item that is lost."""
    said(SupersededError, LIFE, LIFE.at, remembered=item)


def test_a_restore_is_superseded_likewise() -> None:
    entry = {"at": stamp(LIFE.at), "request": {"method": "restore"}}
    item = {**off().remembered, "generation": 5, "due": {"restore": entry}}
    asked = {"kind": "restore", "generation": 5, "at": stamp(LIFE.at)}
    assert restored(off(remembered=item), due=asked).due == asked
    for other in ({"generation": 4}, {"at": stamp(LIFE.at - SECOND)}):
        with pytest.raises(SupersededError, match="Nothing was changed"):
            restored(off(remembered=item), due=asked | other)


def test_a_run_by_hand_is_never_superseded() -> None:
    assert not plan(method="retire").retires
    made = LIFE.found(LIFE.at, remembered={})
    assert not plan(made, method="delete-record", now=LIFE.at).retires


# --- where removing would be for good


@pytest.mark.parametrize(
    ("versioning", "says"), [("", "is not switched on"), ("Suspended", "is Suspended")]
)
def test_without_versioning_no_policy_is_removed(versioning: str, says: str) -> None:
    """Neither promised, nor done where it was switched off in mid-drain."""
    with pytest.raises(PolicyUnreadableError, match="Nothing was changed") as promised:
        plan(findings(versioning=versioning), method="retire", remove_policy=True)
    with pytest.raises(PolicyUnreadableError, match="Nothing was changed") as done:
        REMOVING.goes_on(REMOVING.at, versioning=versioning)
    for caught in (promised, done):
        told = str(caught.value)
        assert f"would delete s3://{HOST}/.well-known/mta-sts.txt for good, because" in told
        assert f"versioning {says}." in told
    assert plan(findings(versioning=versioning), method="retire").method == "retire"
    assert retirement(versioning=versioning).retires, "which leaves it alone"
