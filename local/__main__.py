"""Commands: `up` keeps a lab running, `run` sends one event, `demo` shows it all, `bench` measures it.

`life` shows the whole life of a domain.

python -m local up
python -m local run events/none-policy.json
python -m local demo --method none-policy --fault stale-cdn
python -m local bench

Standard output holds JSON and nothing else, for programs; what people read goes to standard error.
`run` ends with 0 when the execution succeeded, 1 when it did not, 2 when it could not be run.
"""

import argparse
import contextlib
import json
import signal
import sys
import threading
from pathlib import Path

import idna

from local.ending import BROKEN, STOPPED, ended
from local.lab import Lab
from local.runs import Run
from local.sample import DOMAIN, POLICY, RECORD, well_formed
from local.screen import Screen
from local.watch import comments_of, watch

STARTING = "Starting AWS, DNS, web and senders, and deploying the template"


class EventFileError(Exception):
    """An event file cannot be used; the message says why, and where in it."""


def up(dns_port: int, https_port: int) -> int:
    """Keep a lab running until it is told to end; print one JSON object once it is there."""
    # SIGINT as well: a shell lets what it starts in the background ignore it.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    screen = Screen(sys.stderr)
    with contextlib.ExitStack() as stack:
        with screen.working(STARTING):
            lab = stack.enter_context(Lab(dns_port, https_port))
        with screen.working(f"Setting {DOMAIN} up, until everybody holds its policy"):
            lab.add_domain(DOMAIN, policies=[POLICY], record=[RECORD])
        with contextlib.suppress(KeyboardInterrupt):
            print(json.dumps(lab.describe(), indent=2), flush=True)
            screen.say("It runs until Ctrl-C.")
            threading.Event().wait()
    print(f"\n{STOPPED}", file=sys.stderr)
    return 0


def run(file: Path, timeout: float) -> int:
    """Run one event in a lab of its own, with its domain set up; 0 only if it succeeded."""
    try:
        event = _read(file)
    except EventFileError as error:
        print(f"{file}: {error}", file=sys.stderr)
        return BROKEN
    screen = Screen(sys.stderr)
    with contextlib.ExitStack() as stack:
        with screen.working(STARTING):
            lab = stack.enter_context(Lab())
        domain = DOMAIN if _asks(event, "discover", wanted=True) else _domain_of(event)
        if domain:
            creates = _asks(event, "create_policy", wanted=True)
            policies = [] if creates else [well_formed(domain)]
            held = "without a policy" if not policies else "until everybody holds its policy"
            with screen.working(f"Setting {domain} up, {held}"):
                lab.add_domain(domain, policies=policies, record=[RECORD])
        if domain and _asks(event, "method", "restore"):
            with screen.working("Turning it off first, so that there is something to put back"):
                lab.run({"domain": domain, "method": "none-policy"}, timeout)
        execution = lab.start(event)
        watch(screen, execution, comments_of(lab), timeout)
        return _tell(screen, execution)


def _tell(screen: Screen, execution: Run) -> int:
    """Print the output as JSON, and last what a person reads; return the exit status."""
    if execution.status == "SUCCEEDED":
        output = execution.output
        print(json.dumps(output, indent=2, ensure_ascii=False), flush=True)
        screen.blank()
        screen.message(output.get("text") or output["summary"])
        return 0
    screen.blank()
    screen.say((f"{execution.status}: {execution.error}", "bold red"))
    screen.message(execution.cause or "no cause was given")
    return 1


def _read(file: Path) -> object:
    """Return what an event file holds; a byte order mark, as some editors write it, is no part of it."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise EventFileError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EventFileError(f"is not UTF-8: byte {error.start + 1}") from error
    if not text.strip():
        raise EventFileError("is empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise EventFileError(f"is not JSON: {where}: {error.msg}") from error


def _asks(event: object, field: str, wanted: object) -> bool:
    """Tell whether an event has this value in a field."""
    return isinstance(event, dict) and event.get(field) == wanted


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
        from local import demo  # noqa: PLC0415 - what it alone needs is loaded for it alone

        return demo.main(arguments[1:])
    if arguments[:1] == ["life"]:
        from local import life  # noqa: PLC0415 - the same

        return life.main(arguments[1:])
    if arguments[:1] == ["bench"]:
        from local.bench import command  # noqa: PLC0415 - the same

        return command.main(arguments[1:])
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
    commands.add_parser("life", help="show the life of a domain", add_help=False)
    commands.add_parser("bench", help="measure what a run takes", add_help=False)
    given = parser.parse_args(arguments)
    if given.command == "up":
        return ended(lambda: up(given.dns_port, given.https_port), interrupted=BROKEN)
    return ended(lambda: run(given.event, given.timeout), interrupted=BROKEN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
