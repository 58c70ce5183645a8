"""What a check tells of the policy: what each address serves, the object behind it, certificates, caches."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from mta_sts.checks.remedy import again, fresh_id, not_none
from mta_sts.checks.sight import Finding, Level, Sight
from mta_sts.checks.standing import Standing, came_back
from mta_sts.instants import instant, stamp
from mta_sts.policy import is_text_plain, mode_of, read
from mta_sts.policy_check import Fetched

_SOON = timedelta(days=14)  # renewals are usually tried a month ahead, so they have failed by then
_MOST_TOLD = 10
_MAX_AGE = re.compile(r"(?:^|[,\s])(?:s-)?max-?age\s*=\s*\"?0*([1-9][0-9]*)", re.IGNORECASE)


def policy_findings(sight: Sight, seen: Standing, *, watch: bool) -> list[Finding]:
    """Judge what the policy host serves, and the object in S3; ``watch`` is the daily look at a drain."""
    return [
        *_draining(sight, seen),
        *_served(sight, seen),
        *_bodies(sight),
        *_object(sight, seen),
        *_past(sight),
        *_certificates(sight, seen, watch=watch),
        *_caching(sight),
    ]


def _draining(sight: Sight, seen: Standing) -> Iterator[Finding]:
    """Tell where senders that let go could not, or would take an older policy up again (invariant 7)."""
    if not seen.draining:
        return
    back = came_back(sight)
    if back:
        yield Finding(
            "policy-came-back",
            "alarm",
            f"Version {back[-1].version_id} of {stamp(back[-1].since)}, which does not say none, was put"
            " there after MTA-STS was turned off. Who fetched it renews it on the present id for ever.",
            fresh_id(sight, seen),
        )
    look, host = sight.look, sight.look["host"]
    if seen.expects_none:
        wrong = not_none(sight, seen)
        if wrong:
            yield Finding(
                "none-not-served",
                "alarm",
                f"{host} has to serve mode none until every sender has let go, but {_list(wrong)}.",
                f"mend the policy host if it is broken; if another policy is served, {again(sight)}",
            )
        return
    serving = [row for row in look["agreeing"] if row["mode"] not in {"", "none"}]
    if serving and seen.all_off_at:
        told = [f"{row['address']} serves {row['found']}" for row in serving]
        yield Finding(
            "policy-served-again",
            "alarm",
            f"{host} served no policy when the record was deleted, and does now: {_list(told)}. Senders that"
            " renew over HTTPS alone take it up again.",
            "stop serving it, or send delete-record with publish_none: true",
        )


def _served(sight: Sight, seen: Standing) -> Iterator[Finding]:
    """Tell what addresses do not serve, and whether they differ."""
    look, host = sight.look, sight.look["host"]
    if look["doubts"] and not (seen.draining and seen.expects_none):
        yield Finding(
            "policy-unseen",
            "warning",
            f"What {host} serves is not known everywhere: {_list(list(look['doubts']))}.",
            "look at these addresses, then check again",
        )
    kinds = {(row["mode"], row["sha256"] if row["mode"] else "") for row in look["agreeing"]}
    if len(kinds) > 1:
        told = [f"{row['address']} serves {row['found']}" for row in look["agreeing"]]
        yield Finding(
            "policy-differs",
            "warning",
            f"The addresses of {host} do not serve the same: {_list(told)}.",
            "look which of them is stale, and mend it",
        )
    if seen.policy == "absent":
        told = [f"{row['address']}: {row['found']}" for row in look["agreeing"]]
        why = _list(told) or f"{host} has no address"
        if seen.record == "one" and not seen.draining:
            yield Finding(
                "record-without-policy",
                "warning",
                f"There is a record, but {host} serves no policy ({why}): senders that hold one keep it, all"
                " others find none.",
                "put the policy back if MTA-STS is to be on; if not, run none-policy, or delete-record where"
                " the host cannot be mended",
            )
    if seen.on and seen.record == "none":
        yield Finding(
            "policy-without-record",
            "note" if not seen.expects_none and (sight.item or {}).get("phase") else "warning",
            f"{host} serves a policy, but there is no record: new senders do not look for it, those that"
            " renew over HTTPS alone keep it (RFC 8461 section 10.2).",
            "run none-policy to turn it off for all, or make a record by change-id to turn it on",
        )


def _bodies(sight: Sight) -> Iterator[Finding]:
    """Tell line by line what senders do not accept in a body that is served, and in its headers."""
    bodies: dict[bytes, list[Fetched]] = {}
    modes = {row["address"]: row["mode"] for row in sight.look["agreeing"]}
    for one in sight.fetched:
        if modes.get(one.address):
            bodies.setdefault(one.body, []).append(one)
    for body, places in bodies.items():
        problems = read(body).problems
        if problems:
            lines = [str(problem) for problem in problems[:_MOST_TOLD]]
            more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
            yield Finding(
                "policy-malformed",
                "warning",
                f"The policy that {_at(places)} serves is malformed, so that strict senders find none and"
                f" lenient ones may enforce it: {'; '.join(lines)}{more}.",
                "correct it in S3 and run change-id; none-policy turns it off all the same",
                {"problems": [str(problem)[:200] for problem in problems[:_MOST_TOLD]]},
            )
        wrong = [one for one in places if not is_text_plain(one.media_type)]
        if wrong:
            yield Finding(
                "media-type",
                "warning",
                f"The policy is served as {wrong[0].media_type or 'no media type'} at {_at(wrong)}: most"
                " senders accept text/plain alone (RFC 8461 section 3.2).",
                "give the object the content type text/plain",
            )


def _object(sight: Sight, seen: Standing) -> Iterator[Finding]:
    """Tell whether the object is what is served, and what was announced."""
    item, stored = sight.item or {}, sight.stored
    if "object" in sight.problems:
        yield Finding(
            "object-unseen",
            "warning",
            f"The policy object could not be looked at: {sight.problems['object']}",
        )
        return
    serving = [row for row in sight.look["agreeing"] if row["mode"]]
    if stored is None:
        ours = {item.get("policy_sha256", ""), *item.get("ours", {}).get("policies", ())}
        if seen.draining and seen.expects_none and "" not in ours:
            yield Finding(
                "object-changed",
                "alarm",
                f"The policy object {sight.location}, which this stack has announced, was removed by hand"
                " before every sender has let go.",
                f"find out who removed it, then {again(sight, create=True)}",
            )
        if serving:
            yield Finding(
                "object-missing",
                "warning",
                f"There is no policy object {sight.location}, but {sight.look['host']} serves a policy: it"
                " comes from elsewhere, and no run of this stack can change it.",
                "correct the stack's PolicyBucket and PolicyKey, if the policy is in S3 at all",
            )
    else:
        other = [row for row in serving if row["sha256"] != stored.sha256]
        if other:
            told = [f"{row['address']}: {row['found']}" for row in other]
            yield Finding(
                "object-differs",
                "warning",
                f"What is served is not the object {sight.location} (mode {mode_of(read(stored.body))}):"
                f" {_list(told)}.",
                "invalidate the cache in front, or look which origin the host reads",
            )
        yield from _announced(sight, seen, item)


def _past(sight: Sight) -> Iterator[Finding]:
    """Tell what is not known of earlier policies, and of who may still hand them out."""
    if sight.history.gap:
        yield Finding(
            "history-unknown",
            "note",
            f"Earlier policies are not all known ({sight.history.gap}): an unknown one is taken to live a"
            " year, unless longest_max_age in the input vouches for less.",
        )
    if "cdn" in sight.problems:
        yield Finding(
            "cdn-unseen",
            "note",
            f"The CloudFront distribution could not be looked for: {sight.problems['cdn']}",
        )


def _announced(sight: Sight, seen: Standing, item: Any) -> Iterator[Finding]:
    stored, announced = sight.stored, item.get("policy_sha256")
    ours = {announced, *item.get("ours", {}).get("policies", ())}
    if stored is None or announced is None or stored.sha256 in ours:
        return
    written = stamp(stored.last_modified)
    if seen.draining and seen.expects_none:
        yield Finding(
            "object-changed",
            "alarm",
            f"The policy object {sight.location} is not the one that this stack has announced: it was"
            f" changed by hand, {written} (mode {mode_of(read(stored.body))}).",
            f"find out who changes it (Terraform, say), then {again(sight)}",
        )
        return
    changes = item.get("id_changes") or [{}]
    last = changes[-1]
    if last.get("id") in seen.ids and instant(last["at"]) < stored.last_modified:
        yield Finding(
            "file-changed-id-not",
            "warning",
            f"The policy object {sight.location} was changed {written}, after the last change of the id that"
            f" is on record ({last['at']}): senders that know the id keep what they hold.",
            "run change-id, so that every sender looks at the policy again",
        )


def _certificates(sight: Sight, seen: Standing, *, watch: bool) -> Iterator[Finding]:
    needed = seen.draining and seen.expects_none
    until = seen.all_off_at if needed else None
    stored_on = sight.stored is not None and mode_of(read(sight.stored.body)) != "none"
    in_force = seen.record == "one" and (seen.on or stored_on)
    refused = [one for one in sight.fetched if one.outcome == "certificate"]
    if refused:
        told = [f"{one.address}: {one.detail}" for one in refused]
        yield Finding(
            "certificate-invalid",
            "alarm" if in_force or needed else "warning" if seen.record == "one" else "note",
            f"No sender accepts the certificate of {sight.look['host']} at {_list(told)}: nothing is fetched"
            " from there, neither a new policy nor none (RFC 8461 section 3.3).",
            "renew the certificate" if in_force or needed or seen.record == "one" else "",
        )
    ends: dict[str, list[Fetched]] = {}
    for one in sight.fetched:
        if one.certificate_not_after:
            ends.setdefault(one.certificate_not_after, []).append(one)
    for end, places in sorted(ends.items()):
        early = until is not None and instant(end) < until
        level: Level = "alarm" if watch and early else "warning"
        if early and until:
            yield Finding(
                "certificate-ends-early",
                level,
                f"The certificate of {sight.look['host']} ({_at(places)}) ends {end}, before every sender has"
                f" let go ({stamp(until)}): without it none is not fetched any more.",
                f"renew the certificate before {end}",
            )
        elif instant(end) < sight.now + _SOON and (in_force or seen.on or needed):
            yield Finding(
                "certificate-ends",
                "warning",
                f"The certificate of {sight.look['host']} ({_at(places)}) ends {end}.",
                f"renew the certificate before {end}",
            )


def _caching(sight: Sight) -> Iterator[Finding]:
    """Tell of caches, which may serve an older policy elsewhere (RFC 9111)."""
    for one in sight.fetched:
        told = [
            f"Age {one.age}" if one.age is not None else "",
            f"X-Cache {one.x_cache}" if one.x_cache else "",
            f"Cache-Control {one.cache_control}" if _MAX_AGE.search(one.cache_control) else "",
        ]
        shown = ", ".join(filter(None, told))
        if shown:
            known = sight.location.distribution_id or sight.other_cache_seconds
            whose = "" if known else ", and the stack's settings know of no cache"
            yield Finding(
                "caching",
                "note",
                f"{one.address} answers with {shown}: a cache may serve an older policy for a while after a"
                f" change{whose}.",
            )
            return


def _at(places: list[Fetched]) -> str:
    return ", ".join(one.address for one in places[:_MOST_TOLD])


def _list(lines: list[str]) -> str:
    more = f"; and {len(lines) - _MOST_TOLD} more" if len(lines) > _MOST_TOLD else ""
    return "; ".join(line[:300] for line in lines[:_MOST_TOLD]) + more
