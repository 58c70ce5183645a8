"""A check of where mail goes: live MX against each policy, TLSRPT, DANE."""

from dataclasses import replace

import pytest

from mta_sts.live_mx import LiveMx, MxAnswer, TlsaAnswer, live_mx
from tests.unit.plans import ENFORCE, NONE, SILENT, policy
from tests.unit.sights import (
    DOMAIN,
    OURS,
    codes,
    draining,
    finding,
    hosts,
    outcome,
    resolved,
    served,
    sight,
)

MOVED = "mx.moved.example"


class TestLiveMx:
    def test_host_by_host(self) -> None:
        body = policy("enforce", "*.solarmora.com", "mail.solarmora.com")
        told = outcome(sight(body, mx=hosts("mail.solarmora.com", MOVED)))
        assert told["evidence"]["mx"]["by_policy"] == [
            {
                "host": "mail.solarmora.com",
                "policies": [
                    {"mode": "enforce", "named_by": ["*.solarmora.com", "mail.solarmora.com"]}
                ],
            },
            {"host": MOVED, "policies": [{"mode": "enforce", "named_by": []}]},
        ]

    @pytest.mark.parametrize(
        ("mode", "level"), [("enforce", "alarm"), ("enforced", "warning"), ("testing", "note")]
    )
    def test_a_policy_that_names_none_of_them(self, mode: str, level: str) -> None:
        told = finding(outcome(sight(policy(mode), mx=hosts(MOVED))), "mx-none-named")
        assert told["level"] == level
        assert MOVED in told["text"]

    @pytest.mark.parametrize(("mode", "level"), [("enforce", "warning"), ("testing", "note")])
    def test_one_that_names_some(self, mode: str, level: str) -> None:
        mx = hosts("mail.solarmora.com", MOVED)
        told = finding(outcome(sight(policy(mode), mx=mx)), "mx-some-not-named")
        assert told["level"] == level
        assert f"and not {MOVED}," in told["text"]

    def test_a_policy_that_no_record_announces_is_no_alarm(self) -> None:
        assert "mx-none-named" not in codes(outcome(sight(ENFORCE, (), mx=hosts(MOVED))))

    def test_none_names_nobody_and_need_not(self) -> None:
        assert "mx-none-named" not in codes(outcome(sight(NONE, mx=hosts(MOVED))))

    def test_of_a_silent_host_the_object_counts(self) -> None:
        told = outcome(sight(ENFORCE, (OURS,), SILENT, mx=hosts(MOVED)))
        assert "mx-none-named" in told["alarms"]

    def test_each_policy_that_is_served_counts(self) -> None:
        bodies = (served(ENFORCE), served(policy("enforce", MOVED), "192.0.2.2"))
        told = outcome(sight(ENFORCE, (OURS,), *bodies, mx=hosts(MOVED)))
        assert told["alarms"] == ["mx-none-named"]

    @pytest.mark.parametrize(
        ("mx", "code"),
        [
            (replace(hosts(), known=False, problems=("ns1 gave no answer",)), "mx-unknown"),
            (live_mx(DOMAIN, [MxAnswer(DOMAIN, "n", "a", "present", ((0, ""),))]), "mx-null"),
            (live_mx(DOMAIN, [MxAnswer(DOMAIN, "n", "a", "absent")]), "mx-implicit"),
            (replace(hosts("mail.solarmora.com"), problems=("they differ",)), "mx-differs"),
        ],
    )
    def test_what_is_odd_about_the_mx(self, mx: LiveMx, code: str) -> None:
        assert code in codes(outcome(sight(mx=mx)))

    def test_a_null_mx_cannot_be_named(self) -> None:
        mx = live_mx(DOMAIN, [MxAnswer(DOMAIN, "n", "a", "present", ((0, ""),))])
        assert outcome(sight(mx=mx))["alarms"] == []


class TestStillHeld:
    def test_an_older_policy_that_names_none_of_the_present_hosts(self) -> None:
        told = finding(outcome(draining(mx=hosts(MOVED))), "mx-not-named-by-held")
        assert told["level"] == "alarm", "the mail has moved too early"
        assert told["evidence"]["none_named"] is True
        assert (
            "Version v1, which may be held until 2026-12-01T03:05:06Z, does not name any MX"
            in (told["text"])
        )

    def test_one_that_names_them_all(self) -> None:
        assert "mx-not-named-by-held" not in codes(outcome(draining()))

    def test_what_is_served_now_is_told_once(self) -> None:
        assert "mx-not-named-by-held" not in codes(outcome(sight(mx=hosts(MOVED))))


class TestTlsrpt:
    @pytest.mark.parametrize("values", [(), ("v=spf1 -all",)])
    def test_none(self, values: tuple[str, ...]) -> None:
        told = outcome(sight(tlsrpt=(resolved(*values),)))
        assert finding(told, "tlsrpt-missing")["level"] == "note"

    def test_silence_is_not_none(self) -> None:
        dead = resolved(outcome="unreachable", detail="timed out")
        assert codes(outcome(sight(tlsrpt=(dead,)))) == {"tlsrpt-unseen"}


class TestDane:
    def test_turning_mta_sts_off_does_not_turn_it_off(self) -> None:
        told = outcome(sight(tlsa=(TlsaAnswer("mail.solarmora.com", 2, secure=True),)))
        assert "turning MTA-STS off does not turn DANE off" in finding(told, "dane")["text"]

    def test_without_dnssec(self) -> None:
        told = outcome(sight(tlsa=(TlsaAnswer("mail.solarmora.com", 2, secure=False),)))
        assert codes(told) == {"dane-unproven"}

    def test_none_and_unseen(self) -> None:
        tlsa = (
            TlsaAnswer("a.example", 0, secure=False),
            TlsaAnswer("b.example", 0, secure=False, problem="timed out"),
        )
        told = outcome(sight(tlsa=tlsa))
        assert codes(told) == {"dane-unseen"}
        assert "b.example: timed out" in finding(told, "dane-unseen")["text"]
