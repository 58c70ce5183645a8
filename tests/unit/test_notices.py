"""What is told is complete, bounded, and the same for people and for programs."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mta_sts import ending, errors, messages, notices
from mta_sts.errors import MtaStsError
from mta_sts.outcome import Standing
from mta_sts.plan import Plan
from mta_sts.request import Request
from tests.unit import notice_examples
from tests.unit.documents import DOCUMENTS, ROOT, blocks, codes, tables
from tests.unit.plans import NONE, NOW, deletion, findings, looked, plan, stored
from tests.unit.test_outcome import end as outcome
from tests.unit.test_restoring import ELSEWHERE, UNKNOWN, off, restored
from tests.unit.test_retiring import retirement
from tests.unit.test_state_machine import STATES as STATES_OF_A_RUN

SCHEMA = json.loads((ROOT / "docs/notice.schema.json").read_text())
PAGE = DOCUMENTS["docs/notices.md"]
ARN = "arn:aws:states:us-east-1:000000000000:execution:mta-sts-off-disable:api-1"
WHO = {"ticket": "OPS-1", "requested_by": "mail\u202eteam", "reason": "a move\nMTA-STS is off"}
CHANGES = ("nothing", "policy", "record", "policy and record", messages.PUT_BACK, "unknown")
BEGINNINGS = {
    "on": ("MTA-STS is still on for", "MTA-STS is on again for"),
    "off": ("MTA-STS is off",),
    "half changed": ("half changed for",),
    "unknown": (
        "MTA-STS is still on or off", "MTA-STS is still on for solarmora.com where",
        "half changed, or off already", "half changed for",
    ),
}  # fmt: skip


def valid(notice: dict[str, Any] | None) -> dict[str, Any]:
    """Return a notice that is as the schema says, with a text as every one has to be."""
    assert notice is not None
    problems = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(notice)]
    assert problems == []
    assert set(notice) == set(SCHEMA["required"])
    assert notice["text"].startswith(BEGINNINGS[notice["state"]]), (notice["state"], notice["text"])
    head = "\n".join(notice["text"].splitlines()[:2])
    assert 0 < head.find("at risk") < head.find("Next: ")
    assert ("Mail may be at risk" in head) == (notice["mail_at_risk"] is True)
    assert len(json.dumps(notice).encode()) < 200_000, "an event holds 256 KB"
    return notice


def asked(made: Plan | None = None, **more: Any) -> Request:
    method = made.method if made else "check"
    return Request.parse({"domain": "solarmora.com", "method": method, **WHO, **more})


def failed(
    made: Plan | None, changed: str, error: str = "X", said: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The notice of a failure, composed as the recording function does."""
    domain = "solarmora.com"
    failure = {"Error": error, "Cause": "why"}
    subject, text = messages.failed(
        domain, changed, failure, "some state", made, confirmed=(said or {}).get("text", "")
    )
    told = {"subject": subject, "text": text, "changed": changed, "domain": domain}
    request = {"domain": domain, "method": "none-policy"}
    return valid(notices.failed(request, made, told, error, ARN, NOW, outcome=said))


PLANS = {
    "on": plan(),
    "none already": plan(findings(policy=stored(NONE))),
    "retire": plan(findings(host=looked()), method="retire"),
    "deletion": deletion(),
    "no record": deletion(findings(record_sets=[])),
    "retirement": retirement(),
    "restore": restored(),
    "restore to nobody": restored(off(live_mx=ELSEWHERE), accept_mx_mismatch=True),
    "fresh id": plan(method="change-id"),
}

# Whether every sender knows of a none policy that stands already is what a run has to prove.
STATES = dict.fromkeys(("none already", "no record", "restore", "restore to nobody"), "unknown")
STATES["retirement"] = "off"


