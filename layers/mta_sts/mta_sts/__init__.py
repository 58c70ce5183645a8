"""Turns MTA-STS (RFC 8461) off for a mail domain: the domain's rules and its adapters."""

import gc

# A function starts often, ends soon and holds little. With Python's own threshold it would look for
# garbage a hundred times while it starts, each time among more that has come to stay.
gc.set_threshold(20_000)
