"""How long some sender may still hold a policy that was turned off.

Over every body b that was served with a mode other than ``none``:

- M(b): its max_age; where that cannot be read, 31,557,600 s (RFC 8461 section 3.2).
- P(b): the last moment at which a cache may hand b out.
- I(b): the last moment at which an id can be read under which a sender may have stored b. The id
  tells senders whether the policy has changed (RFC 8461 section 3.1); one that finds its stored id
  again may renew b without fetching, so b lives on until that id is gone from every resolver.
- the strict bound: the latest ``max(P, I) + M``. The RFC bound, from the times of fetching alone:
  the latest ``P + M``.

Worked example. A domain has served one body, ``enforce`` with a max_age of 604,800 s, since
2026-01-10. This run writes ``none`` at 2026-11-24 04:00:00, the purge of the CDN completes at
04:02:00, and Route 53 answers the new id from 04:04:00; with a TTL of 3,600 s the old one can be
read until 05:04:00 (``record_gone_at``). No earlier id change was recorded, and versions are known
from 2025-01-01, so the history is complete:

=====================  ==================================  ====================
conforming_off_at      record_gone_at                      2026-11-24 05:04:00
P                      purge completed                     2026-11-24 04:02:00
I                      record_gone_at                      2026-11-24 05:04:00
rfc_off_at             P + 604,800 s                       2026-12-01 04:02:00
all_off_at             I + 604,800 s                       2026-12-01 05:04:00
=====================  ==================================  ====================

Had the versions been known from 2026-01-10 only, an unknown body could have been in force until
then: ``all_off_at`` would be record_gone_at + 31,557,600 s = 2027-11-24 11:04:00, while
``known_off_at`` would still say 2026-12-01 05:04:00.

What somebody vouches for can take the place of that year. In the same case:

- ``longest_max_age`` of 1,209,600 s (two weeks): an unknown body lives until record_gone_at +
  1,209,600 s = 2026-12-08 05:04:00, which is ``all_off_at``.
- ids changed since 2026-02-01 00:00:00: the ids of before could be read for a week more, until
  2026-02-08 00:00:00, so that an unknown body lives until then + 31,557,600 s = 2027-02-08 06:00:00.
- both: 2026-02-08 + two weeks lies in the past, and ``all_off_at`` is 2026-12-01 05:04:00 again.

A delete marker ends a body as a version does, and serves none. A body with ``testing`` counts in
``all_off_at`` and not in ``blocking_off_at``: with a second body, ``testing`` with 2,592,000 s,
served from 2026-11-01 to 2026-11-20, ``all_off_at`` is record_gone_at + 2,592,000 s = 2026-12-24
05:04:00, since no id change came after it, and ``blocking_off_at`` still 2026-12-01 05:04:00.

Where the record is deleted and the policy left alone, senders that need the record can fetch until
record_gone_at: that is then the P of the body that is served. Senders which renew over HTTPS alone
hold it for as long as the host serves it; no arithmetic bounds that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from mta_sts.observed import FOREIGN
from mta_sts.policy import MAX_AGE_LIMIT

BodyMode = Literal["enforce", "testing", "none", "malformed", "unknown"]
_BEFORE = "before the known history"


@dataclass(frozen=True)
class Body:
    """One policy body and when the policy host served it; aware times.

    label names it for people (a version id). max_age is in seconds, None where it cannot be read. A
    mode "unknown" is that of a body which nobody can read any more.
    replaced_at is when the next version, or a delete marker, took its place; None: still served.
    purged_at is when the first invalidation begun after that had completed; None: none is known,
    and caches are waited out. renewed: some sender may renew it, whatever becomes of the record.
    """

    label: str
    mode: BodyMode
    max_age: int | None
    since: datetime
    replaced_at: datetime | None = None
    purged_at: datetime | None = None
    renewed: bool = False


@dataclass(frozen=True)
class IdChange:
    """A change of the record's id that the ledger has recorded.

    at is when it was made; gone_at the last moment at which some resolver may have answered the id
    before it (INSYNC + the longest TTL).
    """

    at: datetime
    gone_at: datetime


@dataclass(frozen=True)
class Exposure:
    """How long one body may live on: P, I, and the two bounds that follow; max_age in seconds."""

    label: str
    mode: BodyMode
    max_age: int
    cached_until: datetime
    id_until: datetime
    renewed: bool = False

    @property
    def ends(self) -> datetime:
        """The strict bound: from then on no sender holds this body."""
        return max(self.cached_until, self.id_until) + timedelta(seconds=self.max_age)

    @property
    def rfc_ends(self) -> datetime:
        """The bound for senders that count from the last fetch."""
        return self.cached_until + timedelta(seconds=self.max_age)

    @property
    def served(self) -> str:
        """When, as what or where it was served, in words that follow ``served``."""
        if self.label == _BEFORE or self.label.startswith(FOREIGN):
            return self.label.removeprefix(FOREIGN)
        return f"as version {self.label}"

    @property
    def named(self) -> str:
        """The policy in words: ``version …``, or where it was served."""
        return self.label if self.label.startswith(FOREIGN) else f"version {self.label}"

    @property
    def blocks(self) -> bool:
        """Whether this body can stop mail; testing only reports (RFC 8461 section 5)."""
        return self.mode != "testing"


@dataclass(frozen=True)
class Drain:
    """When an older policy has died out.

    conforming_off_at: from then on no conforming sender loses mail, for it reads the record again
    before it gives up (RFC 8461 section 5). all_off_at and rfc_off_at: the two bounds over every
    exposure; known_off_at: the strict one without the unknown part of the history; blocking_off_at:
    the strict one over what can stop mail, so without testing; known_blocking_off_at: over what is
    known to. Where nothing is exposed each is
    the ``now`` of the calculation; a time in the past says since when. exposures holds the longest
    first, ended ones too.
    """

    conforming_off_at: datetime
    rfc_off_at: datetime
    all_off_at: datetime
    known_off_at: datetime
    blocking_off_at: datetime
    known_blocking_off_at: datetime
    exposures: tuple[Exposure, ...]
    history_unknown: bool

    @property
    def longest(self) -> Exposure | None:
        """The exposure that all_off_at waits for."""
        return self.exposures[0] if self.exposures else None


def end_served(
    bodies: Iterable[Body], *, at: datetime, purged_at: datetime | None
) -> tuple[Body, ...]:
    """Return the bodies after a publication: what was still served was replaced at that moment.

    purged_at is when the invalidation begun after the publication had completed; None: no cache
    can be purged.
    """
    return tuple(
        body if body.replaced_at else replace(body, replaced_at=at, purged_at=purged_at)
        for body in bodies
    )


def drain(
    bodies: Sequence[Body],
    *,
    id_changes: Iterable[IdChange],
    record_gone_at: datetime,
    cache_seconds: int,
    now: datetime,
    history_known_since: datetime | None,
    longest_unknown: int = MAX_AGE_LIMIT,
    purged_after: Callable[[datetime], datetime | None] = lambda _: None,
    none_counts: bool = False,
) -> Drain:
    """Return when the bodies have died out, if the record changes so as to be gone when said.

    record_gone_at is the last moment at which the id (or the record) that this run replaces can be
    read; cache_seconds the longest time for which a cache in front of the policy host may hand out
    a replaced body; history_known_since the moment from which bodies holds all that was served,
    None where the bodies alone say it. A malformed body counts as enforced: senders that are
    lenient may have accepted it.

    Unless the history reaches back 31,557,600 s and the caching before now, a body stands for what was
    served before. Where it does, a body from before it does not count, although a sender could have
    renewed it ever since on an id that nobody changed. longest_unknown (seconds) is the max_age of that
    body, and of those with the mode "unknown": a year, unless somebody vouches for less. purged_after
    gives its purged_at from when it was replaced. none_counts asks as well how long ``none`` is held, by
    senders that are to enforce again.
    """
    changes = sorted(id_changes, key=lambda change: change.at)
    served = [body for body in bodies if none_counts or body.mode != "none"]
    start = history_known_since or min((body.since for body in bodies), default=now)
    history_unknown = start + timedelta(seconds=cache_seconds + MAX_AGE_LIMIT) > now
    if history_unknown:
        purged_at = purged_after(start)
        served.append(
            Body(_BEFORE, "unknown", None, since=start, replaced_at=start, purged_at=purged_at)
        )
    exposures = []
    for body in served:
        cached_until = _cached_until(body, cache_seconds=cache_seconds, now=now)
        unread = longest_unknown if body.mode == "unknown" else MAX_AGE_LIMIT
        exposures.append(
            Exposure(
                label=body.label,
                mode=body.mode,
                max_age=unread if body.max_age is None else body.max_age,
                cached_until=cached_until,
                id_until=_id_until(changes, cached_until, record_gone_at),
                renewed=body.renewed,
            )
        )
    known = [exposure for exposure in exposures if exposure.mode != "unknown"]
    return Drain(
        conforming_off_at=record_gone_at,
        rfc_off_at=max((exposure.rfc_ends for exposure in exposures), default=now),
        all_off_at=_latest(exposures, now),
        known_off_at=_latest(known, now),
        blocking_off_at=_latest([exposure for exposure in exposures if exposure.blocks], now),
        known_blocking_off_at=_latest([exposure for exposure in known if exposure.blocks], now),
        exposures=tuple(sorted(exposures, key=lambda exposure: exposure.ends, reverse=True)),
        history_unknown=history_unknown,
    )


def _cached_until(body: Body, *, cache_seconds: int, now: datetime) -> datetime:
    if body.replaced_at is None:
        return now
    return body.purged_at or body.replaced_at + timedelta(seconds=cache_seconds)


def _id_until(
    changes: Sequence[IdChange], cached_until: datetime, record_gone_at: datetime
) -> datetime:
    """Return I(b): when the last id is gone under which the body may have been stored.

    Those are all ids before the first change that came when no cache handed the body out any more;
    a change before that had senders fetch, and perhaps store the body under the new id. An older
    id can outlive a newer one, where the TTL was longer then: hence the latest of them.
    """
    gone = []
    for change in changes:
        gone.append(change.gone_at)
        if change.at > cached_until:
            return max(gone)
    return max([*gone, record_gone_at])


def _latest(exposures: Iterable[Exposure], now: datetime) -> datetime:
    return max((exposure.ends for exposure in exposures), default=now)
