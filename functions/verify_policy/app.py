"""Fetches the policy from every address of the policy host."""

from datetime import UTC, datetime
from typing import Any

from mta_sts.adapters.policy_host import MOST_ADDRESSES, ask_policy_host, look_at
from mta_sts.errors import DrainDisturbedError, PolicyNotServedError
from mta_sts.instants import instant
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.policy_check import describe, evaluate, not_none
from mta_sts.progress import settle
from mta_sts.settings import Network


@logged
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "step", "since"}`` → the check, with ``pause_seconds``.

    The step ``host``, before any write, accepts the object as it is or was and raises
    PolicyNotServedError; ``served`` and ``confirm`` want the new bytes and raise
    PropagationTimeoutError; ``confirm`` also PolicyNotServedError where another policy was served. Where
    the method leaves the policy alone, every step only tells what is served.
    """
    plan, step = Plan.from_dict(event["plan"]), event["step"]
    check = _check(plan, Network.from_dict(plan.network), before=step == "host")
    logger.info("fetched", ready=check["ready"], laggards=check["laggards"])
    problems = "\n".join(f"- {describe(laggard)}." for laggard in check["laggards"])
    if step == "host":
        if not check["ready"]:
            raise PolicyNotServedError(_refusal(plan, problems))
        if plan.publishes:
            _refuse_unknown_caches(plan, check)
        if plan.retires:
            _refuse_disturbed(plan, check)
        return check
    if step == "confirm" and any(laggard.get("policy") for laggard in check["laggards"]):
        raise PolicyNotServedError(_put_back(plan, problems))
    return settle(
        check,
        plan.waits,
        since=instant(event["since"]),
        now=datetime.now(UTC),
        explanation=f"{plan.policy_url} is not the new policy everywhere:\n{problems}\nLook at these"
        " addresses.",
    )


def _check(plan: Plan, network: Network, *, before: bool) -> dict[str, Any]:
    now = datetime.now(UTC)
    if not plan.publishes:
        missing = not plan.policy.etag and not plan.history_gap
        return look_at(plan.policy_host, network, known=plan.policy.known, missing=missing, now=now)
    asked = ask_policy_host(plan.policy_host, network)
    known = {**plan.policy.known, plan.policy.before_sha256: "the one before this run"}
    if asked.addresses > MOST_ADDRESSES:
        raise PolicyNotServedError(
            f"{plan.policy_host} has {asked.addresses} addresses; more than {MOST_ADDRESSES} cannot be asked"
            " in time, and each must be. Look whether that is meant."
        )
    return evaluate(
        asked.fetched,
        asked.not_asked,
        accepted=plan.policy.known if before else {plan.policy.after_sha256: "the new policy"},
        earlier=known,
        # Where there is no object, never or no longer, the host rightly serves none.
        accept_missing=before and not plan.policy.etag,
        # One that senders reject is proven all the same, where it is to stay or to come back as it was.
        media_types={plan.policy.before_media_type if before else plan.policy.content_type},
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


def _refuse_disturbed(plan: Plan, check: dict[str, Any]) -> None:
    """Raise DrainDisturbedError where the host serves no none any more: the plan has seen it a while ago.

    Where the plan found no object, this stack has removed it itself.
    """
    wrong = not_none(check, plan.policy.known) if plan.policy.etag else []
    if wrong:
        raise DrainDisturbedError(
            f"{plan.domain} was to lose its record now, but {'; '.join(wrong[:10])}. Nothing was changed."
            " Mend it and send retire again, for a new drain. This is tried again a day later."
        )


def _put_back(plan: Plan, problems: str) -> str:
    mend = "Find out who put it back or which host is stale, mend that, and run again"
    if plan.deletes:
        return (
            f"{plan.policy_url} served another policy after the record was deleted:\n{problems}\nA sender"
            f" that renews over HTTPS alone may have taken it up once more. {mend}."
        )
    # Who fetched in the meantime has the old policy under the new id, and keeps it until the next.
    return (
        f"{plan.policy_url} served another policy after the id was changed:\n{problems}\nA sender"
        " that fetched it keeps it under the new id, and only another id ends that."
        f" {mend} for a fresh id."
    )


def _refusal(plan: Plan, problems: str) -> str:
    return (
        f"{plan.policy_url} does not serve s3://{plan.policy.bucket}/{plan.policy.key}, as it is or was, at"
        f" every address:\n{problems}\nNothing was changed. A policy that senders do not get cannot replace"
        " the one they hold: mend the host (or PolicyBucket and PolicyKey, if it serves another object) and"
        " run again. If the host cannot be mended, delete-record keeps new senders from taking the policy up;"
        " who holds it keeps it until max_age after the last fetch."
    )
