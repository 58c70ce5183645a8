"""Looks at everything that a plan is made from: object, versions, zone, TXT set, resolvers, ledger."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mta_sts.adapters.delegation import addresses_of, delegation, negative_ttl
from mta_sts.adapters.dns import REFERRAL, NameServer, ask_everywhere
from mta_sts.adapters.ledger import recent_changes
from mta_sts.adapters.locations import locate
from mta_sts.domains import policy_host, record_name
from mta_sts.errors import (
    DnsUnreachableError,
    PolicyNotFoundError,
    PolicyNotServedError,
    PolicyUnreadableError,
    ZoneNotDelegatedError,
    ZoneNotFoundError,
)
from mta_sts.observed import (
    Findings,
    History,
    HostedZone,
    Location,
    StoredPolicy,
    Wildcard,
)
from mta_sts.policy_plan import known_bodies
from mta_sts.record_plan import content, remembered_ttl
from mta_sts.request import Request
from mta_sts.settings import Network, Settings

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

    from mta_sts.adapters.cloudfront import Cdn
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore
    from mta_sts.live_mx import LiveMx


def survey(
    request: Request,
    settings: Settings,
    *,
    store: "PolicyStore",
    zones: "Zones",
    cdn: "Callable[[], Cdn]",
    ledger: "Ledger",
    ssm: "SSMClient | None",
    look_at: Callable[..., Mapping[str, Any]],
    live_mx: "Callable[[str, Network], LiveMx]",
    now: datetime,
) -> Findings:
    """Look, change nothing.

    ``look_at`` is :func:`mta_sts.adapters.policy_host.look_at`, ``live_mx``
    :func:`mta_sts.adapters.mail.ask_mx`.

    Raises ZoneNotFoundError, ZoneNotDelegatedError, PolicyNotFoundError, PolicyUnreadableError,
    PolicyNotServedError or DnsUnreachableError.
    """
    name, network = record_name(request.domain), settings.network
    zone, servers = find_zone(name, zones, network)
    location = locate(request.domain, settings, ssm)
    location = _with_distribution(
        location, policy_host(request.domain), cdn, purges=request.publishes
    )
    remembered = ledger.domain(request.domain)
    stored, history = _policy(request, store, location)
    record_sets = zones.record_sets(zone.zone_id, name)
    stands = any(record_set["Type"] in {"TXT", "CNAME"} for record_set in record_sets)
    found = Findings(
        location=location,
        stored=stored,
        history=history,
        zone=zone,
        record_sets=record_sets,
        # That there is no record can be remembered only where there is none.
        negative_ttl=0 if stands else negative_ttl(zone.name, servers, network),
        longest_ttl=max(
            _answered_ttl(name, zone, servers, network), remembered_ttl(remembered, now)
        ),
        used_ids=frozenset(remembered.get("ids", ())),
        id_changes=tuple(recent_changes(remembered.get("id_changes", ()), now)),
        remembered=remembered,
        live_mx=live_mx(request.domain, network),
    )
    if request.remove_policy:
        found = replace(found, versioning=store.versioning(location.bucket))
    if request.deletes:
        found = replace(found, wildcards=_wildcards(name, zone, zones, network))
    if not request.publishes:
        host = look_at(
            policy_host(request.domain),
            network,
            known=known_bodies(found.stored, found.history),
            missing=found.stored is None and not found.history.gap,
            now=now,
        )
        found = replace(found, host=host)
    return found


def _policy(
    request: Request, store: "PolicyStore", location: Location
) -> tuple[StoredPolicy | None, History]:
    """Read the policy and its versions.

    A method that leaves the policy alone does without: it may lie elsewhere, or be broken. What cannot
    be read is not known, and counts as that.
    """
    if request.publishes:
        create = request.create_policy or request.method == "restore"
        stored = _stored(store, location, create=create)
        return stored, store.history(location.bucket, location.key, stored)
    try:
        stored = _stored(store, location, create=True)
        return stored, store.history(location.bucket, location.key, stored)
    except (PolicyNotFoundError, PolicyUnreadableError) as error:
        return None, History(gap=str(error).partition(". ")[0])


def _wildcards(
    name: str, zone: HostedZone, zones: "Zones", network: Network
) -> tuple[Wildcard, ...]:
    """Find what would answer at NAME without a record of its own; raises DnsUnreachableError."""
    found = []
    for record_set in zones.wildcard_sets(zone.zone_id, zone.name, name):
        own = str(record_set["Name"]).rstrip(".").replace("\\052", "*")
        targets = [record_set["AliasTarget"]["DNSName"]] if "AliasTarget" in record_set else []
        values = [record["Value"] for record in record_set.get("ResourceRecords", ())]
        if record_set["Type"] == "CNAME":
            targets += values
        elif record_set["Type"] == "TXT":
            found.append(Wildcard(own, tuple(content(value) for value in values)))
        if record_set["Type"] in {"CNAME", "TXT"}:
            found += [
                Wildcard(own, _answered(target.rstrip("."), network), _leads_to(record_set))
                for target in targets
            ]
    return tuple(found)


def _leads_to(record_set: Mapping[str, Any]) -> str | None:
    """Say where a set sends who asks; an alias of a CNAME sends to that one's target."""
    if record_set["Type"] != "CNAME":
        return ""
    if "AliasTarget" in record_set:
        return None
    return str(record_set["ResourceRecords"][0]["Value"]).rstrip(".").lower()


