"""How a domain stands, by what a check has seen: record, policy, drain, and who may still hold what.

The arithmetic is that of the runs (:mod:`mta_sts.bounds`), applied to a plan that changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from mta_sts.attesting import only_what_is_so
from mta_sts.bounds import Bounds, compute
from mta_sts.checks.sight import Sight
from mta_sts.domains import policy_host, policy_url, record_name
from mta_sts.due import RETIREMENT
from mta_sts.exposure import Moments
from mta_sts.instants import instant, stamp
from mta_sts.observed import Findings, HostedZone, Version
from mta_sts.plan import Plan, RecordChange, Waits
from mta_sts.policy import Mode, read, served_mode
from mta_sts.policy_plan import bodies, common_mx, untouched
from mta_sts.record import Record, RecordSyntaxError, is_sts
from mta_sts.record_check import Answer, readable
from mta_sts.record_plan import remembered_ttl
from mta_sts.request import Request
from mta_sts.retiring import drains, expects_none

RecordState = Literal["one", "several", "malformed", "none", "unseen"]
PolicyState = Literal["enforce", "malformed", "testing", "none", "absent", "unseen"]
Basis = Literal["as announced", "as if turned off now", "as if deleted now"]

_MOST_ON: tuple[PolicyState, ...] = ("enforce", "malformed", "testing", "none")
_ON = frozenset({"enforce", "malformed", "testing"})
_SOONEST_TTL = 300  # seconds; where nobody told a TTL


@dataclass(frozen=True)
class Standing:
    """What senders find, and what the ledger expects them to.

    ``record`` is what at least one name server has, the strongest of their answers, or one resolver where
    no name server told; ``ids`` are all that were seen there. ``policy`` is likewise the strongest that
    any address serves. ``ids_ours`` says that every name server that answered has the id that this stack
    has announced; ``quiet`` that every address was seen and none serves a policy other than ``none``.
    ``draining`` says that the ledger knows of senders that may hold an older policy; ``expects_record`` and
    ``expects_none`` what has to be found until they have let go.
    """

    record: RecordState
    values: tuple[bytes, ...]
    ids: tuple[str, ...]
    ids_ours: bool
    policy: PolicyState
    quiet: bool
    draining: bool
    expects_record: bool
    expects_none: bool
    all_off_at: datetime | None

    @property
    def on(self) -> bool:
        """Whether a policy other than ``none`` is served somewhere."""
        return self.policy in _ON

    @property
    def enforced(self) -> bool:
        """Whether senders that look now find a policy to be enforced, and are meant to."""
        return self.policy == "enforce" and self.record == "one" and not self.draining

    @property
    def announced(self) -> bool:
        """Whether what a run has announced is what everybody finds, and it turned MTA-STS off."""
        if self.expects_record:
            return self.record == "one" and self.ids_ours and self.policy == "none" and self.quiet
        # A run that left the policy alone has announced nothing about it.
        return self.record == "none" and (self.quiet or not self.expects_none)


def standing(sight: Sight) -> Standing:
    """Read out of what was seen how the domain stands."""
    item, look = sight.item or {}, sight.look
    own = [one for one in sight.answers if one.kind == "authority" and _told(one)]
    told = own or [one for one in sight.answers if one.kind == "resolver" and _told(one)]
    views = {tuple(sorted(sts_values(one))) for one in told}
    records = {_record_state(view) for view in views}
    values = tuple(sorted({value for view in views for value in view}))
    ids = tuple(sorted({one for value in values if (one := id_of(value))}))
    current = str(item.get("current_id") or "")
    modes = {row["mode"] for row in look["agreeing"]}
    all_off_at = instant(item["all_off_at"]) if item.get("all_off_at") else None
    return Standing(
        record=next(
            (state for state in ("one", "several", "malformed", "none") if state in records),
            "unseen",
        ),
        values=values,
        ids=ids,
        ids_ours=bool(current) and records == {"one"} and ids == (current,),
        policy=_policy_state(modes, look),
        quiet=not modes - {"", Mode.NONE.value} and not look["doubts"],
        draining=drains(item, sight.now),
        expects_record=bool(current),
        expects_none=expects_none(item),
        all_off_at=all_off_at,
    )


def sts_values(answer: Answer) -> list[bytes]:
    """Give the values that senders consider (RFC 8461 section 3.1)."""
    return [value for value in answer.values if is_sts(value)]


def id_of(value: bytes) -> str:
    """Give the id in an STS value, empty where it is malformed."""
    try:
        return Record.parse(value).id
    except RecordSyntaxError:
        return ""


def said(answer: Answer) -> str:
    """Say on one line what a server answered."""
    if answer.outcome in ("unreachable", "malformed"):
        return f"{answer.outcome}: {answer.detail}"
    if answer.outcome == "alias":
        return answer.detail
    return " | ".join(sorted(map(readable, sts_values(answer)))) or "no STS record"


def _told(answer: Answer) -> bool:
    return answer.outcome in ("present", "absent")


def _record_state(values: tuple[bytes, ...]) -> RecordState:
    if not values:
        return "none"
    if len(values) > 1:
        return "several"
    return "one" if id_of(values[0]) else "malformed"


def _policy_state(modes: set[str], look: Mapping[str, Any]) -> PolicyState:
    for mode in _MOST_ON:
        if mode in modes:
            return mode
    return "unseen" if look["doubts"] else "absent"


@dataclass(frozen=True)
class Held:
    """Who may hold what: the plan that changes nothing, its bounds, and on what basis they are computed.

    ``as announced``: from the moments of the run that turned MTA-STS off, which is still what everybody
    finds. Otherwise as if it were turned off, or the record deleted, this very moment: whatever happens
    later ends later.
    """

    plan: Plan
    bounds: Bounds
    basis: Basis


def held(request: Request, sight: Sight, seen: Standing) -> Held | None:
    """Compute who may still hold what; None where nothing says that there ever was a policy.

    Raises InvalidRequestError where what the caller of a check by hand vouches for is seen not to be so. The
    watch must not fail for that: somebody may have put a longer-lived policy there, of which it has to tell.
    """
    if never(sight, seen):
        return None
    plan = _plan(request, sight, seen)
    if request.due is None:
        plan = only_what_is_so(plan, request, sight.now)
    moments = _announced(sight, seen)
    basis: Basis = "as announced"
    if moments is None:
        wait = sight.now + timedelta(seconds=plan.record.wait_seconds)
        moments, basis = Moments(wait, sight.now), "as if turned off now"
        if plan.deletes:
            basis = "as if deleted now"
    else:
        plan = _as_the_run_saw_it(plan, sight, publishes=moments.published_at is not None)
        plan = _retiring(plan, sight.item or {})
    bounds = compute(plan, moments, sight.look, sight.now)
    labels = tuple(one.label for one in bounds.alive if one.mode != "unknown")
    plan = replace(plan, common_mx=common_mx(sight.history, sight.look, labels), common_of=labels)
    return Held(plan, bounds, basis)


def never(sight: Sight, seen: Standing) -> bool:
    """Tell whether nothing says that the domain has, or ever had, MTA-STS."""
    return (
        seen.record == "none"
        and seen.policy == "absent"
        and sight.stored is None
        and not (sight.history.versions or sight.history.gap)
        and "object" not in sight.problems
        and sight.item == {}
    )


def _announced(sight: Sight, seen: Standing) -> Moments | None:
    """Give the moments of the run that turned MTA-STS off, where what it announced still stands."""
    item = sight.item or {}
    told = item.get("moments", {})
    turned_off = item.get("phase") in {"draining", "retired"} and told.get("record_gone_at")
    if not turned_off or not seen.announced:
        return None
    published, fresh = told.get("published_at"), told.get("caches_fresh_at")
    if came_back(sight):
        return None
    return Moments(
        record_gone_at=instant(told["record_gone_at"]),
        in_sync_at=instant(told["in_sync_at"]),
        published_at=instant(published) if published else None,
        fresh_at=instant(fresh) if fresh else None,
        written=True,
    )


def came_back(sight: Sight) -> list[Version]:
    """List the policies other than none that were put there after the run which turned MTA-STS off.

    Who fetched one of them renews it on the id of that run, whatever is served since: only another id ends
    that (RFC 8461 section 3.1).
    """
    item = sight.item or {}
    published = item.get("moments", {}).get("published_at")
    if item.get("phase") != "draining" or not published:
        return []
    return [
        version
        for version in sight.history.versions
        if not version.deleted
        and version.since > instant(published)
        and (version.body is None or served_mode(read(version.body)) != Mode.NONE.value)
    ]


def _retiring(plan: Plan, item: Mapping[str, Any]) -> Plan:
    """Have the answers name the moment at which the record goes by itself, where it does."""
    due, every = item.get("due", {}).get(RETIREMENT), item.get("all_off_at")
    if not due or not every:
        return plan
    margin = instant(due["at"]) - instant(every)
    return replace(plan, method="retire", drain_margin_seconds=int(margin.total_seconds()))


def _as_the_run_saw_it(plan: Plan, sight: Sight, *, publishes: bool) -> Plan:
    """Leave out the run's own change of the id, which is in its moments, and what came before it in."""
    last = plan.id_changes[-1] if plan.id_changes else {}
    record = replace(plan.record, old_id=str(last.get("old", "")), old="")
    return replace(
        plan,
        publishes=publishes,
        host={} if publishes else sight.look,
        id_changes=plan.id_changes[:-1],
        record=record,
        planned_at="",
    )


