"""Mends of the emulator: what EventBridge and its Scheduler do with what cannot be delivered."""


def mend() -> None:
    """Mend all of it."""
