"""What a check tells of the record: who has which id, who disagrees, and whether senders accept it."""

from collections.abc import Iterator
from typing import Any

from mta_sts.checks.remedy import fresh_id
from mta_sts.checks.sight import Finding, Level, Sight
from mta_sts.checks.standing import Standing, id_of, said, sts_values
from mta_sts.domains import record_name
from mta_sts.record import Record, RecordSyntaxError, is_sts
from mta_sts.record_check import Answer, readable
from mta_sts.record_plan import content

_MOST_ROWS = 60
_MOST_TOLD = 10
_MOST_NAMED = 2  # servers in a sentence that is to be read first
_LONGEST = 300  # characters of what a server said


def rows(sight: Sight) -> list[dict[str, Any]]:
    """List what each server and address answered, and Route 53's own set; equal answers of one once."""
    told: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in sight.answers:
        found = said(one)
        key = (one.server, one.address, found)
        row = told.setdefault(
            key,
            {
                "server": one.server,
                "address": one.address,
                "found": found[:_LONGEST],
                "id": _id(one),
                "ttl": one.ttl,
                "times": 0,
            },
        )
        row["times"] += 1
    listed = list(told.values())
    own = own_values(sight)
    if own is not None and sight.zone:
        found = " | ".join(sorted(map(readable, own))) or "no STS record"
        one_id = id_of(own[0]) if len(own) == 1 else ""
        listed.insert(
            0,
            {
                "server": "Route 53",
                "address": sight.zone.zone_id,
                "found": found[:_LONGEST],
                "id": one_id,
                "ttl": None,
                "times": 1,
            },
        )
    return listed[:_MOST_ROWS]


def record_findings(sight: Sight, seen: Standing) -> list[Finding]:
    """Judge the answers for the record and the zone it lies in."""
    return [
        *_expected(sight, seen),
        *_silent(sight, seen),
        *_differing(sight),
        *_broken(sight, seen),
        *_zone(sight),
    ]


def _expected(sight: Sight, seen: Standing) -> Iterator[Finding]:
    """Tell where the record is not this stack's own work (invariant 7).

    A run that is at work, or has ended half way, may have left either id that the ledger names.
    """
    item = sight.item or {}
    if not item.get("phase"):
        return
    current = str(item.get("current_id") or "")
    ours = {current, *item.get("ours", {}).get("ids", ())}
    level: Level = "alarm" if seen.draining else "note"
    own = [one for one in sight.answers if one.kind == "authority" and _answers(one)]
    gone = [one for one in own if _gone(one)]
    others = [one for one in own if not _gone(one) and (_id(one) or said(one)) not in ours]
    if gone and "" not in ours:
        yield Finding(
            "record-gone",
            level,
            f"The record is gone at {_where(gone, own)}, although no run of this stack has deleted it:"
            " senders that hold an older policy do not learn of the present one any more.",
            fresh_id(sight, seen) if seen.draining else "",
            _at(gone),
        )
    if others and not current:
        yield Finding(
            "record-back",
            level if seen.draining else "warning",
            f"The record was deleted by a run of this stack, and is there again: {_said(others, own)}."
            " Somebody has made it anew.",
            "find out who makes it (Terraform, say), then run delete-record again",
            _at(others),
        )
    elif others:
        yield Finding(
            "id-not-ours",
            level,
            f"The id is not {current}, which this stack has announced, but {_said(others, own)}. Senders that"
            " know another id renew what they hold without a look at the policy.",
            fresh_id(sight, seen) if seen.draining else "",
            _at(others),
        )


def _silent(sight: Sight, seen: Standing) -> Iterator[Finding]:
    if seen.record == "unseen":
        yield Finding(
            "record-unseen",
            "warning",
            f"Nobody could be asked for {record_name(sight.domain)}:"
            f" {sight.problems.get('servers') or _places([*sight.answers]) or 'no server is known'}.",
            "look at the name servers and the stack's Resolvers, then check again",
        )
        return
    own = [one for one in sight.answers if one.kind == "authority"]
    reached = {one.server for one in own if one.outcome != "unreachable"}
    dead = [one for one in own if one.server not in reached]
    if dead:
        yield Finding(
            "name-server-silent",
            "warning",
            f"A name server gave no answer: {_places(dead)}. What it tells senders is not known.",
        )
    elif not own:
        told = sight.problems.get("servers", "no name server could be asked")
        yield Finding(
            "name-server-silent", "warning", f"Only resolvers told of the record: {told}."
        )


def _differing(sight: Sight) -> Iterator[Finding]:
    """Tell who disagrees: name servers among themselves or with Route 53, and resolvers with them."""
    own = [one for one in sight.answers if one.kind == "authority" and _answers(one)]
    answers = {said(one) for one in own}
    listed = own_values(sight)
    stored = None if listed is None else " | ".join(sorted(map(readable, listed))) or _NOTHING
    if len(answers) > 1:
        yield Finding(
            "record-differs",
            "warning",
            f"The name servers do not agree on the record: {_places(own)}. Some senders find one, some the"
            " other.",
            "wait until a change of a moment ago is everywhere; if it stays so, look at these servers",
        )
    elif answers and stored is not None and not _aliased(own) and answers != {stored}:
        where = sight.zone.zone_id if sight.zone else ""
        yield Finding(
            "record-differs",
            "warning",
            f'Route 53 has "{stored[:_LONGEST]}" in zone {where}, but the name servers answer'
            f' "{next(iter(answers))[:_LONGEST]}".',
            "wait until a change of a moment ago is everywhere; if it stays so, look at these servers",
        )
    # A CNAME is the resolvers' to follow: they cannot be compared with who does not.
    if _aliased(own):
        return
    cached = [
        one
        for one in sight.answers
        if one.kind == "resolver" and _answers(one) and answers and said(one) not in answers
    ]
    if cached:
        yield Finding(
            "record-cached",
            "note",
            f"Resolvers still answer otherwise than the name servers: {_places(cached)}.",
        )


