"""What a caller vouches for, against what is known: nothing that is seen not to be so is counted on."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from mta_sts.errors import InvalidRequestError
from mta_sts.instants import instant
from mta_sts.observed import FOREIGN, Findings, foreign_label
from mta_sts.plan import Plan
from mta_sts.request import Request

_MAX_AGE, _SINCE = "longest_max_age", "ids_changed_since"


def vouched_for(request: Request, found: Findings) -> Request:
    """Let what was vouched for when a drain began count where change-id mends it, unless it is said anew."""
    item = found.remembered
    if request.method != "change-id" or item.get("phase") != "draining":
        return request
    told, since = item.get("attested", {}), request.ids_changed_since
    if request.longest_max_age is None:
        request = replace(request, longest_max_age=told.get(_MAX_AGE))
    if since is None and told.get(_SINCE):
        request = replace(request, ids_changed_since=instant(told[_SINCE]))
    return request


def only_what_is_so(plan: Plan, asked: Request, now: datetime) -> Plan:
    """Leave out, with a warning, what the ledger carried on and what is known speaks against.

    Raises InvalidRequestError where the caller says it, who can correct it. Who said what a run that was
    due by itself goes by is not there any more.
    """
    wrong = contradictions(plan, now)
    own = {_MAX_AGE} if asked.longest_max_age is not None else set()
    own |= {_SINCE} if asked.ids_changed_since else set()
    said = [wrong[name] for name in (_MAX_AGE, _SINCE) if name in wrong and name in own]
    if said and asked.due is None:
        raise InvalidRequestError(
            f"What is attested is not so: {'; '.join(said)}. Nothing was changed. Correct it or leave it"
            " out."
        )
    if not wrong:
        return plan
    told = [
        f"What was vouched for when senders began to let go is not so any more, and is left out: {why}."
        for why in wrong.values()
    ]
    return replace(
        plan,
        longest_max_age=None if _MAX_AGE in wrong else plan.longest_max_age,
        ids_changed_since="" if _SINCE in wrong else plan.ids_changed_since,
        warnings=(*plan.warnings, *told),
    )


def contradictions(plan: Plan, now: datetime) -> Mapping[str, str]:
    """Say, by the name of the field, what is known against what a plan counts on."""
    told = {_MAX_AGE: _longer(plan), _SINCE: _stayed(plan, now)}
    return {name: why for name, why in told.items() if why}


def _longer(plan: Plan) -> str:
    longest = plan.longest_max_age
    known = {body["version"]: body for body in plan.bodies} | {
        foreign_label(row): row for row in plan.host.get("agreeing", [])
    }
    longer = {
        label: one["max_age"]
        for label, one in known.items()
        if longest is not None and one["mode"] != "none" and (one["max_age"] or 0) > longest
    }
    if not longer:
        return ""
    label = max(longer, key=lambda label: longer[label])
    named = label if label.startswith(FOREIGN) else f"the policy {label}"
    return f"longest_max_age says {longest}, but {named} has {longer[label]}"


def _stayed(plan: Plan, now: datetime) -> str:
    if not plan.ids_changed_since:
        return ""
    since, says = (
        instant(plan.ids_changed_since),
        f"ids_changed_since says {plan.ids_changed_since}",
    )
    # The ids that the ledger has seen in the record before then.
    earlier = {
        id
        for change in plan.id_changes
        if instant(change["at"]) < since
        for id in (change["old"], change["id"])  # noqa: A001 - the field's own name
    } - {""}
    # An id that stood before and was replaced only afterwards stood on both sides.
    stayed = [
        change["old"]
        for change in plan.id_changes
        if instant(change["at"]) >= since and change["old"] in earlier
    ]
    if since > now:
        return f"{says}, which is to come"
    if plan.record.old_id in earlier:
        return f"{says}, but the record's id {plan.record.old_id} stood in it before"
    if stayed:
        return f"{says}, but the id {stayed[0]}, which stood in the record before, stood in it afterwards too"
    return ""
