"""What a plan is made from: the policy object, its versions, the zone and the TXT set, as found."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mta_sts.live_mx import LiveMx

FOREIGN = "the policy served "  # begins the label of a body that is no version of the object


@dataclass(frozen=True)
class Location:
    """Where a domain's policy lives; ``distribution_id`` is empty where no CloudFront is in front."""

    bucket: str
    key: str
    distribution_id: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class StoredPolicy:
    """The policy object as it is: bytes, ETag and what has to be sent again with a new body."""

    body: bytes
    etag: str
    version_id: str
    last_modified: datetime
    content_type: str
    headers: Mapping[str, Any] = field(default_factory=dict)
    tagging: str = ""

    @property
    def sha256(self) -> str:
        """The digest of the bytes, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Version:
    """One version of the object; ``body`` is None where it cannot be read.

    A delete marker has ``deleted`` set and no body.
    """

    version_id: str
    since: datetime
    body: bytes | None
    deleted: bool = False


@dataclass(frozen=True)
class History:
    """All versions, oldest first, and since when they are complete (None, with the reason: unknown)."""

    versions: tuple[Version, ...] = ()
    known_since: datetime | None = None
    gap: str = ""


@dataclass(frozen=True)
class HostedZone:
    """A public hosted zone; names have no final dot."""

    zone_id: str
    name: str
    name_servers: tuple[str, ...]


@dataclass(frozen=True)
class Wildcard:
    """What answers at the record's name once no record set stands there (RFC 4592 section 2.2.1).

    ``name`` is that of the wildcard's own set; ``values`` are the TXT values that it gives, each with
    its strings joined. ``leads_to`` is the target of a CNAME, in lower case, empty for none, and None for
    a CNAME whose target cannot be told beforehand.
    """

    name: str
    values: tuple[bytes, ...]
    leads_to: str | None = ""


@dataclass(frozen=True)
class Findings:
    """What the planning function found; ``longest_ttl`` is the longest TTL seen or remembered.

    ``wildcards`` and ``host`` (a look of :func:`mta_sts.policy_check.look`) are for methods that
    delete the record, ``live_mx`` are the MX hosts of now. ``remembered`` is the domain's item in the ledger;
    ``versioning`` the bucket's, as S3 spells it, looked up where the object is to be removed.
    """

    location: Location
    stored: StoredPolicy | None
    history: History
    zone: HostedZone
    record_sets: Sequence[Mapping[str, Any]]
    negative_ttl: int
    longest_ttl: int
    used_ids: frozenset[str]
    id_changes: tuple[Mapping[str, Any], ...]
    wildcards: tuple[Wildcard, ...] = ()
    host: Mapping[str, Any] = field(default_factory=dict)
    versioning: str = ""
    remembered: Mapping[str, Any] = field(default_factory=dict)
    live_mx: "LiveMx | None" = None


def foreign_label(row: Mapping[str, Any]) -> str:
    """Name a policy by where a look at the host saw it; no version of the object has such a name."""
    return f"{FOREIGN}at {row['address']}"