def _broken(sight: Sight, seen: Standing) -> Iterator[Finding]:
    """Tell where there is a record, but none that senders accept (RFC 8461 section 3.1)."""
    values = [value for value in seen.values if is_sts(value)]
    if seen.record == "several":
        yield Finding(
            "record-several",
            "warning",
            f"{record_name(sight.domain)} has several STS values ({_shown(values)}): to senders that is no"
            " policy at all (RFC 8461 section 3.1), though some may take one of them.",
            "remove all but the one that belongs to the policy, then run change-id",
        )
    for value in values:
        try:
            Record.parse(value)
        except RecordSyntaxError as error:
            yield Finding(
                "record-malformed",
                "warning",
                f"The record {_shown([value])} is malformed: {error}. Senders that follow RFC 8461 section"
                " 3.1 find no policy; others may.",
                "run change-id, which makes it a well-formed one",
            )
    leads = sorted({one.leads_to for one in sight.answers if one.leads_to})
    if leads:
        yield Finding(
            "record-cname",
            "note",
            f"{record_name(sight.domain)} is a CNAME to {', '.join(leads)[:_LONGEST]}: the id belongs to"
            " whoever runs that name. delete-record can withdraw the CNAME; the other methods cannot change"
            " the id.",
        )


def _zone(sight: Sight) -> Iterator[Finding]:
    if "zone" in sight.problems:
        yield Finding(
            "zone-unknown",
            "warning",
            f"No hosted zone of this account could be looked at: {sight.problems['zone']}",
        )
    if "sets" in sight.problems:
        yield Finding(
            "zone-unread", "warning", f"The zone could not be read: {sight.problems['sets']}"
        )
    for one in sight.record_sets or ():
        if one["Type"] in {"TXT", "CNAME"} and ("SetIdentifier" in one or "AliasTarget" in one):
            yield Finding(
                "record-routed",
                "warning",
                f"The set {record_name(sight.domain)} is an alias or has a routing policy: resolvers do not"
                " all get the same answer, and no run of this stack changes it.",
            )
            break
    others = list(sight.others or ())
    if others:
        more = f" and {len(others) - _MOST_TOLD} more" if len(others) > _MOST_TOLD else ""
        names = [name.removeprefix("_mta-sts.") for name in others]
        yield Finding(
            "other-domains",
            "note",
            f"Other names in the zone have an MTA-STS record: {', '.join(names[:_MOST_TOLD])}{more}. Each is"
            " a policy domain of its own (RFC 8461 section 3.4), and still on, whatever is done here.",
            evidence={"domains": names[:100]},
        )
    if "others" in sight.problems:
        yield Finding(
            "other-domains-unread",
            "note",
            f"Not every other name in the zone was looked at: {sight.problems['others']}.",
        )


_NOTHING = "no STS record"


def own_values(sight: Sight) -> list[bytes] | None:
    """Give the STS values of Route 53's own set; None where it is not known, or no plain TXT set."""
    if sight.record_sets is None or sight.zone is None:
        return None
    kinds = {one["Type"] for one in sight.record_sets}
    if "CNAME" in kinds or any("ResourceRecords" not in one for one in sight.record_sets):
        return None
    values = [
        content(value["Value"])
        for one in sight.record_sets
        if one["Type"] == "TXT"
        for value in one["ResourceRecords"]
    ]
    return [value for value in values if is_sts(value)]


def _answers(answer: Answer) -> bool:
    return answer.outcome in ("present", "absent", "alias")


def _gone(answer: Answer) -> bool:
    return answer.outcome in ("present", "absent") and not sts_values(answer)


def _aliased(own: list[Answer]) -> bool:
    return any(one.outcome == "alias" or one.leads_to for one in own)


def _id(answer: Answer) -> str:
    values = sts_values(answer)
    return id_of(values[0]) if len(values) == 1 else ""


def _said(answers: list[Answer], own: list[Answer]) -> str:
    """What was said, each with where; who asked them all need not read all their names first."""
    told: dict[str, list[Answer]] = {}
    for one in answers:
        told.setdefault(said(one)[:_LONGEST], []).append(one)
    return "; ".join(
        f'"{found}" at {_where(servers, own)}' for found, servers in list(told.items())[:_MOST_TOLD]
    )


def _where(answers: list[Answer], own: list[Answer]) -> str:
    """Name servers in a sentence: all of them, or the first ones."""
    named = list(dict.fromkeys(f"{one.server} ({one.address})" for one in answers))
    if len(named) > 1 and len(named) == len({(one.server, one.address) for one in own}):
        return "all name servers"
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more


def _at(answers: list[Answer]) -> dict[str, Any]:
    """Give every address, as evidence."""
    return {"seen_at": list(dict.fromkeys(f"{one.server} ({one.address})" for one in answers))[:40]}


def _places(answers: list[Answer]) -> str:
    """What was said, each with the servers that said it."""
    told: dict[str, list[Answer]] = {}
    for one in answers:
        told.setdefault(said(one)[:_LONGEST], []).append(one)
    return "; ".join(
        f'"{found}" at {_names(servers)}' for found, servers in list(told.items())[:_MOST_TOLD]
    )


def _names(answers: list[Answer]) -> str:
    """Name servers, each once."""
    return ", ".join(dict.fromkeys(f"{one.server} ({one.address})" for one in answers))[:_LONGEST]


def _shown(values: list[bytes]) -> str:
    return ", ".join(map(readable, values))[:_LONGEST]
