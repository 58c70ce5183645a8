"""What the hosted zones hold: immutable snapshots, their history, and Route 53's way of writing."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
from dns.name import Name
from dns.rdataclass import IN
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.TXT import TXT

HISTORY_SECONDS = 3600.0  # how far back a name server can lag

# A backslash before three octal digits, or before a character that stands for itself.
_ESCAPE = re.compile(r"\\(?:([0-7]{3})|(.))", re.DOTALL)
_OCTAL = re.compile(r"\\([0-7]{3})")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*', re.DOTALL)


@dataclass(frozen=True)
class RecordSet:
    """One record set as Route 53 lists it: escaped name, type, TTL in seconds, written values."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Zone:
    """One zone as it was at one moment; zones are equal when their listings are.

    `names` are all names that exist in it, empty non-terminals included (RFC 4592 section 2.2.2).
    A zone that could not be read has an `error`; its servers answer SERVFAIL, as they do where the
    file of a zone is broken.
    """

    origin: Name
    listing: tuple[RecordSet, ...]
    sets: Mapping[Name, Mapping[RdataType, Rdataset]] = field(compare=False)
    names: frozenset[Name] = field(compare=False)
    error: str = ""

    @property
    def name_servers(self) -> tuple[Name, ...]:
        """The names in the NS set of the apex, in the order of the set."""
        found = self.sets.get(self.origin, {}).get(RdataType.NS, ())
        return tuple(rdata.target for rdata in found)


@dataclass(frozen=True)
class Snapshot:
    """All zones at one moment; `seen_at` is when they were first seen so, by the source's clock."""

    zones: Mapping[Name, Zone]
    seen_at: float


class ZoneSource(Protocol):
    """Where name servers get their zones from; called from the thread of the servers' loop."""

    def latest(self) -> Snapshot:
        """Return the newest snapshot."""

    def behind(self, seconds: float) -> Snapshot:
        """Return the snapshot that was the newest one so many seconds ago."""


class History:
    """A `ZoneSource` that remembers the snapshots of the last hour. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshots = [Snapshot(MappingProxyType({}), float("-inf"))]

    def latest(self) -> Snapshot:
        """Return the newest snapshot; an empty one where nothing was seen yet."""
        with self._lock:
            return self._snapshots[-1]

    def behind(self, seconds: float) -> Snapshot:
        """Return what was the newest snapshot so many seconds ago; ValueError beyond an hour."""
        if not 0 <= seconds <= HISTORY_SECONDS:
            raise ValueError(f"{seconds} s is outside the history of {HISTORY_SECONDS:.0f} s")
        with self._lock:
            moment = self._clock() - seconds
            known = (held for held in reversed(self._snapshots) if held.seen_at <= moment)
            return next(known, self._snapshots[0])

    def add(self, zones: Mapping[Name, Zone]) -> None:
        """Take these zones for the present ones. Equal zones make no new snapshot."""
        with self._lock:
            held = self._snapshots
            if zones == held[-1].zones:
                return
            now = self._clock()
            held.append(Snapshot(MappingProxyType(dict(zones)), now))
            # The newest one beyond the horizon stays: it was in force at the horizon.
            while held[1].seen_at <= now - HISTORY_SECONDS:
                del held[0]


def make_zone(origin: str, listing: Iterable[RecordSet]) -> Zone:
    """Build a zone from its listing.

    Of several sets with the same name and type (weighted, latency, …) the first one counts.
    What Route 53 itself would have refused makes the whole zone unreadable: see `Zone.error`.
    """
    apex, listed = parse_name(origin), tuple(listing)
    sets: dict[Name, dict[RdataType, Rdataset]] = {}
    try:
        for record_set in listed:
            rdataset = _parse_values(record_set)
            sets.setdefault(parse_name(record_set.name), {}).setdefault(rdataset.rdtype, rdataset)
        names = _existing_names(apex, sets)
    except ValueError as error:
        nothing: Mapping[Name, Mapping[RdataType, Rdataset]] = MappingProxyType({})
        return Zone(apex, listed, nothing, frozenset({apex}), str(error))
    frozen = {owner: MappingProxyType(types) for owner, types in sets.items()}
    return Zone(apex, listed, MappingProxyType(frozen), names)


def parse_name(text: str) -> Name:
    r"""Read a name as Route 53 writes it: a final dot or none, `\052` (octal) for `*`."""
    stripped = text.removesuffix(".")
    labels = [_unescape(label) for label in stripped.split(".")] if stripped else []
    try:
        return Name([*labels, b""])
    except dns.exception.DNSException as error:
        raise ValueError(f"not a name: {text!r}") from error


def parse_text(value: str) -> tuple[bytes, ...]:
    r"""Split a TXT value into its strings: `"one" "two"` or `"one""two"`, octal escapes, `\"`."""
    strings: list[bytes] = []
    position = 0
    while match := _STRING.match(value, position):
        strings.append(_unescape(match[1]))
        position = match.end()
    if not strings or position != len(value):
        raise ValueError(f"not a list of quoted strings: {value!r}")
    return tuple(strings)


def _unescape(text: str) -> bytes:
    text.encode("ascii")  # any other byte must have been written as an escape
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 8)) if found[1] else found[2], text)
    return plain.encode("latin-1")


def _parse_values(record_set: RecordSet) -> Rdataset:
    try:
        rdtype = RdataType.make(record_set.type)
        rdataset = Rdataset(IN, rdtype)
        for value in record_set.values:
            rdataset.add(_parse_value(rdtype, value), record_set.ttl)
    except (dns.exception.DNSException, ValueError) as error:
        what = f"{record_set.name} {record_set.type}"
        raise ValueError(f"{what}: {error or type(error).__name__}") from error
    return rdataset


def _parse_value(rdtype: RdataType, value: str) -> dns.rdata.Rdata:
    if rdtype == RdataType.TXT:
        return TXT(IN, rdtype, parse_text(value))
    # The same bytes in the decimal escapes of a zone file, which dnspython reads.
    decimal = _OCTAL.sub(lambda found: f"\\{int(found[1], 8):03d}", value)
    return dns.rdata.from_text(IN, rdtype, decimal, origin=dns.name.root, relativize=False)


def _existing_names(apex: Name, owners: Iterable[Name]) -> frozenset[Name]:
    existing = {apex}
    for owner in owners:
        if not owner.is_subdomain(apex):
            raise ValueError(f"{owner} lies outside the zone {apex}")
        name = owner
        while name not in existing:
            existing.add(name)
            name = name.parent()
    return frozenset(existing)
