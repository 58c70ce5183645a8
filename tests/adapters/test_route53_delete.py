"""Deleting in Route 53, against the emulator's: the exact set, once, and what answers in its place."""

from typing import Any

import pytest

from local.emulator import Emulator
from mta_sts.adapters.route53 import Zones
from mta_sts.errors import ConcurrentChangeError, RecordConflictError
from mta_sts.record_set import RecordSet
from tests.adapters.hosted_zones import error, interfered, put, swap, txt, zone


def everything(emulator: Emulator, zone_id: str) -> set[tuple[str, str]]:
    """Name and type of each set in a zone, but for those that every zone has at its top."""
    listed = emulator.client("route53").list_resource_record_sets(HostedZoneId=zone_id)
    found = {(one["Name"].rstrip("."), one["Type"]) for one in listed["ResourceRecordSets"]}
    return {(name, kind) for name, kind in found if kind not in {"NS", "SOA"}}


def cname(domain: str, target: str = "vendor.example.", ttl: int = 60) -> RecordSet:
    return RecordSet(f"_mta-sts.{domain}", ttl, (target,), "CNAME")


# --- the swap to nothing


@pytest.mark.parametrize("kind", ["txt", "cname"])
def test_the_exact_set_is_deleted_and_nothing_else(emulator: Emulator, kind: str) -> None:
    domain = f"d1-{kind}.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    old = cname(domain) if kind == "cname" else txt(domain, "v=STSv1; id=1;", "v=STSv1; id=2;")
    put(emulator, zone_id, f"_mta-sts.{domain}", kind.upper(), *old.values)
    for name, other in ((domain, "TXT"), (f"mta-sts.{domain}", "A"), (f"x.{old.name}", "TXT")):
        put(emulator, zone_id, name, other)
    before = everything(emulator, zone_id)
    assert zones.record_set(zone_id, old.name) == old
    change = swap(zones, zone_id, old, None)
    assert any(zones.in_sync(change) for _ in range(3))  # the emulator says PENDING once
    assert before - everything(emulator, zone_id) == {(old.name, old.type)}
    assert zones.record_set(zone_id, old.name) is None


def test_a_set_of_another_type_at_the_name_stays(emulator: Emulator) -> None:
    domain = "d2.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    old = txt(domain, "v=STSv1; id=1;")
    swap(zones, zone_id, None, old)
    put(emulator, zone_id, old.name, "A")
    assert swap(zones, zone_id, old, None)
    assert everything(emulator, zone_id) == {(old.name, "A")}


@pytest.mark.parametrize("kind", ["txt", "cname"])
def test_deleting_twice_is_as_good_as_once_and_has_no_number_to_ask_for(
    emulator: Emulator, kind: str
) -> None:
    domain = f"d3-{kind}.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    old = cname(domain) if kind == "cname" else txt(domain, "v=STSv1; id=1;")
    put(emulator, zone_id, old.name, old.type, *old.values)
    assert swap(zones, zone_id, old, None)
    assert swap(zones, zone_id, old, None) == ""
    assert everything(emulator, zone_id) == set()


def nobody_changes() -> None:
    raise AssertionError("a change was sent")


@pytest.mark.parametrize("values", [(), ("a neighbour", "another")])
def test_where_nothing_has_to_change_nothing_is_sent(
    emulator: Emulator, values: tuple[str, ...]
) -> None:
    """There is no STS value to delete; neighbours are not put in their own place."""
    domain = f"d10-{len(values)}.example"
    zone_id, client = zone(emulator, domain), emulator.client("route53")
    same = txt(domain, *values) if values else None
    if same:
        swap(Zones(client), zone_id, None, same)
    watched = Zones(interfered(client, nobody_changes))
    assert watched.swap(zone_id, f"_mta-sts.{domain}", same, same, comment="c") == ""
    # Somebody made a record after the plan: to say that there is none would be wrong.
    came = txt(domain, *values, "v=STSv1; id=somebody;")
    swap(Zones(client), zone_id, same, came)
    with pytest.raises(ConcurrentChangeError, match="id=somebody"):
        watched.swap(zone_id, f"_mta-sts.{domain}", same, same, comment="c")


