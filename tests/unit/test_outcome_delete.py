"""How a run of `delete-record` ended: what is gone is seen, and what a confirmed run gives out."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.instants import stamp
from mta_sts.messages import PUT_BACK
from mta_sts.outcome import Standing, succeeded, what_changed
from mta_sts.plan import Plan
from mta_sts.record_set import RecordSet
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    GONE,
    HOST,
    NAME,
    NONE,
    NOT_FOUND,
    NOW,
    SILENT,
    WEEK,
    answered,
    deletion,
    findings,
    history,
    looked,
    plan,
    policy,
    stored,
    txt,
)

STS = "v=STSv1; id=20200425085700;"
BESIDE = findings(record_sets=[txt(STS, "neighbour")])
CNAME = {"Type": "CNAME", "TTL": 900, "ResourceRecords": [{"Value": "v.example."}]}

ALONE, PUBLISHING = deletion(), deletion(publish_none=True)
NEIGHBOUR, VENDOR = deletion(BESIDE), deletion(findings(record_sets=[CNAME]))
NEVER_THERE = deletion(findings(record_sets=[]))
BOTH_DONE = deletion(findings(policy=stored(NONE), record_sets=[]), publish_none=True)
NONE_ALREADY = deletion(findings(policy=stored(NONE)), publish_none=True)

OLD, NEW = PUBLISHING.policy.before_sha256, PUBLISHING.policy.after_sha256
STANDS = ALONE.record.before
OTHER = RecordSet(NAME, 3600, ('"v=STSv1; id=somebody;"',))
LEFT = RecordSet(NAME, 3600, ('"neighbour"',))
MORE = RecordSet(NAME, 60, ('"neighbour"', '"v=spf1 -all"'))


@pytest.mark.parametrize(
    ("made", "policy_sha256", "record", "changed"),
    [
        (ALONE, OLD, None, "record"),  # gone
        (ALONE, OLD, STANDS, "nothing"),  # still there
        (ALONE, OLD, OTHER, "nothing"),  # somebody else's stands
        (ALONE, NEW, None, "record"),  # somebody published, which was not asked of this run
        (ALONE, "", None, "record"),
        (NEIGHBOUR, OLD, LEFT, "record"),
        (NEIGHBOUR, OLD, None, "record"),  # somebody took the neighbour too
        (NEIGHBOUR, OLD, MORE, "record"),  # somebody put another one in
        (ALONE, OLD, MORE, "record"),
        (NEIGHBOUR, OLD, NEIGHBOUR.record.before, "nothing"),
        (VENDOR, OLD, None, "record"),
        (VENDOR, OLD, VENDOR.record.before, "nothing"),
        (PUBLISHING, NEW, None, "policy and record"),
        (PUBLISHING, NEW, STANDS, "policy"),
        (PUBLISHING, OLD, STANDS, "nothing"),
        (PUBLISHING, OLD, None, PUT_BACK),
        (PUBLISHING, "0" * 64, None, "record"),  # a policy that nobody knew of
        (PUBLISHING, "0" * 64, STANDS, "nothing"),
        (NONE_ALREADY, NONE_ALREADY.policy.after_sha256, None, "record"),
        (NEVER_THERE, OLD, None, "nothing"),  # nothing to delete
        (BOTH_DONE, BOTH_DONE.policy.after_sha256, None, "nothing"),
    ],
)
def test_what_changed(
    made: Plan, policy_sha256: str, record: RecordSet | None, changed: str
) -> None:
    standing = Standing(policy_sha256, record_seen=True, record=record)
    assert what_changed(made, "Delete Record", standing) == changed
    assert what_changed(made, "Confirm", standing) == changed
    assert what_changed(made, "Check Host", standing) == "nothing", "which comes before any write"


def test_what_was_put_back_matters_only_to_a_run_that_published() -> None:
    """An enforced policy that stands is no news where the policy was left alone."""
    assert ALONE.policy.known.keys() == {OLD}
    standing = Standing(OLD, record_seen=True)
    assert what_changed(ALONE, "Confirm", standing) == "record"


@pytest.mark.parametrize("made", [ALONE, PUBLISHING, NEVER_THERE])
def test_what_could_not_be_seen_is_not_guessed(made: Plan) -> None:
    assert what_changed(made, "Delete Record", Standing()) == "unknown"
    assert what_changed(made, "Delete Record", Standing(OLD)) == "unknown"


def test_the_policy_has_to_be_seen_only_where_it_was_to_be_written() -> None:
    """It may lie in a bucket that nobody here can read: a plain deletion does without."""
    unread = Standing(None, record_seen=True)
    assert what_changed(ALONE, "Delete Record", unread) == "record"
    assert what_changed(ALONE, "Delete Record", replace(unread, record=STANDS)) == "nothing"
    assert what_changed(PUBLISHING, "Delete Record", unread) == "unknown"


# --- a confirmed run


END = GONE + timedelta(seconds=WEEK)
CONFIRMED = GONE + timedelta(minutes=1)
FRESH = NOW + timedelta(minutes=1)


def ended(made: Plan, *fetched: Any, now: Any = CONFIRMED) -> dict[str, Any]:
    """The output; the last look finds what the plan's found, unless told otherwise."""
    published = {"published_at": stamp(NOW), "written": made.policy.write}
    moments = {
        "host": made.host or {"agreeing": []},
        "published": published if made.publishes else None,
        "caches": {"fresh_at": stamp(FRESH)},
        "served": {"checked_at": stamp(FRESH)},
        "in_sync": {"checked_at": stamp(FRESH)},
        "names": {"record_gone_at": stamp(GONE)},
    }
    seen = looked(*fetched) if fetched else made.host or looked(answered(NONE))
    record = {"ready": True, "agreeing": [{"server": "ns-1.example"}], "longest_ttl": 0}
    return succeeded(made, moments, record, seen, "arn:run", now)


