"""The policy object in S3: what is read, what is sent again, and which error each answer becomes."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from mta_sts.adapters import s3 as s3_module
from mta_sts.adapters.s3 import PolicyStore
from mta_sts.errors import (
    ConcurrentChangeError,
    MtaStsError,
    PolicyNotFoundError,
    PolicyUnreadableError,
)
from mta_sts.policy import MAX_BODY

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET, KEY = "mta-sts.solarmora.com", ".well-known/mta-sts.txt"
WHERE = f"s3://{BUCKET}/{KEY}"
OBJECT = {"Bucket": BUCKET, "Key": KEY}
OLD, NEW = b"version: STSv1\r\nmode: enforce\r\n", b"version: STSv1\r\nmode: none\r\n"
THEN = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
OWNER, STRANGER = "owner", "stranger"


@dataclass(frozen=True)
class Stubbed:
    """A store before an S3 that gives prepared answers, in order, to exactly these questions."""

    store: PolicyStore
    stub: Stubber

    def finds(self, body: bytes, etag: str = '"old"', **more: Any) -> None:
        """Let the next GetObject find these bytes."""
        found = {
            "Body": StreamingBody(io.BytesIO(body), len(body)),
            "ETag": etag,
            "VersionId": "v1",
            "LastModified": THEN,
            "ContentType": "text/plain",
        }
        self.stub.add_response("get_object", found | more, OBJECT)

    def misses(self, code: str = "NoSuchKey") -> None:
        """Let the next GetObject fail."""
        self.stub.add_client_error("get_object", code, expected_params=OBJECT)

    def takes(self, **sent: Any) -> None:
        """Let the next PutObject succeed, if it sends this."""
        self.stub.add_response("put_object", {}, _put(**sent))

    def refuses(self, code: str) -> None:
        """Let the next PutObject fail, whatever it sends."""
        self.stub.add_client_error("put_object", code)

    def write(self, etag: str | None = '"old"', **more: Any) -> Any:
        """Replace the object by NEW."""
        defaults: dict[str, Any] = {"content_type": "text/plain", "headers": {}, "tagging": ""}
        return self.store.write(BUCKET, KEY, NEW, etag=etag, **(defaults | more))


def _put(**sent: Any) -> dict[str, Any]:
    return OBJECT | {"Body": NEW, "ContentType": "text/plain", "Tagging": ""} | sent


@pytest.fixture(scope="module")
def client() -> "S3Client":
    return boto3.Session("test", "test", region_name="us-east-1").client("s3")


@pytest.fixture
def s3(client: "S3Client") -> Iterator[Stubbed]:
    with Stubber(client) as stub:
        yield Stubbed(PolicyStore(client), stub)
        stub.assert_no_pending_responses()


# Reading.


def test_what_has_to_be_sent_again_is_read(s3: Stubbed) -> None:
    kept: dict[str, Any] = {
        "CacheControl": "max-age=60",
        "Metadata": {"made-by": "hand"},
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "key",
        "BucketKeyEnabled": True,
        "WebsiteRedirectLocation": "/x",
    }
    s3.finds(OLD, **kept, ContentEncoding="gzip", AcceptRanges="bytes")
    stored = s3.store.read(BUCKET, KEY)
    assert (stored.body, stored.etag, stored.version_id) == (OLD, '"old"', "v1")
    assert (stored.last_modified, stored.content_type) == (THEN, "text/plain")
    # Not the encoding: it was that of the old bytes.
    assert stored.headers == kept


def test_an_object_of_a_bucket_without_versions_has_the_version_null(s3: Stubbed) -> None:
    found = {
        "Body": StreamingBody(io.BytesIO(OLD), len(OLD)),
        "ETag": '"old"',
        "LastModified": THEN,
    }
    s3.stub.add_response("get_object", found, OBJECT)
    stored = s3.store.read(BUCKET, KEY)
    assert (stored.version_id, stored.content_type, stored.headers) == ("null", "", {})


def test_64_kib_are_read_and_one_byte_more_is_not(s3: Stubbed) -> None:
    s3.finds(b"x" * MAX_BODY)
    assert len(s3.store.read(BUCKET, KEY).body) == MAX_BODY == 65_536
    s3.finds(b"x" * (MAX_BODY + 1))
    with pytest.raises(PolicyUnreadableError, match="larger than 65536 bytes"):
        s3.store.read(BUCKET, KEY)


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        ("NoSuchKey", PolicyNotFoundError, "create_policy: true"),
        ("NoSuchBucket", PolicyNotFoundError, "PolicyLocationsParameter"),
        ("InvalidObjectState", PolicyUnreadableError, "archive class.*Restore it first"),
        ("AccessDenied", PolicyUnreadableError, "AccessDenied.*the bucket's policy, its KMS key"),
        ("KMS.DisabledException", PolicyUnreadableError, "KMS.DisabledException"),
    ],
)
def test_each_way_not_to_be_readable(
    s3: Stubbed, code: str, error: type[MtaStsError], told: str
) -> None:
    s3.misses(code)
    with pytest.raises(error, match=told) as caught:
        s3.store.read(BUCKET, KEY)
    assert type(caught.value) is error
    assert WHERE in str(caught.value)
    assert caught.value.__cause__ is not None


def test_tags_are_given_as_a_put_takes_them(s3: Stubbed) -> None:
    tags = [{"Key": "team", "Value": "mail & dns"}, {"Key": "a=b", "Value": ""}]
    s3.stub.add_response("get_object_tagging", {"TagSet": tags}, OBJECT)
    assert s3.store.tagging(BUCKET, KEY) == "team=mail+%26+dns&a%3Db="


def _acl(*grantees: dict[str, str]) -> dict[str, Any]:
    return {
        "Owner": {"ID": OWNER},
        "Grants": [{"Grantee": grantee, "Permission": "READ"} for grantee in grantees],
    }


def test_grants_to_the_owner_alone_are_fine(s3: Stubbed) -> None:
    acl = _acl({"Type": "CanonicalUser", "ID": OWNER})
    s3.stub.add_response("get_object_acl", acl, OBJECT)
    s3.store.refuse_foreign_grants(BUCKET, KEY)


@pytest.mark.parametrize(
    "grantee",
    [
        {"Type": "CanonicalUser", "ID": STRANGER},
        {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
    ],
)
def test_grants_to_others_are_refused(s3: Stubbed, grantee: dict[str, str]) -> None:
    acl = _acl({"Type": "CanonicalUser", "ID": OWNER}, grantee)
    s3.stub.add_response("get_object_acl", acl, OBJECT)
    with pytest.raises(PolicyUnreadableError, match=grantee.get("URI") or STRANGER):
        s3.store.refuse_foreign_grants(BUCKET, KEY)


@pytest.mark.parametrize(("version", "sent"), [("v1", {"VersionId": "v1"}), ("null", {})])
def test_the_very_version_of_a_plan_is_read(
    s3: Stubbed, version: str, sent: dict[str, str]
) -> None:
    found = {"Body": StreamingBody(io.BytesIO(OLD), len(OLD)), "ETag": '"old"'}
    s3.stub.add_response("get_object", found, OBJECT | {"IfMatch": '"old"'} | sent)
    assert s3.store.read_version(BUCKET, KEY, version, '"old"') == OLD


@pytest.mark.parametrize("code", ["PreconditionFailed", "NoSuchVersion", "NoSuchKey"])
def test_a_version_that_is_gone_is_a_concurrent_change(s3: Stubbed, code: str) -> None:
    s3.stub.add_client_error("get_object", code)
    with pytest.raises(ConcurrentChangeError, match='no longer has the ETag "old"'):
        s3.store.read_version(BUCKET, KEY, "v1", '"old"')


# History.


def _version(identity: str, etag: str, second: int, key: str = KEY) -> dict[str, Any]:
    return {
        "Key": key,
        "VersionId": identity,
        "ETag": etag,
        "LastModified": THEN.replace(second=second),
        "IsLatest": False,
    }


def _lists(
    s3: Stubbed,
    versions: list[dict[str, Any]],
    *,
    markers: Any = (),
    rules: Any = (),
    after: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Let the next look find these versions, versioning on and these lifecycle rules."""
    listed = {"Versions": versions, "DeleteMarkers": list(markers), "IsTruncated": False}
    asked = {"Bucket": BUCKET, "Prefix": KEY, **after}
    s3.stub.add_response("list_object_versions", listed, asked)
    s3.stub.add_response("get_bucket_versioning", {"Status": "Enabled"}, {"Bucket": BUCKET})
    if rules:
        s3.stub.add_response("get_bucket_lifecycle_configuration", {"Rules": list(rules)})
    else:
        s3.stub.add_client_error(
            "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"
        )