@pytest.mark.parametrize("name", PLANS)
def test_a_run_that_begins_says_how_it_is_stopped(name: str) -> None:
    made = PLANS[name]
    told = valid(notices.started(made, asked(made), ARN, NOW))
    assert (told["kind"], told["changed"], told["error"]) == ("started", "nothing", None)
    assert (told["domain"], told["method"]) == ("solarmora.com", made.method)
    assert (told["run"], told["execution"], told["plan"]) == ("api-1", ARN, made.digest)
    assert told["stack"] == "mta-sts-off"
    assert (told["ticket"], told["ticket_id"]) == ("OPS-1", "OPS-1")
    assert f"aws stepfunctions stop-execution --execution-arn {ARN}" in told["text"]
    assert all(f"\n- {step}" in told["text"] for step in made.steps)
    assert "\n- reason: a move?MTA-STS is off\n" in told["text"], "foreign text feigns no line"
    assert told["mail_at_risk"] == (name == "restore to nobody")
    assert told["state"] == STATES.get(name, "on")


def test_a_run_that_begins_says_until_when() -> None:
    made = plan(other_cache_seconds=600)
    text = notices.started(made, asked(made), ARN, NOW)["text"]
    # An hour for old answers and ten minutes for caches, and two minutes of work.
    assert "\n- 2026-11-24T05:17:06Z: about the end" in text
    # Five checks that each give up after an hour.
    assert "\n- 2026-11-24T10:17:06Z: if nothing was told by about then" in text
    window = plan(restore_at="2026-11-25T06:00:00Z")
    text = notices.started(window, asked(window), ARN, NOW)["text"]
    assert "\n- 2026-11-25T06:00:00Z: the policy is put back, if a check allows it then." in text


def test_a_run_that_came_by_itself_says_so() -> None:
    text = notices.started(PLANS["retirement"], asked(deletion()), ARN, NOW)["text"]
    assert "(retirement), started by itself." in text
    assert "Mail is not at risk because of it." in text


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_told_as_it_is_shown(name: str) -> None:
    made = PLANS[name]
    told = notices.planned(made, asked(made), ARN, NOW)
    if name not in {"restore", "restore to nobody"}:  # which has no policy to begin with
        valid(told)
    assert (told["kind"], told["plan"]) == ("planned", made.digest)
    assert told["text"].startswith(made.summary)
    assert told["all_off_at"] is None, "nothing is off"


def look(**more: Any) -> dict[str, Any]:
    said = outcome(plan())
    return {**said, "state": "half changed", "text": "half changed for a: x\nMail is not at risk. Next: y",
            "alarms": ["id-not-ours"], "over": False, **more}  # fmt: skip


DUE = {"kind": "watch", "generation": 1, "at": "2026-11-24T04:00:00Z"}
DRAINED = DUE | {"kind": "drained"}


@pytest.mark.parametrize(
    ("due", "notify", "over", "kind"),
    [
        (None, False, False, "checked"),
        (DUE, False, False, None),  # each day, for a year: a ticket would be full of it
        (DUE, True, False, "finding"),
        (DUE, True, True, "finding"),
        (DRAINED, True, True, "drained"),
        (DRAINED, True, False, "finding"),  # the drain is not over at the time that was announced
        (DRAINED, False, True, None),  # another run came in between
    ],
)
def test_what_a_look_is_told_as(
    due: dict[str, Any] | None,
    notify: bool,  # noqa: FBT001
    over: bool,  # noqa: FBT001
    kind: str | None,
) -> None:
    request = asked(None, **({"due": due} if due else {}))
    told = notices.checked(look(over=over), request, ARN, NOW, notify=notify)
    assert (told and valid(told)["kind"]) == kind
    if told:
        assert (told["changed"], told["plan"], told["state"]) == ("nothing", None, "half changed")


def test_a_look_for_every_domain_is_about_none() -> None:
    request = Request.parse({"method": "check", "discover": True})
    text = "MTA-STS is still on for 1 domain.\nWhether mail is at risk no list shows. Next: look."
    check = {"domain": "", "state": "on", "subject": text.partition(".")[0], "text": text}
    told = valid(notices.checked(check, request, ARN, NOW, notify=False))
    assert (told["domain"], told["mail_at_risk"], told["ticket_id"]) == (None, None, "")


@pytest.mark.parametrize("name", ["on", "fresh id", "restore"])
def test_a_confirmed_run_is_told_with_its_dates(name: str) -> None:
    made = PLANS[name]
    said = outcome(made)
    told = valid(notices.confirmed(said, made, asked(made), ARN, NOW))
    for field in ("subject", "text", "state", "changed", "plan"):
        assert told[field] == said[field]
    assert told["all_off_at"] == said["all_off_at"]
    assert told["conforming_off_at"] == said["conforming_off_at"]
    assert (told["kind"], bool(told["all_off_at"])) == ("confirmed", name == "on")


