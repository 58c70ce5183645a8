"""Addresses that every resolver knows: name servers, policy hosts, and whatever a test needs."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dns.rdataset
from dns.name import Name
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType

from local.world.zones import parse_name


@dataclass(frozen=True)
class Host:
    """The addresses of one name; `ttl` in seconds is also that of "no address of this family"."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    ttl: int

    def addresses(self, rdtype: RdataType) -> Rdataset | None:
        """Return the set of type A or AAAA, None where it is empty."""
        found = self.ipv4 if rdtype == RdataType.A else self.ipv6
        return dns.rdataset.from_text("IN", rdtype, self.ttl, *found) if found else None


class Hosts:
    """The table of such names. Resolvers cache what they found in it for its TTL."""

    def __init__(self) -> None:
        # Replaced as a whole, never changed in place: the resolvers read it in another thread.
        self._hosts: Mapping[Name, Host] = {}

    def set(
        self, name: str, *, ipv4: Sequence[str] = (), ipv6: Sequence[str] = (), ttl: int = 5
    ) -> None:
        """Give a name its addresses in place of earlier ones. ValueError if one is no address.

        They stand in for A and AAAA sets in Route 53, and hide them.
        """
        host = Host(
            tuple(str(ipaddress.IPv4Address(address)) for address in ipv4),
            tuple(str(ipaddress.IPv6Address(address)) for address in ipv6),
            ttl,
        )
        self._hosts = {**self._hosts, parse_name(name): host}

    def remove(self, name: str) -> None:
        """Forget a name. One that is not there is fine."""
        gone = parse_name(name)
        self._hosts = {held: host for held, host in self._hosts.items() if held != gone}

    def find(self, name: Name) -> Host | None:
        """Return the host of that name."""
        return self._hosts.get(name)

    def any_below(self, name: Name) -> bool:
        """Tell whether the name is a host or an ancestor of one."""
        return any(held.is_subdomain(name) for held in self._hosts)
