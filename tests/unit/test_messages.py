"""What people read when a run failed: the state first, then the risk, then the next action."""

import json
from typing import Any

import pytest

from mta_sts import messages, staying
from mta_sts.due import told
from mta_sts.exposure import moments_at_once
from mta_sts.plan import Plan
from tests.unit.plans import NONE, NOW, deletion, findings, plan, stored, txt
from tests.unit.test_restoring import ELSEWHERE, off, remembered, restored
from tests.unit.test_retiring import retirement

BEGINNINGS = ("MTA-STS is off", "MTA-STS is still on", "half changed")
ON = plan()
NOT_WRITTEN = plan(findings(policy=stored(NONE)))
GOING, PUBLISHING = deletion(), deletion(publish_none=True)
NEVER_THERE = deletion(findings(record_sets=[]))
PUBLISHING_ONLY = deletion(findings(record_sets=[]), publish_none=True)
NONE_ALREADY = deletion(findings(policy=stored(NONE)))
CHANGES = ["nothing", "policy", "record", "policy and record", messages.PUT_BACK, "unknown"]


def failed(made: Plan | None, changed: str, error: str = "X", place: str = "s") -> str:
    """The text of a failure."""
    failure = {"Error": error, "Cause": "y"}
    return messages.failed("a.example", changed, failure, place, made, confirmed="")[1]


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("made", [None, ON, NOT_WRITTEN, GOING, PUBLISHING, NEVER_THERE])
def test_every_failure_begins_with_state_risk_and_next_action(
    made: Plan | None, changed: str
) -> None:
    failure = {
        "Error": "X",
        "Cause": json.dumps({"errorType": "PolicyNotServedError", "errorMessage": "Why."}),
    }
    subject, text = messages.failed(
        "solarmora.com", changed, failure, "Check Host", made, confirmed=""
    )
    first = text.splitlines()[0]
    assert first.startswith(BEGINNINGS)
    assert "Mail is not at risk" in first
    assert first.index("risk") < first.index("Next: ")
    assert "solarmora.com" in first
    assert "PolicyNotServedError in “Check Host”.\nWhy." in text
    assert f"Changed: {changed}." in text
    assert len(subject) < 100
    assert subject.isascii()


AS_BEFORE = "MTA-STS is still on or off for a.example as it was before: this run changed nothing."
STILL_ON = "MTA-STS is still on for a.example: this run changed nothing."
NONE_BEFORE = (
    "half changed for a.example: the policy says none from before, and this run changed nothing"
)
NOT_THERE = "half changed for a.example: there was no record before, and this run changed nothing"
NO_ID = "half changed for a.example: the policy says none, but this run did not change the id."
STANDS = "half changed for a.example: the policy says none, but the record still stands."
ID_CHANGED = "half changed for a.example: the id is changed, but that is not confirmed everywhere."
DELETED = "half changed for a.example: the record is deleted, but that is not confirmed everywhere."
PERHAPS = "half changed for a.example, perhaps: what was changed could not be seen."
BACK = "MTA-STS is still on for a.example: an older policy was put back after this run wrote none."
GONE_AND_BACK = (
    "half changed for a.example: the record is deleted, but an older policy was put back after this run"
    " wrote none."
)
UNCONFIRMED = "half changed for a.example: the policy says none, but nothing is confirmed yet."


@pytest.mark.parametrize(
    ("made", "changed", "beginning"),
    [
        (None, "nothing", AS_BEFORE),
        (ON, "nothing", STILL_ON),
        (GOING, "nothing", STILL_ON),
        (PUBLISHING, "nothing", STILL_ON),
        (NOT_WRITTEN, "nothing", NONE_BEFORE),  # a run before it may have died in between
        (NONE_ALREADY, "nothing", NONE_BEFORE),
        (NEVER_THERE, "nothing", NOT_THERE),
        (ON, "policy", NO_ID),
        (PUBLISHING, "policy", STANDS),
        (ON, "policy and record", ID_CHANGED),
        (NOT_WRITTEN, "record", ID_CHANGED),
        (GOING, "record", DELETED),
        (PUBLISHING, "policy and record", DELETED),
        (ON, messages.PUT_BACK, BACK),
        (PUBLISHING, messages.PUT_BACK, GONE_AND_BACK),
        (PUBLISHING_ONLY, "policy", UNCONFIRMED),  # there was no record to delete
        (ON, "unknown", PERHAPS),
        (GOING, "unknown", PERHAPS),
    ],
)
def test_states(made: Plan | None, changed: str, beginning: str) -> None:
    assert failed(made, changed).startswith(beginning)


