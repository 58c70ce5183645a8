"""The simulated senders, against the world's policy hosts and a resolver that keeps nothing."""

from collections.abc import Callable, Iterator

import pytest

from local.world.ca import CertificateAuthority
from local.world.cdn import Cdn
from local.world.senders import (
    ConformingSender,
    HttpsRenewingSender,
    IdIgnoringSender,
    Network,
    Sender,
    simulated_senders,
)
from local.world.web import PolicyHosts
from tests.world.fake_objects import FakeInvalidations
from tests.world.sender_world import (
    BUCKET,
    DAY,
    DOMAIN,
    ENFORCE,
    FIRST,
    HOST,
    KEY,
    NEW_MX,
    NONE,
    OLD_MX,
    RECORD_NAME,
    SAMPLE,
    SECOND,
    TESTING,
    WEEK,
    YEAR,
    World,
    open_world,
)

KINDS: list[type[Sender]] = [ConformingSender, HttpsRenewingSender, IdIgnoringSender]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: CertificateAuthority) -> Iterator[World]:
    with open_world(authority) as made:
        yield made


def outcomes(sender: Sender) -> tuple[str, str]:
    """Return what becomes of mail to the old and to the new MX."""
    return sender.deliver(DOMAIN, OLD_MX).outcome, sender.deliver(DOMAIN, NEW_MX).outcome


REFUSES_NEW = ("delivered", "refused")
DELIVERS = ("delivered", "delivered")


# What they all do.


@pytest.mark.parametrize("kind", KINDS)
def test_an_enforced_policy_refuses_any_other_mx(world: World, kind: type[Sender]) -> None:
    sender = world.sender(kind)
    assert outcomes(sender) == REFUSES_NEW
    refused = sender.deliver(DOMAIN, NEW_MX)
    assert refused.mode == "enforce"
    assert NEW_MX in refused.reason
    assert "*.solarmora.net" in refused.reason
    assert "until 2026-12-01T04:05:06Z" in refused.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("body", "mode", "reason"),
    [
        (TESTING, "testing", f"{NEW_MX} is not among"),
        (NONE, "none", "asks for nothing"),
        (NONE + f"mx: {OLD_MX}\n", "none", "asks for nothing"),
    ],
)
def test_testing_and_none_deliver(
    world: World, kind: type[Sender], body: str, mode: str, reason: str
) -> None:
    world.put(body)
    sender = world.sender(kind)
    assert outcomes(sender) == DELIVERS
    delivered = sender.deliver(DOMAIN, NEW_MX)
    assert delivered.mode == mode
    assert reason in delivered.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [[], ['"v=STSv1; id=1;"', '"v=STSv1; id=2;"'], ['"v=STSv1;"']])
def test_without_a_usable_record_nothing_is_found(
    world: World, kind: type[Sender], values: list[str]
) -> None:
    world.resolver.records[RECORD_NAME, "TXT"] = values
    sender = world.sender(kind)
    assert outcomes(sender) == DELIVERS
    assert sender.deliver(DOMAIN, NEW_MX).mode is None
    assert world.fetches() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_sender_holds_what_is_served_now(world: World, kind: type[Sender]) -> None:
    sender = world.sender(kind)
    assert sender.state(DOMAIN).held is None
    sender.warm(DOMAIN)
    world.put(ENFORCE.replace(OLD_MX, NEW_MX))
    held = sender.warm(DOMAIN).held
    assert held is not None
    assert held == sender.state(DOMAIN).held
    assert held.policy.mx[0] == NEW_MX
    assert held.id == ("1" if kind is ConformingSender else None)
    assert (held.expires_at - world.clock.now).total_seconds() == WEEK


@pytest.mark.parametrize("kind", KINDS)
def test_each_subdomain_is_a_domain_of_its_own(world: World, kind: type[Sender]) -> None:
    sender = world.sender(kind)
    sender.warm(DOMAIN)
    assert sender.deliver(f"sub.{DOMAIN}", NEW_MX).outcome == "delivered"


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_address_is_tried_when_one_is_down(world: World, kind: type[Sender]) -> None:
    world.hosts.down(DOMAIN, FIRST)
    assert outcomes(world.sender(kind)) == REFUSES_NEW


def test_a_host_without_ipv4_is_asked_over_ipv6(world: World) -> None:
    hosts = PolicyHosts(["::1"], 0, authority=world.hosts.authority, objects=world.objects)
    del world.resolver.records[HOST, "A"]
    world.resolver.records[HOST, "AAAA"] = ["::1"]
    with hosts:
        hosts.serve(DOMAIN, BUCKET, KEY)
        network = Network(world.resolver.endpoint, hosts.port, hosts.authority.ca_file)
        assert outcomes(ConformingSender(network, clock=world.clock)) == REFUSES_NEW


def _redirect(world: World) -> None:
    world.hosts.redirect(DOMAIN, f"https://{HOST}/.well-known/mta-sts.txt")


