"""Is it off, for whom, from when, and what now: both methods, with none published first and without."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.answers import answer, dates
from mta_sts.instants import instant, stamp
from mta_sts.plan import Plan
from mta_sts.policy_check import Fetched
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
from tests.unit.test_restoring import ELSEWHERE, UNKNOWN, mx_of
from tests.unit.test_restoring import NULL as NULL_MX

A_WEEK, A_YEAR = timedelta(seconds=WEEK), timedelta(seconds=31_557_600)
GONE_SAID = f"MTA-STS is off for solarmora.com: for senders that hold no policy since {stamp(GONE)}"
A_WEEK_LATER = stamp(GONE + A_WEEK)
SERVES = f"{HOST} serves a policy with mode enforce at {ADDRESS}"
NOTHING = f"{HOST} serves no policy ({ADDRESS}: status 404)"
UNSEEN = f"{ADDRESS} gave no answer (timed out)"


@dataclass(frozen=True)
class Expected:
    """What is said of one scenario; None: no date can be given.

    ``renewing`` is what becomes of senders that renew over HTTPS alone.
    """

    conforming: datetime | None
    rfc: datetime | None
    every: datetime | None
    sentence: str
    why_every: str
    renewing: str
    next: str


LONGEST = "the known policy that lives longest is version v1 (mode enforce, max_age 604800 seconds (7 days))"
NONE_POLICY = Expected(
    GONE,
    NOW + A_WEEK,
    GONE + A_WEEK,
    "MTA-STS is off for solarmora.com: for senders that re-read the record since"
    f" {stamp(GONE)}, for every sender from {A_WEEK_LATER}.",
    LONGEST,
    "fetch mode none when they next renew, as long as the host serves it",
    f"keep {HOST} serving this policy, with a valid certificate, until {A_WEEK_LATER}.",
)
PUBLISHED = replace(
    NONE_POLICY,
    conforming=GONE + A_WEEK,
    sentence=f"{GONE_SAID}, for every sender from {A_WEEK_LATER}.",
)
NEEDING = f"{GONE_SAID}, for those that hold one and need the record from {A_WEEK_LATER};"
SERVING = Expected(
    None,
    None,
    None,
    f"{NEEDING} those that renew over HTTPS alone keep it for as long as {HOST} serves one, and no end is"
    " known.",
    f"{SERVES}, and senders that renew over HTTPS alone (RFC 8461 section 10.2) keep it while the host"
    f" serves it; for all others: {LONGEST}",
    f"keep the policy and renew it for as long as {HOST} serves one",
    "to end it for senders that renew over HTTPS alone too, send the same request with publish_none: true.",
)
SERVING_NOTHING = replace(
    PUBLISHED,
    rfc=GONE + A_WEEK,
    why_every=f"{LONGEST}; nothing can renew it, as long as that stays so: {NOTHING}",
    renewing=f"cannot renew what they hold, because {NOTHING}",
    next=f"let {HOST} serve no policy but mode none until {A_WEEK_LATER}: mend neither it nor its certificate"
    " before that, unless the object says none.",
)
NOT_SEEN = replace(
    SERVING,
    sentence=f"{NEEDING} of those that renew over HTTPS alone nothing can be said, because {UNSEEN}.",
    why_every=f"whether a policy can be renewed over HTTPS is not known: {UNSEEN}",
    renewing=f"may renew what they hold: {UNSEEN}",
    next=f"look whether {HOST} serves a policy, because {UNSEEN}.",
)
SCENARIOS: dict[str, tuple[Plan, Expected]] = {
    "none-policy": (plan(), NONE_POLICY),
    "delete-record, none published": (deletion(publish_none=True), PUBLISHED),
    "delete-record, the host serves it": (deletion(), SERVING),
    "delete-record, the host serves nothing": (deletion(findings(), NOT_FOUND), SERVING_NOTHING),
    "delete-record, the host was not seen": (deletion(findings(), SILENT), NOT_SEEN),
}
SCENARIO = pytest.mark.parametrize(("made", "said"), SCENARIOS.values(), ids=SCENARIOS)


DATES = ("conforming_off_at", "rfc_off_at", "needing_record_off_at", "all_off_at")


def told(made: Plan, **moments: Any) -> dict[str, Any]:
    return answer(made, confirmed(made, **moments))


@SCENARIO
def test_for_whom_and_from_when(made: Plan, said: Expected) -> None:
    off = told(made)["off"]
    assert off["sentence"] == said.sentence
    given = {name: off[name]["at"] for name in DATES}
    assert given == {name: date for name, date in dates(confirmed(made)).items() if name in DATES}
    assert off["all_off_at"]["reason"] == said.why_every
    assert off["needing_record_off_at"]["reason"] == LONGEST
    sure = "unknown" if said is NOT_SEEN else "computed"
    assert {off[name]["confidence"] for name in DATES} == {sure}


@SCENARIO
def test_the_dates(made: Plan, said: Expected) -> None:
    """None stands for what nobody can know while some policy is, or may be, renewed."""
    every = said.every and stamp(said.every)
    assert dates(confirmed(made)) == {
        "conforming_off_at": said.conforming and stamp(said.conforming),
        "rfc_off_at": said.rfc and stamp(said.rfc),
        "needing_record_off_at": A_WEEK_LATER,
        "all_off_at": every,
        "known_off_at": every,
    }


@SCENARIO
def test_why_those_that_conform(made: Plan, said: Expected) -> None:
    reason = told(made)["off"]["conforming_off_at"]["reason"]
    if said.conforming is None:
        why = UNSEEN if said is NOT_SEEN else SERVES
        assert reason == (
            f"a sender may conform and renew over HTTPS alone (RFC 8461 section 10.2): {why}"
        )
    elif made.deletes:
        assert reason.startswith("without a record a sender keeps to the policy it holds until")
        assert reason.endswith("that can stop mail and " + LONGEST.partition("that ")[2])
    else:
        assert "reads the record again before it fails mail" in reason


@SCENARIO
def test_who_does_otherwise(made: Plan, said: Expected) -> None:
    who = {one["who"].split(",")[0]: one for one in told(made)["off"]["other_senders"]}
    rejecting = "senders that reject a none policy without mx lines"
    expected = {
        "senders that renew over HTTPS alone": said.every and stamp(said.every),
        "senders that ignore the id": A_WEEK_LATER,
        rejecting: A_WEEK_LATER,
        "senders whose resolver serves expired answers (RFC 8767)": None,
    }
    if not made.publishes:
        del expected[rejecting]
    assert {name: one["until"] for name, one in who.items()} == expected
    assert who["senders that renew over HTTPS alone"]["what"] == said.renewing


@pytest.mark.parametrize("asked", [{}, {"method": "delete-record", "publish_none": True}])
def test_with_mx_lines_nobody_rejects_the_none_policy(asked: dict[str, Any]) -> None:
    off = told(plan(keep_mx=True, **asked))["off"]
    assert not any("reject" in one["who"] for one in off["other_senders"])


@SCENARIO
def test_what_to_do(made: Plan, said: Expected) -> None:
    trouble = told(made)["trouble"]
    assert (trouble["state"], trouble["mail_at_risk"]) == ("off", False)
    mx, _, host = trouble["next"].partition("; ")
    assert host == said.next
    until = {
        SERVING: f"until 604800 seconds (7 days) after {HOST} has stopped serving a policy, in any case until"
        f" {A_WEEK_LATER}",
        NOT_SEEN: f"until {A_WEEK_LATER}, and for as long as {HOST} may serve a policy and its max_age"
        " after that",
    }.get(said, f"until {A_WEEK_LATER}")
    assert mx == (
        "the MX records may change now if one old MX host stays among the two that are tried first, or"
        f" else keep them as they are, {until}"
    )


@pytest.mark.parametrize(
    ("made", "host"),
    [
        (plan(), f"nobody needs {HOST} for MTA-STS any more, but its record still does."),
        (deletion(publish_none=True), f"nobody needs {HOST} for MTA-STS any more."),
        (deletion(findings(), NOT_FOUND), f"nobody needs {HOST} for MTA-STS any more."),
    ],
)
def test_what_to_do_when_all_is_over(made: Plan, host: str) -> None:
    trouble = told(made, now=GONE + A_WEEK)["trouble"]
    assert trouble["next"] == f"MTA-STS asks nothing of the MX hosts any more; {host}"


def test_a_testing_policy_can_be_renewed_and_what_stops_mail_has_its_date() -> None:
    longer = policy(max_age=2 * WEEK)
    found = findings(
        history=history((400, longer), (5, policy("testing"))), policy=stored(policy("testing"))
    )
    said = told(forever(found))
    ends = stamp(GONE + 2 * A_WEEK)
    assert f"and need the record from {ends}; those that renew" in said["off"]["sentence"]
    assert said["off"]["all_off_at"]["at"] is said["off"]["rfc_off_at"]["at"] is None
    assert said["off"]["conforming_off_at"]["at"] == ends, "what is renewed stops no mail"
    assert f"or else keep them as they are, until {ends}; " in said["trouble"]["next"]


def test_what_to_do_where_the_new_hosts_are_fine_or_no_old_one_is_known() -> None:
    fine = told(deletion(new_mx=["mail.solarmora.com"]))["trouble"]["next"]
    assert fine.startswith("the MX records may change now, to the hosts that were asked about; ")
    both = mx_of("mail.solarmora.com", "mx2.example")
    versions = history((400, ENFORCE), (5, policy("enforce", "mx2.example")))
    apart = findings(history=versions, live_mx=both)
    none = told(deletion(apart, publish_none=True))["trouble"]["next"]
    assert none.startswith(
        f"no old MX host is known that all policies name which may still be held, so keep them as they are,"
        f" until {A_WEEK_LATER}; keep {HOST} serving"
    )


def test_on_what_it_rests_that_mail_is_not_at_risk() -> None:
    stay = (
        "Mail is not at risk while an MX host that the old policies name stays among the two that"
    )
    for made in (plan(), deletion(None, NOT_FOUND)):
        assert told(made)["trouble"]["risk"] == f"{stay} are tried first."
        over = told(made, now=GONE + 2 * A_WEEK)["trouble"]
        assert (over["risk"], over["mail_at_risk"]) == ("Mail is not at risk.", False)
    for unseen in (UNKNOWN, None):
        seen = told(plan(findings(live_mx=unseen)))["trouble"]
        assert seen["risk"] == f"{stay} are tried first; the MX records themselves were not seen."
        assert seen["mail_at_risk"] is None


def test_mail_that_went_elsewhere_already_is_at_risk_until_they_let_go() -> None:
    gone = findings(live_mx=mx_of("mx.new.example"))
    for made in (plan(gone), deletion(gone, NOT_FOUND)):
        seen = told(made)["trouble"]
        assert seen["mail_at_risk"] is True
        assert seen["risk"] == (
            "Mail may be at risk: the MX records name mx.new.example, and version v1 of the policy, which may"
            " still be held, names none of them."
        )
        until = f"among the two that are tried first, until {A_WEEK_LATER}; "
        way = f"have an MX host that the old policies name (mail.solarmora.com) {until}"
        assert seen["next"].startswith(way)
        [warning] = [one for one in made.warnings if "mx.new.example" in one]
        assert "senders that hold it deliver to nobody" in warning
        assert told(made, now=GONE + 2 * A_WEEK)["trouble"]["mail_at_risk"] is False
    assert told(plan(findings(live_mx=NULL_MX)))["trouble"]["mail_at_risk"] is False
    both = plan(findings(live_mx=mx_of("mx.new.example", "mail.solarmora.com")))
    assert told(both)["trouble"]["mail_at_risk"] is False, "which is the overlap that is asked for"
    reports = plan(findings(policy=stored(policy("testing")), live_mx=mx_of("mx.new.example")))
    assert told(reports)["trouble"]["mail_at_risk"] is False, "in testing no mail is held up"


FOREIGN = policy("enforce", "mx.elsewhere.example")
LOOK = (
    f"find out what {HOST} serves, because it is not the policy in S3, and whether it names the present MX"
    " hosts; do not move the mail yet; to end it for senders that renew over HTTPS alone too, have"
    f" {HOST} serve mode none, or nothing."
)


def test_a_foreign_policy_beside_the_object_puts_mail_at_risk() -> None:
    """Senders hold the present MX hosts against what somebody else says of them."""
    seen = told(forever(findings(), answered(FOREIGN)))
    says = (
        "Mail may be at risk: the MX records name mail.solarmora.com, and the policy served at 192.0.2.1,"
        " which may still be held, names none of them."
    )
    assert seen["trouble"] == {"state": "off", "mail_at_risk": True, "risk": says, "next": LOOK}
    came = told(forever(findings(), NOT_FOUND), seen=looked(answered(FOREIGN)))
    assert (came["trouble"]["mail_at_risk"], came["trouble"]["next"]) == (True, LOOK)


@pytest.mark.parametrize(
    "made",
    [
        # It is the domain's own, elsewhere.
        forever(findings(missing=True, live_mx=ELSEWHERE), answered(FOREIGN)),
        forever(findings(), answered(policy("testing", "mx.elsewhere.example"))),
        forever(findings(), answered(policy("none"))),
        forever(findings(), SILENT),
        deletion(),
    ],
)
def test_nothing_else_does(made: Plan) -> None:
    assert told(made)["trouble"]["mail_at_risk"] is False


@pytest.mark.parametrize(
    "served", [FOREIGN, policy("testing", "mx.elsewhere.example"), policy("enforced", "b.example")]
)
def test_a_policy_that_is_not_the_objects_is_ended_where_it_is_served(served: bytes) -> None:
    """Publishing none would write to an object that nobody is served."""
    assert told(forever(findings(), answered(served)))["trouble"]["next"].endswith(
        f"renew over HTTPS alone too, have {HOST} serve mode none, or nothing."
    )


# --- what the reasons rest on


YOUNG = findings(history=history((3, ENFORCE), known=False))
A_YEAR_TAKEN = "a year, the longest that RFC 8461 allows, is taken for it"
ACCEPTED = {"accept_exposure_until": "2028-01-01"}
GAP = replace(YOUNG, history=replace(YOUNG.history, known_since=None, gap="no versions are kept"))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            plan(YOUNG),
            f"; what was served before the oldest known version is not known, so {A_YEAR_TAKEN}",
        ),
        (
            forever(GAP, NOT_FOUND),
            f"is not known (no versions are kept), so {A_YEAR_TAKEN}",
        ),
        (
            deletion(YOUNG, publish_none=True, longest_max_age=2 * WEEK, **ACCEPTED),
            "so 1209600 seconds (14 days) are taken for it, which the caller attests as the longest",
        ),
        (
            plan(findings(history=history((400, None), (300, ENFORCE)))),
            f"; version v1 cannot be read, so {A_YEAR_TAKEN}",
        ),
        (
            plan(YOUNG, ids_changed_since="2026-10-01"),
            "; the caller attests that every id of before 2026-10-01T00:00:00Z has changed since",
        ),
        (
            plan(findings(history=history((400, ENFORCE), (30, NONE)), policy=stored(NONE))),
            f"replaced {stamp(NOW - timedelta(days=30))}); it counts from this run, because no change",
        ),
        (plan(findings(policy=stored(NONE))), "no known policy can still be held by anybody"),
    ],
)
def test_why_every_sender(made: Plan, said: str) -> None:
    assert said in told(made)["off"]["all_off_at"]["reason"]


def test_a_deletion_names_for_those_that_conform_the_policy_that_stops_their_mail() -> None:
    longer = (350, policy("testing", max_age=4 * WEEK))
    found = findings(history=history((400, ENFORCE), longer, (30, ENFORCE)))
    off = told(deletion(found, NOT_FOUND))["off"]
    assert "lives longest is version v1 (mode enforce" in off["conforming_off_at"]["reason"]
    assert off["conforming_off_at"]["at"] == A_WEEK_LATER
    assert "lives longest is version v2 (mode testing" in off["all_off_at"]["reason"]
    assert off["all_off_at"]["at"] == stamp(GONE + 4 * A_WEEK)
    tested = told(deletion(findings(policy=stored(policy("testing"))), NOT_FOUND))["off"]
    assert "no known policy that can stop mail" in tested["conforming_off_at"]["reason"]
    assert tested["conforming_off_at"]["at"] == stamp(GONE)


def test_a_year_that_is_assumed_stands_beside_what_is_known() -> None:
    off = told(forever(YOUNG, NOT_FOUND))["off"]
    assert f"from {A_WEEK_LATER} by what is known, {stamp(GONE + A_YEAR)} at" in off["sentence"]
    assert off["conforming_off_at"]["at"] == off["all_off_at"]["at"] == stamp(GONE + A_YEAR)
    assert off["all_off_at"]["confidence"] == off["conforming_off_at"]["confidence"] == "unknown"
    # Of none-policy's promise to those that re-read the record nothing is assumed.
    known = told(plan(YOUNG))["off"]
    assert known["conforming_off_at"]["at"] == stamp(GONE)
    assert (known["conforming_off_at"]["confidence"], known["all_off_at"]["confidence"]) == (
        "computed",
        "unknown",
    )


@pytest.mark.parametrize("asked", [{}, {"publish_none": True}])
def test_what_is_vouched_for_is_called_attested(asked: Mapping[str, Any]) -> None:
    off = told(deletion(YOUNG, NOT_FOUND, longest_max_age=WEEK, **asked))["off"]
    assert {off[name]["confidence"] for name in DATES} == {"attested"}
    assert off["all_off_at"]["at"] == A_WEEK_LATER


# --- never early


BODIES = st.sampled_from(["enforce", "testing", "none", "enforced"])
VERSIONS = st.lists(st.tuples(BODIES, st.integers(0, 31_557_600)), min_size=1, max_size=4)
SERVED: st.SearchStrategy[tuple[Fetched, ...]] = st.sampled_from(
    [(NOT_FOUND,), (answered(),), (answered(NONE),), (SILENT,), ()]
)


@given(VERSIONS, SERVED, st.booleans())
def test_delete_record_never_promises_before_the_longest_policy_ends(
    versions: list[tuple[str, int]],
    served: tuple[Fetched, ...],
    publish: bool,  # noqa: FBT001
) -> None:
    bodies = [policy(mode, max_age=max_age) for mode, max_age in versions]
    kept = history(*((400 - number, body) for number, body in enumerate(bodies)))
    found = findings(policy=stored(bodies[-1]), history=kept)
    made = forever(found, *(served or (answered(bodies[-1]),)), publish_none=publish)
    said = told(made)["off"]
    # Each was served under the id that stands until now, so each counts from when that is gone.
    enforced = [max_age for mode, max_age in versions if mode in {"enforce", "enforced"}]
    longest = GONE + timedelta(seconds=max(enforced, default=0))
    held = [max_age for mode, max_age in versions if mode != "none"]
    last = GONE + timedelta(seconds=max(held, default=0))
    assert instant(said["needing_record_off_at"]["at"]) >= last
    for name, least in (("conforming_off_at", longest), ("all_off_at", last)):
        if said[name]["at"] is not None:
            assert instant(said[name]["at"]) >= least
        else:
            assert not publish