def test_a_retry_after_the_effect_beside_neighbours_has_a_number(emulator: Emulator) -> None:
    """Where neighbours stay the set stands, and can be put in its own place."""
    domain = "d4.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    old, left = txt(domain, "v=STSv1; id=1;", "neighbour"), txt(domain, "neighbour")
    swap(zones, zone_id, None, old)
    first = swap(zones, zone_id, old, left)
    second = swap(zones, zone_id, old, left)
    assert second
    assert second != first
    assert zones.record_set(zone_id, old.name) == left


OTHERS = {
    "another id": ("TXT", ('"v=STSv1; id=somebody;"',), 60),
    "a neighbour came": ("TXT", ('"v=STSv1; id=1;"', '"neighbour"'), 60),
    "another TTL": ("TXT", ('"v=STSv1; id=1;"',), 61),
    "a CNAME": ("CNAME", ("vendor.example.",), 60),
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("when", ["before the look", "between the look and the change"])
def test_a_lost_race_deletes_nothing(emulator: Emulator, what: str, when: str) -> None:
    kind, values, ttl = OTHERS[what]
    domain = f"d5-{len(when)}-{list(OTHERS).index(what)}.example"
    zone_id, client = zone(emulator, domain), emulator.client("route53")
    old = txt(domain, "v=STSv1; id=1;")
    theirs = RecordSet(old.name, ttl, values, "CNAME" if kind == "CNAME" else "TXT")
    admin = Zones(client)
    swap(admin, zone_id, None, old)

    def interfere() -> None:
        swap(admin, zone_id, old, theirs)

    zones = Zones(client)
    if when.startswith("before"):
        interfere()
    else:
        zones = Zones(interfered(client, interfere), sleep=lambda _: None)
    with pytest.raises(ConcurrentChangeError, match="not overwritten") as caught:
        swap(zones, zone_id, old, None)
    assert values[0] in str(caught.value)
    assert admin.record_set(zone_id, old.name) == theirs


def test_a_cname_whose_target_changed_is_not_deleted(emulator: Emulator) -> None:
    domain = "d6.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    put(emulator, zone_id, f"_mta-sts.{domain}", "CNAME", "other.example.")
    with pytest.raises(
        ConcurrentChangeError, match=r"found _mta-sts\.d6\.example CNAME, TTL 60: other"
    ):
        swap(zones, zone_id, cname(domain), None)
    assert everything(emulator, zone_id) == {(f"_mta-sts.{domain}", "CNAME")}


def test_what_somebody_else_deleted_in_between_is_as_planned(emulator: Emulator) -> None:
    domain = "d7.example"
    zone_id, client = zone(emulator, domain), emulator.client("route53")
    old = txt(domain, "v=STSv1; id=1;")
    swap(Zones(client), zone_id, None, old)
    zones = Zones(
        interfered(client, lambda: swap(Zones(client), zone_id, old, None)), sleep=lambda _: None
    )
    assert swap(zones, zone_id, old, None) == ""


def test_a_set_that_may_not_be_deleted_stays(emulator: Emulator) -> None:
    domain = "d8.example"
    zone_id, client = zone(emulator, domain), emulator.client("route53")
    old = txt(domain, "v=STSv1; id=1;")
    swap(Zones(client), zone_id, None, old)
    refusing = Zones(interfered(client, *[error("InvalidChangeBatch")] * 9), sleep=lambda _: None)
    with pytest.raises(RecordConflictError, match="The set is as it was"):
        swap(refusing, zone_id, old, None)
    assert Zones(client).record_set(zone_id, old.name) == old


def test_what_leads_elsewhere_is_neither_a_set_nor_a_cname_to_delete(emulator: Emulator) -> None:
    domain = "d9.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    put(emulator, zone_id, f"_mta-sts.{domain}", "A")
    assert zones.record_set(zone_id, f"_mta-sts.{domain}") is None


# --- what answers once it is gone (RFC 4592)


class Escaping:
    """The client as AWS's own answers: a star is listed as its octal escape."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def list_resource_record_sets(self, **arguments: Any) -> Any:
        answer = self._client.list_resource_record_sets(**arguments)
        for one in answer["ResourceRecordSets"]:
            one["Name"] = one["Name"].replace("*", "\\052")
        return answer


# Each: the domain's labels above the zone, what else stands there, and the wildcard that answers.
WILDCARDS: dict[str, tuple[str, list[tuple[str, str]], str | None]] = {
    "none at all": ("", [], None),
    "at the top of the zone": ("", [("*", "TXT")], "*"),
    "of any type": ("", [("*", "A")], "*"),
    "of several types": ("", [("*", "A"), ("*", "TXT")], "*"),
    "the name is kept alive by another type": ("", [("*", "TXT"), ("_mta-sts", "A")], None),
    "the name is kept alive by a name below it": ("", [("*", "TXT"), ("x._mta-sts", "A")], None),
    "a name beside it keeps nothing alive": ("", [("*", "TXT"), ("_mta-sts1", "A")], "*"),
    "one that merely ends alike neither": ("", [("*", "TXT"), ("z_mta-sts", "A")], "*"),
    "the subdomain exists by the record alone": ("sub", [("*", "TXT")], "*"),
    "the subdomain exists by itself": ("sub", [("*", "TXT"), ("sub", "A")], None),
    "the subdomain exists by a name below it": ("sub", [("*", "TXT"), ("a.b.sub", "A")], None),
    "the subdomain has a wildcard": ("sub", [("*", "TXT"), ("*.sub", "TXT")], "*.sub"),
    "the subdomain has a name and a wildcard": (
        "sub",
        [("*", "TXT"), ("sub", "A"), ("*.sub", "A")],
        "*.sub",
    ),
    "the wildcard of a level that exists no more": (
        "a.sub",
        [("*", "TXT"), ("*.sub", "TXT")],
        "*.sub",
    ),
    "a level in between exists": ("a.sub", [("*", "TXT"), ("b.sub", "A")], None),
    "a name that merely ends alike is no level": ("sub", [("*", "TXT"), ("xsub", "A")], "*"),
}


RECORDS = [(why, "TXT") for why in WILDCARDS] + [
    (why, "CNAME")
    for why, (_, others, _) in WILDCARDS.items()
    if ("_mta-sts", "A") not in others  # nothing stands beside a CNAME
]


@pytest.mark.parametrize(("why", "kind"), RECORDS)
@pytest.mark.parametrize("escaped", [True, False])
def test_the_wildcard_of_the_closest_name_that_exists_answers(
    emulator: Emulator,
    why: str,
    kind: str,
    escaped: bool,  # noqa: FBT001
) -> None:
    above, others, expected = WILDCARDS[why]
    top = f"w{list(WILDCARDS).index(why)}-{kind.lower()}-{escaped}.example".lower()
    domain = f"{above}.{top}" if above else top
    zone_id, client = zone(emulator, top), emulator.client("route53")
    name = f"_mta-sts.{domain}"
    put(emulator, zone_id, name, kind, "vendor.example." if kind == "CNAME" else '"v=STSv1; id=1;"')
    for label, other in others:
        put(emulator, zone_id, f"{label}.{top}", other)
    zones = Zones(Escaping(client) if escaped else client)  # type: ignore[arg-type]  # of its type
    found = zones.wildcard_sets(zone_id, top, name)
    names = {one["Name"].rstrip(".").replace("\\052", "*") for one in found}
    assert names == (set() if expected is None else {f"{expected}.{top}"})
    wanted = {kind for label, kind in others if label == expected}
    assert {one["Type"] for one in found} == wanted


def test_nothing_covers_the_top_of_a_zone(emulator: Emulator) -> None:
    """Where the record has a zone of its own, its name goes on to exist."""
    name = "_mta-sts.own.example"
    zone_id, zones = zone(emulator, name), Zones(emulator.client("route53"))
    put(emulator, zone_id, name, "TXT", '"v=STSv1; id=1;"')
    put(emulator, zone_id, f"*.{name}", "TXT", '"v=STSv1; id=2;"')
    assert zones.wildcard_sets(zone_id, name, name) == []


def test_where_nothing_stands_the_wildcard_answers_already(emulator: Emulator) -> None:
    domain = "w-none.example"
    zone_id, zones = zone(emulator, domain), Zones(emulator.client("route53"))
    put(emulator, zone_id, f"*.{domain}", "TXT", '"v=STSv1; id=wild;"')
    [found] = zones.wildcard_sets(zone_id, domain, f"_mta-sts.{domain}")
    assert found["ResourceRecords"] == [{"Value": '"v=STSv1; id=wild;"'}]
