"""Turns MTA-STS off for solarmora.com, in a lab on this machine, and shows all of it.

python -m local demo --method none-policy --fault stale-cdn

The exit status is 0 when MTA-STS is off and confirmed, 1 when it is not, 2 when the lab broke.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from local import progress, report
from local.account import NAME_SERVERS
from local.ending import ended
from local.lab import Lab
from local.report import Delivered
from local.runs import Run
from local.sample import DOMAIN, POLICY, RECORD
from local.screen import Screen
from local.watch import comments_of, watch
from local.world.senders import ConformingSender, Network, Sender

TTL_SECONDS, CDN_SECONDS = 5, 3600
NEW_MX, OLD_MX = "mx.newprovider.example", "mail.solarmora.com"
REMARK = (
    "“mode: enforced” is no mode of RFC 8461. Lenient senders, the first three, read it as “enforce”; "
    "a strict one finds no policy."
)

LAGGING = 1  # the second name server
FAULTS: dict[str, tuple[str, Callable[[Lab], None]]] = {
    "lagging-server": (
        f"name server {NAME_SERVERS[LAGGING]} keeps the record that it now has",
        lambda lab: lab.lag(DOMAIN, LAGGING),
    ),
    "stale-cdn": (
        "the CDN takes invalidations on and never completes them",
        lambda lab: lab.hold_invalidations(DOMAIN),
    ),
    "wrong-bucket": (
        "the policy host serves another bucket, with somebody else's policy",
        lambda lab: lab.wrong_bucket(DOMAIN),
    ),
}
# Nobody wants to look at something broken for long.
FAULT_DEADLINE_SECONDS = 12
RUN_SECONDS = 120

OFF, NOT_OFF = 0, 1


def main(arguments: list[str]) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--method", default="none-policy", help="default: %(default)s")
    parser.add_argument("--fault", choices=list(FAULTS), help="break the world in this way")
    given = parser.parse_args(arguments)
    with contextlib.suppress(AttributeError):  # a stream that is none of the system's
        # Where UTF-8 is not spoken a question mark is better than no evidence.
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # see above
    return ended(lambda: show(Screen(), given.method, given.fault))


def show(screen: Screen, method: str, fault: str | None) -> int:
    """Bring a lab up, show everything, and return the exit status."""
    began = time.monotonic()
    screen.say((f"mta-sts-off: {method} for {DOMAIN}", "bold"), ", in a world on this machine")
    with contextlib.ExitStack() as stack:
        with screen.working("Starting AWS, DNS, web and senders, and deploying the template"):
            parameters = {"DeadlineSeconds": str(FAULT_DEADLINE_SECONDS)} if fault else {}
            lab = stack.enter_context(Lab(parameters=parameters))
        with screen.working(f"Setting {DOMAIN} up, until everybody holds its policy"):
            lab.add_domain(
                DOMAIN,
                policies=[POLICY],
                record=[RECORD],
                ttl=TTL_SECONDS,
                cdn_seconds=CDN_SECONDS,
            )
        status = _show_change(screen, lab, method, fault)
    colour = "green" if status == OFF else "red"
    verdict = (
        "MTA-STS is off and confirmed."
        if status == OFF
        else "MTA-STS is not off, or not confirmed."
    )
    screen.blank()
    screen.say((verdict, f"bold {colour}"), (f" {time.monotonic() - began:.0f} s in all.", "dim"))
    return status


def _show_change(screen: Screen, lab: Lab, method: str, fault: str | None) -> int:
    event = {"domain": DOMAIN, "method": method}
    with screen.working("Planning, as a dry run through the state machine"):
        dry = lab.run(event | {"dry_run": True}, RUN_SECONDS)
    if dry.status != "SUCCEEDED":
        report.failure(screen, dry.status, dry.error, dry.cause)
        return NOT_OFF
    report.plan(screen, dry.output, _now())

    people = _senders(lab)
    report.senders(screen, "The senders before", _deliveries(people), _now(), remark=REMARK)

    screen.heading("The run")
    if fault:
        words, break_it = FAULTS[fault]
        break_it(lab)
        screen.say(("! ", "yellow"), ("Fault: ", "bold yellow"), words)
        screen.blank()
    run = lab.start(event)
    watch(screen, run, comments_of(lab), RUN_SECONDS)
    return _show_outcome(screen, run, people)


def _show_outcome(screen: Screen, run: Run, people: Sequence[tuple[str, Sender]]) -> int:
    status, output = run.status, run.output
    if status == "SUCCEEDED":
        report.evidence(screen, "The evidence", output["evidence"], _now())
    else:
        checks = progress.last_checks(run.history)
        report.evidence(screen, "What the checks saw last", checks, _now())
    deliveries, now = _deliveries(people), _now()
    report.senders(screen, "The senders after", deliveries, now)
    if status != "SUCCEEDED":
        report.failure(screen, status, run.error, run.cause)
        return NOT_OFF
    report.still_held(screen, deliveries, now)
    report.answers(screen, output, now)
    if output["state"] != "off":
        return NOT_OFF
    return _proven(screen, people, deliveries)


def _proven(
    screen: Screen, people: Sequence[tuple[str, Sender]], deliveries: Sequence[Delivered]
) -> int:
    """Believe the senders rather than the workflow: none that conforms may refuse mail any more."""
    refusing = [
        name
        for (name, sender), told in zip(people, deliveries, strict=True)
        if isinstance(sender, ConformingSender) and told.outcomes[NEW_MX] != "delivered"
    ]
    for name in refusing:
        screen.say(
            ("✗ ", "bold red"),
            f"The run says off, but a sender that {name} refuses mail to {NEW_MX}.",
        )
    return NOT_OFF if refusing else OFF


def _senders(lab: Lab) -> list[tuple[str, Sender]]:
    """Return the lab's senders and a strict one, each with what it does: "a sender that …"."""
    strict = ConformingSender(Network(lab.resolvers[0], lab.policy_hosts.port, lab.ca_file))
    strict.warm(DOMAIN)
    return [
        *(
            (f"follows {each.name}" if isinstance(each, ConformingSender) else each.name, each)
            for each in lab.senders
        ),
        ("is strict about the mode", strict),
    ]


def _deliveries(people: Sequence[tuple[str, Sender]]) -> list[Delivered]:
    told = []
    for name, sender in people:
        new, old = (sender.deliver(DOMAIN, mx) for mx in (NEW_MX, OLD_MX))
        held = sender.state(DOMAIN).held
        until = held.expires_at if held and new.mode == "enforce" else None
        told.append(Delivered(name, {NEW_MX: new.outcome, OLD_MX: old.outcome}, new.reason, until))
    return told


def _now() -> datetime:
    return datetime.now(UTC)
