"""Where a domain's policy lives: the stack's patterns, or an exception in one SSM parameter."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mta_sts.errors import PolicyUnreadableError
from mta_sts.observed import Location
from mta_sts.settings import Settings

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient


def locate(domain: str, settings: Settings, ssm: "SSMClient | None") -> Location:
    """Find a domain's policy object; ``distribution_id`` is as configured (empty: look for it).

    Raises PolicyUnreadableError where the parameter's JSON is not usable. The caller of a run never
    says where a policy lives.
    """
    exceptions = _exceptions(settings, ssm) if ssm is not None else {}
    found = exceptions.get(domain, {})
    if not found and "{domain}" not in settings.policy_bucket + settings.policy_key:
        raise PolicyUnreadableError(
            f"The stack's PolicyBucket and PolicyKey do not tell domains apart: a run for {domain} would"
            " rewrite the policy of every domain that is served from there, and change the id of one."
            " Nothing was changed. Put {domain} into one of them, or name this domain's object in"
            " PolicyLocationsParameter."
        )
    places = {
        name: _place(name, one, settings) for name, one in {**exceptions, domain: found}.items()
    }
    here = places[domain]
    others = [name for name, place in places.items() if name != domain and str(place) == str(here)]
    if others:
        raise PolicyUnreadableError(
            f"{here} is the policy object of {', '.join(sorted(others))} too: a run for {domain} would turn"
            " them off by half. Nothing was changed. Give each domain an object of its own in"
            f" {settings.policy_locations_parameter}."
        )
    return here


def _exceptions(settings: Settings, ssm: "SSMClient") -> dict[str, dict[str, str]]:
    name = settings.policy_locations_parameter
    text = ssm.get_parameter(Name=name)["Parameter"].get("Value", "")
    example = '{"solarmora.com": {"bucket": "b", "key": "k", "distribution": "none"}}'
    try:
        found: dict[str, dict[str, str]] = json.loads(text)
        fields = {field for one in found.values() for field in one}
        texts = all(isinstance(value, str) for one in found.values() for value in one.values())
    except (ValueError, AttributeError, TypeError) as error:
        raise PolicyUnreadableError(
            f"The SSM parameter {name} must be JSON such as {example}: {error}. Nothing was changed."
        ) from error
    unknown = fields - {"bucket", "key", "distribution"}
    if unknown or not texts:
        told = (
            f"unknown fields: {', '.join(sorted(unknown))}"
            if unknown
            else "not all values are text"
        )
        raise PolicyUnreadableError(
            f"The SSM parameter {name} must be JSON such as {example}: {told}. Nothing was changed."
        )
    return found


def _place(domain: str, found: Mapping[str, str], settings: Settings) -> Location:
    return Location(
        bucket=found.get("bucket", settings.policy_bucket.replace("{domain}", domain)),
        key=found.get("key", settings.policy_key.replace("{domain}", domain)),
        distribution_id=found.get("distribution", settings.distribution_id),
    )
