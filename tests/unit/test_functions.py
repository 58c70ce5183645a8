"""What functions tell the ledger: when an id changed, what is saved, and how a failed run is judged."""

import importlib.util
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mta_sts import wiring
from mta_sts.adapters.ledger import Claim
from mta_sts.errors import PolicyNotFoundError, SupersededError
from mta_sts.instants import stamp
from mta_sts.observed import StoredPolicy
from mta_sts.plan import Plan
from mta_sts.record_set import RecordSet
from tests.unit.plans import (
    GONE,
    NONE,
    NOT_FOUND,
    NOW,
    answered,
    deletion,
    findings,
    looked,
    plan,
    stored,
    txt,
)
from tests.unit.test_state_machine import ROOT

EXECUTION = {"arn": "arn:aws:states:eu-west-1:1:execution:m:me", "started_at": stamp(NOW)}
FRESH = NOW + timedelta(seconds=60)
IN_SYNC = NOW + timedelta(seconds=90)


def handled(verb: str, event: dict[str, Any]) -> dict[str, Any]:
    """Call a function as Lambda does."""
    spec = importlib.util.spec_from_file_location(verb, ROOT / "functions" / verb / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer: dict[str, Any] = module.handler(event, None)
    return answer


class Book:
    """A ledger that keeps what it is told."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.finished: dict[str, Any] = {}

    def domain(self, _domain: str) -> dict[str, Any]:
        return {}

    def is_closed(self, _domain: str, _execution: str) -> bool:
        return False

    def move(self, _domain: str, _due: dict[str, Any], _change: Any) -> bool:
        return False

    def claim(self, claim: Claim, _now: Any) -> None:
        self.claims.append(claim)

    def finish(self, *_who: str, **fields: Any) -> None:
        self.finished = fields


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    kept = Book()
    monkeypatch.setattr(wiring, "ledger", lambda: kept)
    monkeypatch.setattr(wiring, "agenda", lambda: kept)
    return kept


# --- when the id changed


def confirmed(book: Book, made: Plan, changed_at: Any, served_at: Any = FRESH) -> dict[str, Any]:
    """Record a confirmed run; return the change of the id that it leaves."""
    caches = {"fresh_at": stamp(FRESH)} if made.publishes else None
    moments = {
        "host": looked(answered()),
        "published": {"published_at": stamp(NOW), "written": True} if made.publishes else None,
        "caches": caches,
        "served": {"checked_at": stamp(served_at)} if made.publishes else None,
        "changed": {"changed_at": stamp(changed_at)},
        "in_sync": {"checked_at": stamp(IN_SYNC)},
        "names": {"record_gone_at": stamp(GONE)},
        "contradicted": None,
    }
    seen = looked(answered(NONE) if made.publishes else NOT_FOUND)
    request = {"domain": made.domain, "method": made.method, "publish_none": made.publishes}
    if not made.deletes:
        del request["publish_none"]
    event = {
        "request": request, "plan": made.to_dict(), "execution": EXECUTION, "moments": moments,
    }  # fmt: skip
    handled("record_outcome", event | {"record": {"ready": True}, "policy": seen})
    change: dict[str, Any] = book.finished["id_change"]
    return change


@pytest.mark.parametrize("made", [plan(), deletion(publish_none=True)])
@pytest.mark.parametrize(
    ("changed_at", "recorded"),
    [
        (FRESH + timedelta(seconds=30), FRESH + timedelta(seconds=30)),
        # Stamps are of whole seconds: within the same one it still came after.
        (FRESH, FRESH + timedelta(seconds=1)),
        # A run that takes up where another stopped finds the set changed already.
        (FRESH - timedelta(seconds=30), FRESH + timedelta(seconds=1)),
    ],
)
def test_an_id_changes_after_every_cache_is_fresh(
    book: Book, made: Plan, changed_at: Any, recorded: Any
) -> None:
    """Or what a cache handed out until then would count as stored under the new id."""
    change = confirmed(book, made, changed_at)
    assert change["at"] == stamp(recorded)
    assert change["at"] > change["fresh_at"]
    assert (change["published_at"], change["gone_at"]) == (stamp(NOW), stamp(GONE))


def test_an_id_changes_after_every_address_was_seen_to_be_fresh(book: Book) -> None:
    """Within the same second as that, too: or a retirement would never be over."""
    seen_at = FRESH + timedelta(seconds=1)
    change = confirmed(book, plan(), seen_at, served_at=seen_at)
    assert change["fresh_at"] == stamp(seen_at)
    assert change["at"] > change["fresh_at"]


def test_a_plain_deletion_changes_it_when_it_does(book: Book) -> None:
    change = confirmed(book, deletion(), NOW)
    assert (change["at"], change["fresh_at"], change["published_at"]) == (stamp(NOW), None, None)
    assert (change["id"], change["old"]) == ("", "20200425085700")


# --- what a claim remembers


@pytest.mark.parametrize(
    ("values", "ids", "old"),
    [
        (["v=STSv1; id=1;"], {"1"}, True),
        (["v=STSv1; id=1;", "v=STSv1; id=2;"], {"1", "2"}, True),
        (["v=STSv1; id=1;", "v=STSv1 ; id=3;", "v=STSv1; id=2;"], {"1", "2"}, True),
        (["v=STSv1; id=?;"], set(), True),
        (["neighbour"], set(), False),
    ],
)
def test_a_claim_remembers_every_id_that_stood_there(
    book: Book, values: list[str], ids: set[str], *, old: bool
) -> None:
    """Of several values, too, one was perhaps what some sender knows."""
    made = deletion(
        findings(missing=True, record_sets=[txt(*values)]), NOT_FOUND, longest_max_age=1
    )
    request = {"domain": "solarmora.com", "method": "delete-record"}
    handled("claim_domain", {"plan": made.to_dict(), "request": request, "execution": EXECUTION})
    [claim] = book.claims
    assert set(claim.ids) - {""} == ids
    assert claim.old_record is old
    assert (claim.new_id, claim.policy) == ("", None)


@pytest.mark.parametrize(
    ("record_sets", "seen", "waited"),
    [
        ([txt("v=STSv1; id=1;", ttl=300)], 0, 300),
        ([txt("v=STSv1; id=1;", ttl=60)], 80_000, 80_000),  # lowered; a resolver had a longer one
        ([], 0, 900),  # that there is none
        ([], 86_400, 86_400),  # what a wildcard said
    ],
)
def test_a_claim_remembers_how_long_the_run_would_wait(
    book: Book, record_sets: list[Any], seen: int, waited: int
) -> None:
    """Whoever runs again after a failure finds this run's record, which has a TTL of its own."""
    made = plan(
        findings(missing=True, record_sets=record_sets, longest_ttl=seen), create_policy=True
    )
    request = {"domain": "solarmora.com", "method": "none-policy"}
    handled("claim_domain", {"plan": made.to_dict(), "request": request, "execution": EXECUTION})
    assert [claim.wait_seconds for claim in book.claims] == [waited]


# --- caches in front


def test_a_write_was_up_to_a_second_later_than_s3_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that other caches are given counts from it."""
    written = stored(NONE)

    class Store:
        def write(self, *_what: Any, **_how: Any) -> StoredPolicy:
            return written

    monkeypatch.setattr(wiring, "policy_store", Store)
    published = handled("publish_policy", {"plan": plan().to_dict()})
    assert published["published_at"] == stamp(written.last_modified + timedelta(seconds=1))


@pytest.mark.parametrize(("other", "ready"), [(0, True), (60, False)])
def test_only_a_cache_is_waited_for(other: int, *, ready: bool) -> None:
    """S3 cuts the moment of a write to seconds; without a cache nothing hangs on the one that is added."""
    soon = stamp(datetime.now(UTC) + timedelta(minutes=1))
    event = {
        "plan": plan(other_cache_seconds=other).to_dict(),
        "published": {"published_at": soon, "written": True},
        "since": soon,
        "caches": None,
        "execution": EXECUTION,
    }
    check = handled("purge_cdn", event)
    assert check["ready"] is ready
    assert (check["pause_seconds"] > 60) is not ready
    assert check["fresh_at"] >= soon


# --- how a failed run is judged


class AsTheyAre:
    """Store and zones as they are after the failure; what is an error cannot be looked at."""

    def __init__(self, policy: Any, record: Any) -> None:
        self._policy, self._record = policy, record

    def read(self, *_where: str) -> Any:
        return _given(self._policy)

    def record_set(self, *_where: str) -> Any:
        return _given(self._record)


def _given(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found


ALONE, PUBLISHING = deletion(), deletion(publish_none=True)
OURS = stored(PUBLISHING.policy.after.encode())
BROKEN, GONE_TOO = RuntimeError("denied"), PolicyNotFoundError("no object")
LEFT = RecordSet(ALONE.record.name, 60, ('"v=spf1 -all"',))


@pytest.mark.parametrize(
    ("made", "policy", "record", "changed"),
    [
        (ALONE, stored(), None, "record"),
        (ALONE, BROKEN, None, "record"),  # a plain deletion needs no policy
        (ALONE, GONE_TOO, LEFT, "record"),
        (ALONE, stored(), BROKEN, "unknown"),
        (PUBLISHING, OURS, None, "policy and record"),
        (PUBLISHING, BROKEN, None, "unknown"),
        (PUBLISHING, GONE_TOO, None, "record"),
        (PUBLISHING, OURS, BROKEN, "unknown"),
        (plan(), BROKEN, plan().record.after, "unknown"),
    ],
)
def test_policy_and_record_are_looked_at_each_by_itself(
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    made: Plan,
    policy: Any,
    record: Any,
    changed: str,
) -> None:
    now = AsTheyAre(policy, record)
    monkeypatch.setattr(wiring, "policy_store", lambda: now)
    monkeypatch.setattr(wiring, "zones", lambda _role: now)
    event = {
        "request": {"domain": made.domain, "method": made.method},
        "plan": made.to_dict(),
        "execution": EXECUTION,
        "failure": {"Error": "X", "Cause": "y"},
        "failed_state": "Delete Record",
    }
    assert handled("record_outcome", event)["changed"] == changed
    assert book.finished["run"]["changed"] == changed
    assert "id_change" not in book.finished, "nothing is confirmed"


# --- an execution that was stopped and set going again


@pytest.mark.parametrize("verb", ["publish_policy", "change_record", "remove_policy"])
def test_a_redriven_execution_writes_nothing_more(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Its claim was released when it was stopped: nothing keeps others away."""

    def touched(*_what: Any) -> Any:
        pytest.fail("AWS was asked")

    for name in ("policy_store", "zones"):
        monkeypatch.setattr(wiring, name, touched)
    event = {"plan": plan().to_dict(), "step": "change", "redriven": True}
    with pytest.raises(SupersededError, match="stopped and redriven"):
        handled(verb, event)
