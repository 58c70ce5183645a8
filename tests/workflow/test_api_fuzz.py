"""Whatever the description allows, and what it does not, is sent: nothing fails here, all is as described."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.api import Api
from local.environments import ROOT
from local.lab import HOOK_SOURCES, Lab
from tests.workflow.scene import add

DESCRIPTION = "docs/openapi.json"
EXAMPLES = 15
# The signer signs what was to go out unsigned; and no schema knows which field is for which method.
NOT_ASKED = ("ignored_auth", "positive_data_acceptance")
SOURCES = {"plain": {"format": "plain", "secret": "mta-sts-off/jira", "domains": ["solarmora.com"]}}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of its own: whatever is sent may be done, to any domain."""
    with Lab() as running:
        yield running


def test_the_description_holds_whatever_is_sent(lab: Lab, tmp_path: Path) -> None:
    add(lab, "solarmora.com")
    lab.client("ssm").put_parameter(
        Name=HOOK_SOURCES, Type="String", Value=json.dumps(SOURCES), Overwrite=True
    )
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", ROOT / DESCRIPTION,
            "--url", Api(lab).url,
            "--max-examples", str(EXAMPLES),
            "--seed", "1",
            "--generation-deterministic",
            "--exclude-checks", ",".join(NOT_ASKED),
            "--request-timeout", "30",
            "--no-color",
        ],
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.workflow.signing",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/mta_sts")]),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    operations = sum(
        len(item) for item in json.loads((ROOT / DESCRIPTION).read_text())["paths"].values()
    )
    assert f"Tested: {operations}" in done.stdout, done.stdout