def _reads(s3: Stubbed, version: str, body: bytes, etag: str) -> None:
    found = {"Body": StreamingBody(io.BytesIO(body), len(body)), "ETag": "x"}
    asked = OBJECT | {"VersionId": version, "IfMatch": etag}
    s3.stub.add_response("get_object", found, asked)


def test_history_is_oldest_first_with_its_gaps_and_equal_bodies_are_read_once(s3: Stubbed) -> None:
    marker = _version("v2", "", 2)
    del marker["ETag"]
    neighbour = _version("n1", '"other"', 0, key=KEY + ".bak")
    _lists(s3, [_version("v3", '"a"', 3), _version("v1", '"a"', 1), neighbour], markers=[marker])
    _reads(s3, "v3", OLD, '"a"')
    history = s3.store.history(BUCKET, KEY)
    found = [(each.version_id, each.body, each.deleted) for each in history.versions]
    assert found == [("v1", OLD, False), ("v2", None, True), ("v3", OLD, False)]
    assert [each.since.second for each in history.versions] == [1, 2, 3]
    assert (history.known_since, history.gap) == (THEN.replace(second=1), "")


def test_the_present_body_is_not_read_again(s3: Stubbed) -> None:
    s3.finds(NEW, etag='"b"')
    present = s3.store.read(BUCKET, KEY)
    _lists(s3, [_version("v2", '"b"', 2), _version("v1", '"a"', 1)])
    _reads(s3, "v1", OLD, '"a"')
    history = s3.store.history(BUCKET, KEY, present)
    assert [each.body for each in history.versions] == [OLD, NEW]


