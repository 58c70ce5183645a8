"""A check's first words: the state, whether mail is at risk, what to do next; and the three answers."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.errors import InvalidRequestError
from mta_sts.instants import stamp
from mta_sts.observed import History
from mta_sts.sight import Sight
from tests.unit.plans import ENFORCE, NONE, NOT_FOUND, NOW, SILENT, policy
from tests.unit.sights import (
    ALL_OFF,
    DOMAIN,
    GONE_AT,
    OURS,
    codes,
    deleted,
    draining,
    hosts,
    item,
    none_object,
    outcome,
    request,
    resolved,
    said,
    served,
    sight,
    versions,
    watch,
)

SILENT_SERVER = said(outcome="unreachable", detail="timed out")
BLIND = {
    "stored": None,
    "history": History(),
    "problems": {"object": "AccessDenied"},
}
NEVER = sight(None, ())
TESTING = policy("testing")


def case(seen: Sight, state: str, begins: str) -> tuple[Sight, str, str]:
    """What is seen, the state, and how its sentence begins."""
    return seen, state, begins


SEEN: dict[str, tuple[Sight, str, str]] = {
    "enforced": case(
        sight(),
        "on",
        "MTA-STS is still on for solarmora.com: mta-sts.solarmora.com serves a policy with mode enforce,"
        " under the id 2.",
    ),
    "in testing": case(sight(TESTING), "on", "MTA-STS is still on for solarmora.com, in testing: "),
    "the slip enforced": case(
        sight(policy("enforced")),
        "on",
        "MTA-STS is still on for solarmora.com, for lenient senders: ",
    ),
    "never": case(
        NEVER, "off", "MTA-STS is off for solarmora.com: it has neither record nor policy."
    ),
    "drains": case(
        draining(),
        "off",
        f"MTA-STS is off for solarmora.com: for senders that re-read the record since {stamp(GONE_AT)}, for"
        f" every sender from {stamp(ALL_OFF)}.",
    ),
    "drains after delete-record": case(
        deleted(),
        "off",
        f"MTA-STS is off for solarmora.com: for senders that hold no policy since {stamp(GONE_AT)}, for every"
        f" sender from {stamp(ALL_OFF)}.",
    ),
    "none, announced by nobody": case(
        sight(NONE),
        "half changed",
        "half changed for solarmora.com: mta-sts.solarmora.com serves mode none, but no run of this stack has"
        " announced it under the id 2",
    ),
    "no record": case(
        sight(ENFORCE, ()),
        "half changed",
        "half changed for solarmora.com: there is no record, but mta-sts.solarmora.com serves a policy with"
        " mode enforce.",
    ),
    "no policy": case(
        sight(ENFORCE, (OURS,), NOT_FOUND),
        "half changed",
        "half changed for solarmora.com: there is a record (under the id 2), but mta-sts.solarmora.com serves"
        " no policy.",
    ),
    "no record, and none": case(
        sight(NONE, ()),
        "off",
        "MTA-STS is off for solarmora.com: it has no record, and mta-sts.solarmora.com serves mode none; no"
        " policy is on record that anybody could still hold.",
    ),
    "no record, and none after enforce": case(
        sight(NONE, (), history=versions(ENFORCE, NONE, last=NOW - timedelta(hours=1))),
        "off",
        "MTA-STS is off for solarmora.com: it has no record, and mta-sts.solarmora.com serves mode none."
        " Since when is not on record: counted from now, a sender may hold an older policy until ",
    ),
    "several values": case(
        sight(ENFORCE, (OURS, "v=STSv1; id=3;")),
        "half changed",
        "half changed for solarmora.com: it has several STS values, which most senders take for none",
    ),
    "a malformed record": case(
        sight(ENFORCE, ("v=STSv1; id=2-2;",)),
        "half changed",
        "half changed for solarmora.com: it has a malformed record",
    ),
    "addresses that differ": case(
        sight(ENFORCE, (OURS,), served(ENFORCE), served(NONE, "192.0.2.2")),
        "half changed",
        "half changed for solarmora.com: 192.0.2.1 serves mode enforce; 192.0.2.2 serves mode none.",
    ),
    "a record at one server only": case(
        sight(answers=(said(OURS), said("other", server="ns2.example"))),
        "half changed",
        "half changed for solarmora.com: ns2.example (192.0.2.53) has no record, others have one.",
    ),
    "a host that is silent": case(
        sight(ENFORCE, (OURS,), SILENT),
        "on",
        "MTA-STS is still on for solarmora.com, as far as can be seen: there is a record (under the id 2),"
        " and the object in S3 has mode enforce, but what mta-sts.solarmora.com serves could not be seen.",
    ),
    "a silent host of which nothing is known": case(
        sight(None, (OURS,), SILENT, **BLIND),
        "half changed",
        "half changed for solarmora.com, perhaps: there is a record (under the id 2), but what"
        " mta-sts.solarmora.com serves could not be seen.",
    ),
    "servers that are silent": case(
        sight(answers=(SILENT_SERVER,)),
        "on",
        "MTA-STS is still on for solarmora.com, as far as can be seen: ",
    ),
    "everything silent": case(
        sight(None, (), SILENT, answers=(SILENT_SERVER,), **BLIND),
        "unknown",
        "MTA-STS is still on or off for solarmora.com as it was before: neither record nor policy could be"
        " seen.",
    ),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_state_comes_first_then_the_risk_then_the_next_action(name: str) -> None:
    seen, state, begins = SEEN[name]
    told = outcome(seen)
    first, second, empty, *_ = told["text"].split("\n")
    assert first.startswith(begins), first
    assert " at risk" in second
    assert " Next: " in second
    assert not empty
    assert (told["state"], told["answers"]["trouble"]["state"]) == (state, state)
    assert told["answers"]["off"]["sentence"] == first
    assert told["subject"].startswith(("MTA-STS is off", "MTA-STS is still on", "half changed"))


@pytest.mark.parametrize("name", SEEN)
def test_every_output_is_plain_bounded_and_answers_all_three_questions(name: str) -> None:
    told = outcome(SEEN[name][0], request(new_mx=["mx.new.example"]))
    assert len(json.dumps(told)) < 20_000
    assert told["domain"] == DOMAIN
    assert told["method"] == "check"
    assert told["checked_at"] == stamp(NOW)
    assert set(told["answers"]) == {"off", "mx", "trouble"}
    assert [one["answer"] for one in told["answers"]["mx"]["choices"]] == [
        "now",
        "now with overlap",
        "from all_off_at",
        "better for a plain move",
    ]


class TestRisk:
    def test_an_enforced_policy_that_names_no_live_mx(self) -> None:
        told = outcome(sight(mx=hosts("mx.moved.example")))
        assert told["answers"]["trouble"]["mail_at_risk"] is True
        assert (
            told["text"]
            .split("\n")[1]
            .startswith(
                "Mail is at risk: the policy (mode enforce) names mail.solarmora.com, but the MX records name"
                " mx.moved.example: senders that enforce it deliver to nobody. Next: put the MX records back"
            )
        )

    def test_one_that_names_some(self) -> None:
        told = outcome(sight(mx=hosts("mail.solarmora.com", "mx.moved.example")))
        assert told["text"].split("\n")[1].startswith("Mail may be at risk: ")

    def test_an_older_policy_that_does_not_name_where_mail_goes_now(self) -> None:
        told = outcome(draining(mx=hosts("mx.moved.example")))
        assert told["state"] == "off"
        assert told["answers"]["trouble"]["mail_at_risk"] is True
        assert (
            told["text"].split("\n")[1].startswith("Mail may be at risk: version v1, which may be")
        )

    def test_mx_that_could_not_be_seen_while_a_policy_is_enforced(self) -> None:
        told = outcome(sight(mx=replace(hosts(), known=False)))
        assert told["answers"]["trouble"]["mail_at_risk"] is None

    def test_testing_stops_no_mail(self) -> None:
        told = outcome(sight(TESTING, mx=hosts("mx.moved.example")))
        assert told["answers"]["trouble"]["mail_at_risk"] is False
        assert told["text"].split("\n")[1].startswith("Mail is not at risk. ")


class TestNext:
    def test_an_alarm_goes_before_a_warning_whatever_comes_first(self) -> None:
        told = outcome(
            sight(
                mx=hosts("mx.moved.example"),
                answers=(said(OURS), said("v=STSv1; id=9;", server="ns2.example")),
            )
        )
        assert "record-differs" in codes(told, "warning")
        assert told["answers"]["trouble"]["next"].startswith("put the MX records back")

    def test_a_run_that_is_at_work_is_waited_for(self) -> None:
        held = item(holder="arn:run", held_since=stamp(NOW))
        told = outcome(draining(served(), item=held))
        assert told["answers"]["trouble"]["next"] == (
            "wait for that execution to end, then check again."
        )

    def test_an_ordinary_domain_needs_nothing(self) -> None:
        assert outcome(sight())["answers"]["trouble"]["next"].startswith("nothing, if MTA-STS is")
        assert outcome(NEVER)["answers"]["trouble"]["next"] == "nothing has to be done."


class TestMoving:
    def test_an_enforced_policy_that_names_every_new_host(self) -> None:
        told = outcome(sight(), request(new_mx=["mail.solarmora.com"]))["answers"]["mx"]
        assert (told["answer"], told["from"]) == ("now", stamp(NOW))

    def test_an_enforced_policy_that_does_not(self) -> None:
        told = outcome(sight(), request(new_mx=["mx.new.example"]))["answers"]["mx"]
        assert told["answer"] == "now with overlap"
        assert told["without_overlap_from"] is None
        now, _, later, better = told["choices"]
        assert "mx.new.example is not named by version v1" in now["reason"]
        assert not later["holds"]
        assert better["holds"]

    def test_an_older_version_counts_as_long_as_its_id_stands(self) -> None:
        """It was replaced a year ago, but nothing is on record that ended its id."""
        older = versions(policy("enforce", "mx.old.example"), ENFORCE)
        told = outcome(sight(history=older), request(new_mx=["mail.solarmora.com"]))
        (now, *_) = told["answers"]["mx"]["choices"]
        assert not now["holds"]
        assert "mail.solarmora.com is not named by version v1" in now["reason"]
        assert "version v1 (mode enforce" in told["text"]

    def test_in_mid_drain_as_the_run_has_said(self) -> None:
        told = outcome(draining(), request(new_mx=["mx.new.example"]))
        assert told["all_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["without_overlap_from"] == stamp(ALL_OFF)
        assert not told["answers"]["mx"]["choices"][3]["holds"]
        assert told["if_turned_off_now"] is None

    def test_what_none_policy_would_come_to(self) -> None:
        told = outcome(sight())
        assert told["all_off_at"] is None
        week_and_ttl = NOW + timedelta(days=7, seconds=3600)
        assert told["if_turned_off_now"]["all_off_at"] == stamp(week_and_ttl)
        assert told["if_turned_off_now"]["conforming_off_at"] == stamp(NOW + timedelta(hours=1))

    def test_a_domain_of_which_nothing_is_known_may_move(self) -> None:
        told = outcome(NEVER)["answers"]["mx"]
        assert (told["answer"], told["confidence"]) == ("now", "unknown")


class TestAttested:
    YOUNG = versions(ENFORCE, last=NOW - timedelta(days=30))

    def unknown(self, **more: Any) -> Sight:
        """A drain of a domain whose versions reach back a month only."""
        history = replace(
            versions(ENFORCE, NONE, last=none_object().last_modified),
            known_since=NOW - timedelta(days=30),
        )
        return draining(history=history, **more)

    def test_a_year_stands_for_what_nobody_knows(self) -> None:
        told = outcome(self.unknown())
        assert told["all_off_at"] > stamp(NOW + timedelta(days=300))
        assert told["known_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["confidence"] == "unknown"

    def test_the_callers_word(self) -> None:
        told = outcome(self.unknown(), request(longest_max_age=604_800))
        assert told["all_off_at"] == stamp(ALL_OFF)
        assert told["answers"]["mx"]["confidence"] == "attested"

    def test_the_word_that_the_run_was_given(self) -> None:
        kept = item(attested={"longest_max_age": 604_800, "ids_changed_since": None})
        assert outcome(self.unknown(item=kept))["all_off_at"] == stamp(ALL_OFF)

    def test_a_word_that_is_not_so_is_refused(self) -> None:
        with pytest.raises(InvalidRequestError, match="longest_max_age says 60, but the policy v1"):
            outcome(sight(), request(longest_max_age=60))

    def test_but_not_to_the_watch_which_has_to_tell_what_is_wrong(self) -> None:
        asked = replace(watch(), longest_max_age=60)
        assert outcome(draining(served(ENFORCE)), asked)["alarms"] == ["none-not-served"]


class TestDrained:
    LATER = ALL_OFF + timedelta(seconds=1)

    def told(self, seen: Sight) -> dict[str, Any]:
        return outcome(replace(seen, now=self.LATER), watch("drained", at=stamp(ALL_OFF)))

    def test_it_is_over(self) -> None:
        told = self.told(draining())
        first, second, *_ = told["text"].split("\n")
        assert first == (
            "MTA-STS is off for solarmora.com: the drain is over, and no sender holds an older policy any"
            " more."
        )
        assert second.startswith("Mail is not at risk. Next: the MX records may change freely")
        assert "restore turns MTA-STS on again" in second
        assert told["subject"] == "MTA-STS is off for solarmora.com, the drain is over"
        assert told["answers"]["mx"]["answer"] == "now"
        assert told["alarms"] == []
        assert told["superseded"] is False

    def test_after_a_deletion_nothing_is_left_to_be_done(self) -> None:
        assert (
            "Nobody needs mta-sts.solarmora.com for MTA-STS any more."
            in (self.told(deleted())["text"].split("\n")[1])
        )

    def test_it_is_not_over_by_what_is_known_now(self) -> None:
        young = replace(
            versions(ENFORCE, NONE, last=none_object().last_modified), known_since=GONE_AT
        )
        told = self.told(draining(history=young))
        assert "The drain is not over yet." in told["text"].split("\n")[0]
        assert "over" not in told["subject"]

    def test_one_that_was_disturbed_is_told_as_that(self) -> None:
        told = self.told(draining(served(ENFORCE)))
        assert told["state"] != "off"
        assert "over" not in told["subject"]

    def test_one_that_a_restore_has_cancelled_is_superseded(self) -> None:
        told = outcome(
            sight(item=item(phase="on", due={}, generation=4)),
            watch("drained", at=stamp(ALL_OFF)),
        )
        assert (told["state"], told["superseded"]) == ("on", True)


def test_after_a_retirement_nothing_is_left() -> None:
    gone = deleted().item
    assert gone
    told = outcome(
        sight(None, (), item={**gone, "phase": "retired", "due": {}, "all_off_at": stamp(GONE_AT)})
    )
    assert told["state"] == "off"
    assert codes(told, "alarm", "warning") == set()


def test_a_cname_at_the_name_servers_leaves_it_to_the_resolvers() -> None:
    alias = said(outcome="alias", detail="a CNAME to x.vendor.example", leads_to="x.vendor.example")
    told = outcome(sight(record_sets=[{"Type": "CNAME"}], answers=(alias, resolved(OURS))))
    assert told["state"] == "on"
    assert "record-cname" in codes(told, "note")
    assert "record-differs" not in codes(told)


def test_evidence_that_is_too_large_is_left_out_and_what_was_judged_stays() -> None:
    many = tuple(
        said(OURS, server=f"{'x' * 200}{n}.example", address=f"192.0.2.{n}") for n in range(250)
    )
    rows = tuple(served(policy(max_age=n), f"198.51.100.{n}") for n in range(250))
    told = outcome(
        sight(ENFORCE, (OURS,), *rows, answers=many, others=["_mta-sts." + "y" * 200] * 90)
    )
    assert len(json.dumps(told)) < 100_000
    assert told["text"].startswith("MTA-STS is still on")
    assert "policy-differs" in codes(told)
