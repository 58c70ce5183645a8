"""Which errors of AWS are tried again by the workflow, and which are final; no adapter hides one."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.stub import Stubber

from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS
from mta_sts.adapters.route53 import Zones
from mta_sts.adapters.s3 import PolicyStore
from mta_sts.errors import PolicyUnreadableError, TransientError
from mta_sts.record_set import RecordSet
from mta_sts.transient import retried_by_the_workflow

URL = "https://service.example"


def refusal(code: str, status: int = 400) -> ClientError:
    """What botocore raises where a service refuses."""
    response: Any = {
        "Error": {"Code": code, "Message": "said so"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "AnyOperation")


def raised_by_a_handler(act: Callable[[], object]) -> Exception:
    """Return what leaves a handler that does this."""

    @retried_by_the_workflow
    def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        act()
        return {}

    try:
        handler({}, None)
    except Exception as caught:  # noqa: BLE001 - whatever it is
        return caught
    pytest.fail("nothing was raised")


def raising(error: Exception) -> Callable[[], object]:
    """Return what raises this error."""

    def act() -> object:
        raise error

    return act


@pytest.mark.parametrize(
    "error",
    [
        refusal("Throttling"),  # Route 53, CloudFront, STS
        refusal("ThrottlingException"),  # DynamoDB, SSM, Step Functions
        refusal("PriorRequestNotComplete"),  # Route 53
        refusal("TooManyInvalidationsInProgress"),  # CloudFront
        refusal("ProvisionedThroughputExceededException"),  # DynamoDB
        refusal("RequestLimitExceeded"),
        refusal("TransactionInProgressException"),
        refusal("TransactionConflictException"),  # DynamoDB, of a write outside the transaction
        refusal("SlowDown", 503),  # S3
        refusal("RequestTimeout"),  # S3
        refusal("InternalError", 500),  # S3
        refusal("InternalServerError", 500),  # DynamoDB
        refusal("ServiceUnavailable", 503),
        refusal("SomethingNew", 500),  # what is not known by name is known by its status
        refusal("502", 502),
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        SSLError(endpoint_url=URL, error=OSError("handshake")),
        ResponseStreamingError(error=OSError("cut off")),
    ],
    ids=str,
)
def test_aws_being_busy_or_out_of_reach_is_tried_again(error: Exception) -> None:
    caught = raised_by_a_handler(raising(error))
    assert type(caught) is TransientError
    assert caught.__cause__ is error
    assert str(error) in str(caught)  # where it persists, people read what AWS said


@pytest.mark.parametrize(
    "error",
    [
        refusal("AccessDenied", 403),
        refusal("AccessDeniedException"),
        refusal("InvalidChangeBatch"),
        refusal("NoSuchHostedZone", 404),
        refusal("NoSuchBucket", 404),
        refusal("PreconditionFailed", 412),
        refusal("ConditionalCheckFailedException"),
        refusal("ValidationException"),
        refusal("ParameterNotFound"),
        NoCredentialsError(),
        ParamValidationError(report="a name is missing"),
        PolicyUnreadableError("no policy"),
        KeyError("plan"),
    ],
    ids=str,
)
def test_what_trying_again_cannot_mend_stays_what_it_is(error: Exception) -> None:
    assert raised_by_a_handler(raising(error)) is error


def test_a_handler_that_succeeds_is_left_alone() -> None:
    @retried_by_the_workflow
    def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
        return {"seen": event}

    assert handler({"plan": 1}, None) == {"seen": {"plan": 1}}


# --- the adapters, which give other errors a new name


def stubbed(service: str) -> tuple[Any, Stubber]:
    client: Any = boto3.client(
        service,  # type: ignore[call-overload]  # either of two
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    stub = Stubber(client)
    stub.activate()
    return client, stub


READING: dict[str, tuple[str, Callable[[PolicyStore], object]]] = {
    "the object": ("get_object", lambda store: store.read("b", "k")),
    "its tags": ("get_object_tagging", lambda store: store.tagging("b", "k")),
    "its grants": ("get_object_acl", lambda store: store.refuse_foreign_grants("b", "k")),
    "the planned version": ("get_object", lambda store: store.read_version("b", "k", "v1", "e")),
    "the versions": ("list_object_versions", lambda store: store.history("b", "k")),
    "the object before a write": (
        "get_object",
        lambda store: store.write(
            "b", "k", b"", etag="e", content_type="text/plain", headers={}, tagging=""
        ),
    ),
}


@pytest.mark.parametrize("what", READING)
@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500)])
def test_a_busy_s3_is_not_taken_for_a_forbidden_one(what: str, code: str, status: int) -> None:
    operation, act = READING[what]
    client, stub = stubbed("s3")
    stub.add_client_error(operation, code, "said so", http_status_code=status)
    store = PolicyStore(client, sleep=lambda _: None)
    caught = raised_by_a_handler(lambda: act(store))
    assert type(caught) is TransientError, caught
    assert code in str(caught)
    assert "said so" in str(caught)


def test_an_old_version_that_s3_is_too_busy_to_give_is_not_called_unreadable() -> None:
    """It would be taken for the longest-lived policy there can be, and the end be told as a year."""
    client, stub = stubbed("s3")
    version = {"Key": "k", "VersionId": "v1", "ETag": "e", "IsLatest": True}
    listed = {"Versions": [version | {"LastModified": "2026-11-24T04:05:06Z"}]}
    stub.add_response("list_object_versions", listed)
    stub.add_response("get_bucket_versioning", {"Status": "Enabled"})
    stub.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    stub.add_client_error("get_object", "SlowDown", http_status_code=503)
    with pytest.raises(ClientError, match="SlowDown"):
        PolicyStore(client).history("b", "k")


def test_a_zone_that_others_keep_changing_is_tried_again_by_the_workflow() -> None:
    client, stub = stubbed("route53")
    nothing: Any = {"ResourceRecordSets": [], "IsTruncated": False, "MaxItems": "300"}
    pauses: list[float] = []
    for _ in range(6):
        stub.add_response("list_resource_record_sets", nothing)
        stub.add_client_error("change_resource_record_sets", "PriorRequestNotComplete")
    new = RecordSet("_mta-sts.a.example", 300, ('"v=STSv1; id=1;"',))
    with pytest.raises(ClientError, match="PriorRequestNotComplete") as caught:
        Zones(client, sleep=pauses.append).swap("Z1", new.name, None, new, comment="c")
    stub.assert_no_pending_responses()
    assert type(raised_by_a_handler(raising(caught.value))) is TransientError
    # Its own patience ends well before the time that a function has.
    assert sum(pauses) < LONGEST_FUNCTION_SECONDS / 4
