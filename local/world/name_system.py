"""The DNS half of the world as one piece: name servers, resolvers and what they know."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from local.world.addresses import bind
from local.world.delegations import DELEGATION_TTL, Delegations
from local.world.hosts import Hosts
from local.world.loop import LoopThread
from local.world.name_servers import NameServers
from local.world.resolvers import Resolvers
from local.world.zones import ZoneSource


class NameSystem:
    """Name servers and resolvers on loopback addresses of their own, all on one port.

    `name_servers` gives each name of the zones' NS sets the IPv4 address of its server; names that
    share an address share the server. Every resolver also knows the IPv4-mapped form of it as the
    server's AAAA. Port 0 picks a free one. The loop and the source are the caller's to start and to
    close. OSError from the constructor if the addresses cannot be bound.
    """

    def __init__(
        self,
        loop: LoopThread,
        source: ZoneSource,
        *,
        name_servers: Mapping[str, str],
        resolvers: Sequence[str],
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        authorities = list(dict.fromkeys(name_servers.values()))
        sockets = bind([*authorities, *resolvers], port)
        self.port = sockets[0].port
        self.hosts = Hosts()
        for name, address in name_servers.items():
            self.hosts.set(name, ipv4=[address], ipv6=[f"::ffff:{address}"], ttl=DELEGATION_TTL)
        self.name_servers = NameServers(loop, source, sockets[: len(authorities)])
        self.resolvers = Resolvers(
            loop, sockets[len(authorities) :], self.hosts, Delegations(source), clock
        )

    def start(self) -> None:
        """Begin to answer."""
        self.name_servers.start()
        self.resolvers.start()

    def close(self) -> None:
        """Stop answering and give the addresses back. Closing twice is fine."""
        self.resolvers.close()
        self.name_servers.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
