"""The whole world on one machine: the real template in an AWS emulator, amid DNS, web and senders.

    with Lab() as lab:
        lab.add_domain("solarmora.com", policies=[POLICY], record=["v=STSv1; id=20200425085700;"])
        run = lab.run({"domain": "solarmora.com", "method": "none-policy"})
        print(run.status, run.output)

Every server of a lab has loopback addresses of its own, so that labs side by side never meet.
"""

import contextlib
import json
import secrets
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from local import deploy
from local.account import NAME_SERVERS, Account, named_mx, policy_object
from local.emulator import ACCESS_KEY, REGION, SECRET_KEY, Emulator
from local.runs import Run
from local.world.addresses import claim_block
from local.world.ca import CertificateAuthority, CertificateFault
from local.world.cdn import Cdn, CloudFrontInvalidations
from local.world.loop import LoopThread
from local.world.name_system import NameSystem
from local.world.route53 import Route53Source
from local.world.senders import Network, simulated_senders
from local.world.tickets import TicketSystem
from local.world.web import PolicyHosts, S3Objects

# What makes runs short; everything else is as the template says.
DEADLINE_SECONDS, FIRST_PAUSE_SECONDS = 20, 1
DRAIN_MARGIN_SECONDS = 3
UNSEEN_CHANGE_SECONDS = 2  # the zones here take a change over at once
POLICY_HOSTS = 2
HOOK_SOURCES, HOOK_SECRETS = "/mta-sts-off/hook-sources", ("jira", "servicenow", "script")
IPV6_LOOPBACK = "::1"
TICKET_AUTHORIZATION = "Basic b3BzQGV4YW1wbGUuY29tOmEgd29yZA=="  # ops@example.com:a word
ELSEWHERE = "version: STSv1\r\nmode: enforce\r\nmx: mx.elsewhere.example\r\nmax_age: 604800\r\n"


