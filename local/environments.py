"""Python environments of the project: one for each requirement file, made by uv, all at once.

`python3 local/environments.py [NAME ...]` makes or renews those named (all of them by default). It
runs before anything is installed, so it imports nothing but the standard library. Everything lies
under one folder, uv and the download cache included; nothing is installed anywhere else.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("dev", "emulator", "sam", "cli")
OLDEST, TOO_NEW = (3, 11), (3, 14)


def directory() -> Path:
    """Return the folder of the environments; copies of the tree share one by MTA_STS_ENV_DIR."""
    return Path(os.environ.get("MTA_STS_ENV_DIR") or ROOT / ".build" / "env").absolute()


def cache() -> str:
    """Return the folder of uv's downloads: beside the environments, unless UV_CACHE_DIR says so."""
    return os.environ.get("UV_CACHE_DIR") or str(directory().parent / "cache" / "uv")


def executable(name: str, command: str = "python") -> Path:
    """Return the path of a command in an environment; FileNotFoundError says how to make it."""
    path = directory() / name / "bin" / command
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `make env` in the checkout first")
    return path


def fingerprint(name: str) -> str:
    """Tell when an environment must be made anew: other requirements or another Python."""
    wanted = (ROOT / "requirements" / f"{name}.txt").read_bytes()
    python = f"{sys.version} {sys.base_prefix} {directory()}"
    return hashlib.sha256(wanted + python.encode()).hexdigest()


def is_ready(name: str) -> bool:
    """Tell whether the environment is complete and as its requirement file says."""
    stamp = directory() / name / "made-from"
    return stamp.exists() and stamp.read_text() == fingerprint(name)


def _command(*command: object) -> None:
    """Run quietly; show what it said only when it fails."""
    settings = {
        "UV_CACHE_DIR": cache(),
        "UV_NO_PROGRESS": "1",
        # The Python that is here is the one that is wanted: never fetch another.
        "UV_PYTHON_DOWNLOADS": "never",
    }
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed: {' '.join(map(str, command))}")


def _stamp(name: str) -> None:
    (directory() / name / "made-from").write_text(fingerprint(name))


def _make_bootstrap() -> None:
    """Make the environment that holds uv, by the venv module and pip."""
    home = directory() / "bootstrap"
    shutil.rmtree(home, ignore_errors=True)
    _command(sys.executable, "-m", "venv", home)
    wanted = ROOT / "requirements" / "bootstrap.txt"
    pip = (home / "bin" / "python", "-m", "pip", "--no-cache-dir", "install", "--quiet")
    _command(*pip, "--require-hashes", "--only-binary=:all:", "-r", wanted)
    _stamp("bootstrap")


def _make(name: str) -> None:
    """Make an environment by uv."""
    uv, home = directory() / "bootstrap" / "bin" / "uv", directory() / name
    wanted = ROOT / "requirements" / f"{name}.txt"
    _command(uv, "venv", "--quiet", "--clear", "--python", sys.executable, home)
    python = home / "bin" / "python"
    _command(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", wanted)
    _stamp(name)


def ensure(names: tuple[str, ...] = NAMES) -> None:
    """Make what is missing or out of date. Two callers at once take turns."""
    if all(is_ready(name) for name in ("bootstrap", *names)):
        return
    directory().mkdir(parents=True, exist_ok=True)
    with (directory() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begin = time.monotonic()
        if not is_ready("bootstrap"):
            print("Setting up: uv", flush=True)
            _make_bootstrap()
        missing = [name for name in names if name != "bootstrap" and not is_ready(name)]
        if missing:
            print(f"Setting up: {', '.join(missing)}", flush=True)
            with ThreadPoolExecutor() as pool:
                list(pool.map(_make, missing))
        print(f"Environments ready after {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    if not OLDEST <= sys.version_info[:2] < TOO_NEW:
        sys.exit(f"Python 3.11, 3.12 or 3.13 is needed; {sys.executable} is {sys.version}")
    ensure(tuple(sys.argv[1:]) or NAMES)
