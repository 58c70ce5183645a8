"""The MX hosts that a domain has now, by what its name servers answered; and whom a policy names.

Pure: :mod:`mta_sts.adapters.mail` brings the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mta_sts.policy import mx_matches
from mta_sts.record_check import NotAsked

Outcome = Literal["present", "absent", "alias", "unreachable", "malformed"]

_ANSWERED = ("present", "absent")
_MOST_ROWS, _MOST_SHOWN = 40, 300


@dataclass(frozen=True)
class MxAnswer:
    """What one authoritative address answered for the MX set of ``name``.

    ``hosts`` are pairs of preference and host, in lower case without final dot; the root, which makes a
    null MX, is empty. ``alias`` is where a CNAME leads, and as an outcome one whose target the server says
    nothing about. ``detail`` says why nothing was learnt.
    """

    name: str
    server: str
    address: str
    outcome: Outcome
    hosts: tuple[tuple[int, str], ...] = ()
    alias: str = ""
    detail: str = ""

    @property
    def candidates(self) -> frozenset[tuple[int, str]]:
        """What this answer has senders try, as (preference, host); empty for a null MX.

        Without an MX set the name itself takes the mail (RFC 5321 section 5.1).
        """
        if self.outcome == "absent":
            return frozenset({(0, self.alias or self.name)})
        # RFC 7505 section 3: the root means "no mail" alone, and nothing beside others.
        return frozenset((preference, host) for preference, host in self.hosts if host)

    @property
    def text(self) -> str:
        """The answer on one line."""
        if self.outcome == "absent":
            return f"no MX, so {self.alias or self.name} itself"
        if self.outcome == "alias":
            return f"a CNAME to {self.alias}"
        if self.outcome == "present":
            return ", ".join(
                f"{preference} {host or '.'}" for preference, host in sorted(self.hosts)
            )
        return f"{self.outcome}: {self.detail}"


@dataclass(frozen=True)
class LiveMx:
    """The hosts that take mail for ``domain``, of all servers together, by preference.

    Lower case, no final dot; the domain itself where it has no MX set. ``null`` says that every server
    that answered has a null MX (RFC 7505): the domain takes no mail. Where ``known`` is false nobody
    answered, and that no host is named means nothing. ``problems`` are sentences without a full stop: who
    did not answer, and who answers otherwise than others.
    """

    domain: str
    hosts: tuple[str, ...]
    null: bool
    known: bool
    implicit: bool
    answers: tuple[MxAnswer, ...]
    not_asked: tuple[NotAsked, ...]
    problems: tuple[str, ...]

    def evidence(self) -> dict[str, Any]:
        """Give the plain JSON form, within bounds whatever servers send."""
        return {
            "hosts": list(self.hosts[:_MOST_ROWS]),
            "null": self.null,
            "known": self.known,
            "implicit": self.implicit,
            "answers": [
                {
                    "name": one.name,
                    "server": one.server,
                    "address": one.address,
                    "found": one.text[:_MOST_SHOWN],
                }
                for one in self.answers[:_MOST_ROWS]
            ],
            "not_asked": [
                {"server": one.server, "address": one.address, "reason": one.reason}
                for one in self.not_asked[:_MOST_ROWS]
            ],
            "problems": [problem[:_MOST_SHOWN] for problem in self.problems[:_MOST_ROWS]],
        }


@dataclass(frozen=True)
class TlsaAnswer:
    """What resolvers say of the TLSA records of an MX host at port 25 (RFC 7672 section 2.2).

    ``records`` counts them; ``secure`` says that a resolver has validated them by DNSSEC (AD), without
    which no sender heeds them. ``problem`` says why nothing was learnt, else it is empty.
    """

    host: str
    records: int
    secure: bool
    problem: str = ""


@dataclass(frozen=True)
class Match:
    """Which live MX hosts a policy names, and which not; both empty where there are none."""

    matched: tuple[str, ...]
    unmatched: tuple[str, ...]


def live_mx(
    domain: str,
    answers: Sequence[MxAnswer],
    not_asked: Sequence[NotAsked] = (),
    problems: Sequence[str] = (),
) -> LiveMx:
    """Unite what the servers of a domain answered; ``problems`` are those met before they were asked."""
    told = [answer for answer in answers if answer.outcome in _ANSWERED]
    best: dict[str, int] = {}
    for answer in told:
        for preference, host in answer.candidates:
            best[host] = min(preference, best.get(host, preference))
    silent = [
        f"{one.server} ({one.address}) gave no answer for the MX of {one.name}: {one.detail}"
        for one in answers
        if one.outcome in ("unreachable", "malformed")
    ]
    return LiveMx(
        domain=domain,
        hosts=tuple(sorted(best, key=lambda host: (best[host], host))),
        null=bool(told) and not best,
        known=bool(told),
        implicit=any(answer.outcome == "absent" for answer in told),
        answers=tuple(answers),
        not_asked=tuple(not_asked),
        problems=(*problems, *_differences(answers), *silent),
    )


def lacking(patterns: Sequence[str], mx: LiveMx) -> list[MxAnswer]:
    """List the answers in which a policy names no host: who asks these servers delivers to nobody."""
    return [
        answer
        for answer in mx.answers
        if answer.outcome in _ANSWERED
        and not any(mx_matches(one, host) for one in patterns for _, host in answer.candidates)
    ]


def match(patterns: Sequence[str], mx: LiveMx) -> Match:
    """Sort the live MX hosts by whether some pattern of a policy names them (RFC 8461 section 4.1)."""
    matched = [host for host in mx.hosts if any(mx_matches(one, host) for one in patterns)]
    return Match(tuple(matched), tuple(host for host in mx.hosts if host not in matched))


def _differences(answers: Sequence[MxAnswer]) -> list[str]:
    """Say who answers otherwise than others for the same name: some change is not everywhere."""
    told = []
    for name in dict.fromkeys(answer.name for answer in answers):
        places: dict[str, list[str]] = {}
        for answer in answers:
            if answer.name == name and answer.outcome in (*_ANSWERED, "alias"):
                places.setdefault(answer.text, []).append(f"{answer.server} ({answer.address})")
        if len(places) > 1:
            each = [f"{' and '.join(where)}: {text}" for text, where in places.items()]
            told.append(f"the name servers differ on the MX of {name}: {'; '.join(each)}")
    return told
