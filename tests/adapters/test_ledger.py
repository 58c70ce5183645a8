"""The ledger, against a real table: one run at a time, no id twice, nothing saved over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from local.lab import Lab
from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS, Claim, Ledger, run_key
from mta_sts.errors import ConcurrentChangeError, DomainBusyError
from mta_sts.instants import stamp

NOW = datetime(2026, 11, 24, 4, 5, 6, tzinfo=UTC)
ME, OTHER = (
    "arn:aws:states:eu-west-1:1:execution:m:me",
    "arn:aws:states:eu-west-1:1:execution:m:other",
)


class FakeExecutions:
    """Step Functions' memory of executions: when each ended, None while it runs."""

    def __init__(self, **ended: datetime | None) -> None:
        self._ended = ended

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 - boto3's spelling
        name = executionArn.rpartition(":")[2]
        if name not in self._ended:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")
        ended = self._ended[name]
        return {"status": "SUCCEEDED", "stopDate": ended} if ended else {"status": "RUNNING"}


def ledger(lab: Lab, **ended: datetime | None) -> Ledger:
    table = lab.stack_outputs["LedgerTableName"]
    return Ledger(lab.client("dynamodb"), table, cast("Any", FakeExecutions(**ended)))


def claim(domain: str, arn: str = ME, **more: Any) -> Claim:
    made = Claim(
        domain=domain,
        execution_arn=arn,
        started_at=stamp(NOW),
        new_id="new1",
        old_id="old1",
        ttl=3600,
        policy={"body": b"\x00\xffpolicy", "sha256": "aa"},
        record={"ttl": 3600, "values": ['"v=STSv1; id=old1;"']},
        worth_restoring=True,
        run={"method": "none-policy", "ticket": "CHG-1"},
    )
    return replace(made, **more)


def end(book: Ledger, domain: str, arn: str = ME, **more: Any) -> None:
    book.finish(
        domain, arn, stamp(NOW), run={"status": "failed"}, domain_fields={"phase": "x"}, **more
    )


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
    with pytest.raises(DomainBusyError, match=ME) as caught:
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


def test_ttls_of_the_last_day_are_remembered(lab: Lab) -> None:
    book = ledger(lab)
    for hours, ttl in ((0, 86400), (23, 300), (25, 60)):
        book.claim(claim("l7.example", new_id=f"new{ttl}", ttl=ttl), NOW + timedelta(hours=hours))
        end(book, "l7.example")
    assert [seen["ttl"] for seen in book.domain("l7.example")["ttls"]] == [300, 60]


def test_the_longest_function_is_as_long_as_the_template_says() -> None:
    template = (Path(__file__).parents[2] / "template.yaml").read_text()
    timeouts = [
        int(line.split(":")[1]) for line in template.splitlines() if "      Timeout:" in line
    ]
    assert len(timeouts) == 8
    assert max(timeouts) <= LONGEST_FUNCTION_SECONDS