@pytest.mark.parametrize("changed", CHANGES)
@pytest.mark.parametrize("name", [None, *PLANS])
def test_state_and_risk_of_a_failure_are_what_its_text_says(name: str | None, changed: str) -> None:
    told = failed(PLANS[name] if name else None, changed)
    assert (told["kind"], told["changed"], told["error"]) == ("failed", changed, "X")
    assert told["state"] == ("unknown" if changed == "unknown" else told["state"])


FORESEEN = {
    name
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, MtaStsError) and each is not MtaStsError
}
# Nothing is wrong with what was asked for.
PREVENTED = {
    "DnsUnreachableError",
    "ConcurrentChangeError",
    "PropagationTimeoutError",
    "TransientError",
}


@pytest.mark.parametrize(
    "error", sorted(FORESEEN | {"States.Timeout", "ExecutionStopped", "KeyError"})
)
def test_a_refusal_is_no_failure(error: str) -> None:
    refused = error in FORESEEN - PREVENTED
    assert failed(None, "nothing", error)["kind"] == ("refused" if refused else "failed")
    assert failed(plan(), "nothing", error)["kind"] == ("refused" if refused else "failed")
    assert failed(plan(), "policy", error)["kind"] == "failed", "something was carried out"
    assert failed(plan(), "unknown", error)["kind"] == "failed"


def test_where_only_the_notice_failed_the_state_is_the_confirmed_one() -> None:
    said = outcome(plan())
    told = failed(plan(), "policy and record", "SNS.NotFoundException", said)
    assert (told["kind"], told["state"], told["mail_at_risk"]) == ("failed", "off", False)
    assert told["all_off_at"] == said["all_off_at"]
    assert told["text"].startswith(said["text"])


@pytest.mark.parametrize(
    ("request_", "method", "ticket", "ticket_id"),
    [
        (None, None, "", ""),
        ([], None, "", ""),
        ({}, None, "", ""),
        ({"domain": "x", "method": "retire", "ticket": "OPS-1"}, "retire", "OPS-1", "OPS-1"),
        ({"method": "none-policy", "ticket_id": "../x", "ticket": "A 1"}, "none-policy", "A 1", ""),
        ({"method": "explode", "ticket_id": "abc"}, None, "", "abc"),
        ({"method": ["check"], "ticket": 7, "ticket_id": {"a": 1}}, None, "", ""),
        ({"method": "check", "ticket": "x" * 300, "ticket_id": "y" * 65}, "check", "", ""),
        ({"method": "check", "ticket": "a\nb\u202ec", "bad": 1}, "check", "a?b?c", ""),
        ({"method": "check", "ticket": "a\x00b"}, "check", "", ""),
    ],
)
def test_of_bad_input_whatever_is_right_is_told(
    request_: object, method: str | None, ticket: str, ticket_id: str
) -> None:
    told = {"subject": "MTA-STS is still on or off", "domain": "", "changed": "nothing",
            "text": "MTA-STS is still on or off.\nMail is not at risk. Next: correct it."}  # fmt: skip
    notice = valid(notices.failed(request_, None, told, "InvalidRequestError", ARN, NOW))
    assert (notice["method"], notice["ticket"]) == (method, ticket)
    assert notice["ticket_id"] == ticket_id
    assert (notice["domain"], notice["kind"]) == (None, "refused")


def test_the_largest_notice_fits_into_an_event() -> None:
    text = messages.cut(
        "MTA-STS is off: \U0001f600\nMail is not at risk. Next: x" + "\U0001f600" * 30_000
    )
    notice = valid(
        notices.confirmed(outcome(plan()) | {"text": text}, plan(), asked(plan()), ARN, NOW)
    )
    assert len(notices.entry(notice)["Detail"].encode()) < 256_000


def test_the_definition_composes_a_whole_one_itself_where_nobody_else_can() -> None:
    catches = [each for state in STATES_OF_A_RUN.values() for each in state.get("Catch", ())]
    [own] = [each["Assign"]["notice"] for each in catches if "version" in str(each.get("Assign"))]
    assert set(own) == set(SCHEMA["required"])


