"""What docs/starting.md and docs/first-deployment.md say beside their commands, which a lab runs."""

import re
import tomllib
from datetime import timedelta

import jmespath  # type: ignore[import-untyped]

from mta_sts import starting
from tests.unit.documents import DOCUMENTS, ROOT, TEMPLATE, codes, section, spans_and_blocks

STARTING, FIRST = DOCUMENTS["docs/starting.md"], DOCUMENTS["docs/first-deployment.md"]
OUTPUTS = TEMPLATE.partition("\nOutputs:\n")[2]


def test_the_stack_has_the_name_that_is_proposed() -> None:
    proposed = tomllib.loads((ROOT / "samconfig.toml").read_text())
    name = proposed["default"]["global"]["parameters"]["stack_name"]
    shown = {
        each
        for page in (STARTING, FIRST)
        for each in re.findall(r"--stack-name (\S+)", spans_and_blocks(page))
    }
    assert shown - {"mta-sts-sandbox"} == {name}
    said = (ROOT / "local/protect.py").read_text()
    assert "{stack}: termination protection is on" in said
    assert f"{name}: termination protection is on" in FIRST


def test_outputs_that_are_asked_for_are_there() -> None:
    asked = set(re.findall(r"output ([A-Z]\w+)", spans_and_blocks(STARTING + FIRST)))
    asked |= {code for code in codes(STARTING) if code.endswith("Arn")}
    there = set(re.findall(r"^  (\w+):$", OUTPUTS, re.MULTILINE))
    assert {"StateMachineArn", "StartRunArn", "UndeliveredArn"} <= asked <= there


def test_what_the_stack_keeps_is_removed_by_hand() -> None:
    kept = {
        name
        for name, body in re.findall(
            r"^  (\w+):\n((?: {4}.*\n|\n)+)", TEMPLATE.partition("\nResources:\n")[2], re.MULTILINE
        )
        if re.search(r"^    DeletionPolicy: Retain", body, re.MULTILINE)
    }
    removed = section("Remove all of it", FIRST)
    assert {f"{name}TableName" for name in kept} == set(re.findall(r"output ([A-Z]\w+)", removed))
    asked, mark, later = removed.partition("make remove")
    assert mark
    assert "$(output " in asked
    assert "$(output " not in later, "a stack that is gone tells nothing"
    assert "RetentionPolicy: Retain" in TEMPLATE
    assert "delete-layer-version --layer-name MtaStsLayer" in removed


def test_only_the_zone_of_that_very_name_is_written_to() -> None:
    """Route 53 lists from a name on: where there is no such zone, the next one comes first."""
    on = section("1. Turn MTA-STS on (ten minutes)", FIRST)
    [query] = re.findall(r'--query "(HostedZones.*)" \| cut', on)
    asked = query.replace("\\`", "`").replace("$domain", "here.example")

    def zone(name: str, *, private: bool = False) -> dict[str, object]:
        return {
            "Id": "hidden" if private else name,
            "Name": name,
            "Config": {"PrivateZone": private},
        }

    def found(*zones: object) -> object:
        return jmespath.search(asked, {"HostedZones": list(zones)})

    hidden, own, other = (
        zone("here.example.", private=True),
        zone("here.example."),
        zone("k.example."),
    )
    assert found(hidden, own, other) == "here.example."
    assert found(hidden, other) is found(other) is found() is None
    assert 'test "$zone" != None && aws cloudformation create-stack' in on


def test_the_shapes_are_those_that_are_read() -> None:
    assert f"up to {starting.MOST} inputs" in section("A schedule", STARTING)
    event = section("An event", STARTING)
    assert f"`{starting.DETAIL_TYPE}`" in event
    assert f"1 to {starting._LONGEST_KEY} characters" in event


def test_an_hour_and_fourteen_days_are_what_the_template_says() -> None:
    section_of_the_template = TEMPLATE.partition("# --- schedules and events that start runs")[2]
    own = section_of_the_template.partition("  # --- ")[0]
    ages = re.findall(r"MaximumEventAgeInSeconds: (\d+)", own)
    assert set(ages) == {"3600"}
    assert own.count("*an-hour") == 2
    assert "within an hour is given up" in " ".join(STARTING.split())
    assert "older than an hour" in STARTING
    assert timedelta(hours=1) == starting.OLDEST
    [window] = re.findall(r"MaximumWindowInMinutes: (\d+)", own)
    assert int(window) * 2 < 60, (
        "what is delivered at its end is not late yet, nor after a try or two"
    )
    [kept] = re.findall(r"MessageRetentionPeriod: (\d+)", TEMPLATE)
    assert f"for {int(kept) // 86400} days" in " ".join(STARTING.split())
