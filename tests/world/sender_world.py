"""What senders see of the world in tests: policy hosts, and a resolver that keeps nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from local.world.ca import CertificateAuthority
from local.world.senders import Network, Sender
from local.world.web import PolicyHosts
from tests.world.fake_objects import FakeClock, FakeObjects, FakeResolver

FIRST, SECOND = "127.0.0.1", "127.0.0.2"
DOMAIN, BUCKET, KEY = "solarmora.com", "mta-sts.solarmora.com", ".well-known/mta-sts.txt"
HOST, RECORD_NAME = f"mta-sts.{DOMAIN}", f"_mta-sts.{DOMAIN}"
OLD_MX, NEW_MX = "mail.solarmora.com", "mx.new-provider.example"
DAY, WEEK, YEAR = 86_400, 604_800, 31_557_600

# As published, with a mode that is none.
SAMPLE = """\
version: STSv1
mode: enforced
mx: mail.solarmora.com
mx: *.solarmora.net
mx: backupmx.solarmora.com
max_age: 604800
"""
ENFORCE = SAMPLE.replace("enforced", "enforce")
TESTING = SAMPLE.replace("enforced", "testing")
NONE = "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"

AnySender = TypeVar("AnySender", bound=Sender)


@dataclass
class World:
    hosts: PolicyHosts
    objects: FakeObjects
    resolver: FakeResolver
    clock: FakeClock
    network: Network

    def put(self, body: str) -> None:
        self.objects.put(BUCKET, KEY, body)

    def set_id(self, identity: str | None) -> None:
        values = [] if identity is None else [f'"v=STSv1; id={identity};"']
        self.resolver.records[RECORD_NAME, "TXT"] = values

    def sender(self, kind: type[AnySender]) -> AnySender:
        return kind(self.network, clock=self.clock)

    def fetches(self) -> int:
        return len(self.hosts.requests(DOMAIN))


@contextmanager
def open_world(authority: CertificateAuthority) -> Iterator[World]:
    """Serve `ENFORCE` under the id 1 for `DOMAIN`, on two addresses."""
    objects, clock = FakeObjects(), FakeClock()
    hosts = PolicyHosts([FIRST, SECOND], 0, authority=authority, objects=objects)
    with hosts, FakeResolver() as resolver:
        network = Network(resolver.endpoint, hosts.port, authority.ca_file)
        made = World(hosts, objects, resolver, clock, network)
        resolver.records[HOST, "A"] = [FIRST, SECOND]
        hosts.serve(DOMAIN, BUCKET, KEY)
        made.put(ENFORCE)
        made.set_id("1")
        yield made
