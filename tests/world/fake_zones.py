"""Hosted zones without Route 53, and a clock that a test moves."""

from local.world.zones import History, RecordSet, Snapshot, make_zone, parse_name


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class FakeZones:
    """A `ZoneSource` that a test fills: changes are seen at once, as after a finished poll."""

    def __init__(self, clock: Clock, name_servers: list[str]) -> None:
        self._history = History(clock)
        self._name_servers = name_servers
        self._zones: dict[str, dict[tuple[str, str], RecordSet]] = {}

    def create(self, zone: str, *, soa_ttl: int = 900, minimum: int = 86400) -> None:
        """Create a zone as Route 53 does, with an NS and a SOA set at its apex."""
        self._zones[zone] = {}
        self.put(zone, zone, "NS", 172800, *self._name_servers)
        numbers = f"1 7200 900 1209600 {minimum}"
        self.put(zone, zone, "SOA", soa_ttl, f"{self._name_servers[0]}. admin.{zone}. {numbers}")

    def drop(self, zone: str) -> None:
        """Delete a zone."""
        del self._zones[zone]
        self._publish()

    def put(self, zone: str, name: str, rdtype: str, ttl: int, *values: str) -> None:
        """Write one record set in place of the one there."""
        self._zones[zone][name, rdtype] = RecordSet(name + ".", rdtype, ttl, values)
        self._publish()

    def delete(self, zone: str, name: str, rdtype: str) -> None:
        """Delete one record set."""
        del self._zones[zone][name, rdtype]
        self._publish()

    def latest(self) -> Snapshot:
        """Return the newest snapshot."""
        return self._history.latest()

    def behind(self, seconds: float) -> Snapshot:
        """Return what was the newest snapshot so many seconds ago."""
        return self._history.behind(seconds)

    def _publish(self) -> None:
        made = {name: make_zone(name, sets.values()) for name, sets in self._zones.items()}
        self._history.add({parse_name(name): zone for name, zone in made.items()})
