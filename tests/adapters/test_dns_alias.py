"""A CNAME at the record's name, as authorities and resolvers answer it."""

import dns.message
import dns.rcode
import dns.rrset
import pytest

from mta_sts.adapters.dns import NameServer, ask_everywhere
from mta_sts.record_check import Answer
from mta_sts.settings import Endpoint, Network
from tests.adapters.dns_servers import Script, Servers, Transport, answer_to, zone

RECORD = "_mta-sts.example.com"
SOA = "example.com. 900 SOA ns1.example.net. hostmaster.example.com. 1 7200 900 1209600 300\n"
ADDRESS = "127.41.0.1"


def ask(script: Script, kind: str) -> Answer:
    with Servers({ADDRESS: script}) as servers:
        resolver = kind == "resolver"
        names = () if resolver else (NameServer("ns1.example.net", (ADDRESS,)),)
        endpoints = (Endpoint(ADDRESS, servers.port),) if resolver else ()
        network = Network(resolvers=endpoints, dns_port=servers.port)
        (answer,) = ask_everywhere(RECORD, names, network, rounds=1).answers
    return answer


def elsewhere(*, nxdomain: bool = False, soa: str = "") -> Script:
    """A CNAME to a name in another zone, with a SOA if one is given."""

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = answer_to(query)
        target = "sts.vendor.example."
        reply.answer.append(dns.rrset.from_text(RECORD + ".", 3600, "IN", "CNAME", target))
        if soa:
            text = "ns1.example.net. hostmaster.example.com. 1 7200 900 1209600 300"
            reply.authority.append(dns.rrset.from_text(soa, 900, "IN", "SOA", text))
        if nxdomain:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply

    return script


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (elsewhere(), "authority"),
        (elsewhere(), "resolver"),
        (elsewhere(soa="example.com."), "authority"),
        (elsewhere(soa="example.com."), "resolver"),
        (elsewhere(nxdomain=True), "authority"),  # who does not know the target's zone
    ],
)
def test_a_target_that_the_server_says_nothing_about(script: Script, kind: str) -> None:
    """Route 53 answers so (RFC 1034 section 4.3.2): it was asked, and told neither value nor absence."""
    answer = ask(script, kind)
    detail = "a CNAME to sts.vendor.example, which the server says nothing about"
    assert (answer.outcome, answer.detail, answer.values) == ("alias", detail, ())
    assert answer.leads_to == "sts.vendor.example"
    assert answer.ttl == 3600  # not dnspython's five minutes for a denial without SOA


@pytest.mark.parametrize(
    ("soa", "kind"),
    [
        ("vendor.example.", "authority"),
        ("example.", "authority"),
        ("vendor.example.", "resolver"),
        ("", "resolver"),  # who followed the chain to its end (RFC 6604 section 3)
    ],
)
def test_a_target_that_the_server_denies(soa: str, kind: str) -> None:
    answer = ask(elsewhere(nxdomain=True, soa=soa), kind)
    assert (answer.outcome, answer.detail) == ("absent", "through a CNAME to sts.vendor.example")
    assert (answer.leads_to, answer.ttl) == ("sts.vendor.example", 3600)


def test_the_ttl_is_that_of_what_leads_away() -> None:
    """While the first CNAME is kept, the target may answer anew as often as it likes."""
    chain = f"{RECORD}. {{}} CNAME a.example.com.\na.example.com. 50 CNAME b.example.com.\n"
    text = SOA + chain + 'b.example.com. 30 TXT "v=STSv1; id=2;"'
    for ttl in (3600, 40, 10):
        answer = ask(zone(text.format(ttl)), "resolver")
        assert (answer.outcome, answer.ttl) == ("present", ttl)
        assert answer.detail == "through a CNAME to b.example.com"
        assert answer.leads_to == "a.example.com"


@pytest.mark.parametrize("ttl", [3600, 40])
def test_the_ttl_before_a_denial(ttl: int) -> None:
    answer = ask(zone(SOA + f"{RECORD}. {ttl} CNAME gone.example.com."), "resolver")
    assert (answer.outcome, answer.ttl) == ("absent", ttl)
    assert answer.detail == "through a CNAME to gone.example.com"


@pytest.mark.parametrize("links", [1, 3])
def test_a_loop_leads_away_and_nowhere(links: int) -> None:
    """Some servers answer it as far as they like to go; it is no silence."""

    def script(query: dns.message.Message, transport: Transport) -> dns.message.Message:
        reply = answer_to(query)
        names = [f"{RECORD}.", *(f"Link{number}.example.com." for number in range(1, links))]
        for name, target in zip(names, [*names[1:], names[0]], strict=True):
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target))
        return reply

    answer = ask(script, "authority")
    target = RECORD if links == 1 else "link1.example.com"
    assert (answer.outcome, answer.leads_to, answer.ttl) == ("alias", target, 60)
