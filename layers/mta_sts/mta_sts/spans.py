"""Durations as people say them."""


def days(seconds: int) -> str:
    """Write ``604800 seconds (7 days)``."""
    whole = seconds // 86400
    if not whole:
        return f"{seconds} seconds"
    about = "" if seconds % 86400 == 0 else "about "
    return f"{seconds} seconds ({about}{whole} {'day' if whole == 1 else 'days'})"
