"""From a ticket's fields to an execution's input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.errors import InvalidRequestError
from mta_sts.hooks.sources import Source, parse
from mta_sts.hooks.ticket import TEXTS, clean, event_of
from mta_sts.request import Request
from tests.unit.test_state_machine import ROOT

EVENTS = ROOT / "events/hooks"
SHIPPED = parse((EVENTS / "sources.json").read_text())
DESK = {"format": "plain", "secret": "s", "domains": ["solarmora.com"]}
DIGEST = "0123456789abcdef" * 4


def desk(**changed: Any) -> Source:
    return parse(json.dumps({"desk": {**DESK, **changed}}))["desk"]


def problems(source: Source, data: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        event_of(source, data)
    return list(caught.value.problems)


def shipped(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())


def test_a_jira_issue_that_is_being_planned() -> None:
    assert event_of(SHIPPED["jira"], shipped("jira-issue-planning")) == {
        "domain": "jira-hook.example",
        "method": "none-policy",
        "dry_run": True,
        "new_mx": ["mx1.newprovider.example", "mx2.newprovider.example"],
        "ticket": "OPS-123",
        "ticket_id": "OPS-123",
        "requested_by": "Hanako Sato",
        "reason": "Move the mail of jira-hook.example to the new provider",
    }


def test_a_jira_issue_that_is_approved() -> None:
    event = event_of(SHIPPED["jira"], shipped("jira-issue-approved"))
    assert (event["dry_run"], event["approved_plan"]) == (False, "0" * 64)


def test_a_servicenow_change() -> None:
    assert event_of(SHIPPED["servicenow"], shipped("servicenow-change")) == {
        "domain": "servicenow-hook.example",
        "method": "check",
        "dry_run": False,
        "new_mx": ["mx1.newprovider.example", "mx2.newprovider.example"],
        "ticket": "CHG0030192",
        "ticket_id": "1c741bd70b2322007518478d83673af3",
        "requested_by": "Abel Tuter",
        "reason": "Move the mail of servicenow-hook.example to the new provider",
    }


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ("dry_run", True, True),
        ("dry_run", "true", True),
        ("dry_run", " Yes ", True),
        ("dry_run", "false", False),
        ("dry_run", "NO", False),
        ("dry_run", "perhaps", "perhaps"),  # which is refused
        ("dry_run", 1, 1),  # likewise
        ("dry_run", 0, 0),
        ("dry_run", "", None),
        ("keep_mx", "yes", True),
        ("publish_none", "no", False),
        ("new_mx", ["mx.example"], ["mx.example"]),
        ("new_mx", "mx.example", ["mx.example"]),
        (
            "new_mx",
            " a.example, b.example;c.example\r\n\td.example ",
            [f"{c}.example" for c in "abcd"],
        ),
        ("new_mx", [], None),
        ("new_mx", " , ", []),
        ("domain", " solarmora.com\n", "solarmora.com"),
        ("domain", "solar\u202emora.com", "solar mora.com"),  # which is refused
        ("approved_plan", f" {DIGEST}\n", DIGEST),
        ("approved_plan", "", None),
        ("ticket", 4711, "4711"),
        ("ticket", True, True),  # which is refused
        ("ticket", "A\nB", "A B"),
        ("ticket_id", 4711, "4711"),
        ("requested_by", "Sato\x00\x1b[31m", "Sato  [31m"),
        ("requested_by", {"name": "Sato"}, {"name": "Sato"}),  # which is refused
        ("reason", "one\r\ntwo\tthree\x07", "one \ntwo\tthree"),
        ("reason", "\u202e\u2066evil\ud800", "evil"),
        ("reason", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("reason", None, None),
    ],
)
def test_values_are_taken(field: str, value: Any, taken: Any) -> None:
    event = event_of(desk(), {"domain": "solarmora.com", "method": "check", field: value})
    assert event.get(field) == taken
    assert (field in event) is (taken is not None)
    assert type(event.get(field)) is type(taken)


@pytest.mark.parametrize("field", TEXTS)
def test_texts_are_cut_to_what_a_request_takes(field: str) -> None:
    asked = {"domain": "solarmora.com", "method": "check"}
    for length in (TEXTS[field], TEXTS[field] + 1, 100_000):
        event = event_of(desk(), {**asked, field: "x" * length})
        assert len(event[field]) == TEXTS[field]
        assert event[field].endswith("…") is (length > TEXTS[field])
        Request.parse(event)
    with pytest.raises(InvalidRequestError):
        Request.parse({**asked, field: "x" * (TEXTS[field] + 1)})


@given(st.text(st.characters(), max_size=300), st.sampled_from(sorted(TEXTS)))
def test_no_text_that_people_write_is_refused(text: str, field: str) -> None:
    event = event_of(desk(), {"domain": "solarmora.com", "method": "check", field: text})
    assert Request.parse(event).domain == "solarmora.com"


@given(st.text())
def test_cleaning_twice_is_as_once(text: str) -> None:
    assert clean(clean(text, lines=True), lines=True) == clean(text, lines=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(desk().fields)), JSON))
def test_anything_is_mapped_or_refused_by_name(data: dict[str, Any]) -> None:
    """And what is let through is an execution's input: JSON."""
    try:
        event = event_of(desk(), data)
        Request.parse(event)
    except InvalidRequestError:
        return
    assert json.loads(json.dumps(event)) == event


# --- what a missing answer must not do


OWN = {"dry_run": "plan_only", "approved_plan": "plan"}
REAL = {"domain": "solarmora.com", "method": "none-policy"}


@pytest.mark.parametrize("nothing", [{}, {"plan_only": None}, {"plan_only": ""}])
def test_a_source_that_maps_dry_run_has_to_say_it(nothing: dict[str, Any]) -> None:
    """A field that was renamed in the ticket system must not turn every plan into the real thing."""
    [told] = problems(desk(fields={"dry_run": "plan_only"}), {**REAL, **nothing})
    assert "dry_run is mapped" in told
    assert "dry_run" not in event_of(desk(), REAL), "as an execution that is started by hand"


def test_a_source_that_maps_approval_has_to_give_it_for_what_changes_something() -> None:
    source = desk(fields=OWN)
    [told] = problems(source, {**REAL, "plan_only": False})
    assert "approved_plan is mapped" in told
    assert event_of(source, {**REAL, "plan_only": False, "plan": DIGEST})["approved_plan"] == DIGEST
    for harmless in ({"plan_only": True}, {"method": "check", "plan_only": False}):
        assert "approved_plan" not in event_of(source, {**REAL, **harmless})
    [_] = problems(source, {**REAL, "plan_only": "perhaps"})


def test_an_expression_that_cannot_be_evaluated_is_told_without_the_value() -> None:
    [told] = problems(desk(fields={"reason": "length(n)"}), {**REAL, "n": 424242})
    assert told.startswith("reason: ")
    assert "424242" not in told


def test_a_field_of_the_format_can_be_left_out() -> None:
    data = {**REAL, "reason": "why"}
    assert "reason" in event_of(desk(), data)
    assert "reason" not in event_of(desk(fields={"reason": ""}), data)
