"""Policy domains as people write them, and the three names derived from each.

A domain inside this project is always in lower-case A-labels without a final dot.
"""

import ipaddress
import re
import unicodedata
from typing import Final

import idna

# RFC 1035 section 2.3.4 allows 255 octets on the wire: 253 characters in text.
_MAX_NAME: Final = 253
_MAX_LABEL: Final = 63
_RECORD_PREFIX: Final = "_mta-sts."  # RFC 8461 section 3.1
_HOST_PREFIX: Final = "mta-sts."  # RFC 8461 section 3.3
_A_LABEL_PREFIX: Final = "xn--"
_LETTERS_DIGITS_HYPHENS: Final = re.compile(r"[a-z0-9-]+")


class DomainNameError(ValueError):
    """The text is not a domain that can receive mail; the message says why, on one line."""


def normalise(text: str) -> str:
    """Return a mail domain in lower-case A-labels without a final dot.

    Capitals, Unicode names (mapped by UTS 46) and one final dot are accepted. A label that is an
    A-label already is not judged by IDNA 2008: older names that it would no longer admit exist.

    Raises DomainNameError for an empty text, a URL, an e-mail address, an IP address, blanks and
    control characters, a single label, a label that is no host name label (RFC 5321
    section 4.1.2), and a name too long to carry ``_mta-sts.`` in front.
    """
    _refuse_other_things(text)
    # Mapping and encoding are slow on huge input, which no reasonable name needs.
    if len(text) > _MAX_NAME + 1:
        raise DomainNameError(
            f"{_shown(text)} has {len(text)} characters; a domain has {_MAX_NAME} at most"
        )
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise DomainNameError(f"{_shown(text)} is not a domain name: {error}") from error
    # UTS 46 has turned ideographic full stops into dots and full-width digits into ASCII, so what
    # looked harmless before may be empty, or an address, only now.
    mapped = mapped.removesuffix(".")
    if not mapped:
        raise DomainNameError("the domain is empty")
    if _is_address(mapped):
        raise DomainNameError(f"{_shown(text)} is an IP address, not a domain")
    labels = [_label(label, text) for label in mapped.split(".")]
    if len(labels) == 1:
        raise DomainNameError(f"{_shown(text)} is a single label; a mail domain has two at least")
    if labels[-1].isdigit():
        raise DomainNameError(f"{_shown(text)} ends in a number, as only an IP address does")
    return _fitting(".".join(labels), text)


def policy_host(domain: str) -> str:
    """Return the host that serves the policy of a normalised domain (RFC 8461 section 3.3)."""
    return _HOST_PREFIX + domain


def record_name(domain: str) -> str:
    """Return the owner name of the TXT record of a normalised domain (RFC 8461 section 3.1)."""
    return _RECORD_PREFIX + domain


def policy_url(domain: str) -> str:
    """Return the only URL from which senders fetch the policy (RFC 8461 section 3.3)."""
    return f"https://{policy_host(domain)}/.well-known/mta-sts.txt"


def _refuse_other_things(text: str) -> None:
    if not text:
        raise DomainNameError("the domain is empty")
    if any(char.isspace() or unicodedata.category(char) == "Cc" for char in text):
        raise DomainNameError(f"{_shown(text)} contains blanks or control characters")
    if "/" in text:
        raise DomainNameError(f"{_shown(text)} is a URL or a path; give the domain alone")
    if "@" in text:
        raise DomainNameError(f"{_shown(text)} is an e-mail address; give the part after the @")


def _is_address(text: str) -> bool:
    """Recognise bare addresses and the address literals of RFC 5321 section 4.1.3."""
    bare = text.removeprefix("[").removesuffix("]")
    if bare.lower().startswith("ipv6:"):
        bare = bare[len("ipv6:") :]
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _label(label: str, text: str) -> str:
    """Return one label as a lower-case LDH label (RFC 5890 section 2.3.1)."""
    if not label:
        raise DomainNameError(f"{_shown(text)} has an empty label: two dots, or one in front")
    if not label.isascii():
        try:
            return idna.alabel(label).decode("ascii")
        except idna.IDNAError as error:
            raise DomainNameError(f"{_shown(text)} is not a domain name: {error}") from error
    if "_" in label:
        raise DomainNameError(
            f"{_shown(text)} has the label {_shown(label)}: no mail domain contains an underscore"
        )
    if not _LETTERS_DIGITS_HYPHENS.fullmatch(label):
        raise DomainNameError(
            f"{_shown(text)} has the label {_shown(label)}: only letters, digits and hyphens can"
            " stand in one"
        )
    if len(label) > _MAX_LABEL:
        raise DomainNameError(
            f"{_shown(text)} has a label of {len(label)} characters; {_MAX_LABEL} are the limit"
        )
    if label.startswith("-") or label.endswith("-"):
        raise DomainNameError(
            f"{_shown(text)} has the label {_shown(label)}: no label begins or ends with a hyphen"
        )
    if label.startswith(_A_LABEL_PREFIX) and not _is_punycode(label.removeprefix(_A_LABEL_PREFIX)):
        raise DomainNameError(
            f"{_shown(text)} has the label {_shown(label)}: no Unicode label is written like that"
        )
    return label


def _is_punycode(encoded: str) -> bool:
    """Tell whether text without a final hyphen is how some Unicode label is written (RFC 3492)."""
    try:
        label = encoded.encode("ascii").decode("punycode")
        return label.encode("punycode") == encoded.encode("ascii")
    except UnicodeError:
        return False


def _fitting(domain: str, text: str) -> str:
    if len(domain) > _MAX_NAME:
        raise DomainNameError(
            f"{_shown(text)} has {len(domain)} characters in A-labels; a domain has {_MAX_NAME}"
            " at most"
        )
    if len(record_name(domain)) > _MAX_NAME:
        raise DomainNameError(
            f"{_shown(text)} has {len(domain)} characters: too long for a record at"
            f" {_RECORD_PREFIX}<domain>, so it cannot have MTA-STS"
        )
    return domain


def _shown(text: str) -> str:
    """Quote text for a message: one line, control characters escaped, long text cut."""
    limit = 80
    return repr(text if len(text) <= limit else f"{text[:limit]}…")
