"""When `restore` refuses: what stands there is not ours, or senders would deliver to nobody."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts import wiring
from mta_sts.errors import (
    ConcurrentChangeError,
    NothingToRestoreError,
    PlanChangedError,
    RestoreWouldLoseMailError,
)
from mta_sts.live_mx import LiveMx, MxAnswer, live_mx
from mta_sts.observed import Findings
from mta_sts.plan import Plan
from tests.unit.plans import ENFORCE, NONE, NOW, deletion, findings, plan, policy, stored, txt
from tests.unit.test_functions import EXECUTION, Book, handled
from tests.unit.test_restoring import (
    ELSEWHERE,
    FIRST_ID,
    HOST,
    IMPLICIT,
    NULL,
    OFF_ID,
    UNKNOWN,
    mx_of,
    off,
    refused,
    remembered,
    restored,
    sha256,
)

# --- what is not as the last run left it

FOREIGN = policy("enforce", "mx.somebody.example")
POLICY: dict[str, Any] = {"policy": stored(FOREIGN)}
GONE = {"now_there": None}
RECORD = {"record_sets": [txt("v=STSv1; id=somebody;")]}
WITHDRAWN = {"record_sets": [txt("v=spf1 -all")]}
MALFORMED = {"record_sets": [txt("v=STSv1; id=not-one;")]}
THE_POLICY = f"the policy object (sha256 {sha256(FOREIGN)[:12]})"
NO_POLICY = "the policy object (sha256 none: it is gone)"
THE_RECORD = "the record (v=STSv1; id=somebody;)"
NO_RECORD = "the record (none: it is gone)"
CHANGED = "is not as the last run of this stack left it: somebody else has changed it since."


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (POLICY, THE_POLICY),
        (RECORD, THE_RECORD),
        (POLICY | RECORD, f"{THE_POLICY} and {THE_RECORD}"),
        (GONE, NO_POLICY),
        (WITHDRAWN, NO_RECORD),
        (GONE | WITHDRAWN, f"{NO_POLICY} and {NO_RECORD}"),
        (MALFORMED, "the record (v=STSv1; id=not-one;)"),
        ({"remembered": remembered(ours={})}, f"the policy object (sha256 {sha256(NONE)[:12]})"),
        # What was saved is no excuse: by whose hand did it come back?
        ({"policy": stored(ENFORCE)}, f"the policy object (sha256 {sha256(ENFORCE)[:12]})"),
        ({"record_sets": [txt(f"v=STSv1; id={FIRST_ID};")]}, f"the record (v=STSv1; id={FIRST_ID};)"),
    ],
)  # fmt: skip
def test_what_somebody_else_has_changed_is_refused(changes: dict[str, Any], named: str) -> None:
    said = refused(ConcurrentChangeError, off(**changes), restore_mode="testing")
    assert said.startswith(f"For solarmora.com {named}")
    assert CHANGED in said
    assert re.search(r"send the same request with accept_current: [0-9a-f]{64}$", said)


def digest_for(**changes: Any) -> str:
    return refused(ConcurrentChangeError, off(**changes))[-64:]


FOREIGN_STATES: list[dict[str, Any]] = [
    POLICY, RECORD, POLICY | RECORD, GONE, WITHDRAWN, GONE | WITHDRAWN, MALFORMED,
    {"policy": stored(FOREIGN + b"\n")}, {"record_sets": [txt("v=STSv1; id=somebody; x=y;")]},
]  # fmt: skip


def test_accept_current_holds_for_the_state_that_was_looked_at_and_no_other() -> None:
    digests = [digest_for(**state) for state in FOREIGN_STATES]
    assert len(set(digests)) == len(digests)
    for place, state in enumerate(FOREIGN_STATES):
        for digest in digests:
            if digest == digests[place]:
                made = restored(off(**state), accept_current=digest)
                assert made.policy.body == ENFORCE
                assert made.policy.before_sha256 == (restored_over(state) or "")
                continue
            said = refused(ConcurrentChangeError, off(**state), accept_current=digest)
            assert f"accept_current names {digest}, which is not what stands there now" in said
            assert said.endswith(f"with accept_current: {digests[place]}")


def restored_over(state: dict[str, Any]) -> str | None:
    stands = off(**state).stored
    return stands.sha256 if stands else None


def test_what_is_ours_needs_no_acceptance_and_a_wrong_one_does_no_harm() -> None:
    assert restored(accept_current="0" * 64).policy.body == ENFORCE


class Shelf:
    """A store that gives up what is to be saved."""

    def read_version(self, *_where: str) -> bytes:
        return b""


def ours_of(monkeypatch: pytest.MonkeyPatch, made: Plan, **asked: Any) -> dict[str, Any]:
    """What a run writes down as its own when it takes the domain."""
    book = Book()
    monkeypatch.setattr(wiring, "ledger", lambda: book)
    monkeypatch.setattr(wiring, "policy_store", Shelf)
    request = {"domain": made.domain, "method": made.method, **asked}
    handled("claim_domain", {"plan": made.to_dict(), "request": request, "execution": EXECUTION})
    return dict(book.claims[0].ours)


def left_by(made: Plan, *, wrote_policy: bool, wrote_record: bool) -> dict[str, Any]:
    """What stands there when a run ends half way."""
    policy_left = made.policy.before.encode()
    if wrote_policy and made.policy.write:
        policy_left = made.policy.body
    left = made.record.after if wrote_record else made.record.before
    values = [value.strip('"') for value in left.values] if left else []
    return {
        "policy": stored(policy_left) if policy_left else None,
        "now_there": policy_left or None,
        "record_sets": [txt(*values)] if values else [],
        "used_ids": frozenset({made.record.old_id, made.record.new_id}),
    }


@pytest.mark.parametrize(
    "made",
    [
        plan(),
        plan(findings(record_sets=[])),
        plan(findings(record_sets=[txt("v=STSv1; id=not-one;", "other")])),
        plan(findings(missing=True), create_policy=True),
        deletion(),
        deletion(publish_none=True),
        restored(),
        restored(restore_mode="testing"),
        plan(method="change-id"),
    ],
    ids=lambda made: made.method,
)
@pytest.mark.parametrize("wrote_record", [False, True])
@pytest.mark.parametrize("wrote_policy", [False, True])
def test_whatever_a_run_of_ours_left_half_way_is_ours(
    monkeypatch: pytest.MonkeyPatch, made: Plan, *, wrote_policy: bool, wrote_record: bool
) -> None:
    left = left_by(made, wrote_policy=wrote_policy, wrote_record=wrote_record)
    item = remembered(ours=ours_of(monkeypatch, made))
    back = restored(off(**left, remembered=item))
    assert back.policy.body == ENFORCE
    assert back.record.new_id not in {made.record.old_id, made.record.new_id}
    foreign = left | {"policy": stored(FOREIGN), "now_there": FOREIGN}
    refused(ConcurrentChangeError, off(**foreign, remembered=item))


# --- mail that would be lost

TWO = policy("enforce", HOST, "*.mx.solarmora.com")
ENDS = ": senders that enforce it would deliver to nobody"
NAMES = f"The policy that was saved names {HOST}, but"
SEEN = [
    (ELSEWHERE, "the MX records name mx.elsewhere.example"),
    (NULL, "the domain has a null MX and takes no mail"),
    (
        UNKNOWN,
        "which MX hosts there are is not known: " + UNKNOWN.problems[0],
    ),
    (IMPLICIT, "there is no MX record, so that solarmora.com itself takes the mail"),
]


@pytest.mark.parametrize(("mx", "seen"), SEEN)
@pytest.mark.parametrize(
    "body", [ENFORCE, ENFORCE.replace(b"enforce", b"enforced"), ENFORCE.replace(b"mode: enforce\n", b"")]
)  # fmt: skip
def test_what_no_live_mx_satisfies_is_refused(mx: LiveMx, seen: str, body: bytes) -> None:
    """A malformed policy as well: a lenient sender may enforce it."""
    said = refused(RestoreWouldLoseMailError, off(body, live_mx=mx))
    assert said.startswith(f"{NAMES} {seen}{ENDS}. Nothing was changed.")
    for way_out in ("restore_mode: testing", "accept_mx_mismatch: true", "change-id"):
        assert way_out in said


@pytest.mark.parametrize(("mx", "seen"), SEEN)
def test_it_can_be_accepted_and_is_told(mx: LiveMx, seen: str) -> None:
    made = restored(off(live_mx=mx), accept_mx_mismatch=True)
    assert f"{NAMES} {seen}{ENDS}. accept_mx_mismatch was given." in made.warnings
    assert made.restored["matched"] == []
    assert made.policy.body == ENFORCE


TESTED = ENFORCE.replace(b"enforce", b"testing")


@pytest.mark.parametrize(("mx", "seen"), SEEN)
@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (ENFORCE, {"restore_mode": "testing"}),
        (TESTED, {}),
        (b"\n" + ENFORCE, {"restore_mode": "testing"}),  # malformed, and nobody can enforce it
        (ENFORCE + b"\xff\n", {"restore_mode": "testing"}),
        (b"\n" + TESTED, {}),
    ],
)
def test_testing_is_never_refused(
    mx: LiveMx, seen: str, body: bytes, asked: dict[str, Any]
) -> None:
    made = restored(off(body, live_mx=mx), **asked)
    said = f"{NAMES} {seen}: in testing no mail is held up, and senders only report it."
    assert said in made.warnings


def test_a_policy_that_names_nobody_is_refused_whatever_the_mx() -> None:
    said = refused(RestoreWouldLoseMailError, off(b"version: STSv1\nmode: enforce\nmax_age: 1\n"))
    assert said.startswith(
        f"The policy that was saved names no host, but the MX records name {HOST}"
    )


def test_some_hosts_that_it_does_not_name_are_a_warning() -> None:
    found = off(
        TWO, live_mx=mx_of(HOST, "a.mx.solarmora.com", "b.a.mx.solarmora.com", "old.example")
    )
    made = restored(found)
    assert (
        f"The policy that is put back names {HOST}, *.mx.solarmora.com, and not b.a.mx.solarmora.com,"
        " old.example, which the MX records name: senders that enforce it will not deliver there."
    ) in made.warnings
    assert made.restored["matched"] == ["a.mx.solarmora.com", HOST]
    assert made.restored["unmatched"] == ["b.a.mx.solarmora.com", "old.example"]


def test_where_all_are_named_nothing_but_what_could_not_be_asked_is_told() -> None:
    made = restored()
    [said] = [each for each in made.warnings if "MX" in each]
    assert said.startswith(
        "The TLS of the MX hosts was not asked, because no function can reach port 25"
    )
    assert made.restored["matched"] == [HOST]
    assert made.restored["mx"]["hosts"] == [HOST]


def test_name_servers_that_do_not_answer_are_told() -> None:
    silent = replace(mx_of(HOST), problems=("ns2 (192.0.2.2) gave no answer",))
    assert "MX: ns2 (192.0.2.2) gave no answer." in restored(off(live_mx=silent)).warnings


def test_who_has_not_looked_at_the_mx_records_cannot_plan_it() -> None:
    with pytest.raises(ValueError, match="MX records"):
        restored(off(live_mx=None))


def test_what_is_not_ours_comes_before_what_would_lose_mail() -> None:
    refused(ConcurrentChangeError, off(live_mx=ELSEWHERE, **POLICY), accept_mx_mismatch=True)
    refused(ConcurrentChangeError, off(live_mx=ELSEWHERE, **POLICY))


# --- what an approval is bound to


def saved_of(body: bytes, **changes: Any) -> Findings:
    item = remembered(body)
    item["saved"] = item["saved"] | {"policy": item["saved"]["policy"] | changes}
    return off(body, remembered=item)


def test_the_digest_depends_on_what_is_put_back_and_on_nothing_that_moves() -> None:
    digest = restored().digest
    for same in (
        restored(now=NOW + timedelta(days=1)),
        restored(off(live_mx=mx_of(HOST, "old.example"))),
        restored(off(live_mx=replace(mx_of(HOST), problems=("ns2 is silent",)))),
        restored(off(used_ids=frozenset({"20261124040506"}))),
        restored(reason="another", requested_by="somebody"),
    ):
        assert same.digest == digest
    others = [
        restored(restore_mode="testing"),
        restored(accept_mx_mismatch=True),
        restored(off(ENFORCE + b"x: y\n")),
        restored(off(ENFORCE.replace(b"\n", b"\r\n"))),
        restored(saved_of(ENFORCE, media_type="text/html")),
        restored(saved_of(ENFORCE, headers={"CacheControl": "max-age=60"})),
        restored(saved_of(ENFORCE, tagging="a=b")),
        restored(off(record_sets=[txt(f"v=STSv1; id={OFF_ID};", "other")])),
        restored(off(record_sets=[txt(f"v=STSv1; id={OFF_ID};", ttl=60)])),
    ]
    assert len({digest, *(one.digest for one in others)}) == len(others) + 1


def test_an_approval_holds_the_next_day_and_not_for_other_bytes() -> None:
    approved = restored().digest
    later: dict[str, Any] = {"now": NOW + timedelta(days=1), "approved_plan": approved}
    assert restored(**later).digest == approved
    with pytest.raises(PlanChangedError, match="Nothing was changed"):
        restored(off(ENFORCE + b"x: y\n"), **later)


def test_a_large_body_counts_whole() -> None:
    """A plan shows only the beginning of bytes that it carries in base64."""
    one, other = (policy() + b"\xff" * 60_000 + end for end in (b"a", b"b"))
    assert restored(off(one)).digest != restored(off(other)).digest


def test_one_name_server_that_lags_behind_saves_no_mail() -> None:
    """The mail has moved; who asks one of the three that know finds no host that the policy names."""
    new, old = ((10, "mx.elsewhere.example"),), ((10, "mail.solarmora.com"),)
    answers = [
        MxAnswer("solarmora.com", f"ns{number}", f"192.0.2.{number}", "present", hosts=hosts)
        for number, hosts in enumerate((new, new, new, old), start=1)
    ]
    mixed = live_mx("solarmora.com", answers)
    with pytest.raises(
        RestoreWouldLoseMailError, match=r"ns1 .* answers 10 mx\.elsewhere\.example"
    ):
        restored(off(live_mx=mixed))
    made = restored(off(live_mx=mixed), accept_mx_mismatch=True)
    assert made.restored["matched"] == []


def test_a_window_that_would_end_with_nothing_to_put_back_is_refused() -> None:
    found = findings(policy=stored(NONE))
    with pytest.raises(NothingToRestoreError, match="Nothing was saved"):
        plan(found, restore_at="2027-01-31")
    assert plan(findings(), restore_at="2027-01-31").restore_at == "2027-01-31T00:00:00Z"