def test_the_version_of_before_there_were_versions_is_not_the_present_one(s3: Stubbed) -> None:
    _lists(s3, [_version("v2", '"b"', 2), _version("null", '"a"', 1)])
    _reads(s3, "v2", NEW, '"b"')
    _reads(s3, "null", OLD, '"a"')
    versions = s3.store.history(BUCKET, KEY).versions
    assert [(each.version_id, each.body) for each in versions] == [("null", OLD), ("v2", NEW)]


@pytest.mark.parametrize("marker", [{}, {"VersionIdMarker": "v2"}])
def test_a_long_history_is_listed_to_its_end(s3: Stubbed, marker: dict[str, str]) -> None:
    asked = {"Bucket": BUCKET, "Prefix": KEY}
    more = {"IsTruncated": True, "NextKeyMarker": KEY}
    more |= {f"Next{name}": value for name, value in marker.items()}
    first = {"Versions": [_version("v2", '"b"', 2)]} | more
    s3.stub.add_response("list_object_versions", first, asked)
    _lists(s3, [_version("v1", '"b"', 1)], after={"KeyMarker": KEY} | marker)
    _reads(s3, "v2", NEW, '"b"')
    history = s3.store.history(BUCKET, KEY)
    # The second repeats the first, and is one version with it.
    assert [(each.version_id, each.body) for each in history.versions] == [("v1", NEW)]


def test_a_version_that_cannot_be_read_has_no_body(s3: Stubbed) -> None:
    _lists(s3, [_version("v1", '"a"', 1)])
    s3.stub.add_client_error("get_object", "InvalidObjectState")
    (version,) = s3.store.history(BUCKET, KEY).versions
    assert (version.body, version.deleted) == (None, False)


def test_history_is_not_known_beyond_the_versions_that_were_read(
    s3: Stubbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "MOST_VERSIONS", 1)
    _lists(s3, [_version("v3", '"a"', 3), _version("v2", '"a"', 2), _version("v1", '"b"', 1)])
    _reads(s3, "v3", OLD, '"a"')
    history = s3.store.history(BUCKET, KEY)
    # The third repeats the second, and is one version with it.
    assert [each.version_id for each in history.versions] == ["v2"]
    assert (history.known_since, "newest 1" in history.gap) == (None, True)


