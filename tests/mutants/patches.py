"""Mutants as files: a heading that says what is wrong and which test must fail, then a plain diff."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
# Mutants are wrong versions of the product, never of the tests or of the world.
PRODUCT = ("template.yaml", "statemachine/", "functions/", "layers/")

_TEST = re.compile(r"^test: (\S.*)$", re.MULTILINE)
_FILE = re.compile(r"^(?:---|\+\+\+) [ab]/(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Mutant:
    """A wrong version of the product; `test` is the node id of the test that must fail."""

    name: str
    path: Path
    wrong: str
    test: str
    files: frozenset[str]

    @property
    def test_file(self) -> str:
        """The file of the test, relative to the root."""
        return self.test.partition("::")[0]


def read(path: Path) -> Mutant:
    """Read a patch; ValueError where its heading does not say what is wrong and name one test."""
    heading, mark, diff = path.read_text().partition("\n--- ")
    tests = _TEST.findall(heading)
    wrong = " ".join(_TEST.sub("", heading).split())
    if not mark or len(tests) != 1 or not wrong:
        raise ValueError(
            f"{path.name} needs a heading: a sentence of what is wrong and does harm, and one line"
            " “test: tests/…::test_name”, above a diff"
        )
    return Mutant(path.stem, path, wrong, tests[0], frozenset(_FILE.findall("--- " + diff)))


def read_all(folder: Path = FOLDER) -> list[Mutant]:
    """Read every patch, in the order of their names."""
    return [read(path) for path in sorted(folder.glob("*.patch"))]


def has_test(mutant: Mutant, root: Path = ROOT) -> bool:
    """Tell whether the file of the test defines it; its parameters are left to pytest."""
    path, name = root / mutant.test_file, mutant.test.partition("::")[2].partition("[")[0]
    if not path.is_file():
        return False
    defined = ast.parse(path.read_text()).body
    return any(isinstance(each, ast.FunctionDef) and each.name == name for each in defined)