class Lab:
    """A lab; a context manager, or `close` it. The start takes about five seconds.

    `dns_port` and `https_port` 0 pick free ports; others are bound as they are (OSError when they
    are taken). `name_servers` is 1 to 4. `parameters` override those of the stack. `way_back` (jira,
    servicenow or none) is whose API `tickets`, a ticket system, is told notices by.

    Faults are for one domain each and end with `heal`. The parts of the world have more of them and
    are there to be used: `name_servers_world`, `resolvers_world`, `hosts`, `policy_hosts`,
    `emulator`, `account`, `senders`.
    """

    def __init__(
        self,
        dns_port: int = 0,
        https_port: int = 0,
        name_servers: int = 4,
        resolvers: int = 2,
        *,
        way_back: str = "none",
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        if not 1 <= name_servers <= len(NAME_SERVERS):
            raise ValueError(f"name_servers must be 1 to {len(NAME_SERVERS)}, not {name_servers}")
        self._clients: dict[str, Any] = {}
        self._domains: list[str] = []
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._start(stack, dns_port, https_port, name_servers, resolvers)
            self._deploy({**self.way_back(way_back), **(parameters or {})})
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, give back every port, remove every file. Closing twice is fine."""
        self._stack.close()

    def _start(
        self,
        stack: contextlib.ExitStack,
        dns_port: int,
        https_port: int,
        name_servers: int,
        resolvers: int,
    ) -> None:
        folder = tempfile.TemporaryDirectory(prefix="mta-sts-lab-", ignore_cleanup_errors=True)
        self._folder = Path(stack.enter_context(folder))
        self.emulator = Emulator(self._folder)  # which removes the folder when this process dies
        stack.callback(self.emulator.close)
        self.account = Account(self.client)

        self._addresses = (str(address) for address in list(claim_block())[2:])
        servers = [next(self._addresses) for _ in range(name_servers)]
        loop = LoopThread()
        loop.start()
        stack.callback(loop.close)
        self._zones = Route53Source(self.client("route53"))
        self._zones.start()
        stack.callback(self._zones.close)
        self._names = stack.enter_context(
            NameSystem(
                loop,
                self._zones,
                name_servers={
                    name: servers[index % len(servers)] for index, name in enumerate(NAME_SERVERS)
                },
                resolvers=[next(self._addresses) for _ in range(resolvers)],
                port=dns_port,
            )
        )
        self.hosts = self._names.hosts
        self.name_servers_world = self._names.name_servers
        self.resolvers_world = self._names.resolvers

        authority = CertificateAuthority(self._folder)
        self.ca_file = authority.ca_file
        self.policy_hosts = stack.enter_context(
            PolicyHosts(
                [
                    *(next(self._addresses) for _ in range(POLICY_HOSTS)),
                    *([IPV6_LOOPBACK] if _has_ipv6_loopback() else []),
                ],
                https_port,
                authority=authority,
                objects=S3Objects(self.client("s3")),
            )
        )
        self.tickets = stack.enter_context(
            TicketSystem(next(self._addresses), TICKET_AUTHORIZATION, authority)
        )
        self._invalidations = CloudFrontInvalidations(self.client("cloudfront"))
        network = Network(self.resolvers[0], self.policy_hosts.port, self.ca_file)
        self.senders = simulated_senders(network)

    def _deploy(self, parameters: Mapping[str, str]) -> None:
        # Who signs what is sent to /hooks is set by the parameter, whenever somebody wants to try that.
        keys = [self._secret(f"mta-sts-off/{name}") for name in HOOK_SECRETS]
        own = {
            "ApiRequestsPerSecond": "1000",
            "HookSourcesParameter": HOOK_SOURCES,
            "HookSecretArns": ",".join(keys),
            "Resolvers": ",".join(f"{address}:{port}" for address, port in self.resolvers),
            "DnsPort": str(self._names.port),
            "HttpsPort": str(self.policy_hosts.port),
            "CaFile": self.ca_file,
            "DeadlineSeconds": str(DEADLINE_SECONDS),
            "FirstPauseSeconds": str(FIRST_PAUSE_SECONDS),
            "UnseenChangeSeconds": str(UNSEEN_CHANGE_SECONDS),
            "DrainMarginSeconds": str(DRAIN_MARGIN_SECONDS),
        }
        deploy.deploy(self.endpoint_url, {**own, **parameters}, self._folder)
        stacks = self.client("cloudformation").describe_stacks(StackName=deploy.STACK)["Stacks"]
        outputs = stacks[0]["Outputs"]
        self.stack_outputs = {str(each["OutputKey"]): str(each["OutputValue"]) for each in outputs}

    def way_back(self, system: str) -> dict[str, str]:
        """Return the parameters by which notices are written into `tickets`, as into jira or servicenow."""
        if system == "none":
            return {}
        secret = json.dumps({"authorization": TICKET_AUTHORIZATION})
        return {
            "TicketSystem": system,
            "TicketUrl": self.tickets.url,
            "TicketSecretArn": self._secret("mta-sts-off/way-back", secret),
        }

    def _secret(self, name: str, value: str = "") -> str:
        client = self.client("secretsmanager")
        value = value or secrets.token_hex(32)
        try:
            made = client.create_secret(Name=name, SecretString=value)
        except client.exceptions.ResourceExistsException:  # the stack is deployed anew
            made = client.describe_secret(SecretId=name)
        return str(made["ARN"])

    # --- how to reach it

    @property
    def endpoint_url(self) -> str:
        """The address of the AWS emulator."""
        return self.emulator.endpoint_url

    @property
    def name_servers(self) -> list[tuple[str, int]]:
        """Address and port of each name server, in the order of the zones' NS sets."""
        return self.name_servers_world.endpoints

    @property
    def resolvers(self) -> list[tuple[str, int]]:
        """Address and port of each resolver."""
        return self.resolvers_world.endpoints

    def client(self, service: str) -> Any:
        """Return the administrator's boto3 client of a service, always the same one."""
        if service not in self._clients:
            self._clients[service] = self.emulator.client(service)
        return self._clients[service]

    def describe(self) -> dict[str, Any]:
        """Return all that another program needs for working with this lab, as plain JSON."""
        return {
            "domains": self._domains,
            "endpoint_url": self.endpoint_url,
            "stack_outputs": self.stack_outputs,
            "name_servers": [f"{address}:{port}" for address, port in self.name_servers],
            "resolvers": [f"{address}:{port}" for address, port in self.resolvers],
            "policy_hosts": list(self.policy_hosts.addresses),
            "https_port": self.policy_hosts.port,
            "ca_file": self.ca_file,
            "environment": {
                "AWS_ENDPOINT_URL": self.endpoint_url,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
            },
        }

    # --- domains

    def add_domain(
        self,
        domain: str,
        *,
        policies: Sequence[str | bytes],
        record: Sequence[str] | None,
        ttl: int = 5,
        cdn_seconds: int = 0,
        mx: Sequence[str] = (),
    ) -> None:
        """Set up a mail domain, and return once all the world holds the old answers.

        `policies`, oldest first, become versions of the policy object. `record` holds the TXT
        values, written as they are read (or as quoted strings, for a value of several); None: there
        is no record. `ttl` is that of every record, of negative answers and of host addresses. With
        `cdn_seconds` a distribution stands in front, whose edges keep a copy for so long. `mx` are its
        mail servers: unless given those that the newest policy names, or else mail.<domain>. The zone is
        that of the longest domain added before that holds this one, else a new one.
        """
        self.account.put_policies(domain, policies)
        self.account.put_domain_records(domain, record, ttl, mx or named_mx(policies))
        cdn = None
        if cdn_seconds:
            distribution = self.account.make_distribution(domain)
            cdn = Cdn(distribution, cdn_seconds, self._invalidations)
        self.policy_hosts.serve(domain, *policy_object(domain), cdn)
        ipv4 = [address for address in self.policy_hosts.addresses if ":" not in address]
        ipv6 = [address for address in self.policy_hosts.addresses if ":" in address]
        self.hosts.set(f"mta-sts.{domain}", ipv4=ipv4, ipv6=ipv6, ttl=ttl)
        self.warm(domain)
        self._domains.append(domain)

    def warm(self, domain: str) -> None:
        """Let every resolver, every edge of the CDN and every sender take in the present state."""
        self._zones.refresh()
        host = f"mta-sts.{domain}"
        self.resolvers_world.flush(self.account.zone_of(domain))
        for name, kind in ((f"_mta-sts.{domain}", "TXT"), (host, "A"), (host, "AAAA")):
            self.resolvers_world.warm(name, kind)
        self.policy_hosts.warm(domain)
        for sender in self.senders:
            sender.warm(domain)

    def refresh(self) -> None:
        """Let name servers that do not lag take over at once what was written to Route 53."""
        self._zones.refresh()

    def policy_object(self, domain: str) -> tuple[str, str]:
        """Return bucket and key of the domain's policy."""
        return policy_object(domain)

    def zone_id(self, domain: str) -> str:
        """Return the id of the hosted zone that holds the domain; KeyError where none does."""
        return self.account.zone_id(domain)

    # --- executions

    def start(self, event: object) -> Run:
        """Start an execution with this input, once the name servers have what was written before.

        Those that do not lag, that is: whatever a run finds does not hang on how fast they are here.
        """
        self.refresh()
        machine = self.stack_outputs["StateMachineArn"]
        return Run.start(self.client("stepfunctions"), machine, event)

    def run(self, event: object, timeout: float = 120) -> Run:
        """Start an execution and wait for its end; TimeoutError after so many seconds."""
        return self.start(event).wait(timeout)

    # --- faults, each for one domain, until it is healed

    def lag(self, domain: str, server: int = 1) -> None:
        """Let one name server keep what it now has of the domain's zone."""
        self.name_servers_world.lag(server, self.account.zone_of(domain))

    def server_down(self, domain: str, server: int = 1) -> None:
        """Let one name server answer no query for the domain."""
        self.name_servers_world.down(server, domain)

    def stale_address(self, domain: str, address_index: int = 1) -> None:
        """Let one address of the policy host go on with what it now serves."""
        self.policy_hosts.stale(domain, self.policy_hosts.addresses[address_index])

    def hold_invalidations(self, domain: str) -> None:
        """Let new invalidations of the domain's distribution stay InProgress."""
        self.emulator.hold_invalidations(self.account.distribution_id(domain))

    def wrong_bucket(self, domain: str) -> None:
        """Let the policy host serve another bucket, with the policy of somebody else."""
        bucket, key = f"other.{domain}", policy_object(domain)[1]
        self.account.make_bucket(bucket)
        self.account.put_policy(bucket, key, ELSEWHERE)
        self.policy_hosts.wrong_bucket(domain, bucket)

    def broken_certificate(self, domain: str, kind: CertificateFault = "expired") -> None:
        """Let the policy host show one that is expired, for another name, or of unknown issuer."""
        self.policy_hosts.broken_certificate(domain, kind)

    def heal(self, domain: str) -> None:
        """End every fault of the domain."""
        for server in range(len(self.name_servers)):
            self.name_servers_world.catch_up(server, self.account.zone_of(domain))
            self.name_servers_world.up(server, domain)
        self.policy_hosts.heal(domain)
        with contextlib.suppress(KeyError):  # there may be no distribution
            self.emulator.release_invalidations(self.account.distribution_id(domain))


def _has_ipv6_loopback() -> bool:
    """Tell whether this machine has ::1; some containers do not."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind((IPV6_LOOPBACK, 0))
    except OSError:
        return False
    return True
