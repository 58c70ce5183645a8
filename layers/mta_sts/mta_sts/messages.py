"""What people read at three in the morning: state first, then the risk, then the next action.

Every text begins with "MTA-STS is off", "MTA-STS is still on" or "half changed".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mta_sts.errors import DomainBusyError, PolicyNotServedError
from mta_sts.instants import stamp
from mta_sts.plan import Plan
from mta_sts.policy import Mode
from mta_sts.present_mx import begun
from mta_sts.retiring import not_before
from mta_sts.staying import at_risk, reports_only

SUBJECT_LENGTH = 99  # SNS: fewer than 100 characters, ASCII, no line break
_TEXT_LENGTH = 16_000  # characters; a Fail state's cause has room for 32,768
_RECORD_STATES = ("policy and record", "record")
PUT_BACK = "record; the policy was put back"
NO_HOST_FITS = (
    "Mail may be at risk: no MX host that was seen satisfies the policy that is put back."
)
REMINDERS = (
    "What manages the policy object or the record (Terraform, CloudFormation, octoDNS) must be changed too,"
    " or its next run turns MTA-STS on again.\n"
    "Each subdomain with a record of its own is a policy domain of its own (RFC 8461 section 3.4) and stays"
    " as it is.\n"
    "TLSRPT (_smtp._tls) stays: its reports show which senders still hold an old policy.\n"
    "DANE (TLSA records of the MX hosts) is not touched and may still refuse a new host."
).splitlines()


@dataclass(frozen=True)
class Standing:
    """How a failed run has left its domain, in sentences, and for programs.

    ``is_state`` is "on", "off", "half changed" or "unknown"; ``at_risk`` is None where it is not known
    whether mail is at risk.
    """

    state: str
    risk: str
    action: str
    is_state: str
    at_risk: bool | None = False


_ON_REMINDERS = (
    "What manages the policy object or the record (Terraform, CloudFormation, octoDNS) must be given this"
    " policy and this id, or its next run puts others in their place.\n"
    "TLSRPT reports (_smtp._tls) show which senders fail to reach the MX hosts by the policy."
).splitlines()


def confirmed(
    plan: Plan,
    answers: Mapping[str, Any],
    warnings: Sequence[str] = (),
    more: Mapping[str, Sequence[str]] | None = None,
) -> tuple[str, str]:
    """Give subject and text for a run that is confirmed; ``more`` are lists under their headings."""
    off, mx, trouble = answers["off"], answers["mx"], answers["trouble"]
    every, sure = off["all_off_at"], f"(confidence: {mx['confidence']})"
    text = [
        off["sentence"],
        f"{trouble['risk']} Next: {trouble['next']}",
        "",
        f"Why: {every['reason']} (confidence: {every['confidence']}).",
        f"May the MX records change? {mx['answer'].capitalize()}: {mx['reason']} {sure}.",
        *_new_hosts(plan, mx),
        *_window(plan),
        *(line for title, lines in (more or {}).items() for line in titled(title, lines)),
        *titled("Senders that do otherwise", [_one(one) for one in off["other_senders"]]),
        *titled("Warnings", warnings),
        *titled("Keep in mind", _ON_REMINDERS if plan.leaves_on else REMINDERS),
    ]
    return subject(_headline(plan, off)), cut("\n".join(text))


def _headline(plan: Plan, off: Mapping[str, Any]) -> str:
    if plan.leaves_on:
        testing = ", in testing" if reports_only(plan) else ""
        again = "on again" if plan.method == "restore" else "still on"
        return f"MTA-STS is {again} for {plan.domain}{testing}, under a fresh id"
    if plan.retires:
        return f"MTA-STS is off for {plan.domain}, and retired: the record is gone"
    if not plan.deletes:
        return f"MTA-STS is off for {plan.domain}"
    last = off["all_off_at"]["at"]
    rest = f"held until {last}" if last else "and still held, see inside"
    return f"MTA-STS is off for new senders of {plan.domain}, {rest}"


def _new_hosts(plan: Plan, mx: Mapping[str, Any]) -> list[str]:
    """Say of the hosts that were asked about why they cannot take over at once."""
    now = mx["choices"][0]
    return [f"The new MX hosts alone: not yet, {now['reason']}."] * (
        bool(plan.new_mx) and not now["holds"]
    )


def _window(plan: Plan) -> list[str]:
    """Say what has to be so by the end of a maintenance window."""
    if not plan.restore_at:
        return []
    begin = (
        f"By {plan.restore_at}, when the policy is put back, mail must go to MX hosts that it names"
    )
    if plan.restore_mode == Mode.TESTING.value:
        return [f"{begin}, or senders report it."]
    if plan.accept_mx_mismatch:
        return [
            f"{begin}, or senders that enforce it deliver to nobody: it is put back all the same."
        ]
    return [f"{begin} again: otherwise it is not put back, and a notice says so."]


def _one(sender: Mapping[str, Any]) -> str:
    until = f"; until {sender['until']}" if sender["until"] else ""
    return f"{sender['who']}: {sender['what']}{until}"


def failed(
    domain: str,
    changed: str,
    failure: Mapping[str, Any],
    place: str,
    plan: Plan | None,
    *,
    confirmed: str,
    restore_at: str = "",
    free_from: str = "",
) -> tuple[str, str]:
    """Give subject and text for a run that failed.

    ``changed`` is what :func:`mta_sts.outcome.what_changed` says. ``confirmed`` is the text of the
    confirmation where only something after it failed, else empty. ``restore_at`` is the end of the
    maintenance window that was asked for; ``free_from`` is when the domain may be taken again, where
    that is not at once.
    """
    name, cause = error_of(failure)
    if confirmed:
        text = [confirmed, "", f"But then: {name} in “{place}”.", cause]
        state = confirmed.partition(" for ")[0]
        return subject(f"{state} for {domain} ({name})"), cut("\n".join(text))
    left = standing(domain, changed, name, plan, cause=cause, free_from=free_from)
    text = [
        f"{left.state} {left.risk} Next: {left.action}",
        "",
        f"What happened: {name} in “{place}”.",
        cause,
        "",
        f"Changed: {changed}.",
        *_no_window(restore_at),
        *titled("Warnings", plan.warnings if plan else ()),
    ]
    head = left.state.partition(":")[0]
    return subject(f"{head} ({name})"), cut("\n".join(text))


def _no_window(restore_at: str) -> list[str]:
    if not restore_at:
        return []
    return [
        (
            f"Nothing is put back {restore_at}: only a confirmed run has that done. Send restore_at again"
            " with the request, or restore where MTA-STS is to be on again."
        )
    ]


def standing(
    domain: str,
    changed: str,
    error: str,
    plan: Plan | None,
    *,
    cause: str = "",
    free_from: str = "",
) -> Standing:
    """Say the domain's state after a failure, whether mail is at risk, and what to do."""
    left = _left(domain, changed, error, plan, cause=cause, free_from=free_from)
    at_risk, sentence = begun(plan) if plan else (None, "")
    if at_risk and left.at_risk is not True:
        left = replace(left, risk=f"{sentence[:-1]}; do not move it further.", at_risk=True)
    return left


