"""The CDN of the simulated world, judged by a plain urllib3."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.stub import Stubber

from local.world.ca import CertificateAuthority
from local.world.cdn import CloudFrontInvalidations, Invalidation
from local.world.web import AccessDenied, StoredObject
from tests.world.fake_objects import FakeObjects
from tests.world.web_world import (
    BUCKET,
    DISTRIBUTION,
    DOMAIN,
    FIRST,
    KEY,
    PATH,
    SECOND,
    SIXTH,
    World,
    open_world,
)

if TYPE_CHECKING:
    from types_boto3_cloudfront import CloudFrontClient


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: CertificateAuthority) -> Iterator[World]:
    with open_world(authority) as made:
        yield made


def test_an_edge_keeps_its_copy_for_its_time_and_says_so(world: World) -> None:
    world.behind_cdn(60)
    first = world.get()
    assert first.headers["X-Cache"] == "Miss from cloudfront"
    assert "Age" not in first.headers
    world.put("new")
    world.clock.advance(59)
    second = world.get()
    assert (second.data, second.headers["Age"]) == (b"old", "59")
    assert second.headers["X-Cache"] == "Hit from cloudfront"
    world.clock.advance(1)
    assert world.body() == "new"


def test_no_store_does_not_stop_the_cdn(world: World) -> None:
    world.behind_cdn(60)
    world.objects.put(BUCKET, KEY, "old", cache_control="no-store")
    world.get()
    world.put("new")
    assert world.body() == "old"


def test_each_edge_address_has_a_cache_of_its_own(world: World) -> None:
    world.behind_cdn(60)
    world.get(SECOND)
    world.put("new")
    assert [world.body(each) for each in (FIRST, SECOND)] == ["new", "old"]


@pytest.mark.parametrize(
    ("distribution", "path", "completed"),
    [
        (DISTRIBUTION, "/other.txt", True),
        (DISTRIBUTION, "/.well-known/", True),
        (DISTRIBUTION, "/.well-known/other*", True),
        ("E2NOTMINE", PATH, True),
        (DISTRIBUTION, PATH, False),
    ],
    ids=["other path", "parent path", "other wildcard", "other distribution", "in progress"],
)
def test_the_cdn_stays_stale_until_that_path_of_that_distribution_is_purged(
    world: World, distribution: str, path: str, *, completed: bool
) -> None:
    world.behind_cdn(3600)
    world.get()
    world.put("new")
    useless = world.invalidations.create(distribution, path)
    if completed:
        world.invalidations.complete(useless)
    assert world.body() == "old"
    world.invalidations.complete(world.invalidations.create(DISTRIBUTION, "/x", PATH))
    assert world.body() == "new"


def test_an_invalidation_counts_from_its_completion(world: World) -> None:
    world.behind_cdn(3600)
    world.get()
    world.put("new")
    purge = world.invalidations.create(DISTRIBUTION, PATH)
    assert world.body() == "old"
    world.invalidations.complete(purge)
    assert world.body() == "new"


@pytest.mark.parametrize("path", ["/*", "/.well-known/*", PATH])
def test_a_purge_reaches_every_edge(world: World, path: str) -> None:
    world.behind_cdn(3600)
    for address in (FIRST, SECOND):
        world.get(address)
    world.put("new")
    world.invalidations.complete(world.invalidations.create(DISTRIBUTION, path))
    assert [world.body(each) for each in (FIRST, SECOND)] == ["new", "new"]


def test_an_invalidation_is_applied_once_and_later_copies_stay(world: World) -> None:
    world.behind_cdn(3600)
    world.get(FIRST)
    world.put("second")
    world.invalidations.complete(world.invalidations.create(DISTRIBUTION, PATH))
    assert [world.body(each) for each in (FIRST, SECOND)] == ["second", "second"]
    world.put("third")
    assert [world.body(each) for each in (FIRST, SECOND)] == ["second", "second"]


def test_an_error_is_kept_for_ten_seconds_only(world: World) -> None:
    world.behind_cdn(3600)
    world.objects.delete(BUCKET, KEY)
    assert world.get().status == 404
    world.put("new")
    world.clock.advance(9)
    assert world.get().status == 404
    world.clock.advance(1)
    assert world.body() == "new"


def test_a_stale_address_keeps_its_copy_after_a_purge(world: World) -> None:
    world.behind_cdn(3600)
    world.get(SECOND)
    world.hosts.stale(DOMAIN, SECOND)
    world.put("new")
    world.invalidations.complete(world.invalidations.create(DISTRIBUTION, PATH))
    assert [world.body(each) for each in (FIRST, SECOND)] == ["new", "old"]


def test_a_fetch_under_way_does_not_undo_a_purge(world: World) -> None:
    class SlowObjects(FakeObjects):
        def get(self, bucket: str, key: str) -> StoredObject | AccessDenied | None:
            found = super().get(bucket, key)
            if not reading.is_set():
                reading.set()
                assert finish.wait(5)
            return found

    reading, finish = threading.Event(), threading.Event()
    world.hosts._objects = world.objects = SlowObjects()
    world.put("old")
    world.behind_cdn(3600)
    slow = threading.Thread(target=world.get)
    slow.start()
    assert reading.wait(5)
    world.put("new")
    world.invalidations.complete(world.invalidations.create(DISTRIBUTION, PATH))
    quick = threading.Thread(target=world.get)
    quick.start()
    quick.join(0.2)  # a CDN that lets it pass has kept the new body by now, for `slow` to undo
    finish.set()
    slow.join(5)
    quick.join(5)
    assert world.body() == "new"


def test_every_edge_can_be_made_warm(world: World) -> None:
    world.behind_cdn(3600)
    world.hosts.warm(DOMAIN)
    assert world.hosts.requests(DOMAIN) == []
    world.put("new")
    assert [world.body(each) for each in (FIRST, SECOND, SIXTH)] == ["old"] * 3


def cloudfront() -> "CloudFrontClient":
    return boto3.Session("test", "test", region_name="us-east-1").client("cloudfront")


def _invalidation(identity: str, status: str) -> dict[str, object]:
    return {"Id": identity, "CreateTime": "2026-11-24T04:05:06Z", "Status": status}


def test_cloudfront_invalidations_are_the_completed_ones_and_read_once() -> None:
    client = cloudfront()
    listed = {
        "InvalidationList": {
            "Marker": "",
            "MaxItems": 100,
            "IsTruncated": False,
            "Quantity": 2,
            "Items": [_invalidation("I2", "InProgress"), _invalidation("I1", "Completed")],
        }
    }
    batch = {"Paths": {"Quantity": 2, "Items": ["/a", "/b*"]}, "CallerReference": "r"}
    read = {"Invalidation": _invalidation("I1", "Completed") | {"InvalidationBatch": batch}}
    expected = [Invalidation("I1", ("/a", "/b*"))]
    with Stubber(client) as stub:
        stub.add_response("list_invalidations", listed, {"DistributionId": DISTRIBUTION})
        stub.add_response("get_invalidation", read, {"DistributionId": DISTRIBUTION, "Id": "I1"})
        stub.add_response("list_invalidations", listed, {"DistributionId": DISTRIBUTION})
        invalidations = CloudFrontInvalidations(client)
        assert invalidations.completed(DISTRIBUTION) == expected
        assert invalidations.completed(DISTRIBUTION) == expected
        stub.assert_no_pending_responses()


def test_an_unknown_distribution_has_no_invalidations() -> None:
    client = cloudfront()
    with Stubber(client) as stub:
        stub.add_client_error("list_invalidations", "NoSuchDistribution")
        assert CloudFrontInvalidations(client).completed(DISTRIBUTION) == []