@pytest.mark.parametrize(
    ("made", "changed"),
    [
        (ALONE, "record"),
        (NEIGHBOUR, "record"),
        (PUBLISHING, "policy and record"),
        (NONE_ALREADY, "record"),
        (NEVER_THERE, "nothing"),
        (BOTH_DONE, "nothing"),
        (deletion(findings(record_sets=[]), publish_none=True), "policy"),
    ],
)
def test_a_confirmed_run_says_what_it_changed(made: Plan, changed: str) -> None:
    output = ended(made)
    assert (output["state"], output["method"]) == ("off", "delete-record")
    assert output["changed"] == changed
    assert output["text"].startswith(
        f"MTA-STS is off for solarmora.com: for senders that hold no policy since {stamp(GONE)}, for"
    )


def test_the_output_of_a_deletion() -> None:
    output = ended(deletion(findings(), NOT_FOUND, longest_max_age=WEEK))
    assert output["id"] == {"old": "20200425085700", "new": ""}
    assert output["moments"] == {
        "published_at": None,
        "caches_fresh_at": None,
        "in_sync_at": stamp(FRESH),
        "record_gone_at": stamp(GONE),
        "confirmed_at": stamp(CONFIRMED),
    }
    assert output["conforming_off_at"] == output["all_off_at"] == stamp(END)
    assert output["attested"] == {"longest_max_age": WEEK, "ids_changed_since": None}
    assert output["exposures"] == [
        {
            "version": "v1",
            "mode": "enforce",
            "max_age": WEEK,
            "ends": stamp(END),
            "blocks_mail": True,
        }
    ]
    assert output["evidence"]["policy"]["agreeing"][0]["found"] == "status 404"
    assert output["evidence"]["record"] == {"agreeing": [{"server": "ns-1.example"}]}
    assert not any("certificate" in warning for warning in output["warnings"])


def test_a_date_that_nobody_can_give_is_none() -> None:
    """And not a word that a program would take for one."""
    output = ended(ALONE)
    names = ("conforming_off_at", "rfc_off_at", "all_off_at", "known_off_at")
    assert [output[name] for name in names] == [None] * 4
    assert output["needing_record_off_at"] == stamp(END)
    assert "None" not in output["text"]


def test_the_last_look_counts_and_those_before_it() -> None:
    # The host served the policy when the plan was made, and serves nothing any more.
    assert ended(ALONE, NOT_FOUND)["all_off_at"] == stamp(END)
    assert ended(deletion(findings(), NOT_FOUND), answered())["all_off_at"] is None
    assert ended(deletion(findings(), NOT_FOUND), SILENT)["all_off_at"] is None


