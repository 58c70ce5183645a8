"""Judge what servers answered for the record: who agrees, who lags behind, who could not be asked.

Pure: ``adapters.dns`` brings the answers. The rules are those by which a record counts as
*confirmed*; what they have in common is that silence never counts as agreement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mta_sts.instants import stamp
from mta_sts.record import is_sts

Kind = Literal["authority", "resolver"]
Outcome = Literal["present", "absent", "alias", "unreachable", "malformed"]
Scope = Literal["authorities", "everyone"]

NO_RECORD = "no STS record"


@dataclass(frozen=True)
class Answer:
    """What one server, asked once at one address, answered for the TXT record set.

    ``present`` carries the TXT values, each with its strings joined (RFC 8461 section 3.1);
    ``absent`` is NXDOMAIN or no TXT at all. ``alias`` is a CNAME whose target the server says
    nothing about, as authorities have to answer where it lies in a zone of somebody else (RFC 1034
    section 4.3.2): neither a value nor its absence was told. ``unreachable`` and ``malformed`` say
    why in ``detail``, which otherwise names a CNAME. ``ttl`` is in seconds, at a resolver what
    remains of it, for ``absent`` the negative TTL (RFC 2308 section 5), None where none was given.
    ``leads_to`` is where a CNAME at the very name leads, in lower case; empty: there is none.
    """

    server: str
    address: str
    kind: Kind
    outcome: Outcome
    values: tuple[bytes, ...] = ()
    ttl: int | None = None
    detail: str = ""
    leads_to: str = ""


@dataclass(frozen=True)
class NotAsked:
    """An address that was not asked and the reason; the address is empty where none is known."""

    server: str
    address: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Expected:
    """What everybody has to answer: the STS ``value``, or where it is None that there is none.

    ``withdrawn`` is where a CNAME led that was taken away, empty for none; ``wildcards`` where that of a
    wildcard may lead which answers in its place (RFC 4592 section 3.3.1). All in lower case.
    """

    value: bytes | None
    withdrawn: str = ""
    wildcards: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The expectation on one line."""
        return NO_RECORD if self.value is None else readable(self.value)

    def met_by(self, answer: Answer) -> bool:
        """Tell whether an answer agrees.

        Unreachable and malformed agree with nothing, least of all with "gone". Nor does who still leads
        to where the withdrawn CNAME led: a record there would be found, whatever is there today. What is
        behind a wildcard's CNAME is the resolvers' to tell.
        """
        if answer.outcome in ("unreachable", "malformed"):
            return False
        by_wildcard = answer.leads_to in self.wildcards
        if answer.leads_to == self.withdrawn != "" and not by_wildcard:
            return False
        if answer.outcome == "alias":
            return self.value is None and by_wildcard and answer.kind == "authority"
        return _sts_values(answer) == ([] if self.value is None else [self.value])


def evaluate(
    answers: Sequence[Answer],
    not_asked: Sequence[NotAsked],
    *,
    expected: Expected,
    scope: Scope,
    now: datetime,
    region: str,
) -> dict[str, Any]:
    """Compare ANSWERS with what is EXPECTED.

    "Gone" means that no value beginning ``v=STSv1;`` is answered, whatever else is (RFC 8461
    section 3.1 ignores other values); present means that exactly one is, and equals the value expected.

    Every authoritative address that answered has to agree, and every name server has to have
    answered at one address at least. With the scope "everyone" also no resolver may contradict in
    any of its answers, and at least one has to agree; with "authorities" resolvers that still hold
    another answer are reported as ``cached`` and do not block.

    Returns ``ready``, ``agreeing``, ``laggards``, ``cached``, ``not_asked``, ``longest_ttl`` (seconds: the
    largest TTL remaining at resolvers whose answer differs from EXPECTED), ``checked_at`` (NOW,
    rounded up, since exposure is counted from it) and ``region``.
    """
    authorities, authorities_agree = _judge_authorities(answers, not_asked, expected)
    resolvers, resolvers_agree = _judge_resolvers(answers, expected)
    stale = [
        answer.ttl or 0
        for answer in answers
        if answer.kind == "resolver"
        and answer.outcome in ("present", "absent", "alias")
        and not expected.met_by(answer)
    ]
    everyone = scope == "everyone"
    left_out = [_not_asked_row(item.server, item.address, item.reason) for item in not_asked]
    return {
        "ready": authorities_agree and (resolvers_agree or not everyone),
        "agreeing": _bounded(authorities.agreeing + resolvers.agreeing),
        "laggards": _bounded(authorities.laggards + (resolvers.laggards if everyone else [])),
        "cached": _bounded([] if everyone else resolvers.laggards),
        "not_asked": _bounded(left_out + authorities.not_asked + resolvers.not_asked),
        "longest_ttl": max(stale, default=0),
        "checked_at": stamp(now),
        "region": region,
    }


def describe(laggard: Mapping[str, Any]) -> str:
    """Say in one phrase, without a full stop, what a laggard of :func:`evaluate` lacks."""
    place = f" ({laggard['address']})" if laggard["address"] else ""
    remaining = "" if laggard["ttl"] is None else f" (TTL {laggard['ttl']} s)"
    found = f'found "{laggard["found"]}"{remaining}'
    return f'{laggard["server"]}{place}: {found}, expected "{laggard["expected"]}"'


