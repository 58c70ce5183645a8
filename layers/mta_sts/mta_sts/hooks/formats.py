"""What the systems' own deliveries hold, where nothing else is configured."""

from collections.abc import Mapping
from dataclasses import dataclass

# All that a hook may set. Never what a caller vouches for, accepts or attests, nor what widens the work.
FIELDS = (
    "domain", "method", "dry_run", "keep_mx", "publish_none", "new_mx", "restore_at", "approved_plan",
    "ticket", "ticket_id", "requested_by", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """JMESPath expressions for a run's fields, and for the moment at which a delivery was signed."""

    fields: Mapping[str, str]
    moment: str


_PLAIN = {field: field for field in FIELDS}
FORMATS = {
    # A webhook of Jira on an issue: where domain and method stand differs from site to site.
    "jira": Format(
        {
            "ticket": "issue.key",
            "ticket_id": "issue.key",
            "requested_by": "user.displayName",
            "reason": "issue.fields.summary",
        },
        "timestamp",
    ),
    # What the business rule of docs/ticketing.md sends on a change request.
    "servicenow": Format(
        {
            **_PLAIN,
            "ticket": "number",
            "ticket_id": "sys_id",
            "reason": "short_description",
        },
        "sent_at",
    ),
    "plain": Format(_PLAIN, "sent_at"),
}
