"""InvalidRequestError: what cannot be carried out is refused, whatever JSON it is."""

import pytest

from local.lab import Lab
from tests.workflow.watch import check_failure, none_policy, only_line, snapshot

POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.net\r\nmax_age: 604800\r\n"
# Whatever is refused as a request has seen no function that can write.
REFUSED = [
    "Begin", "What Is Asked?", "Plan Change", "Record Failure", "Announce Failure", "Notify Failure",
    "Failed",
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param([{"domain": "a.example"}], "a list", id="list"),
        pytest.param("solarmora.com", "text", id="text"),
        pytest.param(7, "a number", id="number"),
        pytest.param(False, "true or false", id="boolean"),
    ],
)
def test_an_input_that_is_no_object(lab: Lab, event: object, kind: str) -> None:
    run = lab.run(event)
    assert (run.status, run.error) == ("FAILED", "InvalidRequestError")
    assert run.states == REFUSED
    assert run.cause is not None
    assert run.cause.startswith("MTA-STS is still on or off for an unnamed domain as it was")
    assert f"it is {kind}." in run.cause
    assert '{"domain": "solarmora.com", "method": "none-policy"}' in run.cause
    assert "\nChanged: nothing.\n" in run.cause


def test_an_unknown_field(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[POLICY], record=["v=STSv1; id=1;"], ttl=2)
    before = snapshot(lab, domain)
    run = lab.run(none_policy(domain, keep_mxs=True))
    told = ("unknown field 'keep_mxs'", "keep_mx,", "The input cannot be carried out: ")
    check_failure(run, "InvalidRequestError", before, *told)
    assert run.states == REFUSED


def test_every_problem_at_once(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[POLICY], record=["v=STSv1; id=1;"], ttl=2)
    before = snapshot(lab, domain)
    event = {
        "domain": domain,
        "metod": "none-policy",
        "dry_run": "yes",
        "keep_mx": 1,
        "create_policy": None,
        "ticket": ["T-1"],
        "reason": "x" * 2001,
        "approved_plan": "sha256",
    }
    run = lab.run(event)
    text = check_failure(run, "InvalidRequestError", before)
    problems = only_line(text, "The input cannot be carried out: ")
    for problem in (
        "unknown field 'metod'",
        "method is missing (one of: none-policy, delete-record, retire, restore, change-id, check)",
        "dry_run must be true or false, it is text",
        "keep_mx must be true or false, it is a number",
        "create_policy must be true or false, it is null",
        "ticket must be text, it is a list",
        "reason is longer than 2000 characters",
        "approved_plan must be the digest of a plan",
    ):
        assert problem in problems
    assert run.states == REFUSED


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        pytest.param("", "the domain is empty", id="empty"),
        pytest.param("192.0.2.1", "an IP address", id="address"),
        pytest.param("localhost", "a single label", id="single-label"),
        pytest.param(".".join(["a" * 60] * 5), "a domain has 253 at most", id="too-long"),
        pytest.param("bad..example", "an empty label", id="bad-label"),
        pytest.param("https://solarmora.com/", "a URL", id="url"),
        pytest.param("postmaster@solarmora.com", "an e-mail address", id="e-mail"),
        pytest.param(7, "domain must be text, it is a number", id="number"),
    ],
)
def test_a_domain_that_is_none(lab: Lab, asked: object, problem: str) -> None:
    run = lab.run({"domain": asked, "method": "none-policy"})
    assert (run.status, run.error) == ("FAILED", "InvalidRequestError")
    assert run.states == REFUSED
    assert run.cause is not None
    assert run.cause.startswith("MTA-STS is still on or off for ")
    assert problem in run.cause
    assert "method" not in only_line(run.cause, problem).partition("An example")[0]


def test_an_unknown_method_names_the_known_ones(lab: Lab, domain: str) -> None:
    lab.add_domain(domain, policies=[POLICY], record=["v=STSv1; id=1;"], ttl=2)
    before = snapshot(lab, domain)
    run = lab.run({"domain": domain, "method": "delete-everything"})
    known = "none-policy, delete-record, retire, restore, change-id, check"
    told = f"method must be one of {known}; it is 'delete-everything'"
    check_failure(run, "InvalidRequestError", before, told)
    assert run.states == REFUSED


def test_capitals_a_final_dot_and_unicode_are_no_problem(lab: Lab, domain: str) -> None:
    short = domain[-16:]  # so that the bucket's name is not too long
    encoded = f"xn--bcher-kva.{short}"
    lab.add_domain(encoded, policies=[POLICY], record=["v=STSv1; id=1;"], ttl=2)
    before = snapshot(lab, encoded)
    run = lab.run(none_policy(f"BÜCHER.{short.upper()}.", dry_run=True))
    assert run.status == "SUCCEEDED", run.cause
    assert run.output["domain"] == encoded
    assert before.changed() == "nothing"
