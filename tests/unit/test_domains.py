"""Domains as people write them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mta_sts.domains import DomainNameError, normalise, policy_host, policy_url, record_name

# The time an example takes says how busy the machine is, nothing of the code.

LABEL_63 = "a" * 63
HAN_19 = "".join(chr(0x4E00 + 977 * i) for i in range(19))  # 59 characters as an A-label
LONGEST = f"{LABEL_63}.{LABEL_63}.{LABEL_63}.{'b' * 52}"  # 244: _mta-sts. still fits in front

ACCEPTED = [
    ("solarmora.com", "solarmora.com", "as it should be"),
    ("SolarMora.COM", "solarmora.com", "capitals"),
    ("solarmora.com.", "solarmora.com", "one final dot"),
    ("a.b.c.solarmora.com", "a.b.c.solarmora.com", "a subdomain is a policy domain of its own"),
    ("BÜCHER.example", "xn--bcher-kva.example", "a Unicode name in capitals"),
    ("faß.de", "xn--fa-hia.de", "UTS 46, not transitional: sharp s stays"),
    ("例え。テスト", "xn--r8jz45g.xn--zckzah", "an ideographic full stop is a dot"),
    ("solarmora。com。", "solarmora.com", "a final one too"),
    ("\N{FULLWIDTH LATIN SMALL LETTER S}olarmora.com", "solarmora.com", "a full-width letter"),
    ("XN--BCHER-KVA.example", "xn--bcher-kva.example", "A-labels stay, in lower case"),
    ("xn--ls8h.la", "xn--ls8h.la", "an A-label that IDNA 2008 would not admit exists all the same"),
    ("ab--cd.com", "ab--cd.com", "two hyphens in third place are no fault in DNS"),
    ("1and1.co", "1and1.co", "a digit in front"),
    ("123.com", "123.com", "a label of digits that is not the last"),
    (f"{LABEL_63}.com", f"{LABEL_63}.com", "a label of 63"),
    (LONGEST, LONGEST, "244 characters"),
    (f"{LONGEST}.", LONGEST, "244 characters and a dot"),
    ("mta-sts.solarmora.com", "mta-sts.solarmora.com", "a strange, legal mail domain"),
]

REFUSED = [
    ("", "is empty", "nothing at all"),
    (".", "is empty", "the root"),
    ("。", "is empty", "the root, ideographic"),
    ("192.0.2.1", "is an IP address", "IPv4"),
    ("192.0.2.1.", "is an IP address", "IPv4 with a dot"),
    ("[192.0.2.1]", "is an IP address", "IPv4 literal"),
    ("192.0.2.\N{FULLWIDTH DIGIT ONE}", "is an IP address", "IPv4 with a full-width digit"),
    ("2001:db8::1", "is an IP address", "IPv6"),
    ("[2001:db8::1]", "is an IP address", "IPv6 in brackets"),
    ("[IPv6:2001:db8::1]", "is an IP address", "IPv6 literal of RFC 5321 section 4.1.3"),
    ("999.1.1.1", "ends in a number", "no address, and no top-level domain"),
    ("localhost", "single label", "one label"),
    ("com.", "single label", "one label and a dot"),
    (f"{'a.' * 123}example", "too long for a record", "253 characters"),
    (f"{'a.' * 123}example.", "too long for a record", "253 characters and a dot"),
    (f"{LONGEST}c", "too long for a record", "245 characters: _mta-sts. does not fit"),
    (f"{LABEL_63}.{LABEL_63}.{LABEL_63}.{'b' * 62}", "a domain has 253", "254 characters"),
    ("a." * 5000 + "com", "10003 characters", "very long"),
    (f"{HAN_19}." * 4 + "mail.example", "in A-labels; a domain has 253", "too long once encoded"),
    (f"{LABEL_63}a.com", "a label of 64", "a label of 64"),
    ("ü" * 70 + ".com", "Label too long", "a Unicode label too long once encoded"),
    ("-solarmora.com", "begins or ends with a hyphen", "hyphen in front"),
    ("solarmora-.com", "begins or ends with a hyphen", "hyphen at the end"),
    ("solar..com", "empty label", "two dots"),
    (".solarmora.com", "empty label", "a dot in front"),
    ("solarmora.com..", "empty label", "two final dots"),
    ("solar!mora.com", "'solar!mora'", "an illegal character, label named"),
    ("*.solarmora.com", "letters, digits and hyphens", "a wildcard"),
    ("solarmora.com:25", "letters, digits and hyphens", "a port"),
    ("solarmora.com?x=1", "letters, digits and hyphens", "a query"),
    ("_mta-sts.solarmora.com", "underscore", "the record's name, not the domain"),
    ("solar_mora.com", "underscore", "no host name, so no mail domain"),
    ("💩.la", "not a domain name", "IDNA 2008 admits no symbols"),
    ("a\N{ONE DOT LEADER}b.com", "not a domain name", "a look-alike dot that UTS 46 forbids"),
    ("℀.com", "letters, digits and hyphens", "mapped to a/c"),
    ("xn--.com", "hyphen", "an A-label of nothing"),
    ("xn--abc-.com", "hyphen", "an A-label with a hyphen at the end"),
    ("xn--99999999.com", "no Unicode label", "an A-label that cannot be decoded"),
    ("xn---a.com", "no Unicode label", "an A-label that would be written otherwise"),
    ("xn--solarmora-.x.com", "hyphen", "an A-label of ASCII alone"),
    ("https://solarmora.com", "URL", "a URL"),
    ("solarmora.com/", "URL", "a path"),
    ("mail@solarmora.com", "e-mail address", "an e-mail address"),
    ("mailto:mail@solarmora.com", "e-mail address", "a mailto link"),
    (" solarmora.com", "blanks or control", "a blank in front"),
    ("solarmora.com\n", "blanks or control", "a line end"),
    ("solar\u00a0mora.com", "blanks or control", "a no-break space"),
    ("solar\x00mora.com", "blanks or control", "NUL"),
    ("solar\x7fmora.com", "blanks or control", "DEL"),
    ("\ud800.com", "not a domain name", "half a character"),
]


@pytest.mark.parametrize(("text", "domain", "why"), ACCEPTED)
def test_names_are_normalised(text: str, domain: str, why: str) -> None:
    assert normalise(text) == domain, why


@pytest.mark.parametrize(("text", "reason", "why"), REFUSED)
def test_what_is_no_mail_domain_is_refused(text: str, reason: str, why: str) -> None:
    with pytest.raises(DomainNameError) as caught:
        normalise(text)
    message = str(caught.value)
    assert reason in message, why
    assert message.isprintable(), "one line, whatever was in the text"
    assert len(message) < 400, "a long text is cut"


@given(
    st.text()
    | st.from_regex(r"\A[a-zA-ZäßÜ0-9\-]{1,8}(\.[a-zA-Zéж0-9\-]{1,8}){1,4}\.?\Z")
    | st.from_regex(r"\A[xX][nN]--[a-z0-9\-]{1,10}\.com\Z")
)
@example("xn--a-ecp.ru")
def test_normalising_twice_changes_nothing(text: str) -> None:
    try:
        domain = normalise(text)
    except DomainNameError:
        return
    assert normalise(domain) == domain
    assert domain == domain.lower()
    assert domain.isascii()
    assert len(record_name(domain)) <= 253


def test_names_derived_from_a_domain() -> None:
    assert policy_host("solarmora.com") == "mta-sts.solarmora.com"
    assert record_name("solarmora.com") == "_mta-sts.solarmora.com"
    assert policy_url("solarmora.com") == "https://mta-sts.solarmora.com/.well-known/mta-sts.txt"
