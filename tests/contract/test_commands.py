"""`python -m local run`: an event file decides, and the exit status tells."""

import contextlib
import json
from pathlib import Path

import pytest

from local import __main__ as commands
from local.lab import Lab


@pytest.fixture(autouse=True)
def _in_this_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find the lab of this process in place of one of its own."""
    monkeypatch.setattr(commands, "Lab", lambda: contextlib.nullcontext(lab))


def event(folder: Path, **fields: object) -> str:
    """Write an event file and return its path."""
    path = folder / "event.json"
    path.write_text(json.dumps(fields))
    return str(path)


def test_an_event_that_succeeds_prints_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The domain is set up under its A-label, whatever form the event has it in.
    file = event(tmp_path, domain="Bücher.Run.Example.", method="none-policy")
    assert commands.main(["run", file]) == 0
    assert json.loads(capsys.readouterr().out)["domain"] == "xn--bcher-kva.run.example"


def test_an_event_that_fails_says_why_and_is_not_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = event(tmp_path, domain="https://run.example/", method="none-policy")
    assert commands.main(["run", file]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "FAILED InvalidRequestError" in printed.err
