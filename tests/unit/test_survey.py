"""What the ledger remembers of TTLs, as a plan counts it."""

from datetime import timedelta
from typing import Any

import pytest

from mta_sts.instants import stamp
from mta_sts.record_plan import remembered_ttl
from tests.unit.plans import NOW


def seen(minutes_ago: int, ttl: int) -> dict[str, Any]:
    return {"ttl": ttl, "seen_at": stamp(NOW - timedelta(minutes=minutes_ago))}


@pytest.mark.parametrize(
    ("remembered", "remains"),
    [
        ({}, 0),
        ({"ttls": []}, 0),
        ({"ttls": [seen(10, 3600)]}, 3000),  # what is left of it
        ({"ttls": [seen(60, 3600)]}, 0),
        ({"ttls": [seen(999, 3600)]}, 0),
        ({"ttls": [seen(10, 3600), seen(1, 60), seen(30, 7200)]}, 5400),
        # A run that was not confirmed: some server may have answered as before until just now.
        ({"ttls": [seen(10, 3600)], "open_ttl": 3600}, 3600),
        ({"ttls": [seen(999, 3600)], "open_ttl": 3600}, 3600),
        ({"ttls": [seen(10, 86_400)], "open_ttl": 3600}, 85_800),
        ({"open_ttl": 0}, 0),
    ],
)
def test_how_long_an_answer_of_before_may_still_be_kept(
    remembered: dict[str, Any], remains: int
) -> None:
    assert max(0, remembered_ttl(remembered, NOW)) == remains


def test_a_part_of_a_second_counts_as_a_whole_one() -> None:
    later = NOW + timedelta(milliseconds=1)
    assert remembered_ttl({"ttls": [seen(10, 3600)]}, later) == 3000
