"""The lab as a whole: two side by side, nothing left behind, nothing reached beyond this machine."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local import deploy, protect
from local.environments import ROOT
from local.lab import Lab

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.side.example\r\nmax_age: 86400\r\n"


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Tell whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return true


def is_open(address: str, port: int) -> bool:
    """Tell whether somebody accepts TCP connections there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        return probe.connect_ex((address, port)) == 0


def processes_with(word: str) -> list[str]:
    """List the command lines and environments that name a word, those of this process left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if word.encode() in text:
            found.append(process.name)
    return found


@contextlib.contextmanager
def lab_of_its_own() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `up`; give the process and what it prints."""
    with subprocess.Popen(
        [sys.executable, "-m", "local", "up"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as lab:
        assert lab.stdout is not None
        described = ""
        while not described.endswith("}\n") or described.count("{") != described.count("}"):
            line = lab.stdout.readline()
            assert line, "the lab ended by itself"
            described += line
        yield lab, json.loads(described)


def ports_of(described: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return address and port of all that a lab says it listens on."""
    endpoint = described["endpoint_url"].removeprefix("http://")
    places = [endpoint, *described["name_servers"], *described["resolvers"]]
    ports = [(host, int(port)) for host, _, port in (each.partition(":") for each in places)]
    return ports + [(address, described["https_port"]) for address in described["policy_hosts"]]


def assert_nothing_is_left(described: Mapping[str, Any]) -> None:
    folder = Path(described["ca_file"]).parent
    assert until(lambda: not any(is_open(*each) for each in ports_of(described)))
    assert until(lambda: processes_with(str(folder)) == [])
    assert not folder.exists()


WRITER = """
import itertools, pathlib, sys
for number in itertools.count():
    place = pathlib.Path(sys.argv[1], "tmp", str(number % 50))
    place.mkdir(parents=True, exist_ok=True)
    (place / str(number)).touch()
    (pathlib.Path(sys.argv[1]) / "busy").touch()
"""
TIED = """
import subprocess, sys
from local import launcher
writer = subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]])
launcher.tie_to_parent(sys.argv[1])
writer.wait()
"""


def test_what_workers_write_to_the_last_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", TIED, folder, WRITER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        start_new_session=True,
    ) as tied:
        assert until((folder / "busy").exists)
        assert tied.stdin is not None
        tied.stdin.close()
        assert tied.wait() == -signal.SIGKILL
    assert until(lambda: processes_with(str(folder)) == [])
    assert not folder.exists()


def test_a_lab_that_is_killed_leaves_no_process_no_port_and_no_file() -> None:
    with lab_of_its_own() as (process, described):
        # A function's process must be there, or its end would prove nothing.
        start_and_forget(described)
        folder = Path(described["ca_file"]).parent
        assert until(lambda: len(processes_with(str(folder))) > 1)
        assert all(is_open(*each) for each in ports_of(described))
        process.send_signal(signal.SIGKILL)
    assert_nothing_is_left(described)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_lab_that_is_told_to_end_says_so_and_leaves_nothing(ending: signal.Signals) -> None:
    with lab_of_its_own() as (process, described):
        assert described["domains"] == ["solarmora.com"]
        process.send_signal(ending)
        rest, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest == ""  # the JSON is all of standard output
    assert told.lstrip().startswith("Starting AWS")
    assert told.endswith("\nStopped; nothing is left of the lab.\n")
    assert_nothing_is_left(described)


def start_and_forget(described: Mapping[str, Any]) -> None:
    """Start an execution from outside, with nothing but what `up` prints."""
    script = (
        "import boto3, sys; boto3.client('stepfunctions').start_execution("
        "stateMachineArn=sys.argv[1], input='{}')"
    )
    machine = described["stack_outputs"]["StateMachineArn"]
    environment = {"PATH": os.environ["PATH"], **described["environment"]}
    subprocess.run([sys.executable, "-c", script, machine], env=environment, check=True)


def test_two_labs_side_by_side_do_not_meet(lab: Lab) -> None:
    with Lab(name_servers=2, resolvers=1) as other:
        for each, number in ((lab, "1"), (other, "2")):
            record = [f"v=STSv1; id={number};"]
            each.add_domain("side.example", policies=[POLICY], record=record, cdn_seconds=60)
        held = [each.senders[0].state("side.example").held for each in (lab, other)]
        assert [each and each.id for each in held] == ["1", "2"]
        mine = {address for address, _ in lab.name_servers + lab.resolvers}
        its = {address for address, _ in other.name_servers + other.resolvers}
        assert not mine & its
        assert (len(other.name_servers), len(other.resolvers)) == (2, 1)
        ports = [*other.name_servers, *other.resolvers]
        ports += [(address, other.policy_hosts.port) for address in other.policy_hosts.addresses]
        assert all(is_open(*each) for each in ports)
    assert not any(is_open(*each) for each in ports)


def test_nothing_is_deployed_beyond_loopback(tmp_path: Path) -> None:
    for elsewhere in ("https://cloudformation.us-east-1.amazonaws.com", "http://192.0.2.1:4566"):
        with pytest.raises(ValueError, match="loopback"):
            deploy.deploy(elsewhere, {}, tmp_path)


def test_the_sam_cli_inherits_nothing_about_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, "a real one")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a real one")
    environment = deploy._environment("http://127.0.0.1:1", tmp_path)
    assert "a real one" not in environment.values()
    assert environment["HOME"] == str(tmp_path)


def test_protection_is_for_the_stack_that_was_deployed() -> None:
    saved = {
        "global": {"parameters": {"stack_name": "mta-sts-off"}},
        "deploy": {"parameters": {"stack_name": "mine", "region": "eu-west-1"}},
    }
    assert protect.target({"default": saved}) == ("mine", "eu-west-1", None)
    del saved["deploy"]
    assert protect.target({"default": saved}) == ("mta-sts-off", None, None)
