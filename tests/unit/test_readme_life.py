"""What the README says of a domain's life, and of what is done by itself, is what the product does."""

import ast
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from mta_sts import due, ending, request
from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS
from mta_sts.due import Entries
from mta_sts.instants import stamp
from mta_sts.plan import Plan
from tests.unit.documents import ROOT, TEMPLATE, Picture, codes, named, picture, section, table
from tests.unit.plans import LONG_AGO, NONE, NOW, deletion, findings, plan, stored
from tests.unit.test_restoring import restored

LIFE, ITSELF = "A domain's life", "What is done by itself"
WINDOW: dict[str, Any] = {"restore_at": stamp(NOW + timedelta(days=1))}
# Each step by hand, as it is planned: the method, and what is asked for besides.
STEPS: dict[str, Callable[[], tuple[Plan, dict[str, Any]]]] = {
    "none-policy": lambda: (plan(), {}),
    "none-policy, restore_at": lambda: (plan(**WINDOW), WINDOW),
    "retire": lambda: (plan(method="retire"), {}),
    "delete-record": lambda: (deletion(publish_none=True), {"publish_none": True}),
    "restore": lambda: (restored(), {}),
}


@pytest.fixture(scope="module")
def life() -> Picture:
    return picture(LIFE)


class Taken:
    """A ledger that keeps what it is told."""

    def __init__(self, pending: Entries) -> None:
        self.pending = pending
        self.phase = ""
        self.due: Entries = {}

    def domain(self, _: str) -> dict[str, Any]:
        return {"due": self.pending}

    def finish(self, *_: object, domain_fields: Mapping[str, Any], due: Entries, **__: Any) -> None:
        self.phase, self.due = domain_fields["phase"], due


def confirmed(made: Plan, asked: Mapping[str, Any], pending: Entries | None = None) -> Taken:
    """What the ledger has after a run that is confirmed."""

    def at(minutes: int) -> str:
        return stamp(NOW + timedelta(minutes=minutes))

    event = {
        "request": {"domain": made.domain, "method": made.method, **asked},
        "execution": {"arn": "arn", "started_at": stamp(NOW)},
        "moments": {
            "host": {"agreeing": []},
            "published": {"published_at": at(1), "written": True},
            "caches": {"fresh_at": at(3)},
            "served": {"checked_at": at(3)},
            "changed": {"changed_at": at(3)},
            "in_sync": {"checked_at": at(4)},
            "names": {"record_gone_at": at(65)},
        },
        "record": {},
        "policy": made.host,  # seen again as it was when it was planned
    }
    taken = Taken(pending or {})
    ledger: Any = taken
    ending.confirmed(event, made, ledger, NOW + timedelta(minutes=66))
    return taken


# --- the picture


def test_every_method_that_changes_something_is_a_solid_arrow_and_nothing_else(
    life: Picture,
) -> None:
    methods = {label.partition(",")[0] for _, _, label in life.labels}
    assert methods == set(request.METHODS) - {"check"}


def test_all_that_comes_by_itself_is_a_dotted_arrow_and_nothing_else(life: Picture) -> None:
    assert {label.partition(",")[0] for _, _, label in life.dotted} == set(request.DUE)


def test_stages_of_picture_and_table_are_the_same(life: Picture) -> None:
    frames = set(life.frame_of.values())
    assert set(named(table(LIFE, "stage"))) == set(life.titles) - frames


@pytest.mark.parametrize("step", STEPS)
def test_a_step_leads_where_the_picture_says(life: Picture, step: str) -> None:
    [end] = {end for start, end, label in life.labels if label == step and start in {"on", "off"}}
    rows = {codes(row[0])[0]: row for row in table(LIFE, "stage")}
    made, asked = STEPS[step]()
    taken = confirmed(made, asked)
    assert codes(rows[end][1]) == [taken.phase]
    assert sorted(codes(rows[end][2])) == sorted(taken.due)


