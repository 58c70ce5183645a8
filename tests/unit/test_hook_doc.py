"""What docs/ticketing.md says of formats, sources, answers and limits is what the code does."""

import inspect
import json
import re

from mta_sts import incoming
from mta_sts.adapters import hooks
from mta_sts.hooks import guards, moment, sources
from mta_sts.hooks.formats import FIELDS, FORMATS
from tests.unit.documents import DOCUMENTS, ROOT, blocks, codes, named, section, tables_with_heads

PAGE = DOCUMENTS["docs/ticketing.md"]
APP = (ROOT / "functions/take_hook/app.py").read_text()
MOMENT = "moment of sending"


def table(title: str) -> list[list[str]]:
    [found] = tables_with_heads(section(title, PAGE))
    return found


def test_the_configuration_shown_is_the_shipped_one() -> None:
    [shown] = blocks(section("Set up the stack", PAGE), "json")
    assert shown == (ROOT / "events/hooks/sources.json").read_text()
    assert sources.parse(shown)


def test_every_key_of_a_source_is_told() -> None:
    assert set(named(table("Set up the stack")[1:])) == sources._KNOWN


def test_the_mapping_tables_are_the_formats() -> None:
    [_, *formats], *rows = table("What is taken from a ticket")
    assert [code for head in formats for code in codes(head)] == list(FORMATS)
    told = {row[0].strip("`"): row[1:] for row in rows}
    assert list(told) == [*FIELDS, MOMENT]
    for number, name in enumerate(FORMATS):
        table_of = {**FORMATS[name].fields, MOMENT: FORMATS[name].moment}
        for field, cells in told.items():
            assert cells[number] == (f"`{table_of[field]}`" if field in table_of else "\u2013"), (
                field
            )


def test_every_problem_is_among_the_answers() -> None:
    text = inspect.getsource(guards) + inspect.getsource(incoming) + APP
    raised = set(re.findall(r"(?:Problem|raise \w+)\(\s*(\d{3}),\s*\"([a-z-]+)\"", text))
    told = {(row[0], code) for row in table("Answers")[1:] for code in codes(row[1])}
    assert told == raised
    assert {row[0] for row in table("Answers")[1:]} - {status for status, _ in raised} == {
        "200", "202", "429",
    }  # fmt: skip


def test_who_tries_again_is_as_jira_has_it() -> None:
    """408, 409, 425, 429 and 5xx (its documentation, “Retry policy”)."""
    for status, _, _, again in table("Answers")[1:]:
        assert again.startswith("yes") is (status in {"409", "429"} or status[0] == "5"), status


def test_limits_are_those_of_the_code() -> None:
    answers = named([[row[1], row[2]] for row in table("Answers")[1:] if codes(row[1])])
    assert f"More than {guards.LARGEST_BODY} bytes" in answers["too-large"]
    assert (moment.OLDEST.seconds, moment.FARTHEST_AHEAD.seconds) == (2 * 3600, 5 * 60)
    assert "more than two hours ago, more than five minutes ahead" in answers["stale"]
    assert hooks._SHORTEST_KEY == 16
    assert "16 characters" in named(table("Set up the stack")[1:])["secret"]
    assert (hooks.KEPT.seconds, hooks.ROTATING.days) == (60, 1)


def test_what_no_hook_may_set_is_told() -> None:
    intro = PAGE.partition("\n## ")[0]
    for name in (
        "longest_max_age",
        "ids_changed_since",
        "remove_policy",
        "create_policy",
        "restore_mode",
    ):
        assert f"`{name}`" in intro
        assert name not in FIELDS
    assert json.loads((ROOT / "events/hooks/sources.json").read_text())
