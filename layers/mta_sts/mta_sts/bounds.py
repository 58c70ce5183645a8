"""Until when an older policy may be held, and by whom: what every answer is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mta_sts.drain import Drain, Exposure
from mta_sts.exposure import Confidence, Moments, confidence, exposure
from mta_sts.instants import stamp
from mta_sts.plan import Plan
from mta_sts.renewal import Renewal, renewal
from mta_sts.spans import days


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
    def conforming(self) -> datetime | None:
        """From then on no conforming sender loses mail for an older policy; None as for ``every``.

        RFC 8461 section 10.2 allows renewing without the record, so who does that conforms.
        """
        return None if self.renewal.blocks else self.left.conforming_off_at

    @property
    def rfc(self) -> datetime | None:
        """The bound from the times of fetching alone; None as for ``every``."""
        return None if self.renewal.possible is not False else self.left.rfc_off_at

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
        renewed = self.renewal.possible is not False
        return [
            one
            for one in self.left.exposures
            if one.blocks and (one.ends > self.now or (one.renewed and renewed))
        ]

    def held(self, one: Exposure) -> str:
        """Say until when an exposure may last: ``which may be held until …``."""
        if one.renewed and self.renewal.possible is not False:
            return f"which may be held until {days(one.max_age)} after it is no longer served"
        return f"which may be held until {stamp(one.ends)}"

    def open_end(self, host: str) -> str:
        """Say until when what can stop mail is held where no date can be given."""
        longest = max((one.max_age for one in self.alive), default=0)
        needing = self.until(self.needing, self.needing_known)
        if self.renewal.possible is None:
            return f"{needing}, and for as long as {host} may serve a policy and its max_age after that"
        return f"until {days(longest)} after {host} has stopped serving a policy, in any case {needing}"

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