# --- what is written down, and when


class Recorder:
    """A ledger and an agenda that remember what was asked of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def finish(self, *_: object, **__: object) -> None:
        self.calls.append("finish")

    def move(self, *_: object) -> bool:
        self.calls.append("move")
        return True

    def record(self, *_: object) -> None:
        self.calls.append("record")

    def domain(self, _: str) -> dict[str, Any]:
        return {"generation": 1}


def event(**more: Any) -> dict[str, Any]:
    return {"request": {"domain": "solarmora.com", "method": "none-policy"}, "failed_state": "Confirm",
            "execution": {"arn": ARN, "started_at": "2026-11-24T04:00:00Z"},
            "failure": {"Error": "ExecutionStopped", "Cause": "by hand"}, **more}  # fmt: skip


def end(recorder: Any, given: dict[str, Any], made: Plan | None, **more: Any) -> dict[str, Any]:
    return ending.failed(given, made, Standing(), ledger=recorder, agenda=recorder, now=NOW, **more)


def test_what_could_not_be_told_is_not_written_down_as_though_it_were() -> None:
    """Lambda calls again; what is on record is not told again."""
    recorder = Recorder()

    def refuse(_: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        end(recorder, event(), plan(), tell=refuse)
    assert recorder.calls == []
    end(recorder, event(), plan(), tell=lambda notice: recorder.calls.append(notice["kind"]))
    assert recorder.calls == ["failed", "finish"]


class Ledger(Recorder):
    """Keeps what is written down."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}

    def finish(self, *_: object, **told: Any) -> None:
        self.fields = told["domain_fields"]


@pytest.mark.parametrize("name", PLANS)
def test_the_ledger_has_the_state_in_the_words_of_the_notice(name: str) -> None:
    """The API and its list of domains show it: sentences of failures would be words that nobody knows."""
    ledger = Ledger()
    told = end(ledger, event(), PLANS[name], free_from=NOW)
    assert ledger.fields["last_outcome"]["state"] == told["state"]
    assert told["state"] in SCHEMA["properties"]["state"]["enum"]
    assert "again after 2026-11-24T04:05:06Z, if it is still wanted" in told["text"]


def test_what_the_watch_has_found_stays_due_until_it_is_told() -> None:
    due = {"domain": "solarmora.com", "method": "check", "due": DUE}
    check = {**look(), "superseded": False, "findings": []}
    given = event(request=due, check=check)
    recorder: Any = Recorder()
    assert ending.checked(given, ledger=recorder, agenda=recorder, now=NOW)["notify"]
    assert recorder.calls == ["record"]
    assert ending.moved_on(given, agenda=recorder, now=NOW)
    assert recorder.calls == ["record", "move"]
    quiet = event(request=due, check={**check, "alarms": []})
    assert not ending.checked(quiet, ledger=recorder, agenda=recorder, now=NOW)["notify"]
    assert recorder.calls == ["record", "move"] * 2
    # The notice could not be sent: it is due again, soon, and the failure says when.
    lost = event(request=due, check=check, outcome=check, failed_state="Notify Finding")
    told = end(recorder, lost, None)
    assert "It is tried again by itself: 2026-11-24T05:05:06Z." in told["text"]


@pytest.mark.parametrize(
    ("error", "at"),
    [
        ("TransientError", "2026-11-24T04:20:06Z"),
        ("Lambda.TooManyRequestsException", "2026-11-24T04:20:06Z"),
        ("DomainBusyError", "2026-11-24T04:10:06Z"),
        ("PolicyNotServedError", "2026-11-25T04:05:06Z"),
    ],
)
def test_what_was_only_in_the_way_for_a_while_is_tried_again_soon(error: str, at: str) -> None:
    """A day is for what a person has to mend."""
    request = {"domain": "solarmora.com", "method": "check", "due": DUE}
    failure = {"Error": error, "Cause": "it was"}
    recorder: Any = Recorder()
    told = end(recorder, event(request=request, failed_state="Check Domain", failure=failure), None)
    assert f"It is tried again by itself: {at}." in told["text"]


