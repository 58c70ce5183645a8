"""How many addresses of a policy host are asked, and what becomes of the others."""

from collections.abc import Sequence
from typing import Any

import pytest

from mta_sts.adapters import policy_host
from mta_sts.adapters.delegation import Addresses
from mta_sts.policy_check import Fetched
from mta_sts.settings import Network
from tests.unit.plans import ENFORCE, NOW

NETWORK = Network(resolvers=())
MANY = tuple(f"192.0.2.{number}" for number in range(1, 61))


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_all(host: str, every: Sequence[str], *_: Any, **__: Any) -> list[Fetched]:
        assert host == "mta-sts.a.example"
        return [Fetched(one, "answered", 404) for one in every]

    monkeypatch.setattr(policy_host, "addresses", lambda *_: Addresses(MANY, (), ()))
    monkeypatch.setattr(policy_host, "fetch_all", fetch_all)


def test_of_those_that_are_too_many_one_stands_for_all() -> None:
    asked = policy_host.ask_policy_host("mta-sts.a.example", NETWORK)
    assert (len(asked.fetched), asked.addresses) == (48, 60)
    reason = "there are 60 addresses, and 48 are asked"
    assert asked.not_asked == ({"address": "192.0.2.49", "reason": reason},)


def test_a_look_is_short_and_says_what_it_left_out() -> None:
    """Its evidence travels through the workflow several times over."""
    seen = policy_host.look_at(
        "mta-sts.a.example", NETWORK, known={ENFORCE.decode(): "x"}, missing=True, now=NOW
    )
    assert len(seen["agreeing"]) == 16
    assert seen["doubts"] == [
        "192.0.2.17 could not be asked (there are 60 addresses, and 16 are asked)"
    ]
