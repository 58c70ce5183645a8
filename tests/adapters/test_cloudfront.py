"""Distributions: which one stands in front of a policy host, and what invalidating one asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from mta_sts.adapters.cloudfront import Cdn
from mta_sts.errors import PolicyNotServedError
from mta_sts.observed import Location
from mta_sts.survey import _with_distribution as with_distribution

HOST = "mta-sts.solarmora.com"


@dataclass(frozen=True)
class Stubbed:
    """Distributions before a CloudFront that gives prepared answers, in order."""

    cdn: Cdn
    stub: Stubber

    def lists(self, *distributions: dict[str, Any], after: str = "", more: str = "") -> None:
        """Let the next listing, which begins there, have these, and more after that marker."""
        listed = {
            "Marker": after,
            "MaxItems": 100,
            "IsTruncated": bool(more),
            "Quantity": len(distributions),
        }
        if distributions:
            listed["Items"] = list(distributions)
        if more:
            listed["NextMarker"] = more
        asked = {"Marker": after} if after else {}
        self.stub.add_response("list_distributions", {"DistributionList": _any(listed)}, asked)

    def has(self, identity: str, *aliases: str, enabled: bool = True) -> None:
        """Let the next question for a distribution find one with these aliases."""
        config = {
            "Aliases": {"Quantity": len(aliases), "Items": list(aliases)},
            "Enabled": enabled,
        }
        found = {"Distribution": {"Id": identity, "DistributionConfig": config}}
        self.stub.add_response("get_distribution", _any(found), {"Id": identity})


def _any(value: Any) -> Any:
    return value


@pytest.fixture
def cloudfront(monkeypatch: pytest.MonkeyPatch) -> Stubbed:
    client = boto3.client(
        "cloudfront",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    stub = Stubber(client)
    # Answers leave out the many members that nobody here reads, and the stub insists on.
    monkeypatch.setattr(stub, "_validate_operation_response", lambda *_: None)
    stub.activate()
    return Stubbed(Cdn(client), stub)


def listed(identity: str, *aliases: str, enabled: bool = True) -> dict[str, Any]:
    made: dict[str, Any] = {"Id": identity, "Enabled": enabled, "Aliases": {"Quantity": 0}}
    if aliases:
        made["Aliases"] = {"Quantity": len(aliases), "Items": list(aliases)}
    return made


@pytest.mark.parametrize(
    ("distributions", "found"),
    [
        ([], None),
        ([listed("E1"), listed("E2", "www.solarmora.com")], None),
        ([listed("E1", "www.solarmora.com", HOST)], "E1"),
        ([listed("E1", "*.solarmora.com")], "E1"),
        # CloudFront itself prefers the exact name.
        ([listed("E1", "*.solarmora.com"), listed("E2", HOST)], "E2"),
        ([listed("E2", HOST), listed("E1", "*.solarmora.com")], "E2"),
        ([listed("E1", HOST, enabled=False)], None),
        # A wildcard stands for one label, and never for another domain's.
        ([listed("E1", "*.com"), listed("E2", "*.mta-sts.solarmora.com")], None),
        ([listed("E1", "mta-sts.solarmora.com.example")], None),
    ],
)
def test_the_distribution_in_front_is_the_enabled_one_with_the_alias(
    cloudfront: Stubbed, distributions: list[dict[str, Any]], found: str | None
) -> None:
    cloudfront.lists(*distributions)
    assert cloudfront.cdn.find(HOST) == found


def test_distributions_are_listed_to_the_end(cloudfront: Stubbed) -> None:
    cloudfront.lists(listed("E1", "*.solarmora.com"), more="E1")
    cloudfront.lists(listed("E2"), after="E1", more="E2")
    cloudfront.lists(listed("E3", HOST), after="E2")
    assert cloudfront.cdn.find(HOST) == "E3"


@pytest.mark.parametrize(
    ("aliases", "serves"),
    [
        ([HOST], True),
        (["www.solarmora.com", HOST], True),
        (["*.solarmora.com"], True),
        ([], False),
        (["www.solarmora.com"], False),
        (["mta-sts.other.example"], False),
        (["*.com"], False),
    ],
)
def test_a_distribution_serves_the_hosts_that_are_its_aliases(
    cloudfront: Stubbed, aliases: list[str], *, serves: bool
) -> None:
    cloudfront.has("E1", *aliases)
    assert cloudfront.cdn.serves("E1", HOST) is serves


def test_a_distribution_that_is_disabled_serves_nobody(cloudfront: Stubbed) -> None:
    cloudfront.has("E1", HOST, enabled=False)
    assert not cloudfront.cdn.serves("E1", HOST)


def test_a_distribution_that_does_not_exist_serves_nobody(cloudfront: Stubbed) -> None:
    cloudfront.stub.add_client_error("get_distribution", "NoSuchDistribution")
    assert not cloudfront.cdn.serves("E1", HOST)


def test_a_distribution_that_may_not_be_seen_is_not_taken_for_one_without_the_alias(
    cloudfront: Stubbed,
) -> None:
    cloudfront.stub.add_client_error("get_distribution", "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        cloudfront.cdn.serves("E1", HOST)


# --- the settings' word


def nobody() -> Cdn:
    pytest.fail("CloudFront was asked")


def settled(asked: Callable[[], Cdn], distribution_id: str, *, purges: bool = True) -> str:
    """Return the distribution of the plan where the settings say this one."""
    location = Location("b", "k", distribution_id)
    return with_distribution(location, HOST, asked, purges=purges).distribution_id


def test_none_means_that_nobody_is_asked() -> None:
    assert settled(nobody, "none") == ""


def test_a_named_distribution_has_to_have_the_alias(cloudfront: Stubbed) -> None:
    cloudfront.has("E1", HOST)
    assert settled(lambda: cloudfront.cdn, "E1") == "E1"
    cloudfront.has("E1", "www.solarmora.com")
    with pytest.raises(PolicyNotServedError, match=f"E1, which .* does not have {HOST}") as caught:
        settled(lambda: cloudfront.cdn, "E1")
    assert "Nothing was changed. Correct DistributionId" in str(caught.value)


def test_who_purges_nothing_may_have_a_host_that_is_not_the_distributions() -> None:
    assert settled(nobody, "E1", purges=False) == "E1"
    assert settled(nobody, "none", purges=False) == ""


def test_without_a_word_the_alias_decides(cloudfront: Stubbed) -> None:
    cloudfront.lists(listed("E9", HOST))
    assert settled(lambda: cloudfront.cdn, "") == "E9"
    cloudfront.lists()
    assert settled(lambda: cloudfront.cdn, "") == ""


# --- invalidations


def test_an_invalidation_names_its_paths_and_its_reference(cloudfront: Stubbed) -> None:
    batch = {
        "Paths": {"Quantity": 2, "Items": ["/a", "/b"]},
        "CallerReference": "once",
    }
    asked = {"DistributionId": "E1", "InvalidationBatch": batch}
    cloudfront.stub.add_response(
        "create_invalidation", _any({"Invalidation": {"Id": "I1"}}), _any(asked)
    )
    assert cloudfront.cdn.invalidate("E1", ["/a", "/b"], "once") == "I1"


@pytest.mark.parametrize(("status", "completed"), [("InProgress", False), ("Completed", True)])
def test_only_completed_is_completed(cloudfront: Stubbed, status: str, *, completed: bool) -> None:
    found = {"Invalidation": {"Id": "I1", "Status": status}}
    asked = {"DistributionId": "E1", "Id": "I1"}
    cloudfront.stub.add_response("get_invalidation", _any(found), asked)
    assert cloudfront.cdn.completed("E1", "I1") is completed
