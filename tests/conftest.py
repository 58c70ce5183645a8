"""What all tests share: no traffic off this machine, and one lab for each process of tests."""

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_socket

from local.lab import Lab

# A machine may be busy: no property is timed. With CI set the examples are always the same ones.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

UNIT_TESTS = Path(__file__).parent / "unit"


def refuse_other_machines(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to connect or send to any address that is not a loopback one."""
    if event not in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a path of this machine, or a socket that is connected already
    host = ipaddress.ip_address(str(address[0]).partition("%")[0])
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    if not (mapped or host).is_loopback:
        raise PermissionError(f"tests stay on this machine, but one connects to {address}")


# An audit hook sees what every library does, and cannot be taken away by accident.
sys.addaudithook(refuse_other_machines)


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> None:
    if request.path.is_relative_to(UNIT_TESTS):
        # Unix sockets are what an event loop wakes itself up with.
        pytest_socket.disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One lab for all tests of this process: give every test a domain of its own."""
    with Lab() as running:
        yield running
