"""`python -m local run`: an event file decides, and the exit status tells."""

import contextlib
import json
from pathlib import Path

import pytest

from local import __main__ as commands
from local.environments import ROOT
from local.lab import Lab

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def in_this_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Let the command find the lab of this process in place of one of its own."""
    monkeypatch.setattr(commands, "Lab", lambda: contextlib.nullcontext(lab))
    return lab


@pytest.fixture
def no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no lab at all: the moment at which one would be is that of Ctrl-C."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "Lab", interrupted)


def event(folder: Path, **fields: object) -> str:
    """Write an event file and return its path."""
    path = folder / "event.json"
    path.write_text(json.dumps(fields))
    return str(path)


def test_an_event_that_succeeds_gives_json_to_programs_and_text_to_people(
    in_this_lab: Lab, tmp_path: Path, capsys: Captured
) -> None:
    # The domain is set up under its A-label, whatever form the event has it in.
    file = event(tmp_path, domain="Bücher.Run.Example.", method="none-policy")
    assert commands.main(["run", file]) == 0
    printed = capsys.readouterr()
    output = json.loads(printed.out)
    assert output["domain"] == "xn--bcher-kva.run.example"
    for line in output["text"].splitlines():
        assert line in printed.err
    # Nobody waits half a minute before anything is said.
    began, in_between, ended = (printed.err.index(each) for each in ("Starting", "Claim", "Keep"))
    assert began < in_between < ended
    # The policy that it met is a good one, so that nothing but the event is being looked at.
    assert "malformed" not in printed.out + printed.err


def test_an_event_that_creates_a_policy_meets_a_domain_without_one(
    in_this_lab: Lab, tmp_path: Path, capsys: Captured
) -> None:
    # As events/create-policy.json, but with a domain that no other test has set up in this lab.
    given = json.loads((ROOT / "events" / "create-policy.json").read_text())
    file = event(tmp_path, **{**given, "domain": "create.run.example"})
    assert commands.main(["run", file]) == 0
    domain = json.loads(capsys.readouterr().out)["domain"]
    bucket, key = in_this_lab.policy_object(domain)
    versions = in_this_lab.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    assert len(versions) == 1  # the policy of the run, and none that was there before


def test_a_plan_is_told_by_its_summary(in_this_lab: Lab, tmp_path: Path, capsys: Captured) -> None:
    file = event(tmp_path, domain="plan.run.example", method="none-policy", dry_run=True)
    assert commands.main(["run", file]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["summary"] in printed.err


def test_an_event_that_fails_says_why_and_is_not_zero(
    in_this_lab: Lab, tmp_path: Path, capsys: Captured
) -> None:
    file = event(tmp_path, domain="https://run.example/", method="none-policy")
    assert commands.main(["run", file]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "FAILED: InvalidRequestError" in printed.err
    assert "is a URL or a path; give the domain alone" in printed.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b'{\n  "domain": x\n}', "is not JSON: line 2, column 13: Expecting value"),
        (b'{"domain": "\xfc"}', "is not UTF-8: byte 13"),
    ],
)
def test_a_file_that_is_no_event_is_told_in_one_line_before_anything_starts(
    no_lab: None, tmp_path: Path, capsys: Captured, content: bytes | None, told: str
) -> None:
    file = tmp_path / "event.json"
    if content is not None:
        file.write_bytes(content)
    assert commands.main(["run", str(file)]) == 2
    assert capsys.readouterr() == ("", f"{file}: {told}\n")


def test_a_byte_order_mark_is_no_part_of_an_event_and_ctrl_c_ends_with_a_line(
    no_lab: None, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "event.json"
    file.write_bytes(b'\xef\xbb\xbf{"domain": "bom.run.example", "method": "none-policy"}')
    assert commands.main(["run", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith("\nStopped; nothing is left of the lab.\n")
