"""The documents and the code say the same: what drifts apart fails here.

What the README says of the workflow, of runs, of the stack and of a domain's life is held to the code
by the files beside this one, `test_readme_*.py`.
"""

import ast
import importlib
import re

import pytest

from local import demo, environments
from tests.unit.documents import DOCUMENTS, ROOT, TEMPLATE, codes, section, spans_and_blocks

# Hosts that a link may lead to.
LINKED = {"keepachangelog.com"}


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
