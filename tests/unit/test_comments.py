"""What becomes a comment in a ticket says what the notice says, and is never markup."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.comments import LONGEST, comment

FENCE = "{noformat}"
ARN = "arn:aws:states:us-east-1:000000000000:execution:mta-sts-off-disable:api-solarmora-com-1234567890"


def jira(text: str) -> str:
    """What Jira shows of it: everything between the first fence and the next, which has to be the last."""
    body = comment(text)["jira"]["body"]
    found = re.split(r"\{\s*noformat[^}]*\}", body, flags=re.IGNORECASE)
    assert len(found) == 3, body
    assert found[0] == found[2] == ""
    return found[1].strip("\n")


def servicenow(text: str) -> str:
    return str(comment(text)["servicenow"]["work_notes"])


TEXT = 'MTA-STS is off for solarmora.com.\nMail is not at risk.\n\nSteps\n- one: "v=STSv1; id=1;" {a} [b]'


def test_says_what_the_notice_says() -> None:
    assert jira(TEXT) == servicenow(TEXT) == TEXT


def test_who_asked_from_outside_does_not_see_what_names_the_inside() -> None:
    """Jira Service Management shows a comment to the requester, unless this property says otherwise."""
    assert comment(TEXT)["jira"]["properties"] == [
        {"key": "sd.public.comment", "value": {"internal": True}}
    ]


FENCES = [
    "{noformat}[~accountid:123] !https://evil.example/x.png!{noformat}",
    "{NoFormat}",
    "{ noformat }",
    "{noformat:title=x}",
    "a\\{noformat}",
    "{noformat",
    "{{noformat}}",
]


def test_nothing_leaves_the_fence() -> None:
    for hostile in FENCES:
        assert jira(f"before\n{hostile}\nafter").startswith("before")
        assert len(jira(hostile)) == len(hostile)


@pytest.mark.parametrize("hostile", ["[code]<b>x</b>[/code]", "[CODE]", "[ code ]", "@[admin]"])
def test_nothing_is_html_nor_calls_anybody_in_a_work_note(hostile: str) -> None:
    note = servicenow(f"by {hostile}")
    assert not re.search(r"\[\s*/?\s*code", note, re.IGNORECASE)
    assert "@[" not in note
    assert len(note) == len(f"by {hostile}")


def test_long_lines_are_broken_but_a_command_is_not() -> None:
    command = f"aws stepfunctions stop-execution --execution-arn {ARN}"
    text = f"{'word ' * 60}If not, stop it: {command}\n- {'step ' * 30}"
    lines = jira(text).split("\n")
    assert command in lines
    assert max(len(line) for line in lines if line != command) <= 100
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert command in servicenow(text)


def test_what_is_too_long_is_cut_and_says_so() -> None:
    for shown in (jira("x" * 20_000), servicenow("x" * 20_000)):
        assert len(shown) < LONGEST + 20
        assert shown.endswith("(shortened)")


@given(st.text(alphabet=st.sampled_from("{}[]@!~|*_-\\ \nnoformatcode/NO"), max_size=300))
def test_no_text_whatever_gets_out(text: str) -> None:
    jira(text)
    assert not re.search(r"\[\s*/?\s*code\b|@\[", servicenow(text), re.IGNORECASE)
