"""The replay finds what is superfluous, whatever it is, and nothing else."""

import copy
from typing import Any

import pytest

from tests.permissions.elements import elements, superfluous
from tests.permissions.evaluator import Context, allowed, request

ZONES = "arn:aws:route53:::hostedzone/*"
KEYS = "route53:ChangeResourceRecordSets"
NAMES, KINDS = f"{KEYS}NormalizedRecordNames", f"{KEYS}RecordTypes"
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["a", "b*"]},
        {
            "Effect": "Allow",
            "Action": KEYS,
            "Resource": ZONES,
            "Condition": {
                "ForAllValues:StringLike": {NAMES: ["_mta-sts.*"]},
                "ForAllValues:StringEquals": {KINDS: ["TXT", "CNAME"]},
                "Null": {NAMES: "false", KINDS: "false"},
            },
        },
    ],
}


def change(name: str, *kinds: str) -> Context:
    asked = dict(request(KEYS, ZONES))
    keys = {NAMES.lower(): [name], KINDS.lower(): list(kinds)}
    return {**asked, "service_context": keys}


REQUESTS = [
    request("s3:GetObject", "a"),
    request("s3:PutObject", "bb"),
    change("_mta-sts.solarmora.example", "TXT"),
    change("_mta-sts.solarmora.example", "CNAME"),
]


def found(policy: dict[str, Any], requests: list[Context]) -> list[str]:
    return [each.what for each in superfluous({"p": policy}, requests)]


def test_what_is_needed_is_not_reported() -> None:
    assert found(POLICY, REQUESTS) == []
    assert {each.what for each in elements({"p": POLICY})} == {
        "s3:GetObject, s3:PutObject on 2 resources",
        "Action s3:GetObject of s3:GetObject, s3:PutObject on 2 resources",
        "Action s3:PutObject of s3:GetObject, s3:PutObject on 2 resources",
        "Resource a of s3:GetObject, s3:PutObject on 2 resources",
        "Resource b* of s3:GetObject, s3:PutObject on 2 resources",
        f"{KEYS} on {ZONES}",
        f"{KINDS} TXT of {KEYS} on {ZONES}",
        f"{KINDS} CNAME of {KEYS} on {ZONES}",
    }


@pytest.mark.parametrize(
    ("way", "more", "reported"),
    [
        ((0, "Action"), "s3:DeleteObject", "Action s3:DeleteObject"),
        ((0, "Resource"), "c", "Resource c"),
        ((1, "Condition", "ForAllValues:StringEquals", KINDS), "MX", f"{KINDS} MX"),
    ],
)
def test_one_too_many_is_reported(way: tuple[Any, ...], more: str, reported: str) -> None:
    policy = copy.deepcopy(POLICY)
    inner = policy["Statement"]
    for step in way:
        inner = inner[step]
    inner.append(more)
    (only,) = found(policy, REQUESTS)
    assert only.startswith(f"{reported} of ")


def test_a_statement_too_many_is_reported() -> None:
    more = {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": "*"}
    policy = {**POLICY, "Statement": [*POLICY["Statement"], more]}
    assert found(policy, REQUESTS) == ["ssm:GetParameter on *"]


def test_what_another_statement_allows_as_well_is_reported() -> None:
    policy = {**POLICY, "Statement": [*POLICY["Statement"], copy.deepcopy(POLICY["Statement"][0])]}
    assert len(found(policy, REQUESTS)) == 2 * 5


@pytest.mark.parametrize(
    ("operator", "value"),
    [("StringLikeIfExists", "*"), ("Null", "true"), ("Null", "false")],
)
def test_a_condition_that_excludes_nothing_is_reported(operator: str, value: str) -> None:
    policy = copy.deepcopy(POLICY)
    policy["Statement"][0]["Condition"] = {operator: {"s3:prefix": value}}
    requests = REQUESTS
    if value == "false":  # nobody asks without it: the guard that is not needed is another key's
        policy["Statement"][0]["Condition"]["StringEquals"] = {"s3:prefix": "p"}
        prefixed = {"service_context": {"s3:prefix": "p"}}
        requests = [{**each, **prefixed} for each in REQUESTS[:2]] + REQUESTS[2:]
    reported = found(policy, requests)
    excludes = (operator, value) == ("Null", "true")
    expected = [] if excludes else [f"{operator} s3:prefix of s3:GetObject, s3:PutObject"]
    assert reported == expected


def test_a_request_that_is_denied_as_it_is_proves_nothing() -> None:
    with pytest.raises(AssertionError, match=r"denied: .*ssm:GetParameter"):
        found(POLICY, [*REQUESTS, request("ssm:GetParameter")])


@pytest.mark.parametrize("more", [{"Effect": "Deny"}, {"NotAction": "s3:*"}])
def test_what_cannot_be_taken_apart_is_refused(more: dict[str, str]) -> None:
    policy = {"Statement": {**POLICY["Statement"][0], **more}}
    with pytest.raises(AssertionError, match=r"Deny|name what is meant"):
        found(policy, REQUESTS)


@pytest.mark.parametrize(
    ("name", "kinds", "answer"),
    [
        ("_mta-sts.solarmora.example", ["TXT"], True),
        ("www.solarmora.example", ["TXT"], False),
        ("_mta-sts.solarmora.example", ["A"], False),
        ("_mta-sts.solarmora.example", ["TXT", "A"], False),
    ],
)
def test_the_evaluator_is_one(name: str, kinds: list[str], *, answer: bool) -> None:
    assert allowed([change(name, *kinds)], [[POLICY], []]) == [[answer], [False]]
