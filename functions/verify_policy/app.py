"""Fetches the policy from every address of the policy host."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts.adapters.delegation import addresses
from mta_sts.adapters.https import fetch_all
from mta_sts.errors import PolicyNotServedError
from mta_sts.instants import instant
from mta_sts.plan import Plan
from mta_sts.policy_check import describe, evaluate
from mta_sts.progress import settle
from mta_sts.settings import Network

logger = Logger()
MOST_ADDRESSES = 48  # 16 at once, so 30 seconds at the most, within the function's 60
SECONDS = 10.0  # for one address


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "step", "since"}`` → the check, with ``pause_seconds``.

    The step ``host``, before any write, accepts the object as it is or was and raises
    PolicyNotServedError; ``served`` and ``confirm`` want the new bytes and raise
    PropagationTimeoutError; ``confirm`` also PolicyNotServedError where another policy was served.
    """
    plan, step = Plan.from_dict(event["plan"]), event["step"]
    check = _check(plan, Network.from_dict(plan.network), before=step == "host")
    logger.info("fetched", domain=plan.domain, ready=check["ready"], laggards=check["laggards"])
    problems = "\n".join(f"- {describe(laggard)}." for laggard in check["laggards"])
    if step == "host":
        if not check["ready"]:
            raise PolicyNotServedError(_refusal(plan, problems))
        _refuse_unknown_caches(plan, check)
        return check
    if step == "confirm" and any(laggard.get("policy") for laggard in check["laggards"]):
        # Who fetched in the meantime has the old policy under the new id, and keeps it until the next.
        raise PolicyNotServedError(
            f"{plan.policy_url} served another policy after the id was changed:\n{problems}\nA sender"
            " that fetched it keeps it under the new id, and only another id ends that. Find out who put it"
            " back or which host is stale, mend that, and run again for a fresh id."
        )
    return settle(
        check,
        plan.waits,
        since=instant(event["since"]),
        now=datetime.now(UTC),
        explanation=f"{plan.policy_url} is not the new policy everywhere:\n{problems}\nLook at these"
        " addresses.",
    )


def _check(plan: Plan, network: Network, *, before: bool) -> dict[str, Any]:
    found = addresses(plan.policy_host, network)
    every = [*found.ipv4, *found.ipv6]
    if len(every) > MOST_ADDRESSES:
        raise PolicyNotServedError(
            f"{plan.policy_host} has {len(every)} addresses; more than {MOST_ADDRESSES} cannot be asked in"
            " time, and each must be. Look whether that is meant."
        )
    return evaluate(
        fetch_all(plan.policy_host, every, network, seconds=SECONDS),
        [{"address": "", "reason": problem} for problem in found.problems],
        accepted=plan.policy.known if before else {plan.policy.after_sha256: "the new policy"},
        earlier={**plan.policy.known, plan.policy.before_sha256: "the one before this run"},
        # Where there is no object, never or no longer, the host rightly serves none.
        accept_missing=before and not plan.policy.etag,
        media_types={plan.policy.before_media_type} if before else (),
        host=plan.policy_host,
        now=datetime.now(UTC),
        region=network.region,
    )


def _refuse_unknown_caches(plan: Plan, check: dict[str, Any]) -> None:
    """Raise PolicyNotServedError where a cache shows that the settings do not know.

    It may hold the old policy for hours in other regions, where it cannot be seen from here.
    """
    if plan.policy.distribution_id or plan.policy.other_cache_seconds:
        return
    # RFC 9111 section 5.1: only a cache adds Age.
    cached = [row for row in check["agreeing"] if row["age"] is not None or row["x_cache"]]
    if cached:
        problems = "\n".join(f"- {describe(row)}." for row in cached)
        raise PolicyNotServedError(
            f"A cache stands in front of {plan.policy_host} that this stack's settings do not know:\n"
            f"{problems}\nElsewhere it may serve the old policy long after the id is changed. Nothing was"
            " changed. Name the distribution (DistributionId), or the longest time for which the cache may"
            " keep a policy (OtherCacheSeconds), then run again."
        )


def _refusal(plan: Plan, problems: str) -> str:
    return (
        f"{plan.policy_url} does not serve s3://{plan.policy.bucket}/{plan.policy.key}, as it is or was, at"
        f" every address:\n{problems}\nNothing was changed. A policy that senders do not get cannot replace"
        " the one they hold: mend the host (or PolicyBucket and PolicyKey, if it serves another object) and"
        " run again. While the host is broken only the old policy's end, max_age after a sender's last fetch,"
        " turns MTA-STS off."
    )
