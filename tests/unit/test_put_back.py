"""A policy that came back in mid-drain: who may announce it, and what was vouched for before it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from mta_sts.attesting import only_what_is_so
from mta_sts.errors import DrainDisturbedError, InvalidRequestError
from mta_sts.instants import stamp
from mta_sts.plan import Plan
from tests.unit.plans import ENFORCE, NONE, NOW, WEEK, findings, history, plan, policy, stored
from tests.unit.sights import ALL_OFF, codes, draining, item, outcome, request, watch

LONGER = policy("enforce", max_age=2 * WEEK)
CARRIED = {"longest_max_age": WEEK, "ids_changed_since": None}


def changed(body: bytes = ENFORCE, asked: dict[str, Any] | None = None, **more: Any) -> Plan:
    """A plan of change-id for a domain that drains after none-policy."""
    found = findings(policy=stored(body), remembered=item(**more))
    return plan(found, method="change-id", **(asked or {}))


@pytest.mark.parametrize(
    "body", [ENFORCE, policy("testing"), b"hello"], ids=["enforced", "testing", "malformed"]
)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"all_off_at": None},
        {"all_off_at": stamp(NOW), "due": {"retirement": {"at": stamp(ALL_OFF), "request": {}}}},
        {"current_id": ""},  # it published none, and then deleted the record
    ],
    ids=["draining", "no date", "retiring", "withdrawn"],
)
def test_what_came_back_in_a_drain_is_not_announced(body: bytes, more: dict[str, Any]) -> None:
    """That would turn MTA-STS on again, and cancel what is due."""
    with pytest.raises(DrainDisturbedError, match="Nothing was changed") as caught:
        changed(body, **more)
    told = str(caught.value)
    assert "Send none-policy to turn it off again" in told
    assert "or restore to turn it on with the policy that was saved" in told
    [digest] = re.findall(r"accept_current: ([0-9a-f]{64})$", told)
    assert changed(body, {"accept_current": digest}, **more).policy.after_mode != "none"
    with pytest.raises(DrainDisturbedError):
        changed(body + b"x: y\n", {"accept_current": digest}, **more)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (NONE, {}),  # it mends the drain
        (ENFORCE, {"phase": "on"}),
        (ENFORCE, {"phase": "retired"}),
        (ENFORCE, {"all_off_at": stamp(NOW), "due": {}}),  # the drain is over
        (ENFORCE, {"current_id": "", "moments": {}}),  # the record alone was deleted
    ],
)
def test_else_what_stands_there_is_announced(body: bytes, more: dict[str, Any]) -> None:
    assert changed(body, **more).record.new_id


# --- what was vouched for when the drain began


def put_back(**asked: Any) -> Plan:
    """Change-id after a longer policy was there for a day, and none is again."""
    versions = history((400, ENFORCE), (3, NONE), (2, LONGER), (1, NONE))
    found = findings(policy=stored(NONE), history=versions, remembered=item(attested=CARRIED))
    return plan(found, method="change-id", **asked)


def test_what_the_ledger_carried_on_and_is_not_so_is_left_out() -> None:
    made = put_back()
    assert made.longest_max_age is None
    [told] = [one for one in made.warnings if "vouched for" in one]
    assert "longest_max_age says 604800, but the policy v3 has 1209600." in told


def test_what_the_caller_says_has_to_be_so() -> None:
    with pytest.raises(InvalidRequestError, match="longest_max_age says 604800, but the policy v3"):
        put_back(longest_max_age=WEEK)
    assert put_back(longest_max_age=2 * WEEK).longest_max_age == 2 * WEEK


def test_what_was_due_by_itself_goes_on_without_it() -> None:
    """Nobody is there who could correct it; the dates that it comes to are later."""
    made = replace(put_back(), longest_max_age=WEEK, warnings=())
    asked = watch()
    assert only_what_is_so(made, replace(asked, longest_max_age=WEEK), NOW).longest_max_age is None
    with pytest.raises(InvalidRequestError):
        only_what_is_so(made, replace(asked, longest_max_age=WEEK, due=None), NOW)
    carried = only_what_is_so(replace(made, ids_changed_since=stamp(ALL_OFF)), asked, NOW)
    assert (carried.longest_max_age, carried.ids_changed_since) == (None, "")
    assert len(carried.warnings) == 2


def test_a_look_is_not_refused_for_what_the_ledger_carried_on() -> None:
    before = draining(item=item(attested={"longest_max_age": 60, "ids_changed_since": None}))
    for asked in (request(), request(ids_changed_since="2020-01-01"), watch()):
        assert outcome(before, asked)["state"] == "off"
    with pytest.raises(InvalidRequestError):
        outcome(before, request(longest_max_age=60))
    assert codes(outcome(before))
