"""What is asked over HTTPS, against real TLS servers on loopback."""

import gzip
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mta_sts.adapters import https
from mta_sts.adapters.https import fetch_all
from mta_sts.adapters.route import has_route
from mta_sts.policy_check import evaluate
from tests.adapters import https_servers
from tests.adapters.https_servers import (
    GUARD_SECONDS,
    HOST,
    Answer,
    Servers,
    after,
    ask,
    drip,
    endless,
    hang_up,
    reply,
    send,
)

POLICY = b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
STALE = b"version: STSv1\r\nmode: enforce\r\nmx: mail.solarmora.com\r\nmax_age: 604800\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Servers]:
    with https_servers.servers(tmp_path) as held:
        yield held


# --- What is asked and what is reported -----------------------------------------------------------


def test_a_policy_is_fetched_with_the_bytes_as_they_are(world: Servers) -> None:
    world.serve(0, reply(POLICY, 200, "text/plain; charset=us-ascii"))
    fetched = ask(world)
    assert fetched.outcome == "answered", fetched.detail
    assert (fetched.status, fetched.body, fetched.too_large) == (200, POLICY, False)
    assert fetched.media_type == "text/plain; charset=us-ascii"
    assert fetched.address == world.addresses[0]


def test_the_server_sees_the_policy_host_by_sni_and_host_header(world: Servers) -> None:
    server = world.serve(0)
    ask(world)
    assert server.server_names == [HOST]
    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /.well-known/mta-sts.txt HTTP/1.1"
    sent = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert sent["host"] == f"{HOST}:{world.network.https_port}"
    assert sent["accept-encoding"] == "identity"
    assert set(sent) == {"host", "accept-encoding", "user-agent", ""}


