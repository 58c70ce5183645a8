"""Plans what becomes of the policy object."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mta_sts.instants import stamp
from mta_sts.observed import Findings, History, StoredPolicy, foreign_label
from mta_sts.plan import PolicyChange
from mta_sts.policy import (
    NONE_MAX_AGE,
    Mode,
    Reading,
    is_text_plain,
    mode_of,
    mx_matches,
    none_policy,
    read,
    served_mode,
)
from mta_sts.request import Request

_EXCERPT = 4096  # characters of the present policy shown in a plan
_BEGINNING = 256  # characters of one that a plan carries in base64
_WELL_KNOWN = "/.well-known/mta-sts.txt"
_MOST_MX = 20  # patterns shown


def plan_policy(
    request: Request, found: Findings, other_cache_seconds: int, warnings: list[str]
) -> PolicyChange:
    """Decide the bytes to be served, and whether they have to be written at all; adds to ``warnings``.

    What ``restore`` puts back is decided by :func:`mta_sts.restoring.plan_restored`.
    """
    kept = untouched(found, other_cache_seconds)
    if not request.publishes:
        return replace(kept, remove=request.remove_policy)
    if request.method == "change-id" and found.stored:
        warn_about_problems(read(found.stored.body), "The present policy", "It stays.", warnings)
        warn_about_media_type(found.stored.content_type, "That stays.", warnings)
        return proven(kept, found.stored.body, found.stored.content_type, write=False)
    return _plan_none(request, found, kept, warnings)


def proven(policy: PolicyChange, body: bytes, content_type: str, *, write: bool) -> PolicyChange:
    """Have exactly these bytes served, and proven to be, before the record changes."""
    text, encoded = body.decode("utf-8", "backslashreplace"), b64encode(body).decode()
    if text.encode() == body and len(json.dumps(text)) <= len(encoded):
        encoded = ""
    else:  # it takes no more room in a plan than base64 does: 64 KiB of escapes would be too many
        text = text[:_BEGINNING]
    return replace(
        policy,
        after=text,
        after64=encoded,
        after_sha256=hashlib.sha256(body).hexdigest(),
        after_mode=served_mode(read(body)),
        content_type=content_type,
        write=write,
    )


def _plan_none(
    request: Request, found: Findings, kept_as_is: PolicyChange, warnings: list[str]
) -> PolicyChange:
    stored = found.stored
    reading = read(stored.body if stored else b"")
    kept = reading if reading.mx else _last_with_mx(found.history, reading)
    body = none_policy(replace(reading, mx=kept.mx), keep_mx=request.keep_mx)
    content_type = (
        stored.content_type if stored and is_text_plain(stored.content_type) else "text/plain"
    )
    fine = (
        stored is not None
        and reading.policy is not None
        and reading.policy.mode is Mode.NONE
        and reading.policy.max_age <= NONE_MAX_AGE
        and content_type == stored.content_type
        and (reading.mx or not _mx_lines(body))  # keep_mx: there are some to put back
    )
    if stored and fine:
        body = stored.body
    elif stored:
        _warn_about_policy(reading, stored, request, warnings)
    if request.keep_mx and not _mx_lines(body):
        warnings.append("keep_mx: no version of the policy has an mx line that could be kept.")
    return proven(kept_as_is, body, content_type, write=not fine)


def untouched(found: Findings, other_cache_seconds: int) -> PolicyChange:
    """Describe the policy as it is, nothing to be written."""
    stored, location = found.stored, found.location
    return PolicyChange(
        bucket=location.bucket,
        key=location.key,
        distribution_id=location.distribution_id,
        # A viewer-request function may rewrite the path, and with it the cache's key: purge both.
        purge_paths=tuple(dict.fromkeys([_WELL_KNOWN, "/" + location.key.lstrip("/")])),
        other_cache_seconds=other_cache_seconds,
        etag=stored.etag if stored else "",
        version_id=stored.version_id if stored else "",
        published_at=stamp(stored.last_modified) if stored else "",
        before=stored.body.decode("utf-8", "backslashreplace")[:_EXCERPT] if stored else "",
        before_sha256=stored.sha256 if stored else "",
        before_mode=mode_of(read(stored.body)) if stored else "",
        before_media_type=stored.content_type if stored else "",
        before_headers=dict(stored.headers) if stored else {},
        known=known_bodies(stored, found.history),
        after="",
        after_sha256="",
        content_type="",
        headers={"CacheControl": "no-store", **(stored.headers if stored else {})},
        tagging=stored.tagging if stored else "",
        write=False,
    )


def _warn_about_policy(
    reading: Reading, stored: StoredPolicy, request: Request, warnings: list[str]
) -> None:
    fate = "It is saved byte for byte and turned off all the same."
    warn_about_problems(reading, "The present policy", fate, warnings)
    warn_about_media_type(stored.content_type, "The new one is text/plain.", warnings)
    if request.keep_mx and reading.mx:
        warnings.append(
            "keep_mx: the mx lines stay, because some senders reject a none policy without them and would"
            " keep the old one."
        )
    elif reading.mx:
        warnings.append(
            "Some senders (chasquid, Stalwart) reject a none policy without mx lines; keep_mx: true keeps"
            " them."
        )


def warn_about_media_type(content_type: str, fate: str, warnings: list[str]) -> None:
    """Tell of a media type that senders reject, and what becomes of it."""
    if not is_text_plain(content_type):
        warnings.append(
            f"The policy is stored as {content_type or 'no media type'}, which most senders reject (RFC 8461"
            f" section 3.2). {fate}"
        )


def warn_about_problems(reading: Reading, which: str, fate: str, warnings: list[str]) -> None:
    """Tell line by line what makes a policy malformed (RFC 8461 section 3.2), and what becomes of it."""
    warnings.extend(
        f"{which} is malformed, line {problem.line}: {problem.reason} ({problem.text!r:.90}). {fate}"
        for problem in reading.problems[:10]
    )


def known_bodies(stored: StoredPolicy | None, history: History) -> dict[str, str]:
    """Name every body that the policy host may rightly serve before the first write."""
    known = {}
    for version in history.versions:
        if version.body is not None:
            digest = hashlib.sha256(version.body).hexdigest()
            known[digest] = f"the version of {stamp(version.since)}"
    if stored:
        known[stored.sha256] = "the present policy"
    return known


def bodies(history: History, new_mx: Sequence[str] = ()) -> tuple[Mapping[str, Any], ...]:
    """List what was served, oldest first, as exposure is computed from it (a delete marker ends one)."""
    told: list[Mapping[str, Any]] = []
    ends = [version.since for version in history.versions[1:]]
    for version, end in zip(history.versions, [*ends, None], strict=False):
        if version.deleted:
            continue
        reading = read(version.body) if version.body is not None else None
        told.append(
            {
                "version": version.version_id,
                "mode": served_mode(reading) if reading else "unknown",
                "max_age": reading.max_age if reading else None,
                "sha256": hashlib.sha256(version.body).hexdigest()
                if version.body is not None
                else "",
                "since": stamp(version.since),
                "replaced_at": stamp(end) if end else None,
                # By their places in new_mx: a plan with many versions has no room for names.
                "refuses": refused(reading.mx if reading else (), new_mx),
            }
        )
    return tuple(told)


def refused(patterns: Sequence[str], hosts: Sequence[str]) -> list[int]:
    """Give the places of the hosts that none of a policy's mx patterns allows (RFC 8461 section 4.1)."""
    return [
        place
        for place, host in enumerate(hosts)
        if not any(mx_matches(pattern, host) for pattern in patterns)
    ]


def common_mx(
    history: History, host: Mapping[str, Any], labels: Collection[str]
) -> tuple[str, ...]:
    """Give the mx patterns that all of these policies name, in the order of the newest.

    ``labels`` are versions, or name what a look at the policy host (``host``) has seen.
    """
    named = [
        list(read(version.body or b"").mx)
        for version in history.versions
        if version.version_id in labels and not version.deleted
    ]
    named += [row["mx"] for row in host.get("agreeing", []) if foreign_label(row) in labels]
    if not named:
        return ()
    folded = [[pattern.lower() for pattern in patterns] for patterns in named]
    shared = set.intersection(*map(set, folded))
    return tuple(dict.fromkeys(pattern for pattern in folded[-1] if pattern in shared))[:_MOST_MX]


def _last_with_mx(history: History, otherwise: Reading) -> Reading:
    """Find the newest version with mx lines: a none policy written before has lost them."""
    readings = (read(version.body) for version in reversed(history.versions) if version.body)
    return next((reading for reading in readings if reading.mx), otherwise)


def _mx_lines(body: bytes) -> bool:
    return bool(read(body).mx)