def _plan(request: Request, sight: Sight, seen: Standing) -> Plan:
    """Describe the domain as a plan that changes nothing: what the arithmetic of the runs starts from."""
    item, name = sight.item or {}, record_name(sight.domain)
    zone = sight.zone or HostedZone("", "", ())
    found = Findings(
        location=sight.location,
        stored=sight.stored,
        history=sight.history,
        zone=zone,
        record_sets=sight.record_sets or (),
        negative_ttl=0,
        longest_ttl=0,
        used_ids=frozenset(),
        id_changes=(),
    )
    policy = untouched(found, sight.other_cache_seconds)
    body = sight.stored.body.decode("utf-8", "replace") if sight.stored else ""
    before = seen.policy if seen.on else policy.before_mode
    value = readable(seen.values[0]) if seen.values else "not seen" * (seen.record == "unseen")
    attested = item.get("attested", {})
    since = request.ids_changed_since
    return Plan(
        domain=sight.domain,
        method=request.method,
        publishes=False,
        dry_run=False,
        keep_mx=False,
        create_policy=False,
        new_mx=request.new_mx,
        common_mx=(),
        common_of=(),
        accept_exposure_until="",
        longest_max_age=attested.get("longest_max_age")
        if request.longest_max_age is None
        else request.longest_max_age,
        ids_changed_since=stamp(since) if since else attested.get("ids_changed_since") or "",
        # The way that is better for a plain move is open while a policy is enforced, and no run drains it.
        planned_at=stamp(sight.now) if seen.enforced else "",
        summary="",
        steps=(),
        warnings=(),
        policy_host=policy_host(sight.domain),
        policy_url=policy_url(sight.domain),
        policy=replace(policy, before_mode=before, after=body),
        record=RecordChange(
            zone_id=zone.zone_id,
            zone=zone.name,
            name=name,
            before=None,
            after=None,
            old=value,
            new=value,
            old_id=seen.ids[0] if len(seen.ids) == 1 else "",
            new_id="",
            wait_seconds=_longest_ttl(sight),
        ),
        host=sight.look,
        bodies=bodies(sight.history, request.new_mx),
        id_changes=tuple(item.get("id_changes", ())),
        history_known_since=stamp(sight.history.known_since) if sight.history.known_since else "",
        history_gap=sight.history.gap,
        waits=Waits(0, 0, 0),
        network={},
        dns_role_arn="",
    )


def _longest_ttl(sight: Sight) -> int:
    """Say for how long an answer of now may be kept: what is seen, or was when a run last looked."""
    seen = [one.ttl for one in sight.answers if one.ttl is not None]
    return max(*(seen or [_SOONEST_TTL]), remembered_ttl(sight.item or {}, sight.now))