def _answered(target: str, network: Network) -> tuple[bytes, ...]:
    """Ask the resolvers for the TXT values at the target of an alias."""
    answers = ask_everywhere(target, (), network, rounds=1).answers
    if not any(answer.outcome in ("present", "absent") for answer in answers):
        raise DnsUnreachableError(
            f"No resolver could tell the TXT values of {target}, to which a wildcard leads:"
            f" {'; '.join(f'{answer.address}: {answer.detail}' for answer in answers)}. Nothing was changed."
            " Look at the resolvers, then run again."
        )
    return tuple(value for answer in answers for value in answer.values)


def _answered_ttl(
    name: str, zone: HostedZone, servers: tuple[NameServer, ...], network: Network
) -> int:
    """Ask everybody for the record as it is: the longest TTL that anybody was given, by a wildcard too.

    Raises ZoneNotDelegatedError where the zone's own servers refer to others for this name, and
    DnsUnreachableError where none of them answers: no change could be proven.
    """
    asked = ask_everywhere(name, servers, network, rounds=1)
    own = [answer for answer in asked.answers if answer.kind == "authority"]
    refer = [answer for answer in own if answer.detail == REFERRAL]
    answered = any(answer.outcome in ("present", "absent", "alias") for answer in own)
    if not answered and not refer:
        told = [f"{answer.server} ({answer.address}): {answer.detail}" for answer in own]
        told += [
            f"{item.server}: {item.reason}" for item in asked.not_asked if item.kind == "authority"
        ]
        raise DnsUnreachableError(
            f"no name server of zone {zone.name} ({zone.zone_id}) gave an answer for {name}:"
            f" {'; '.join(told[:10])}. Nothing was changed. Look at these servers, then run again."
        )
    if refer and not answered:
        raise ZoneNotDelegatedError(
            f"The name servers of zone {zone.name} ({zone.zone_id}) refer to others for {name}"
            f" ({refer[0].server} at {refer[0].address}): a record in this zone would be seen by nobody."
            " Nothing was changed. Run where the delegated zone is."
        )
    return max((answer.ttl or 0 for answer in asked.answers), default=0)


def find_zone(
    name: str, zones: "Zones", network: Network
) -> tuple[HostedZone, tuple[NameServer, ...]]:
    """Find the public hosted zone with the longest name that is really delegated to, and its servers.

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
            return zone, delegated
        own = addresses_of(zone.name_servers, network)
        if not own.ipv4 + own.ipv6 and own.problems:
            raise DnsUnreachableError(
                f"no resolver could tell the addresses of {', '.join(zone.name_servers)}, the name servers"
                f" of zone {zone.zone_id}: {'; '.join(own.problems)}. Nothing was changed. Look at the"
                " resolvers, then run again."
            )
        found = {address for server in delegated for address in server.addresses}
        if found and found <= {*own.ipv4, *own.ipv6}:
            return zone, delegated
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


def _with_distribution(
    location: Location, host: str, cdn: "Callable[[], Cdn]", *, purges: bool
) -> Location:
    if location.distribution_id == "none":
        return replace(location, distribution_id="")
    if not location.distribution_id:
        return replace(location, distribution_id=cdn().find(host) or "")
    # Who leaves the policy alone purges nothing: the host may be somebody else's, behind another CDN.
    if purges and not cdn().serves(location.distribution_id, host):
        raise PolicyNotServedError(
            f"The distribution {location.distribution_id}, which the stack's settings name, does not have"
            f" {host} among its aliases: invalidating it would leave the caches in front of {host} as they"
            " are. Nothing was changed. Correct DistributionId (empty looks for the alias)."
        )
    return location


def _stored(store: "PolicyStore", location: Location, *, create: bool) -> StoredPolicy | None:
    try:
        stored = store.read(location.bucket, location.key)
    except PolicyNotFoundError:
        if create:
            return None
        raise
    store.refuse_foreign_grants(location.bucket, location.key)
    return replace(stored, tagging=store.tagging(location.bucket, location.key))
