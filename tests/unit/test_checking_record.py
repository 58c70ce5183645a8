"""A check of the record: who has which id, who disagrees, and what is in the zone besides."""

from typing import Any

import pytest

from mta_sts.checks.judge import check
from mta_sts.checks.sight import Sight
from mta_sts.record_check import NotAsked
from tests.unit.plans import ENFORCE, NOT_FOUND
from tests.unit.sights import (
    EXECUTION,
    OURS,
    codes,
    deleted,
    draining,
    finding,
    item,
    none_object,
    outcome,
    resolved,
    said,
    served,
    sight,
    watch,
)

THEIRS = "v=STSv1; id=9;"


def rows(seen: Sight) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = outcome(seen)["evidence"]["record"]["rows"]
    return listed


class TestEvidence:
    def test_every_server_and_address_is_listed_with_id_and_ttl_equal_answers_once(self) -> None:
        answers = (said(OURS), resolved(OURS, ttl=9), resolved(OURS, ttl=9), resolved(THEIRS))
        assert [
            (row["server"], row["address"], row["id"], row["ttl"], row["times"])
            for row in rows(sight(answers=answers))
        ] == [
            ("Route 53", "Z1", "2", None, 1),
            ("ns1.example", "192.0.2.53", "2", 3600, 1),
            ("resolver", "1.1.1.1:53", "2", 9, 2),
            ("resolver", "1.1.1.1:53", "9", 3600, 1),
        ]

    def test_who_was_not_asked_is_listed_with_the_reason(self) -> None:
        skipped = NotAsked("ns1.example", "2001:db8::1", "authority", "no IPv6 route")
        told = outcome(sight(not_asked=(skipped,)))
        assert told["evidence"]["record"]["not_asked"] == [
            {"server": "ns1.example", "address": "2001:db8::1", "reason": "no IPv6 route"}
        ]
        assert "- ns1.example (2001:db8::1): no IPv6 route" in told["text"]


class TestDisagreement:
    def test_name_servers(self) -> None:
        told = outcome(sight(answers=(said(OURS), said(THEIRS, server="ns2.example"))))
        text = finding(told, "record-differs")["text"]
        assert '"v=STSv1; id=2;" at ns1.example (192.0.2.53)' in text
        assert '"v=STSv1; id=9;" at ns2.example (192.0.2.53)' in text

    def test_route_53_and_the_name_servers(self) -> None:
        told = outcome(sight(answers=(said(THEIRS), resolved(THEIRS))))
        assert 'Route 53 has "v=STSv1; id=2;" in zone Z1' in finding(told, "record-differs")["text"]

    def test_resolvers_that_still_hold_another_answer_are_a_note(self) -> None:
        told = outcome(sight(answers=(said(OURS), resolved(THEIRS))))
        assert finding(told, "record-cached")["level"] == "note"
        assert "record-differs" not in codes(told)

    def test_other_values_beside_the_record_are_no_difference(self) -> None:
        told = outcome(sight(answers=(said(OURS, "google-site-verification=x"), resolved(OURS))))
        assert codes(told) == set()


class TestSilence:
    DEAD = said(server="ns2.example", outcome="unreachable", detail="timed out")

    def test_a_name_server_that_is_silent_at_every_address(self) -> None:
        told = outcome(sight(answers=(said(OURS), self.DEAD)))
        assert "ns2.example" in finding(told, "name-server-silent")["text"]
        assert told["state"] == "on"

    def test_one_that_answers_at_another_address_has_told(self) -> None:
        other = said(OURS, server="ns2.example", address="192.0.2.54")
        assert "name-server-silent" not in codes(
            outcome(sight(answers=(said(OURS), self.DEAD, other)))
        )

    def test_nobody_who_tells(self) -> None:
        told = outcome(sight(answers=(self.DEAD,), problems={"servers": "no resolver could tell"}))
        assert "no resolver could tell" in finding(told, "record-unseen")["text"]

    def test_resolvers_alone(self) -> None:
        assert (
            "Only resolvers"
            in finding(outcome(sight(answers=(resolved(OURS),))), "name-server-silent")["text"]
        )


class TestBroken:
    def test_several_values(self) -> None:
        told = outcome(sight(record=(OURS, THEIRS)))
        assert "section 3.1" in finding(told, "record-several")["text"]

    def test_a_malformed_value_says_why(self) -> None:
        told = outcome(sight(record=("v=STSv1; id=a-b;",)))
        assert "1 to 32 letters or digits" in finding(told, "record-malformed")["text"]

    def test_a_set_with_a_routing_policy(self) -> None:
        routed = {"Type": "TXT", "SetIdentifier": "a", "Weight": 1, "ResourceRecords": []}
        assert "record-routed" in codes(outcome(sight(record_sets=[routed])), "warning")


class TestZone:
    def test_other_policy_domains_stay_on(self) -> None:
        told = outcome(sight(others=["_mta-sts.news.solarmora.com"]))
        found = finding(told, "other-domains")
        assert "news.solarmora.com. Each is a policy domain of its own" in found["text"]
        assert found["evidence"] == {"domains": ["news.solarmora.com"]}

    def test_what_could_not_be_read_is_told(self) -> None:
        told = outcome(
            sight(zone=None, record_sets=None, others=None, problems={"zone": "No zone."})
        )
        assert finding(told, "zone-unknown")["text"].endswith("No zone.")
        assert told["evidence"]["record"]["rows"][0]["server"] == "ns1.example"
        told = outcome(sight(problems={"others": "too large", "sets": "denied"}))
        assert {"other-domains-unread", "zone-unread"} <= codes(told)


