"""Calls the API of a lab as its callers do: signed (SigV4), with a token, or with nothing of either."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.emulator import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from local.lab import Lab

ADMINISTRATOR = Credentials(ACCESS_KEY, SECRET_KEY)
_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Api:
    """A caller of a lab's API; ``credentials`` None: it signs nothing."""

    def __init__(self, lab: "Lab", credentials: Credentials | None = ADMINISTRATOR) -> None:
        host = lab.stack_outputs["ApiUrl"].removeprefix("https://").partition(".")[0]
        # On AWS the address names the API by its host, here by its path.
        self.url = f"{lab.endpoint_url}/restapis/{host}/v1/_user_request_"
        self._credentials = credentials
        self._http = urllib3.PoolManager(retries=False, timeout=_SECONDS)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; ``body`` is JSON to be written, or bytes to be sent as they are."""
        data = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        if self._credentials is not None:
            request = AWSRequest(method, f"{self.url}{path}", data=data, headers=sent)
            SigV4Auth(self._credentials, "execute-api", REGION).add_auth(request)
            sent = dict(request.headers.items())
        got = self._http.request(method, f"{self.url}{path}", body=data, headers=sent)
        headers_got = {name.lower(): value for name, value in got.headers.items()}
        return Answer(got.status, headers_got, got.data)


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