def test_only_where_the_id_still_counts_senders_wait_for_it() -> None:
    assert "Senders keep the old policy until the id changes." in failed(ON, "policy")
    assert "until the id changes" not in failed(PUBLISHING, "policy")


@pytest.mark.parametrize(
    ("error", "action"),
    [
        ("ExposureTooLongError", "take one of the ways that are named below."),
        ("RecordConflictError", "mend what is said below, then send the same request again; it"),
        ("PlanChangedError", "have today's plan approved, then send the request with its digest."),
    ],
)
def test_what_to_do_after_a_refusal(error: str, action: str) -> None:
    for made in (None, GOING):
        assert f"Next: {action}" in failed(made, "nothing", error).splitlines()[0]


def test_what_a_foreign_host_serves_may_put_mail_at_risk() -> None:
    failure = {"Error": "PolicyNotServedError", "Cause": "c"}
    _, text = messages.failed("a.example", "nothing", failure, "Check Host", ON, confirmed="")
    assert "may be because of what the policy host serves" in text.splitlines()[0]


def test_off_although_the_notice_could_not_be_sent() -> None:
    failure = {"Error": "SNS.NotFoundException", "Cause": "no topic"}
    said = "MTA-STS is off for a.example: … Next: keep the MX hosts until 2026-12-01T05:07:06Z."
    subject, text = messages.failed(
        "a.example", "policy and record", failure, "Notify Outcome", ON, confirmed=said
    )
    assert text.startswith(said)  # with every date that somebody has to keep
    assert "SNS.NotFoundException in “Notify Outcome”.\nno topic" in text
    assert subject.startswith("MTA-STS is off for a.example")


@pytest.mark.parametrize(
    "cause", ["", "plain", "[]", "7", '{"errorType": "X"}', "{not json", "null"]
)
def test_any_cause_is_told(cause: str) -> None:
    name, told = messages.error_of({"Error": "States.Timeout", "Cause": cause})
    assert told == cause
    assert name in {"States.Timeout", "X"}


def test_a_cause_always_fits_a_fail_state() -> None:
    _, text = messages.failed(
        "a.example", "nothing", {"Error": "X", "Cause": "é" * 40_000}, "s", None, confirmed=""
    )
    assert len(text) < 32_768 - 300


def test_subjects_are_what_sns_takes() -> None:
    domain = "a" * 60 + "." + "b" * 60 + ".example"
    subject, _ = messages.failed(domain, "nothing", {"Error": "E" * 50}, "s\n", None, confirmed="")
    assert len(subject) < 100
    assert "\n" not in subject


def test_an_older_policy_that_was_put_back_is_not_sent_away() -> None:
    first = failed(ON, messages.PUT_BACK).splitlines()[0]
    assert "Mail is not at risk while it goes to the MX hosts of that policy" in first
    assert "find out who put it back (Terraform, say), then send the same request again." in first
    deleted = failed(PUBLISHING, messages.PUT_BACK).splitlines()[0]
    assert deleted.startswith("half changed for ")
    assert "the record is deleted, but an older policy was put back" in deleted
    assert "find out who put it back (Terraform, say), then send the same request again." in deleted


def test_foreign_text_cannot_feign_a_line_or_move_a_cursor() -> None:
    failure = {"Error": "X", "Cause": "a\x1b[2Jb\rc"}
    _, text = messages.failed("a.example", "nothing", failure, "s", None, confirmed="")
    assert "a?[2Jb?c" in text


# --- a run that is confirmed


