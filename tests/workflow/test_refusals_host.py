"""PolicyNotServedError: before any write, every address must serve the object as it is or was."""

import hashlib

import pytest

from local.lab import ELSEWHERE, Lab
from local.world.ca import CertificateFault
from tests.workflow.watch import Snapshot, check_failure, none_policy, only_line, snapshot

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
RECORD = "v=STSv1; id=20200425085700;"


def added(lab: Lab, domain: str) -> Snapshot:
    """Set a domain up and look at it."""
    lab.add_domain(domain, policies=[POLICY], record=[RECORD], ttl=2)
    return snapshot(lab, domain)


def sha256(policy: str) -> str:
    """Return the beginning of a digest, as texts show it."""
    return f"(sha256 {hashlib.sha256(policy.encode()).hexdigest()[:12]}…"


def check_refused(lab: Lab, before: Snapshot, *found: str, at: tuple[str, ...] = ()) -> str:
    """Assert that a run is refused, with one line for each address (of all, unless AT names some)."""
    run = lab.run(none_policy(before.domain))
    bucket, key = lab.policy_object(before.domain)
    told = (
        "in “Check Host”",
        f"https://mta-sts.{before.domain}/.well-known/mta-sts.txt does not serve s3://{bucket}/{key}",
        "mend the host (or PolicyBucket and PolicyKey, if it serves another object)",
        "If the host cannot be mended, delete-record keeps new senders from taking the policy up;",
    )
    text = check_failure(run, "PolicyNotServedError", before, *told)
    assert "Publish Policy" not in run.states
    for address in lab.policy_hosts.addresses:
        if at and address not in at:
            assert f"{address}: " not in text
            continue
        line = only_line(text, f"{address}: ")
        assert line.startswith(f"- {address}: ")
        for words in (*found, f"expected the present policy {sha256(POLICY)}"):
            assert words in line
    return text


def test_another_object(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    lab.wrong_bucket(domain)
    check_refused(
        lab, before, f"other content {sha256(ELSEWHERE)}, {len(ELSEWHERE)} bytes), a valid policy"
    )


def test_another_object_at_the_second_address_only(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    second = lab.policy_hosts.addresses[1]
    lab.wrong_bucket(domain)
    lab.policy_hosts.stale(domain, second)
    lab.policy_hosts.wrong_bucket(domain, lab.policy_object(domain)[0])
    check_refused(lab, before, f"other content {sha256(ELSEWHERE)}", at=(second,))


def test_a_redirect(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    location = f"https://www.{domain}/policy.txt"
    lab.policy_hosts.redirect(domain, location)
    check_refused(lab, before, f"redirect to {location} (status 301)")


@pytest.mark.parametrize("status", [404, 500])
def test_another_status_with_the_right_body(lab: Lab, domain: str, status: int) -> None:
    before = added(lab, domain)
    lab.policy_hosts.status(domain, status)
    check_refused(lab, before, f"status {status}")


def test_another_media_type(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    lab.policy_hosts.media_type(domain, "text/html")
    check_refused(lab, before, "media type text/html")


@pytest.mark.parametrize(
    ("kind", "found"),
    [("expired", "expired on "), ("name", "not valid for mta-sts."), ("issuer", "unknown issuer")],
)
def test_a_bad_certificate(lab: Lab, domain: str, kind: CertificateFault, found: str) -> None:
    before = added(lab, domain)
    lab.broken_certificate(domain, kind)
    check_refused(lab, before, f"certificate: {found}")


def test_a_second_address_that_drops_connections(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    second = lab.policy_hosts.addresses[1]
    lab.policy_hosts.down(domain, second)
    check_refused(lab, before, "no answer: connection closed", at=(second,))


def test_an_address_that_refuses_connections(lab: Lab, domain: str) -> None:
    before = added(lab, domain)
    nobody = "127.0.0.80"  # the port is the lab's own on other addresses, and free on this one
    present = [each for each in lab.policy_hosts.addresses if ":" not in each]
    lab.hosts.set(f"mta-sts.{domain}", ipv4=[*present, nobody], ipv6=[], ttl=2)
    lab.resolvers_world.flush(domain)
    text = check_refused(lab, before, at=(nobody,))
    assert "no answer: connection refused" in only_line(text, f"{nobody}: ")


def test_a_host_without_ipv4(lab: Lab, domain: str) -> None:
    """Over IPv6 alone it would be served; most senders would never see it."""
    before = added(lab, domain)
    ipv6 = [each for each in lab.policy_hosts.addresses if ":" in each]
    lab.hosts.set(f"mta-sts.{domain}", ipv4=[], ipv6=ipv6 or ["::1"], ttl=2)
    lab.resolvers_world.flush(domain)
    text = check_refused(lab, before, at=("nowhere",))
    assert "the policy host has no IPv4 address" in text
