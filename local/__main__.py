"""Commands: `up` keeps a lab running, `run` sends one event, `demo` shows it all.

python -m local up
python -m local run events/none-policy.json
python -m local demo --method none-policy --fault stale-cdn
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import idna

from local.lab import Lab
from local.sample import DOMAIN, POLICY, RECORD


def up(dns_port: int, https_port: int) -> int:
    """Keep a lab running until it is told to end; print one JSON object once it is there."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, end)
    with Lab(dns_port, https_port) as lab:
        lab.add_domain(DOMAIN, policies=[POLICY], record=[RECORD])
        print(json.dumps(lab.describe(), indent=2), flush=True)
        ended.wait()
    return 0


def run(file: Path, timeout: float) -> int:
    """Run one event in a lab of its own, with its domain set up; 0 only if it succeeded."""
    event = json.loads(file.read_text())
    with Lab() as lab:
        if domain := _domain_of(event):
            lab.add_domain(domain, policies=[POLICY], record=[RECORD])
        execution = lab.run(event, timeout)
        if execution.status == "SUCCEEDED":
            print(json.dumps(execution.output, indent=2, ensure_ascii=False))
            return 0
        print(f"{execution.status} {execution.error}: {execution.cause}", file=sys.stderr)
        return 1


def _domain_of(event: object) -> str | None:
    """Return the domain that an event is about, as A-label; None where it names none."""
    named = event.get("domain") if isinstance(event, dict) else None
    if not isinstance(named, str):
        return None
    try:
        return idna.encode(named.removesuffix("."), uts46=True).decode()
    except idna.IDNAError:
        return None  # one of the bad events, which are there to be refused


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    if arguments[:1] == ["demo"]:
        from local import demo  # noqa: PLC0415 - it draws on a terminal, which the others do not

        return demo.main(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    parsed_up = commands.add_parser("up", help="keep a lab running and print how to reach it")
    parsed_up.add_argument("--dns-port", type=int, default=0, help="0: any that is free")
    parsed_up.add_argument("--https-port", type=int, default=0, help="0: any that is free")
    parsed_run = commands.add_parser("run", help="run one event file in a lab of its own")
    parsed_run.add_argument("event", type=Path)
    parsed_run.add_argument("--timeout", type=float, default=120, help="seconds")
    commands.add_parser("demo", help="show the whole of it", add_help=False)
    given = parser.parse_args(arguments)
    if given.command == "up":
        return up(given.dns_port, given.https_port)
    return run(given.event, given.timeout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
