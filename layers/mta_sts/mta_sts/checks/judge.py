"""Judges what a check has seen and answers the three questions; writes nothing.

Is MTA-STS off, and for whom; may the mail move; what state is the domain in, and what to do.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mta_sts.answers import answer, dates
from mta_sts.bounds import Bounds, compute
from mta_sts.checks.ledger import due_findings, ledger_findings, shown, superseded
from mta_sts.checks.mail import host_by_host, mail_findings
from mta_sts.checks.policy import policy_findings
from mta_sts.checks.record import record_findings, rows
from mta_sts.checks.sight import LEVELS, Finding, Sight
from mta_sts.checks.standing import Held, Standing, held, standing
from mta_sts.checks.verdict import Verdict, drained, verdict
from mta_sts.checks.words import texts
from mta_sts.exposure import Moments
from mta_sts.instants import stamp
from mta_sts.moving import BETTER, LATER, NOW, OVERLAP, mx
from mta_sts.policy import mode_of, read
from mta_sts.request import Request

# Step Functions carries 256 KiB of state, and the output of a check is kept in the ledger as well.
_MOST_BYTES = 95_000
_MOST_FINDINGS = 60
_NO_DATES = (
    "conforming_off_at", "rfc_off_at", "needing_record_off_at", "all_off_at", "known_off_at",
)  # fmt: skip


def check(request: Request, sight: Sight, execution_arn: str) -> dict[str, Any]:
    """Give the output of a check: at most 100 kB of JSON, whatever servers sent.

    ``alarms`` holds the codes of the findings that are alarms. Where the sweep started the check to watch
    a drain these are exactly what would strand a sender; where it is to tell that a drain is over, the
    text does. ``superseded`` says that what it was started for is not due any more.
    """
    due = request.due
    seen = standing(sight)
    left = held(request, sight, seen)
    findings = _sorted(
        [
            *record_findings(sight, seen),
            *policy_findings(sight, seen, watch=due is not None and due.kind == "watch"),
            *mail_findings(sight, seen, left),
            *ledger_findings(sight, seen, left, due),
        ]
    )
    told = verdict(sight, seen, left, findings)
    off = told.state == "off" and left is not None
    if due is not None and due.kind == "drained":
        told = drained(sight, left, told)
    findings += due_findings(sight, due, over=told.over)
    answers = _answers(sight, left, told, off=off)
    subject, text = texts(sight, left, told, answers["mx"], findings)
    return _fitting(
        {
            "domain": sight.domain,
            "method": request.method,
            "execution": execution_arn,
            "state": told.state,
            "subject": subject,
            "text": text,
            "alarms": list(dict.fromkeys(one.code for one in findings if one.level == "alarm")),
            "over": told.over,
            "superseded": superseded(sight.item, due),
            "findings": [one.to_dict() for one in findings[:_MOST_FINDINGS]],
            **(dates(left.bounds) if off and left else dict.fromkeys(_NO_DATES)),
            "if_turned_off_now": _if_turned_off_now(left, sight) if left and not off else None,
            "answers": answers,
            "exposures": _exposures(left.bounds) if left else [],
            "evidence": _evidence(sight, seen),
            "checked_at": stamp(sight.now),
        }
    )


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    return [one for level in LEVELS for one in findings if one.level == level]


def _answers(sight: Sight, left: Held | None, told: Verdict, *, off: bool) -> dict[str, Any]:
    trouble = {
        "state": told.state,
        "mail_at_risk": told.at_risk,
        "risk": told.risk,
        "next": told.next,
    }
    if left is None:
        return {
            "off": _no_dates(told, "nothing was ever on"),
            "mx": _free(sight),
            "trouble": trouble,
        }
    if off:
        given = answer(left.plan, left.bounds)
        given["off"]["sentence"] = told.sentence
        return {**given, "trouble": trouble}
    reason = left.bounds.renewal.reason or "MTA-STS is not off"
    return {
        "off": _no_dates(told, reason),
        "mx": mx(left.plan, left.bounds),
        "trouble": trouble,
    }


def _no_dates(told: Verdict, reason: str) -> dict[str, Any]:
    none = {"at": None, "reason": reason, "confidence": "computed"}
    named = {name: none for name in _NO_DATES if name != "known_off_at"}
    return {"sentence": told.sentence, **named, "other_senders": []}


def _free(sight: Sight) -> dict[str, Any]:
    """Answer for a domain of which nothing says that it ever had a policy."""
    now = stamp(sight.now)
    reason = "no policy is there, and none is on record that anybody could hold"

    def choice(name: str, *, holds: bool, why: str) -> dict[str, Any]:
        return {
            "answer": name,
            "holds": holds,
            "from": now if holds else None,
            "reason": why,
            "confidence": "unknown",
        }

    return {
        "answer": NOW,
        "from": now,
        "without_overlap_from": now,
        "reason": reason,
        "confidence": "unknown",
        "overlap": "no overlap is needed",
        "choices": [
            choice(NOW, holds=True, why=reason),
            choice(OVERLAP, holds=False, why="no overlap is needed"),
            choice(LATER, holds=True, why=reason),
            choice(BETTER, holds=False, why="there is no policy to add them to"),
        ],
    }


def _if_turned_off_now(left: Held, sight: Sight) -> dict[str, Any]:
    """Give the dates that none-policy would come to, with no wait but the known ones."""
    plan = replace(left.plan, publishes=True)
    fresh = sight.now + timedelta(seconds=sight.other_cache_seconds)
    gone = fresh + timedelta(seconds=plan.record.wait_seconds)
    moments = Moments(gone, fresh, published_at=sight.now, fresh_at=fresh, written=True)
    bounds = compute(plan, moments, {}, sight.now)
    return {**dates(bounds), "confidence": bounds.confidence}


def _exposures(bounds: Bounds) -> list[dict[str, Any]]:
    return [
        {
            "version": one.label,
            "mode": one.mode,
            "max_age": one.max_age,
            "ends": stamp(one.ends),
            "renewed": one.renewed and bounds.renewal.possible is not False,
            "blocks_mail": one.blocks,
        }
        for one in bounds.left.exposures[:20]
    ]


def _evidence(sight: Sight, seen: Standing) -> dict[str, Any]:
    stored = sight.stored
    return {
        "region": sight.region,
        "checked_at": stamp(sight.now),
        "record": {
            "ids": list(seen.ids),
            "rows": rows(sight),
            "not_asked": [
                {"server": one.server, "address": one.address, "reason": one.reason}
                for one in sight.not_asked[:40]
            ],
        },
        "policy": {name: sight.look[name] for name in ("host", "agreeing", "not_asked", "doubts")},
        "object": {
            "where": str(sight.location),
            "distribution": sight.location.distribution_id,
            "mode": mode_of(read(stored.body)) if stored else None,
            "sha256": stored.sha256 if stored else None,
            "written_at": stamp(stored.last_modified) if stored else None,
            "version": stored.version_id if stored else None,
            "versions": len(sight.history.versions),
        },
        "mx": {**sight.mx.evidence(), "by_policy": host_by_host(sight, seen)},
        "tlsa": [
            {
                "host": one.host,
                "records": one.records,
                "secure": one.secure,
                "problem": one.problem[:200],
            }
            for one in sight.tlsa
        ],
        "ledger": shown(sight),
        "problems": dict(sight.problems),
    }


def _fitting(outcome: dict[str, Any]) -> dict[str, Any]:
    """Leave evidence out until the rest fits; what was judged stays."""
    for name in ("mx", "record", "policy", "tlsa"):
        if _size(outcome) <= _MOST_BYTES:
            return outcome
        evidence: Mapping[str, Any] = outcome["evidence"]
        outcome["evidence"] = {**evidence, name: "left out: too large for a workflow"}
    while _size(outcome) > _MOST_BYTES and outcome["findings"]:
        outcome["findings"].pop()
    return outcome


def _size(outcome: Mapping[str, Any]) -> int:
    return len(json.dumps(outcome).encode())
