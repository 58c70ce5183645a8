"""Where a domain's policy lives: the stack's patterns, or an exception in one SSM parameter."""

import json
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
    found = {}
    if ssm is not None:
        name = settings.policy_locations_parameter
        text = ssm.get_parameter(Name=name)["Parameter"].get("Value", "")
        try:
            found = json.loads(text).get(domain, {})
            unknown = set(found) - {"bucket", "key", "distribution"}
        except (ValueError, AttributeError, TypeError) as error:
            raise PolicyUnreadableError(
                f"The SSM parameter {name} must be JSON such as"
                ' {"solarmora.com": {"bucket": "b", "key": "k", "distribution": "none"}}:'
                f" {error}. Nothing was changed."
            ) from error
        if unknown:
            raise PolicyUnreadableError(
                f"The SSM parameter {name} has unknown fields for {domain}: {', '.join(sorted(unknown))}."
                " Nothing was changed."
            )
    return Location(
        bucket=found.get("bucket", settings.policy_bucket.replace("{domain}", domain)),
        key=found.get("key", settings.policy_key.replace("{domain}", domain)),
        distribution_id=found.get("distribution", settings.distribution_id),
    )
