"""Until when an older policy may be held, and by whom: what every answer is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mta_sts.drain import Drain, Exposure
from mta_sts.exposure import Confidence, Moments, Renewal, confidence, exposure, renewal
from mta_sts.instants import stamp
from mta_sts.plan import Plan


@dataclass(frozen=True)
class Bounds:
    """The arithmetic of one run, and whether senders can renew what they hold without the record.

    Where the policy host could not be seen, nothing is sure: it may serve what nobody knows of.
    """

    left: Drain
    renewal: Renewal
    confidence: Confidence
    record_gone_at: datetime
    now: datetime

    @property
    def every(self) -> datetime | None:
        """From then on no sender holds an older policy; None while one can be renewed over HTTPS."""
        if self.renewal.possible is not False:
            return None
        return self.needing

    @property
    def every_known(self) -> datetime | None:
        """The same by what is known of the history."""
        return None if self.every is None else self.needing_known

    @property
    def needing(self) -> datetime:
        """From then on no sender that needs the record holds an older policy."""
        # A bound of the past cannot come before the senders that re-read the record.
        return max(self.left.all_off_at, self.record_gone_at)

    @property
    def needing_known(self) -> datetime:
        """The same by what is known of the history."""
        return max(self.left.known_off_at, self.record_gone_at)

    @property
    def blocking(self) -> datetime | None:
        """From then on no sender refuses mail for an older policy; None as for ``every``."""
        return None if self.renewal.blocks else self.left.blocking_off_at

    @property
    def blocking_known(self) -> datetime | None:
        """The same by what is known of the history."""
        return None if self.renewal.blocks else self.left.known_blocking_off_at

    @property
    def over(self) -> bool:
        """Whether nobody holds a policy any more that could stop mail."""
        return self.blocking is not None and self.blocking <= self.now

    @property
    def alive(self) -> list[Exposure]:
        """What can stop mail and may still be held, the longest-lived first."""
        return [one for one in self.left.exposures if one.blocks and one.ends > self.now]

    def until(self, certain: datetime | None, known: datetime | None) -> str:
        """Write ``until …``, with the date by what is known where that differs."""
        return self._spelled("until", certain, known)

    def when(self, certain: datetime | None, known: datetime | None) -> str:
        """Write ``from …``, likewise."""
        return self._spelled("from", certain, known)

    def _spelled(self, word: str, certain: datetime | None, known: datetime | None) -> str:
        if certain is None or known is None:
            return f"{word} a date that nobody knows"
        if certain == known or self.confidence != "unknown":
            return f"{word} {stamp(certain)}"
        return f"{word} {stamp(known)} by what is known, {stamp(certain)} at the latest"


def compute(plan: Plan, moments: Moments, look: Mapping[str, Any], now: datetime) -> Bounds:
    """Compute the bounds of a run; ``look`` is its last check of the policy host.

    Where the record goes no sender is told of anything new, so a conforming one enforces what it holds
    until that expires (RFC 8461 section 3.1).
    """
    left = exposure(plan, moments, now)
    if plan.deletes:
        left = replace(left, conforming_off_at=max(left.conforming_off_at, left.blocking_off_at))
    renewed = renewal(plan, look)
    return Bounds(
        left,
        renewed,
        "unknown" if renewed.possible is None else confidence(plan, moments, now),
        record_gone_at=moments.record_gone_at,
        now=now,
    )
