"""The ledger, against a real table: one run at a time, no id twice, nothing saved over."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from local.lab import Lab
from mta_sts.adapters.ledger import (
    LONGEST_FUNCTION_SECONDS,
    Ledger,
    recent_changes,
    run_key,
)
from mta_sts.errors import ConcurrentChangeError, DomainBusyError, TransientError
from mta_sts.instants import stamp
from tests.adapters.ledgers import ME, NOW, OTHER, change, claim, end, hold, ledger


def test_a_claim_saves_everything_and_can_be_repeated(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("l1.example"), NOW)
    book.claim(claim("l1.example"), NOW)  # a retry after the effect
    item = book.domain("l1.example")
    assert (item["holder"], item["held_since"]) == (ME, "2026-11-24T04:05:06Z")
    assert item["ids"] == {"new1", "old1"}
    assert item["saved"]["policy"]["body"] == b"\x00\xffpolicy"  # byte for byte
    assert item["saved"]["record"]["values"] == ['"v=STSv1; id=old1;"']
    run = lab.client("dynamodb").get_item(
        TableName=lab.stack_outputs["LedgerTableName"],
        Key={"domain": {"S": "l1.example"}, "item": {"S": run_key(stamp(NOW), ME)}},
    )["Item"]
    assert (run["status"]["S"], run["ticket"]["S"]) == ("running", "CHG-1")


def test_a_second_run_is_told_who_holds_the_domain_and_since_when(lab: Lab) -> None:
    book = ledger(lab, me=None)
    book.claim(claim("l2.example"), NOW)
    with pytest.raises(DomainBusyError, match=f"{ME}, since \\S+\\. ") as caught:
        book.claim(claim("l2.example", OTHER, new_id="new2"), NOW + timedelta(hours=1))
    assert "2026-11-24T04:05:06Z" in str(caught.value)
    assert book.domain("l2.example")["ids"] == {"new1", "old1"}  # nothing was written
    # And the loser's end takes nothing from the winner.
    end(book, "l2.example", OTHER)
    assert book.domain("l2.example")["holder"] == ME


@pytest.mark.parametrize(
    ("ended", "taken"),
    [
        ({"me": None}, False),  # it runs
        ({"me": NOW + timedelta(minutes=9)}, False),  # a function it called may still be at work
        ({"me": NOW + timedelta(minutes=10) - timedelta(seconds=LONGEST_FUNCTION_SECONDS)}, False),
        ({"me": NOW + timedelta(minutes=8)}, True),
        ({}, True),  # forgotten, 90 days after its end
    ],
)
def test_a_dead_claim_is_taken_over_when_nothing_of_it_can_still_work(
    lab: Lab,
    ended: dict[str, datetime | None],
    taken: bool,  # noqa: FBT001
) -> None:
    left = "-".join(str(at.minute) if at else "runs" for at in ended.values()) or "forgotten"
    domain = f"l3-{left}-{taken}.example"
    book = ledger(lab, **ended)
    book.claim(claim(domain), NOW)
    late = NOW + timedelta(minutes=10)
    if taken:
        book.claim(claim(domain, OTHER, new_id="new2"), late)
    else:
        with pytest.raises(DomainBusyError):
            book.claim(claim(domain, OTHER, new_id="new2"), late)
    assert book.domain(domain)["holder"] == (OTHER if taken else ME)


def test_no_id_is_used_twice(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("l4.example"), NOW)
    end(book, "l4.example")
    for used in ("new1", "old1"):
        with pytest.raises(ConcurrentChangeError, match=used):
            book.claim(claim("l4.example", OTHER, new_id=used), NOW)
    book.claim(claim("l4.example", OTHER, new_id="new2"), NOW)
    assert book.domain("l4.example")["ids"] == {"new1", "new2", "old1"}


def test_what_was_worth_restoring_is_not_saved_over_by_a_second_run(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("l5.example"), NOW)
    end(book, "l5.example")
    none = claim("l5.example", new_id="new2", policy={"body": b"none"}, worth_restoring=False)
    book.claim(none, NOW)
    assert book.domain("l5.example")["saved"]["policy"]["body"] == b"\x00\xffpolicy"
    end(book, "l5.example")
    book.claim(claim("l5.example", new_id="new3", policy={"body": b"enforced again"}), NOW)
    assert book.domain("l5.example")["saved"]["policy"]["body"] == b"enforced again"


def test_an_end_releases_and_can_be_repeated(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("l6.example"), NOW)
    change = {"id": "new1", "at": stamp(NOW), "gone_at": stamp(NOW)}
    end(book, "l6.example", id_change=change)
    end(book, "l6.example", id_change=change)  # a retry after the effect
    item = book.domain("l6.example")
    assert "holder" not in item
    assert item["id_changes"] == [change]
    assert item["phase"] == "x"


def test_a_ttl_is_remembered_for_its_own_length(lab: Lab) -> None:
    """Until then some resolver may have the answer; a long one is not forgotten after a day."""
    book = ledger(lab)
    day, week = 86400, 604800
    seen = ((0, week), (1, day), (24, 300), (25, 60))
    for hours, ttl in seen:
        book.claim(
            claim("l7.example", new_id=f"new{ttl}", wait_seconds=ttl), NOW + timedelta(hours=hours)
        )
        end(book, "l7.example")
    # The day is over at the very moment of the last claim, as are the five minutes.
    assert book.domain("l7.example")["ttls"] == [
        {"ttl": week, "seen_at": stamp(NOW)},
        {"ttl": 60, "seen_at": stamp(NOW + timedelta(hours=25))},
    ]
    book.claim(
        claim("l7.example", new_id="new7", wait_seconds=5), NOW + timedelta(days=7, seconds=-1)
    )
    assert [one["ttl"] for one in book.domain("l7.example")["ttls"]] == [week, 5]


def test_how_long_an_absence_is_kept_is_remembered_too(lab: Lab) -> None:
    """The run makes a record, whose own TTL says nothing about how long there was none."""
    book = ledger(lab)
    book.claim(claim("l8.example", record=None, ids=(), wait_seconds=86_400), NOW)
    assert book.domain("l8.example")["ttls"] == [{"ttl": 86_400, "seen_at": stamp(NOW)}]
    assert book.domain("l8.example")["ids"] == {"new1"}


# --- id changes: kept as long as some policy from before one may live, and each one once

YEAR_AND_MORE = timedelta(seconds=31557600, days=60)


def test_id_changes_are_kept_for_a_year_and_the_longest_margin(lab: Lab) -> None:
    book = ledger(lab)
    old, kept = change("id1", NOW), change("id2", NOW + timedelta(seconds=1))
    for number, one in enumerate((old, kept)):
        book.claim(claim("l9.example", new_id=f"n{number}"), NOW)
        end(book, "l9.example", id_change=one)
    assert book.domain("l9.example")["id_changes"] == [old, kept]
    book.claim(claim("l9.example", new_id="n2"), NOW)
    last = change("id3", NOW + YEAR_AND_MORE)
    end(book, "l9.example", id_change=last)
    assert book.domain("l9.example")["id_changes"] == [kept, last]


def test_a_planning_run_sees_those_alone_that_still_matter() -> None:
    old, kept = change("id1", NOW), change("id2", NOW + timedelta(seconds=1))
    assert recent_changes([old, kept], NOW + YEAR_AND_MORE) == [kept]
    assert recent_changes([], NOW) == []


def test_an_id_change_that_is_recorded_again_replaces_itself(lab: Lab) -> None:
    """A retry may find the claim still there, because the first attempt died between its writes."""
    book = ledger(lab)
    first = change("new1", NOW)
    again = first | {"gone_at": stamp(NOW + timedelta(seconds=9))}
    for one in (first, again):
        book.claim(claim("l10.example", new_id="new1"), NOW)
        end(book, "l10.example", id_change=one)
        # What a run that died after this write would have left: its claim.
        hold(lab, "l10.example", ME)
    assert book.domain("l10.example")["id_changes"] == [again]


# --- DynamoDB being busy is neither a lost claim nor an id used twice


def cancelled(*reasons: str) -> tuple[Ledger, Stubber]:
    """A ledger whose next claim is cancelled for these reasons, one for each item."""
    client = boto3.client(
        "dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stub = Stubber(client)
    stub.add_response("get_item", {})
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        modeled_fields={"CancellationReasons": [{"Code": reason} for reason in reasons]},
    )
    stub.add_response("get_item", {})
    stub.activate()
    return Ledger(client, "t"), stub


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (("TransactionConflict", "None"), "busy: TransactionConflict$"),
        (("None", "ThrottlingError"), "busy: ThrottlingError$"),
        (("ThrottlingError", "TransactionConflict"), "busy: ThrottlingError, TransactionConflict$"),
    ],
)
def test_a_ledger_that_is_busy_is_tried_again(reasons: tuple[str, str], said: str) -> None:
    book, _ = cancelled(*reasons)
    with pytest.raises(TransientError, match=said):
        book.claim(claim("l11.example"), NOW)


@pytest.mark.parametrize(
    "reasons",
    [("ConditionalCheckFailed", "None"), ("ConditionalCheckFailed", "TransactionConflict")],
)
def test_a_condition_that_failed_is_a_refusal(reasons: tuple[str, ...]) -> None:
    book, stub = cancelled(*reasons)
    with pytest.raises(ConcurrentChangeError, match="new1"):
        book.claim(claim("l12.example"), NOW)
    stub.assert_no_pending_responses()


def test_an_execution_that_step_functions_is_too_busy_to_show_is_not_called_alive(
    lab: Lab,
) -> None:
    """Nor dead: the workflow asks again."""

    class Busy:
        def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, executionArn)

    ledger(lab).claim(claim("l13.example"), NOW)
    table = lab.stack_outputs["LedgerTableName"]
    book = Ledger(lab.client("dynamodb"), table, lambda: cast("Any", Busy()))
    with pytest.raises(ClientError, match="Throttling"):
        book.claim(claim("l13.example", OTHER, new_id="new2"), NOW)
    assert book.domain("l13.example")["holder"] == ME


def test_the_longest_function_is_as_long_as_the_template_says() -> None:
    template = (Path(__file__).parents[2] / "template.yaml").read_text()
    timeouts = [int(found) for found in re.findall(r"^ {6}Timeout: (\d+)", template, re.MULTILINE)]
    assert len(timeouts) == template.count("Type: AWS::Serverless::Function") > 0
    assert max(timeouts) <= LONGEST_FUNCTION_SECONDS
