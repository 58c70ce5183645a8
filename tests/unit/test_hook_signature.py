"""Signatures of deliveries: who has the key, and nobody else."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta_sts.hooks.signature import claimed, is_by, sign

KEY, OTHER = b"It's a Secret to Everybody", b"another key"
BODY = b"Hello World!"
# As Atlassian's documentation of webhooks has it for this key and body.
DIGEST = "a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
DIGEST_BYTES = bytes.fromhex(DIGEST)


def test_the_digest_is_as_others_compute_it() -> None:
    assert sign(BODY, KEY) == f"sha256={DIGEST}"
    assert hmac.new(KEY, BODY, hashlib.sha256).digest() == DIGEST_BYTES
    assert is_by(BODY, DIGEST_BYTES, [KEY])


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"x-hub-signature": (f"sha256={DIGEST}",)}, "as Jira has it"),
        ({"x-hub-signature": (f"sha256={DIGEST.upper()}",)}, "digits of either case"),
        (
            {"x-hub-signature": (f"sha256={base64.b64encode(DIGEST_BYTES).decode()}",)},
            "as ServiceNow's scripts compute it",
        ),
        (
            {"x-hub-signature": ("sha1=00",), "x-hub-signature-256": (f"sha256={DIGEST}",)},
            "beside an older one",
        ),
    ],
)
def test_a_signature_is_read(headers: dict[str, tuple[str, ...]], why: str) -> None:
    assert claimed(headers) == DIGEST_BYTES, why


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "there is none"),
        ({"x-hub-signature": ()}, "a header without a value"),
        ({"x-hub-signature": ("",)}, "an empty one"),
        ({"x-hub-signature": (DIGEST,)}, "without the method"),
        ({"x-hub-signature": ("sha1=" + DIGEST[:40],)}, "another method"),
        ({"x-hub-signature": ("sha512=" + DIGEST * 2,)}, "another method"),
        ({"x-hub-signature": ("sha256=" + DIGEST[:-1],)}, "a digit is missing"),
        ({"x-hub-signature": ("sha256=" + DIGEST + "0",)}, "one too many"),
        ({"x-hub-signature": ("sha256=" + "\u0660" * 64,)}, "digits of another script"),
        ({"x-hub-signature": (f"sha256={DIGEST}", f"sha256={DIGEST}")}, "two of them"),
        ({"x-hub-signature": (f"sha256={DIGEST}, sha256={DIGEST}",)}, "two in one line"),
        (
            {"x-hub-signature": (f"sha256={DIGEST}",), "x-hub-signature-256": ("sha256=0",)},
            "the stronger one counts",
        ),
    ],
)
def test_what_is_no_signature(headers: dict[str, tuple[str, ...]], why: str) -> None:
    assert claimed(headers) is None, why


@given(st.text(max_size=80))
def test_reading_a_signature_raises_nothing(text: str) -> None:
    found = claimed({"x-hub-signature": (f"sha256={text}",)})
    assert found is None or len(found) == 32


def test_either_key_will_do_while_one_is_replaced() -> None:
    for key in (KEY, OTHER):
        assert is_by(BODY, hmac.new(key, BODY, hashlib.sha256).digest(), [KEY, OTHER])


def test_nobody_signs_without_a_key() -> None:
    """A source that is not known has none, and an empty one is known to everybody."""
    for key in (b"", b"nobody's"):
        assert not is_by(BODY, hmac.new(key, BODY, hashlib.sha256).digest(), [])


@given(st.binary(max_size=100), st.binary(min_size=16, max_size=70), st.binary(max_size=100))
def test_only_what_was_signed_is_by_its_signer(body: bytes, key: bytes, other: bytes) -> None:
    digest = claimed({"x-hub-signature": (sign(body, key),)})
    assert digest is not None
    assert is_by(body, digest, [key])
    assert is_by(other, digest, [key]) is (other == body)
    assert not is_by(body, digest, [key + b"\x01"])
