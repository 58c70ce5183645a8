"""Signatures of deliveries: HMAC-SHA256 over the raw body, as WebSub has it (section 7.1).

``X-Hub-Signature: sha256=<digest>``, or the same as ``X-Hub-Signature-256`` beside an older one. The digest
is of 64 hexadecimal digits, or in Base64, which is what ServiceNow's scripts compute.
"""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence

HEADERS = ("x-hub-signature-256", "x-hub-signature")
_CLAIMED = re.compile(r"sha256=(?:([0-9a-fA-F]{64})|([0-9A-Za-z+/]{43}=))")
# What a delivery is compared with where nobody could have signed it: as slow, and never equal.
_NOBODYS = b"nobody's"


def claimed(headers: Mapping[str, Sequence[str]]) -> bytes | None:
    """Give the digest that a delivery bears; None where it bears none, more than one, or a malformed one.

    Names of headers are in lower case.
    """
    values = next((headers[name] for name in HEADERS if headers.get(name)), ())
    found = _CLAIMED.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None:
        return None
    if found[1]:
        return bytes.fromhex(found[1])
    try:
        return b64decode(found[2], validate=True)
    except binascii.Error:
        return None


def is_by(body: bytes, digest: bytes, keys: Iterable[bytes]) -> bool:
    """Tell whether one of the keys has signed a body, in a time that does not tell which, or how nearly."""
    known = tuple(keys)
    same = [hmac.compare_digest(_digest(body, key), digest) for key in known or (_NOBODYS,)]
    return bool(known) and any(same)


def sign(body: bytes, key: bytes) -> str:
    """Give the header's value for a body."""
    return f"sha256={_digest(body, key).hex()}"


def _digest(body: bytes, key: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()
