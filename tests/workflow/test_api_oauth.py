"""The API for clients without AWS credentials: tokens of the stack's own user pool, and their scopes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from local.api import Answer, Api
from local.lab import Lab


@pytest.fixture(scope="module")
def oauth_lab() -> Iterator[Lab]:
    with Lab(parameters={"ApiAuthorisation": "OAUTH", "ApiRequestsPerSecond": "5"}) as running:
        yield running


def token(lab: Lab, client: str) -> str:
    """Fetch a client's token as it does: by its id and secret (RFC 6749 section 4.4)."""
    pools = lab.client("cognito-idp")
    [pool] = pools.list_user_pools(MaxResults=10)["UserPools"]
    listed = pools.list_user_pool_clients(UserPoolId=pool["Id"])["UserPoolClients"]
    [found] = [one["ClientId"] for one in listed if one["ClientName"] == client]
    known = pools.describe_user_pool_client(UserPoolId=pool["Id"], ClientId=found)["UserPoolClient"]
    basic = base64.b64encode(f"{known['ClientId']}:{known['ClientSecret']}".encode()).decode()
    got = urllib3.PoolManager(retries=False, timeout=10).request(
        "POST",
        f"{lab.endpoint_url}/oauth2/token",
        body="grant_type=client_credentials",
        headers={
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    assert got.status == 200, got.data
    return str(json.loads(got.data)["access_token"])


def call(lab: Lab, bearer: str, method: str, path: str, body: Any = None) -> Answer:
    return Api(lab, None).call(method, path, body, {"Authorization": f"Bearer {bearer}"})


def test_scopes_say_who_may_look_and_who_may_change(oauth_lab: Lab) -> None:
    path = "/domains/scopes.example/runs"
    look, plan = {"method": "check"}, {"method": "none-policy", "dry_run": True}
    change = {"method": "none-policy"}
    looker, changer = token(oauth_lab, "check"), token(oauth_lab, "change")
    for bearer in (looker, changer):
        assert call(oauth_lab, bearer, "GET", "/domains").status == 200
        assert call(oauth_lab, bearer, "POST", path, look).status == 202
        planned = call(oauth_lab, bearer, "POST", path, plan)
        assert (planned.status, planned.json["error"]) == (409, "ZoneNotFoundError")
    refused = call(oauth_lab, looker, "POST", path, change)
    assert (refused.status, refused.json["type"]) == (403, "urn:mta-sts-off:problem:scope")
    started = call(oauth_lab, changer, "POST", path, change)
    assert started.status == 202
    shown = call(oauth_lab, looker, "GET", f"{path}/{started.json['run']}")
    assert shown.json["requested_by"], "the client's id, where the request names nobody"


def test_neither_a_signature_nor_a_forged_token_is_let_in(oauth_lab: Lab) -> None:
    assert Api(oauth_lab).call("GET", "/domains").status == 401
    assert Api(oauth_lab, None).call("GET", "/domains").status == 401
    header, claims, _ = token(oauth_lab, "check").split(".")
    more = json.loads(base64.urlsafe_b64decode(claims + "=="))
    more["scope"] = "mta-sts-off/change"
    forged = base64.urlsafe_b64encode(json.dumps(more).encode()).decode().rstrip("=")
    for bearer in (f"{header}.{forged}.{'A' * 342}", "none", ""):
        assert call(oauth_lab, bearer, "GET", "/domains").status == 401


def test_too_many_requests_at_once_are_told_so(oauth_lab: Lab) -> None:
    """The lab lets more through than the stack does as it ships, so this one goes back to that."""
    bearer = token(oauth_lab, "check")
    statuses = [call(oauth_lab, bearer, "GET", "/nothing").status for _ in range(30)]
    assert 429 in statuses
    assert statuses[0] == 404
