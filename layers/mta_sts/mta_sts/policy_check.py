"""Judge what the addresses of a policy host served. Pure: who asked, and how, is not known here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mta_sts.instants import stamp
from mta_sts.policy import is_text_plain, read, served_mode

Outcome = Literal["answered", "no answer", "certificate", "not asked"]

_OTHER = "other content"
NO_IPV4 = "the policy host has no IPv4 address"

_OK = 200
_REDIRECTS = range(300, 400)
_FORBIDDEN = 403
_NO_POLICY = (
    _FORBIDDEN,
    404,
)  # S3 answers 403 for a missing key to whoever may not list the bucket
_GONE = (404, 410)
_MODE = re.compile(rb"(?im)^[ \t]*mode[ \t]*:")  # what a lenient sender may read as the mode
_MOST_DOUBTS = 5
_LABELS_SHOWN = 3
_DIGEST_SHOWN = 12
# Of a policy that S3 has no version of, which somebody else writes: evidence has a size limit.
_MOST_MX, _LONGEST_MX = 10, 100  # patterns, characters


@dataclass(frozen=True)
class Fetched:
    """What asking one address for the policy gave.

    ``outcome`` is ``answered`` (a whole HTTP answer over verified TLS), ``no answer``,
    ``certificate`` (the server was reached and its certificate refused) or ``not asked``;
    ``detail`` says why for the last three. ``reached`` tells whether a TCP connection was made
    (never, where nothing was asked).
    ``body`` holds the bytes as sent, at most the limit; ``too_large`` says that there was more.
    ``media_type``, ``content_encoding``, ``location``, ``cache_control`` and ``x_cache`` are header
    values, empty when absent; ``age`` is in seconds. ``certificate_not_after`` is RFC 3339, empty
    without a verified connection.
    """

    address: str
    outcome: Outcome
    status: int | None = None
    media_type: str = ""
    body: bytes = b""
    too_large: bool = False
    content_encoding: str = ""
    location: str = ""
    certificate_not_after: str = ""
    age: int | None = None
    cache_control: str = ""
    x_cache: str = ""
    reached: bool = True
    detail: str = ""


def evaluate(
    fetched: Iterable[Fetched],
    not_asked: Iterable[Mapping[str, str]],
    *,
    accepted: Mapping[str, str],
    earlier: Mapping[str, str] | None = None,
    accept_missing: bool,
    media_types: Collection[str] = (),
    host: str,
    now: datetime,
    region: str,
) -> dict[str, Any]:
    """Sort addresses into agreeing, laggards and not asked; say whether the host is ready.

    ``accepted`` maps the SHA-256 (hex) of each acceptable body to its name in messages;
    ``accept_missing`` also accepts a status 403 or 404, where no policy has ever existed;
    ``media_types`` are accepted beside text/plain, where the object itself is stored with another.
    ``earlier`` names, likewise, bodies that were the policy once. A laggard that served one of those,
    or any other valid policy, says which in ``policy``: a sender would have stored it.
    ``not_asked`` holds ``{"address", "reason"}`` of what the caller could not ask, with an empty
    address for a look-up of addresses that failed.

    Returns ``{"ready", "host", "agreeing", "laggards", "not_asked", "checked_at", "region"}``. Each
    agreeing entry has address, status, media_type, sha256, size (bytes), certificate_not_after,
    age, cache_control, x_cache and found (the name from ``accepted``); a laggard has the same, and
    expected. ``sha256`` is empty where no whole body was read. Without any IPv4 address there is
    one more laggard, with an empty address and only expected and found.

    Ready means: there is an IPv4 address, each of them agrees, and no IPv6 address that was
    reached contradicts.
    """
    expected = _expected(accepted, accept_missing=accept_missing)
    agreeing: list[dict[str, Any]] = []
    laggards: list[dict[str, Any]] = []
    unasked = [dict(entry) for entry in not_asked]
    seen_ipv4 = False
    for answer in fetched:
        seen_ipv4 = seen_ipv4 or _is_ipv4(answer.address)
        label = _label(answer, accepted, media_types, accept_missing=accept_missing)
        if label:
            agreeing.append(_entry(answer) | {"found": label})
        elif _counts(answer):
            entry = _entry(answer) | {"expected": expected, "found": _found(answer, media_types)}
            another = _another_policy(answer, entry["found"], earlier or {})
            if another:
                entry |= {"policy": another, "found": another}
            laggards.append(entry)
        else:
            unasked.append({"address": answer.address, "reason": answer.detail})
    # An IPv4 address that the caller did not ask has not agreed either.
    unasked_ipv4 = any(_is_ipv4(entry["address"]) for entry in unasked)
    if not (seen_ipv4 or unasked_ipv4):
        laggards.append({"address": "", "expected": expected, "found": _no_ipv4(unasked)})
    return {
        "ready": not laggards and not unasked_ipv4,
        "host": host,
        "agreeing": agreeing,
        "laggards": laggards,
        "not_asked": unasked,
        "checked_at": stamp(now),
        "region": region,
    }


def look(
    fetched: Iterable[Fetched],
    not_asked: Iterable[Mapping[str, str]],
    *,
    known: Mapping[str, str],
    missing: bool,
    host: str,
    now: datetime,
    region: str,
) -> dict[str, Any]:
    """Say what each address serves, where nothing in particular is expected.

    ``known`` maps the SHA-256 of bodies to their names; ``missing`` says that there is no object, so
    that a status 403, S3's for a missing key, tells of none. Returns what :func:`evaluate` does, always
    ready and without laggards; each agreeing entry has also ``mode`` (empty where no sender would read
    a policy, however lenient), ``max_age`` (seconds, None where it cannot be read) and, of a body that
    is not known, ``mx``. ``doubts`` says in words where it is not known what senders get: an address
    that gave no answer, or one that another sender may be answered otherwise.
    """
    agreeing: list[dict[str, Any]] = []
    unasked = [dict(entry) for entry in not_asked]
    # Where there is IPv4, an IPv6 address that cannot be asked is listed and no more.
    doubts = [
        f"{entry['address'] or host} could not be asked ({entry['reason']})"
        for entry in unasked
        if _is_ipv4(entry["address"]) or not entry["address"]
    ]
    asked_ipv4 = False
    for answer in fetched:
        asked_ipv4 = asked_ipv4 or _is_ipv4(answer.address)
        if answer.outcome in {"answered", "certificate"}:
            agreeing.append(_look_entry(answer) | _served(answer, known))
            doubt = _doubt(answer, missing=missing)
        else:
            unasked.append({"address": answer.address, "reason": answer.detail})
            doubt = f"gave no answer ({answer.detail})" if _counts(answer) else ""
        if doubt:
            doubts.append(f"{answer.address} {doubt}")
    if not asked_ipv4 and not agreeing:
        doubts += [
            f"{entry['address']} could not be asked ({entry['reason']})" for entry in unasked
        ]
    return {
        "ready": True,
        "host": host,
        "agreeing": agreeing,
        "laggards": [],
        "not_asked": unasked,
        "doubts": doubts[:_MOST_DOUBTS],
        "checked_at": stamp(now),
        "region": region,
    }


def not_none(seen: Mapping[str, Any], known: Mapping[str, str]) -> list[str]:
    """Say by a look why not every address is known to serve a ``none`` policy of ours; empty where each does.

    Of a ``none`` policy by other hands nobody knows what was served before it.
    """
    wrong = list(seen["doubts"])
    if not seen["agreeing"]:
        wrong.append(f"{seen['host']} has no address that answers")
    return wrong + [
        f"{row['address']} of {seen['host']} serves {row['found']}"
        for row in seen["agreeing"]
        if row["mode"] != "none" or row["sha256"] not in known
    ]


def _look_entry(answer: Fetched) -> dict[str, Any]:
    """Leave out what a long list of addresses has no room for."""
    return _entry(answer) | {"cache_control": ""}


def _doubt(answer: Fetched, *, missing: bool) -> str:
    """Say why an answer does not tell what others are served; empty where it does."""
    if answer.outcome == "certificate" or answer.status in _GONE:
        return ""  # no sender accepts such a certificate (RFC 8461 section 3.3)
    if answer.status == _FORBIDDEN and missing:
        return ""
    if answer.status != _OK:
        return f"answered with status {answer.status}, which may be for us alone"
    if answer.content_encoding:
        return f"answered with the content encoding {answer.content_encoding}"
    return ""


def _served(answer: Fetched, known: Mapping[str, str]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"mode": "", "max_age": None, "mx": [], "found": _found(answer, ())}
    if answer.outcome != "answered" or answer.status != _OK:
        return nothing
    reading = read(answer.body)
    if reading.mode is None and not _MODE.search(answer.body):
        return nothing
    mode = served_mode(reading)
    name = known.get(hashlib.sha256(answer.body).hexdigest(), "")
    return {
        "mode": mode,
        "max_age": reading.max_age,
        "mx": [] if name else _readable_mx(reading.mx),
        "found": f"{name or 'a policy that S3 has no version of'}, mode {mode}",
    }


def _readable_mx(patterns: Sequence[str]) -> list[str]:
    """Keep what evidence has room for; a pattern is left out whole, since a part may name another host."""
    return [one for one in patterns if len(one) <= _LONGEST_MX and one.isascii()][:_MOST_MX]


def describe(entry: Mapping[str, Any]) -> str:
    """Give one readable line for an agreeing entry or a laggard of :func:`evaluate`."""
    line = f"{entry['address']}: {entry['found']}" if entry["address"] else entry["found"]
    if "expected" in entry:
        line += f"; expected {entry['expected']}"
    # Age and X-Cache tell a stale cache from a wrong origin.
    notes = [
        f"certificate until {entry['certificate_not_after']}"
        if entry.get("certificate_not_after")
        else "",
        f"Age {entry['age']}" if entry.get("age") is not None else "",
        f"Cache-Control {entry['cache_control']}" if entry.get("cache_control") else "",
        f"X-Cache {entry['x_cache']}" if entry.get("x_cache") else "",
    ]
    shown = ", ".join(note for note in notes if note)
    return f"{line} ({shown})" if shown else line


def _label(
    answer: Fetched,
    accepted: Mapping[str, str],
    media_types: Collection[str],
    *,
    accept_missing: bool,
) -> str:
    """Name what ANSWER agrees with; empty when it does not agree."""
    if answer.outcome != "answered":
        return ""
    if accept_missing and answer.status in _NO_POLICY:
        return f"no policy (status {answer.status})"
    if _contradiction(answer, media_types):
        return ""
    return accepted.get(hashlib.sha256(answer.body).hexdigest(), "")


def _counts(answer: Fetched) -> bool:
    """Tell whether ANSWER, which does not agree, holds the id back.

    Over IPv4 everything does. Over IPv6 only a server that was reached: senders fall back to IPv4
    when no connection comes about, and we may have no IPv6 ourselves. One that does connect and
    is served the old body would store it under the new id and never look again, so it must
    contradict as an IPv4 address does (RFC 8461 section 8.1: the body first, then the id). A
    certificate refused over IPv6 counts too, since no sender falls back after that.
    """
    return _is_ipv4(answer.address) or answer.reached


def _found(answer: Fetched, media_types: Collection[str]) -> str:
    if answer.outcome != "answered":
        return f"{answer.outcome}: {answer.detail}"
    digest = hashlib.sha256(answer.body).hexdigest()[:_DIGEST_SHOWN]
    return (
        _contradiction(answer, media_types)
        or f"{_OTHER} (sha256 {digest}…, {len(answer.body)} bytes)"
    )


def _no_ipv4(unasked: Iterable[Mapping[str, str]]) -> str:
    """Keep a host without IPv4 addresses apart from one whose addresses could not be looked up."""
    failures = "; ".join(entry["reason"] for entry in unasked if not entry["address"])
    return f"no IPv4 address of the policy host is known ({failures})" if failures else NO_IPV4


def _another_policy(answer: Fetched, found: str, earlier: Mapping[str, str]) -> str:
    """Name the policy in an answer that holds nothing but the wrong one, empty where it is none."""
    if not found.startswith(_OTHER):
        return ""
    digest = hashlib.sha256(answer.body).hexdigest()
    if digest in earlier:
        return f"an earlier policy, {earlier[digest]} (sha256 {digest[:_DIGEST_SHOWN]}…)"
    return f"{found}, a valid policy" if read(answer.body).policy else ""


def _contradiction(answer: Fetched, media_types: Collection[str]) -> str:
    """Say what keeps an HTTP answer from being a policy at all, the weightiest first, or ""."""
    if answer.status in _REDIRECTS and answer.location:
        # RFC 8461 section 3.3: senders follow no redirect.
        return f"redirect to {answer.location} (status {answer.status})"
    if answer.status != _OK:
        return f"status {answer.status}"  # RFC 8461 section 3.3: only 200 counts
    if not is_text_plain(answer.media_type) and answer.media_type not in media_types:
        # RFC 8461 section 3.2: a "should" of the RFC that most senders insist on.
        return f"media type {answer.media_type}" if answer.media_type else "no media type"
    if answer.too_large:
        return f"more than {len(answer.body)} bytes"
    if answer.content_encoding:
        # Nobody asked for it, and a sender that cannot undo it reads no policy.
        return f"content encoding {answer.content_encoding}"
    return ""


def _entry(answer: Fetched) -> dict[str, Any]:
    whole = answer.outcome == "answered" and not answer.too_large
    return {
        "address": answer.address,
        "status": answer.status,
        "media_type": answer.media_type,
        "sha256": hashlib.sha256(answer.body).hexdigest() if whole else "",
        "size": len(answer.body),
        "certificate_not_after": answer.certificate_not_after,
        "age": answer.age,
        "cache_control": answer.cache_control,
        "x_cache": answer.x_cache,
    }


def _expected(accepted: Mapping[str, str], *, accept_missing: bool) -> str:
    """Name what would agree; a long history is cut short, since evidence has a size limit."""
    choices: list[str] = [
        f"{label} (sha256 {digest[:_DIGEST_SHOWN]}…)"
        for digest, label in list(accepted.items())[:_LABELS_SHOWN]
    ]
    if len(accepted) > _LABELS_SHOWN:
        choices.append(f"one of {len(accepted) - _LABELS_SHOWN} more")
    if accept_missing:
        choices.append("no policy (status 403 or 404)")
    return _either(choices)


def _either(choices: Sequence[str]) -> str:
    *firsts, last = choices or ["nothing that could be accepted"]
    return f"{', '.join(firsts)} or {last}" if firsts else last


def _is_ipv4(address: str) -> bool:
    return "." in address and ":" not in address  # ::ffff:192.0.2.1 is an AAAA answer
