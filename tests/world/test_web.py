"""The policy hosts of the simulated world, judged by a plain urllib3."""

import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import urllib3
from botocore.response import StreamingBody
from botocore.stub import Stubber

from local.world import web as web_module
from local.world.ca import CertificateAuthority, CertificateFault
from local.world.web import AccessDenied, PolicyHosts, S3Objects, StoredObject
from tests.world.fake_objects import FakeObjects
from tests.world.web_world import (
    BUCKET,
    DOMAIN,
    FIRST,
    KEY,
    OTHER,
    PATH,
    SECOND,
    SIXTH,
    World,
    open_world,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REFUSED = (urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: CertificateAuthority) -> Iterator[World]:
    with open_world(authority) as made:
        yield made


# Content.


@pytest.mark.parametrize("address", [FIRST, SECOND, SIXTH])
def test_every_address_serves_the_object_with_its_headers(world: World, address: str) -> None:
    world.objects.put(
        BUCKET, KEY, "text", content_type="text/plain; charset=us-ascii", cache_control="no-store"
    )
    answer = world.get(address)
    assert (answer.status, answer.data) == (200, b"text")
    assert answer.headers["Content-Type"] == "text/plain; charset=us-ascii"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Cache" not in answer.headers


def test_without_cdn_a_write_shows_at_once(world: World) -> None:
    assert world.body() == "old"
    world.put("new")
    assert world.body() == "new"


def test_a_missing_object_is_404_and_a_denied_one_403(world: World) -> None:
    world.objects.deny(BUCKET, KEY)
    assert world.get().status == 403
    world.objects.delete(BUCKET, KEY)
    assert world.get().status == 404


def test_only_the_policy_path_is_served(world: World) -> None:
    assert world.get(path="/mta-sts.txt").status == 404


def test_each_policy_host_has_content_and_certificate_of_its_own(world: World) -> None:
    world.put("other", bucket="elsewhere")
    world.hosts.serve(OTHER, "elsewhere", KEY)
    assert (world.body(), world.body(domain=OTHER)) == ("old", "other")


def test_an_unknown_policy_host_gets_no_certificate(world: World) -> None:
    with pytest.raises(REFUSED):
        world.get(domain=OTHER)


def test_host_must_be_the_name_in_sni(world: World) -> None:
    world.hosts.serve(OTHER, BUCKET, KEY)
    assert world.get(host=f"mta-sts.{OTHER}").status == 421


def test_the_log_tells_who_asked_what_where(world: World) -> None:
    world.get(SECOND)
    world.get(SIXTH, path="/?x=1")
    first, second = world.hosts.requests(DOMAIN)
    name = f"mta-sts.{DOMAIN}"
    assert (first.address, first.path, first.sni, first.status) == (SECOND, PATH, name, 200)
    assert (second.address, second.path, second.status) == (SIXTH, "/", 404)
    assert first.at == world.clock.now
    assert world.hosts.requests(OTHER) == []


# Ports and connections.


def test_a_taken_port_is_an_error_and_leaves_nothing_bound(
    world: World, authority: CertificateAuthority
) -> None:
    free = "127.0.0.3"
    hosts = PolicyHosts([free, FIRST], world.hosts.port, authority=authority, objects=FakeObjects())
    with pytest.raises(OSError, match="in use"):
        hosts.start()
    with socket.socket() as probe:
        probe.bind((free, world.hosts.port))


def test_port_0_picks_again_when_the_port_is_taken_on_a_later_address(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[socket.socket] = []

    class Rival(web_module._Server):
        def __init__(self, world: PolicyHosts, address: str, port: int) -> None:
            super().__init__(world, address, port)
            if not taken:  # another process takes the same port on the second address
                taken.append(socket.socket())
                taken[0].bind((SECOND, self.server_address[1]))

    monkeypatch.setattr(web_module, "_Server", Rival)
    with PolicyHosts([FIRST, SECOND], 0, authority=authority, objects=FakeObjects()) as hosts:
        assert hosts.port != taken[0].getsockname()[1]
    taken[0].close()


def test_a_silent_client_holds_up_nobody(world: World) -> None:
    with socket.create_connection((FIRST, world.hosts.port)):
        assert world.body(FIRST) == "old"


# Faults.


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("expired", "certificate has expired"),
        ("name", "doesn't match"),
        ("issuer", "unable to get local issuer"),
    ],
)
def test_a_verifying_client_rejects_a_broken_certificate(
    world: World, kind: CertificateFault, complaint: str
) -> None:
    world.put("other", bucket="elsewhere")
    world.hosts.serve(OTHER, "elsewhere", KEY)
    world.hosts.broken_certificate(DOMAIN, kind)
    for address in (FIRST, SECOND, SIXTH):
        with pytest.raises(urllib3.exceptions.SSLError, match=complaint):
            world.get(address)
    assert world.body(domain=OTHER) == "other"
    world.hosts.heal(DOMAIN)
    assert world.body() == "old"


