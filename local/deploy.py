"""Builds the real template by the SAM CLI and deploys it into the emulator, never anywhere else."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from local import environments
from local.emulator import ACCESS_KEY, REGION, SECRET_KEY
from local.environments import ROOT
from local.launcher import REMOVE

LAUNCHER = Path(__file__).with_name("launcher.py")
STACK = "mta-sts-off"
# All that a deployment depends on.
SOURCES = ("template.yaml", "functions", "layers", "statemachine", "requirements/sam.txt")
# A build asks AWS nothing; if it ever does, nobody answers there.
NOWHERE = "http://127.0.0.1:1"
# Old builds go when newer ones come: what is kept is enough for changing between two branches.
KEPT_BUILDS = 4


class DeployError(Exception):
    """The SAM CLI failed; the message is what it printed."""


def runtime() -> str:
    """Name the Lambda runtime of the Python that the environments have, such as python3.13.

    `sam build` demands the very Python that the template names, so the template is told.
    """
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def build(root: Path = ROOT) -> Path:
    """Build the template, unless this very content was built before; return the built template.

    Several processes may call this at once: one builds, the others wait and use what it made.
    """
    builds = root / ".build" / "sam"
    builds.mkdir(parents=True, exist_ok=True)
    target = builds / _fingerprint(root)
    template = target / "build" / "template.yaml"
    with _locked(builds / "lock"):
        if template.exists():
            os.utime(target)
            return template
        scratch = Path(tempfile.mkdtemp(dir=builds, prefix="unfinished-"))
        try:
            _build_into(scratch, root)
            # The build names other files by relative paths, so it must not change its depth.
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _forget_old(builds)
    return template


def _build_into(folder: Path, root: Path) -> None:
    _sam(
        "build",
        "--template-file", root / "template.yaml",
        "--base-dir", root,
        "--build-dir", folder / "build",
        "--no-cached",
        "--parallel",
        "--parameter-overrides", f"LambdaRuntime={runtime()}",
        folder=folder,
    )  # fmt: skip


def deploy(
    endpoint_url: str, parameters: Mapping[str, str], folder: Path, root: Path = ROOT
) -> None:
    """Build and deploy into the emulator at `endpoint_url`; `folder` takes the CLI's own files.

    Raises DeployError when the SAM CLI fails, ValueError when the address is not a loopback one.
    """
    _refuse_elsewhere(endpoint_url)
    template = build(root)
    overrides = {"LambdaRuntime": runtime(), **parameters}
    _sam(
        "deploy",
        "--template-file", template,
        "--stack-name", STACK,
        "--resolve-s3",
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
        "--no-confirm-changeset",
        "--no-progressbar",
        "--region", REGION,
        "--parameter-overrides", *(f"{name}={_quoted(value)}" for name, value in overrides.items()),
        folder=folder,
        endpoint_url=endpoint_url,
    )  # fmt: skip


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refuse_elsewhere(endpoint_url: str) -> None:
    """Make sure that nothing is deployed to the real AWS, whatever this machine is set up for."""
    address = urlsplit(endpoint_url)
    if address.scheme != "http" or not ip_address(address.hostname or "").is_loopback:
        raise ValueError(f"the lab deploys to loopback addresses only, not to {endpoint_url}")


def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256(runtime().encode())
    for source in SOURCES:
        path = root / source
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:20]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_old(builds: Path) -> None:
    found = [path for path in builds.iterdir() if path.is_dir()]
    for old in sorted(found, key=lambda path: path.stat().st_mtime)[:-KEPT_BUILDS]:
        shutil.rmtree(old, ignore_errors=True)


def _environment(endpoint_url: str, home: Path) -> dict[str, str]:
    """Compose an environment in which every AWS client talks to `endpoint_url` and to nobody else.

    No profile, no credentials, no configuration of AWS is inherited. What else there is stays: how
    to reach a package index (a mirror, a proxy, certificates) is this machine's affair.
    """
    inherited = {name: value for name, value in os.environ.items() if not _is_about_aws(name)}
    places = [environments.executable(name).parent for name in ("sam", "bootstrap")]
    return inherited | {
        "PATH": os.pathsep.join([*map(str, places), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.1",
        "UV_CACHE_DIR": environments.cache(),
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _is_about_aws(name: str) -> bool:
    return name.startswith(("AWS_", "SAM_", "BOTO_", "PYTHON")) or name == "VIRTUAL_ENV"


def _sam(*arguments: object, folder: Path, endpoint_url: str = NOWHERE) -> None:
    """Run the SAM CLI, tied to this process; DeployError with its output when it fails."""
    _refuse_elsewhere(endpoint_url)
    home = folder / "sam-home"
    (home / ".aws-sam").mkdir(parents=True, exist_ok=True)
    # Otherwise the CLI asks a package index whether a newer version of itself is out.
    (home / ".aws-sam" / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    log = folder / "sam.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [environments.executable("sam"), LAUNCHER, "sam", *map(str, arguments)],
            cwd=folder,
            env=_environment(endpoint_url, home) | {REMOVE: str(home)},
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        code = process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
    if code:
        raise DeployError(f"sam {arguments[0]} failed:\n{log.read_text(errors='replace')}")
