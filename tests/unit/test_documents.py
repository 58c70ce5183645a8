"""The documents and the code say the same: what drifts apart fails here.

The tables of the README are found by their heading; the first cell of a row, in code, names what
the row is about.
"""

import ast
import hashlib
import importlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from local import demo, environments
from mta_sts import errors, messages, policy, request
from mta_sts.exposure import Confidence
from mta_sts.instants import instant, stamp
from mta_sts.outcome import succeeded
from tests.unit.plans import ENFORCE, NONE, NOW, findings, plan, stored

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(file.relative_to(ROOT)): file.read_text()
    for file in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = DOCUMENTS["README.md"]
TEMPLATE = (ROOT / "template.yaml").read_text()
DEFINITION = json.loads((ROOT / "statemachine/disable.asl.json").read_text())

# Hosts that a link may lead to.
LINKED = {"keepachangelog.com"}


# --- how documents are read


def section(title: str, text: str = README) -> str:
    """The text below a heading of level two, up to the next one."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a text, each a list of rows without its head, each row a list of cells."""
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        found.append(rows[2:])
    return found


def codes(text: str) -> list[str]:
    """What stands in code spans."""
    return re.findall(r"`([^`\n]+)`", text)


def spans_and_blocks(text: str) -> str:
    """All that is code in a document."""
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*blocks, *codes(prose)])


def named(rows: list[list[str]]) -> dict[str, str]:
    """Rows by the name, in code, in their first cell; a name may have one row only."""
    names = [name for row in rows for name in codes(row[0])]
    assert len(names) == len(set(names))
    return {name: " | ".join(row[1:]) for row in rows for name in codes(row[0])}


# --- the picture of the workflow

NODE = re.compile(r"(\w+)(?:\[|\{|\(\[)\"([^\"]+)\"(?:\]|\}|\]\))")
EDGE = re.compile(r"(\w+) -\.?->(?:\|[^|]+\|)? (\w+)")
FAILURES = "a failure in here goes to Record Failure"


class Picture:
    """The flowchart: nodes and frames by id, which frame each is in, and the arrows."""

    def __init__(self, source: str) -> None:
        self.titles: dict[str, str] = {}
        self.frame_of: dict[str, str] = {}
        self.arrows: list[tuple[str, str]] = []
        frames: list[str] = []
        for line in filter(None, map(str.strip, source.splitlines()[1:])):
            if line == "end":
                frames.pop()
            elif found := EDGE.fullmatch(line):
                self.arrows.append((found[1], found[2]))
            else:
                found = NODE.fullmatch(line.removeprefix("subgraph "))
                assert found, f"not understood: {line}"
                assert found[1] not in self.titles, f"twice: {line}"
                self.titles[found[1]] = found[2]
                if frames:
                    self.frame_of[found[1]] = frames[-1]
                if line.startswith("subgraph "):
                    frames.append(found[1])
        assert not frames

    def inside(self, frame: str) -> set[str]:
        """The titles of what stands directly in the frame of this title."""
        return {self.titles[each] for each, of in self.frame_of.items() if self.titles[of] == frame}

    def titled_arrows(self) -> set[tuple[str, str]]:
        return {(self.titles[start], self.titles[end]) for start, end in self.arrows}


