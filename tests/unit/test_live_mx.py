"""The MX hosts of a domain by what its servers answered, and whom a policy names."""

import json
from typing import Any

from mta_sts.live_mx import LiveMx, Match, MxAnswer, live_mx, match
from mta_sts.record_check import NotAsked

DOMAIN = "example.com"


def answer(*hosts: tuple[int, str], server: str = "ns1", **more: Any) -> MxAnswer:
    outcome = more.pop("outcome", "present" if hosts else "absent")
    return MxAnswer(
        **{"name": DOMAIN, "server": server, "address": "192.0.2.1", "outcome": outcome}
        | {"hosts": hosts}
        | more
    )


def hosts(*names: str) -> LiveMx:
    return live_mx(DOMAIN, [answer(*((10, name) for name in names))])


class TestHosts:
    def test_are_united_over_all_servers_by_the_best_preference(self) -> None:
        mx = live_mx(
            DOMAIN,
            [
                answer((7, "b.example"), (5, "z.example")),
                answer((20, "b.example"), (10, "a.example"), server="ns2"),
            ],
        )
        assert mx.hosts == ("z.example", "b.example", "a.example")
        assert (mx.known, mx.null, mx.implicit) == (True, False, False)
        (told,) = mx.problems
        assert told == (
            "the name servers differ on the MX of example.com: ns1 (192.0.2.1): 5 z.example, 7 b.example;"
            " ns2 (192.0.2.1): 10 a.example, 20 b.example"
        )

    def test_the_same_set_in_another_order_is_no_difference(self) -> None:
        one, other = (10, "a.example"), (20, "b.example")
        assert not live_mx(DOMAIN, [answer(one, other), answer(other, one)]).problems

    def test_without_an_mx_set_the_domain_itself_takes_the_mail(self) -> None:
        mx = live_mx(DOMAIN, [answer()])
        assert (mx.hosts, mx.implicit, mx.known) == ((DOMAIN,), True, True)

    def test_behind_a_cname_its_target_does(self) -> None:
        assert live_mx(DOMAIN, [answer(alias="other.example")]).hosts == ("other.example",)

    def test_a_null_mx_is_no_host(self) -> None:
        mx = live_mx(DOMAIN, [answer((0, ""))])
        assert (mx.hosts, mx.null, mx.known) == ((), True, True)

    def test_a_root_beside_others_is_no_null_mx(self) -> None:
        mx = live_mx(DOMAIN, [answer((0, ""), (10, "a.example"))])
        assert (mx.hosts, mx.null) == (("a.example",), False)

    def test_a_null_mx_at_one_server_only_does_not_hide_the_others_hosts(self) -> None:
        mx = live_mx(DOMAIN, [answer((0, "")), answer((10, "a.example"), server="ns2")])
        assert (mx.hosts, mx.null) == (("a.example",), False)
        assert "ns1 (192.0.2.1): 0 .;" in mx.problems[0]

    def test_silence_is_not_known_and_no_null_mx(self) -> None:
        mx = live_mx(
            DOMAIN,
            [answer(outcome="unreachable", detail="timed out")],
            [NotAsked("ns2", "", "authority", "no address is known")],
            ["no resolver could tell"],
        )
        assert (mx.hosts, mx.known, mx.null, mx.implicit) == ((), False, False, False)
        assert mx.problems == (
            "no resolver could tell",
            "ns1 (192.0.2.1) gave no answer for the MX of example.com: timed out",
        )

    def test_a_cname_that_nobody_followed_is_not_known(self) -> None:
        mx = live_mx(DOMAIN, [answer(outcome="alias", alias="other.example")])
        assert (mx.hosts, mx.known) == ((), False)


class TestMatch:
    def test_hosts_are_sorted_by_whether_a_pattern_names_them(self) -> None:
        mx = hosts("a.mx.example", "b.mx.example", "x.y.mx.example", "old.example")
        assert match(["*.MX.example", "old.example"], mx) == Match(
            ("a.mx.example", "b.mx.example", "old.example"), ("x.y.mx.example",)
        )

    def test_no_pattern_matches_nothing(self) -> None:
        assert match([], hosts("a.example")) == Match((), ("a.example",))

    def test_no_host_is_neither(self) -> None:
        assert match(["*.example"], live_mx(DOMAIN, [answer((0, ""))])) == Match((), ())


def test_evidence_is_plain_and_bounded() -> None:
    many = [answer((n, f"{'x' * 60}.{n}.example"), server=f"ns{n}") for n in range(500)]
    evidence = live_mx(DOMAIN, many).evidence()
    assert len(json.dumps(evidence)) < 30_000
    assert evidence["answers"][0] == {
        "name": DOMAIN,
        "server": "ns0",
        "address": "192.0.2.1",
        "found": f"0 {'x' * 60}.0.example",
    }
