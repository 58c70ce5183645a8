"""What an administrator sets up in AWS for a domain with MTA-STS: bucket, zone, distribution."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.world.zones import parse_text

POLICY_KEY = ".well-known/mta-sts.txt"
# Route 53 gives every zone of this emulator the same four.
NAME_SERVERS = (
    "ns-1.awsdns-1.com",
    "ns-2.awsdns-2.net",
    "ns-3.awsdns-3.org",
    "ns-4.awsdns-4.co.uk",
)
_STRING_LENGTH = 255  # RFC 1035 section 3.3


class AccountError(Exception):
    """The account cannot be set up so; the message says why."""


class Account:
    """The administrator's hands: `client` gives the boto3 client of a service."""

    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client
        self._zones: dict[str, str] = {}
        self._distributions: dict[str, str] = {}

    # --- S3

    def put_policies(self, domain: str, policies: Sequence[str | bytes]) -> None:
        """Make the domain's bucket, with versions, and put each policy, oldest first."""
        bucket, key = policy_object(domain)
        self.make_bucket(bucket)
        versioning = {"Status": "Enabled"}
        s3 = self._client("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
        for policy in policies:
            self.put_policy(bucket, key, policy)

    def make_bucket(self, bucket: str) -> None:
        """Make a private bucket."""
        self._client("s3").create_bucket(Bucket=bucket)

    def put_policy(self, bucket: str, key: str, policy: str | bytes) -> None:
        """Put one policy, as text/plain (RFC 8461 section 3.2)."""
        body = policy.encode() if isinstance(policy, str) else policy
        self._client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/plain")

    # --- Route 53

    def zone_of(self, domain: str) -> str:
        """Return the name of the hosted zone that holds a domain; KeyError where none does."""
        labels = domain.split(".")
        for first in range(len(labels)):
            name = ".".join(labels[first:])
            if name in self._zones:
                return name
        raise KeyError(f"no hosted zone was made for {domain}")

    def zone_id(self, domain: str) -> str:
        """Return the id of the hosted zone that holds a domain; KeyError where none does."""
        return self._zones[self.zone_of(domain)]

    def make_zone(self, name: str, ttl: int) -> str:
        """Make a public hosted zone whose negative answers live `ttl` seconds; return its id."""
        route53 = self._client("route53")
        made = route53.create_hosted_zone(Name=name, CallerReference=name)
        zone_id = str(made["HostedZone"]["Id"]).removeprefix("/hostedzone/")
        servers = tuple(server.rstrip(".") for server in made["DelegationSet"]["NameServers"])
        if servers != NAME_SERVERS:
            raise AccountError(f"the zone has other name servers than the lab: {servers}")
        self._zones[name] = zone_id
        # Negative answers live min(SOA TTL, SOA minimum), RFC 2308 section 5: 900 s on AWS.
        soa = f"{NAME_SERVERS[0]}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 {ttl}"
        self.put_records(zone_id, record_set(name, "SOA", ttl, [soa]), action="UPSERT")
        return zone_id

    def put_records(
        self, zone_id: str, *record_sets: Mapping[str, Any], action: str = "CREATE"
    ) -> None:
        """Write record sets in one batch."""
        changes = [{"Action": action, "ResourceRecordSet": each} for each in record_sets]
        self._client("route53").change_resource_record_sets(
            HostedZoneId=zone_id, ChangeBatch={"Changes": changes}
        )

    def put_domain_records(
        self, domain: str, record: Sequence[str] | None, ttl: int, mx: Sequence[str] = ()
    ) -> None:
        """Write what a mail domain with MTA-STS has: MX, TLSRPT and, unless None, `record`."""
        targets = [f"10 {host}." for host in mx or (f"mail.{domain}",)]
        try:
            zone_id = self.zone_id(domain)
        except KeyError:
            zone_id = self.make_zone(domain, ttl)
        report = quoted(f"v=TLSRPTv1; rua=mailto:tls-reports@{domain}")
        sets = [
            record_set(domain, "MX", ttl, targets),
            record_set(f"_smtp._tls.{domain}", "TXT", ttl, [report]),
        ]
        if record is not None:
            values = [quoted(value) for value in record]
            sets.append(record_set(f"_mta-sts.{domain}", "TXT", ttl, values))
        self.put_records(zone_id, *sets)

    # --- CloudFront

    def distribution_id(self, domain: str) -> str:
        """Return the id of the domain's distribution; KeyError where it has none."""
        return self._distributions[domain]

    def make_distribution(self, domain: str) -> str:
        """Make a distribution with the policy host as its alias; return its id."""
        host, (bucket, _) = f"mta-sts.{domain}", policy_object(domain)
        origin = {
            "Id": "policies",
            "DomainName": f"{bucket}.s3.amazonaws.com",
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }
        behaviour = {
            "TargetOriginId": "policies",
            "ViewerProtocolPolicy": "https-only",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        }
        made = self._client("cloudfront").create_distribution(
            DistributionConfig={
                "CallerReference": host,
                "Comment": host,
                "Enabled": True,
                "Aliases": {"Quantity": 1, "Items": [host]},
                "Origins": {"Quantity": 1, "Items": [origin]},
                "DefaultCacheBehavior": behaviour,
            }
        )
        self._distributions[domain] = str(made["Distribution"]["Id"])
        return self._distributions[domain]


def named_mx(policies: Sequence[str | bytes]) -> list[str]:
    """List the hosts that the newest policy with some names outright, no pattern among them."""
    for policy in reversed(policies):
        text = policy if isinstance(policy, str) else policy.decode("ascii", "replace")
        hosts = re.findall(r"(?m)^mx: *([a-z0-9-]+(?:\.[a-z0-9-]+)+)\r?$", text)
        if hosts:
            return list(dict.fromkeys(hosts))
    return []


def policy_object(domain: str) -> tuple[str, str]:
    """Return bucket and key of a domain's policy, by the template's default patterns."""
    return f"mta-sts.{domain}", POLICY_KEY


def record_set(name: str, kind: str, ttl: int, values: Sequence[str]) -> dict[str, Any]:
    """Compose a record set as Route 53 takes it."""
    records = [{"Value": value} for value in values]
    return {"Name": name, "Type": kind, "TTL": ttl, "ResourceRecords": records}


def quoted(text: str) -> str:
    """Write a TXT value as Route 53 wants it: quoted strings of at most 255 characters.

    What already is a list of quoted strings stays as it is.
    """
    if text.startswith('"'):
        parse_text(text)
        return text
    pieces = [text[at : at + _STRING_LENGTH] for at in range(0, len(text), _STRING_LENGTH)] or [""]
    escaped = (piece.replace("\\", "\\134").replace('"', "\\042") for piece in pieces)
    return " ".join(f'"{piece}"' for piece in escaped)
