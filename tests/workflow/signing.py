"""Signs what schemathesis sends (its SCHEMATHESIS_HOOKS), as a caller with AWS credentials does."""

from typing import Any

import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from local.api import ADMINISTRATOR
from local.emulator import REGION

_SIGNED = ("content-type", "idempotency-key", "prefer")


class Signature(requests.auth.AuthBase):
    """Signs a request (SigV4) when all of it is there."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the headers of a signature."""
        sent = {name: value for name, value in request.headers.items() if name.lower() in _SIGNED}
        body = request.body.encode() if isinstance(request.body, str) else request.body
        signed = AWSRequest(request.method, request.url, data=body or b"", headers=sent)
        SigV4Auth(ADMINISTRATOR, "execute-api", REGION).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


@schemathesis.hook
def before_call(_context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Sign what is for IAM to let through; hooks have signatures of their own."""
    if not case.path.startswith("/hooks"):
        kwargs["auth"] = Signature()
