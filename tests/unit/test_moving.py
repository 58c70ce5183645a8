"""May the MX records change? The four answers, by what may be held and what the new hosts are."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mta_sts.instants import stamp
from mta_sts.moving import mx
from mta_sts.observed import Findings, History
from mta_sts.plan import Plan
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    GONE,
    HOST,
    NONE,
    NOT_FOUND,
    NOW,
    SILENT,
    WEEK,
    answered,
    confirmed,
    deletion,
    findings,
    forever,
    history,
    looked,
    plan,
    policy,
    stored,
)

OLD, NEW, THIRD = "mail.solarmora.com", "mx.new.example", "mx.third.example"
END = GONE + timedelta(seconds=WEEK)
A_YEAR_LATER = GONE + timedelta(seconds=31_557_600)
SERVES = f"{HOST} serves a policy with mode enforce at {ADDRESS}"
UNSEEN = f"{ADDRESS} gave no answer (timed out)"


def none_policy(found: Findings, **asked: Any) -> Plan:
    return plan(found, **asked)


def published(found: Findings, **asked: Any) -> Plan:
    return deletion(found, publish_none=True, **asked)


def alone(found: Findings, **asked: Any) -> Plan:
    """The record is deleted alone, and the host serves nothing that could be renewed."""
    return deletion(found, NOT_FOUND, **asked)


METHOD = pytest.mark.parametrize("method", [none_policy, published, alone])


def told(made: Plan, **moments: Any) -> dict[str, Any]:
    return mx(made, confirmed(made, **moments))


def holding(answer: dict[str, Any]) -> dict[str, str]:
    """Which answers hold, and from when; only those that hold may have a date."""
    assert all((one["from"] is not None) == one["holds"] for one in answer["choices"])
    return {one["answer"]: one["from"] for one in answer["choices"] if one["holds"]}


def reasons(answer: dict[str, Any]) -> dict[str, str]:
    return {one["answer"]: one["reason"] for one in answer["choices"]}


def of(versions: History) -> Findings:
    """What is found where these are the versions, and the last of them stands."""
    return findings(history=versions, policy=stored(versions.versions[-1].body or b""))


# A change of the id after the first version had given way, and before this run.
THEN = stamp(NOW - timedelta(days=20))
CHANGED = {"id": "20200425085700", "old": "1", "at": THEN, "gone_at": THEN,
           "distribution_id": "", "published_at": None, "fresh_at": None}  # fmt: skip

NAMES_OLD = of(history((400, ENFORCE)))
NAMES_BOTH = of(history((400, policy("enforce", OLD, NEW))))
NAMED_LATER = of(history((400, ENFORCE), (30, policy("enforce", NEW.upper(), OLD))))
NAMED_BEFORE = of(history((400, policy("enforce", NEW, OLD)), (30, ENFORCE)))
TURNED = of(history((400, policy("enforce", OLD.upper(), NEW)), (30, policy("enforce", NEW, OLD))))
APART = of(history((400, ENFORCE), (30, policy("enforce", THIRD))))
BY_PATTERN = of(history((400, policy("enforce", "*.new.example"))))


@METHOD
@pytest.mark.parametrize(
    ("found", "new_mx"),
    [
        (NAMES_OLD, [OLD]),
        (NAMES_BOTH, [NEW]),
        (NAMES_BOTH, [NEW, OLD]),
        (NAMED_LATER, [OLD]),
        (BY_PATTERN, [NEW]),
    ],
)
def test_at_once_where_every_policy_names_every_new_host(
    method: Any, found: Findings, new_mx: list[str]
) -> None:
    answer = told(method(found, new_mx=new_mx))
    assert (answer["answer"], answer["from"]) == ("now", stamp(GONE))
    assert answer["without_overlap_from"] == stamp(GONE)
    assert answer["reason"] == (
        f"every policy that may still be held names {' and '.join(new_mx)}; each must show a certificate"
        " for its name (RFC 8461 section 4.2)"
    )
    assert answer["confidence"] == "computed"


@METHOD
@pytest.mark.parametrize(
    ("found", "new_mx", "why"),
    [
        (NAMES_OLD, [], "new_mx in the input would tell whether the new hosts satisfy it"),
        (NAMES_OLD, [NEW], f"{NEW} is not named by version v1, which may be held until {stamp(END)}"),
        (NAMES_OLD, [OLD, NEW], f"{NEW} is not named by version v1, which may be held until"),
        (NAMES_OLD, [NEW, THIRD], f"{NEW} and {THIRD} are not named by version v1, which may be"),
        (NAMED_LATER, [NEW], f"{NEW} is not named by version v1, which may be held until"),
        (NAMED_BEFORE, [NEW], f"{NEW} is not named by version v2, which may be held until"),
        (BY_PATTERN, ["a.mx.new.example"], "a.mx.new.example is not named by version v1"),
    ],
)  # fmt: skip
def test_not_at_once_where_one_of_them_does_not(
    method: Any, found: Findings, new_mx: list[str], why: str
) -> None:
    answer = told(method(found, **({"new_mx": new_mx} if new_mx else {})))
    assert holding(answer) == {
        "now with overlap": stamp(GONE),
        "from all_off_at": stamp(END),
    }
    assert (answer["answer"], answer["from"]) == ("now with overlap", stamp(GONE))
    assert answer["without_overlap_from"] == stamp(END)
    assert why in reasons(answer)["now"]
    assert {one["confidence"] for one in answer["choices"]} == {"computed"}
    assert answer["overlap"] == reasons(answer)["now with overlap"]
    assert reasons(answer)["from all_off_at"] == (
        f"no sender holds a policy that could stop mail from {stamp(END)}"
    )


@METHOD
@pytest.mark.parametrize(
    ("found", "named"),
    [
        (NAMES_OLD, OLD),
        (NAMES_BOTH, f"{OLD}, {NEW}"),
        (NAMED_LATER, OLD),
        (TURNED, f"{NEW}, {OLD}"),  # in the order of the newest
        (NAMED_BEFORE, OLD),
        (BY_PATTERN, "*.new.example"),
    ],
)
def test_an_overlap_names_the_old_hosts_that_all_policies_name(
    method: Any, found: Findings, named: str
) -> None:
    reason = told(method(found))["reason"]
    assert f"some sender may still hold an older policy until {stamp(END)}" in reason
    assert f"keep one old MX host that matches what the old policies name ({named}), with" in reason


@METHOD
def test_no_overlap_where_the_policies_have_no_host_in_common(method: Any) -> None:
    answer = told(method(APART, new_mx=[NEW]))
    assert (answer["answer"], answer["from"]) == ("from all_off_at", stamp(END))
    assert holding(answer).keys() == {"from all_off_at"}
    assert answer["overlap"] == reasons(answer)["now with overlap"]
    assert answer["overlap"] == (
        "no old MX host is known that all policies name which may still be held"
    )
    assert reasons(answer)["now"].count("is not named by version") == 2


@METHOD
def test_what_nobody_holds_any_more_need_not_name_the_new_hosts(method: Any) -> None:
    found = replace(NAMED_LATER, id_changes=(CHANGED,))
    assert told(method(found, new_mx=[NEW]))["answer"] == "now"
    assert told(method(replace(found, id_changes=()), new_mx=[NEW]))["answer"] != "now"


@METHOD
@pytest.mark.parametrize(
    ("found", "now"),
    [
        (NAMES_OLD, END),  # at the last moment
        (of(history((400, NONE))), GONE),
        (of(history((400, policy("testing")))), GONE),  # which only reports
        (of(history((400, policy("testing")), (30, NONE))), GONE),
    ],
)
def test_at_once_where_nothing_that_could_stop_mail_is_held(
    method: Any, found: Findings, now: datetime
) -> None:
    answer = told(method(found, new_mx=[NEW]), now=now)
    assert (answer["answer"], answer["from"]) == ("now", stamp(now))
    assert answer["without_overlap_from"] == stamp(now)
    assert answer["reason"] == "no policy that could stop mail is still held by anybody"
    assert reasons(answer)["now with overlap"] == "no overlap is needed any more"
    just_before = told(method(NAMES_OLD, new_mx=[NEW]), now=END - timedelta(seconds=1))
    assert just_before["answer"] == "now with overlap"


# --- what nobody knows


YOUNG = of(history((3, ENFORCE), known=False))
UNREAD = of(history((400, None), (300, ENFORCE)))
ACCEPTED = {"method": "delete-record", "accept_exposure_until": "2028-01-01"}


@pytest.mark.parametrize("asked", [{}, ACCEPTED | {"publish_none": True}])
@pytest.mark.parametrize(
    ("found", "what"), [(YOUNG, "before the known history"), (UNREAD, "as version v1")]
)
def test_what_is_unknown_may_name_anything(
    found: Findings, what: str, asked: dict[str, Any]
) -> None:
    answer = told(plan(found, new_mx=[OLD], **asked))
    latest = stamp(A_YEAR_LATER)
    assert reasons(answer)["now"] == (
        f"nobody knows which hosts were named by what was served {what}, which may be held until {latest}"
    )
    assert answer["answer"] == "now with overlap"
    assert f"({OLD}; what nobody knows may have named others)" in answer["reason"]
    assert answer["without_overlap_from"] == latest
    by = f"from {stamp(END)} by what is known, {latest} at the latest"
    assert reasons(answer)["from all_off_at"].endswith(by)
    assert {one["confidence"] for one in answer["choices"]} == {"unknown"}


def test_of_hosts_that_nobody_knows_none_can_be_kept() -> None:
    answer = told(plan(findings(history=History(gap="no versions are kept"), missing=True),
                       create_policy=True))  # fmt: skip
    assert answer["answer"] == "from all_off_at"
    assert answer["overlap"] == (
        "only policies that nobody knows may still be held, and nobody knows whom they name"
    )


def test_vouching_for_a_max_age_bounds_the_wait_and_names_no_host() -> None:
    answer = told(published(YOUNG, new_mx=[OLD], longest_max_age=WEEK))
    assert reasons(answer)["now"].startswith("nobody knows which hosts were named")
    assert answer["without_overlap_from"] == stamp(END)
    assert answer["confidence"] == "attested"


def test_no_more_than_five_reasons() -> None:
    many = [(400 - number, policy("enforce", f"mx{number}.example")) for number in range(9)]
    answer = told(none_policy(of(history(*many)), new_mx=[NEW]))
    assert reasons(answer)["now"].count("is not named") == 5


# --- what can be renewed without the record


@pytest.mark.parametrize("new_mx", [None, [NEW]])
def test_while_it_can_be_renewed_there_is_no_date(new_mx: list[str] | None) -> None:
    answer = told(deletion(NAMES_OLD, **({"new_mx": new_mx} if new_mx else {})))
    assert holding(answer) == {"now with overlap": stamp(GONE)}
    assert answer["answer"] == "now with overlap"
    assert answer["without_overlap_from"] is None
    assert (
        f"until 604800 seconds (7 days) after {HOST} has stopped serving a policy, in any case until"
        f" {stamp(END)}. Until then keep"
    ) in answer["reason"]
    assert reasons(answer)["from all_off_at"] == (
        f"no date can be given: {SERVES}, and senders that renew over HTTPS alone hold it for as long, and"
        " its max_age more"
    )
    if new_mx:
        assert reasons(answer)["now"] == (
            f"{NEW} is not named by version v1, which may be held until 604800 seconds (7 days) after it is"
            " no longer served"
        )


@pytest.mark.parametrize("later", [timedelta(), timedelta(hours=1), timedelta(days=400)])
@pytest.mark.parametrize("max_age", [0, 60, WEEK])
@pytest.mark.parametrize("served", ["enforce", "enforced"])
def test_never_at_once_while_what_is_served_refuses_the_new_hosts(
    served: str, max_age: int, later: timedelta
) -> None:
    """It is fetched again when its max_age is over, be that no time at all."""
    made = deletion(of(history((400, policy(served, max_age=max_age)))), new_mx=[NEW])
    answer = told(made, now=GONE + later)
    assert not holding(answer).keys() & {"now", "from all_off_at"}
    assert f"{NEW} is not named by version v1" in reasons(answer)["now"]
    assert answer["without_overlap_from"] is None
    # Nothing serves it any more: then it is over when its max_age is.
    ended = told(made, now=GONE + later, seen=looked(NOT_FOUND))
    assert (ended["answer"] == "now") == (later >= timedelta(seconds=max_age))


def test_where_nothing_holds_the_answer_is_the_date_that_nobody_can_give() -> None:
    answer = told(deletion(APART, new_mx=[NEW]))
    assert (answer["answer"], answer["from"]) == ("from all_off_at", None)
    assert answer["without_overlap_from"] is None


def test_it_does_not_matter_who_renews_what_names_the_new_hosts() -> None:
    answer = told(deletion(NAMES_BOTH, new_mx=[NEW]))
    assert (answer["answer"], answer["from"]) == ("now", stamp(GONE))


def test_it_does_not_matter_who_renews_testing() -> None:
    answer = told(deletion(of(history((400, policy("testing"))))))
    assert (answer["answer"], answer["from"]) == ("now", stamp(GONE))


def test_a_host_that_was_not_seen_may_serve_anything() -> None:
    answer = told(deletion(NAMES_BOTH, SILENT, new_mx=[NEW]))
    assert reasons(answer)["now"] == f"what the policy host serves is not known: {UNSEEN}"
    assert answer["answer"] == "now with overlap"
    assert f"until {stamp(END)}, and for as long as {HOST} may serve" in answer["reason"]
    assert "what nobody knows may have named others" in answer["reason"]
    assert answer["confidence"] == "unknown"
    assert holding(answer) == {"now with overlap": stamp(GONE)}
    assert reasons(answer)["from all_off_at"] == f"no date can be given: {UNSEEN}"


# --- policies that the object has no version of


def served_elsewhere(*named: str) -> Any:
    return answered(policy("enforce", *named))


BEFORE = "nobody knows which hosts were named by what was served before the known history"


def test_a_foreign_policy_counts_by_the_hosts_that_it_names() -> None:
    """Besides what that host served before it, which nobody knows."""
    both = told(forever(NAMES_BOTH, served_elsewhere(NEW, THIRD), new_mx=[NEW]))
    assert reasons(both)["now"].startswith(BEFORE)
    assert "is not named by" not in reasons(both)["now"]
    assert f"({NEW}; what nobody knows may have named others)" in both["reason"]
    other = told(forever(NAMES_BOTH, served_elsewhere(OLD, THIRD), new_mx=[NEW]))
    assert f"{NEW} is not named by the policy served at {ADDRESS}, which" in reasons(other)["now"]
    assert f"({OLD}; what" in other["reason"], "what both have in common"


def test_a_foreign_policy_that_came_after_the_plan_is_not_taken_for_the_plans() -> None:
    """At the address where the plan saw one that names the new host there is another now."""
    made = forever(NAMES_BOTH, served_elsewhere(NEW, OLD), new_mx=[NEW])
    later = told(made, seen=looked(served_elsewhere(THIRD)))
    assert (
        f"{NEW} is not named by the policy served at {ADDRESS} after the plan"
        in reasons(later)["now"]
    )
    assert later["answer"] == "from all_off_at", "nor are its hosts among those in common"


def test_a_mirror_that_brings_an_old_policy_back_spoils_the_overlap() -> None:
    """The plan compared the hosts of what was alive then: v2 alone."""
    made = forever(replace(APART, id_changes=(CHANGED,)), NOT_FOUND)
    assert f"({THIRD})" in told(made)["reason"]
    mirrored = told(made, seen=looked(answered(ENFORCE)))
    assert mirrored["answer"] == "from all_off_at"
    assert not holding(mirrored).keys() & {"now", "now with overlap"}


# --- what would be better for a plain move


BETTER = "better for a plain move"
FIRST = "first add the new MX hosts to the enforced policy and change the id"


@pytest.mark.parametrize(
    ("made", "holds"),
    [
        (plan(), True),
        (deletion(), True),
        (deletion(publish_none=True), True),
        (plan(of(history((400, policy("enforced"))))), True),
        (plan(of(history((400, NONE)))), False),  # there is nothing to add them to
        (plan(findings(missing=True), create_policy=True), False),
        (plan(findings(record_sets=[])), False),  # no id tells senders of it
        (deletion(findings(record_sets=[])), False),
    ],
)
def test_the_other_way_is_told_while_it_can_be_taken(made: Plan, *, holds: bool) -> None:
    planned = made.expected["mx"]
    assert holding(planned).get(BETTER) == (stamp(NOW) if holds else None)
    begins = FIRST if holds else f"it is too late for it this time: {FIRST}"
    assert reasons(planned)[BETTER].startswith(begins)
    assert reasons(told(made))[BETTER].startswith(f"it is too late for it this time: {FIRST}")


def test_what_is_better_is_no_less_sure_where_the_past_is_unknown() -> None:
    sure = {one["answer"]: one["confidence"] for one in plan(YOUNG).expected["mx"]["choices"]}
    assert sure == dict.fromkeys(sure, "unknown") | {BETTER: "computed"}
