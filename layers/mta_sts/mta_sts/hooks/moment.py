"""When a delivery was signed: seconds or milliseconds since 1970, or ISO 8601 with an offset."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

# Jira goes on trying for about 75 minutes.
OLDEST = timedelta(hours=2)
FARTHEST_AHEAD = timedelta(minutes=5)  # clocks differ
_MILLISECONDS = 1e11  # as seconds that is the year 5138, as milliseconds 1973


def signed_at(value: Any) -> datetime | None:
    """Read a moment; None where there is none that can be read."""
    if isinstance(value, str):
        value = value.strip()
        if not (value.isascii() and value.isdigit()):
            return _iso(value)
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = value / 1000 if value >= _MILLISECONDS else value
        return datetime.fromtimestamp(seconds, UTC) if math.isfinite(seconds) else None
    except (ValueError, OverflowError, OSError):
        return None


def _iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text[:40])
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def is_fresh(moment: datetime, now: datetime) -> bool:
    """Tell whether a delivery may still be under way."""
    return -FARTHEST_AHEAD <= now - moment <= OLDEST
