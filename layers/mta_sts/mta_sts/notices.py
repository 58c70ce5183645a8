"""What is told, to people and to programs: the detail of the event that each notice is.

The workflow puts it on the event bus and, where a person must know, sends its subject and text to the
topic. Its fields are described in docs/notice.schema.json; every one is always there.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mta_sts import errors, messages
from mta_sts.comments import comment
from mta_sts.due import DRAINED
from mta_sts.instants import stamp
from mta_sts.messages import cut, subject, titled
from mta_sts.plan import Plan
from mta_sts.policy import Mode
from mta_sts.present_mx import begun
from mta_sts.request import TEXTS, Request
from mta_sts.spans import days
from mta_sts.staying import at_risk

if TYPE_CHECKING:
    from types_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from types_boto3_sns.type_defs import MessageAttributeValueTypeDef

VERSION = "1"
SOURCE, DETAIL_TYPE = "mta-sts-off", "MTA-STS Off Notice"
STARTED, PLANNED, CHECKED, CONFIRMED = "started", "planned", "checked", "confirmed"
DRAIN_OVER, REFUSED, FAILED, FINDING = "drained", "refused", "failed", "finding"
KINDS = (STARTED, PLANNED, CHECKED, CONFIRMED, DRAIN_OVER, REFUSED, FAILED, FINDING)
# Those say "not carried out"; whatever else ends a run, it was prevented.
REFUSALS = frozenset(
    error.__name__
    for error in (
        errors.InvalidRequestError,
        errors.ZoneNotFoundError,
        errors.ZoneNotDelegatedError,
        errors.RecordConflictError,
        errors.ExposureTooLongError,
        errors.PolicyNotFoundError,
        errors.PolicyUnreadableError,
        errors.PolicyNotServedError,
        errors.DomainBusyError,
        errors.PlanChangedError,
        errors.SupersededError,
        errors.DrainDisturbedError,
        errors.DrainNotOverError,
        errors.NothingToRestoreError,
        errors.RestoreWouldLoseMailError,
    )
)
# Of text, as JSON that escapes; an event and a state of the workflow hold 256 KB, with all comments.
_MOST_BYTES = 40_000
_LONGEST_ERROR = 200  # characters; Lambda's names of errors are Python's
_LOOPS = 5  # checks that each go on until the deadline: purge, policy, Route 53, name servers, confirmation
_WORK = timedelta(minutes=2)  # what is asked and written beside the waits


def started(plan: Plan, request: Request, execution: str, now: datetime) -> dict[str, Any]:
    """Tell that a run has begun, and how it is stopped."""
    state, sentence = _begun(plan)
    return _notice(
        STARTED,
        _asked(request) | {"domain": plan.domain, "plan": plan.digest},
        execution,
        now,
        subject=subject(f"{sentence.partition(':')[0]}: a run has begun ({plan.method})"),
        text=_started_text(plan, request, sentence, execution, now),
        state=state,
        mail_at_risk=at_risk(plan) or begun(plan)[0],
        changed="nothing",
    )


def planned(plan: Plan, request: Request, execution: str, now: datetime) -> dict[str, Any]:
    """Tell what a dry run came to."""
    text = [plan.summary, *titled("Steps", plan.steps), *titled("Warnings", plan.warnings)]
    state, sentence = _before(plan)
    return _notice(
        PLANNED,
        _asked(request) | {"domain": plan.domain, "plan": plan.digest},
        execution,
        now,
        subject=subject(f"{sentence}: a plan ({plan.method})"),
        text=cut("\n".join(text)),
        state=state,
        mail_at_risk=begun(plan)[0],
        changed="nothing",
    )


def checked(
    check: Mapping[str, Any], request: Request, execution: str, now: datetime, *, notify: bool
) -> dict[str, Any] | None:
    """Tell what a look has found; None where the daily watch has found nothing, which is told to nobody."""
    if request.due is not None and not notify:
        return None
    over = notify and request.due is not None and request.due.kind == DRAINED and check["over"]
    return _notice(
        DRAIN_OVER if over else FINDING if notify else CHECKED,
        _asked(request),
        execution,
        now,
        changed="nothing",
        **_known(check),
    )


def confirmed(
    outcome: Mapping[str, Any], plan: Plan, request: Request, execution: str, now: datetime
) -> dict[str, Any]:
    """Tell how a run was confirmed; ``outcome`` is :func:`mta_sts.outcome.succeeded`'s."""
    return _notice(
        CONFIRMED,
        _asked(request) | {"domain": plan.domain, "plan": plan.digest},
        execution,
        now,
        changed=outcome["changed"],
        **_known(outcome),
    )


