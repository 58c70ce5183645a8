"""The plan as it travels through the workflow: everything a run will do.

:mod:`mta_sts.planning` makes it; later states carry it out and think no more.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from mta_sts.record_set import RecordSet

_TUPLES = (
    "steps", "warnings", "bodies", "id_changes", "new_mx", "common_mx", "common_of", "pending",
)  # fmt: skip


@dataclass(frozen=True)
class PolicyChange:
    """What becomes of the policy object.

    ``etag`` is empty where there is no object. ``write`` is false where the policy stays as it is;
    ``after`` is empty where the method leaves it alone; ``after64`` holds bytes that are no text in
    base64. ``after_mode`` is the mode that senders then find. ``remove`` takes the object away once the
    record is gone.
    ``known`` maps the SHA-256 of the present and each earlier body to a name for it; ``headers`` and
    ``tagging`` are sent again with the new body. ``published_at`` is when the present object was
    written.
    """

    bucket: str
    key: str
    distribution_id: str
    purge_paths: tuple[str, ...]
    other_cache_seconds: int
    etag: str
    version_id: str
    published_at: str
    before: str
    before_sha256: str
    before_mode: str
    before_media_type: str
    before_headers: Mapping[str, Any]
    known: Mapping[str, str]
    after: str
    after_sha256: str
    content_type: str
    headers: Mapping[str, Any]
    tagging: str
    write: bool
    after_mode: str = ""
    after64: str = ""
    remove: bool = False

    @property
    def body(self) -> bytes:
        """The bytes that are to be served."""
        return base64.b64decode(self.after64) if self.after64 else self.after.encode()


@dataclass(frozen=True)
class RecordChange:
    """What becomes of the record set; values in Route 53's spelling, ``old`` and ``new`` as senders read.

    ``before`` is None where nothing stands, ``after`` where nothing is to stay. ``new`` and ``new_id``
    are empty where the record goes; ``other_ids`` are those of several values. ``wait_seconds`` is how
    long an old answer may be kept anywhere, counted from the last name server's first correct answer.
    ``wildcards`` is where a wildcard's CNAME may lead that answers once nothing stands. ``taken_id`` is
    the id that a run of this stack took away which then ended half way.
    """

    zone_id: str
    zone: str
    name: str
    before: RecordSet | None
    after: RecordSet | None
    old: str
    new: str
    old_id: str
    new_id: str
    wait_seconds: int
    other_ids: tuple[str, ...] = ()
    wildcards: tuple[str, ...] = ()
    taken_id: str = ""

    @property
    def withdrawn(self) -> str:
        """Where the CNAME leads that is taken away, in lower case; empty: none is."""
        cname = self.before is not None and self.before.type == "CNAME" and self.write
        return self.before.values[0].rstrip(".").lower() if self.before and cname else ""

    @property
    def write(self) -> bool:
        """Whether anything has to change."""
        return self.before != self.after

    @property
    def found(self) -> str:
        """What stood there, for the ledger: the id, or the text of what has none that could be told."""
        return self.old_id or self.old or self.taken_id


@dataclass(frozen=True)
class Waits:
    """How patient a run is, in seconds.

    ``unseen_change_seconds`` is how long Route 53 may take to carry a change that cannot be asked for,
    because somebody else made it or its number was lost.
    """

    deadline_seconds: int
    first_pause_seconds: int
    unseen_change_seconds: int


@dataclass(frozen=True)
class Plan:
    """The whole plan; :meth:`to_dict` is what travels through the workflow.

    ``publishes`` says whether a policy is proven to be served before the record changes. ``host`` is
    what the policy host served when the plan was made (:func:`mta_sts.policy_check.look`), empty where
    that is proven later.
    A body in ``bodies`` lists in ``refuses`` the places in ``new_mx`` of those that its policy does not name;
    ``common_mx`` are the patterns that all policies which may still be held have in common, and
    ``common_of`` names these. ``due`` is what the sweep started the run for, None by hand; ``generation``
    is the ledger's, and ``pending`` what it has due: ``{"kind", "at"}``. ``restored`` says of a
    ``restore`` what is put back (``saved_at``, ``unmatched``: the live MX hosts that it does not name).
    ``live_mx`` says of the other methods what :func:`mta_sts.present_mx.compare` has found.
    """

    domain: str
    method: str
    publishes: bool
    dry_run: bool
    keep_mx: bool
    create_policy: bool
    new_mx: tuple[str, ...]
    common_mx: tuple[str, ...]
    common_of: tuple[str, ...]
    accept_exposure_until: str
    longest_max_age: int | None
    ids_changed_since: str
    planned_at: str
    summary: str
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    policy_host: str
    policy_url: str
    policy: PolicyChange
    record: RecordChange
    host: Mapping[str, Any]
    bodies: tuple[Mapping[str, Any], ...]
    id_changes: tuple[Mapping[str, Any], ...]
    history_known_since: str
    history_gap: str
    waits: Waits
    network: Mapping[str, Any]
    dns_role_arn: str
    drain_margin_seconds: int = 0
    remove_policy: bool = False
    restore_at: str = ""
    restore_mode: str = ""
    accept_mx_mismatch: bool = False
    due: Mapping[str, Any] | None = None
    generation: int = 0
    pending: tuple[Mapping[str, Any], ...] = ()
    restored: Mapping[str, Any] = field(default_factory=dict)
    live_mx: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def deletes(self) -> bool:
        """Whether the record goes."""
        return not self.record.new

    @property
    def leaves_on(self) -> bool:
        """Whether senders find a policy other than ``none`` afterwards."""
        return self.policy.after_mode not in {"", "none"}

    @property
    def retiring(self) -> bool:
        """Whether the record goes by itself once the drain is over."""
        kept = self.method == "change-id" and not self.leaves_on
        return self.method == "retire" or (
            kept and any(one["kind"] == "retirement" for one in self.pending)
        )

    @property
    def retires(self) -> bool:
        """Whether this is the second half of a retirement."""
        return self.due is not None and self.due["kind"] == "retirement"

    def to_dict(self) -> dict[str, Any]:
        """Give the plain JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` wrote."""
        record, policy = dict(data["record"]), dict(data["policy"])
        for name in ("before", "after"):
            if record[name]:
                record[name] = RecordSet(**record[name] | {"values": tuple(record[name]["values"])})
        for name in ("other_ids", "wildcards"):
            record[name] = tuple(record[name])
        policy["purge_paths"] = tuple(policy["purge_paths"])
        tuples = {name: tuple(data[name]) for name in _TUPLES}
        return cls(
            **dict(data)
            | tuples
            | {
                "policy": PolicyChange(**policy),
                "record": RecordChange(**record),
                "waits": Waits(**data["waits"]),
            }
        )
