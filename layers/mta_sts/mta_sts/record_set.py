"""A record set as a plan swaps it; by itself, since every plan that is read holds some."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RecordSet:
    """A plain record set; a TXT set's values in Route 53's own spelling (quoted strings), TTL in seconds.

    A CNAME has one value: its target as Route 53 lists it.
    """

    name: str
    ttl: int
    values: tuple[str, ...]
    type: Literal["TXT", "CNAME"] = "TXT"

    def same_as(self, other: "RecordSet | None") -> bool:
        """Compare as Route 53 does: order means nothing, nor does the blank between two strings."""
        return (
            other is not None
            and (self.name, self.type, self.ttl) == (other.name, other.type, other.ttl)
            and _comparable(self.values) == _comparable(other.values)
        )

    def __str__(self) -> str:
        return f"{self.name} {self.type}, TTL {self.ttl}: {', '.join(self.values)}"


def _comparable(values: tuple[str, ...]) -> list[str]:
    return sorted(value.replace('" "', '""') for value in values)
