"""Looking at a domain where this or that cannot be looked at: it is told, and the rest is seen."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from mta_sts.checks.look_around import list_domains, look_around
from mta_sts.checks.sight import Sight
from mta_sts.errors import PolicyNotFoundError, PolicyUnreadableError, TransientError
from mta_sts.observed import History, HostedZone
from mta_sts.settings import Endpoint, Network, Settings
from tests.adapters.dns_servers import Script, Servers, zone
from tests.unit.plans import ENFORCE, NOW, stored

RESOLVER, AUTHORITY = "127.46.0.9", "127.46.0.1"
RECORDS = (
    "example.com. 60 SOA ns.example.com. h.example.com. 1 1 1 1 60\n"
    f"example.com. 60 NS ns.example.com.\nns.example.com. 60 A {AUTHORITY}\n"
    "example.com. 60 MX 10 mail.example.com.\n"
    '_mta-sts.example.com. 60 TXT "v=STSv1; id=1;"\n'
    '_smtp._tls.example.com. 60 TXT "v=TLSRPTv1; rua=mailto:a@example.com"\n'
    "_25._tcp.mail.example.com. 60 TLSA 3 1 1 " + "ab" * 32
)
WORLD = zone(RECORDS)
HERE = HostedZone("Z1", "example.com", ("ns.example.com",))


def denied(*_: Any, **__: Any) -> Any:
    raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Any")


def busy(*_: Any, **__: Any) -> Any:
    raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "Any")


class Aws:
    """Everything of AWS that a check asks; a test breaks parts of it."""

    def __init__(self, **broken: Any) -> None:
        self.broken = broken

    def _do(self, what: str, answer: Any) -> Any:
        if what in self.broken:
            return self.broken[what]()
        return answer

    def read(self, _bucket: str, _key: str) -> Any:
        return self._do("read", stored())

    def history(self, _bucket: str, _key: str, _present: Any) -> Any:
        return self._do("history", History())

    def candidates(self, _name: str) -> Any:
        return self._do("candidates", [HERE])

    def record_sets(self, _zone_id: str, _name: str) -> Any:
        return self._do("record_sets", [])

    def sts_sets(self, _zone_id: str) -> Any:
        sets = [{"Name": f"_mta-sts.{name}example.com.", "Type": "TXT"} for name in ("", "news.")]
        return self._do("sts_sets", (sets, True))

    def public(self) -> Any:
        return self._do("public", iter([HERE, replace(HERE, zone_id="Z2", name="example.net")]))

    def domain(self, _domain: str) -> Any:
        return self._do("domain", {"phase": "on"})

    def find(self, _host: str) -> Any:
        return self._do("find", "E1")

    def zones(self) -> Any:
        return self._do("zones", self)


def settings(port: int) -> Settings:
    return Settings(
        policy_bucket="mta-sts.{domain}",
        policy_key="k",
        policy_locations_parameter="",
        distribution_id="",
        other_cache_seconds=0,
        deadline_seconds=1,
        first_pause_seconds=1,
        unseen_change_seconds=1,
        max_policy_age_seconds=1,
        drain_margin_seconds=1,
        dns_role_arn="",
        network=Network((Endpoint(RESOLVER, port),), dns_port=port, https_port=port),
    )


def seen(aws: Aws | None = None, world: Script = WORLD, **changed: Any) -> Sight:
    aws = aws or Aws()
    here: Any = aws
    with Servers({RESOLVER: world, AUTHORITY: world}) as servers:
        return look_around(
            "example.com",
            replace(settings(servers.port), **changed),
            store=lambda: here,
            zones=here.zones,
            cdn=lambda: here,
            ledger=lambda: here,
            ssm=None,
            now=NOW,
        )


class TestAllIsSeen:
    def test_record_mail_and_account(self) -> None:
        sight = seen()
        assert sight.problems == {}
        assert [(one.server, one.values) for one in sight.answers] == [
            ("ns.example.com", (b"v=STSv1; id=1;",)),
            *[("resolver", (b"v=STSv1; id=1;",))] * 3,
        ]
        assert sight.mx.hosts == ("mail.example.com",)
        assert [(one.host, one.records) for one in sight.tlsa] == [("mail.example.com", 1)]
        assert sight.tlsrpt[0].values == (b"v=TLSRPTv1; rua=mailto:a@example.com",)
        assert sight.stored
        assert sight.stored.body == ENFORCE
        assert sight.location.distribution_id == "E1"
        assert (sight.zone, sight.others) == (HERE, ["_mta-sts.news.example.com"])
        assert sight.item == {"phase": "on"}
        assert sight.look["agreeing"] == []  # the policy host has no address here

    def test_a_distribution_that_is_named_is_not_looked_for(self) -> None:
        aws = Aws(find=denied)
        assert seen(aws, distribution_id="none").location.distribution_id == ""
        assert seen(aws, distribution_id="E9").location.distribution_id == "E9"


class TestSomethingIsNot:
    @pytest.mark.parametrize(
        ("part", "problem"),
        [
            ("read", "object"),
            ("history", "history"),
            ("zones", "zone"),
            ("candidates", "zone"),
            ("record_sets", "sets"),
            ("sts_sets", "others"),
            ("domain", "ledger"),
            ("find", "cdn"),
        ],
    )
    def test_a_permission_that_is_missing(self, part: str, problem: str) -> None:
        sight = seen(Aws(**{part: denied}))
        assert list(sight.problems) == [problem]
        assert "AccessDenied" in sight.problems[problem]
        assert sight.answers[0].server == "ns.example.com"  # found by the DNS, if need be
        assert sight.mx.known

    def test_all_of_them(self) -> None:
        every = ("read", "history", "zones", "domain", "find")
        sight = seen(Aws(**dict.fromkeys(every, denied)))
        assert set(sight.problems) == {"object", "history", "zone", "ledger", "cdn"}
        assert (sight.stored, sight.zone, sight.item, sight.record_sets) == (None, None, None, None)
        assert "AccessDenied" in sight.history.gap

    def test_no_object_is_an_answer(self) -> None:
        def missing() -> Any:
            raise PolicyNotFoundError("There is no policy object.")

        sight = seen(Aws(read=missing, history=missing))
        assert sight.problems == {}
        assert (sight.stored, sight.history) == (None, History())

    def test_an_object_that_cannot_be_read_is_none(self) -> None:
        def archived() -> Any:
            raise PolicyUnreadableError("It was archived. Nothing was written. Restore it.")

        assert seen(Aws(read=archived)).problems == {"object": "It was archived. Restore it."}

    def test_a_bucket_whose_name_no_bucket_can_have(self) -> None:
        def refused() -> Any:
            raise ParamValidationError(report="Invalid bucket name")

        assert "Invalid bucket name" in seen(Aws(read=refused)).problems["object"]

    def test_settings_that_do_not_tell_domains_apart(self) -> None:
        sight = seen(policy_bucket="all")
        assert "do not tell domains apart" in sight.problems["object"]
        assert (sight.stored, sight.location.bucket) == (None, "")

    def test_a_zone_that_is_somebody_elses(self) -> None:
        sight = seen(Aws(candidates=list))
        assert "No public hosted zone holds _mta-sts.example.com." in sight.problems["zone"]
        assert sight.answers[0].server == "ns.example.com"

    def test_name_servers_that_nobody_knows(self) -> None:
        sight = seen(world=zone("com. 60 SOA . . 1 1 1 1 60"))
        assert set(sight.problems) == {"zone", "servers"}
        assert sight.problems["servers"] == "no name server is known"
        assert not sight.mx.known

    def test_a_ca_file_that_is_not_there(self) -> None:
        with Servers(
            {RESOLVER: zone(RECORDS + "\nmta-sts.example.com. 60 A 127.0.0.1")}
        ) as servers:
            network = replace(settings(servers.port).network, ca_file="/nonexistent")
            here: Any = Aws(zones=denied)
            sight = look_around(
                "example.com",
                replace(settings(servers.port), network=network),
                store=lambda: here,
                zones=here.zones,
                cdn=lambda: here,
                ledger=lambda: here,
                ssm=None,
                now=NOW,
            )
        assert "No such file" in sight.problems["host"]
        assert "No such file" in sight.look["doubts"][0]


class TestAwsIsBusy:
    """Trying again may help: that is for the workflow."""

    @pytest.mark.parametrize(
        "part", ["read", "history", "zones", "candidates", "sts_sets", "domain", "find"]
    )
    def test_throttled(self, part: str) -> None:
        with pytest.raises(ClientError, match="slow down"):
            seen(Aws(**{part: busy}))

    def test_s3_was_busy_by_our_own_name(self) -> None:
        def slow() -> Any:
            raise TransientError("S3 was busy")

        with pytest.raises(TransientError):
            seen(Aws(read=slow))

    def test_out_of_reach(self) -> None:
        def away() -> Any:
            raise EndpointConnectionError(endpoint_url="https://x.example")

        with pytest.raises(EndpointConnectionError):
            seen(Aws(domain=away))


class TestList:
    def listed(self, aws: Aws, *, clock: Any = lambda: 0.0) -> Any:
        here: Any = aws
        return list_domains(here.zones, lambda: here, seconds=10, clock=clock)

    def test_every_zone_and_what_the_ledger_knows(self) -> None:
        found = self.listed(Aws())
        assert found.zones == 2
        assert [(zone, name) for zone, name, _ in found.sets] == [
            ("example.com", "_mta-sts.example.com"),
            ("example.com", "_mta-sts.news.example.com"),
            ("example.net", "_mta-sts.example.com"),
            ("example.net", "_mta-sts.news.example.com"),
        ]
        assert found.items == {
            "example.com": {"phase": "on"},
            "news.example.com": {"phase": "on"},
        }
        assert found.left_out == ()

    def test_no_time_is_left(self) -> None:
        moments = iter([0.0, 5.0, 10.1])
        found = self.listed(Aws(), clock=lambda: next(moments))
        assert found.zones == 1
        assert found.left_out == ("example.net (Z2): no time was left",)

    def test_a_zone_that_is_too_large_and_zones_that_are_too_many(self) -> None:
        found = self.listed(Aws(sts_sets=lambda: ([], False), public=lambda: iter([HERE, None])))
        assert found.left_out == (
            "example.com (Z1): too large to be listed as a whole",
            "there are more public zones than are listed",
        )

    @pytest.mark.parametrize("part", ["zones", "public"])
    def test_zones_that_may_not_be_listed(self, part: str) -> None:
        found = self.listed(Aws(**{part: denied}))
        assert (found.zones, list(found.sets)) == (0, [])
        assert "AccessDenied" in found.left_out[0]

    def test_a_ledger_that_may_not_be_read(self) -> None:
        found = self.listed(Aws(domain=denied))
        assert len(found.sets) == 4
        assert found.items == {}
        assert found.left_out[0].startswith("the ledger: ")

    def test_busy(self) -> None:
        with pytest.raises(ClientError):
            self.listed(Aws(sts_sets=busy))