def _left(
    domain: str, changed: str, error: str, plan: Plan | None, *, cause: str, free_from: str
) -> Standing:
    if error == DomainBusyError.__name__ and changed == "nothing":
        return _busy(domain, cause)
    action = _action(error, free_from)
    stay = (
        "Mail is not at risk while the present MX hosts stay in service with valid TLS; do not move it"
        " yet."
    )
    if changed == "nothing":
        state, is_state = _untouched(domain, plan)
        risk, at_risk = _risk_untouched(error)
        return Standing(state, risk, action, is_state, at_risk)
    is_state = "unknown" if changed == "unknown" else "half changed"
    if plan is not None and plan.leaves_on:
        state, risk, lost = _on(domain, changed, plan)
        return Standing(state, risk, action, is_state, lost)
    if changed == PUT_BACK:
        state, is_state = _put_back(domain, plan)
        return Standing(
            state,
            "Mail is not at risk while it goes to the MX hosts of that policy; do not move it.",
            "find out who put it back (Terraform, say), then send the same request again.",
            is_state,
        )
    deletes = plan is not None and plan.deletes
    if changed in _RECORD_STATES:
        done = "the record is deleted" if deletes else "the id is changed"
        state = f"half changed for {domain}: {done}, but that is not confirmed everywhere."
    elif changed == "policy" and plan is not None and deletes:
        record = "the record still stands" if plan.record.old else "nothing is confirmed yet"
        state = f"half changed for {domain}: the policy says none, but {record}."
    elif changed == "policy":
        state = (
            f"half changed for {domain}: the policy says none, but this run did not change the id."
        )
        stay += " Senders keep the old policy until the id changes."
    else:
        state = f"half changed for {domain}, perhaps: what was changed could not be seen."
    return Standing(state, stay, action, is_state)


def _on(domain: str, changed: str, plan: Plan) -> tuple[str, str, bool]:
    """Say state and risk where a policy other than ``none`` was to be served under a fresh id."""
    risk = "Mail is not at risk while it goes to MX hosts that the policy names, with valid TLS."
    policy = "the policy is put back" if plan.method == "restore" else "the policy is as it was"
    if changed == PUT_BACK:
        state = "the id is changed, but the policy is not the one that was to be served under it."
    elif changed in _RECORD_STATES:
        state = f"{policy} and the id is changed, but that is not confirmed everywhere."
    elif changed == "policy":
        state = f"{policy}, but this run did not change the id: who holds none under it keeps that."
    else:
        state = "what was changed could not be seen."
        risk = "Mail is not at risk while the present MX hosts stay in service; do not move it yet."
    lost = changed != PUT_BACK and at_risk(plan)
    return f"half changed for {domain}: {state}", NO_HOST_FITS if lost else risk, lost