def test_one_address_can_be_stale_and_it_is_not_the_first(world: World) -> None:
    world.hosts.stale(DOMAIN, SECOND)
    world.put("new")
    assert [world.body(each) for each in (FIRST, SECOND, SIXTH)] == ["new", "old", "new"]
    world.hosts.heal(DOMAIN)
    assert world.body(SECOND) == "new"


def test_a_wrong_bucket_shows_at_once_even_through_a_warm_cdn(world: World) -> None:
    world.behind_cdn(3600)
    world.put("foreign", bucket="elsewhere")
    world.body()
    world.hosts.wrong_bucket(DOMAIN, "elsewhere")
    assert world.body() == "foreign"
    world.hosts.wrong_bucket(DOMAIN, "no-such-bucket")
    assert world.get().status == 404
    world.hosts.heal(DOMAIN)
    assert world.body() == "old"


def test_a_redirect(world: World) -> None:
    world.hosts.redirect(DOMAIN, "https://www.solarmora.com/")
    answer = world.get()
    assert (answer.status, answer.headers["Location"]) == (301, "https://www.solarmora.com/")


def test_another_status_with_the_same_body(world: World) -> None:
    world.hosts.status(DOMAIN, 503)
    answer = world.get()
    assert (answer.status, answer.data) == (503, b"old")


def test_another_media_type(world: World) -> None:
    world.hosts.media_type(DOMAIN, "binary/octet-stream")
    assert world.get().headers.getlist("Content-Type") == ["binary/octet-stream"]


def test_one_address_can_be_down_for_one_policy_host(world: World) -> None:
    world.hosts.serve(OTHER, BUCKET, KEY)
    world.hosts.down(DOMAIN, SECOND)
    with pytest.raises(REFUSED):
        world.get(SECOND)
    assert world.body(FIRST) == "old"
    assert world.body(SECOND, domain=OTHER) == "old"
    world.hosts.heal(DOMAIN)
    assert world.body(SECOND) == "old"


@pytest.mark.parametrize("end", ["release", "heal"])
def test_answers_can_be_held_back_for_one_policy_host(world: World, end: str) -> None:
    bodies: list[str] = []
    world.hosts.serve(OTHER, BUCKET, KEY)
    world.hosts.hold(DOMAIN)
    asking = threading.Thread(target=lambda: bodies.append(world.body()))
    asking.start()
    assert world.body(domain=OTHER) == "old"
    asking.join(0.2)  # an answer that is not held back has come by now
    world.put("new")
    assert not bodies
    getattr(world.hosts, end)(DOMAIN)
    asking.join(5)
    assert bodies == ["new"]
    assert world.body() == "new"


@pytest.mark.parametrize("fault", ["stale", "down"])
def test_a_fault_at_an_address_that_is_not_there_is_a_mistake(world: World, fault: str) -> None:
    with pytest.raises(ValueError, match="no policy host listens at 192"):
        getattr(world.hosts, fault)(DOMAIN, "192.0.2.1")


# The store behind: S3.


def s3() -> "S3Client":
    return boto3.Session("test", "test", region_name="us-east-1").client("s3")


def test_s3_objects_keep_what_a_web_server_repeats() -> None:
    client = s3()
    answer = {
        "Body": StreamingBody(io.BytesIO(b"text"), 4),
        "ContentType": "text/plain",
        "CacheControl": "no-store",
        "ContentEncoding": "gzip",
        "ETag": '"0"',
    }
    with Stubber(client) as stub:
        stub.add_response("get_object", answer, {"Bucket": BUCKET, "Key": KEY})
        found = S3Objects(client).get(BUCKET, KEY)
    assert found == StoredObject(
        b"text", "text/plain", "no-store", {"Content-Encoding": "gzip", "ETag": '"0"'}
    )


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("NoSuchKey", None),
        ("NoSuchBucket", None),
        ("AccessDenied", AccessDenied()),
        ("InvalidObjectState", AccessDenied()),
    ],
)
def test_s3_objects_tell_missing_from_denied(code: str, found: AccessDenied | None) -> None:
    client = s3()
    with Stubber(client) as stub:
        stub.add_client_error("get_object", code)
        assert S3Objects(client).get(BUCKET, KEY) == found


def test_the_authority_is_the_file_that_clients_trust(tmp_path: Path) -> None:
    made = CertificateAuthority(tmp_path)
    assert Path(made.ca_file).parent == tmp_path
    assert "BEGIN CERTIFICATE" in Path(made.ca_file).read_text()
