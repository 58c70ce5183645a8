"""The policy object and its versions in S3.

Errors of S3 become ours here. Every write is a compare-and-swap by ETag.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from mta_sts.errors import (
    ConcurrentChangeError,
    PolicyNotFoundError,
    PolicyUnreadableError,
    TransientError,
)
from mta_sts.observed import History, StoredPolicy, Version
from mta_sts.policy import MAX_BODY
from mta_sts.transient import is_busy

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef

MOST_VERSIONS = 200  # different bodies read; what is older counts as unknown history
_KEPT_HEADERS = (
    "CacheControl", "ContentDisposition", "ContentLanguage", "Metadata", "ServerSideEncryption",
    "SSEKMSKeyId", "BucketKeyEnabled", "WebsiteRedirectLocation",
)  # fmt: skip
_LOST = {"PreconditionFailed", "NoSuchKey", "NoSuchVersion", "404", "412"}


class PolicyStore:
    """Reads and writes policy objects; ``bucket`` and ``key`` come from the stack's settings.

    ``sleep`` is a seam for tests.
    """

    def __init__(self, client: "S3Client", sleep: Callable[[float], None] = time.sleep) -> None:
        self._s3 = client
        self._sleep = sleep

    def read(self, bucket: str, key: str) -> StoredPolicy:
        """Read the present object.

        Raises PolicyNotFoundError, or PolicyUnreadableError for an archived, too large or
        inaccessible one; TransientError, as every reading does, where S3 is busy.
        """
        where = f"s3://{bucket}/{key}"
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key)
            body = _limited(found, where)
        except ClientError as error:
            raise _reading_failed(error, where) from error
        return StoredPolicy(
            body=body,
            etag=found["ETag"],
            version_id=found.get("VersionId", "null"),
            last_modified=found["LastModified"],
            content_type=found.get("ContentType", ""),
            headers={name: found[name] for name in _KEPT_HEADERS if found.get(name)},  # type: ignore[literal-required]
        )

    def tagging(self, bucket: str, key: str) -> str:
        """Give the object's tags in the form that PutObject takes."""
        try:
            tags = self._s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        except ClientError as error:
            raise _reading_failed(error, f"the tags of s3://{bucket}/{key}") from error
        return urlencode({tag["Key"]: tag["Value"] for tag in tags})

    def refuse_foreign_grants(self, bucket: str, key: str) -> None:
        """Raise PolicyUnreadableError where the object's ACL grants to others: a PUT would lose it."""
        where = f"s3://{bucket}/{key}"
        try:
            acl = self._s3.get_object_acl(Bucket=bucket, Key=key)
        except ClientError as error:
            raise _reading_failed(error, f"the ACL of {where}") from error
        owner = acl["Owner"].get("ID")
        others = [
            grant["Grantee"].get("URI") or grant["Grantee"].get("ID", "?")
            for grant in acl["Grants"]
            if grant["Grantee"].get("ID") != owner
        ]
        if others:
            raise PolicyUnreadableError(
                f"The ACL of {where} grants access to {', '.join(others)}, and a new version would lose"
                " those grants. Serve it by a bucket policy or a CDN, or remove the grants, and run again."
            )

    def read_version(self, bucket: str, key: str, version_id: str | None, etag: str) -> bytes:
        """Read the very object that a plan saw; raise ConcurrentChangeError where it is gone."""
        where = f"s3://{bucket}/{key}"
        version = {"VersionId": version_id} if version_id and version_id != "null" else {}
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key, IfMatch=etag, **version)  # type: ignore[arg-type]
            return _limited(found, where)
        except ClientError as error:
            if _code(error) in _LOST:
                raise ConcurrentChangeError(
                    f"{where} was changed after the plan was made: it no longer has the ETag {etag}."
                    " Nothing was written. Run again for a new plan."
                ) from error
            raise _reading_failed(error, where) from error

    def history(self, bucket: str, key: str, present: StoredPolicy | None = None) -> History:
        """List the object's versions with their bodies, oldest first.

        Bodies of equal ETag are read once, that of PRESENT not again. History counts as known only
        where versioning is on and no lifecycle rule expires old versions.
        """
        try:
            # Listed newest first, in whole seconds: only the reversed order tells equal ones apart.
            listed = list(reversed(list(self._versions(bucket, key))))
            listed.sort(key=lambda item: (item["LastModified"], item["IsLatest"]))
            gap = self._gap(bucket)
        except ClientError as error:
            raise _reading_failed(error, f"the versions of s3://{bucket}/{key}") from error
        sample: dict[str, str] = {}  # a version of each ETag
        for position, item in reversed(list(enumerate(listed))):
            if "ETag" in item and item["ETag"] not in sample:
                if len(sample) == MOST_VERSIONS:
                    gap = f"only the newest {MOST_VERSIONS} different versions were read"
                    listed = listed[position + 1 :]
                    break
                sample[item["ETag"]] = item["VersionId"]
        bodies: dict[str, bytes | None] = {present.etag: present.body} if present else {}
        unread = [etag for etag in sample if etag not in bodies]
        with ThreadPoolExecutor(8) as pool:
            read = pool.map(lambda etag: self._body(bucket, key, sample[etag], etag), unread)
            bodies |= zip(unread, read, strict=True)
        versions = tuple(
            Version(
                version_id=item["VersionId"],
                since=item["LastModified"],
                body=bodies.get(item.get("ETag", "")),
                deleted="ETag" not in item,
            )
            for item in listed
        )
        # A "null" version was written while the bucket kept none: what it replaced is not known.
        versions = _merged(versions)
        nulls = [v.since for v in versions[1:] if v.version_id == "null"]
        if nulls and not gap:
            gap = "the bucket kept no versions for a while"
        known_since = versions[0].since if versions and not gap else None
        known_since = max(nulls) if nulls else known_since
        return History(versions, known_since, gap)

    def write(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        etag: str | None,
        content_type: str,
        headers: Mapping[str, Any],
        tagging: str,
    ) -> StoredPolicy:
        """Replace the object that has ``etag`` (None: there is none) by ``body``.

        What already is as wanted is success, whoever wrote it. Raises ConcurrentChangeError where
        the race was lost; nothing was overwritten then.
        """
        guard = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        put: dict[str, Any] = {**headers, **guard, "ContentType": content_type, "Tagging": tagging}
        where = f"s3://{bucket}/{key}"
        for pause in (0.2, 1.0, None):
            current = self._present(bucket, key)
            if current and current.body == body and current.content_type == content_type:
                return current
            try:
                self._s3.put_object(Bucket=bucket, Key=key, Body=body, **put)
                return self.read(bucket, key)
            except ClientError as error:
                if _code(error) in {"AccessDenied", "403"}:
                    raise PolicyUnreadableError(
                        f"S3 does not let this stack write {where}: {error}. Nothing was written. Check"
                        " the bucket's policy and the stack's PolicyBucket and PolicyKey."
                    ) from error
                # 412 or gone: the race is lost, unless the winner wrote the very same bytes. 409:
                # somebody is writing this very moment. Looking again answers each of them.
                if _code(error) not in _LOST | {"ConditionalRequestConflict", "409"}:
                    raise
                if pause is None:
                    found = f"its ETag was {current.etag}" if current else "it is gone"
                    raise ConcurrentChangeError(
                        f"{where} was changed after the plan was made: {found}, expected"
                        f" {etag or 'no object'}. Nothing was overwritten. Find out who writes it, then run"
                        " again."
                    ) from error
                self._sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def remove(self, bucket: str, key: str, *, etag: str) -> str:
        """Put a delete marker over the object that has ``etag``; return the marker's version id.

        What is gone already is success, with an empty id. Raises ConcurrentChangeError where another
        object stands there; nothing was removed then.
        """
        present = self._present(bucket, key)
        if present is None:
            return ""
        if not etag:
            raise ConcurrentChangeError(
                f"s3://{bucket}/{key} was written after the plan was made, which found no object there. It"
                " was not removed. Find out who writes it, then remove it by hand."
            )
        try:
            removed = self._s3.delete_object(Bucket=bucket, Key=key, IfMatch=etag)
        except ClientError as error:
            if _code(error) in {"NoSuchKey", "404"}:
                return ""
            if _code(error) in _LOST | {"ConditionalRequestConflict", "409"}:
                raise ConcurrentChangeError(
                    f"s3://{bucket}/{key} was changed after the plan was made: it no longer has the ETag"
                    f" {etag}. It was not removed. Find out who writes it, then remove it by hand."
                ) from error
            raise
        return removed.get("VersionId", "")

    def _present(self, bucket: str, key: str) -> StoredPolicy | None:
        try:
            return self.read(bucket, key)
        except PolicyNotFoundError:
            return None

    def _versions(self, bucket: str, key: str) -> Iterator[dict[str, Any]]:
        # No paginator: to load the first one takes longer than three of these questions.
        start: dict[str, Any] = {}
        while True:
            page = self._s3.list_object_versions(Bucket=bucket, Prefix=key, **start)
            for item in [*page.get("DeleteMarkers", []), *page.get("Versions", [])]:
                if item["Key"] == key:
                    yield dict(item)
            if not page.get("IsTruncated"):
                return
            start = {"KeyMarker": page["NextKeyMarker"]}
            if page.get("NextVersionIdMarker"):
                start["VersionIdMarker"] = page["NextVersionIdMarker"]

    def _body(self, bucket: str, key: str, version_id: str, etag: str) -> bytes | None:
        """Read one version; None where it cannot be read, which counts as the longest-lived policy.

        "null" is a version as well: without an id S3 gives the present one, whichever that is. It alone
        can be replaced under its id, hence the ETag.
        """
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key, VersionId=version_id, IfMatch=etag)
            return _limited(found, f"s3://{bucket}/{key}")
        except PolicyUnreadableError:
            return None
        except ClientError as error:
            if is_busy(error):
                raise
            return None

    def versioning(self, bucket: str) -> str:
        """Give a bucket's versioning: ``Enabled``, ``Suspended``, or empty where it never was on."""
        return str(self._s3.get_bucket_versioning(Bucket=bucket).get("Status", ""))

    def _gap(self, bucket: str) -> str:
        """Say why the history is not complete; empty where it is."""
        if self.versioning(bucket) != "Enabled":
            return "the bucket keeps no versions"
        try:
            rules = self._s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        except ClientError as error:
            if _code(error) == "NoSuchLifecycleConfiguration":
                return ""
            raise
        expiring = [
            rule.get("ID", "?")
            for rule in rules
            if rule["Status"] == "Enabled" and "NoncurrentVersionExpiration" in rule
        ]
        return f"lifecycle rule {expiring[0]} expires older versions" if expiring else ""


