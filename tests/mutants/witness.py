"""A pytest plugin that writes down how a test failed, in the copy of the tree that has a mutant.

pytest's exit status is the same for a test that fails and for a world that does not come up.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

# Where to write: a file with a JSON object on each line.
REPORT = "MTA_STS_MUTANT_REPORT"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write one line for each phase of each test: set-up, call and tear-down."""
    report = yield
    line = {
        "test": item.nodeid,
        "when": report.when,
        "outcome": report.outcome,
        "asserted": _asserted(call.excinfo, item.config.rootpath / "tests"),
        "said": "" if call.excinfo is None else call.excinfo.exconly().partition("\n")[0],
    }
    with Path(os.environ[REPORT]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    return report


def _asserted(found: pytest.ExceptionInfo[Any] | None, tests: Path) -> bool:
    """Tell whether it was an assertion of the tests, not one of what they use."""
    if found is None:
        return False
    if isinstance(found.value, pytest.fail.Exception):
        return True  # such as "DID NOT RAISE"
    place = Path(found.traceback[-1].path)
    return isinstance(found.value, AssertionError) and place.is_relative_to(tests)