def answers(every: str | None, *, now: bool = False, at_risk: bool = False) -> dict[str, Any]:
    """The answers of a run, as far as the text has them."""
    return {
        "off": {
            "sentence": "MTA-STS is off for a.example: …",
            "all_off_at": {"at": every, "reason": "it is so", "confidence": "computed"},
            "other_senders": [
                {"who": "senders that wait", "what": "wait", "until": "2026-12-01T05:07:06Z"},
                {"who": "senders that renew", "what": "renew it", "until": None},
            ],
        },
        "mx": {
            "answer": "now with overlap",
            "reason": "keep one",
            "confidence": "attested",
            "choices": [{"answer": "now", "holds": now, "reason": "no policy names them"}],
        },
        "trouble": {
            "next": "keep the host.",
            "mail_at_risk": at_risk,
            "risk": f"Mail {'may be' if at_risk else 'is not'} at risk.",
        },
    }


@pytest.mark.parametrize("made", [ON, GOING, PUBLISHING])
def test_a_confirmation_says_state_risk_next_and_why(made: Plan) -> None:
    _, text = messages.confirmed(made, answers(None), ["a warning"])
    lines = text.splitlines()
    assert lines[:2] == [
        "MTA-STS is off for a.example: …",
        "Mail is not at risk. Next: keep the host.",
    ]
    assert "Why: it is so (confidence: computed)." in lines
    assert "May the MX records change? Now with overlap: keep one (confidence: attested)." in lines
    assert "- senders that wait: wait; until 2026-12-01T05:07:06Z" in lines
    assert "- senders that renew: renew it" in lines  # no date is none, not the word
    assert "- a warning" in lines
    assert [f"- {one}" for one in messages.REMINDERS] == lines[-len(messages.REMINDERS) :]


def test_mail_that_may_be_at_risk_is_said_in_the_second_line() -> None:
    _, text = messages.confirmed(GOING, answers(None, at_risk=True))
    assert text.splitlines()[1] == "Mail may be at risk. Next: keep the host."


@pytest.mark.parametrize(
    ("made", "every", "subject"),
    [
        (ON, None, "MTA-STS is off for solarmora.com"),
        (ON, "2026-12-01T05:07:06Z", "MTA-STS is off for solarmora.com"),
        (
            GOING,
            None,
            "MTA-STS is off for new senders of solarmora.com, and still held, see inside",
        ),
        (
            PUBLISHING,
            "2026-12-01T05:07:06Z",
            "MTA-STS is off for new senders of solarmora.com, held until 2026-12-01T05:07:06Z",
        ),
    ],
)
def test_the_subject_of_a_deletion_does_not_say_that_it_is_over(
    made: Plan, every: str | None, subject: str
) -> None:
    assert messages.confirmed(made, answers(every))[0] == subject


@pytest.mark.parametrize(
    ("asked", "now", "said"),
    [(["mx.example"], False, True), (["mx.example"], True, False), ([], False, False)],
)
def test_of_the_hosts_that_were_asked_about_it_is_said_why_not_yet(
    asked: list[str], *, now: bool, said: bool
) -> None:
    made = deletion(None, **({"new_mx": asked} if asked else {}))
    _, text = messages.confirmed(made, answers(None, now=now))
    line = "The new MX hosts alone: not yet, no policy names them."
    assert (line in text.splitlines()) == said


def test_the_real_answers_are_told() -> None:
    made = deletion(findings(record_sets=[txt("v=STSv1; id=1;")]))
    _, text = messages.confirmed(made, {**answers(None), "off": made.expected["off"]})
    assert text.startswith(
        "MTA-STS is off for solarmora.com: for senders that hold no policy since 2026-11-24T05:05:06Z,"
    )
    assert "None" not in text


# --- runs that leave a policy in force, and the end of a retirement

RESTORED, TESTING = restored(), restored(restore_mode="testing")
FRESH_ID = plan(method="change-id")
MISMATCHED = restored(off(live_mx=ELSEWHERE), accept_mx_mismatch=True)
RETIRING = retirement()
GONE_BEFORE = restored(
    off(now_there=None, record_sets=[], remembered=remembered(ours={"policies": [""], "ids": [""]}))
)
PUT_BACK_BUT = "half changed for a.example: the policy is put back"
AS_IT_WAS = "half changed for a.example: the policy is as it was"
NOT_THE_ONE = (
    "half changed for a.example: the id is changed, but the policy is not the one that was to be served"
    " under it."
)
UNSEEN = "half changed for a.example: what was changed could not be seen."
UNCONFIRMED_ID = " and the id is changed, but that is not confirmed everywhere."
OLD_ID = ", but this run did not change the id: who holds none under it keeps that."


