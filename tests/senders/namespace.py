"""The network of its own in which ports 53 and 443 are free, and two labs can have both.

A real sender cannot be told other ports. Where the tests of this folder run is therefore a network
namespace, made by `python -m tests.senders`: nothing in it reaches another machine, nor is it seen.
"""

import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

# The namespace that the tests were started from: a name that was left behind elsewhere does no harm.
OUTSIDE = "MTA_STS_SENDERS_OUTSIDE"

_HERE = Path("/proc/self/ns/net")
_LOOPBACK = b"lo"
_FLAGS = "16sh14x"  # struct ifreq of netdevice(7): name, flags
_GET_FLAGS, _SET_FLAGS, _DELETE_ADDRESS, _UP = 0x8913, 0x8914, 0x8936, 1


def here() -> str:
    """Name the network namespace of this process; empty where the system has none."""
    return str(_HERE.readlink()) if _HERE.is_symlink() else ""


def is_inside(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is in a network of its own, made for these tests."""
    return (environment.get(OUTSIDE) or here()) != here()


def open_loopback() -> None:
    """Bring up the loopback interface of a namespace that is new, with IPv4 only.

    ::1 goes: every lab would bind it, and here all of them use one port. No other interface is
    there. Needs no `ip`; a loopback interface that is up already stays as it is.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = fcntl.ioctl(any_socket, _GET_FLAGS, struct.pack(_FLAGS, _LOOPBACK, 0))
        flags = struct.unpack(_FLAGS, asked)[1]
        if flags & _UP:
            return
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack(_FLAGS, _LOOPBACK, flags | _UP))
    _drop_ipv6()


def _drop_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
            address = socket.inet_pton(socket.AF_INET6, "::1")
            # struct in6_ifreq of netdevice(7): address, length of the prefix, interface
            index = socket.if_nametoindex(_LOOPBACK.decode())
            fcntl.ioctl(any_socket, _DELETE_ADDRESS, struct.pack("16sIi", address, 128, index))
    except OSError:
        return  # a machine without IPv6 has nothing to drop