def test_a_retirement_ends_as_the_picture_says(life: Picture) -> None:
    [(end, label)] = [(end, label) for start, end, label in life.dotted if start == "retiring"]
    assert label == "retirement, after a margin"
    rows = {codes(row[0])[0]: row for row in table(LIFE, "stage")}
    retiring = confirmed(plan(method="retire"), {}).due["retirement"]
    told = {"kind": "retirement", "generation": 1, "at": retiring["at"]}
    # The plan as one made then is: the record goes, and the ledger has this work due.
    made = deletion(findings(policy=stored(NONE)))
    made = Plan.from_dict(made.to_dict() | {"due": told})
    taken = confirmed(made, {"due": told}, {"retirement": retiring})
    assert (taken.phase, taken.due) == (codes(rows[end][1])[0], {})
    assert rows[end][2] == "nothing"


def test_change_id_keeps_what_the_text_says_it_keeps() -> None:
    pending = confirmed(*STEPS["none-policy, restore_at"]()).due
    pending = {**pending, **confirmed(*STEPS["retire"]()).due}
    mended = plan(findings(policy=stored(NONE)), method="change-id")
    kept = confirmed(mended, {}, pending).due
    assert {"retirement", "restore"} <= set(kept)
    assert confirmed(plan(method="change-id"), {}, pending).due == {}, "an enforcing one cancels"
    assert (
        "`change-id` alone keeps a retirement and the end of a window, where the policy is still `none`"
        in " ".join(section(ITSELF).split())
    )


# --- what is done by itself


def test_kinds_of_due_work_are_as_told() -> None:
    rows = named(table(ITSELF, "kind"))
    assert set(rows) == set(request.DUE)
    for kind, method in request.DUE.items():
        assert f"`{method}`" in rows[kind] or method == kind, kind


def coded() -> dict[str, str]:
    """What a check can find, read out of the sources: each code with its level, as it is written."""
    return {
        ast.literal_eval(node.args[0]): ast.unparse(node.args[1])
        for file in (ROOT / "layers/mta_sts/mta_sts").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
    }


def test_every_alarm_is_told_and_no_other() -> None:
    rows = table(ITSELF, "alarm")
    # A level that is computed may be an alarm.
    alarms = {code for code, level in coded().items() if re.search(r"'alarm'|\blevel\b", level)}
    assert set(named(rows)) == alarms
    assert all(len(row) == 3 and all(row) for row in rows)


def test_everything_that_a_check_can_find_is_told() -> None:
    told = [code for _, row in table("Look at a domain", "of") for code in codes(row)]
    assert sorted(set(told) - {"_mta-sts", *request.METHODS}) == sorted(coded())


def test_when_a_domain_is_free_again_is_as_told() -> None:
    [seconds] = re.findall(r"is free (\d+) seconds after", section("When a run fails"))
    assert int(seconds) == LONGEST_FUNCTION_SECONDS
    timeouts = [int(each) for each in re.findall(r"^ {6}Timeout: (\d+)$", TEMPLATE, re.MULTILINE)]
    assert max(timeouts) <= LONGEST_FUNCTION_SECONDS
    cut = (ROOT / "functions/close_run/app.py").read_text()
    shown = set(codes(section("When a run fails")))
    assert set(re.findall(r'\("(Execution(?:Stopped|TimedOut))"', cut)) <= shown


def test_what_fails_is_tried_again_after_as_long_as_told() -> None:
    assert timedelta(days=1) == due.DAY
    assert "tried again a day later" in section(ITSELF)
    assert timedelta(minutes=15) == ending._NEXT_TRY_OF_BUSY
    assert "`TransientError` after 15 minutes" in section(ITSELF)


def test_what_is_left_of_a_retired_domain_is_in_the_order_of_the_notice() -> None:
    told = {"kind": "retirement", "generation": 1, "at": stamp(LONG_AGO)}
    made = deletion(findings(policy=stored(NONE)))
    made = Plan.from_dict(made.to_dict() | {"due": told})
    [(_, lines)] = [
        (head, ls) for head, ls in due.told(made, {}).items() if head.startswith("Left")
    ]
    listed = re.findall(r"^\d\. (.+)", section("Remove"), re.MULTILINE)
    words = ["DNS records", "certificate", "s3://", "bucket"]
    assert all(word in line for word, line in zip(words, lines, strict=True))
    words[2] = "policy object"
    assert all(word in line for word, line in zip(words, listed, strict=True))