def test_a_foreign_policy_in_the_last_look_counts_and_so_does_what_was_served_before_it() -> None:
    foreign = answered(policy("enforce", "mx.example", max_age=2 * WEEK))
    output = ended(deletion(findings(), NOT_FOUND), foreign)
    assert output["conforming_off_at"] is None
    assert output["needing_record_off_at"] == stamp(CONFIRMED + timedelta(seconds=31_557_600))
    assert [(one["version"], one["ends"]) for one in output["exposures"]] == [
        ("before the known history", output["needing_record_off_at"]),
        (
            f"the policy served at {ADDRESS} after the plan",
            stamp(GONE + timedelta(seconds=2 * WEEK)),
        ),
        ("v1", stamp(END)),
    ]
    assert output["answers"]["trouble"]["mail_at_risk"]
    assert "\nMail may be at risk. Next: find out what" in output["text"]


def test_with_none_published_the_host_is_kept_and_its_certificate_watched() -> None:
    output = ended(PUBLISHING)
    assert output["moments"]["published_at"] == stamp(NOW)
    assert output["moments"]["caches_fresh_at"] == stamp(FRESH)
    ending = {"certificate_not_after": stamp(NOW + timedelta(days=3))}
    ends = ended(PUBLISHING, answered(NONE, **ending))
    assert any(f"The certificate of the policy host ends {stamp(NOW + timedelta(days=3))}" in one
               for one in ends["warnings"])  # fmt: skip
    alone = ended(deletion(findings(), NOT_FOUND), answered(b"", status=404, **ending))
    assert not any("certificate" in one for one in alone["warnings"]), "nobody has to fetch there"
    assert f"keep {HOST} serving this policy" in output["text"]


def test_a_run_that_took_longer_than_was_accepted_says_so() -> None:
    until = stamp(END)
    made = deletion(findings(), NOT_FOUND, accept_exposure_until=until)
    assert not any("later than was accepted" in one for one in ended(made)["warnings"])
    found = findings(longest_ttl=0, record_sets=[txt(STS, ttl=60)])
    accepted = stamp(NOW + timedelta(seconds=60 + WEEK))
    late = deletion(found, NOT_FOUND, accept_exposure_until=accepted)
    [said] = [one for one in ended(late)["warnings"] if "later than was accepted" in one]
    assert said == (
        f"Senders may hold a policy until {until}, later than was accepted ({accepted}), because the"
        " change took longer to arrive than planned."
    )
    over = ended(late, now=END)
    assert not any("later than was accepted" in one for one in over["warnings"])


def test_what_only_reports_is_listed_and_stops_no_mail() -> None:
    made = deletion(findings(policy=stored(policy("testing"))), NOT_FOUND)
    output = ended(made)
    [one] = output["exposures"]
    assert (one["mode"], one["ends"], one["blocks_mail"]) == ("testing", stamp(END), False)
    assert output["conforming_off_at"] == stamp(CONFIRMED), "at once, where nothing is exposed"
    assert output["all_off_at"] == stamp(END)


def test_no_more_than_twenty_exposures_are_listed() -> None:
    versions = history(*((400 - number, policy(max_age=number)) for number in range(30)))
    made = deletion(findings(history=versions, policy=stored(policy(max_age=29))), NOT_FOUND)
    ages = [one["max_age"] for one in ended(made)["exposures"]]
    assert ages == list(range(29, 9, -1)), "the longest first"


def test_a_deletion_after_none_policy_counts_from_the_change_on_record() -> None:
    """The run before turned it off; the deletion ends nothing anew."""
    first = NOW - timedelta(days=30)
    change = {"id": "20200425085700", "old": "1", "at": stamp(first), "gone_at": stamp(first),
              "distribution_id": "", "published_at": stamp(first), "fresh_at": stamp(first)}  # fmt: skip
    versions = history((400, ENFORCE), (31, NONE))
    found = findings(policy=stored(NONE), history=versions, id_changes=(change,))
    output = ended(deletion(found))
    assert output["exposures"][0]["ends"] == stamp(first + timedelta(seconds=WEEK))
    assert output["conforming_off_at"] == output["all_off_at"] == stamp(GONE)
    unknown = ended(deletion(replace(found, id_changes=())))
    assert unknown["all_off_at"] == stamp(END)


def test_none_policy_is_as_it_was() -> None:
    output = ended(plan())
    assert (output["method"], output["changed"]) == ("none-policy", "policy and record")
    assert output["conforming_off_at"] == stamp(GONE)
