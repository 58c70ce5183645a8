"""Simulated sending mail servers: one that follows RFC 8461, and two of the kinds that do not.

They know the world as any sender does: a resolver, HTTPS, and one authority to trust. They read
records and policies with a parser of their own, for they judge what the product has done.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import urllib3
from urllib3.exceptions import HTTPError

from .cdn import Clock, system_clock

TIMEOUT_SECONDS = 5  # RFC 8461 section 3.3 suggests a minute; loopback needs less
MOST_BYTES = 64 * 1024  # RFC 8461 section 3.3
MOST_SECONDS = 31_557_600  # RFC 8461 section 3.2: about one year
THIRTY_DAYS = timedelta(days=30)

# RFC 8461 section 3.1: fields of printable ASCII without "=", ";" and blanks.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
_RECORD = re.compile(
    rf"v=STSv1;[ \t]*{_NAME}=[!-:<>-~]+(?:[ \t]*;[ \t]*{_NAME}=[!-:<>-~]+)*(?:[ \t]*;[ \t]*)?"
)
_ID = re.compile(r";[ \t]*id=([^; \t]+)")
_KEY = re.compile(_NAME)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MX = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


class BadRecordError(Exception):
    """There is no usable record: none, several, or a malformed one (RFC 8461 section 3.1)."""


class BadPolicyError(Exception):
    """The policy cannot be fetched, or is none by RFC 8461 section 3.2."""


class NoAnswerError(Exception):
    """The resolver gave no answer, which differs from the answer that there is nothing."""


@dataclass(frozen=True)
class Policy:
    """A valid policy; `max_age` in seconds."""

    mode: str
    mx: tuple[str, ...]
    max_age: int

    def allows(self, mx: str) -> bool:
        """Tell whether a pattern matches; a star stands for one label (RFC 8461 section 4.1)."""
        name = mx.lower().rstrip(".")
        _, dot, parent = name.partition(".")
        patterns = {each.lower() for each in self.mx}
        return name in patterns or (bool(dot) and f"*.{parent}" in patterns)


def parse_record(values: Iterable[bytes]) -> str:
    """Return the id in a TXT record set's values (RFC 8461 section 3.1); raises BadRecordError."""
    ours = [each for each in values if each.startswith(b"v=STSv1;")]
    if len(ours) != 1:
        raise BadRecordError(f"{len(ours)} values begin with v=STSv1;")
    text = ours[0].decode("latin-1")  # any byte above ASCII fails to match
    ids = _ID.findall(text)
    if (
        not _RECORD.fullmatch(text)
        or len(ids) != 1
        or not re.fullmatch("[A-Za-z0-9]{1,32}", ids[0])
    ):
        raise BadRecordError(f"malformed record: {text}")
    return str(ids[0])


def parse_policy(body: bytes, *, lenient_mode: bool = False) -> Policy:
    """Read a policy as RFC 8461 section 3.2 demands; raises BadPolicyError.

    `lenient_mode` reads the mode "enforced", which is none, as "enforce": published samples have
    it, and so have some domains.
    """
    fields = _policy_fields(body)
    missing = {"version", "mode", "max_age"} - fields.keys()
    if missing:
        raise BadPolicyError(f"missing: {', '.join(sorted(missing))}")
    # Of a repeated key other than mx the first counts.
    version, mode, max_age = (fields[key][0] for key in ("version", "mode", "max_age"))
    if version != "STSv1":
        raise BadPolicyError(f"version {version!r} is not STSv1")
    if lenient_mode and mode == "enforced":
        mode = "enforce"
    if mode not in {"enforce", "testing", "none"}:
        raise BadPolicyError(f"mode {mode!r} is none of enforce, testing, none")
    if not re.fullmatch("[0-9]{1,10}", max_age) or int(max_age) > MOST_SECONDS:
        raise BadPolicyError(f"max_age {max_age!r} is not a number from 0 to {MOST_SECONDS}")
    mx = tuple(fields.get("mx", ()))
    bad = [each for each in mx if not _MX.fullmatch(each)]
    if bad or not (mx or mode == "none"):
        raise BadPolicyError(f"bad mx: {', '.join(bad)}" if bad else f"no mx in mode {mode}")
    return Policy(mode, mx, int(max_age))


def _policy_fields(body: bytes) -> dict[str, list[str]]:
    try:
        lines = body.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise BadPolicyError("not UTF-8") from error
    if lines[-1] == "":  # the last line's end is optional
        lines.pop()
    fields: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        key, colon, value = line.removesuffix("\r").partition(":")
        value = value.strip(" \t")
        if not (colon and _KEY.fullmatch(key) and value.isprintable() and value):
            raise BadPolicyError(f"line {number} is not a key and a value: {line!r}")
        fields.setdefault(key, []).append(value)
    return fields


