"""AWS being busy or out of reach, told apart from errors that trying again cannot mend."""

import functools
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from mta_sts.errors import TransientError

Handler = Callable[[dict[str, Any], object], dict[str, Any]]
_BUSY = {
    "InternalError",
    "InternalServerError",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyInvalidationsInProgress",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_SERVER_ERROR = 500


def is_busy(error: ClientError) -> bool:
    """Tell whether AWS refused for being busy: an adapter that gives errors new names lets these be."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code") in _BUSY or status >= _SERVER_ERROR


def retried_by_the_workflow(handler: Handler) -> Handler:
    """Raise TransientError where AWS was busy, for the state machine's Retry; let all else through.

    Every handler is idempotent, so that trying again is safe.
    """

    @functools.wraps(handler)
    def wrapped(event: dict[str, Any], context: object) -> dict[str, Any]:
        try:
            return handler(event, context)
        except (NoConnectionError, HTTPClientError) as error:
            raise TransientError(f"AWS could not be reached: {error}") from error
        except ClientError as error:
            if is_busy(error):
                raise TransientError(f"AWS was busy: {error}") from error
            raise

    return wrapped
