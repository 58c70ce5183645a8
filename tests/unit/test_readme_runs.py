"""What the README says of input, output and failures is what the product takes, gives and says."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from mta_sts import errors, messages, policy, request
from mta_sts.due import after
from mta_sts.exposure import Confidence
from mta_sts.instants import instant, stamp
from mta_sts.outcome import succeeded
from mta_sts.plan import Plan
from tests.unit.documents import DEFINITION, ROOT, blocks, codes, named, section, table
from tests.unit.plans import ENFORCE, NONE, NOW, findings, plan, stored
from tests.unit.sights import outcome as check_outcome
from tests.unit.sights import sight
from tests.unit.test_restoring import restored


def test_input_table_is_the_request() -> None:
    rows = named(table("Input", "field"))
    assert list(rows) == list(request.FIELDS)
    for name, most in request.TEXTS.items():
        assert f"{most} characters at most" in rows[name]
    for name in request.FLAGS:
        assert "`true` or `false` (default)" in rows[name]
    assert [each for each in codes(rows["method"]) if each in request.METHODS] == list(
        request.METHODS
    )


def test_input_table_says_for_which_methods_a_field_is() -> None:
    for name, _, methods, _ in table("Input", "field"):
        expected = request._FOR.get(codes(name)[0])
        assert (codes(methods) if expected else methods) == (list(expected or ()) or "all"), name


def test_commands_are_accepted_and_show_every_method() -> None:
    shown = re.findall(r"start '(\{.+?\})'", "".join(blocks(section("Commands"), "sh")))
    asked = [request.Request.parse(json.loads(each)) for each in shown]
    assert list(dict.fromkeys(each.method for each in asked)) == list(request.METHODS)


@pytest.mark.parametrize("title", ["Turn it on again", "Look at a domain"])
def test_commands_of_other_sections_are_accepted(title: str) -> None:
    shown = re.findall(r"start '(\{.+?\})'", "".join(blocks(section(title), "sh")))
    assert shown
    for each in shown:
        request.Request.parse(json.loads(each))


def test_longest_domain_is_as_said() -> None:
    [most] = re.findall(r"more than (\d+) characters", named(table("Input", "field"))["domain"])
    labels = [*["a" * 49] * 4, "a" * (int(most) - 4 * 50)]
    longest = ".".join(labels)
    assert len(longest) == int(most)
    asked = {"domain": longest, "method": "none-policy"}
    assert request.Request.parse(asked).domain == longest
    with pytest.raises(errors.InvalidRequestError):
        request.Request.parse(asked | {"domain": "a" + longest})


def test_every_good_event_has_a_row() -> None:
    linked = re.findall(r"^\| \[.+?\]\((events/.+?)\)", section("Input"), re.MULTILINE)
    assert sorted(linked) == sorted(f"events/{file.name}" for file in ROOT.glob("events/*.json"))


def outcome(made: Plan | None = None, **asked: Any) -> dict[str, Any]:
    """What a run comes to as the README shows it: a policy of seven days, a TTL of an hour."""
    made, now = made or plan(**asked), NOW + timedelta(minutes=66)

    def at(minutes: int) -> str:
        return stamp(NOW + timedelta(minutes=minutes))

    moments = {
        "host": {"agreeing": []},
        "published": {"published_at": at(1), "written": True},
        "caches": {"fresh_at": at(3)},
        "served": {"checked_at": at(3)},
        "in_sync": {"checked_at": at(4)},
        "names": {"record_gone_at": at(65)},
    }
    given = request.Request.parse({"domain": made.domain, "method": made.method, **asked})
    return succeeded(
        made,
        moments,
        {},
        {},
        "arn",
        now,
        due=lambda every: after(made, given, all_off_at=every, pending={}, now=now),
    )


def test_output_table_is_the_outcome() -> None:
    off, on = outcome(), outcome(restored())
    rows = named(table("Output", "field"))
    # A cell names the parts of its field too.
    assert set(rows) == set(off) | set(on)
    only_on = set(on) - set(off)
    assert only_on
    assert all("Only where `state` is `on`" in rows[name] for name in only_on)
    assert set(codes(rows["state"])) >= {off["state"], on["state"]}
    assert set(codes(rows["due"])) == set(off["due"][0])
    assert set(off["id"]) == set(codes(rows["id"]))
    assert set(off["evidence"]) <= set(codes(rows["evidence"]))
    assert set(off["attested"]) <= set(codes(rows["attested"]))
    intro = set(codes(section("Output").partition("|")[0]))
    foreign = {"before", "after", "approved_plan", "delete-record", "restore", "check"}
    assert intro - foreign <= set(plan().to_dict())


def test_answers_in_the_output_table_are_those_given() -> None:
    off, on = outcome()["answers"], outcome(restored())["answers"]
    assert set(codes(named(table("Output", "field"))["answers"])) == {
        *off,
        *off["off"],
        *on["off"],
        *(choice["answer"] for choice in off["mx"]["choices"]),
        on["mx"]["answer"],
        *get_args(Confidence),
        "reason",
        "confidence",
        "choices",
        "overlap",
        "state",
        "on",
    }


def test_output_of_a_check_is_as_told() -> None:
    assert set(named(table("Look at a domain", "field"))) == set(check_outcome(sight()))


def test_notice_shown_is_what_the_product_writes() -> None:
    [shown] = blocks(section("What may I move, and when?"), "text")
    # Lines may be broken elsewhere, and nothing else may differ.
    assert shown.split() == outcome()["text"].split()


BEGIN = datetime(2026, 11, 24, 4, tzinfo=UTC)  # a Tuesday
SERVED = hashlib.sha256(ENFORCE).hexdigest()
SERVING = {
    "agreeing": [
        {"address": "192.0.2.1", "mode": "enforce", "max_age": 604800, "sha256": SERVED, "mx": []}
    ],
    "not_asked": [],
    "doubts": [],
    "checked_at": "2026-11-24T04:00:00Z",
}


def when(stamp: str | None) -> str:
    """A moment as the table of methods writes it."""
    if stamp is None:
        return "no date"
    days, rest = divmod(instant(stamp) - BEGIN, timedelta(days=1))
    assert rest == timedelta(hours=1), stamp
    return {
        0: "Tuesday 05:00",
        7: "Tuesday 05:00, a week later",
        10: "Friday 05:00, a week later",
    }[days]


@pytest.mark.parametrize(
    ("column", "asked"),
    [
        (1, {"method": "none-policy"}),
        (2, {"method": "delete-record"}),
        (3, {"method": "delete-record", "publish_none": True}),
        (4, {"method": "retire"}),
    ],
)
def test_times_of_the_methods_are_what_the_product_computes(
    column: int, asked: dict[str, Any]
) -> None:
    looked = {} if column != 2 else SERVING
    planned = plan(findings(host=looked), now=BEGIN, **asked)
    told = planned.expected
    rows = {
        row[0]: row[column].replace("**", "")
        for row in table("Which method, when?", "")  # its head is empty
    }
    assert planned.record.wait_seconds == 3600
    assert rows["confirmed, at the earliest"] == "Tuesday 05:00"
    rereading = told["conforming_off_at"] or told["needing_record_off_at"]
    assert rows["senders that re-read the record lose no mail by it"] == when(rereading)
    needing = rows["all senders that need the record have let go"]
    assert needing == when(told["needing_record_off_at"])
    renewing = rows["senders that renew over HTTPS alone have let go"]
    assert renewing.partition(": a week after")[0] == when(told["all_off_at"])
    free = rows["MX may change freely"]
    without = told["mx"]["without_overlap_from"]
    assert free.startswith("no date") if without is None else free == when(without)
    assert rows["the record goes"] == goes(planned)


def goes(planned: Plan) -> str:
    """When the record goes, as the table of methods writes it."""
    if planned.deletes:
        return "at once"
    asked = request.Request.parse({"domain": planned.domain, "method": planned.method})
    every = instant(planned.expected["all_off_at"])
    due = after(planned, asked, all_off_at=every, pending={}, now=BEGIN)
    return f"by itself: {when(due['retirement']['at'])}" if "retirement" in due else "never"


def test_the_first_table_has_every_method() -> None:
    told = [codes(row[1])[0] for row in table("Which method, when?", "you want to")]
    assert set(told) == set(request.METHODS)


def test_failure_table_has_every_error_and_no_other() -> None:
    by_name = table("When a run fails", "error")
    defined = [
        name
        for name, each in vars(errors).items()
        if isinstance(each, type)
        and issubclass(each, errors.MtaStsError)
        and each is not errors.MtaStsError
    ]
    assert sorted(named(by_name)) == sorted(defined)
    for row in by_name:
        assert len(row) == 4
        assert all(row)


def test_beginnings_of_texts_are_all_there_and_real() -> None:
    failure = {"Error": "PropagationTimeoutError", "Cause": "ns-1 lags."}
    already_none = plan(findings(policy=stored(NONE)))
    deletion = plan(method="delete-record", publish_none=True)
    no_record = plan(findings(record_sets=[]), method="delete-record", publish_none=True)
    back, anew = restored(), plan(method="change-id")
    texts = [
        messages.failed("solarmora.com", changed, failure, "Change Id", planned, confirmed=said)[1]
        for changed in (
            "nothing",
            "policy",
            "record",
            "policy and record",
            "unknown",
            messages.PUT_BACK,
        )
        for planned in (None, plan(), already_none, deletion, no_record, back, anew)
        for said in ("", *(outcome(one)["text"] for one in (plan(), back, anew)))
        if (planned, changed) != (anew, "policy")  # which it never writes
    ]
    for cause in (
        "Another execution holds solarmora.com: a:run, since 2026-11-24T04:05:06Z. Nothing was changed.",
        "The last run for solarmora.com was cut short. Not before 2026-11-24T04:06:06Z.",
    ):
        busy = {"Error": "DomainBusyError", "Cause": cause}
        text = messages.failed("solarmora.com", "nothing", busy, "s", plan(), confirmed="")[1]
        texts.append(text)
    # Where not even the outcome could be recorded, the definition has a text of its own.
    [caught] = DEFINITION["States"]["Record Failure"]["Catch"]
    texts.append("".join(re.findall(r"'([^']*)'", caught["Assign"]["notice"]["text"])))
    beginnings = [codes(row[0]) for row in table("When a run fails", "the text begins")]

    def fits(text: str, words: list[str]) -> bool:
        return text.startswith(words[0]) and all(word in text for word in words)

    for text in texts:
        assert [words for words in beginnings if fits(text, words)], text
    for words in beginnings:
        assert [text for text in texts if fits(text, words)], words


def test_retries_of_a_busy_aws_are_as_told() -> None:
    told = named(table("When a run fails", "error"))["TransientError"]
    attempts = {
        retry["MaxAttempts"]
        for state in DEFINITION["States"].values()
        for retry in state.get("Retry", [])
        if "TransientError" in retry["ErrorEquals"]
    }
    assert attempts == {8, 50}
    assert "eight more attempts" in told
    assert "fifty where Route 53 is asked" in told


def test_limits_of_the_policy_host_are_as_told() -> None:
    rows = named(table("When a run fails", "error"))
    source = (ROOT / "layers/mta_sts/mta_sts/adapters/policy_host.py").read_text()
    [most] = re.findall(r"^MOST_ADDRESSES = (\d+)", source, re.MULTILINE)
    assert f"more than {most} addresses" in rows["PolicyNotServedError"]
    assert f"larger than {policy.MAX_BODY // 1024} KiB" in rows["PolicyUnreadableError"]


def test_longest_run_is_as_told() -> None:
    [days] = re.findall(r"A run may last (\d+) days at most", section("Limits"))
    assert DEFINITION["TimeoutSeconds"] == int(days) * 86400