@pytest.mark.parametrize(
    ("made", "changed", "beginning"),
    [
        (RESTORED, "nothing", NONE_BEFORE),
        (FRESH_ID, "nothing", STILL_ON),
        (GONE_BEFORE, "nothing", AS_BEFORE),  # it may have been off for good
        (RESTORED, "policy", PUT_BACK_BUT + OLD_ID),
        (RESTORED, "policy and record", PUT_BACK_BUT + UNCONFIRMED_ID),
        (FRESH_ID, "record", AS_IT_WAS + UNCONFIRMED_ID),
        (RESTORED, messages.PUT_BACK, NOT_THE_ONE),
        (FRESH_ID, messages.PUT_BACK, NOT_THE_ONE),
        (RESTORED, "unknown", UNSEEN),
        (FRESH_ID, "unknown", UNSEEN),
        (RETIRING, "nothing", NONE_BEFORE),
        (RETIRING, "record", DELETED),
    ],
)
def test_states_of_runs_that_leave_it_on_and_of_a_retirement(
    made: Plan, changed: str, beginning: str
) -> None:
    text = failed(made, changed)
    assert text.startswith(beginning)
    assert "says none, but" not in text.splitlines()[0], "which is said of turning it off"


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("made", [RESTORED, TESTING, FRESH_ID, GONE_BEFORE, RETIRING, MISMATCHED])
def test_their_failures_too_begin_with_state_risk_and_next_action(made: Plan, changed: str) -> None:
    first = failed(made, changed).splitlines()[0]
    assert first.startswith(BEGINNINGS)
    assert first.index("at risk") < first.index("Next: ")


@pytest.mark.parametrize("changed", CHANGES)
def test_a_policy_that_no_mx_satisfies_puts_mail_at_risk_once_it_may_be_back(changed: str) -> None:
    first = failed(MISMATCHED, changed).splitlines()[0]
    risk = "Mail may be at risk: no MX host that was seen satisfies the policy that is put back."
    assert (risk in first) is (changed not in {"nothing", messages.PUT_BACK})
    assert ("Mail is not at risk" in first) is (risk not in first)
    assert "Mail is not at risk" in failed(RESTORED, changed).splitlines()[0]
    confirmed = now_told(MISMATCHED)[1].splitlines()[1]
    assert confirmed.startswith("Mail may be at risk. Next: put the MX records back")


@pytest.mark.parametrize(
    ("error", "action"),
    [
        ("SupersededError", "nothing; it is told so that nobody wonders."),
        (
            "DrainDisturbedError",
            "take one of the ways that are named below.",
        ),
        (
            "DrainNotOverError",
            "what is said below, if anything; it is tried again when",
        ),
        ("NothingToRestoreError", "put the policy there by other means, then send change-id."),
        ("RestoreWouldLoseMailError", "take one of the ways that are named below."),
        ("ConcurrentChangeError", "mend what is said below, then send the same request again; it"),
    ],
)
def test_what_to_do_after_a_refusal_to_restore_or_retire(error: str, action: str) -> None:
    assert f"Next: {action}" in failed(None, "nothing", error).splitlines()[0]


def now_told(made: Plan, **entries: Any) -> tuple[str, str]:
    """Subject and text of a run that is confirmed, with its real answers."""
    moments = moments_at_once(made, NOW)
    answers_ = staying.answer(made, moments, NOW)
    return messages.confirmed(made, answers_, made.warnings, told(made, entries))


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (RESTORED, "on again for solarmora.com"),
        (TESTING, "on again for solarmora.com, in testing"),
        (restored(off(b"\n" + RESTORED.policy.body), restore_mode="testing"),
         "on again for solarmora.com, in testing"),
        (FRESH_ID, "still on for solarmora.com"),
    ],
)  # fmt: skip
def test_a_confirmation_that_it_is_on(made: Plan, state: str) -> None:
    subject, text = now_told(made)
    assert subject == f"MTA-STS is {state}, under a fresh id"
    lines = text.splitlines()
    assert lines[0].startswith(f"MTA-STS is {state}: ")
    assert lines[1].startswith("Mail is not at risk. Next: keep the MX records at hosts")
    assert "the policy is in force" in text
    assert "must be given this policy and this id" in text
    assert "or its next run turns MTA-STS on again" not in text
    assert "None" not in text


