"""A check's first words: the state, whether mail is at risk, what to do next; and the three answers."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.checks.sight import LEVELS, Sight
from mta_sts.instants import stamp
from mta_sts.observed import History
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
    outcome,
    request,
    resolved,
    said,
    served,
    sight,
    versions,
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
    levels = [LEVELS.index(one["level"]) for one in told["findings"]]
    assert levels == sorted(levels)
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
        assert told["text"].split("\n")[1].startswith("Mail is at risk: version v1, which may be")

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
        assert [one["level"] for one in told["findings"]] == ["alarm", "warning"]
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


@pytest.mark.parametrize(
    "trace",
    [
        {"history": versions(ENFORCE)},
        {"history": History(gap="the bucket keeps no versions")},
        {"item": {"phase": "on"}},
        {"item": None, "problems": {"ledger": "AccessDenied"}},
        {"problems": {"object": "AccessDenied"}},
    ],
    ids=["a version", "no versions kept", "a run", "an unread ledger", "an unread object"],
)
def test_never_is_said_only_where_nothing_speaks_against_it(trace: dict[str, Any]) -> None:
    told = outcome(sight(None, (), **trace))
    assert told["state"] == "off"
    assert "it has neither record nor policy" not in told["text"]


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