def test_a_window_whose_run_failed_is_not_kept() -> None:
    request = {
        "domain": "solarmora.com",
        "method": "none-policy",
        "restore_at": "2026-11-25T06:00:00Z",
    }
    lost = "Nothing is put back 2026-11-25T06:00:00Z: only a confirmed run has that done. Send"
    assert lost in end(Recorder(), event(request=request), plan())["text"]
    assert (
        "put back"
        not in end(Recorder(), event(request=request | {"dry_run": True}), plan())["text"]
    )
    said = outcome(plan(restore_at="2026-11-25T06:00:00Z"))
    sent = event(request=request, outcome=said, failed_state="Notify Outcome")
    assert lost not in end(Recorder(), sent, plan())["text"], "it is due: only the notice failed"


@pytest.mark.parametrize(
    ("asked_for", "says"),
    [
        ({}, "mail must go to MX hosts that it names again: otherwise it is not put back"),
        ({"accept_mx_mismatch": True}, "it is put back all the same."),
        ({"restore_mode": "testing"}, "or senders report it."),
    ],
)
def test_a_window_says_what_has_to_be_so_by_its_end(asked_for: dict[str, Any], says: str) -> None:
    text = outcome(plan(restore_at="2026-11-25T06:00:00Z", **asked_for))["text"]
    [line] = [
        line for line in text.splitlines() if line.startswith("By 2026-11-25T06:00:00Z, when")
    ]
    assert says in line
    assert not [line for line in outcome(plan())["text"].splitlines() if line.startswith("By 2026")]


# --- the page


def test_examples_of_the_page_are_notices() -> None:
    examples = [json.loads(block) for block in blocks(PAGE, "json") if '"version"' in block]
    assert sorted(valid(one)["kind"] for one in examples) == sorted(notices.KINDS)


@pytest.mark.parametrize("kind", notices.KINDS)
def test_examples_of_the_page_are_what_is_sent(kind: str) -> None:
    made = notice_examples.examples()[kind]
    valid(made)
    [example] = [
        told
        for block in blocks(PAGE, "json")
        if '"version"' in block and (told := json.loads(block))["kind"] == kind
    ]
    again = "PYTHONPATH=.:layers/mta_sts python -m tests.unit.notice_examples makes them anew"
    assert example == notice_examples.shown(made), again


def test_whom_nobody_can_tell_that_mail_is_safe_is_called_at_night() -> None:
    told = failed(plan(), "nothing", "PolicyNotServedError")
    assert told["mail_at_risk"] is None
    assert '{"mail_at_risk": [true, null]}` for a call at night' in PAGE


@pytest.mark.parametrize("changed", CHANGES)
def test_mail_that_goes_elsewhere_already_is_told_from_the_beginning(changed: str) -> None:
    gone = findings(live_mx=ELSEWHERE)
    says = "Mail may be at risk: the MX records name mx.elsewhere.example, and version v1 of the policy"
    for made in (plan(gone), deletion(gone)):
        notes = [
            notices.started(made, asked(made), ARN, NOW),
            notices.planned(made, asked(made), ARN, NOW),
            failed(made, changed),
        ]
        for note in notes:
            assert valid(note)["mail_at_risk"] is True
            assert says in note["text"]
        assert any("mx.elsewhere.example" in line for line in made.warnings)


def test_where_the_mx_was_not_seen_nobody_says_that_all_is_well() -> None:
    made = plan(findings(live_mx=UNKNOWN))
    assert valid(notices.started(made, asked(made), ARN, NOW))["mail_at_risk"] is None
    assert valid(notices.planned(made, asked(made), ARN, NOW))["mail_at_risk"] is None
    assert any("Which MX hosts there are is not known: " in one for one in made.warnings)


def test_the_page_and_the_schema_know_every_kind_and_field() -> None:
    assert set(SCHEMA["properties"]["kind"]["enum"]) == set(notices.KINDS)
    by_kind, by_field = tables(PAGE)[:2]
    assert [codes(row[0])[0] for row in by_kind] == list(notices.KINDS)
    assert [name for row in by_field for name in codes(row[0])] == SCHEMA["required"]
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"])
    refusals = {name for row in by_kind if codes(row[0]) == ["refused"] for name in codes(row[1])}
    assert refusals <= notices.REFUSALS
