"""Asks every authoritative server, and every resolver, for the STS record."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts.adapters.delegation import delegation
from mta_sts.adapters.dns import Asked, ask_everywhere
from mta_sts.errors import DnsUnreachableError
from mta_sts.instants import instant, stamp
from mta_sts.logs import logged, logger
from mta_sts.plan import Plan
from mta_sts.progress import settle
from mta_sts.record_check import Expected, NotAsked, describe, evaluate
from mta_sts.settings import Network

ROUNDS = 3  # a public resolver is many machines: three fresh answers may come from three of them


@logged
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """``{"plan", "step", "since"}`` → the check, with ``pause_seconds``.

    The step ``authorities`` asks whether every name server has the new record, or none any more;
    ``confirm`` also whether no resolver contradicts. ``record_gone_at`` is when nobody can still hold
    the old one.
    Raises PropagationTimeoutError naming who lags.
    """
    plan, confirming = Plan.from_dict(event["plan"]), event["step"] == "confirm"
    network = Network.from_dict(plan.network)
    now, check = _look(plan, network, confirming=confirming)
    longest = max(plan.record.wait_seconds, check["longest_ttl"])
    check["record_gone_at"] = stamp(now + timedelta(seconds=longest))
    logger.info("asked", ready=check["ready"], laggards=check["laggards"])
    problems = "\n".join(f"- {describe(laggard)}." for laggard in check["laggards"])
    return settle(
        check,
        plan.waits,
        since=instant(event["since"]),
        now=now,
        explanation=f"{plan.record.name} is not {'gone' if plan.deletes else 'the new record'} everywhere:\n"
        f"{problems}\nLook at these servers.",
    )


def _look(plan: Plan, network: Network, *, confirming: bool) -> tuple[datetime, dict[str, Any]]:
    rounds = ROUNDS if confirming else 1
    try:
        servers = delegation(plan.record.zone, network)
        asked = ask_everywhere(plan.record.name, servers, network, rounds=rounds)
    except DnsUnreachableError as error:
        # A bad moment of the resolvers is no reason to give a run up: pending is data.
        asked = Asked((), (NotAsked("name servers", "", "authority", str(error)),))
    now = datetime.now(UTC)
    return now, evaluate(
        asked.answers,
        asked.not_asked,
        expected=Expected(
            None if plan.deletes else plan.record.new.encode(),
            plan.record.withdrawn,
            plan.record.wildcards,
        ),
        scope="everyone" if confirming else "authorities",
        now=now,
        region=network.region,
    )
