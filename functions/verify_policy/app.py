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


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "step", "since"}`` → the check, with ``pause_seconds``.

    The step ``host``, before any write, accepts the object as it is or was and raises
    PolicyNotServedError; ``served`` and ``confirm`` want the new bytes and raise
    PropagationTimeoutError.
    """
    plan, before = Plan.from_dict(event["plan"]), event["step"] == "host"
    network = Network.from_dict(plan.network)
    check = _check(plan, network, before=before)
    logger.info("fetched", domain=plan.domain, ready=check["ready"], laggards=check["laggards"])
    problems = "\n".join(f"- {describe(laggard)}." for laggard in check["laggards"])
    if before:
        if not check["ready"]:
            raise PolicyNotServedError(_refusal(plan, problems))
        return check
    return settle(
        check,
        since=instant(event["since"]),
        now=datetime.now(UTC),
        deadline_seconds=plan.waits.deadline_seconds,
        first_pause_seconds=plan.waits.first_pause_seconds,
        explanation=f"{plan.policy_url} is not the new policy everywhere:\n{problems}\nLook at these"
        " addresses.",
    )


def _check(plan: Plan, network: Network, *, before: bool) -> dict[str, Any]:
    found = addresses(plan.policy_host, network)
    fetched = fetch_all(plan.policy_host, [*found.ipv4, *found.ipv6], network)
    accepted = plan.policy.known if before else {plan.policy.after_sha256: "the new policy"}
    return evaluate(
        fetched,
        [{"address": "", "reason": problem} for problem in found.problems],
        accepted=accepted,
        # Where there is no object, never or no longer, the host rightly serves none.
        accept_missing=before and not plan.policy.etag,
        media_types={plan.policy.before_media_type} if before else (),
        host=plan.policy_host,
        now=datetime.now(UTC),
        region=network.region,
    )


def _refusal(plan: Plan, problems: str) -> str:
    return (
        f"{plan.policy_url} does not serve s3://{plan.policy.bucket}/{plan.policy.key}, as it is or was, at"
        f" every address:\n{problems}\nNothing was changed. A policy that senders do not get cannot replace"
        " the one they hold: mend the host (or PolicyBucket and PolicyKey, if it serves another object) and"
        " run again. While the host is broken only the old policy's end, max_age after a sender's last fetch,"
        " turns MTA-STS off."
    )
