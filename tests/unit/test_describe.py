"""The descriptions under docs/ are those that the code makes, and they say what the code does."""

import json
from datetime import date
from typing import Any

import jsonschema
import pytest

from local.describe.__main__ import FILES, text
from mta_sts import calls, request
from mta_sts.errors import InvalidRequestError
from tests.unit.documents import ROOT

OPENAPI = json.loads((ROOT / "docs/openapi.json").read_text())
INPUT = json.loads((ROOT / "docs/input.schema.json").read_text())
EVENTS = {file.stem: json.loads(file.read_text()) for file in (ROOT / "events").glob("*.json")}
BAD = {file.stem: json.loads(file.read_text()) for file in (ROOT / "events/bad").glob("*.json")}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_what_the_code_makes(name: str) -> None:
    made = text(FILES[name]())
    assert (ROOT / name).read_text() == made, "make it anew: make describe"


def test_every_route_is_described_and_no_other() -> None:
    described = {
        path: tuple(sorted(method.upper() for method in item))
        for path, item in OPENAPI["paths"].items()
        if not path.startswith("/hooks")
    }
    assert described == {path: tuple(sorted(methods)) for path, methods in calls.ROUTES.items()}


def test_every_reference_leads_somewhere() -> None:
    schemas = OPENAPI["components"]["schemas"]
    found = set(references(OPENAPI))
    assert found == {f"#/components/schemas/{name}" for name in schemas}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def test_the_input_schema_has_every_field_with_its_words() -> None:
    assert list(INPUT["properties"]) == list(request.FIELDS)
    for name, field in INPUT["properties"].items():
        assert len(field["description"]) > 10, name
        assert "](" not in field["description"], name


@pytest.mark.parametrize("name", EVENTS)
def test_a_good_event_is_one_by_the_schema(name: str) -> None:
    validator().validate(EVENTS[name])


@pytest.mark.parametrize("name", BAD)
def test_what_the_schema_refuses_the_code_refuses(name: str) -> None:
    """The schema does not know which method a field is for; what it does know, it knows as the code."""
    if not validator().is_valid(BAD[name]):
        with pytest.raises(InvalidRequestError):
            request.Request.parse(BAD[name])


def test_the_schema_refuses_most_of_what_is_bad() -> None:
    refused = [name for name, event in BAD.items() if not validator().is_valid(event)]
    assert len(refused) > len(BAD) // 3


def validator() -> jsonschema.Draft202012Validator:
    checker = jsonschema.FormatChecker(["date"])
    checker.checks("date-time")(is_moment)
    checker.checks("date")(is_date)
    return jsonschema.Draft202012Validator(INPUT, format_checker=checker)


def is_moment(value: object) -> bool:
    return isinstance(value, str) and "T" in value and value[-1] == "Z"


def is_date(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return False
    return True
