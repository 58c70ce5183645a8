"""Plans how a policy is put back: the saved bytes, and whether that would lose mail."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from mta_sts.domains import record_name
from mta_sts.errors import (
    ConcurrentChangeError,
    DrainDisturbedError,
    NothingToRestoreError,
    RecordConflictError,
    RestoreWouldLoseMailError,
)
from mta_sts.live_mx import LiveMx, Match, MxAnswer, lacking, match
from mta_sts.observed import Findings
from mta_sts.plan import PolicyChange, RecordChange
from mta_sts.policy import Mode, read, served_mode
from mta_sts.policy_plan import (
    proven,
    untouched,
    warn_about_media_type,
    warn_about_problems,
)
from mta_sts.record_set import RecordSet
from mta_sts.request import Request
from mta_sts.retiring import drains, expects_none

# Every line that some sender may take for the mode, however lenient: none of them must enforce.
_MODE_LINE = re.compile(rb"(?im)^((?:\xef\xbb\xbf)?[ \t]*mode[ \t]*:[ \t]*)[^\r\n]*")
_MOST_SHOWN = 10


def plan_restored(
    request: Request, found: Findings, other_cache_seconds: int, warnings: list[str]
) -> PolicyChange:
    """Decide the bytes to be put back, with the headers and tags that they had; adds to ``warnings``.

    Raises NothingToRestoreError.
    """
    saved = _saved_policy(found, request.domain)
    body: bytes = saved["body"]
    if request.restore_mode == Mode.TESTING.value:
        body, found_lines = _MODE_LINE.subn(rb"\1testing", body)
        if not found_lines:
            warnings.append(
                "restore_mode: testing changes nothing, because the saved policy has no mode line. Senders"
                " should take it for no policy (RFC 8461 section 3.2)."
            )
    warn_about_problems(read(body), "The saved policy", "It is put back as it was.", warnings)
    warn_about_media_type(saved["media_type"], "It is put back so.", warnings)
    where = f"s3://{saved['bucket']}/{saved['key']}"
    if where != str(found.location):
        warnings.append(f"The policy was saved from {where}, and is put back to {found.location}.")
    stored = found.stored
    same = stored and stored.body == body and stored.content_type == saved["media_type"]
    change = proven(
        untouched(found, other_cache_seconds), body, saved["media_type"], write=not same
    )
    return replace(change, headers=saved["headers"], tagging=saved["tagging"])


def refuse_nothing_to_restore(request: Request, found: Findings) -> None:
    """Raise NothingToRestoreError where a window would end with nothing to put back."""
    mode = served_mode(read(found.stored.body)) if found.stored else Mode.NONE.value
    if mode == Mode.NONE.value:
        _saved_policy(found, request.domain)


def _saved_policy(found: Findings, domain: str) -> Mapping[str, Any]:
    saved: Mapping[str, Any] = found.remembered.get("saved", {}).get("policy") or {}
    if not saved:
        raise NothingToRestoreError(
            f"Nothing was saved of {domain}: no run of this stack has changed its policy. Nothing was"
            " changed. Put the policy you want to the object by other means, then use change-id."
        )
    if served_mode(read(saved["body"])) == Mode.NONE.value:
        raise NothingToRestoreError(
            f"The policy that was saved of {domain} says none itself: there was nothing to turn off."
            " Nothing was changed. Put the policy you want to the object by other means, then use change-id."
        )
    return saved


def saved_record(found: Findings, domain: str) -> RecordSet | None:
    """Give the record set that was saved; raise RecordConflictError for a CNAME, which is not made."""
    saved = found.remembered.get("saved", {}).get("record")
    if not saved:
        return None
    record_set = RecordSet(
        record_name(domain), saved["ttl"], tuple(saved["values"]), saved.get("type", "TXT")
    )
    if record_set.type == "CNAME":
        raise RecordConflictError(
            f"{record_set.name} was a CNAME to {record_set.values[0]}: the id belongs to whoever runs that"
            " name, so only they can make sure that it is a fresh one. Nothing was changed. Have them change"
            " the id, then put the CNAME back by hand."
        )
    return record_set


def refuse_what_is_not_ours(
    request: Request, found: Findings, policy: PolicyChange, record: RecordChange
) -> None:
    """Raise ConcurrentChangeError where policy or record are not as the last run left them.

    A run that ended half way may have left either as before or as planned. Who has looked at it and
    wants it overwritten names its digest (``accept_current``).
    """
    ours = found.remembered.get("ours", {})
    foreign = []
    if policy.before_sha256 not in ours.get("policies", ()):
        foreign.append(
            f"the policy object (sha256 {policy.before_sha256[:12] or 'none: it is gone'})"
        )
    if record.found not in ours.get("ids", ()):
        foreign.append(f"the record ({record.old or 'none: it is gone'})")
    digest = current_digest(policy, record)
    if not foreign or request.accept_current == digest:
        return
    why = (
        f"accept_current names {request.accept_current}, which is not what stands there now"
        if request.accept_current
        else "somebody else has changed it since"
    )
    raise ConcurrentChangeError(
        f"For {request.domain} {' and '.join(foreign)} is not as the last run of this stack left it: {why}."
        " Nothing was changed. Look at what stands there; if it may be overwritten, send the same request"
        f" with accept_current: {digest}"
    )


def refuse_to_announce(
    request: Request, found: Findings, policy: PolicyChange, record: RecordChange, now: datetime
) -> None:
    """Raise DrainDisturbedError where change-id would end a drain, by a policy that came back in it.

    Who put it there may not know that MTA-STS was to be off: whoever knows names its digest.
    """
    item = found.remembered
    if not (drains(item, now) and expects_none(item)) or policy.after_mode == Mode.NONE.value:
        return
    digest = current_digest(policy, record)
    if request.accept_current == digest:
        return
    every = f" until {item['all_off_at']}" if item.get("all_off_at") else ""
    raise DrainDisturbedError(
        f"MTA-STS was turned off for {request.domain}, and {found.location} has to say none{every}, but"
        f" somebody has put a policy with mode {policy.after_mode} there. To announce that would turn MTA-STS"
        " on again and cancel what is due. Nothing was changed. Send none-policy to turn it off again"
        " (retire, where the record is to go by itself), or restore to turn it on with the policy that was"
        " saved. If the policy that stands there now is to be in force, send the same request with"
        f" accept_current: {digest}"
    )


def current_digest(policy: PolicyChange, record: RecordChange) -> str:
    """Digest policy and record as they stand, so that an override holds for exactly these."""
    return hashlib.sha256(f"{policy.before_sha256}\n{record.old}".encode()).hexdigest()


def compare_mx(
    request: Request, found: Findings, policy: PolicyChange, warnings: list[str]
) -> dict[str, Any]:
    """Compare the policy to be announced with the live MX; adds to ``warnings``, returns what was seen.

    Of a restore raises RestoreWouldLoseMailError where it enforces and no host that is known satisfies it
    (RFC 8461 section 5): every sender would refuse the domain's mail servers.
    """
    mx = found.live_mx
    if mx is None:
        raise ValueError("a policy in force needs a look at the MX records")
    patterns = read(policy.body).mx
    fits, short = match(patterns, mx), lacking(patterns, mx)
    if short:  # a change that is not everywhere: who asks there finds no host that the policy names
        fits = Match((), mx.hosts)
    seen = {
        "saved_at": found.remembered.get("saved", {}).get("saved_at", ""),
        "patterns": list(patterns[:20]),
        "mx": mx.evidence(),
        "matched": list(fits.matched[:20]),
        "unmatched": list(fits.unmatched[:20]),
    }
    named = ", ".join(patterns[:_MOST_SHOWN]) or "no host"
    restores = request.method == "restore"
    what = "The policy that was saved" if restores else "The present policy"
    shown = "The policy that is put back" if restores else "The present policy"
    # By its own word, since who reads a malformed policy at all reads that.
    if not fits.matched and read(policy.body).mode == Mode.TESTING.value:
        warnings.append(
            f"{what} names {named}, but {_live(mx, short)}: in testing no mail is held"
            " up, and senders only report it."
        )
    elif not fits.matched:
        text = (
            f"{what} names {named}, but {_live(mx, short)}: senders that enforce it would"
            f" deliver to nobody"
        )
        if restores and not request.accept_mx_mismatch:
            raise RestoreWouldLoseMailError(
                f"{text}. Nothing was changed. Put the MX records back first, or put back another policy by"
                " other means and use change-id; restore_mode: testing restores it without enforcing;"
                " accept_mx_mismatch: true restores it all the same."
            )
        warnings.append(f"{text}." + " accept_mx_mismatch was given." * restores)
    elif fits.unmatched:
        warnings.append(
            f"{shown} names {named}, and not {', '.join(fits.unmatched[:_MOST_SHOWN])},"
            " which the MX records name: senders that enforce it will not deliver there."
        )
    warnings.extend(f"MX: {problem}." for problem in mx.problems[:_MOST_SHOWN] if mx.known)
    warnings.append(
        "The TLS of the MX hosts was not asked, because no function can reach port 25: each has to offer"
        " STARTTLS with a valid certificate for its name before senders enforce again (RFC 8461 section 4.2)."
    )
    return seen


def _live(mx: LiveMx, short: Sequence[MxAnswer]) -> str:
    if not mx.known:
        return f"which MX hosts there are is not known: {'; '.join(mx.problems[:_MOST_SHOWN])}"
    if mx.null:
        return "the domain has a null MX and takes no mail"
    if short and len(short) < len(mx.answers):
        return f"{short[0].server} ({short[0].address}) answers {short[0].text}, as others may"
    hosts = ", ".join(mx.hosts[:_MOST_SHOWN])
    if mx.implicit and len(mx.hosts) == 1:
        return f"there is no MX record, so that {hosts} itself takes the mail"
    return f"the MX records name {hosts}"