SOURCE = re.findall(r"^```mermaid\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture(SOURCE)


def branches(state: dict[str, Any]) -> set[str]:
    return {name for branch in state.get("Branches", []) for name in branch["States"]}


def test_picture_has_every_state_and_no_other(picture: Picture) -> None:
    states = set(DEFINITION["States"])
    inner = {name for state in DEFINITION["States"].values() for name in branches(state)}
    assert sorted(picture.titles.values()) == sorted([*states, *inner, FAILURES])


def test_picture_has_every_way_and_no_other(picture: Picture) -> None:
    ways = {(FAILURES, "Record Failure")}
    for name, state in DEFINITION["States"].items():
        nexts = [state.get("Next"), state.get("Default")]
        nexts += [each["Next"] for each in state.get("Choices", [])]
        nexts += [each["Next"] for each in state.get("Catch", [])]
        # That way is the frame's.
        caught = {each["Next"] for each in state.get("Catch", [])} & {"Record Failure"}
        ways |= {(name, each) for each in nexts if each} - {(name, each) for each in caught}
    assert picture.titled_arrows() == ways
    assert len(picture.arrows) == len(ways)


def test_picture_frames_what_can_fail(picture: Picture) -> None:
    framed = picture.inside(FAILURES)
    for name, state in DEFINITION["States"].items():
        if any(catch["Next"] == "Record Failure" for catch in state.get("Catch", [])):
            assert name in framed
        elif name in framed:
            assert state["Type"] in {"Choice", "Wait"}, f"{name} does not catch its failures"
        assert picture.inside(name) == branches(state)


def test_picture_rounds_what_waits() -> None:
    waits = {name for name, each in DEFINITION["States"].items() if each["Type"] == "Wait"}
    choices = {name for name, each in DEFINITION["States"].items() if each["Type"] == "Choice"}
    assert set(re.findall(r"\(\[\"(.+?)\"\]\)", SOURCE)) == waits
    assert set(re.findall(r"\{\"(.+?)\"\}", SOURCE)) == choices


# --- input, output, failures


def test_input_table_is_the_request() -> None:
    rows = named(tables(section("Input"))[0])
    assert list(rows) == list(request._FIELDS)
    for name, most in request._TEXTS.items():
        assert f"{most} characters at most" in rows[name]
    for name in request._FLAGS:
        assert "`true` or `false` (default)" in rows[name]
    assert [each for each in codes(rows["method"]) if each in request.METHODS] == list(
        request.METHODS
    )


def test_longest_domain_is_as_said() -> None:
    [most] = re.findall(r"more than (\d+) characters", named(tables(section("Input"))[0])["domain"])
    labels = [*["a" * 49] * 4, "a" * (int(most) - 4 * 50)]
    longest = ".".join(labels)
    assert len(longest) == int(most)
    asked = {"domain": longest, "method": "none-policy"}
    assert request.Request.parse(asked).domain == longest
    with pytest.raises(errors.InvalidRequestError):
        request.Request.parse(asked | {"domain": "a" + longest})


def test_every_good_event_has_a_row() -> None:
    linked = re.findall(r"^\| \[.+?\]\((events/.+?)\)", section("Input"), re.MULTILINE)
    assert sorted(linked) == sorted(f"events/{file.name}" for file in ROOT.glob("events/*.json"))


def outcome() -> dict[str, Any]:
    """What a run comes to as the README shows it: a policy of seven days, a TTL of an hour."""

    def after(minutes: int) -> str:
        return stamp(NOW + timedelta(minutes=minutes))

    moments = {
        "host": {"agreeing": []},
        "published": {"published_at": after(1), "written": True},
        "caches": {"fresh_at": after(3)},
        "served": {"checked_at": after(3)},
        "in_sync": {"checked_at": after(4)},
        "names": {"record_gone_at": after(65)},
    }
    return succeeded(plan(), moments, {}, {}, "arn", NOW + timedelta(minutes=66))


def test_output_table_is_the_outcome() -> None:
    given = outcome()
    rows = named(tables(section("Output"))[0])
    # A cell names the parts of its field too.
    assert set(rows) == set(given)
    answers = given["answers"]
    shown = set(codes(rows["answers"]))
    assert shown == {
        *answers,
        *answers["off"],
        *(choice["answer"] for choice in answers["mx"]["choices"]),
        *get_args(Confidence),
        "reason",
        "confidence",
        "choices",
        "overlap",
    }
    assert set(given["id"]) == set(codes(rows["id"]))
    assert set(given["evidence"]) <= set(codes(rows["evidence"]))
    assert set(given["attested"]) <= set(codes(rows["attested"]))
    intro = set(codes(section("Output").partition("|")[0]))
    assert intro - {"before", "after", "approved_plan", "delete-record"} <= set(plan().to_dict())


def test_notice_shown_is_what_the_product_writes() -> None:
    [shown] = re.findall(
        r"^```text\n(.*?)^```", section("What may I move, and when?"), re.MULTILINE | re.DOTALL
    )
    # Lines may be broken elsewhere, and nothing else may differ.
    assert shown.split() == outcome()["text"].split()


BEGIN = datetime(2026, 11, 24, 4, tzinfo=UTC)  # a Tuesday
SERVED = hashlib.sha256(ENFORCE).hexdigest()
SERVING = {
    "agreeing": [
        {"address": "192.0.2.1", "mode": "enforce", "max_age": 604800, "sha256": SERVED, "mx": []}
    ],
    "not_asked": [],
    "doubts": [],
    "checked_at": "2026-11-24T04:00:00Z",
}


def when(stamp: str | None) -> str:
    """A moment as the table of methods writes it."""
    if stamp is None:
        return "no date"
    days, rest = divmod(instant(stamp) - BEGIN, timedelta(days=1))
    assert (days, rest) in {(0, timedelta(hours=1)), (7, timedelta(hours=1))}, stamp
    return "Tuesday 05:00" + (", a week later" if days else "")


@pytest.mark.parametrize(
    ("column", "asked"),
    [
        (1, {"method": "none-policy"}),
        (2, {"method": "delete-record"}),
        (3, {"method": "delete-record", "publish_none": True}),
    ],
)
def test_times_of_the_methods_are_what_the_product_computes(
    column: int, asked: dict[str, Any]
) -> None:
    looked = {} if column != 2 else SERVING
    planned = plan(findings(host=looked), now=BEGIN, **asked)
    told = planned.expected
    rows = {
        row[0]: row[column].replace("**", "") for row in tables(section("Which method, when?"))[0]
    }
    assert planned.record.wait_seconds == 3600
    assert rows["confirmed, at the earliest"] == "Tuesday 05:00"
    rereading = told["conforming_off_at"] or told["needing_record_off_at"]
    assert rows["senders that re-read the record lose no mail by it"] == when(rereading)
    needing = rows["all senders that need the record have let go"]
    assert needing == when(told["needing_record_off_at"])
    renewing = rows["senders that renew over HTTPS alone have let go"]
    assert renewing.partition(": a week after")[0] == when(told["all_off_at"])
    free = rows["MX may change freely"]
    without = told["mx"]["without_overlap_from"]
    assert free.startswith("no date") if without is None else free == when(without)


def test_failure_table_has_every_error_and_no_other() -> None:
    _, by_name = tables(section("When a run fails"))
    defined = [
        name
        for name, each in vars(errors).items()
        if isinstance(each, type)
        and issubclass(each, errors.MtaStsError)
        and each is not errors.MtaStsError
    ]
    assert sorted(named(by_name)) == sorted(defined)
    for row in by_name:
        assert len(row) == 4
        assert all(row)


def test_beginnings_of_texts_are_all_there_and_real() -> None:
    failure = {"Error": "PropagationTimeoutError", "Cause": "ns-1 lags."}
    already_none = plan(findings(policy=stored(NONE)))
    deletion = plan(method="delete-record", publish_none=True)
    no_record = plan(findings(record_sets=[]), method="delete-record", publish_none=True)
    texts = [
        messages.failed("solarmora.com", changed, failure, "Change Id", planned, confirmed=said)[1]
        for changed in (
            "nothing",
            "policy",
            "record",
            "policy and record",
            "unknown",
            messages.PUT_BACK,
        )
        for planned in (None, plan(), already_none, deletion, no_record)
        for said in ("", "MTA-STS is off for solarmora.com: policy and id are confirmed.")
    ]
    # Where not even the outcome could be recorded, the definition has a text of its own.
    [caught] = DEFINITION["States"]["Record Failure"]["Catch"]
    texts.append("".join(re.findall(r"'([^']*)'", caught["Assign"]["notice"]["text"])))
    beginnings = [codes(row[0]) for row in tables(section("When a run fails"))[0]]

    def fits(text: str, words: list[str]) -> bool:
        return text.startswith(words[0]) and all(word in text for word in words)

    for text in texts:
        assert [words for words in beginnings if fits(text, words)], text
    for words in beginnings:
        assert [text for text in texts if fits(text, words)], words


def test_retries_of_a_busy_aws_are_as_told() -> None:
    told = named(tables(section("When a run fails"))[1])["TransientError"]
    attempts = {
        retry["MaxAttempts"]
        for state in DEFINITION["States"].values()
        for retry in state.get("Retry", [])
        if "TransientError" in retry["ErrorEquals"]
    }
    assert attempts == {8}
    assert "eight more attempts" in told


def test_limits_of_the_policy_host_are_as_told() -> None:
    rows = named(tables(section("When a run fails"))[1])
    source = (ROOT / "layers/mta_sts/mta_sts/adapters/policy_host.py").read_text()
    [most] = re.findall(r"^MOST_ADDRESSES = (\d+)", source, re.MULTILINE)
    assert f"more than {most} addresses" in rows["PolicyNotServedError"]
    assert f"larger than {policy.MAX_BODY // 1024} KiB" in rows["PolicyUnreadableError"]


def test_longest_run_is_as_told() -> None:
    [days] = re.findall(r"A run may last (\d+) days at most", section("Limits"))
    assert DEFINITION["TimeoutSeconds"] == int(days) * 86400


# --- settings and permissions


def block(text: str, name: str, indent: int) -> str:
    """What belongs to a key of the template, by its indentation."""
    space = " " * indent
    found = re.search(rf"^{space}{name}:.*\n((?:{space} .*\n|\s*\n)*)", text, re.MULTILINE)
    assert found, f"{name} is not in the template"
    return found[1]


def test_settings_table_is_the_parameters() -> None:
    parameters = block(TEMPLATE, "Parameters", 0)
    rows = tables(section("Settings"))[0]
    names = re.findall(r"^  (\w+):$", parameters, re.MULTILINE)
    assert sorted(named(rows)) == sorted(names)
    for name, default, _ in rows:
        [given] = re.findall(
            r"^    Default: (.*)$", block(parameters, codes(name)[0], 2), re.MULTILINE
        )
        assert default == ("empty" if given == '""' else f"`{given}`"), name


def test_largest_durations_are_as_told() -> None:
    parameters = block(TEMPLATE, "Parameters", 0)
    rows = named(tables(section("Settings"))[0])
    for name in ("DeadlineSeconds", "OtherCacheSeconds"):
        [most] = re.findall(r"^    MaxValue: (\d+)", block(parameters, name, 2), re.MULTILINE)
        assert f"At most {most}." in rows[name]


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


def roles() -> Iterator[tuple[str, str]]:
    """Each role's name in the template, and in the table of permissions."""
    for name in re.findall(r"^  (\w+)Role:$", TEMPLATE, re.MULTILINE):
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        yield f"{name}Role", "the state machine" if name == "DisableMachine" else f"`{words}`"


def test_permission_table_is_the_roles() -> None:
    rows = {row[0]: set(ACTION.findall(row[1])) for row in tables(section("Permissions"))[0]}
    logging = actions("WriteLog")
    assert rows.pop("each function") == logging
    expected = {shown: actions(role) - logging for role, shown in roles()}
    assert rows == expected
    functions = {f"`{folder.parent.name}`" for folder in ROOT.glob("functions/*/app.py")}
    assert set(expected) == functions | {"the state machine"}


def test_every_function_writes_the_log() -> None:
    for role, shown in roles():
        if shown != "the state machine":
            assert actions("WriteLog") <= actions(role)


def test_stars_are_explained() -> None:
    """What may be done to every resource is named, and nothing else is."""
    plain = re.findall(r"Action: (\S+)\n\s+Resource: \"\*\"", TEMPLATE)
    assert len(plain) == TEMPLATE.count('Resource: "*"')
    explained = re.findall(r"^- `(\w+:\w+)` on `\*`:", section("Permissions"), re.MULTILINE)
    assert sorted(plain) == sorted(explained)


# --- what all documents name


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_resolve(name: str) -> None:
    text, folder = DOCUMENTS[name], (ROOT / name).parent
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = folder / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings
            }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_exist(name: str) -> None:
    """Files named in code, a star or <…> standing for any part."""
    folders = "functions|layers|local|tests|statemachine|events|docs|requirements"
    for path in codes(DOCUMENTS[name]):
        if re.fullmatch(rf"(?:{folders})/[\w./*<>-]*", path):
            pattern = re.sub(r"<\w+>", "*", path.rstrip("/"))
            assert list(ROOT.glob(pattern)), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_and_commands_exist(name: str) -> None:
    code = spans_and_blocks(DOCUMENTS[name])
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z]+)", code):
        assert target in targets, target
    for command in re.findall(r"-m local (\w+)", code):
        assert command in {"up", "run", "demo", "bench"}
    for fault in re.findall(r"FAULT=([a-z-]+)", code):
        assert fault in demo.FAULTS
    for event in re.findall(r"(?<=-m local run )\S+|(?<=file://)\S+", code):
        assert (ROOT / event).exists(), event


