"""What the README says of settings and permissions is what the template holds."""

import re
from collections.abc import Iterator

from tests.unit.documents import ROOT, TEMPLATE, codes, named, section, table


def block(text: str, name: str, indent: int) -> str:
    """What belongs to a key of the template, by its indentation."""
    space = " " * indent
    found = re.search(rf"^{space}{name}:.*\n((?:{space} .*\n|\s*\n)*)", text, re.MULTILINE)
    assert found, f"{name} is not in the template"
    return found[1]


def test_settings_table_is_the_parameters() -> None:
    parameters = block(TEMPLATE, "Parameters", 0)
    rows = table("Settings", "parameter")
    names = re.findall(r"^  (\w+):$", parameters, re.MULTILINE)
    assert sorted(named(rows)) == sorted(names)
    for name, default, _ in rows:
        [given] = re.findall(
            r"^    Default: (.*)$", block(parameters, codes(name)[0], 2), re.MULTILINE
        )
        value = given.strip('"')  # "no" is a word, and no would be none
        assert default == (f"`{value}`" if value else "empty"), name


def test_largest_durations_are_as_told() -> None:
    parameters = block(TEMPLATE, "Parameters", 0)
    rows = named(table("Settings", "parameter"))
    for name in ("DeadlineSeconds", "OtherCacheSeconds", "DrainMarginSeconds", "SweepMinutes"):
        [most] = re.findall(r"^    MaxValue: (\d+)", block(parameters, name, 2), re.MULTILINE)
        assert f"At most {most}." in rows[name]


def test_where_tickets_are_is_an_address_below_which_others_are_composed() -> None:
    parameters = block(TEMPLATE, "Parameters", 0)
    pattern = re.search(r'AllowedPattern: "(.*)"', block(parameters, "TicketUrl", 2))
    assert pattern
    good = ["", "https://example.atlassian.net", "https://api.atlassian.com/ex/jira/1a2b-3c",
            "https://tickets.example:8443/jira_2/v1.0"]  # fmt: skip
    host = "https://a.example"
    bad = ["http://a.example", f"{host}/", f"{host}/x/", f"{host}//x", f"{host}/*", f"{host}/..",
           f"{host}/x/../y", f"{host}/.", f"{host}/x?y=1", f"{host}/x#y", f"{host}/%2e%2e", f"{host}/a b",
           "https://user@a.example", "https://"]  # fmt: skip
    assert [each for each in good if not re.fullmatch(pattern[1], each)] == []
    assert [each for each in bad if re.fullmatch(pattern[1], each)] == []


ACTION = re.compile(r"\b(?!aws:)([a-z0-9]+:[A-Z]\w+)")


def actions(resource: str) -> set[str]:
    """The actions that a role or a managed policy allows, those of its trust left out."""
    text = block(block(TEMPLATE, "Resources", 0), resource, 2)
    text = re.sub(
        r"AssumeRolePolicyDocument:.*?(?=PermissionsBoundary:)", "", text, flags=re.DOTALL
    )
    text = re.sub(r"#.*", "", text)
    keys = re.compile(r"route53:ChangeResourceRecordSets[A-Z]\w+")  # condition keys
    found = set(ACTION.findall(keys.sub("", text)))
    for managed in re.findall(r"!Ref (\w+)", "".join(re.findall(r"ManagedPolicyArns:.*", text))):
        found |= actions(managed)
    return found


NO_FUNCTIONS = {
    "DisableMachine": "the state machine",
    "SweepSchedule": "the schedule",
    "RunSchedule": "schedules that start runs",
    "TicketNotice": "the way back to the ticket",
}


def roles() -> Iterator[tuple[str, str]]:
    """Each role's name in the template, and in the table of permissions."""
    for name in re.findall(r"^  (\w+)Role:$", TEMPLATE, re.MULTILINE):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        yield f"{name}Role", NO_FUNCTIONS.get(name, f"`{words}`")


def test_permission_table_is_the_roles() -> None:
    rows = {row[0]: set(ACTION.findall(row[1])) for row in table("Permissions", "role of")}
    logging = actions("WriteLog")
    assert rows.pop("each function") == logging
    expected = {shown: actions(role) - logging for role, shown in roles()}
    assert rows == expected
    functions = {f"`{folder.parent.name}`" for folder in ROOT.glob("functions/*/app.py")}
    assert set(expected) == functions | set(NO_FUNCTIONS.values())


def test_every_function_writes_the_log() -> None:
    for role, shown in roles():
        if shown not in NO_FUNCTIONS.values():
            assert actions("WriteLog") <= actions(role)


def test_stars_are_explained() -> None:
    """What may be done to every resource is named, and nothing else is."""
    lines = re.findall(r"Action: (.+?)(?: #.*)?\n\s+Resource: \"\*\"", TEMPLATE)
    assert len(lines) == TEMPLATE.count('Resource: "*"')
    plain = {each for line in lines for each in ACTION.findall(line)}
    explained = re.findall(r"^- `(\w+:\w+)` on `\*`:", section("Permissions"), re.MULTILINE)
    assert sorted(plain) == sorted(explained)