def test_a_retirement_is_told_with_what_is_left_to_do_by_hand() -> None:
    subject, text = messages.confirmed(RETIRING, answers(None), (), told(RETIRING, {}))
    assert subject == "MTA-STS is off for solarmora.com, and retired: the record is gone"
    assert (
        "\nLeft to be removed by hand, in this order:\n- Remove the DNS records of mta-sts." in text
    )
    assert "By itself" not in text, "nothing is due any more"


@pytest.mark.parametrize(
    ("made", "state"),
    [(RESTORED, "on again"), (FRESH_ID, "still on"), (ON, "off"), (RETIRING, "off")],
)
def test_a_notice_that_could_not_be_sent_does_not_change_the_state(made: Plan, state: str) -> None:
    said = now_told(made)[1] if made.leaves_on else "MTA-STS is off for solarmora.com: …"
    failure = {"Error": "SNS.NotFoundException", "Cause": "no topic"}
    subject, text = messages.failed(
        "solarmora.com", "policy and record", failure, "Notify Outcome", made, confirmed=said
    )
    assert subject == f"MTA-STS is {state} for solarmora.com (SNS.NotFoundException)"
    assert text.startswith(said)


# --- runs that were cut short, and those that they hold up


FREE = "2026-11-24T04:06:06Z"


def first_line(error: str, cause: str = "c", changed: str = "nothing", **more: Any) -> str:
    failure = {"Error": error, "Cause": cause}
    _, text = messages.failed("a.example", changed, failure, "s", ON, confirmed="", **more)
    return text.splitlines()[0]


@pytest.mark.parametrize("error", ["ExecutionStopped", "ExecutionTimedOut"])
@pytest.mark.parametrize("changed", CHANGES[:-2])
def test_who_was_cut_short_has_nothing_to_mend(error: str, changed: str) -> None:
    told = first_line(error, changed=changed, free_from=FREE)
    assert (
        f"Next: send the same request again after {FREE}, if it is still wanted: it takes" in told
    )
    assert told.endswith("Do not redrive the execution.")
    assert "mend" not in told
    assert "send the same request again, if it is" in first_line(error)  # before it had the domain


def test_what_cannot_be_sent_at_once_says_when() -> None:
    told = first_line("States.Runtime", changed="policy", free_from=FREE)
    assert f"mend what is said below, then send the same request again after {FREE}; it" in told


def test_who_finds_the_domain_held_tells_it_as_the_other_run_sees_it() -> None:
    """The policy says none because the other run wrote it a moment ago."""
    run = "arn:aws:states:us-east-1:1:execution:m:api-1"
    cause = f"Another execution holds a.example: {run}, since 2026-11-24T04:05:06Z. Nothing was changed."
    failure = {"Error": "DomainBusyError", "Cause": cause}
    for made in (ON, NOT_WRITTEN, GOING, NEVER_THERE):
        subject, text = messages.failed("a.example", "nothing", failure, "s", made, confirmed="")
        assert text.startswith(
            "MTA-STS is still on or off for a.example as it was before: this run changed nothing; the run"
            " api-1 is at work on it since 2026-11-24T04:05:06Z. Mail is not at risk because of this run; do"
            " not move it yet. Next: wait for the run api-1: its end is told, and in its ticket, if it has"
            " one.\n"
        )
        assert (
            subject == "MTA-STS is still on or off for a.example as it was before (DomainBusyError)"
        )
    left = messages.standing("a.example", "nothing", "DomainBusyError", NOT_WRITTEN, cause=cause)
    assert (left.is_state, left.at_risk) == ("unknown", False)


def test_who_comes_too_soon_after_a_run_that_was_cut_short_is_told_when() -> None:
    cause = f"The last run for a.example was cut short. Send it again then. Not before {FREE}."
    told = first_line("DomainBusyError", cause)
    assert (
        f"the last run was cut short, and what it has begun may be at work until {FREE}. " in told
    )
    assert told.endswith(f"Next: send the same request again at {FREE}.")
    assert "wait for the other run, see below." in first_line("DomainBusyError", "no more is known")