@dataclass(frozen=True)
class Network:
    """How senders reach the world: a resolver (address, port), the HTTPS port, whom to trust."""

    resolver: tuple[str, int]
    https_port: int
    ca_file: str

    def record_id(self, domain: str) -> str:
        """Return the record's id; raises BadRecordError or NoAnswerError."""
        found = self._ask(f"_mta-sts.{domain}", "TXT")
        return parse_record(b"".join(each.strings) for each in found)

    def fetch(self, domain: str, *, lenient_mode: bool) -> Policy:
        """Fetch the policy from the first address that answers; raises BadPolicyError.

        Addresses are tried in the resolver's order, IPv6 only where there is no IPv4.
        """
        host = f"mta-sts.{domain}"
        problem = f"{host} has no address"
        try:
            addresses = [each.address for each in self._ask(host, "A") or self._ask(host, "AAAA")]
        except NoAnswerError as error:
            raise BadPolicyError(str(error)) from error
        for address in addresses:
            try:
                body = self._get(address, host)
            except (HTTPError, OSError) as error:
                problem = f"{address}: {error}"
            else:
                return parse_policy(body, lenient_mode=lenient_mode)
        raise BadPolicyError(problem)

    def _ask(self, name: str, kind: str) -> dns.rrset.RRset | tuple[()]:
        address, port = self.resolver
        query = dns.message.make_query(name, kind, use_edns=0)
        try:
            response, _ = dns.query.udp_with_fallback(query, address, TIMEOUT_SECONDS, port)
            if response.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
                raise NoAnswerError(f"{name} {kind}: {dns.rcode.to_text(response.rcode())}")
            if not isinstance(response, dns.message.QueryMessage):
                raise NoAnswerError(f"{name} {kind}: not an answer")
            return response.resolve_chaining().answer or ()
        except (dns.exception.DNSException, OSError) as error:
            raise NoAnswerError(f"{name} {kind}: {type(error).__name__} {error}") from error

    def _get(self, address: str, host: str) -> bytes:
        # RFC 8461 section 3.3: SNI, a trusted certificate for the host, no redirect, only 200.
        with urllib3.HTTPSConnectionPool(
            address,
            self.https_port,
            server_hostname=host,
            assert_hostname=host,
            ca_certs=self.ca_file,
            cert_reqs="CERT_REQUIRED",
            timeout=TIMEOUT_SECONDS,
            retries=False,
        ) as pool:
            response = pool.request(
                "GET",
                "/.well-known/mta-sts.txt",
                headers={"Host": host},
                redirect=False,
                preload_content=False,
            )
            with response:
                body = response.read(MOST_BYTES + 1)
        if response.status != 200:  # noqa: PLR2004 - the one status that counts
            raise BadPolicyError(f"{address}: status {response.status}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "text/plain":
            raise BadPolicyError(f"{address}: media type {media_type!r} is not text/plain")
        if len(body) > MOST_BYTES:
            raise BadPolicyError(f"{address}: more than {MOST_BYTES} bytes")
        return body


@dataclass(frozen=True)
class Held:
    """A cached policy: under which id (None where ids are not looked at), and until when."""

    policy: Policy
    id: str | None
    expires_at: datetime


@dataclass(frozen=True)
class Delivery:
    """What became of mail to one MX, why, and the mode and id of the policy that decided it."""

    outcome: Literal["delivered", "refused"]
    reason: str
    mode: str | None
    id: str | None


@dataclass(frozen=True)
class State:
    """What a sender holds for a domain, if anything, and the last thing that failed it."""

    sender: str
    domain: str
    held: Held | None
    problem: str | None


class Sender(ABC):
    """What the three kinds share: a cache by domain, and the verdict over an MX.

    `lenient_mode`: see `parse_policy`. `clock` gives the present time, aware, in UTC.
    """

    name = "sender"

    def __init__(
        self, network: Network, *, lenient_mode: bool = False, clock: Clock = system_clock
    ) -> None:
        self._network = network
        self._lenient_mode = lenient_mode
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._problems: dict[str, str] = {}

    def deliver(self, domain: str, mx: str) -> Delivery:
        """Try to send mail for the domain to this MX."""
        return _verdict(self._policy(domain), mx, self._problems.get(domain))

    def warm(self, domain: str) -> State:
        """Forget the domain, find it anew, and return the state: a sender that came just now."""
        self._held.pop(domain, None)
        self._policy(domain)
        return self.state(domain)

    def state(self, domain: str) -> State:
        """Return what is held, as it is: asks nobody."""
        return State(self.name, domain, self._held.get(domain), self._problems.get(domain))

    @abstractmethod
    def _policy(self, domain: str) -> Held | None:
        """Return the policy that applies to a delivery, whatever has to be asked for it."""

    def _unexpired(self, domain: str) -> Held | None:
        held = self._held.get(domain)
        return held if held is not None and self._clock() < held.expires_at else None

    def _lifetime(self, policy: Policy) -> timedelta:
        return timedelta(seconds=policy.max_age)

    def _record_id(self, domain: str) -> str | None:
        try:
            found = self._network.record_id(domain)
        except (BadRecordError, NoAnswerError) as error:
            self._problems[domain] = str(error)
            return None
        self._problems.pop(domain, None)
        return found

    def _fetch(self, domain: str, found: str | None = None) -> None:
        """Replace what is held if a valid policy is served; keep it otherwise."""
        try:
            policy = self._network.fetch(domain, lenient_mode=self._lenient_mode)
        except BadPolicyError as error:
            self._problems[domain] = str(error)
            return
        self._problems.pop(domain, None)
        self._held[domain] = Held(policy, found, self._clock() + self._lifetime(policy))


class ConformingSender(Sender):
    """Follows RFC 8461: looks at the record for each mail and fetches when the id is a new one."""

    name = "RFC 8461"

    def deliver(self, domain: str, mx: str) -> Delivery:
        """Try to send mail for the domain to this MX."""
        first = super().deliver(domain, mx)
        # RFC 8461 section 5: look for a newer policy before mail is failed for good.
        return super().deliver(domain, mx) if first.outcome == "refused" else first

    def _policy(self, domain: str) -> Held | None:
        found, held = self._record_id(domain), self._held.get(domain)
        if found is None:
            # RFC 8461 section 3.1: taking the record away takes no policy away.
            return self._unexpired(domain)
        if held is None or held.id != found:
            self._fetch(domain, found)
            return self._unexpired(domain)
        # An unchanged id renews without a fetch, as widespread senders do: in the last half of its
        # time, so that the policy of a domain with regular mail never runs out.
        lifetime = self._lifetime(held.policy)
        if held.expires_at - self._clock() < lifetime / 2:
            self._held[domain] = replace(held, expires_at=self._clock() + lifetime)
        return self._unexpired(domain)


class HttpsRenewingSender(Sender):
    """Needs the record to find a policy, and from then on only the policy host (section 10.2)."""

    name = "renews over HTTPS alone"

    def refresh(self) -> None:
        """Renew every policy that has not expired, whatever has become of its record."""
        for domain in tuple(self._held):
            if self._unexpired(domain):
                self._fetch(domain)

    def _policy(self, domain: str) -> Held | None:
        if self._unexpired(domain) or self._record_id(domain):
            self._fetch(domain)
        return self._unexpired(domain)


class IdIgnoringSender(Sender):
    """Keeps a policy for its max_age, but 30 days at most, and asks nobody in the meantime."""

    name = "ignores the id"

    def _lifetime(self, policy: Policy) -> timedelta:
        return min(super()._lifetime(policy), THIRTY_DAYS)

    def _policy(self, domain: str) -> Held | None:
        if not self._unexpired(domain) and self._record_id(domain):
            self._fetch(domain)
        return self._unexpired(domain)


def _verdict(held: Held | None, mx: str, problem: str | None) -> Delivery:
    if held is None:
        return Delivery("delivered", f"no policy applies: {problem or 'it expired'}", None, None)
    policy = held.policy
    told = f"{policy.mode}, held until {held.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if policy.mode == "none":
        return Delivery("delivered", f"the policy asks for nothing ({told})", policy.mode, held.id)
    if policy.allows(mx):
        return Delivery("delivered", f"{mx} is in the policy ({told})", policy.mode, held.id)
    reason = f"{mx} is not among {', '.join(policy.mx)} ({told})"
    outcome: Literal["delivered", "refused"] = (
        "refused" if policy.mode == "enforce" else "delivered"
    )
    return Delivery(outcome, reason, policy.mode, held.id)


def simulated_senders(
    network: Network, *, lenient_mode: bool = True, clock: Clock = system_clock
) -> tuple[ConformingSender, HttpsRenewingSender, IdIgnoringSender]:
    """Return one sender of each kind, lenient unless told otherwise.

    Lenient, because a sender that rejects a policy has nothing to lose: for the sample with the
    mode "enforced" only a lenient one can show that mail was refused and then delivered.
    """
    return (
        ConformingSender(network, lenient_mode=lenient_mode, clock=clock),
        HttpsRenewingSender(network, lenient_mode=lenient_mode, clock=clock),
        IdIgnoringSender(network, lenient_mode=lenient_mode, clock=clock),
    )
