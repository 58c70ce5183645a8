"""How a domain stands by what a check has found: the state, whether mail is at risk, what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mta_sts.answers import answer
from mta_sts.checks.mail import in_force
from mta_sts.checks.sight import LEVELS, Finding, Sight
from mta_sts.checks.standing import Held, PolicyState, Standing, sts_values
from mta_sts.domains import policy_host
from mta_sts.policy import mode_of, read

State = Literal["on", "half changed", "off", "unknown"]

# A drain whose alarms are these is disturbed now; a certificate that ends early is not yet.
_DISTURBED = frozenset(
    {
        "none-not-served", "policy-served-again", "record-gone", "record-back", "id-not-ours",
        "object-changed",
    }
)  # fmt: skip
_AT_RISK = frozenset({"mx-none-named", "mx-some-not-named", "mx-not-named-by-held"})
_UNSEEN_RISK = "Whether mail is at risk is not known"


@dataclass(frozen=True)
class Verdict:
    """The state, its sentence, whether mail is at risk (None: not known), and what to do next.

    ``over`` says to whoever waits for the end of a drain that this is it.
    """

    state: State
    sentence: str
    at_risk: bool | None
    risk: str
    next: str
    over: bool = False


def verdict(
    sight: Sight, seen: Standing, held: Held | None, findings: Sequence[Finding]
) -> Verdict:
    """Say how the domain stands, whether mail is at risk, and what to do."""
    state, sentence = _state(sight, seen, held, findings)
    at_risk, risk = _risk(sight, seen, held, state, findings)
    return Verdict(state, sentence, at_risk, risk, _next(held, state, findings))


def drained(sight: Sight, held: Held | None, told: Verdict) -> Verdict:
    """Say that a drain is over, or why it is not yet, to whoever waits for its end."""
    if held is None or told.state != "off" or held.basis != "as announced":
        return told
    every, announced = held.bounds.every, str((sight.item or {}).get("all_off_at") or "")
    if every is None or every > sight.now:
        late = f" The end that was announced was {announced}" if announced else ""
        vouch = (
            "; if that rests on somebody's word, vouch for it again by longest_max_age."
            if late
            else ""
        )
        return replace(told, sentence=f"{told.sentence} The drain is not over yet.{late}{vouch}")
    return replace(
        told,
        sentence=f"MTA-STS is off for {sight.domain}: the drain is over, and no sender holds an older policy"
        f" any more.",
        next="the MX records may change freely as far as MTA-STS is concerned."
        f" {_afterwards(sight)}",
        over=True,
    )


def _afterwards(sight: Sight) -> str:
    host = policy_host(sight.domain)
    if not (sight.item or {}).get("current_id"):
        return f"Nobody needs {host} for MTA-STS any more."
    return (
        "The record may go (delete-record), and after it the policy and the name"
        f" {host}; restore turns MTA-STS on again."
    )


def _state(
    sight: Sight, seen: Standing, held: Held | None, findings: Sequence[Finding]
) -> tuple[State, str]:
    domain = sight.domain
    alarms = [one for one in findings if one.level == "alarm"]
    disturbed = [one for one in alarms if one.code in _DISTURBED]
    if disturbed:
        return "half changed", f"half changed for {domain}: {_inner(disturbed[0].text)}"
    if held and held.basis == "as announced":
        sentence = str(answer(held.plan, held.bounds)["off"]["sentence"])
        early = [one for one in alarms if one.code == "certificate-ends-early"]
        if early:
            sentence = f"MTA-STS is off for {domain}, but not for good: {_inner(early[0].text)}"
        return "off", sentence
    if held is None:
        return "off", f"MTA-STS is off for {domain}: it has neither record nor policy."
    return _seen(sight, seen, held)


def _seen(sight: Sight, seen: Standing, held: Held) -> tuple[State, str]:
    """Say what is seen, where no run of this stack has announced it."""
    domain, host = sight.domain, policy_host(sight.domain)
    policy, differing = _policy(seen), _differing(sight)
    if seen.record == "unseen":
        return _record_unseen(sight, seen)
    if seen.record == "none":
        if seen.on:
            return "half changed", (
                f"half changed for {domain}: there is no record, but {host} serves {policy}."
            )
        return "off", _off(sight, seen, held)
    if seen.record != "one":
        kind = "several STS values" if seen.record == "several" else "a malformed record"
        return "half changed", (
            f"half changed for {domain}: it has {kind}, which most senders take for none, and {host} serves"
            f" {policy}."
        )
    if differing:
        return "half changed", f"half changed for {domain}: {differing}."
    return _with_record(sight, seen)


def _with_record(sight: Sight, seen: Standing) -> tuple[State, str]:
    domain, host = sight.domain, policy_host(sight.domain)
    under = f"under the id {', '.join(seen.ids)}"
    serves = f"{host} serves {_policy(seen)}, {under}"
    stored = mode_of(read(sight.stored.body)) if sight.stored else "none"
    if seen.policy == "unseen" and stored != "none" and not seen.draining:
        return "on", (
            f"MTA-STS is still on for {domain}, as far as can be seen: there is a record ({under}), and the"
            f" object in S3 has mode {stored}, but what {host} serves could not be seen."
        )
    told: dict[PolicyState, tuple[State, str]] = {
        "enforce": ("on", f": {serves}."),
        "testing": ("on", f", in testing: {serves}. Senders report by it and stop no mail."),
        "malformed": ("on", f", for lenient senders: {serves}; strict ones find no policy."),
        "none": ("half changed", f": {host} serves mode none, but {_unannounced(under)}."),
        "absent": (
            "half changed",
            f": there is a record ({under}), but {host} serves no policy.",
        ),
        "unseen": (
            "half changed",
            f", perhaps: there is a record ({under}), but what {host} serves could not be seen.",
        ),
    }
    state, rest = told[seen.policy]
    head = "MTA-STS is still on for" if state == "on" else "half changed for"
    return state, f"{head} {domain}{rest}"


def _unannounced(under: str) -> str:
    knows = "a sender that knows this id keeps what it holds"
    return f"no run of this stack has announced it {under}, and {knows}"


def _record_unseen(sight: Sight, seen: Standing) -> tuple[State, str]:
    domain, host = sight.domain, policy_host(sight.domain)
    if seen.on:
        return "on", (
            f"MTA-STS is still on for {domain}, as far as can be seen: {host} serves {_policy(seen)}, but"
            " nobody could be asked for the record."
        )
    told = "neither record nor policy could be seen"
    if seen.policy != "unseen":
        told = f"{host} serves {_policy(seen)}, but nobody could be asked for the record"
    return "unknown", f"MTA-STS is still on or off for {domain} as it was before: {told}."


def _off(sight: Sight, seen: Standing, held: Held) -> str:
    """Say what a domain without a record may still mean to senders; since when is not on record."""
    bounds, host = held.bounds, policy_host(sight.domain)
    serves = "could not be seen" if seen.policy == "unseen" else f"serves {_policy(seen)}"
    what = f"MTA-STS is off for {sight.domain}: it has no record, and {host} {serves}"
    if bounds.every is None:
        return (
            f"{what}. Since when is not on record, and senders that hold a policy may renew it:"
            f" {bounds.renewal.reason}."
        )
    if not bounds.left.exposures:
        return f"{what}; no policy is on record that anybody could still hold."
    until = bounds.until(bounds.every, bounds.every_known)
    since = "Since when is not on record: counted from now"
    return f"{what}. {since}, a sender may hold an older policy {until}."


def _policy(seen: Standing) -> str:
    return {
        "enforce": "a policy with mode enforce",
        "testing": "a policy with mode testing",
        "malformed": "a malformed policy",
        "none": "mode none",
        "absent": "no policy",
        "unseen": "what could not be seen",
    }[seen.policy]


def _differing(sight: Sight) -> str:
    """Say that addresses serve policies of different modes, or that only some name servers have a record."""
    rows = [row for row in sight.look["agreeing"] if row["mode"]]
    if len({row["mode"] for row in rows}) > 1:
        return "; ".join(f"{row['address']} serves mode {row['mode']}" for row in rows[:5])
    own = [one for one in sight.answers if one.kind == "authority"]
    told = [one for one in own if one.outcome in ("present", "absent")]
    with_one = [one for one in told if sts_values(one)]
    without = [one for one in told if not sts_values(one)]
    if with_one and without:
        return f"{without[0].server} ({without[0].address}) has no record, others have one"
    return ""


def _inner(text: str) -> str:
    """Make a finding's sentence the second half of another."""
    return text[0].lower() + text[1:] if text.startswith(("The ", "There ", "Version ")) else text


