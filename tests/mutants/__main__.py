"""Applies each mutant to a copy of the tree, and demands that the test it names fails there.

`python -m tests.mutants [NAME ...]`, as `make mutants` does; JOBS says how many at a time (2). Only
an assertion of the named test catches a mutant: where the world did not come up, nothing is proven.
"""

import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from local import environments
from tests.mutants.patches import ROOT, Mutant, read_all
from tests.mutants.witness import REPORT

SECONDS = 180  # for one mutant; a lab and a run that waits for its deadline take less than half
SHOWN = 25  # lines of pytest's output, where a mutant was not caught
WIDTH = 100  # characters of what the assertion said, where one was

Outcome = Literal["caught", "SURVIVED", "not proven"]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant; `why` says what was seen, `output` is what the commands printed."""

    outcome: Outcome
    why: str
    output: str = ""


def judge(test: str, code: int, phases: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge by pytest's exit status and the witness's lines; output is left to the caller."""
    failed = [phase for phase in phases if phase["outcome"] != "passed"]
    said = f"{failed[0]['when']}: {failed[0]['said']}" if failed else f"pytest ended with {code}"
    if {phase["test"] for phase in phases} != {test}:
        return Verdict("not proven", f"the test did not run ({said})")
    if code == 0 and not failed:
        return Verdict("SURVIVED", "the test passed")
    if code != 1 or failed[0]["when"] != "call" or not failed[0]["asserted"]:
        return Verdict("not proven", f"it failed by something else than its assertion ({said})")
    return Verdict("caught", failed[0]["said"])


def prove(mutant: Mutant, root: Path = ROOT) -> Verdict:
    """Apply one mutant to a copy of the tree and run its test there."""
    with tempfile.TemporaryDirectory(prefix="mta-sts-mutant-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        copy, report = folder / "tree", folder / "report"
        copy_tree(root, copy)
        applied = _run(copy, ["git", "apply", "--verbose", str(mutant.path)], _outside_git(folder))
        if applied.returncode:
            return Verdict("not proven", "the patch no longer applies: renew it", applied.stdout)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["-p", "tests.mutants.witness", mutant.test]
        try:
            done = _run(copy, command, _environment(folder) | {REPORT: str(report)})
        except subprocess.TimeoutExpired as error:
            return Verdict("not proven", f"no end after {SECONDS} s", _text(error.stdout))
        lines = report.read_text().splitlines() if report.exists() else []
        verdict = judge(mutant.test, done.returncode, [json.loads(line) for line in lines])
        return Verdict(verdict.outcome, verdict.why, done.stdout)


def copy_tree(root: Path, target: Path) -> None:
    """Copy what belongs to the project: tracked and new files, nothing that is built or ignored."""
    for file in _files(root):
        place = target / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place, follow_symlinks=False)


def _files(root: Path) -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],  # noqa: S607 - the caller's own git
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    names = [name for name in listed.stdout.split("\0") if name]
    if listed.returncode == 0 and names:
        # A file that was removed, but not yet from the index, is listed too.
        yield from (root / name for name in names if (root / name).is_file())
        return
    ignored = [".git", *(line.strip("/") for line in _lines(root / ".gitignore"))]
    for folder, folders, files in os.walk(root):
        kept = [name for name in folders if not _matches(name, ignored)]
        folders[:] = kept
        yield from (Path(folder, name) for name in files if not _matches(name, ignored))


def _lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _environment(folder: Path) -> dict[str, str]:
    """Share the environments with the copy, and nothing else that was built."""
    return _outside_git(folder) | {
        "MTA_STS_ENV_DIR": str(environments.directory()),
        "UV_CACHE_DIR": environments.cache(),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _outside_git(folder: Path) -> dict[str, str]:
    """The copy is no checkout, even if temporary files lie in one, or a hook of git runs this."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST"))
    }
    return inherited | {"GIT_CEILING_DIRECTORIES": str(folder)}


def _run(
    folder: Path, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _text(output: str | bytes | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def missing_tests(mutants: Sequence[Mutant], root: Path = ROOT) -> tuple[list[str], str]:
    """Return the named tests that pytest does not find, parameters included, and what it printed."""
    files = sorted({mutant.test_file for mutant in mutants if (root / mutant.test_file).exists()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = _run(root, [*command, *files], dict(os.environ))
    known = set(found.stdout.splitlines())
    return sorted({mutant.test for mutant in mutants} - known), found.stdout


def _timed(mutant: Mutant) -> tuple[Verdict, float]:
    begin = time.monotonic()
    return prove(mutant), time.monotonic() - begin


def _told(mutant: Mutant, verdict: Verdict, seconds: float) -> str:
    line = f"{verdict.outcome} in {seconds:.0f} s: {mutant.name}"
    if verdict.outcome == "caught":
        return f"{line} ({textwrap.shorten(verdict.why, WIDTH, placeholder=' …')})"
    tail = "\n".join(f"    {each}" for each in verdict.output.splitlines()[-SHOWN:])
    return f"{line}\n  {mutant.wrong}\n  {mutant.test}: {verdict.why}\n{tail}"


def main(names: Sequence[str]) -> int:
    """Prove the mutants of these names, or all; return 0 only if each was caught."""
    mutants = read_all()
    if unknown := set(names) - {mutant.name for mutant in mutants}:
        print(f"no such mutant: {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in mutants if not names or mutant.name in names]
    missing, output = missing_tests(chosen)
    if missing:
        print(f"{output}\nno such test: {', '.join(missing)}")
        return 2
    caught = 0
    with ThreadPoolExecutor(int(os.environ.get("JOBS") or 2)) as pool:
        running = {pool.submit(_timed, mutant): mutant for mutant in chosen}
        try:
            for done in as_completed(running):
                verdict, seconds = done.result()
                caught += verdict.outcome == "caught"
                print(_told(running[done], verdict, seconds), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    print(f"{caught} passed, {len(chosen) - caught} failed")
    return 0 if caught == len(chosen) else 1


def _end(*_: object) -> None:
    sys.exit(143)  # as a shell says it of SIGTERM; what was begun is cleaned up on the way


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