UNUSABLE: dict[str, Callable[[World], object]] = {
    "no object": lambda world: world.objects.delete(BUCKET, KEY),
    "redirect": _redirect,
    "status 203": lambda world: world.hosts.status(DOMAIN, 203),
    "media type": lambda world: world.hosts.media_type(DOMAIN, "binary/octet-stream"),
    "expired certificate": lambda world: world.hosts.broken_certificate(DOMAIN, "expired"),
    "other certificate": lambda world: world.hosts.broken_certificate(DOMAIN, "name"),
    "unknown issuer": lambda world: world.hosts.broken_certificate(DOMAIN, "issuer"),
    "no policy": lambda world: world.put("<html>"),
    "too large": lambda world: world.put(ENFORCE + f"x: {'x' * 65_536}\n"),
    "no address": lambda world: world.resolver.records.pop((HOST, "A")),
    "no DNS": lambda world: world.resolver.broken.add(HOST),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_policy_is_not_applied_and_the_cached_one_stays(
    world: World, case: str
) -> None:
    warm, cold = world.sender(ConformingSender), world.sender(ConformingSender)
    renewing = world.sender(HttpsRenewingSender)
    warm.warm(DOMAIN)
    renewing.warm(DOMAIN)
    world.put(ENFORCE.replace(OLD_MX, "served-now.example"))
    UNUSABLE[case](world)
    world.set_id("2")
    assert outcomes(cold) == DELIVERS
    assert cold.state(DOMAIN).problem
    assert outcomes(renewing) == REFUSES_NEW
    assert outcomes(warm) == REFUSES_NEW
    assert warm.deliver(DOMAIN, NEW_MX).id == "1"
    world.clock.advance(WEEK)
    assert outcomes(warm) == outcomes(renewing) == DELIVERS


# The sender that follows RFC 8461.


def test_none_is_accepted_under_a_new_id(world: World) -> None:
    sender = world.sender(ConformingSender)
    assert outcomes(sender) == REFUSES_NEW
    world.put(NONE)
    world.set_id("2")
    assert outcomes(sender) == DELIVERS
    delivered = sender.deliver(DOMAIN, NEW_MX)
    assert (delivered.mode, delivered.id) == ("none", "2")


def test_the_policy_is_fetched_once_for_each_id(world: World) -> None:
    sender = world.sender(ConformingSender)
    for identity in ("1", "2", "1"):
        world.set_id(identity)
        outcomes(sender)
    assert world.fetches() == 3


def test_id_before_policy_leaves_the_old_policy_until_a_second_change(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.set_id("2")
    assert sender.deliver(DOMAIN, NEW_MX).id == "2"
    world.put(NONE)
    for _ in range(5):  # five weeks: longer than max_age, and with mail in every one of them
        assert outcomes(sender) == REFUSES_NEW
        world.clock.advance(WEEK)
    world.set_id("3")
    assert outcomes(sender) == DELIVERS


def test_a_stale_cdn_is_as_bad_as_id_before_policy(world: World) -> None:
    invalidations = FakeInvalidations()
    cdn = Cdn("E1", YEAR, invalidations, world.clock)
    world.hosts.serve(DOMAIN, BUCKET, KEY, cdn)
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    world.set_id("2")
    assert outcomes(sender) == REFUSES_NEW
    invalidations.complete(invalidations.create("E1", "/.well-known/mta-sts.txt"))
    assert outcomes(sender) == REFUSES_NEW
    world.set_id("3")
    assert outcomes(sender) == DELIVERS


def test_policy_changed_and_id_unchanged_keeps_enforcing(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    for _ in range(5):
        assert outcomes(sender) == REFUSES_NEW
        world.clock.advance(WEEK)
    assert world.fetches() == 1


def test_an_unchanged_id_renews_late_in_the_life_of_a_policy_only(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.clock.advance(WEEK / 2)
    outcomes(sender)
    early = sender.state(DOMAIN).held
    world.clock.advance(1)
    outcomes(sender)
    late = sender.state(DOMAIN).held
    assert early is not None
    assert late is not None
    assert (early.expires_at - world.clock.now).total_seconds() == WEEK / 2 - 1
    assert (late.expires_at - world.clock.now).total_seconds() == WEEK


@pytest.mark.parametrize("fault", ["deleted", "malformed", "two", "unreachable"])
def test_without_its_record_a_policy_stays_until_max_age(world: World, fault: str) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    values = {"malformed": ['"v=STSv1; id=a-b;"'], "two": ['"v=STSv1;id=1"', '"v=STSv1;id=2"']}
    if fault == "unreachable":
        world.resolver.broken.add(RECORD_NAME)
    else:
        world.resolver.records[RECORD_NAME, "TXT"] = values.get(fault, [])
    world.clock.advance(WEEK - 1)
    assert outcomes(sender) == REFUSES_NEW
    world.clock.advance(1)
    assert outcomes(sender) == DELIVERS
    assert world.fetches() == 1


def test_the_record_is_read_again_before_mail_fails_for_good(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    asked = []

    def change_between_two_questions(name: str, kind: str) -> None:
        if kind == "TXT":
            asked.append(name)
        if len(asked) == 2:
            world.set_id("2")

    world.put(NONE)
    world.resolver.before_answer = change_between_two_questions
    assert sender.deliver(DOMAIN, NEW_MX).outcome == "delivered"
    assert asked == [RECORD_NAME, RECORD_NAME]


def test_a_failed_fetch_is_made_good_under_the_same_id(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    world.hosts.status(DOMAIN, 503)
    world.set_id("2")
    assert outcomes(sender) == REFUSES_NEW
    assert "503" in str(sender.state(DOMAIN).problem)
    world.hosts.heal(DOMAIN)
    assert outcomes(sender) == DELIVERS
    assert sender.state(DOMAIN).problem is None


def test_a_record_that_is_back_is_no_problem_any_more(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.set_id(None)
    outcomes(sender)
    assert "0 values" in str(sender.state(DOMAIN).problem)
    world.set_id("1")
    outcomes(sender)
    assert sender.state(DOMAIN).problem is None


def test_rollback_without_a_fresh_id_leaves_it_on_none(world: World) -> None:
    sender = world.sender(ConformingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    world.set_id("2")
    assert outcomes(sender) == DELIVERS
    world.put(ENFORCE)
    for _ in range(5):
        assert outcomes(sender) == DELIVERS
        world.clock.advance(DAY)
    world.set_id("3")
    assert outcomes(sender) == REFUSES_NEW


# The sender that renews over HTTPS alone.


def test_the_https_renewer_keeps_a_served_policy_for_ever_without_record(world: World) -> None:
    sender = world.sender(HttpsRenewingSender)
    sender.warm(DOMAIN)
    world.set_id(None)
    for _ in range(10):
        world.clock.advance(WEEK - 1)
        sender.refresh()
    world.clock.advance(WEEK - 1)
    assert outcomes(sender) == REFUSES_NEW
    world.clock.advance(WEEK)
    assert outcomes(sender) == DELIVERS


def test_the_https_renewer_takes_what_is_served_whatever_the_id(world: World) -> None:
    sender = world.sender(HttpsRenewingSender)
    sender.warm(DOMAIN)
    world.put(NONE)
    assert outcomes(sender) == DELIVERS
    world.set_id(None)
    world.put(ENFORCE)
    assert outcomes(sender) == REFUSES_NEW
    world.hosts.status(DOMAIN, 503)
    assert outcomes(sender) == REFUSES_NEW
    assert "503" in str(sender.state(DOMAIN).problem)
    world.hosts.heal(DOMAIN)
    assert outcomes(sender) == REFUSES_NEW
    assert sender.state(DOMAIN).problem is None


def test_the_https_renewer_lets_go_when_the_host_is_gone_for_max_age(world: World) -> None:
    sender = world.sender(HttpsRenewingSender)
    sender.warm(DOMAIN)
    world.set_id(None)
    for address in (FIRST, SECOND):
        world.hosts.down(DOMAIN, address)
    world.clock.advance(WEEK - 1)
    sender.refresh()
    assert outcomes(sender) == REFUSES_NEW
    world.clock.advance(1)
    assert outcomes(sender) == DELIVERS
    world.hosts.heal(DOMAIN)
    sender.refresh()  # what has expired has to be found by its record again
    assert outcomes(sender) == DELIVERS


# The sender that ignores the id.


@pytest.mark.parametrize(("max_age", "kept"), [(WEEK, WEEK), (YEAR, 30 * DAY)])
def test_the_sender_that_ignores_the_id_keeps_a_policy_for_30_days_at_most(
    world: World, max_age: int, kept: int
) -> None:
    sender = world.sender(IdIgnoringSender)
    world.put(ENFORCE.replace(str(WEEK), str(max_age)))
    sender.warm(DOMAIN)
    world.put(NONE)
    world.set_id("2")
    world.clock.advance(kept - 1)
    assert outcomes(sender) == REFUSES_NEW
    assert world.fetches() == 1
    world.clock.advance(1)
    assert outcomes(sender) == DELIVERS
    assert sender.deliver(DOMAIN, NEW_MX).mode == "none"


# The published sample, which says "mode: enforced".


@pytest.mark.parametrize("kind", KINDS)
def test_a_strict_sender_has_no_policy_from_the_sample(world: World, kind: type[Sender]) -> None:
    world.put(SAMPLE)
    sender = world.sender(kind)
    assert outcomes(sender) == DELIVERS
    assert "'enforced'" in sender.deliver(DOMAIN, NEW_MX).reason


def test_lenient_senders_show_the_sample_being_turned_off(world: World) -> None:
    world.put(SAMPLE)
    conforming, renewing, ignoring = simulated_senders(world.network, clock=world.clock)
    assert [outcomes(each) for each in (conforming, renewing, ignoring)] == [REFUSES_NEW] * 3
    world.put(NONE)
    world.set_id("2")
    after = [outcomes(each) for each in (conforming, renewing, ignoring)]
    assert after == [DELIVERS, DELIVERS, REFUSES_NEW]
    world.clock.advance(WEEK)
    assert outcomes(ignoring) == DELIVERS
