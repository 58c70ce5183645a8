"""Who may renew a policy without the record, as a look at the policy host tells."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mta_sts.instants import stamp
from mta_sts.observed import Findings, Location
from mta_sts.policy_check import Fetched, look
from mta_sts.renewal import NO_RENEWAL, Renewal, recorded_purge, renewal
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    HOST,
    NONE,
    NOT_FOUND,
    NOW,
    SILENT,
    answered,
    deletion,
    findings,
    history,
    looked,
    plan,
    policy,
    stored,
)

IPV6, SECOND = "2001:db8::1", "192.0.2.2"
REFUSED = Fetched(ADDRESS, "certificate", detail="the certificate ended 2026-11-01")
NO_IPV6 = Fetched(IPV6, "not asked", reached=False, detail="no IPv6 route")
STORED, ELSEWHERE = answered(), answered(policy("enforce", "mx.elsewhere.example"))
NOT_ASKED = f"; {IPV6} not asked: no IPv6 route"


def renewable(mode: str, at: str = ADDRESS, *, blocks: bool = True, foreign: bool) -> Renewal:
    reason = f"{HOST} serves {mode} at {at}"
    return Renewal(possible=True, blocks=blocks, reason=reason, foreign=foreign)


def never(reason: str) -> Renewal:
    return Renewal(possible=False, blocks=False, reason=reason)


def unknown(reason: str) -> Renewal:
    return Renewal(possible=None, blocks=True, reason=reason)


ENFORCED, TESTED = "a policy with mode enforce", "a policy with mode testing"
LENIENT = "a malformed policy, which lenient senders may enforce,"
TESTING = answered(policy("testing"))

RENEWALS: list[tuple[str, dict[str, Any], Renewal]] = [
    ("the stored one", looked(STORED), renewable(ENFORCED, foreign=False)),
    ("a foreign one", looked(ELSEWHERE), renewable(ENFORCED, foreign=True)),
    (
        "the stored one here, a foreign one there",
        looked(STORED, replace(ELSEWHERE, address=SECOND)),
        renewable(ENFORCED, foreign=True),
    ),
    (
        "one that was not read whole",
        looked(answered(too_large=True)),
        renewable(ENFORCED, foreign=True),
    ),
    (
        "a testing one, which stops no mail",
        looked(TESTING),
        renewable(TESTED, blocks=False, foreign=True),
    ),
    (
        "testing at one address and enforced at another",
        looked(TESTING, answered(address=SECOND)),
        renewable(TESTED, blocks=True, foreign=True),
    ),
    (
        "a malformed one, which lenient senders read",
        looked(answered(policy("enforced"))),
        renewable(LENIENT, foreign=True),
    ),
    (
        "at one address of several, in spite of every doubt",
        looked(NOT_FOUND, answered(address=SECOND), SILENT, NO_IPV6),
        renewable(ENFORCED, SECOND, foreign=False),
    ),
    ("mode none", looked(answered(NONE)), NO_RENEWAL),
    ("mode none, and nothing elsewhere", looked(NOT_FOUND, answered(NONE, IPV6)), NO_RENEWAL),
    (
        "mode none, and IPv6 was not asked",
        looked(answered(NONE), NO_IPV6),
        never(f"the host serves mode none{NOT_ASKED}"),
    ),
    ("nothing", looked(NOT_FOUND), never(f"{HOST} serves no policy ({ADDRESS}: status 404)")),
    (
        "nothing, and IPv6 was not asked",
        looked(NOT_FOUND, NO_IPV6),
        never(f"{HOST} serves no policy ({ADDRESS}: status 404){NOT_ASKED}"),
    ),
    (
        "no policy but a page",
        looked(answered(b"<html>", media_type="text/html")),
        never(f"{HOST} serves no policy ({ADDRESS}: media type text/html)"),
    ),
    (
        "with a certificate that no sender accepts",
        looked(REFUSED, replace(NOT_FOUND, address=SECOND)),
        never(
            f"{HOST} serves no policy ({ADDRESS}: certificate: the certificate ended 2026-11-01;"
            f" {SECOND}: status 404)"
        ),
    ),
    ("from no address", looked(), never(f"{HOST} has no address")),
    (
        "unknown: one address was silent",
        looked(NOT_FOUND, replace(SILENT, address=SECOND)),
        unknown(f"{SECOND} gave no answer (timed out)"),
    ),
    (
        "unknown: there is IPv6 alone, and it could not be asked",
        looked(NO_IPV6),
        unknown(f"{IPV6} could not be asked (no IPv6 route)"),
    ),
    (
        "unknown: the look-up of its addresses failed",
        looked(not_asked=[{"address": "", "reason": "SERVFAIL"}]),
        unknown(f"{HOST} could not be asked (SERVFAIL)"),
    ),
    (
        "unknown: it may answer others otherwise",
        looked(answered(b"", status=500)),
        unknown(f"{ADDRESS} answered with status 500, which may be for us alone"),
    ),
]


@pytest.mark.parametrize(("serves", "seen", "expected"), RENEWALS)
def test_what_can_be_renewed_without_the_record(
    serves: str, seen: dict[str, Any], expected: Renewal
) -> None:
    assert renewal(deletion(), seen) == expected, serves
    for publishing in (plan(), deletion(publish_none=True)):
        assert renewal(publishing, seen) == NO_RENEWAL, "its check wants mode none everywhere"


def test_a_reason_has_an_end() -> None:
    many = [answered(b"", f"192.0.2.{n}", status=404, media_type="x" * 200) for n in range(48)]
    unasked = [Fetched(f"2001:db8::{n}", "not asked", reached=False, detail="x") for n in range(48)]
    reason = renewal(deletion(), looked(*many, *unasked)).reason
    assert reason.startswith(f"{HOST} serves no policy (192.0.2.0: status 404; 192.0.2.1: ")
    assert len(reason) < 600


# --- caches, in which an older policy may live on where nobody here can see it


GAVE_WAY = NOW - timedelta(days=10)
REPLACED = findings(policy=stored(NONE), history=history((400, ENFORCE), (10, NONE)))
THROUGH = replace(REPLACED, location=Location(HOST, ".well-known/mta-sts.txt", "E1"))
CACHE = "is a cache that the stack's settings do not know, and may serve an older policy elsewhere"
CLOUDFRONT = (
    "CloudFront (E1) may still serve an older policy elsewhere: no invalidation since is on record"
)


@pytest.mark.parametrize("told", [{"age": 0}, {"x_cache": "Miss from cloudfront"}])
@pytest.mark.parametrize("body", [NONE, b""])
def test_a_cache_that_nobody_knows_may_serve_something_else(
    told: dict[str, Any], body: bytes
) -> None:
    seen = looked(answered(body, status=200 if body else 404, **told))
    assert renewal(deletion(), seen) == unknown(f"{ADDRESS} {CACHE}")
    known = deletion(other_cache_seconds=60)
    assert renewal(known, seen).possible is False
    through = deletion(findings(location=THROUGH.location), NOT_FOUND)
    assert renewal(through, seen).possible is False


def purge(days_ago: int, distribution: str = "E1", **more: Any) -> dict[str, Any]:
    at = stamp(NOW - timedelta(days=days_ago))
    change = {"id": "2", "old": "1", "at": at, "gone_at": at, "distribution_id": distribution}
    return change | {"published_at": at, "fresh_at": stamp(NOW - timedelta(days=1))} | more


@pytest.mark.parametrize(
    ("changes", "purged"),
    [
        ([], False),
        ([purge(10)], True),
        ([purge(9)], True),
        ([purge(11)], False),  # before it gave way
        ([purge(9, "E2")], False),  # of another distribution
        ([purge(9, published_at=None, fresh_at=None)], False),  # a deletion, which purged nothing
        ([purge(11), purge(9)], True),
    ],
)
def test_cloudfront_may_keep_what_no_purge_has_ended(
    changes: list[dict[str, Any]], *, purged: bool
) -> None:
    made = deletion(replace(THROUGH, id_changes=tuple(changes)), NOT_FOUND)
    assert renewal(made, looked(NOT_FOUND)) == (
        never(f"{HOST} serves no policy ({ADDRESS}: status 404)") if purged else unknown(CLOUDFRONT)
    )
    assert recorded_purge(made, GAVE_WAY) == (NOW - timedelta(days=1) if purged else None)


def test_the_first_purge_counts() -> None:
    early = purge(9, fresh_at=stamp(NOW - timedelta(days=8)))
    made = deletion(replace(THROUGH, id_changes=(early, purge(5))), NOT_FOUND)
    assert recorded_purge(made, GAVE_WAY) == NOW - timedelta(days=8)


@pytest.mark.parametrize(
    "seen",
    [
        looked(),  # no address leads there
        looked(REFUSED),  # nobody is served through it
    ],
)
def test_what_nobody_is_served_through_keeps_nothing(seen: dict[str, Any]) -> None:
    assert renewal(deletion(THROUGH, NOT_FOUND), seen).possible is False


def test_what_was_never_replaced_or_said_none_lives_on_in_no_cache() -> None:
    served = findings(location=THROUGH.location)
    assert renewal(deletion(served), looked(NOT_FOUND)).possible is False
    twice = replace(THROUGH, history=history((400, NONE), (10, NONE)))
    assert renewal(deletion(twice), looked(NOT_FOUND)).possible is False


@pytest.mark.parametrize(("seconds", "kept"), [(3599, True), (3600, False), (9999, False)])
def test_another_cache_is_waited_out(seconds: int, *, kept: bool) -> None:
    found: Findings = replace(REPLACED, history=history((400, ENFORCE), (1, NONE)))
    made = deletion(found, NOT_FOUND, other_cache_seconds=3600)
    at = NOW - timedelta(days=1) + timedelta(seconds=seconds)
    seen = look([NOT_FOUND], [], known={}, missing=False, host=HOST, now=at, region="x")
    assert (renewal(made, seen).possible is None) == kept
    assert renewal(deletion(found, NOT_FOUND), seen).possible is False
