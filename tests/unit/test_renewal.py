"""Who may renew a policy without the record, as a look at the policy host tells."""

from typing import Any

import pytest

from mta_sts.exposure import NO_RENEWAL, Renewal, renewal
from mta_sts.policy_check import Fetched
from tests.unit.plans import (
    ADDRESS,
    HOST,
    NONE,
    NOT_FOUND,
    SILENT,
    answered,
    deletion,
    looked,
    plan,
    policy,
)

IPV6 = "2001:db8::1"
REFUSED = Fetched(ADDRESS, "certificate", detail="the certificate ended 2026-11-01")
NO_IPV6 = Fetched(IPV6, "not asked", reached=False, detail="no IPv6 route")

RENEWALS: list[tuple[str, dict[str, Any], Renewal]] = [
    (
        "an enforced one",
        looked(answered()),
        Renewal(
            possible=True,
            blocks=True,
            reason=f"{HOST} serves a policy with mode enforce at {ADDRESS}",
        ),
    ),
    (
        "a testing one, which stops no mail",
        looked(answered(policy("testing"))),
        Renewal(
            possible=True,
            blocks=False,
            reason=f"{HOST} serves a policy with mode testing at {ADDRESS}",
        ),
    ),
    (
        "testing at one address and enforced at another",
        looked(answered(policy("testing")), answered(address="192.0.2.2")),
        Renewal(
            possible=True,
            blocks=True,
            reason=f"{HOST} serves a policy with mode testing at {ADDRESS}",
        ),
    ),
    (
        "a malformed one, which lenient senders read",
        looked(answered(policy("enforced"))),
        Renewal(
            possible=True,
            blocks=True,
            reason=f"{HOST} serves a malformed policy, which lenient senders may enforce, at {ADDRESS}",
        ),
    ),
    (
        "at one address of several",
        looked(NOT_FOUND, answered(address="192.0.2.2"), NO_IPV6),
        Renewal(
            possible=True,
            blocks=True,
            reason=f"{HOST} serves a policy with mode enforce at 192.0.2.2",
        ),
    ),
    ("mode none", looked(answered(NONE)), NO_RENEWAL),
    ("mode none, and nothing elsewhere", looked(NOT_FOUND, answered(NONE, IPV6)), NO_RENEWAL),
    (
        "nothing",
        looked(NOT_FOUND),
        Renewal(
            possible=False,
            blocks=False,
            reason=f"{HOST} serves no policy ({ADDRESS}: status 404)",
        ),
    ),
    (
        "no policy but a page",
        looked(answered(b"<html>", media_type="text/html")),
        Renewal(
            possible=False,
            blocks=False,
            reason=f"{HOST} serves no policy ({ADDRESS}: media type text/html)",
        ),
    ),
    (
        "with a certificate that no sender accepts",
        looked(REFUSED, NOT_FOUND),
        Renewal(
            possible=False,
            blocks=False,
            reason=f"{HOST} serves no policy ({ADDRESS}: certificate: the certificate ended"
            f" 2026-11-01; {ADDRESS}: status 404)",
        ),
    ),
    (
        "from no address",
        looked(),
        Renewal(possible=False, blocks=False, reason=f"{HOST} has no address"),
    ),
    (
        "unknown: one address was silent",
        looked(NOT_FOUND, SILENT),
        Renewal(possible=None, blocks=True, reason=f"{ADDRESS} could not be asked (timed out)"),
    ),
    (
        "unknown: one address could not be asked",
        looked(answered(NONE), NO_IPV6),
        Renewal(possible=None, blocks=True, reason=f"{IPV6} could not be asked (no IPv6 route)"),
    ),
    (
        "unknown: the look-up of its addresses failed",
        looked(not_asked=[{"address": "", "reason": "SERVFAIL"}]),
        Renewal(possible=None, blocks=True, reason=f"{HOST} could not be asked (SERVFAIL)"),
    ),
]


@pytest.mark.parametrize(("serves", "look", "expected"), RENEWALS)
def test_what_can_be_renewed_without_the_record(
    serves: str, look: dict[str, Any], expected: Renewal
) -> None:
    assert renewal(deletion(), look) == expected, serves
    for publishing in (plan(), deletion(publish_none=True)):
        assert renewal(publishing, look) == NO_RENEWAL, "its check wants mode none everywhere"


def test_a_reason_has_an_end() -> None:
    many = [answered(b"", f"192.0.2.{n}", status=500) for n in range(48)]
    assert len(renewal(deletion(), looked(*many)).reason) < 400