def test_history_is_not_known_where_versions_expire(s3: Stubbed) -> None:
    expiring = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    off = {"ID": "off", "Status": "Disabled", "Filter": {}} | expiring
    other = {"ID": "other", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 9}}
    _lists(s3, [], rules=[off, other])
    assert s3.store.history(BUCKET, KEY).gap == ""
    on = {"ID": "tidy", "Status": "Enabled", "Filter": {}} | expiring
    _lists(s3, [], rules=[off, on])
    assert s3.store.history(BUCKET, KEY).gap == "lifecycle rule tidy expires older versions"


@pytest.mark.parametrize("answer", [{}, {"Status": "Suspended"}])
def test_history_is_not_known_without_versions(s3: Stubbed, answer: dict[str, str]) -> None:
    s3.stub.add_response("list_object_versions", {"IsTruncated": False})
    s3.stub.add_response("get_bucket_versioning", answer)
    history = s3.store.history(BUCKET, KEY)
    assert (history.known_since, history.gap) == (None, "the bucket keeps no versions")


# Writing, by compare-and-swap.


def test_a_write_names_the_etag_and_sends_again_what_a_put_would_lose(s3: Stubbed) -> None:
    s3.finds(OLD)
    s3.takes(IfMatch='"old"', CacheControl="no-store", Tagging="team=mail")
    s3.finds(NEW, '"new"')
    stored = s3.write(headers={"CacheControl": "no-store"}, tagging="team=mail")
    assert (stored.etag, stored.body) == ('"new"', NEW)


def test_where_there_is_no_object_none_may_have_come(s3: Stubbed) -> None:
    s3.misses()
    s3.takes(IfNoneMatch="*")
    s3.finds(NEW, '"new"')
    assert s3.write(etag=None).etag == '"new"'


def test_what_is_as_wanted_is_not_written_again(s3: Stubbed) -> None:
    s3.finds(NEW, '"theirs"')
    assert s3.write().etag == '"theirs"'


def test_the_right_bytes_under_another_media_type_are_written(s3: Stubbed) -> None:
    s3.finds(NEW, ContentType="binary/octet-stream")
    s3.takes(IfMatch='"old"')
    s3.finds(NEW, '"new"')
    assert s3.write().content_type == "text/plain"


def test_a_race_lost_to_the_same_bytes_is_won(s3: Stubbed) -> None:
    s3.finds(OLD)
    s3.refuses("PreconditionFailed")
    s3.finds(NEW, '"theirs"')
    assert s3.write().etag == '"theirs"'


def test_a_race_lost_to_other_bytes_says_what_was_found(s3: Stubbed) -> None:
    for _ in range(3):
        s3.finds(b"theirs", '"theirs"')
        s3.refuses("PreconditionFailed")
    with pytest.raises(ConcurrentChangeError, match="Nothing was overwritten") as caught:
        s3.write()
    assert f'{WHERE} was changed after the plan was made: its ETag was "theirs"' in str(
        caught.value
    )
    assert 'expected "old"' in str(caught.value)


def test_an_object_that_is_gone_is_a_lost_race(s3: Stubbed) -> None:
    for _ in range(3):
        s3.misses()
        s3.refuses("NoSuchKey")
    with pytest.raises(ConcurrentChangeError, match='it is gone, expected "old"'):
        s3.write()


def test_somebody_who_writes_this_very_moment_is_waited_for(s3: Stubbed) -> None:
    s3.finds(OLD)
    s3.refuses("ConditionalRequestConflict")
    s3.finds(OLD)
    s3.takes(IfMatch='"old"')
    s3.finds(NEW, '"new"')
    assert s3.write().etag == '"new"'


def test_a_write_that_is_not_allowed(s3: Stubbed) -> None:
    s3.finds(OLD)
    s3.refuses("AccessDenied")
    with pytest.raises(PolicyUnreadableError, match=f"does not let this stack write {WHERE}"):
        s3.write()


def test_an_error_that_is_nobodys_fault_stays_what_it_is(s3: Stubbed) -> None:
    """It is no answer about the object, and must not read like one."""
    s3.finds(OLD)
    s3.refuses("InternalError")
    with pytest.raises(ClientError, match="InternalError"):
        s3.write()
