"""The mutants fit the tree as it is, and the runner takes nothing but an assertion for a catch."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import __main__ as runner
from tests.mutants.patches import FOLDER, PRODUCT, ROOT, Mutant, has_test, read, read_all

MUTANTS = [pytest.param(mutant, id=mutant.name) for mutant in read_all()]
# What may never go unnoticed, whatever else is tried.
NEEDED = {
    "caught-error-succeeds", "confirm-accepts-old-policy", "etag-ignored", "first-address-only",
    "id-before-policy", "no-purge", "no-ttl-wait", "one-name-server-only", "purge-reference-repeats",
    "put-back-id-trusted", "shared-object-accepted", "timeout-counts-as-gone",
    "unknown-cache-accepted", "upsert",
}  # fmt: skip
TEST = "tests/test_it.py::test_it"


def test_none_is_missing() -> None:
    assert {mutant.name for mutant in read_all()} >= NEEDED


@pytest.mark.parametrize("mutant", MUTANTS)
def test_it_names_a_test_that_exists(mutant: Mutant) -> None:
    assert has_test(mutant)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_it_is_about_the_product(mutant: Mutant) -> None:
    assert mutant.files
    assert all(file.startswith(PRODUCT) for file in mutant.files)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_it_applies_to_the_present_tree(mutant: Mutant) -> None:
    command = ["git", "apply", "--check", str(mutant.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "--- a/x\n+++ b/x\n",  # no heading
        "It is wrong.\n\n--- a/x\n+++ b/x\n",  # no test
        "test: tests/x.py::test_x\n\n--- a/x\n+++ b/x\n",  # nothing said
        "It is wrong.\n\ntest: tests/x.py::test_x\ntest: tests/x.py::test_y\n\n--- a/x\n+++ b/x\n",
        "It is wrong.\n\ntest: tests/x.py::test_x\n",  # no diff
    ],
)
def test_a_patch_without_its_heading_is_refused(tmp_path: Path, text: str) -> None:
    patch = tmp_path / "wrong.patch"
    patch.write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.patch needs a heading"):
        read(patch)


# --- the verdict


def phase(when: str, outcome: str = "passed", *, asserted: bool = False) -> dict[str, Any]:
    return {"test": TEST, "when": when, "outcome": outcome, "asserted": asserted, "said": "?"}


SET_UP, TORN_DOWN = phase("setup"), phase("teardown")
CAUGHT = phase("call", "failed", asserted=True)


@pytest.mark.parametrize(
    ("code", "phases", "outcome"),
    [
        (1, [SET_UP, CAUGHT, TORN_DOWN], "caught"),
        (0, [SET_UP, phase("call"), TORN_DOWN], "SURVIVED"),
        (1, [SET_UP, phase("call", "failed"), TORN_DOWN], "not proven"),  # some other exception
        (1, [phase("setup", "failed"), TORN_DOWN], "not proven"),
        (1, [phase("setup", "failed", asserted=True), TORN_DOWN], "not proven"),
        (1, [SET_UP, phase("call"), phase("teardown", "failed", asserted=True)], "not proven"),
        (0, [phase("setup", "skipped"), TORN_DOWN], "not proven"),
        (0, [SET_UP, phase("call", "skipped"), TORN_DOWN], "not proven"),  # expected to fail
        (2, [SET_UP, CAUGHT], "not proven"),  # interrupted
        (4, [], "not proven"),  # no such test
        (1, [phase("setup") | {"test": "tests/another.py::test_it"}], "not proven"),
    ],
)
def test_only_the_assertion_of_the_named_test_counts(
    code: int, phases: list[dict[str, Any]], outcome: str
) -> None:
    assert runner.judge(TEST, code, phases).outcome == outcome


# --- the runner, on a tree of its own

PATCH = f"""It adds wrongly.

test: {TEST}

--- a/product.py
+++ b/product.py
@@ -1,2 +1,2 @@
 def add(a: int, b: int) -> int:
-    return a + b
+    return a - b
"""


def tree(root: Path, body: str) -> Mutant:
    """Make a small project with a mutant; `body` is that of its test."""
    tests = root / "tests"
    shutil.copytree(
        FOLDER, tests / "mutants", ignore=shutil.ignore_patterns("*.patch", "__pycache__")
    )
    (root / "product.py").write_text("def add(a: int, b: int) -> int:\n    return a + b\n")
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    (tests / "test_it.py").write_text(body)
    patch = tests / "mutants" / "subtracts.patch"
    patch.write_text(PATCH)
    return read(patch)


@pytest.mark.parametrize(
    ("body", "outcome", "why"),
    [
        (
            "from product import add\ndef test_it(): assert add(1, 1) == 2\n",
            "caught",
            "assert 0 == 2",
        ),
        ("from product import add\ndef test_it(): assert add(1, 0) == 1\n", "SURVIVED", "passed"),
        ("from product import add\ndef test_it(): [][add(1, 1)]\n", "not proven", "IndexError"),
        ("import nothing_of_this_name\ndef test_it(): assert 0\n", "not proven", "did not run"),
        ("def test_it(world): assert 0\n", "not proven", "setup: "),
        ("def test_another(): assert 0\n", "not proven", "did not run"),
    ],
)
def test_a_mutant_in_a_copy(tmp_path: Path, body: str, outcome: str, why: str) -> None:
    mutant = tree(tmp_path, body)
    verdict = runner.prove(mutant, tmp_path)
    assert (verdict.outcome, why in verdict.why) == (outcome, True), verdict
    assert "a + b" in (tmp_path / "product.py").read_text()  # the tree itself is left alone


def test_a_patch_that_no_longer_applies_proves_nothing(tmp_path: Path) -> None:
    mutant = tree(tmp_path, "from product import add\ndef test_it(): assert add(1, 1) == 2\n")
    (tmp_path / "product.py").write_text(
        "def add(*numbers: int) -> int:\n    return sum(numbers)\n"
    )
    verdict = runner.prove(mutant, tmp_path)
    assert (verdict.outcome, "no longer applies" in verdict.why) == ("not proven", True)
    assert "product.py" in verdict.output


def test_a_test_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    mutant = tree(tmp_path, "def test_another(): pass\n")
    assert not has_test(mutant, tmp_path)
    assert runner.missing_tests([mutant], tmp_path)[0] == [TEST]


@pytest.mark.parametrize("checkout", [False, True])
def test_a_copy_holds_what_belongs_to_the_project(tmp_path: Path, *, checkout: bool) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    for name in (".gitignore", "new.py", "folder/tracked.py", ".build/large", "folder/x.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("/.build/\n*.pyc\n")
    if checkout:
        for command in (["git", "init", "-q"], ["git", "add", "folder"]):
            subprocess.run(command, cwd=root, check=True)
    runner.copy_tree(root, copy)
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert found == {".gitignore", "new.py", "folder/tracked.py"}