def test_python_shown_is_python() -> None:
    """It compiles, and what it imports is there; the lab's own tests run the same calls."""
    for text in DOCUMENTS.values():
        for shown in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(shown)):
                if isinstance(node, ast.ImportFrom):
                    module = importlib.import_module(node.module or "")
                    assert all(hasattr(module, each.name) for each in node.names)


def test_ledger_fields_shown_are_those_saved() -> None:
    """The commands for putting a policy back name what “Claim Domain” has saved."""
    saver = (ROOT / "functions/claim_domain/app.py").read_text()
    shown = section("Turn it on again")
    [names] = re.findall(r"Item\.saved\.M\.policy\.M\.\[(.+?)\]", shown)
    for name in [*names.split(", "), *re.findall(r"policy\.M\.(\w+)\.B", shown)]:
        assert f'"{name}": ' in saver


def test_every_fault_is_shown() -> None:
    assert set(re.findall(r"FAULT=([a-z-]+)", section("Quick start"))) == set(demo.FAULTS)


def test_python_versions_are_those_that_run() -> None:
    minors = range(environments.OLDEST[1], environments.TOO_NEW[1])
    first, second, third = (f"3.{minor}" for minor in minors)
    for text in DOCUMENTS.values():
        told = re.findall(rf"Python {first}, {second}\s+(?:or|and) {third}", text)
        assert len(told) == len(re.findall(r"Python 3", text))
    assert "Python 3" in section("Quick start")
    [allowed] = re.findall(r"AllowedValues: \[(python.+)\]", TEMPLATE)
    assert allowed == ", ".join(f"python3.{minor}" for minor in minors)


def test_every_decision_is_in_the_index() -> None:
    index = DOCUMENTS["docs/adr/README.md"]
    pages = [file.name for file in sorted(ROOT.glob("docs/adr/0*.md"))]
    assert re.findall(r"\]\((\S+\.md)\)", index) == pages
    for position, page in enumerate(pages, start=1):
        assert page.startswith(f"{position:04}-")
        text = DOCUMENTS[f"docs/adr/{page}"]
        assert text.startswith(f"# {position}. ")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_of_one_machine(name: str) -> None:
    """No absolute path, and no host but those that links may lead to and those of examples."""
    text = DOCUMENTS[name]
    assert not re.findall(r"(?<![\w.:/<>}*-])/(?:home|root|tmp|usr|opt|var|work|Users)\b", text)
    assert set(re.findall(r"https?://([\w.-]+)", text)) <= LINKED
