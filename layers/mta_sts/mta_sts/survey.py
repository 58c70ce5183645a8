"""Looks at everything that a plan is made from: object, versions, zone, TXT set, resolvers, ledger."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mta_sts.adapters.delegation import addresses_of, delegation, negative_ttl, record_ttls
from mta_sts.adapters.locations import locate
from mta_sts.domains import policy_host, record_name
from mta_sts.errors import (
    DnsUnreachableError,
    PolicyNotFoundError,
    ZoneNotDelegatedError,
    ZoneNotFoundError,
)
from mta_sts.observed import HostedZone, Location, StoredPolicy
from mta_sts.planning import Findings
from mta_sts.request import Request
from mta_sts.settings import Network, Settings

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

    from mta_sts.adapters.cloudfront import Cdn
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore


def survey(
    request: Request,
    settings: Settings,
    *,
    store: "PolicyStore",
    zones: "Zones",
    cdn: "Callable[[], Cdn]",
    ledger: "Ledger",
    ssm: "SSMClient | None",
) -> Findings:
    """Look, change nothing.

    Raises ZoneNotFoundError, ZoneNotDelegatedError, PolicyNotFoundError, PolicyUnreadableError or
    DnsUnreachableError.
    """
    name = record_name(request.domain)
    zone = find_zone(name, zones, settings.network)
    location = _with_distribution(
        locate(request.domain, settings, ssm), policy_host(request.domain), cdn
    )
    remembered = ledger.domain(request.domain)
    stored = _stored(store, location, create=request.create_policy)
    return Findings(
        location=location,
        stored=stored,
        history=store.history(location.bucket, location.key),
        zone=zone,
        record_sets=zones.record_sets(zone.zone_id, name),
        negative_ttl=negative_ttl(zone.name, settings.network),
        longest_ttl=max(
            [
                record_ttls(name, settings.network),
                *(seen["ttl"] for seen in remembered.get("ttls", [])),
            ]
        ),
        used_ids=frozenset(remembered.get("ids", ())),
        id_changes=tuple(remembered.get("id_changes", ())),
    )


def find_zone(name: str, zones: "Zones", network: Network) -> HostedZone:
    """Find the public hosted zone with the longest name that is really delegated to.

    Compared by address, since name servers can have vanity names.
    """
    candidates = zones.candidates(name)
    if not candidates:
        raise ZoneNotFoundError(
            f"No public hosted zone holds {name}. Nothing was changed. Run in the account that has the zone,"
            " or name a role of that account by the stack's DnsRoleArn."
        )
    misses = []
    for zone in candidates:
        delegated = delegation(zone.name, network)
        # Where the names are the same, so are the addresses: nothing more to ask.
        if delegated and {server.name for server in delegated} <= set(zone.name_servers):
            return zone
        own = addresses_of(zone.name_servers, network)
        if not own.ipv4 + own.ipv6 and own.problems:
            raise DnsUnreachableError(
                f"no resolver could tell the addresses of {', '.join(zone.name_servers)}, the name servers"
                f" of zone {zone.zone_id}: {'; '.join(own.problems)}. Nothing was changed. Look at the"
                " resolvers, then run again."
            )
        found = {address for server in delegated for address in server.addresses}
        if found and found <= {*own.ipv4, *own.ipv6}:
            return zone
        seen = ", ".join(f"{s.name} ({', '.join(s.addresses) or 'no address'})" for s in delegated)
        misses.append(
            f"zone {zone.name} ({zone.zone_id}) has the name servers {', '.join(zone.name_servers)}"
            f" ({', '.join(own.ipv4 + own.ipv6) or 'no address'}), but the DNS delegates to"
            f" {seen or 'nobody'}"
        )
    raise ZoneNotDelegatedError(
        f"No hosted zone that could hold {name} is the one that the DNS asks: {'; '.join(misses)}. A change"
        " there would be seen by nobody. Nothing was changed. Run where the delegated zone is, or correct"
        " the delegation."
    )


def _with_distribution(location: Location, host: str, cdn: "Callable[[], Cdn]") -> Location:
    if location.distribution_id == "none":
        return replace(location, distribution_id="")
    if location.distribution_id:
        return location
    return replace(location, distribution_id=cdn().find(host) or "")


def _stored(store: "PolicyStore", location: Location, *, create: bool) -> StoredPolicy | None:
    try:
        stored = store.read(location.bucket, location.key)
    except PolicyNotFoundError:
        if create:
            return None
        raise
    store.refuse_foreign_grants(location.bucket, location.key)
    return replace(stored, tagging=store.tagging(location.bucket, location.key))
