"""The ledger and deletions: no new id, a record that is gone, TTLs that stay open."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from local.lab import Lab
from mta_sts.errors import ConcurrentChangeError, DomainBusyError
from mta_sts.instants import stamp
from tests.adapters.ledgers import ME, NOW, OTHER, change, claim, end, hold, ledger


def test_a_claim_may_have_no_id_at_all(lab: Lab) -> None:
    """Where nothing stands and nothing is made; a set of ids must not be empty."""
    book = ledger(lab)
    nothing = claim("l16.example", new_id="", ids=(), record=None)
    book.claim(nothing, NOW)
    book.claim(nothing, NOW)  # a retry after the effect
    assert "ids" not in book.domain("l16.example")
    assert book.domain("l16.example")["holder"] == ME
    end(book, "l16.example")
    book.claim(claim("l16.example", OTHER), NOW)
    assert book.domain("l16.example")["ids"] == {"new1", "old1"}


def test_a_claim_without_a_new_id_is_refused_by_none_that_was_used(lab: Lab) -> None:
    book = ledger(lab)
    for number in range(3):
        book.claim(claim("l17.example", new_id="", ids=(f"old{number}",)), NOW)
        end(book, "l17.example")
    assert book.domain("l17.example")["ids"] == {"old0", "old1", "old2"}
    with pytest.raises(ConcurrentChangeError, match="old2"):
        book.claim(claim("l17.example", new_id="old2"), NOW)


def test_a_deletion_is_kept_away_by_another_run_too(lab: Lab) -> None:
    book = ledger(lab, me=None)
    book.claim(claim("l18.example", new_id=""), NOW)
    with pytest.raises(DomainBusyError, match=ME):
        book.claim(claim("l18.example", OTHER, new_id="", ids=()), NOW)


def test_every_id_of_several_values_is_remembered(lab: Lab) -> None:
    book = ledger(lab)
    book.claim(claim("l19.example", new_id="", ids=("a", "", "b")), NOW)
    assert book.domain("l19.example")["ids"] == {"a", "b"}


def test_a_ttl_is_open_until_a_run_is_confirmed(lab: Lab) -> None:
    """A run that failed leaves it open what a server may still answer, and for how long."""
    book = ledger(lab)
    for number, (ttl, longest) in enumerate(((300, 300), (3600, 3600), (60, 3600), (0, 3600))):
        book.claim(claim("l20.example", new_id=f"n{number}", wait_seconds=ttl), NOW)
        assert book.domain("l20.example")["open_ttl"] == longest
        end(book, "l20.example")
        assert book.domain("l20.example")["open_ttl"] == longest
    book.claim(claim("l20.example", new_id="last", wait_seconds=5), NOW)
    end(book, "l20.example", id_change=change("last", NOW))
    assert "open_ttl" not in book.domain("l20.example")


def test_a_record_that_a_run_took_away_is_not_saved_over_by_the_next(lab: Lab) -> None:
    """The policy is still to be turned off, the record is gone already."""
    book = ledger(lab)
    book.claim(claim("l21.example"), NOW)
    end(book, "l21.example")
    first = book.domain("l21.example")["saved"]
    again = claim(
        "l21.example", new_id="new2", record=None, old_record=False, policy={"body": b"p2"}
    )
    book.claim(again, NOW + timedelta(days=1))
    end(book, "l21.example")
    assert book.domain("l21.example")["saved"] == first | {"policy": {"body": b"p2"}}
    # The first of all has nothing to keep, and a run that finds a record saves it.
    book.claim(replace(again, domain="l22.example"), NOW)
    assert book.domain("l22.example")["saved"]["record"] is None
    book.claim(claim("l21.example", new_id="new3", record={"ttl": 5}), NOW)
    assert book.domain("l21.example")["saved"]["record"] == {"ttl": 5}


def deleted(at: datetime, old: str) -> dict[str, str | None]:
    """What a deletion is remembered by: no id stands there any more."""
    gone_at = stamp(at + timedelta(hours=1))
    return {"id": "", "old": old, "at": stamp(at), "gone_at": gone_at, "published_at": None}


def test_two_deletions_are_both_kept(lab: Lab) -> None:
    """Neither has an id by which it could be told from the other."""
    book = ledger(lab)
    made = deleted(NOW, "old1"), deleted(NOW + timedelta(days=1), "old2")
    for number, one in enumerate(made):
        book.claim(claim("l14.example", new_id="", ids=(f"old{number + 1}",)), NOW)
        end(book, "l14.example", id_change=one)
        hold(lab, "l14.example", ME)
        end(book, "l14.example", id_change=one)  # a retry that finds the claim still there
    item = book.domain("l14.example")
    assert item["id_changes"] == list(made)
    assert item["ids"] == {"old1", "old2"}


def test_a_change_of_the_id_after_a_deletion_is_kept_beside_it(lab: Lab) -> None:
    book = ledger(lab)
    gone, anew = deleted(NOW, "old1"), change("new2", NOW + timedelta(days=1))
    book.claim(claim("l15.example", new_id=""), NOW)
    end(book, "l15.example", id_change=gone)
    book.claim(claim("l15.example", new_id="new2", ids=()), NOW)
    end(book, "l15.example", id_change=anew)
    assert book.domain("l15.example")["id_changes"] == [gone, anew]
