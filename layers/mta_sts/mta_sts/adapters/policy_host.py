"""Asks a policy host for its policy, at each address that the configured resolvers give for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mta_sts.adapters.delegation import addresses
from mta_sts.adapters.https import fetch_all
from mta_sts.policy_check import Fetched, look
from mta_sts.settings import Network

MOST_ADDRESSES = 48  # 16 at once, so 30 seconds at the most, within a function's 60
MOST_LOOKED_AT = 16  # a look's evidence, several times over, has to fit into a workflow
SECONDS = 10.0  # for one address


@dataclass(frozen=True)
class Asked:
    """What each address answered, and what was not asked: ``{"address", "reason"}``.

    ``addresses`` is how many there are; those beyond the most are not asked, and the first of them stands
    for all.
    """

    fetched: tuple[Fetched, ...]
    not_asked: tuple[dict[str, str], ...]
    addresses: int


def ask_policy_host(host: str, network: Network, *, most: int = MOST_ADDRESSES) -> Asked:
    """Fetch the policy from every address; what a host does or leaves undone raises nothing."""
    found = addresses(host, network)
    every = [*found.ipv4, *found.ipv6]
    reason = f"there are {len(every)} addresses, and {most} are asked"
    return Asked(
        tuple(fetch_all(host, every[:most], network, seconds=SECONDS)),
        (
            *({"address": "", "reason": problem} for problem in found.problems[:most]),
            *({"address": address, "reason": reason} for address in every[most : most + 1]),
        ),
        len(every),
    )


def look_at(
    host: str, network: Network, *, known: Mapping[str, str], missing: bool, now: datetime
) -> dict[str, Any]:
    """Ask every address and say what it serves, whatever that is: see :func:`mta_sts.policy_check.look`."""
    asked = ask_policy_host(host, network, most=MOST_LOOKED_AT)
    return look(
        asked.fetched,
        asked.not_asked,
        known=known,
        missing=missing,
        host=host,
        now=now,
        region=network.region,
    )
