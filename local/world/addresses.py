"""Loopback addresses and ports, shared out so that two labs side by side never meet."""

import errno
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass

# Below Linux's range of ephemeral ports: no client's socket can sit on one of these by chance.
LOCK_PORT = 20853
FIRST_PORT, LAST_PORT = 21000, 31999

_ATTEMPTS = 50
_TAKEN = frozenset({errno.EADDRINUSE, errno.EACCES})


def claim_block() -> ipaddress.IPv4Network:
    """Take a /24 of 127.0.0.0/8 for as long as this process lives.

    A socket bound to address .1 of the block on `LOCK_PORT` is the claim: the kernel gives it to
    one process only and takes it back however that process ends. Every address is free to use.
    127.0.0.0/24 and 127.0.1.0/24 are left to the machine. OSError when every block is taken.
    """
    blocks = 256 * 256
    first = secrets.randbelow(blocks)  # labs that start together try different blocks
    for step in range(blocks):
        number = (first + step) % blocks
        if number < 2:  # noqa: PLR2004 - 127.0.0.0/24 and 127.0.1.0/24
            continue
        block = ipaddress.IPv4Network((0x7F000000 + number * 256, 24))
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind((str(block[1]), LOCK_PORT))
        except OSError as error:
            guard.close()
            if error.errno not in _TAKEN:
                raise
            continue
        guard.detach()  # no object owns it any more, so nothing closes it before the process ends
        return block
    raise OSError(errno.EADDRINUSE, "every /24 of 127.0.0.0/8 is claimed by another process")


@dataclass(frozen=True)
class Sockets:
    """The two bound sockets of one server; the TCP one does not listen yet."""

    address: str
    port: int
    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        """Give the address back. Closing twice is fine."""
        self.udp.close()
        self.tcp.close()


def bind(addresses: Sequence[str], port: int = 0) -> list[Sockets]:
    """Bind UDP and TCP at every address, all on one port, in the order given.

    Port 0 picks one that is free everywhere and picks again when another process was faster.
    OSError when a fixed port is taken (EADDRINUSE) or not allowed (EACCES); nothing stays bound.
    """
    if port:
        return _bind_all(addresses, port)
    for _ in range(_ATTEMPTS):
        candidate = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        try:
            return _bind_all(addresses, candidate)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port is free for UDP and TCP on all of {addresses}")


def _bind_all(addresses: Sequence[str], port: int) -> list[Sockets]:
    bound: list[Sockets] = []
    try:
        for address in addresses:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            bound.append(Sockets(address, port, udp, tcp))
            # A lab started again on a fixed port must not wait for old connections to be forgotten.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for one in (udp, tcp):
                one.setblocking(False)  # noqa: FBT003 - its only argument
                one.bind((address, port))
    except OSError as error:
        for sockets in bound:
            sockets.close()
        reason = f"{error.strerror}: {bound[-1].address} port {port}" if bound else error.strerror
        raise OSError(error.errno, reason) from error
    return bound