def failed(
    asked: object,
    plan: Plan | None,
    told: Mapping[str, str],
    error: str,
    execution: str,
    now: datetime,
    *,
    outcome: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Tell that a run was refused, or failed.

    ``asked`` is its input, whatever that is; ``told`` has ``domain`` (empty where it is none), ``subject``,
    ``text`` and ``changed``. ``outcome`` is the run's where only something after it failed.
    """
    changed = told["changed"]
    refused = error in REFUSALS and changed == "nothing" and not outcome
    left = messages.standing(told["domain"], changed, error, plan)
    known = {"state": left.is_state, "mail_at_risk": left.at_risk} | _known(outcome or {})
    of_plan = {"domain": plan.domain, "plan": plan.digest} if plan else {}
    return _notice(
        REFUSED if refused else FAILED,
        _readable(asked) | {"domain": told["domain"] or None} | of_plan,
        execution,
        now,
        **{**known, "subject": told["subject"], "text": told["text"]},
        changed=changed,
        error=_line(error, _LONGEST_ERROR),
    )


def turned_away(
    asked: Mapping[str, Any], told: Mapping[str, str], machine: str, now: datetime
) -> dict[str, Any]:
    """Tell that what a hook was sent was refused, so that there is no run.

    ``asked`` is what could be read of it, ``told`` has ``subject``, ``text`` and ``error``; ``machine`` is
    the ARN of the state machine that would have run.
    """
    return _notice(
        REFUSED,
        _readable(asked) | {"domain": domain_of(asked), "stack": _stack(machine)},
        "",
        now,
        **told,
        state="unknown",
        mail_at_risk=False,
        changed="nothing",
    )


def domain_of(asked: Mapping[str, Any]) -> str | None:
    """Give the policy domain that was asked for, None where it is none."""
    try:
        return Request.parse({"domain": asked.get("domain"), "method": "check"}).domain
    except errors.InvalidRequestError:
        return None


def entry(notice: Mapping[str, Any]) -> "PutEventsRequestEntryTypeDef":
    """Give the notice as an entry for the event bus; the workflow composes its own alike."""
    return {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(notice)}


def attributes(notice: Mapping[str, Any]) -> "dict[str, MessageAttributeValueTypeDef]":
    """Give what subscriptions of the topic can filter by; the workflow composes its own alike."""
    risk = notice["mail_at_risk"]
    told = {
        "kind": notice["kind"],
        "domain": notice["domain"] or "none",
        "mail_at_risk": "unknown" if risk is None else str(risk).lower(),
    }
    return {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}


def _known(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Take out of a run's output, or a look's, what a notice has of it; nothing out of nothing."""
    if not outcome:
        return {}
    trouble = outcome.get("answers", {}).get("trouble", {})
    names = ("subject", "text", "state", "all_off_at", "conforming_off_at")
    return {name: outcome.get(name) for name in names} | {
        "mail_at_risk": trouble.get("mail_at_risk")
    }


def _notice(
    kind: str, about: Mapping[str, Any], execution: str, now: datetime, **told: Any
) -> dict[str, Any]:
    text = told["text"]
    if len(json.dumps(text)) > _MOST_BYTES:
        text = "".join(c if c.isascii() else "?" for c in text)
    return {
        "version": VERSION,
        "kind": kind,
        "domain": about["domain"],
        "method": about["method"],
        "run": execution.rpartition(":")[2] or None,
        "execution": execution or None,
        "stack": about.get("stack") or _stack(execution),
        **{name: about[name] for name in ("ticket", "ticket_id", "requested_by")},
        "subject": told["subject"],
        "text": text,
        "state": told["state"],
        "mail_at_risk": told["mail_at_risk"],
        "changed": told["changed"],
        "all_off_at": told.get("all_off_at"),
        "conforming_off_at": told.get("conforming_off_at"),
        "error": told.get("error"),
        "plan": about.get("plan"),
        "at": stamp(now),
        # Only where there is a ticket to write it into: the text, as ticket systems take it.
        "comment": comment(text) if about["ticket_id"] else None,
    }


def _stack(arn: str) -> str:
    """Name the stack of a state machine, or of an execution of it, whose ARN is given."""
    return arn.split(":")[6].removesuffix("-disable")


def _asked(request: Request) -> dict[str, Any]:
    """Say who asked for what; what was not given is empty, so that a rule can ask for what was."""
    return {
        "domain": request.domain or None,
        "method": request.method,
        "ticket": _line(request.ticket, TEXTS["ticket"]),
        "ticket_id": request.ticket_id,
        "requested_by": _line(request.requested_by, TEXTS["requested_by"]),
    }


def _readable(asked: object) -> dict[str, Any]:
    """Say who asked for what, of an input that may be wrong: each field for itself, if it is right."""
    given = asked if isinstance(asked, Mapping) else {}
    right: dict[str, Any] = {}
    for name in ("method", "ticket", "ticket_id", "requested_by"):
        # What people name the ticket may stand for both.
        source = "ticket" if name == "ticket_id" and name not in given else name
        alone = {"domain": "a.example", "method": "check", source: given.get(source)}
        try:
            right[name] = _asked(Request.parse(alone))[name]
        except errors.InvalidRequestError:
            right[name] = None if name == "method" else ""
    return right


def _line(text: str, most: int) -> str:
    """Keep foreign text on one line, and free of what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)[:most]


# --- a run that has begun


def _before(plan: Plan) -> tuple[str, str]:
    """Give the state before a run, and the sentence's beginning."""
    domain = plan.domain
    if plan.policy.before_mode == Mode.NONE.value or (plan.deletes and not plan.record.old):
        return "unknown", f"half changed, or off already, for {domain}"
    if not plan.policy.etag and not plan.deletes:
        return "unknown", f"MTA-STS is still on for {domain} where an old policy is held"
    return "on", f"MTA-STS is still on for {domain}"


def _begun(plan: Plan) -> tuple[str, str]:
    state, begin = ("off", f"MTA-STS is off for {plan.domain}") if plan.retires else _before(plan)
    return state, f"{begin}: a run has begun that {_work(plan)}."


def _work(plan: Plan) -> str:
    if plan.retires:
        policy = " and then the policy" if plan.policy.remove else ""
        return f"deletes the record{policy}, now that every sender has let go"
    if plan.method == "restore":
        return "puts the saved policy and the record back, under a fresh id"
    if plan.method == "change-id":
        return "announces the policy that is served under a fresh id"
    window = f", until {plan.restore_at}" if plan.restore_at else ""
    later = ", and later deletes the record by itself" if plan.method == "retire" else ""
    if not plan.deletes:
        return f"turns it off by a policy of mode none under a fresh id{window}{later}"
    first = "writes a policy of mode none, then " if plan.publishes else ""
    return f"turns it off: it {first}deletes the record"


def _started_text(
    plan: Plan, request: Request, sentence: str, execution: str, now: datetime
) -> str:
    caches = plan.policy.other_cache_seconds if plan.publishes else 0
    wait = timedelta(seconds=plan.record.wait_seconds + caches)
    limit = timedelta(seconds=_LOOPS * plan.waits.deadline_seconds) + _WORK
    begun_by = (
        [f"It is what was due {plan.due['at']} ({plan.due['kind']}), started by itself."]
        if plan.due
        else []
    )
    window = (
        [f"{plan.restore_at}: the policy is put back, if a check allows it then."]
        if plan.restore_at
        else []
    )
    text = [
        sentence,
        (
            f"{_risk(plan)} Next: nothing, if this is wanted; its end is told, good or bad. If not, stop it:"
            f" aws stepfunctions stop-execution --execution-arn {execution}"
        ),
        "A notice then says what was changed; the same request, sent again, takes up from there.",
        *titled("What it does", plan.steps),
        *titled(
            "When",
            [
                f"{stamp(now)}: begun.",
                (
                    f"{stamp(now + wait + _WORK)}: about the end, if all goes well; old answers and caches"
                    f" are waited out, {days(int(wait.total_seconds()))}."
                ),
                f"{stamp(now + wait + limit)}: if nothing was told by about then, look at the execution.",
                *window,
            ],
        ),
        *titled("Asked for by", [*begun_by, *_by(request)]),
        *titled("Warnings", plan.warnings),
        "",
        f"Execution: {execution}",
    ]
    return cut("\n".join(text))


def _risk(plan: Plan) -> str:
    if at_risk(plan):
        return messages.NO_HOST_FITS
    stranded = begun(plan)[1]
    if stranded:
        return f"{stranded[:-1]}; do not move it further before the notice of the end."
    if plan.retires:
        return "Mail is not at risk because of it."
    hosts = "MX hosts that the policy names" if plan.leaves_on else "the present MX hosts"
    return (
        f"Mail is not at risk while it goes to {hosts}, with valid TLS; do not move it before the notice of"
        " the end."
    )


def _by(request: Request) -> list[str]:
    names = ("requested_by", "ticket", "reason")
    given = {name: _line(getattr(request, name), TEXTS[name]) for name in names}
    return [f"{name}: {text}" for name, text in given.items() if text]
