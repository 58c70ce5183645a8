"""Which certificates and TLS versions are accepted, against real TLS servers on loopback."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from mta_sts.adapters import https
from mta_sts.adapters.https import fetch
from tests.adapters import https_servers
from tests.adapters.https_servers import (
    GUARD_SECONDS,
    HOST,
    Servers,
    ask,
    forge,
    issuer_of,
    reply,
    write_pem,
)

POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Servers]:
    with https_servers.servers(tmp_path) as held:
        yield held


def refused(world: Servers, place: int = 0) -> str:
    """Give the reason why the certificate was refused."""
    fetched = ask(world, place)
    assert fetched.outcome == "certificate"
    assert (fetched.status, fetched.certificate_not_after, fetched.reached) == (None, "", True)
    return fetched.detail


def test_an_expired_certificate(world: Servers) -> None:
    server = world.serve(
        0,
        certificate=world.authority.issue_cert(
            HOST,
            not_before=datetime(2020, 1, 1, tzinfo=UTC),
            not_after=datetime(2020, 4, 25, 8, 57, tzinfo=UTC),
        ),
    )
    assert refused(world) == "expired on 2020-04-25T08:57:00Z"
    assert server.requests == []  # the second look asked for nothing


def test_a_certificate_that_is_not_valid_yet(world: Servers) -> None:
    world.serve(
        0,
        certificate=world.authority.issue_cert(
            HOST,
            not_before=datetime(2090, 1, 1, tzinfo=UTC),
            not_after=datetime(2091, 1, 1, tzinfo=UTC),
        ),
    )
    assert refused(world) == "not valid before 2090-01-01T00:00:00Z"


def test_a_certificate_below_an_expired_authority(world: Servers, tmp_path: Path) -> None:
    middle = forge(issuer_of(world.authority), authority=True, days=-1)
    leaf, key = forge(middle, HOST)
    world.serve(0, pem=write_pem(tmp_path / "chain.pem", key, leaf, middle[0]))
    assert refused(world) == "a certificate of its issuers has expired"


def test_a_certificate_for_another_host(world: Servers) -> None:
    names = [f"{letter}.solarmora.com" for letter in "abcde"]
    server = world.serve(0, certificate=world.authority.issue_cert(*names))
    detail = refused(world)
    assert detail == f"not valid for {HOST}; it names {', '.join(names[:3])} and 2 more"
    assert server.requests == []


def test_the_common_name_does_not_count(world: Servers, tmp_path: Path) -> None:
    certificate = world.authority.issue_cert("solarmora.com", common_name=HOST)
    world.serve(0, certificate=certificate)
    assert refused(world) == f"not valid for {HOST}; it names solarmora.com"
    leaf, key = forge(issuer_of(world.authority), title=HOST)
    world.serve(1, pem=write_pem(tmp_path / "leaf.pem", key, leaf))
    assert refused(world, 1) == f"not valid for {HOST}; it names no host"


def test_an_unknown_authority(world: Servers) -> None:
    world.serve(0, certificate=trustme.CA().issue_cert(HOST))
    assert refused(world).startswith("unknown issuer (")


def test_without_a_file_the_systems_store_decides(world: Servers) -> None:
    world.serve(0)
    network = replace(world.network, ca_file="")
    fetched = fetch(HOST, world.addresses[0], network, seconds=GUARD_SECONDS)
    assert (fetched.outcome, fetched.detail[:14]) == ("certificate", "unknown issuer")
    assert https._senders_context("").get_ca_certs()


def test_a_missing_authority_file_is_the_stacks_fault_and_raises(world: Servers) -> None:
    network = replace(world.network, ca_file=str(world.directory / "none.pem"))
    with pytest.raises(FileNotFoundError):
        fetch(HOST, world.addresses[0], network)


def test_a_wildcard_as_the_left_most_label(world: Servers) -> None:
    world.serve(0, reply(POLICY), certificate=world.authority.issue_cert("*.solarmora.com"))
    assert ask(world).body == POLICY


@pytest.mark.parametrize("name", ["mta-*.solarmora.com", "*.com", "mta-sts.*.com", "*"])
def test_any_other_wildcard_is_refused(world: Servers, tmp_path: Path, name: str) -> None:
    leaf, key = forge(issuer_of(world.authority), name)
    world.serve(0, pem=write_pem(tmp_path / "leaf.pem", key, leaf))
    assert refused(world) == f"not valid for {HOST}; it names {name}"


def test_tls_1_1_is_refused(world: Servers) -> None:
    server = world.serve(0, old_tls=True)
    fetched = ask(world)
    assert fetched.outcome == "no answer"
    assert fetched.detail.startswith("no TLS 1.2 or later")
    assert server.requests == []
    # The library may refuse by itself; the setting must not depend on that.
    context = https._senders_context(world.network.ca_file)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
