"""Turns MTA-STS off for solarmora.com, in a lab on this machine, and shows all of it.

python -m local demo --method delete-record --publish-none
python -m local demo --fault stale-cdn

The exit status is 0 when MTA-STS is off and confirmed, 1 when it is not, 2 when the lab broke.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local import report
from local.account import NAME_SERVERS
from local.answers import answers
from local.ending import ended
from local.lab import Lab
from local.report import Delivered
from local.runs import Run
from local.sample import DOMAIN, POLICY, RECORD
from local.screen import Screen
from local.watch import comments_of, watch
from local.world.senders import ConformingSender, HttpsRenewingSender, Network, Sender
from mta_sts.visits import last_checks

METHODS = ("none-policy", "delete-record")
TTL_SECONDS, CDN_SECONDS = 5, 3600
NEW_MX, OLD_MX = "mx.newprovider.example", "mail.solarmora.com"
LONGEST_MAX_AGE = 604_800  # that of the sample
ANEW = "comes only now"
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
# What only a run that writes the policy stumbles over.
NEED_A_POLICY = ("stale-cdn", "wrong-bucket")
# Nobody wants to look at something broken for long.
FAULT_DEADLINE_SECONDS = 12
RUN_SECONDS = 120

OFF, NOT_OFF = 0, 1


def main(arguments: list[str]) -> int:
    """Run the demo and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--method", choices=METHODS, default="none-policy", help="default: %(default)s"
    )
    parser.add_argument(
        "--publish-none", action="store_true", help="before delete-record, rewrite the policy"
    )
    parser.add_argument("--fault", choices=list(FAULTS), help="break the world in this way")
    given = parser.parse_args(arguments)
    with contextlib.suppress(AttributeError):  # a stream that is none of the system's
        # Where UTF-8 is not spoken a question mark is better than no evidence.
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr] # see above
    event = {"domain": DOMAIN, "method": given.method, "new_mx": [NEW_MX]}
    if given.method == "delete-record":
        # The lab is as young as its policy, so that its history says nothing of what was before.
        event |= {"publish_none": given.publish_none, "longest_max_age": LONGEST_MAX_AGE}
        if given.fault in NEED_A_POLICY and not given.publish_none:
            parser.error(f"--fault {given.fault} needs a policy to be written: add --publish-none")
    elif given.publish_none:
        parser.error("--publish-none is for delete-record")
    return ended(lambda: show(Screen(), event, given.fault))


def show(screen: Screen, event: Mapping[str, Any], fault: str | None) -> int:
    """Bring a lab up, show everything, and return the exit status."""
    began = time.monotonic()
    told = event["method"] + (", publish_none" if event.get("publish_none") else "")
    screen.say((f"mta-sts-off: {told} for {DOMAIN}", "bold"), ", in a world on this machine")
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
        status = _show_change(screen, lab, event, fault)
    colour = "green" if status == OFF else "red"
    verdict = "MTA-STS is not off, or not confirmed."
    if status == OFF:
        verdict = "MTA-STS is off and confirmed."
        if event["method"] == "delete-record":
            verdict += " Who holds the policy keeps it for as long as the answers say."
    screen.blank()
    screen.say((verdict, f"bold {colour}"), (f" {time.monotonic() - began:.0f} s in all.", "dim"))
    return status


def _show_change(screen: Screen, lab: Lab, event: Mapping[str, Any], fault: str | None) -> int:
    with screen.working("Planning, as a dry run through the state machine"):
        dry = lab.run({**event, "dry_run": True}, RUN_SECONDS)
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
    return _show_outcome(screen, run, [*people, (ANEW, _newcomer(lab))])


def _show_outcome(screen: Screen, run: Run, people: Sequence[tuple[str, Sender]]) -> int:
    status, output = run.status, run.output
    if status == "SUCCEEDED":
        report.evidence(screen, "The evidence", output["evidence"], _now())
    else:
        checks = last_checks(run.history)
        report.evidence(screen, "What the checks saw last", checks, _now())
    deliveries, now = _deliveries(people), _now()
    report.senders(screen, "The senders after", deliveries, now)
    if status != "SUCCEEDED":
        report.failure(screen, status, run.error, run.cause)
        return NOT_OFF
    report.still_held(screen, deliveries, output, now)
    answers(screen, output, now)
    if output["state"] != "off":
        return NOT_OFF
    return _proven(screen, people, deliveries, output)


def _proven(
    screen: Screen,
    people: Sequence[tuple[str, Sender]],
    deliveries: Sequence[Delivered],
    output: Mapping[str, Any],
) -> int:
    """Believe the senders rather than the workflow: none may refuse mail for longer than was said."""
    refusing = [
        told.sender
        for (name, sender), told in zip(people, deliveries, strict=True)
        if told.outcomes[NEW_MX] != "delivered"
        and (name == ANEW or not _accounted(sender, told.held_until, output))
    ]
    for name in refusing:
        screen.say(
            ("✗ ", "bold red"),
            f"The run says off, but a sender that {name} refuses mail to {NEW_MX}, or for too long.",
        )
    return NOT_OFF if refusing else OFF


def _accounted(sender: Sender, held_until: datetime | None, output: Mapping[str, Any]) -> bool:
    """Tell whether the answers say that a sender of this kind may hold a policy for so long."""
    every = output["all_off_at"]
    if isinstance(sender, HttpsRenewingSender) and every is None:
        return True
    # Without a date for all that conform there is one for those that need the record, as these do.
    bound = output["conforming_off_at"] or output["needing_record_off_at"]
    if not isinstance(sender, ConformingSender):
        bound = every or output["needing_record_off_at"]
    return held_until is not None and held_until <= datetime.fromisoformat(bound)


def _newcomer(lab: Lab) -> Sender:
    """Return a sender that has never looked at the domain."""
    network = Network(lab.resolvers[0], lab.policy_hosts.port, lab.ca_file)
    return ConformingSender(network, lenient_mode=True)


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
        outcomes = {NEW_MX: new.outcome, OLD_MX: old.outcome}
        renews = isinstance(sender, HttpsRenewingSender)
        told.append(Delivered(name, outcomes, new.reason, until, renews))
    return told


def _now() -> datetime:
    return datetime.now(UTC)
