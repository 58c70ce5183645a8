"""What a run says after which MTA-STS is on: who goes by the policy from when, and may the mail move?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mta_sts.exposure import Moments
from mta_sts.instants import stamp
from mta_sts.live_mx import LiveMx
from mta_sts.moving import BETTER, LATER, OVERLAP
from mta_sts.moving import NOW as AT_ONCE
from mta_sts.observed import History, Location
from mta_sts.plan import Plan
from mta_sts.staying import Adoption, adoption, answer, at_risk, dates
from tests.unit.plans import ENFORCE, NONE, NOW, findings, history, plan, policy, stored
from tests.unit.test_restoring import (
    ELSEWHERE,
    FIRST_ID,
    HOST,
    NULL,
    OFF_ID,
    SAVED_AT,
    UNKNOWN,
    mx_of,
    off,
    remembered,
    restored,
    sha256,
)

# By hand: planned 04:05:06, published 04:10, every cache fresh 04:12; the last name server answered the
# new id at 04:15, so that with a TTL of an hour no resolver has the old one from 05:15 on.
PUBLISHED = datetime(2026, 11, 24, 4, 10, tzinfo=UTC)
FRESH = datetime(2026, 11, 24, 4, 12, tzinfo=UTC)
READERS = datetime(2026, 11, 24, 5, 15, tzinfo=UTC)
MOMENTS = Moments(
    READERS, datetime(2026, 11, 24, 4, 15, tzinfo=UTC), PUBLISHED, FRESH, written=True
)
A_DAY_LATER = datetime(2026, 11, 25, 5, 15, tzinfo=UTC)
YEAR = timedelta(seconds=31_557_600)
MONTH = timedelta(days=30)
WEEK = timedelta(days=7)
NEW = "mx.new.example"
OLDER = policy("enforce", "mx.older.example", max_age=2_592_000)  # 30 days
TESTED = ENFORCE.replace(b"enforce", b"testing")


def changed(days_ago: int, old: str, new: str, **more: Any) -> dict[str, Any]:
    """A change of the id on record: made at 04:10:06, the old one was gone at 05:10:06."""
    at = NOW - timedelta(days=days_ago) + timedelta(minutes=5)
    recorded = {"id": new, "old": old, "at": stamp(at), "gone_at": stamp(at + timedelta(hours=1)),
                "distribution_id": "", "published_at": None, "fresh_at": None}  # fmt: skip
    return recorded | more


TWO_CHANGES = (changed(20, "1", FIRST_ID), changed(10, FIRST_ID, OFF_ID))


def announced(
    *versions: tuple[int, bytes | None],
    known: bool = True,
    id_changes: tuple[dict[str, Any], ...] = (),
    **asked: Any,
) -> Plan:
    """A plan to change the id; the last of the versions is served."""
    body = versions[-1][1]
    assert body is not None
    found = findings(
        policy=stored(body), history=history(*versions, known=known), id_changes=id_changes
    )
    return plan(found, method="change-id", **asked)


def every(made: Plan) -> datetime:
    return adoption(made, MOMENTS, READERS).every


def told(made: Plan) -> dict[str, Any]:
    return answer(made, MOMENTS, READERS)


# --- the dates


def test_none_is_held_for_its_day_after_the_last_id_that_announced_it() -> None:
    """05:15:00 + 86,400 s. The version that was saved counts for nothing: it says the same."""
    adopted = adoption(restored(), MOMENTS, READERS)
    assert adopted == Adoption(first=PUBLISHED, reading=READERS, every=A_DAY_LATER)
    assert dates(adopted) == {
        "enforced_first_at": "2026-11-24T04:10:00Z",
        "enforced_by_readers_at": "2026-11-24T05:15:00Z",
        "enforced_by_all_at": "2026-11-25T05:15:00Z",
    }


@pytest.mark.parametrize(
    ("none", "held"),
    [
        (b"version: STSv1\nmode: none\nmax_age: 3600\n", timedelta(hours=1)),
        (b"version: STSv1\nmode: none\nmax_age: 0\n", timedelta()),
        (b"version: STSv1\nmode: none\n", YEAR),  # it cannot be read
    ],
)
def test_none_counts_with_the_max_age_that_it_has(none: bytes, held: timedelta) -> None:
    ours = {"policies": [sha256(none)], "ids": [OFF_ID]}
    made = restored(off(now_there=none, remembered=remembered(ours=ours)))
    assert every(made) == READERS + held


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        # Replaced on 4 November at 04:05:06, its id gone at 05:10:06; 30 days later is 4 December.
        (TWO_CHANGES, datetime(2026, 12, 4, 5, 10, 6, tzinfo=UTC)),
        # Somebody put another id in between: what counts is the next change, of 14 November.
        (
            (TWO_CHANGES[0], changed(10, "another", OFF_ID)),
            datetime(2026, 12, 14, 5, 10, 6, tzinfo=UTC),
        ),
        # No change is on record: whoever holds it has renewed it until now.
        ((), datetime(2026, 12, 24, 5, 15, tzinfo=UTC)),
    ],
)
def test_an_older_policy_of_another_content_may_be_held_for_longer(
    changes: tuple[dict[str, Any], ...], ends: datetime
) -> None:
    versions = history((400, OLDER), (20, ENFORCE), (10, NONE))
    assert every(restored(off(history=versions, id_changes=changes))) == ends


@pytest.mark.parametrize(
    ("fresh_at", "ends"),
    [
        # Purged at 04:09:00, before the id changed at 04:10:06.
        (datetime(2026, 11, 4, 4, 9, tzinfo=UTC), datetime(2026, 12, 4, 5, 10, 6, tzinfo=UTC)),
        # Purged after it: it may have been stored under the new id, which was gone ten days later.
        (datetime(2026, 11, 4, 4, 20, tzinfo=UTC), datetime(2026, 12, 14, 5, 10, 6, tzinfo=UTC)),
        # Never purged until this run.
        (None, datetime(2026, 12, 24, 5, 15, tzinfo=UTC)),
    ],
)
def test_an_older_policy_is_dated_by_its_purge(fresh_at: datetime | None, ends: datetime) -> None:
    purge = {"distribution_id": "E1", "published_at": stamp(NOW - timedelta(days=20)),
             "fresh_at": stamp(fresh_at)} if fresh_at else {}  # fmt: skip
    found = off(
        history=history((400, OLDER), (20, ENFORCE), (10, NONE)),
        id_changes=(TWO_CHANGES[0] | purge, TWO_CHANGES[1]),
        location=Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt", "E1"),
    )
    assert every(restored(found)) == ends


def test_what_has_died_out_moves_nothing() -> None:
    short = policy("enforce", "mx.older.example", max_age=86_400)
    versions = history((400, short), (20, ENFORCE), (10, NONE))
    assert every(restored(off(history=versions, id_changes=TWO_CHANGES))) == A_DAY_LATER


def test_file_changed_id_not() -> None:
    """What the file said before is renewed on the old id until that is gone, and lives its week."""
    made = announced((400, OLDER), (1, ENFORCE))
    assert adoption(made, MOMENTS, READERS) == Adoption(PUBLISHED, READERS, READERS + MONTH)
    assert every(announced((400, ENFORCE))) == READERS, "nothing else was ever served"


@pytest.mark.parametrize(("asked", "held"), [({}, YEAR), ({"longest_max_age": 2_592_000}, MONTH)])
def test_a_version_that_cannot_be_read_lives_as_long_as_is_vouched_for(
    asked: dict[str, Any], held: timedelta
) -> None:
    assert every(announced((400, None), (30, ENFORCE), **asked)) == READERS + held


def test_ids_that_are_vouched_for_end_what_came_before() -> None:
    versions = (400, OLDER), (300, ENFORCE)
    assert every(announced(*versions, ids_changed_since="2026-03-01")) == READERS
    assert every(announced(*versions)) == READERS + MONTH


def test_a_plan_tells_what_it_would_come_to_at_once() -> None:
    expected = restored().expected
    gone = NOW + timedelta(hours=1)
    assert expected["enforced_by_readers_at"] == stamp(gone)
    assert expected["enforced_by_all_at"] == stamp(gone + timedelta(days=1))
    assert expected["enforced_first_at"] == stamp(NOW)
    assert expected["off"]["all_off_at"]["at"] is None


# --- the words

FROM = "from 2026-11-24T05:15:00Z, every sender from 2026-11-25T05:15:00Z."
SAVED = f"the policy that was saved {SAVED_AT} is served, under the id 20261124040506."
KEEP = (
    f"keep the MX records at hosts that the policy names ({HOST}), each with STARTTLS and a valid"
    " certificate for its name; to move the mail, send none-policy first."
)


@pytest.mark.parametrize(
    ("body", "asked", "state", "verb"),
    [
        (ENFORCE, {}, "on again for solarmora.com", "enforce it"),
        (ENFORCE, {"restore_mode": "testing"}, "on again for solarmora.com, in testing", "report by it"),
        (TESTED, {}, "on again for solarmora.com, in testing", "report by it"),
        (b"\n" + TESTED, {}, "on again for solarmora.com, in testing", "report by it"),
        (b"\n" + ENFORCE, {}, "on again for solarmora.com", "enforce it"),
    ],
)  # fmt: skip
def test_what_a_restore_says(body: bytes, asked: dict[str, Any], state: str, verb: str) -> None:
    sentence = told(restored(off(body, id_changes=TWO_CHANGES), **asked))["off"]["sentence"]
    assert sentence == f"MTA-STS is {state}: {SAVED} Senders that re-read the record {verb} {FROM}"


def test_what_a_change_of_the_id_says() -> None:
    answers = told(announced((400, OLDER), (1, ENFORCE)))
    assert answers["off"]["sentence"] == (
        "MTA-STS is still on for solarmora.com: the policy that was served already is announced anew, under"
        " the id 20261124040506. Senders that re-read the record enforce it from 2026-11-24T05:15:00Z, every"
        " sender from 2026-12-24T05:15:00Z."
    )
    assert answers["off"]["all_off_at"]["reason"].startswith(
        "the policy is in force (mode enforce, "
    )
    assert answers["trouble"]["next"] == KEEP


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (ENFORCE, "(mode enforce, max_age 604800 seconds (7 days))"),
        (policy(max_age="soon"), "(mode malformed, a max_age that cannot be read)"),
    ],
)
def test_there_is_no_date_by_which_it_is_off(body: bytes, reason: str) -> None:
    end = told(restored(off(body)))["off"]["all_off_at"]
    assert end == {
        "at": None,
        "reason": f"the policy is in force again {reason}, so there is no date by which MTA-STS is off",
        "confidence": "computed",
    }


def test_senders_that_do_otherwise_are_named_with_their_date() -> None:
    [other] = told(restored())["off"]["other_senders"]
    assert other["until"] == stamp(A_DAY_LATER)


LATER_ON = " When the TLSRPT reports show no failure, send restore without restore_mode."


def test_what_to_do_next() -> None:
    assert told(restored())["trouble"]["next"] == KEEP
    assert told(restored(restore_mode="testing"))["trouble"]["next"] == KEEP + LATER_ON
    assert told(restored(off(TESTED)))["trouble"]["next"] == KEEP, "it would be testing again"


@pytest.mark.parametrize(
    ("mx", "asked", "risk"),
    [
        (mx_of(HOST), {}, False),
        (mx_of(HOST, "mx.elsewhere.example"), {}, False),
        (ELSEWHERE, {"accept_mx_mismatch": True}, True),
        (NULL, {"accept_mx_mismatch": True}, True),
        (UNKNOWN, {"accept_mx_mismatch": True}, True),
        (ELSEWHERE, {"restore_mode": "testing"}, False),
    ],
)
@pytest.mark.parametrize("body", [ENFORCE, b"\n" + ENFORCE])
def test_mail_at_risk(mx: LiveMx, asked: dict[str, Any], risk: bool, body: bytes) -> None:  # noqa: FBT001
    made = restored(off(body, live_mx=mx), **asked)
    assert at_risk(made) is risk
    trouble = told(made)["trouble"]
    assert (trouble["state"], trouble["mail_at_risk"]) == ("on", risk)
    assert trouble["next"].startswith("put the MX records back") is risk


def test_who_changes_the_id_puts_no_mail_at_risk() -> None:
    assert not told(announced((400, ENFORCE)))["trouble"]["mail_at_risk"]


# --- may the MX records change?

BOTH = policy("enforce", HOST, NEW)
THREE = policy("enforce", HOST, NEW, "mx.third.example")
NOT_NAMED = f"what was served as version v1 may still be held, and does not name {NEW}"
NOBODY = "may still be held, and nobody knows whom it names"
IN_FORCE = (
    f"the policy in force names {HOST}: first add the new hosts to it and change the id, or turn it off by"
    " none-policy"
)
NOT_YET = "better for a plain move"
EVERY = f"every policy that may be held names {NEW}"
ENDED: dict[str, Any] = {
    "id_changes": (changed(30, "1", "20200425085700"),)
}  # what was replaced then has died out


@pytest.mark.parametrize(
    ("made", "first", "begins", "reason"),
    [
        (announced((400, THREE), (1, BOTH), new_mx=[NEW]), AT_ONCE, READERS, EVERY),
        (announced((3, BOTH), new_mx=[NEW]), AT_ONCE, READERS, EVERY),  # nothing was before it
        (announced((400, ENFORCE), new_mx=[NEW]), NOT_YET, None, IN_FORCE),
        (announced((400, BOTH), (1, ENFORCE), new_mx=[NEW]), NOT_YET, None, IN_FORCE),
        (announced((400, BOTH)), NOT_YET, None, IN_FORCE.replace(HOST, f"{HOST}, {NEW}")),
        (announced((400, BOTH), new_mx=[NEW, "c.example"]), NOT_YET, None,
         IN_FORCE.replace(HOST, f"{HOST}, {NEW}")),
        (announced((400, ENFORCE), (1, BOTH), new_mx=[NEW]), LATER, READERS + WEEK, NOT_NAMED),
        (announced((400, ENFORCE), (30, BOTH), new_mx=[NEW], **ENDED), AT_ONCE, READERS, EVERY),
        (announced((400, TESTED), (1, BOTH), new_mx=[NEW]), AT_ONCE, READERS, EVERY),
        (announced((400, NONE), (1, BOTH), new_mx=[NEW]), AT_ONCE, READERS, EVERY),
        (announced((400, None), (1, BOTH), new_mx=[NEW]), LATER, READERS + YEAR,
         f"what was served as version v1 {NOBODY}"),
        (announced((3, BOTH), known=False, new_mx=[NEW]), LATER, READERS + YEAR,
         f"what was served before the known history {NOBODY}"),
        (announced((3, BOTH), known=False, new_mx=[NEW], longest_max_age=2_592_000), LATER,
         READERS + MONTH, f"what was served before the known history {NOBODY}"),
        (announced((400, TESTED)), AT_ONCE, READERS, "a policy in testing stops no mail"),
        (announced((400, TESTED), new_mx=[NEW]), AT_ONCE, READERS, "a policy in testing stops no mail"),
        (announced((400, ENFORCE), (1, TESTED)), LATER, READERS + WEEK,
         "what was served as version v1 may still be held"),
        (announced((400, ENFORCE), (1, TESTED), new_mx=[NEW]), LATER, READERS + WEEK, NOT_NAMED),
        (restored(), NOT_YET, None, IN_FORCE),
        (restored(off(TESTED)), AT_ONCE, READERS, "a policy in testing stops no mail"),
        # The same in enforce is another content: held, unless a change of the id has ended it.
        (restored(off(id_changes=TWO_CHANGES), restore_mode="testing"), AT_ONCE, READERS,
         "a policy in testing stops no mail"),
        (restored(restore_mode="testing"), LATER, READERS + WEEK,
         "what was served as version v1 may still be held"),
    ],
)  # fmt: skip
def test_may_the_mx_records_change(
    made: Plan, first: str, begins: datetime | None, reason: str
) -> None:
    mx = told(made)["mx"]
    at = stamp(begins) if begins else None
    assert (mx["answer"], mx["from"], mx["without_overlap_from"]) == (first, at, at)
    assert mx["reason"] == reason
    assert [one["answer"] for one in mx["choices"]] == [AT_ONCE, OVERLAP, LATER, BETTER]
    assert [one["answer"] for one in mx["choices"] if one["holds"]] == [first]
    # The way that is better for a plain move can be begun when this one is done.
    assert [one["from"] for one in mx["choices"] if one["from"]] == [at or stamp(READERS)]


def test_an_object_without_any_version_on_record() -> None:
    item = remembered(ours={"policies": [""], "ids": [OFF_ID]})
    found = off(now_there=None, remembered=item, history=History(gap="never versioned"))
    mx = told(restored(found, restore_mode="testing"))["mx"]
    assert (mx["answer"], mx["from"]) == (LATER, stamp(READERS + YEAR))
