"""Where a policy lives: by the stack's patterns, or by an exception; never where another's is too."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from mta_sts.adapters.locations import locate
from mta_sts.errors import PolicyUnreadableError
from mta_sts.observed import Location
from mta_sts.settings import Network, Settings

DOMAIN = "solarmora.com"
SETTINGS = Settings(
    policy_bucket="mta-sts.{domain}",
    policy_key=".well-known/mta-sts.txt",
    policy_locations_parameter="/mta-sts/locations",
    distribution_id="E1",
    other_cache_seconds=0,
    deadline_seconds=3600,
    first_pause_seconds=5,
    unseen_change_seconds=60,
    max_policy_age_seconds=604800,
    drain_margin_seconds=259_200,
    dns_role_arn="",
    network=Network(resolvers=()),
)
ONE_FOR_ALL = replace(SETTINGS, policy_bucket="policies", policy_key="mta-sts.txt")


class FakeParameters:
    """SSM with one parameter."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        assert Name == SETTINGS.policy_locations_parameter
        return {"Parameter": {"Value": self._text}}


def located(exceptions: object, settings: Settings = SETTINGS, domain: str = DOMAIN) -> Location:
    text = exceptions if isinstance(exceptions, str) else json.dumps(exceptions)
    return locate(domain, settings, cast("Any", FakeParameters(text)))


def test_the_patterns_hold_where_there_is_no_exception() -> None:
    usual = Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt", "E1")
    assert locate(DOMAIN, SETTINGS, None) == usual
    assert located({"other.example": {"bucket": "b", "key": "k"}}) == usual


def test_an_exception_says_what_differs_and_the_patterns_the_rest() -> None:
    assert located({DOMAIN: {"bucket": "b"}}) == Location("b", ".well-known/mta-sts.txt", "E1")
    assert located({DOMAIN: {"key": "k", "distribution": "none"}}) == Location(
        "mta-sts.solarmora.com", "k", "none"
    )


def test_one_of_the_patterns_is_enough_to_tell_domains_apart() -> None:
    by_key = replace(ONE_FOR_ALL, policy_key="{domain}/mta-sts.txt")
    assert locate(DOMAIN, by_key, None) == Location("policies", "solarmora.com/mta-sts.txt", "E1")


def test_patterns_that_are_the_same_for_every_domain_are_refused() -> None:
    said = "PolicyBucket and PolicyKey do not tell domains apart: a run for solarmora.com"
    with pytest.raises(PolicyUnreadableError, match=said) as caught:
        locate(DOMAIN, ONE_FOR_ALL, None)
    assert "Nothing was changed." in str(caught.value)
    with pytest.raises(PolicyUnreadableError, match=said):
        located({"other.example": {"bucket": "b", "key": "k"}}, ONE_FOR_ALL)


def test_a_domain_with_an_exception_needs_no_pattern() -> None:
    assert located({DOMAIN: {"bucket": "b", "key": "k"}}, ONE_FOR_ALL) == Location("b", "k", "E1")


@pytest.mark.parametrize(
    "exceptions",
    [
        # Two exceptions that name one object, whatever stands in front.
        {DOMAIN: {"bucket": "b", "key": "k"}, "other.example": {"bucket": "b", "key": "k"}},
        {
            DOMAIN: {"bucket": "b", "key": "k", "distribution": "none"},
            "other.example": {"bucket": "b", "key": "k", "distribution": "E2"},
        },
        # An exception that names the object which another's patterns make, and the other way round.
        {DOMAIN: {"bucket": "mta-sts.other.example"}, "other.example": {}},
        {"other.example": {"bucket": "mta-sts.solarmora.com"}},
    ],
)
def test_an_object_that_is_another_domains_too_is_refused(exceptions: object) -> None:
    with pytest.raises(
        PolicyUnreadableError, match=r"is the policy object of other\.example too"
    ) as (caught):
        located(exceptions)
    assert "Nothing was changed." in str(caught.value)
    assert SETTINGS.policy_locations_parameter in str(caught.value)


def test_all_who_share_an_object_are_named() -> None:
    same = {"bucket": "b", "key": "k"}
    with pytest.raises(PolicyUnreadableError, match=r"of a\.example, b\.example too"):
        located({"b.example": same, DOMAIN: same, "a.example": same})


def test_others_that_share_an_object_do_not_stand_in_the_way() -> None:
    same = {"bucket": "b", "key": "k"}
    assert located({"a.example": same, "b.example": same}).bucket == "mta-sts.solarmora.com"


def test_the_same_key_in_another_bucket_is_another_object() -> None:
    found = located(
        {DOMAIN: {"bucket": "b1", "key": "k"}, "o.example": {"bucket": "b2", "key": "k"}}
    )
    assert found == Location("b1", "k", "E1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "must be JSON such as"),
        ("[]", "must be JSON such as"),
        ('{"solarmora.com": "bucket"}', "must be JSON such as"),
        ('{"solarmora.com": {"buket": "b"}}', "unknown fields: buket"),
        ('{"other.example": {"bucket": 1}}', "not all values are text"),
    ],
)
def test_what_cannot_be_understood_is_refused_whosever_it_is(text: str, said: str) -> None:
    with pytest.raises(PolicyUnreadableError, match=said):
        located(text)
