"""What is due in the ledger's real table: found by the index, moved only while it still is due."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from local.lab import Lab
from mta_sts.adapters.agenda import Agenda
from mta_sts.adapters.ledger import LONGEST_FUNCTION_SECONDS, Ledger, recent_changes, run_key
from mta_sts.due import postponed
from mta_sts.errors import ConcurrentChangeError, DomainBusyError, SupersededError
from mta_sts.instants import stamp
from mta_sts.retiring import not_before
from tests.adapters.ledgers import ME, NOW, OTHER, claim, end, ledger

SOON, LATER = NOW + timedelta(days=2), NOW + timedelta(days=7)
ENTRY = {"at": stamp(LATER), "request": {"method": "delete-record"}}
WATCH = {"at": stamp(NOW + timedelta(days=1)), "request": {"method": "check"}}
DUE = {"retirement": ENTRY, "watch": WATCH}
CHANGE = {"id": "new1", "at": stamp(NOW), "gone_at": stamp(NOW)}


def agenda(lab: Lab) -> Agenda:
    return Agenda(lab.client("dynamodb"), lab.stack_outputs["LedgerTableName"])


def settled(lab: Lab, domain: str, due: Any = DUE) -> Ledger:
    """A domain whose run by hand was confirmed."""
    book = ledger(lab)
    book.claim(claim(domain), NOW)
    end(book, domain, id_change=CHANGE, due=due)
    return book


def started(book: Ledger, domain: str, kind: str = "retirement", **more: Any) -> dict[str, Any]:
    """What an execution that the sweep has started carries."""
    item = book.domain(domain)
    return {"kind": kind, "generation": item["generation"], "at": item["due"][kind]["at"], **more}


def test_the_index_finds_what_is_due_by_then(lab: Lab) -> None:
    settled(lab, "indexed.example")
    book = agenda(lab)
    assert "indexed.example" not in list(book.domains(until=NOW))
    assert "indexed.example" in list(book.domains(until=NOW + timedelta(days=1)))
    assert "indexed.example" in list(book.domains())
    settled(lab, "nothing-due.example", due={})
    assert "nothing-due.example" not in list(book.domains())
    assert "due" not in book.item("nothing-due.example")


def test_the_index_gives_the_earliest_first(lab: Lab) -> None:
    for name, days in (("third", 3), ("first", 1), ("second", 2)):
        at = stamp(NOW - timedelta(days=900 - days))  # before whatever else is in the table
        settled(lab, f"{name}-due.example", due={"watch": {"at": at, "request": {}}})
    found = [name for name in agenda(lab).domains(until=NOW) if name.endswith("-due.example")]
    assert found[:3] == ["first-due.example", "second-due.example", "third-due.example"]


def test_what_is_moved_is_found_at_its_new_time(lab: Lab) -> None:
    book = settled(lab, "moved.example")
    due = started(book, "moved.example", "watch")
    again = NOW + timedelta(days=2)
    assert agenda(lab).move("moved.example", due, lambda k, e: postponed(k, e, again))
    item = book.domain("moved.example")
    assert item["due"]["watch"] == {**WATCH, "at": stamp(again)}
    assert item["due"]["retirement"] == ENTRY
    assert item["due_at"] == stamp(again)
    # A second delivery of what has been moved finds nothing to do.
    assert not agenda(lab).move("moved.example", due, lambda k, e: postponed(k, e, LATER))
    assert book.domain("moved.example") == item


def test_the_last_one_takes_the_domain_out_of_the_index(lab: Lab) -> None:
    book = settled(lab, "last.example", due={"watch": WATCH})
    due = started(book, "last.example", "watch")
    assert agenda(lab).move("last.example", due, lambda _kind, _entries: {})
    assert "last.example" not in list(agenda(lab).domains())
    assert not {"due", "due_at", "due_shard"} & set(book.domain("last.example"))


@pytest.mark.parametrize(
    "changed", [{"generation": 1}, {"at": stamp(NOW)}, {"kind": "restore"}, {"kind": "drained"}]
)
def test_what_is_not_due_any_more_is_left_alone(lab: Lab, changed: dict[str, Any]) -> None:
    domain = f"other-{'-'.join(changed)}-{changed.get('kind', '')}.example".replace("-.", ".")
    book = settled(lab, domain)
    before = book.domain(domain)
    due = {**started(book, domain), **changed}
    assert not agenda(lab).move(domain, due, lambda k, e: postponed(k, e, NOW))
    with pytest.raises(SupersededError, match="not due any more"):
        book.claim(claim(domain, OTHER, new_id="new2", due=due), NOW)
    assert book.domain(domain) == before


def test_somebody_who_moves_another_entry_meanwhile_is_not_overwritten(lab: Lab) -> None:
    book = settled(lab, "raced.example")
    due = started(book, "raced.example")
    turns = iter([True, False])

    def change(kind: str, entries: Any) -> Any:
        if next(turns, False):  # the other comes in between reading and writing
            other = started(book, "raced.example", "watch")
            agenda(lab).move("raced.example", other, lambda k, e: postponed(k, e, SOON))
        return postponed(kind, entries, LATER + timedelta(days=1))

    assert agenda(lab).move("raced.example", due, change)
    item = book.domain("raced.example")
    assert item["due"]["watch"]["at"] == stamp(SOON) == item["due_at"]
    assert item["due"]["retirement"]["at"] == stamp(LATER + timedelta(days=1))


def test_what_is_due_is_claimed_under_its_generation_and_a_second_time_by_nobody(lab: Lab) -> None:
    book = settled(lab, "claimed.example")
    due = started(book, "claimed.example")
    mine = claim("claimed.example", OTHER, new_id="", due=due)
    book.claim(mine, NOW)
    book.claim(mine, NOW)  # the answer was lost
    assert book.domain("claimed.example")["generation"] == due["generation"]
    end(book, "claimed.example", OTHER, id_change=CHANGE, due={})
    third = claim("claimed.example", ME + "3", new_id="", due=due)
    with pytest.raises(SupersededError):
        book.claim(third, NOW)


def test_a_run_by_hand_ends_what_the_sweep_has_started_and_keeps_what_is_due(lab: Lab) -> None:
    book = settled(lab, "by-hand.example")
    due = started(book, "by-hand.example")
    book.claim(claim("by-hand.example", OTHER, new_id="new2"), NOW)
    end(book, "by-hand.example", OTHER)  # which failed
    item = book.domain("by-hand.example")
    assert item["generation"] == due["generation"] + 1
    assert item["due"] == DUE, "whatever was due is due still"
    with pytest.raises(SupersededError):
        book.claim(claim("by-hand.example", ME + "3", new_id="new3", due=due), NOW)
    fresh = started(book, "by-hand.example")
    book.claim(claim("by-hand.example", ME + "4", new_id="new4", due=fresh), NOW)


# --- claims that were cut short


def test_a_domain_is_free_when_the_longest_function_has_ended(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("cut-short.example"), NOW)
    free = NOW + timedelta(seconds=LONGEST_FUNCTION_SECONDS)
    end(book, "cut-short.example", free_from=free)
    assert "holder" not in book.domain("cut-short.example")
    other = claim("cut-short.example", OTHER, new_id="new2")
    with pytest.raises(DomainBusyError, match=f"may be at work until {stamp(free)}") as caught:
        book.claim(other, free - timedelta(seconds=1))
    assert not_before(str(caught.value)) == free, "its notice says when to send it again"
    book.claim(other, free)
    assert "free_from" not in book.domain("cut-short.example")


def test_an_end_is_on_record_or_not(lab: Lab) -> None:
    book = ledger(lab)
    assert not book.is_closed("ended.example", ME)
    book.claim(claim("ended.example"), NOW)
    assert not book.is_closed("ended.example", ME)
    end(book, "ended.example")
    assert book.is_closed("ended.example", ME)
    assert not book.is_closed("ended.example", OTHER)


def test_a_look_is_written_down_without_a_claim(lab: Lab) -> None:
    book = ledger(lab)
    key = run_key(stamp(NOW), ME)
    book.record("looked-at.example", key, {"status": "checked", "outcome": {"state": "off"}})
    assert book.item("looked-at.example", key)["status"] == "checked"
    assert book.is_closed("looked-at.example", ME)
    assert book.domain("looked-at.example") == {}


# --- how long changes of the id are remembered


def test_the_last_change_of_the_id_is_never_forgotten() -> None:
    """A retirement that fails for months would otherwise count from the run that tries it."""
    years = [NOW - timedelta(days=days) for days in (1500, 1000, 800)]
    changes = [{"id": str(number), "gone_at": stamp(at)} for number, at in enumerate(years)]
    assert recent_changes(changes, NOW) == changes[-1:]
    assert recent_changes([], NOW) == []


# --- plans and runs that came too late


def test_a_plan_that_was_made_before_another_run_does_not_take_the_domain(lab: Lab) -> None:
    book = ledger(lab)
    stale = claim("stale-plan.example", OTHER, new_id="new2", generation=0)
    settled(lab, "stale-plan.example")
    before = book.domain("stale-plan.example")
    with pytest.raises(ConcurrentChangeError, match="came after this one's plan was made"):
        book.claim(stale, NOW)
    assert book.domain("stale-plan.example") == before
    seen = replace(stale, generation=before["generation"])
    book.claim(seen, NOW)
    book.claim(seen, NOW)  # the answer was lost


def test_a_run_that_has_lost_its_claim_is_not_confirmed(lab: Lab) -> None:
    """Stopped, released, and set going again: what it says is due would be due for nobody."""
    book = ledger(lab)
    book.claim(claim("redriven.example"), NOW)
    end(book, "redriven.example", free_from=NOW)
    with pytest.raises(ConcurrentChangeError, match=r"does not hold redriven\.example any more"):
        end(book, "redriven.example", id_change=CHANGE, due=DUE)
    assert "due" not in book.domain("redriven.example")
    settled(lab, "twice-confirmed.example")
    end(book, "twice-confirmed.example", id_change=CHANGE, due=DUE)  # the answer was lost


def test_what_this_stack_has_put_there_itself_is_not_saved_over_the_original(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("own-work.example"), NOW)
    ours = {"policies": ["testing"], "ids": ["new1"]}
    book.finish(
        "own-work.example", ME, stamp(NOW), run={"status": "confirmed"},
        domain_fields={"ours": ours}, id_change=CHANGE, due={},
    )  # fmt: skip
    tried = {"body": b"in testing", "sha256": "testing"}
    book.claim(claim("own-work.example", OTHER, new_id="new2", policy=tried), NOW)
    assert book.domain("own-work.example")["saved"]["policy"]["sha256"] == "aa"
    end(book, "own-work.example", OTHER)
    other = {"body": b"somebody's", "sha256": "bb"}
    book.claim(claim("own-work.example", ME + "3", new_id="new3", policy=other), NOW)
    assert book.domain("own-work.example")["saved"]["policy"]["sha256"] == "bb"