def test_the_host_header_has_no_port_when_it_is_the_usual_one(
    world: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.serve(0)
    monkeypatch.setattr(https, "_HTTPS_PORT", world.network.https_port)
    ask(world)
    assert f"\r\nHost: {HOST}\r\n".encode() in server.requests[0]


def test_what_caches_say_and_when_the_certificate_ends_are_reported(world: Servers) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    world.serve(
        0,
        reply(POLICY, 200, "text/plain", "Age: 12", "Cache-Control: no-store", "X-Cache: Hit"),
        certificate=world.authority.issue_cert(HOST, not_after=end),
    )
    fetched = ask(world)
    assert fetched.age == 12
    assert (fetched.cache_control, fetched.x_cache) == ("no-store", "Hit")
    assert fetched.certificate_not_after == end.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("age", ["", "soon", "-1", "1" * 40, "²"])
def test_an_age_that_is_no_number_of_seconds_is_none(world: Servers, age: str) -> None:
    world.serve(
        0, send(HEAD + f"Age: {age}\r\nContent-Length: 0\r\n\r\n".encode("latin-1", "replace"))
    )
    fetched = ask(world)
    assert (fetched.outcome, fetched.age) == ("answered", None)


def test_header_values_are_made_fit_for_a_terminal(world: Servers) -> None:
    world.serve(0, reply(POLICY, 302, "text/plain", "Location: \x1b[31m" + "x" * 1000))
    location = ask(world).location
    assert location.startswith("?[31mxx")
    assert len(location) == 200


@pytest.mark.parametrize("status", [304, 403, 404, 500, 503])
def test_any_status_is_an_answer(world: Servers, status: int) -> None:
    world.serve(0, reply(b"" if status == 304 else b"sorry", status))
    fetched = ask(world)
    assert (fetched.outcome, fetched.status) == ("answered", status)


def test_a_wrong_media_type_is_reported_and_a_missing_one_is_empty(world: Servers) -> None:
    world.serve(0, reply(POLICY, 200, "binary/octet-stream"))
    world.serve(1, reply(POLICY, 200, ""))
    assert ask(world, 0).media_type == "binary/octet-stream"
    assert ask(world, 1).media_type == ""


def test_a_redirect_is_reported_and_its_target_never_contacted(world: Servers) -> None:
    target = world.serve(1, reply(POLICY))
    url = f"https://{target.address}:{world.network.https_port}/.well-known/mta-sts.txt"
    source = world.serve(0, reply(b"", 301, "text/plain", f"Location: {url}"))
    fetched = ask(world)
    assert (fetched.status, fetched.location) == (301, url)
    assert (source.connections, target.connections) == (1, 0)


def test_proxies_of_the_environment_are_not_used(
    world: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = world.serve(1)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{proxy.address}:{world.network.https_port}")
    world.serve(0, reply(POLICY))
    assert ask(world).body == POLICY
    assert proxy.connections == 0


def test_cookies_are_not_sent_back(world: Servers) -> None:
    server = world.serve(0, reply(POLICY, 200, "text/plain", "Set-Cookie: a=b"))
    ask(world)
    ask(world)
    assert not any(b"cookie" in request.lower() for request in server.requests)


def test_an_encoded_body_is_left_as_it_is_and_its_encoding_told(world: Servers) -> None:
    packed = gzip.compress(POLICY)
    world.serve(0, reply(packed, 200, "text/plain", "Content-Encoding: gzip"))
    fetched = ask(world)
    assert (fetched.content_encoding, fetched.body) == ("gzip", packed)


def test_the_identity_encoding_is_none(world: Servers) -> None:
    world.serve(0, reply(POLICY, 200, "text/plain", "Content-Encoding: Identity"))
    assert ask(world).content_encoding == ""


def test_a_chunked_body_is_put_together(world: Servers) -> None:
    world.serve(
        0, send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nver\r\n4\r\nsion\r\n0\r\n\r\n")
    )
    assert ask(world).body == b"version"


# --- Limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "too_large"), [(65_535, False), (65_536, False), (65_537, True)])
def test_64_kib_are_read_and_one_byte_more_is_noticed(
    world: Servers,
    size: int,
    too_large: bool,  # noqa: FBT001 - a column of the table
) -> None:
    world.serve(0, reply(b"x" * size))
    fetched = ask(world)
    assert (len(fetched.body), fetched.too_large) == (min(size, 65_536), too_large)


def test_an_endless_body_is_cut_off(world: Servers) -> None:
    world.serve(0, endless)
    fetched = ask(world)
    assert fetched.outcome == "answered"
    assert (len(fetched.body), fetched.too_large) == (65_536, True)


@pytest.mark.parametrize(
    "answer",
    [
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(HEAD + b"\r\n", b"x"),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drip(b"", b""),
    ],
    ids=["header", "continue", "body", "chunks", "silence"],
)
def test_the_deadline_is_for_the_whole_exchange(world: Servers, answer: Answer) -> None:
    world.serve(0, answer)
    began = time.monotonic()
    fetched = ask(world, seconds=1)
    assert 1 <= time.monotonic() - began < GUARD_SECONDS / 2
    assert (fetched.outcome, fetched.detail) == ("no answer", "timed out after 1 seconds")
    assert fetched.reached


def test_the_deadline_holds_during_the_handshake_as_well(world: Servers) -> None:
    # The start of a handshake record of 16 KiB that never gets whole.
    server = world.serve(0, raw=drip(b"\x16\x03\x03\x40\x00", b"\x00"))
    fetched = ask(world, seconds=1)
    assert fetched.detail == "timed out after 1 seconds"
    assert server.connections == 1


# --- No answer ------------------------------------------------------------------------------------


def test_a_refused_connection(world: Servers) -> None:
    fetched = ask(world)
    assert (fetched.outcome, fetched.detail) == ("no answer", "connection refused")
    assert not fetched.reached


def test_one_broken_connection_is_forgiven(world: Servers) -> None:
    server = world.serve(0, hang_up, reply(POLICY))
    assert ask(world).body == POLICY
    assert server.connections == 2


def test_two_broken_connections_are_not(world: Servers) -> None:
    server = world.serve(0, hang_up, hang_up, reply(POLICY))
    fetched = ask(world)
    assert (fetched.outcome, fetched.detail) == ("no answer", "connection closed without an answer")
    assert fetched.reached
    assert server.connections == 2


def test_an_answer_is_never_asked_for_again(world: Servers) -> None:
    server = world.serve(0, reply(b"", 503, "text/plain", "Retry-After: 0"), reply(POLICY))
    assert ask(world).status == 503
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (reply(POLICY, length=1000), "the answer broke off before its end"),
        (
            send(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nx"),
            "the answer broke off before its end",
        ),
        (send(b"SSH-2.0-OpenSSH\r\n"), "the answer is not valid HTTP (BadStatusLine)"),
    ],
    ids=["short", "short chunk", "other protocol"],
)
def test_half_an_answer_is_none(world: Servers, answer: Answer, detail: str) -> None:
    world.serve(0, answer)
    fetched = ask(world)
    assert (fetched.outcome, fetched.detail) == ("no answer", detail)


def test_a_server_without_tls(world: Servers) -> None:
    def complain(plain: socket.socket, _: threading.Event) -> None:
        plain.recv(65_536)
        plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    world.serve(0, raw=complain)
    fetched = ask(world)
    port = world.network.https_port
    assert fetched.outcome == "no answer"
    assert fetched.detail.startswith(f"no TLS 1.2 or later on port {port} (")


def test_a_server_that_hangs_up_in_the_handshake(world: Servers) -> None:
    def read_and_close(plain: socket.socket, _: threading.Event) -> None:
        plain.recv(65_536)

    server = world.serve(0, raw=read_and_close)
    fetched = ask(world)
    assert fetched.detail == "connection closed during the TLS handshake"
    assert server.connections == 2


# --- Several addresses ----------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_addresses(world: Servers) -> None:
    answered = threading.Event()

    def last(tls: ssl.SSLSocket, closed: threading.Event) -> None:
        reply(b"last")(tls, closed)
        answered.set()

    world.serve(0, after(answered, reply(b"first")))  # only asking both at once gets here
    world.serve(1, last)
    found = fetch_all(HOST, world.addresses[:2], world.network, seconds=GUARD_SECONDS)
    assert [(each.address, each.body) for each in found] == [
        (world.addresses[0], b"first"),
        (world.addresses[1], b"last"),
    ]


def test_no_address_is_no_question(world: Servers) -> None:
    assert fetch_all(HOST, [], world.network) == []


def test_ipv6_is_asked_like_ipv4(world: Servers) -> None:
    server = world.serve(-1, reply(POLICY))
    assert server.address == "::1"
    assert fetch_all(HOST, ["::1"], world.network, seconds=GUARD_SECONDS)[0].body == POLICY
    assert server.server_names == [HOST]


def test_ipv6_without_a_route_is_not_asked(world: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = [world.serve(0, reply(POLICY)), world.serve(-1, reply(POLICY))]
    monkeypatch.setattr(https, "has_route", lambda address: ":" not in address)
    found = fetch_all(HOST, [each.address for each in servers], world.network)
    assert [each.outcome for each in found] == ["answered", "not asked"]
    assert (found[1].detail, found[1].reached) == ("no IPv6 route", False)
    assert servers[1].connections == 0


def test_a_stale_second_address_is_named(world: Servers) -> None:
    world.serve(0, reply(POLICY))
    world.serve(1, reply(STALE, 200, "text/plain", "Age: 300", "X-Cache: Hit from cloudfront"))
    result = evaluate(
        fetch_all(HOST, world.addresses, world.network, seconds=GUARD_SECONDS),
        [],
        accepted={hashlib.sha256(POLICY).hexdigest(): "the new policy"},
        accept_missing=False,
        host=HOST,
        now=datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC),
        region="local",
    )
    assert not result["ready"]
    assert [entry["address"] for entry in result["agreeing"]] == [world.addresses[0]]
    stale, silent = result["laggards"]
    assert stale["address"] == world.addresses[1]
    assert (stale["age"], stale["x_cache"]) == (300, "Hit from cloudfront")
    assert stale["sha256"] == hashlib.sha256(STALE).hexdigest()
    assert (silent["address"], silent["found"]) == (
        world.addresses[2],
        "no answer: connection refused",
    )
    assert result["not_asked"] == [{"address": "::1", "reason": "connection refused"}]


# --- Routes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("192.0.2.1", True),  # IPv4 is taken for granted
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1", False),  # link-local without its zone: the kernel refuses on any machine
    ],
)
def test_routes(address: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    assert has_route(address) is expected


def test_a_route_to_no_address_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        has_route(HOST)