def _risk(
    sight: Sight, seen: Standing, held: Held | None, state: State, findings: Sequence[Finding]
) -> tuple[bool | None, str]:
    risky = [one for one in findings if one.code in _AT_RISK and one.level != "note"]
    if any(one.level == "alarm" for one in risky):
        return True, f"Mail is at risk: {_inner(risky[0].text)}"
    if risky:
        return True, f"Mail may be at risk: {_inner(risky[0].text)}"
    foreign = held is not None and held.bounds.renewal.foreign and held.bounds.renewal.blocks
    if foreign and sight.stored is not None:
        return True, "Mail may be at risk: what is served is not the domain's own policy."
    if state == "unknown":
        return None, f"{_UNSEEN_RISK}."
    enforced = any(mode_of(policy) != "testing" for policy in in_force(sight, seen))
    if enforced and not sight.mx.known:
        return None, f"{_UNSEEN_RISK}, because the MX records could not be seen."
    stay = " while it goes to the present MX hosts, with valid TLS" if enforced else ""
    return False, f"Mail is not at risk{stay}."


def _next(held: Held | None, state: State, findings: Sequence[Finding]) -> str:
    """Take what the weightiest finding asks for; where none asks, what the state allows."""
    claimed = [one.next for one in findings if one.code == "claimed"]
    urgent = [
        one.next for level in LEVELS[:2] for one in findings if one.level == level and one.next
    ]
    if claimed or urgent:
        return f"{(claimed + urgent)[0]}."
    if held is None:
        return "nothing has to be done."
    if state == "off":
        return str(answer(held.plan, held.bounds)["trouble"]["next"])
    return _DEFAULTS[state]


_DEFAULTS = {
    "on": (
        "nothing, if MTA-STS is to be on. To move mail to other MX hosts, first add them to the policy and"
        " run change-id; to turn MTA-STS off, run none-policy."
    ),
    "unknown": "look at what could not be asked, see below, then check again.",
    "half changed": (
        "run none-policy to turn MTA-STS off for every sender, or change-id to announce anew what is served."
    ),
}
