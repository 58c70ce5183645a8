"""What people read when a run failed: the state first, then the risk, then the next action."""

import json
from typing import Any

import pytest

from mta_sts import messages
from mta_sts.plan import Plan
from tests.unit.plans import NONE, deletion, findings, plan, stored, txt

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
        "trouble": {"next": "keep the host.", "mail_at_risk": at_risk},
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