def _put_back(domain: str, plan: Plan | None) -> tuple[str, str]:
    if plan is not None and plan.deletes:
        return (
            (
                f"half changed for {domain}: the record is deleted, but an older policy was put back after"
                " this run wrote none."
            ),
            "half changed",
        )
    return (
        f"MTA-STS is still on for {domain}: an older policy was put back after this run wrote none.",
        "on",
    )


def _action(error: str, free_from: str) -> str:
    then = f" after {free_from}" if free_from else ""
    if error in _CUT_SHORT:
        return (
            f"send the same request again{then}, if it is still wanted: it takes up where this run stopped."
            " Do not redrive the execution."
        )
    return _ACTIONS.get(
        error,
        f"mend what is said below, then send the same request again{then}; it takes up where this run"
        " stopped.",
    )


def _busy(domain: str, cause: str) -> Standing:
    """Say it as the other run sees it: what that one has changed a moment ago proves nothing yet."""
    state = f"MTA-STS is still on or off for {domain} as it was before: this run changed nothing"
    risk, at_risk = _risk_untouched(DomainBusyError.__name__)
    held, free = _HELD.search(cause), not_before(cause)
    if held:
        run = held["execution"].rpartition(":")[2]
        state += f"; the run {run} is at work on it since {held['since']}."
        action = f"wait for the run {run}: its end is told, and in its ticket, if it has one."
    elif free:
        state += f"; the last run was cut short, and what it has begun may be at work until {stamp(free)}."
        action = f"send the same request again at {stamp(free)}."
    else:
        state += "; another run is at work on it."
        action = "wait for the other run, see below."
    return Standing(state, risk, action, "unknown", at_risk)


# What close_run says of an execution that somebody, or its time limit, has ended.
_CUT_SHORT = frozenset({"ExecutionStopped", "ExecutionTimedOut"})
# As the ledger refuses a claim.
_HELD = re.compile(r"Another execution holds \S+: (?P<execution>\S+), since (?P<since>\S+?)\. ")
_ACTIONS = {
    "InvalidRequestError": "correct the request, then send it again.",
    "PlanChangedError": "have today's plan approved, then send the request with its digest.",
    "ZoneNotFoundError": "run it where the zone is, see below.",
    "ZoneNotDelegatedError": "run it where the delegated zone is, see below.",
    "ExposureTooLongError": "take one of the ways that are named below.",
    "SupersededError": "nothing; it is told so that nobody wonders.",
    "DrainDisturbedError": "take one of the ways that are named below.",
    "DrainNotOverError": "what is said below, if anything; it is tried again when the drain is over.",
    "NothingToRestoreError": "put the policy there by other means, then send change-id.",
    "RestoreWouldLoseMailError": "take one of the ways that are named below.",
}


def _untouched(domain: str, plan: Plan | None) -> tuple[str, str]:
    if plan is None or (plan.method == "restore" and not plan.policy.etag):
        # It ended before it looked, or there is no policy: perhaps MTA-STS was not on.
        return (
            f"MTA-STS is still on or off for {domain} as it was before: this run changed nothing.",
            "unknown",
        )
    if plan.policy.before_mode == Mode.NONE.value:
        return (
            (
                f"half changed for {domain}: the policy says none from before, and this run changed nothing;"
                " whether every sender knows is not proven."
            ),
            "half changed",
        )
    if plan.deletes and not plan.record.old:
        return (
            (
                f"half changed for {domain}: there was no record before, and this run changed nothing;"
                " whether every sender has let go is not proven."
            ),
            "half changed",
        )
    return f"MTA-STS is still on for {domain}: this run changed nothing.", "on"


def _risk_untouched(error: str) -> tuple[str, bool | None]:
    if error == PolicyNotServedError.__name__:
        # A host that serves somebody else's policy has senders refuse our own MX hosts.
        return (
            (
                "Mail is not at risk because of this run, but may be because of what the policy host serves"
                " (see below); do not move it yet."
            ),
            None,
        )
    return "Mail is not at risk because of this run; do not move it yet.", False


def error_of(failure: Mapping[str, Any]) -> tuple[str, str]:
    """Give name and message of what a Catch caught; Lambda wraps both in JSON."""
    name, cause = str(failure.get("Error", "Unknown")), str(failure.get("Cause", ""))
    try:
        wrapped = json.loads(cause)
        name, cause = wrapped.get("errorType", name), wrapped["errorMessage"]
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # not from a Lambda function: the cause is the message
    return name, cause


def titled(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *(f"- {line}" for line in lines)] if lines else []


def subject(text: str) -> str:
    plain = "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
    return plain if len(plain) <= SUBJECT_LENGTH else plain[: SUBJECT_LENGTH - 3] + "..."


def cut(text: str) -> str:
    """Keep a text short enough, and free of what a terminal would obey or that could feign a line."""
    text = "".join(c if c == "\n" or c.isprintable() else "?" for c in text)
    return text if len(text) <= _TEXT_LENGTH else text[:_TEXT_LENGTH] + " … (shortened)"