def _bounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the rows within what a workflow can carry; the last one says how many more there are."""
    if len(rows) <= _MOST_ROWS:
        return rows
    more = dict.fromkeys(rows[0], "") | {"server": f"and {len(rows) - _MOST_ROWS} more"}
    return [*rows[:_MOST_ROWS], more | ({"ttl": None} if "ttl" in more else {})]


_MOST_ROWS = 60


@dataclass(frozen=True)
class _Rows:
    agreeing: list[dict[str, Any]]
    laggards: list[dict[str, Any]]
    not_asked: list[dict[str, Any]]


def _judge_authorities(
    answers: Sequence[Answer], not_asked: Sequence[NotAsked], expected: Expected
) -> tuple[_Rows, bool]:
    asked = [answer for answer in answers if answer.kind == "authority"]
    skipped = [item for item in not_asked if item.kind == "authority"]
    servers = _unique([item.server for item in asked] + [item.server for item in skipped])
    rows = _Rows([], [], [])
    for server in servers:
        own = [answer for answer in asked if answer.server == server]
        unreachable = [answer for answer in own if answer.outcome == "unreachable"]
        reached = [answer for answer in own if answer.outcome != "unreachable"]
        for answer in reached:
            if expected.met_by(answer):
                rows.agreeing.append(_agreeing_row(answer))
            else:
                rows.laggards.append(_laggard_row(answer, expected))
        if reached:
            rows.not_asked.extend(_unreachable_row(answer) for answer in unreachable)
        elif unreachable:
            rows.laggards.extend(_laggard_row(answer, expected) for answer in unreachable)
        else:
            reasons = _unique(item.reason for item in skipped if item.server == server)
            rows.laggards.append(_nobody_row(server, expected, "; ".join(reasons)))
    if not servers:
        rows.laggards.append(_nobody_row("name servers", expected, "no name server is known"))
    return rows, not rows.laggards


def _judge_resolvers(answers: Sequence[Answer], expected: Expected) -> tuple[_Rows, bool]:
    asked = [answer for answer in answers if answer.kind == "resolver"]
    rows = _Rows([], [], [])
    for address in _unique(answer.address for answer in asked):
        own = [answer for answer in asked if answer.address == address]
        reached = [answer for answer in own if answer.outcome != "unreachable"]
        contrary = [answer for answer in reached if not expected.met_by(answer)]
        if not reached:
            rows.not_asked.append(_unreachable_row(own[0]))
        elif not contrary:
            rows.agreeing.append(_agreeing_row(_longest(reached)))
        # Caches behind one address need not agree: each different answer is told, with its share.
        for found in _unique(_found(answer) for answer in contrary):
            same = [answer for answer in contrary if _found(answer) == found]
            row = _laggard_row(_longest(same), expected)
            if len(same) < len(own):
                row["found"] += f" (in {len(same)} of {len(own)} answers)"
            rows.laggards.append(row)
    contradicted = bool(rows.laggards)
    if not contradicted and not rows.agreeing:
        rows.laggards.append(_nobody_row("resolvers", expected, "no resolver answered"))
    return rows, not contradicted and bool(rows.agreeing)


def _sts_values(answer: Answer) -> list[bytes]:
    return [value for value in answer.values if is_sts(value)]


def _found(answer: Answer) -> str:
    if answer.outcome in ("unreachable", "malformed"):
        return _cut(f"{answer.outcome}: {answer.detail}")
    if answer.outcome == "alias":
        return _cut(answer.detail)
    values = sorted(_sts_values(answer))
    if not values:
        found = NO_RECORD
    elif len(values) == 1:
        found = readable(values[0])
    else:
        count = "two" if len(values) == 2 else str(len(values))  # noqa: PLR2004 - a word for 2
        found = f"{count} STS values: " + " | ".join(readable(value) for value in values)
    return _cut(f"{found} ({answer.detail})" if answer.detail else found)


def _cut(text: str) -> str:
    """Keep evidence, which travels through the workflow, within bounds whatever a server sends."""
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


_MOST_SHOWN = 300
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("\\")}


def readable(value: bytes) -> str:
    r"""Show a TXT value on one line: printable ASCII as it is, the rest and ``\`` as ``\DDD``.

    That is the decimal escape of master files (RFC 1035 section 5.1).
    """
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in value)


def _agreeing_row(answer: Answer) -> dict[str, Any]:
    return {
        "server": answer.server,
        "address": answer.address,
        "found": _found(answer),
        "ttl": answer.ttl,
    }


def _laggard_row(answer: Answer, expected: Expected) -> dict[str, Any]:
    row = _agreeing_row(answer)
    return row | {"expected": expected.text}


def _nobody_row(server: str, expected: Expected, reason: str) -> dict[str, Any]:
    """Say why it is not confirmed where there is no answer to show."""
    nobody = Answer(server, "", "authority", "unreachable", detail=reason)
    return _laggard_row(nobody, expected)


def _unreachable_row(answer: Answer) -> dict[str, Any]:
    return _not_asked_row(answer.server, answer.address, _found(answer))


def _not_asked_row(server: str, address: str, reason: str) -> dict[str, Any]:
    return {"server": server, "address": address, "reason": reason}


def _longest(answers: Sequence[Answer]) -> Answer:
    return max(answers, key=lambda answer: answer.ttl or 0)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
