"""Moments, durations, settings and the patience of loops."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.errors import PropagationTimeoutError
from mta_sts.instants import instant, stamp
from mta_sts.plan import Waits
from mta_sts.progress import LONGEST_PAUSE, settle
from mta_sts.settings import Endpoint, Network, Settings, region
from mta_sts.spans import days

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_a_stamp_is_never_early(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    assert timedelta(0) <= instant(stamp(moment)) - moment < timedelta(seconds=1)


def test_stamps_are_utc() -> None:
    assert stamp(NOW.astimezone(timezone(timedelta(hours=9)))) == "2026-11-24T04:05:06Z"
    assert instant("2026-11-24T13:05:06+09:00") == NOW


def test_a_moment_without_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        instant("2026-11-24T04:05:06")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (86_399, "86399 seconds"),
        (86_400, "86400 seconds (1 day)"),
        (86_401, "86401 seconds (about 1 day)"),
        (604_800, "604800 seconds (7 days)"),
        (31_557_600, "31557600 seconds (about 365 days)"),
    ],
)
def test_durations_are_told_in_days_as_well(seconds: int, said: str) -> None:
    assert days(seconds) == said


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("1.1.1.1", "1.1.1.1", 53),
        ("127.9.0.1:5353", "127.9.0.1", 5353),
        ("2606:4700::1111", "2606:4700::1111", 53),
        ("[::1]:5353", "::1", 5353),
        ("[::1]", "::1", 53),
        (" 9.9.9.9 ", "9.9.9.9", 53),
    ],
)
def test_endpoints(text: str, address: str, port: int) -> None:
    endpoint = Endpoint.parse(text, 53)
    assert endpoint == Endpoint(address, port)
    assert Endpoint.parse(str(endpoint), 1) == endpoint


def test_network_travels_in_a_plan() -> None:
    network = Network(
        (Endpoint("127.9.0.1", 5353), Endpoint("::1", 53)), 5300, 8443, "ca.pem", "eu-west-1"
    )
    assert Network.from_dict(network.to_dict()) == network


def test_settings_come_from_the_definition() -> None:
    given = {
        "policy_bucket": "b-{domain}", "policy_key": "k", "policy_locations_parameter": "/p",
        "distribution_id": "none", "other_cache_seconds": "60", "resolvers": "1.1.1.1, [::1]:5353",
        "dns_port": "5300", "https_port": "8443", "ca_file": "ca.pem", "deadline_seconds": "90",
        "first_pause_seconds": "2", "unseen_change_seconds": "61", "max_policy_age_seconds": "604800",
        "drain_margin_seconds": "259200", "dns_role_arn": "arn:x",
    }  # fmt: skip
    settings = Settings.from_dict(given, region({"AWS_REGION": "eu-west-1"}))
    assert settings.network == Network(
        (Endpoint("1.1.1.1", 53), Endpoint("::1", 5353)), 5300, 8443, "ca.pem", "eu-west-1"
    )
    assert (settings.deadline_seconds, settings.other_cache_seconds) == (90, 60)
    assert (settings.unseen_change_seconds, settings.max_policy_age_seconds) == (61, 604_800)
    assert settings.drain_margin_seconds == 259_200
    del given["resolvers"]
    with pytest.raises(KeyError, match="resolvers"):
        Settings.from_dict(given, "x")


def _settle(waited: float, *, ready: bool = False) -> dict[str, object]:
    return settle(
        {"ready": ready, "laggards": []},
        Waits(deadline_seconds=600, first_pause_seconds=5, unseen_change_seconds=60),
        since=NOW,
        now=NOW + timedelta(seconds=waited),
        explanation="ns-1 lags.",
    )


@pytest.mark.parametrize(
    ("waited", "pause"),
    [
        (0, 5),  # the first pause
        (10, 5),  # never shorter
        (40, 10),  # a quarter of the time already waited
        (500, LONGEST_PAUSE),  # never longer than a minute
        (590, 10),  # nor than the deadline
        (599.9, 1),
    ],
)
def test_pauses_grow(waited: float, pause: int) -> None:
    assert _settle(waited)["pause_seconds"] == pause


def test_past_the_deadline_pending_becomes_failure() -> None:
    with pytest.raises(PropagationTimeoutError, match=r"after 600 seconds .*600\): ns-1 lags\."):
        _settle(600)


def test_ready_is_ready_even_past_the_deadline() -> None:
    assert _settle(10_000, ready=True) == {"ready": True, "laggards": [], "pause_seconds": 0}
