"""Looks at all that a check judges; writes nothing, and goes on where something cannot be looked at."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from mta_sts.adapters.dns import Asked, NameServer, ask_everywhere
from mta_sts.adapters.locations import locate
from mta_sts.adapters.mail import ask_mx, ask_tlsa, name_servers_of
from mta_sts.adapters.policy_host import MOST_LOOKED_AT, ask_policy_host
from mta_sts.adapters.route53 import name_of
from mta_sts.checks.discovery import Listed
from mta_sts.checks.sight import Sight
from mta_sts.domains import policy_host, record_name
from mta_sts.errors import MtaStsError, PolicyNotFoundError, TransientError
from mta_sts.live_mx import LiveMx, TlsaAnswer
from mta_sts.observed import History, HostedZone, Location, StoredPolicy
from mta_sts.policy_check import look
from mta_sts.policy_plan import known_bodies
from mta_sts.settings import Network, Settings
from mta_sts.survey import find_zone
from mta_sts.transient import is_busy

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

    from mta_sts.adapters.cloudfront import Cdn
    from mta_sts.adapters.ledger import Ledger
    from mta_sts.adapters.route53 import Zones
    from mta_sts.adapters.s3 import PolicyStore

ROUNDS = 3  # fresh answers of each resolver, which may come from three machines
_MOST_HOSTS = 10  # MX hosts whose TLSA records are asked for
_MOST_LOOKED_UP = 200  # domains, in the ledger
_LONGEST_PROBLEM = 500
T = TypeVar("T")


def look_around(
    domain: str,
    settings: Settings,
    *,
    store: "Callable[[], PolicyStore]",
    zones: "Callable[[], Zones]",
    cdn: "Callable[[], Cdn]",
    ledger: "Callable[[], Ledger]",
    ssm: "Callable[[], SSMClient] | None",
    now: datetime,
) -> Sight:
    """Look at object, zone, ledger, name servers, resolvers, policy host and mail hosts of DOMAIN.

    What cannot be looked at is in ``Sight.problems``. Raises TransientError, or botocore's error, only
    where AWS was busy or out of reach, which another try may mend.
    """
    network, problems = settings.network, _Problems()
    with ThreadPoolExecutor(2) as pool:
        # A dead host and dead name servers cost time-outs: side by side, and beside AWS.
        asked_host = pool.submit(ask_policy_host, policy_host(domain), network, most=MOST_LOOKED_AT)
        asked_mail = pool.submit(_mail, domain, network)
        item = problems.unless("ledger", lambda: ledger().domain(domain))
        location = _location(domain, settings, cdn, ssm, problems)
        stored, history = _policy(store, location, problems)
        zone = _zone(domain, zones, network, problems)
        asked = _record(domain, zone.servers, network, problems)
        tlsrpt = ask_everywhere(f"_smtp._tls.{domain}", (), network, rounds=1).answers
        mx, tlsa = asked_mail.result()
        host = problems.unless("host", asked_host.result)
    fetched = host.fetched if host else ()
    unasked = host.not_asked if host else ({"address": "", "reason": problems.found["host"]},)
    return Sight(
        domain=domain,
        now=now,
        region=network.region,
        location=location,
        stored=stored,
        history=history,
        zone=zone.zone,
        record_sets=zone.record_sets,
        others=zone.others,
        answers=asked.answers,
        not_asked=asked.not_asked,
        fetched=fetched,
        look=look(
            fetched,
            unasked,
            known=known_bodies(stored, history),
            missing=stored is None and not history.gap and "object" not in problems.found,
            host=policy_host(domain),
            now=now,
            region=network.region,
        ),
        mx=mx,
        tlsa=tlsa,
        tlsrpt=tlsrpt,
        item=item,
        other_cache_seconds=settings.other_cache_seconds,
        drain_margin_seconds=settings.drain_margin_seconds,
        problems=problems.found,
    )


@dataclass
class _Problems:
    """What could not be looked at, by name, and why."""

    found: dict[str, str] = field(default_factory=dict)

    def unless(self, name: str, ask: Callable[[], T]) -> T | None:
        """Give what ``ask`` gives, or None, with the problem noted under ``name``."""
        try:
            return ask()
        except (TransientError, NoConnectionError, HTTPClientError):
            raise
        except ClientError as error:
            if is_busy(error):
                raise
            self.note(name, error)
        except (MtaStsError, BotoCoreError, OSError) as error:
            self.note(name, error)
        return None

    def note(self, name: str, error: Exception) -> None:
        # A check changes nothing, so that nothing was changed is no news.
        text = str(error).replace(" Nothing was changed.", "").replace(" Nothing was written.", "")
        self.found[name] = text[:_LONGEST_PROBLEM]

    def told(self) -> list[str]:
        """Give each with its name."""
        return [f"{name}: {problem}" for name, problem in self.found.items()]


@dataclass(frozen=True)
class _ZoneSeen:
    zone: HostedZone | None
    servers: tuple[NameServer, ...]
    record_sets: Sequence[Mapping[str, Any]] | None = None
    others: list[str] | None = None


def _location(
    domain: str,
    settings: Settings,
    cdn: "Callable[[], Cdn]",
    ssm: "Callable[[], SSMClient] | None",
    problems: _Problems,
) -> Location:
    """Find the object and the distribution; the bucket is empty where it is not known."""
    location = problems.unless("object", lambda: locate(domain, settings, ssm() if ssm else None))
    if location is None:
        return Location("", "")
    if location.distribution_id == "none":
        return replace(location, distribution_id="")
    if location.distribution_id:
        return location
    found = problems.unless("cdn", lambda: cdn().find(policy_host(domain)))
    return replace(location, distribution_id=found or "")


def _policy(
    store: "Callable[[], PolicyStore]", location: Location, problems: _Problems
) -> tuple[StoredPolicy | None, History]:
    """Read object and versions; no object, or no bucket, is an answer and no problem."""

    def stored() -> StoredPolicy | None:
        try:
            return store().read(location.bucket, location.key)
        except PolicyNotFoundError:
            return None

    def history() -> History:
        try:
            return store().history(location.bucket, location.key, present)
        except PolicyNotFoundError:
            return History()

    if not location.bucket:
        return None, History(gap="where the policy lies is not known")
    present = problems.unless("object", stored)
    versions = problems.unless("history", history)
    return present, versions or History(gap=problems.found["history"].partition(". ")[0])


def _zone(
    domain: str, zones: "Callable[[], Zones]", network: Network, problems: _Problems
) -> _ZoneSeen:
    """Find hosted zone, name servers, record sets; where there is no such zone, ask the DNS for servers."""
    name = record_name(domain)
    listing = problems.unless("zone", zones)  # a role may have to be assumed for it, once
    found = problems.unless("zone", lambda: find_zone(name, listing, network)) if listing else None
    if listing is None or found is None:
        servers = problems.unless("servers", lambda: name_servers_of(name, network))
        return _ZoneSeen(None, servers or ())
    zone, delegated = found
    sets = problems.unless("sets", lambda: listing.record_sets(zone.zone_id, name))
    listed = problems.unless("others", lambda: listing.sts_sets(zone.zone_id))
    if listed is None:
        return _ZoneSeen(zone, delegated, sets)
    every, complete = listed
    if not complete:
        problems.found["others"] = f"zone {zone.zone_id} is too large to be listed as a whole"
    others = sorted({name_of(one) for one in every} - {name})
    return _ZoneSeen(zone, delegated, sets, others)


def _record(
    domain: str, servers: tuple[NameServer, ...], network: Network, problems: _Problems
) -> Asked:
    asked = ask_everywhere(record_name(domain), servers, network, rounds=ROUNDS)
    if not servers:
        problems.found.setdefault("servers", "no name server is known")
    return asked


def _mail(domain: str, network: Network) -> tuple[LiveMx, tuple[TlsaAnswer, ...]]:
    mx = ask_mx(domain, network)
    return mx, ask_tlsa(mx.hosts[:_MOST_HOSTS], network)


def list_domains(
    zones: "Callable[[], Zones]",
    ledger: "Callable[[], Ledger]",
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Listed:
    """List every name of the account's public zones that has an STS record set, and what is known of it.

    Looks for SECONDS at most: Route 53 answers ten requests a second, and a zone takes one at least. What
    is left out is told. Raises as :func:`look_around`.
    """
    ends, problems = clock() + seconds, _Problems()
    listing = problems.unless("the account's zones", zones)
    if listing is None:
        return Listed(0, (), {}, tuple(problems.told()))
    every = problems.unless("the account's zones", lambda: list(listing.public())) or []
    seen, left_out = 0, []
    sets: list[tuple[str, str, Mapping[str, Any]]] = []
    for zone in every:
        if zone is None:
            left_out.append("there are more public zones than are listed")
            continue
        if clock() > ends:
            left_out.append(f"{zone.name} ({zone.zone_id}): no time was left")
            continue
        seen += 1
        found, complete = problems.unless(
            zone.name, functools.partial(listing.sts_sets, zone.zone_id)
        ) or ((), True)
        sets += [(zone.name, name_of(one), one) for one in found]
        if not complete:
            left_out.append(f"{zone.name} ({zone.zone_id}): too large to be listed as a whole")
    domains = dict.fromkeys(name.removeprefix("_mta-sts.") for _, name, _ in sets)
    items = _items(list(domains)[:_MOST_LOOKED_UP], ledger, problems)
    return Listed(seen, sets, items, (*left_out, *problems.told()))


def _items(
    domains: Sequence[str], ledger: "Callable[[], Ledger]", problems: _Problems
) -> dict[str, Mapping[str, Any]]:
    table = problems.unless("the ledger", ledger)
    found: dict[str, Mapping[str, Any]] = {}
    if table is None:
        return found
    for domain in domains:
        item = problems.unless("the ledger", functools.partial(table.domain, domain))
        if item is not None:
            found[domain] = item
    return found
