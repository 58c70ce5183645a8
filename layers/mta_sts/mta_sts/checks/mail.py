"""What a check tells of the mail itself: live MX against every policy, TLSRPT, DANE."""

from collections.abc import Iterator, Sequence
from typing import Any

from mta_sts.checks.sight import Finding, Level, Sight
from mta_sts.checks.standing import Held, Standing
from mta_sts.live_mx import LiveMx, match
from mta_sts.policy import Reading, mode_of, mx_matches, read
from mta_sts.policy_plan import bodies

_MOST_TOLD = 10
_REPORTS = b"v=TLSRPTv1"
_PUT_BACK = (
    "put the MX records back to hosts that the policy names, or add the present ones to the policy and run"
    " change-id; none-policy ends it for senders that re-read the record"
)


def mail_findings(sight: Sight, seen: Standing, held: Held | None) -> list[Finding]:
    """Judge the MX hosts by what is enforced now, by what may still be held, and what else rules them."""
    return [
        *_live(sight.mx),
        *_in_force(sight, seen),
        *(_still_held(sight, held) if held else ()),
        *_reports(sight),
        *_dane(sight),
    ]


def in_force(sight: Sight, seen: Standing) -> list[Reading]:
    """Give the policies that senders find now, as far as they can stop or report mail."""
    if seen.record == "none":
        return []
    modes = {row["address"]: row["mode"] for row in sight.look["agreeing"]}
    served = {one.body for one in sight.fetched if modes.get(one.address, "") not in {"", "none"}}
    if not served and seen.policy == "unseen" and sight.stored:
        served = {sight.stored.body}  # the host cannot be seen: what it would serve
    return [reading for body in sorted(served) if mode_of(reading := read(body)) != "none"]


def host_by_host(sight: Sight, seen: Standing) -> list[dict[str, Any]]:
    """List the live MX hosts with the patterns that name each, for every policy that is found now."""
    policies = in_force(sight, seen)
    return [
        {
            "host": host,
            "policies": [
                {
                    "mode": mode_of(policy),
                    "named_by": [one for one in policy.mx if mx_matches(one, host)][:_MOST_TOLD],
                }
                for policy in policies[:_MOST_TOLD]
            ],
        }
        for host in sight.mx.hosts[:_MOST_TOLD]
    ]


def _live(mx: LiveMx) -> Iterator[Finding]:
    if not mx.known:
        yield Finding(
            "mx-unknown",
            "warning",
            f"Which MX hosts there are is not known: {_list(mx.problems)}.",
            "look at the name servers, then check again",
        )
        return
    if mx.null:
        yield Finding(
            "mx-null",
            "note",
            f"{mx.domain} has a null MX and takes no mail (RFC 7505).",
        )
    elif mx.implicit:
        yield Finding(
            "mx-implicit",
            "note",
            f"{mx.domain} has no MX record at some name server: mail goes to the name itself (RFC 5321"
            " section 5.1).",
        )
    if mx.problems:
        yield Finding("mx-differs", "note", f"About the MX: {_list(mx.problems)}.")


def _in_force(sight: Sight, seen: Standing) -> Iterator[Finding]:
    mx = sight.mx
    if not mx.known or mx.null:
        return
    for policy in in_force(sight, seen):
        fits, mode = match(policy.mx, mx), mode_of(policy)
        named = _list(policy.mx) or "no host"
        told = {"hosts": host_by_host(sight, seen)}
        enforced = mode == "enforce" and seen.record in ("one", "unseen")
        level: Level = "alarm" if enforced else "note" if mode == "testing" else "warning"
        what = (
            "senders that enforce it deliver to nobody"
            if mode != "testing"
            else "in testing, senders deliver all the same and report it"
        )
        if not fits.matched:
            yield Finding(
                "mx-none-named",
                level,
                f"The policy (mode {mode}) names {named}, but the MX records name {_list(mx.hosts)}: {what}.",
                _PUT_BACK if mode != "testing" else "",
                told,
            )
        elif fits.unmatched:
            yield Finding(
                "mx-some-not-named",
                "warning" if mode != "testing" else "note",
                f"The policy (mode {mode}) names {named}, and not {_list(fits.unmatched)}, which the MX"
                f" records name: senders that enforce it do not deliver there.",
                _PUT_BACK if mode != "testing" else "",
                told,
            )


def _still_held(sight: Sight, held: Held) -> Iterator[Finding]:
    """Tell of older policies that may still be held and do not name all of the present MX hosts."""
    hosts = sight.mx.hosts
    if not hosts:
        return
    served = {row["sha256"] for row in sight.look["agreeing"] if row["mode"]}
    known = {body["version"]: body for body in bodies(sight.history, hosts)}
    for one in held.bounds.alive:
        body = known.get(one.label)
        if body is None or not body["refuses"] or body["sha256"] in served:
            continue
        missing = [hosts[place] for place in body["refuses"]]
        none_left = len(missing) == len(hosts)
        what = "any MX host" if none_left else _list(missing)
        fate = "deliver to nobody" if none_left else "do not deliver there"
        moved_early = none_left and (sight.item or {}).get("phase") == "draining"
        level: Level = "alarm" if moved_early else "warning"
        yield Finding(
            "mx-not-named-by-held",
            level,
            f"Version {one.label}, {held.bounds.held(one)}{_if_turned_off(held)}, does not name {what}:"
            f" senders that hold it {fate}.",
            "keep an MX host that it names among the two that are tried first, until then",
            {"version": one.label, "missing": missing[:_MOST_TOLD], "none_named": none_left},
        )


def _if_turned_off(held: Held) -> str:
    return "" if held.basis == "as announced" else " (if it were turned off now)"


def _reports(sight: Sight) -> Iterator[Finding]:
    name = f"_smtp._tls.{sight.domain}"
    told = [one for one in sight.tlsrpt if one.outcome in ("present", "absent")]
    if not told:
        yield Finding("tlsrpt-unseen", "note", f"No resolver could tell whether there is {name}.")
    elif not any(value.startswith(_REPORTS) for one in told for value in one.values):
        yield Finding(
            "tlsrpt-missing",
            "note",
            f"There is no TLSRPT record at {name} (RFC 8460): nobody reports which senders hold an old"
            " policy or fail.",
        )


def _dane(sight: Sight) -> Iterator[Finding]:
    secure = [one.host for one in sight.tlsa if one.records and one.secure]
    plain = [one.host for one in sight.tlsa if one.records and not one.secure]
    unseen = [f"{one.host}: {one.problem}" for one in sight.tlsa if one.problem]
    if secure:
        yield Finding(
            "dane",
            "note",
            f"{_list(secure)} has TLSA records, proven by DNSSEC: turning MTA-STS off does not turn DANE off."
            " Senders that use DANE check a new host by its own TLSA records.",
            evidence={"hosts": secure[:_MOST_TOLD]},
        )
    if plain:
        yield Finding(
            "dane-unproven",
            "note",
            f"{_list(plain)} has TLSA records that no resolver asked has proven by DNSSEC: without that, no"
            " sender heeds them. A resolver that does not validate cannot tell.",
        )
    if unseen:
        yield Finding("dane-unseen", "note", f"TLSA records were not seen: {_list(unseen)}.")


def _list(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST_TOLD} more" if len(items) > _MOST_TOLD else ""
    return ", ".join(one[:300] for one in items[:_MOST_TOLD]) + more
