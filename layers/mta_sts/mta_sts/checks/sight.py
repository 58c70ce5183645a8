"""What a check has seen of a domain: everything that it judges, and what it could not look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from mta_sts.live_mx import LiveMx, TlsaAnswer
from mta_sts.observed import History, HostedZone, Location, StoredPolicy
from mta_sts.policy_check import Fetched
from mta_sts.record_check import Answer, NotAsked

Level = Literal["alarm", "warning", "note"]
LEVELS: tuple[Level, ...] = ("alarm", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a check tells: a sentence, and in ``next`` what to do about it, if anything."""

    code: str
    level: Level
    text: str
    next: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return {
            "code": self.code,
            "level": self.level,
            "text": self.text,
            "next": self.next,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True)
class Sight:
    """All that was looked at; ``problems`` says by name (``object``, ``zone`` …) what could not be.

    ``stored`` is None where there is no object, and where there is a problem with it; ``record_sets``,
    ``others`` and ``item`` are None where they could not be read. ``look`` is one of
    :func:`mta_sts.policy_check.look`. ``others`` are the other names in the zone that begin with
    ``_mta-sts.``; ``tlsrpt`` is what resolvers say of ``_smtp._tls.<domain>``. ``item`` is the domain's in
    the ledger, empty where no run has touched it. Seconds are settings of the stack.
    """

    domain: str
    now: datetime
    region: str
    location: Location
    stored: StoredPolicy | None
    history: History
    zone: HostedZone | None
    record_sets: Sequence[Mapping[str, Any]] | None
    others: Sequence[str] | None
    answers: tuple[Answer, ...]
    not_asked: tuple[NotAsked, ...]
    fetched: tuple[Fetched, ...]
    look: Mapping[str, Any]
    mx: LiveMx
    tlsa: tuple[TlsaAnswer, ...]
    tlsrpt: tuple[Answer, ...]
    item: Mapping[str, Any] | None
    other_cache_seconds: int
    drain_margin_seconds: int
    problems: Mapping[str, str] = field(default_factory=dict)