class TestDrain:
    """Invariant 7: while senders let go the record stays, under our id."""

    def test_all_is_as_it_has_to_be(self) -> None:
        told = check(watch(), draining(), EXECUTION)
        assert told["alarms"] == []
        assert codes(told, "alarm", "warning") == set()

    @pytest.mark.parametrize(
        "answers",
        [
            (said(THEIRS), resolved(OURS)),
            (said(OURS), said(THEIRS, server="ns2.example"), resolved(OURS)),
            (said(OURS, THEIRS), resolved(OURS)),
            (said("v=STSv1; id=;"), resolved(OURS)),
            (said(outcome="alias", detail="a CNAME to x.example", leads_to="x.example"),),
        ],
        ids=["everywhere", "at one server", "one more", "malformed", "a CNAME"],
    )
    def test_another_id(self, answers: Any) -> None:
        told = check(watch(), draining(answers=answers), EXECUTION)
        assert told["alarms"] == ["id-not-ours"]
        assert told["text"].startswith(
            "half changed for solarmora.com: the id is not 2, which this"
        )
        assert told["answers"]["trouble"]["next"].startswith("send change-id, ")

    def test_the_risk_comes_before_all_the_addresses(self) -> None:
        servers = [said(THEIRS, server=f"ns-{one}.awsdns.example") for one in range(8)]
        told = check(watch(), draining(answers=(*servers, resolved(THEIRS))), EXECUTION)
        first, second, *rest = told["text"].split("\n")
        assert first == (
            'half changed for solarmora.com: the id is not 2, which this stack has announced, but "v=STSv1;'
            ' id=9;" at all name servers. Senders that know another id renew what they hold without a look at'
            " the policy."
        )
        assert second.startswith("Mail is not at risk")
        places = [f"{one.server} (192.0.2.53)" for one in servers]
        assert f"without a look at the policy. Seen at {', '.join(places)}." in "\n".join(rest)
        assert finding(told, "id-not-ours")["evidence"] == {"seen_at": places}
        some = draining(answers=(said(OURS), *servers, resolved(OURS)))
        where = "at ns-0.awsdns.example (192.0.2.53), ns-1.awsdns.example (192.0.2.53) and 6 more. "
        assert where in finding(outcome(some), "id-not-ours")["text"]

    def test_no_fresh_id_for_what_is_not_none(self) -> None:
        """Change-id announces whatever is served: with another policy there it would be on again."""
        other = {"answers": (said(THEIRS), resolved(THEIRS)), "stored": none_object(body=ENFORCE)}
        asked = check(watch(), draining(served(ENFORCE), **other), EXECUTION)["answers"]
        assert asked["trouble"]["next"].startswith("send none-policy again: it writes none, ")
        broken = draining(NOT_FOUND, answers=other["answers"])
        told = finding(check(watch(), broken, EXECUTION), "id-not-ours")["next"]
        assert told == "mend the policy host; once it serves none everywhere, send change-id"

    @pytest.mark.parametrize(
        "answers",
        [
            (said(), resolved()),
            (said(OURS), said(server="ns2.example"), resolved(OURS)),
            (said("v=spf1 -all"), resolved(OURS)),
        ],
        ids=["everywhere", "at one server", "other values stay"],
    )
    def test_a_record_that_is_gone(self, answers: Any) -> None:
        told = check(watch(), draining(answers=answers), EXECUTION)
        assert told["alarms"] == ["record-gone"]
        assert told["text"].startswith("half changed for solarmora.com: the record is gone at ")

    def test_silence_is_no_other_id(self) -> None:
        dead = said(server="ns2.example", outcome="unreachable", detail="timed out")
        told = check(watch(), draining(answers=(said(OURS), dead, resolved(OURS))), EXECUTION)
        assert told["alarms"] == []

    def test_a_resolver_alone_is_no_alarm(self) -> None:
        told = check(watch(), draining(answers=(said(OURS), resolved(THEIRS))), EXECUTION)
        assert told["alarms"] == []

    def test_the_id_of_a_run_that_is_at_work_is_ours(self) -> None:
        kept = item()
        kept["ours"] = {"policies": kept["ours"]["policies"], "ids": ["2", "9"]}
        seen = draining(answers=(said(THEIRS), resolved(THEIRS)), item=kept)
        told = check(watch(), seen, EXECUTION)
        assert told["alarms"] == []
        assert told["state"] == "half changed"

    def test_a_record_that_came_back_after_its_deletion(self) -> None:
        answers = (said(THEIRS), resolved(THEIRS))
        told = check(watch(), deleted(NOT_FOUND, answers=answers), EXECUTION)
        assert told["alarms"] == ["record-back"]
        assert "run delete-record again" in told["answers"]["trouble"]["next"]

    def test_after_the_drain_somebody_else_may_change_it(self) -> None:
        over = item(all_off_at="2026-11-20T00:00:00Z", due={})
        seen = draining(answers=(said(THEIRS), resolved(THEIRS)), item=over)
        assert finding(outcome(seen), "id-not-ours")["level"] == "note"

    def test_a_retirement_that_is_due_keeps_the_drain_open(self) -> None:
        pending = item(
            all_off_at="2026-11-24T00:00:00Z",
            due={"retirement": {"at": "2026-11-27T00:00:00Z", "request": {}}},
        )
        seen = draining(answers=(said(), resolved()), item=pending)
        assert outcome(seen)["alarms"] == ["record-gone"]
