"""The second half of a retirement: may the record go now? And what is due after a run."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mta_sts.bounds import Bounds
from mta_sts.errors import DrainDisturbedError, DrainNotOverError, SupersededError
from mta_sts.instants import instant, stamp
from mta_sts.observed import Findings
from mta_sts.plan import Plan
from mta_sts.policy import Mode
from mta_sts.policy_check import not_none
from mta_sts.request import DUE, Request

NOT_BEFORE = "Not before "


def drains(item: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether senders are still letting go, by the ledger, or the record is still to go."""
    if item.get("phase") != "draining":
        return False
    every = item.get("all_off_at")
    return not every or now < instant(every) or "retirement" in item.get("due", {})


def expects_none(item: Mapping[str, Any]) -> bool:
    """Tell whether the run that turned MTA-STS off has put a none policy there, for senders to fetch."""
    return bool(item.get("current_id") or item.get("moments", {}).get("published_at"))


def refuse_superseded(request: Request, found: Findings) -> None:
    """Raise SupersededError where the ledger has no such work due any more, under this generation."""
    due = request.due
    if due is None:
        return
    item = found.remembered
    entry = item.get("due", {}).get(due.kind, {})
    if item.get("generation", 0) == due.generation and entry.get("at") == stamp(due.at):
        return
    raise SupersededError(
        f"What was due for {request.domain} at {stamp(due.at)} ({due.kind}) is not due any more under that"
        " moment: it was done, put off or cancelled since, or this is a second delivery. Nothing was changed."
        f" A check tells what is due now; to have it done at once, send {DUE[due.kind]} without due."
    )


def taken_id(request: Request, found: Findings) -> str:
    """Give the id that a retirement took away before it ended half way; empty where none did."""
    ours = found.remembered.get("ours", {})
    return (
        str(found.remembered.get("current_id", ""))
        if request.retires and "" in ours.get("ids", ())
        else ""
    )


def refuse_disturbed(plan: Plan, found: Findings) -> None:
    """Raise DrainDisturbedError where policy or record are not as the drain needs them.

    While senders let go, every address has to serve ``none``, under the id of the run that began it.
    """
    wrong, ours = [], found.remembered.get("ours", {})
    # A retirement that ended half way may have taken away the one, or both.
    removed = not plan.policy.etag and "" in ours.get("policies", ())
    if plan.policy.before_mode != Mode.NONE.value and not removed:
        mode = plan.policy.before_mode
        wrong.append(f"the policy object says {mode}" if mode else "the policy object is gone")
    if plan.record.found not in ours.get("ids", ()):
        published = found.remembered.get("current_id", "")
        wrong.append(
            f"the record says {plan.record.old}, and not the id {published} that this stack has published"
            if plan.record.old
            else "the record is gone already"
        )
    if not removed:
        wrong += not_none(plan.host, plan.policy.known)
    if wrong:
        raise DrainDisturbedError(
            f"{plan.domain} is to lose its record now, but {'; '.join(wrong[:10])}. What senders hold cannot"
            " be told, so nothing was changed. This is tried again a day later: mend a broken host until"
            " then. Where the id or the record is the matter, send change-id, which keeps the retirement."
            " Where another policy was served, send retire again as at first, for a new drain. If the record"
            " or the policy host was given up on purpose, send delete-record, which says what is still held."
        )


def refuse_early(plan: Plan, bounds: Bounds, now: datetime) -> None:
    """Raise DrainNotOverError while some sender may hold a policy, and for the margin after that.

    The margin is for resolvers that serve expired answers (RFC 8767) and senders that look once a day.
    """
    margin, exposures = timedelta(seconds=plan.drain_margin_seconds), bounds.left.exposures
    begins = [deadline(bounds.left.all_off_at, plan)] if exposures else []
    if plan.due is not None:
        begins.append(instant(plan.due["at"]))
    begin = max(begins, default=now)
    if begin <= now:
        return
    # A date that counts from the id of now moves on with every look.
    renewed = [one for one in exposures if one.id_until >= bounds.record_gone_at]
    advice = (
        f" The id was not changed since a policy was served {renewed[0].served}, and who holds that renews"
        " it: send change-id, which keeps this retirement, or it is never over."
        if renewed
        else ""
    )
    raise DrainNotOverError(
        f"Some sender may still hold a policy of {plan.domain} until {stamp(begin - margin)}, and the record"
        f" stays for {plan.drain_margin_seconds} seconds more. Nothing was changed.{advice} It is tried again"
        f" then. {NOT_BEFORE}{stamp(begin)}."
    )


def deadline(all_off_at: datetime, plan: Plan) -> datetime:
    """Say when the record may go."""
    return all_off_at + timedelta(seconds=plan.drain_margin_seconds)


def not_before(cause: str) -> datetime | None:
    """Read the moment out of a refusal that ends in one; None where there is none."""
    _, found, moment = cause.rpartition(NOT_BEFORE)
    try:
        return instant(moment.strip().removesuffix(".")) if found else None
    except ValueError:
        return None
