"""Policy hosts for tests, and how to ask them: plain urllib3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3

from local.world.ca import CertificateAuthority
from local.world.cdn import Cdn
from local.world.web import PolicyHosts
from tests.world.fake_objects import FakeClock, FakeInvalidations, FakeObjects

FIRST, SECOND, SIXTH = "127.0.0.1", "127.0.0.2", "::1"
DOMAIN, OTHER = "solarmora.com", "example.net"
BUCKET, KEY = "mta-sts.solarmora.com", ".well-known/mta-sts.txt"
PATH = "/.well-known/mta-sts.txt"
DISTRIBUTION = "E1MINE"


@dataclass
class World:
    hosts: PolicyHosts
    objects: FakeObjects
    invalidations: FakeInvalidations
    clock: FakeClock

    def put(self, body: str, bucket: str = BUCKET) -> None:
        self.objects.put(bucket, KEY, body)

    def behind_cdn(self, seconds: int) -> None:
        cdn = Cdn(DISTRIBUTION, seconds, self.invalidations, self.clock)
        self.hosts.serve(DOMAIN, BUCKET, KEY, cdn)

    def get(
        self,
        address: str = FIRST,
        *,
        domain: str = DOMAIN,
        host: str | None = None,
        path: str = PATH,
    ) -> urllib3.BaseHTTPResponse:
        name = f"mta-sts.{domain}"
        with urllib3.HTTPSConnectionPool(
            address,
            self.hosts.port,
            server_hostname=name,
            assert_hostname=name,
            ca_certs=self.hosts.authority.ca_file,
            cert_reqs="CERT_REQUIRED",
            retries=False,
            timeout=5,
        ) as pool:
            return pool.request("GET", path, headers={"Host": host or name}, redirect=False)

    def body(self, address: str = FIRST, domain: str = DOMAIN) -> str:
        return self.get(address, domain=domain).data.decode()


@contextmanager
def open_world(authority: CertificateAuthority) -> Iterator[World]:
    """Serve the body "old" for `DOMAIN` on three addresses, without a CDN."""
    objects, clock = FakeObjects(), FakeClock()
    hosts = PolicyHosts(
        [FIRST, SECOND, SIXTH], 0, authority=authority, objects=objects, clock=clock
    )
    with hosts:
        made = World(hosts, objects, FakeInvalidations(), clock)
        made.put("old")
        hosts.serve(DOMAIN, BUCKET, KEY)
        yield made
