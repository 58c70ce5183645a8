"""What is deployed: handlers that import from the built layer and the runtime's own boto3 alone."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from local import deploy

HANDLERS = sorted(
    path.parent.name for path in (Path(__file__).parents[2] / "functions").glob("*/app.py")
)
# What AWS ships in its Python runtimes: boto3 and what it needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py")
# A resource's logical id in the template is its folder's name in capitals.
ASK_ONLY = ("verify_policy", "verify_record")


@pytest.fixture(scope="module")
def built() -> Path:
    return deploy.build().parent


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    installed = Path(sysconfig.get_paths()["purelib"])
    for name in RUNTIME:
        (folder / name).symlink_to(installed / name)
    return folder


def resource(folder: str) -> str:
    return folder.title().replace("_", "")


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_imports_from_layer_and_runtime_alone(
    name: str, built: Path, runtime: Path
) -> None:
    layer, code = built / "MtaStsLayer" / "python", built / resource(name)
    program = f"""
import json, sys
sys.path[:0] = {[str(code), str(layer), str(runtime)]!r}
import app
print(json.dumps([callable(app.handler), sorted(set(sys.modules) & {{"boto3", "botocore.session"}})]))
"""
    command = [sys.executable, "-B", "-I", "-S", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    is_handler, aws = json.loads(done.stdout)
    assert is_handler
    if name in ASK_ONLY:
        assert aws == []  # they ask DNS and HTTPS only, and need not pay for boto3's import


def test_the_layer_is_pure_python_and_has_no_boto3(built: Path) -> None:
    layer = built / "MtaStsLayer" / "python"
    assert (layer / "mta_sts" / "plan.py").is_file()
    assert [path for path in layer.rglob("*") if path.suffix in {".so", ".pyd"}] == []
    assert not {"boto3", "botocore"} & {path.name for path in layer.iterdir()}


def test_a_function_holds_nothing_but_its_handler(built: Path) -> None:
    for name in HANDLERS:
        files = {path.name for path in (built / resource(name)).iterdir()} - {"__pycache__"}
        assert files == {"app.py"}
