"""Wrong versions of the product, built where there still is a network to build them with."""

import os
import subprocess
from pathlib import Path

from local import deploy
from tests.mutants.__main__ import copy_tree
from tests.mutants.patches import FOLDER as PATCHES
from tests.mutants.patches import ROOT

# The folder of the wrong versions, each under its name, for the tests inside.
FOLDER = "MTA_STS_SENDERS_MUTATED"


def make(name: str, folder: Path) -> str:
    """Copy the tree into the folder, apply one mutant and build it; say why not, or nothing."""
    root = folder / name
    copy_tree(ROOT, root)
    # The copy is no checkout, even where the folder lies in one.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder)}
    patch = PATCHES / f"{name}.patch"
    applied = subprocess.run(["git", "apply", str(patch)], cwd=root, env=environment, check=False)  # noqa: S607
    if applied.returncode:
        return f"{patch.relative_to(ROOT)} no longer applies: renew it"
    deploy.build(root)
    return ""
