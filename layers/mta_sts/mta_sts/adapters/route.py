"""Whether this machine has a route to an address, found out without sending anything."""

from __future__ import annotations

import ipaddress
import socket

_DISCARD_PORT = 9  # connect() wants a port; nothing is ever sent to it


def has_route(address: str) -> bool:
    """Tell whether packets for ADDRESS (an IPv4 or IPv6 literal) would leave this machine.

    Connecting a UDP socket makes the kernel choose a route and a source address and sends no
    packet, so a missing route shows at once instead of after a time-out. IPv4 is taken for
    granted: without it nothing could be asked at all. A Lambda function outside a VPC usually
    has no IPv6 (what cannot be asked is listed as such, never counted as agreeing).

    Raises ValueError when ADDRESS is not an address.
    """
    if ipaddress.ip_address(address).version == 4:  # noqa: PLR2004 - the version's own number
        return True
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _DISCARD_PORT))
    except OSError:
        return False
    return True
