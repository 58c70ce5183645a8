"""A content delivery network before a policy host, with one cache for each of its edge addresses.

It is as stale as a real one may be: a copy is kept for its whole time, whatever `Cache-Control` the
origin sent (a MinTTL above 0 overrides `no-store` in CloudFront), unless that path of that
distribution is invalidated.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types_boto3_cloudfront import CloudFrontClient

Clock = Callable[[], datetime]
HIT, MISS = "Hit from cloudfront", "Miss from cloudfront"
# CloudFront keeps errors for ten seconds unless told otherwise, never longer than the rest here.
ERROR_LIFETIME = timedelta(seconds=10)


def system_clock() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Answer:
    """What an origin, an edge or an address answers over HTTP."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *headers: tuple[str, str]) -> "Answer":
        """Return the same answer with these headers in place of any of the same name."""
        names = {name.lower() for name, _ in headers}
        kept = tuple(each for each in self.headers if each[0].lower() not in names)
        return replace(self, headers=(*kept, *headers))


@dataclass(frozen=True)
class Invalidation:
    """A completed invalidation; a path may end in `*`."""

    id: str
    paths: tuple[str, ...]

    def covers(self, path: str) -> bool:
        """Tell whether a copy kept under `path` must go."""
        return any(
            path.startswith(each[:-1]) if each.endswith("*") else path == each
            for each in self.paths
        )


class Invalidations(Protocol):
    """The completed invalidations of distributions."""

    def completed(self, distribution_id: str) -> Sequence[Invalidation]:
        """Return those that are Completed by now, those still in progress left out."""


class CloudFrontInvalidations:
    """The invalidations that CloudFront, or an emulator of it, knows."""

    def __init__(self, client: "CloudFrontClient") -> None:
        self._client = client
        # What is completed never changes, so each one is read once.
        self._known: dict[tuple[str, str], Invalidation] = {}

    def completed(self, distribution_id: str) -> Sequence[Invalidation]:
        """Return those of the distribution whose status is Completed; an unknown one has none."""
        pages = self._client.get_paginator("list_invalidations")
        try:
            return [
                self._read(distribution_id, each["Id"])
                for page in pages.paginate(DistributionId=distribution_id)
                for each in page.get("InvalidationList", {}).get("Items", [])
                if each["Status"] == "Completed"
            ]
        except self._client.exceptions.NoSuchDistribution:
            return []

    def _read(self, distribution_id: str, invalidation_id: str) -> Invalidation:
        key = (distribution_id, invalidation_id)
        if key not in self._known:
            answer = self._client.get_invalidation(
                DistributionId=distribution_id, Id=invalidation_id
            )
            paths = answer["Invalidation"]["InvalidationBatch"]["Paths"].get("Items", [])
            self._known[key] = Invalidation(invalidation_id, tuple(paths))
        return self._known[key]


@dataclass(frozen=True)
class _Copy:
    answer: Answer
    fetched_at: datetime
    expires_at: datetime


@dataclass
class Cdn:
    """A distribution: `seconds` is how long an edge keeps a copy.

    An invalidation takes effect once, at the first request that finds it completed, on every edge:
    what was fetched before is dropped, what is fetched afterwards stays.
    """

    distribution_id: str
    seconds: int
    invalidations: Invalidations
    clock: Clock = system_clock
    _copies: dict[tuple[str, str, str], _Copy] = field(default_factory=dict, init=False)
    _applied: set[str] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def answer(self, edge: str, path: str, origin: str, fetch: Callable[[], Answer]) -> Answer:
        """Return the edge's copy of `path` at `origin`, or what `fetch` brings, which is then kept.

        Adds `X-Cache`, and `Age` to a hit. One request at a time: a slow fetch must not put the old
        body back after an invalidation that has been applied meanwhile.
        """
        with self._lock:
            self._apply_invalidations()
            now = self.clock()
            copy = self._copies.get((edge, path, origin))
            if copy is not None and now < copy.expires_at:
                age = int((now - copy.fetched_at).total_seconds())
                return copy.answer.with_headers(("Age", str(age)), ("X-Cache", HIT))
            answer = fetch()
            lifetime = timedelta(seconds=self.seconds)
            if answer.status >= 400:  # noqa: PLR2004 - client and server errors, RFC 9110 section 15
                lifetime = min(lifetime, ERROR_LIFETIME)
            self._copies[edge, path, origin] = _Copy(answer, now, now + lifetime)
            return answer.with_headers(("X-Cache", MISS))

    def _apply_invalidations(self) -> None:
        for each in self.invalidations.completed(self.distribution_id):
            if each.id in self._applied:
                continue
            self._applied.add(each.id)
            for key in [key for key in self._copies if each.covers(key[1])]:
                del self._copies[key]