def _merged(versions: tuple[Version, ...]) -> tuple[Version, ...]:
    """Leave out what repeats the body before it: a job that uploads the same file every hour, say."""
    kept: list[Version] = []
    for version in versions:
        if not kept or version.body is None or version.body != kept[-1].body:
            kept.append(version)
    return tuple(kept)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _limited(found: "GetObjectOutputTypeDef", where: str) -> bytes:
    """Read at most 64 KiB, the most that senders should accept (RFC 8461 section 3.3)."""
    body = found["Body"].read(MAX_BODY + 1)
    found["Body"].close()
    if len(body) > MAX_BODY:
        raise PolicyUnreadableError(
            f"{where} is larger than {MAX_BODY} bytes, the most that senders read (RFC 8461 section 3.3)."
            " It is no policy. Put the real policy there, or correct PolicyBucket and PolicyKey."
        )
    return body


def _reading_failed(error: ClientError, where: str) -> Exception:
    if is_busy(error):
        return TransientError(f"S3 was busy when asked for {where}: {error}")
    code = _code(error)
    if code == "NoSuchBucket":
        return PolicyNotFoundError(
            f"There is no bucket for {where}. Nothing was written. Correct the stack's PolicyBucket, or name"
            " the domain's own bucket in PolicyLocationsParameter."
        )
    if code in {"NoSuchKey", "404"}:
        return PolicyNotFoundError(
            f"There is no policy object: {where} ({code}). Nothing was written. If this is where the"
            " policy host reads it, run with create_policy: true, which writes the none policy there;"
            " otherwise correct PolicyBucket and PolicyKey."
        )
    if code == "InvalidObjectState":
        return PolicyUnreadableError(
            f"{where} was moved to an archive class and cannot be read. Restore it first, and let no"
            " lifecycle rule archive policies."
        )
    return PolicyUnreadableError(
        f"S3 does not let this stack read {where}: {error}. Nothing was written. Check the bucket's"
        " policy, its KMS key and the stack's PolicyBucket, PolicyKey and PolicyKmsKeyArn."
    )
