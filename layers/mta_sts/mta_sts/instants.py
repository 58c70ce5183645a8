"""Moments in time as RFC 3339 text in UTC, whole seconds."""

from datetime import UTC, datetime, timedelta


def stamp(moment: datetime) -> str:
    """Write ``2026-11-24T04:05:06Z``; fractions are rounded up, so that nothing seems over too early."""
    moment = moment.astimezone(UTC)
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def instant(text: str) -> datetime:
    """Read what :func:`stamp` or Step Functions wrote; raise ValueError where it has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} does not say its offset from UTC")
    return moment.astimezone(UTC)
