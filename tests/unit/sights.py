"""What a check has seen, as its tests begin with: a domain where all is well, and one that drains."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from mta_sts.checks.judge import check
from mta_sts.checks.sight import Sight
from mta_sts.instants import stamp
from mta_sts.live_mx import LiveMx, MxAnswer, live_mx
from mta_sts.observed import History, HostedZone, Location, StoredPolicy, Version
from mta_sts.policy_check import Fetched, look
from mta_sts.record_check import Answer
from mta_sts.request import Request
from tests.unit.plans import (
    ADDRESS,
    ENFORCE,
    HOST,
    LONG_AGO,
    NONE,
    NOT_FOUND,
    NOW,
    answered,
    stored,
)

DOMAIN = "solarmora.com"
EXECUTION = "arn:aws:states:eu-west-1:1:execution:m:look"
PUBLISHED = NOW - timedelta(hours=2)
GONE_AT = NOW - timedelta(hours=1)  # when the old record had gone, in a drain
ALL_OFF = GONE_AT + timedelta(days=7)
FAR = stamp(NOW + timedelta(days=90))  # when certificates end, unless said otherwise
OURS = "v=STSv1; id=2;"


def said(*values: str, server: str = "ns1.example", **more: Any) -> Answer:
    """What a name server answers for the record."""
    outcome = more.pop("outcome", "present" if values else "absent")
    told: dict[str, Any] = {"address": "192.0.2.53", "kind": "authority", "ttl": 3600, **more}
    return Answer(server, outcome=outcome, values=tuple(value.encode() for value in values), **told)


def resolved(*values: str, **more: Any) -> Answer:
    """What a resolver answers for it."""
    told = {"address": "1.1.1.1:53", "kind": "resolver", **more}
    return said(*values, server="resolver", **told)


def hosts(*names: str) -> LiveMx:
    """The live MX."""
    found = tuple((10, name) for name in names)
    return live_mx(DOMAIN, [MxAnswer(DOMAIN, "ns1.example", "192.0.2.53", "present", found)])


def served(body: bytes = ENFORCE, address: str = ADDRESS, **more: Any) -> Fetched:
    """What an address of the policy host serves, with a certificate that lasts."""
    return answered(body, address, **{"certificate_not_after": FAR, **more})


def versions(*bodies: bytes, last: Any = LONG_AGO) -> History:
    """All versions of the object, each longer ago than any sender remembers but the last."""
    count = len(bodies)
    told = [
        Version(f"v{place}", LONG_AGO - timedelta(days=count - place), body)
        for place, body in enumerate(bodies, 1)
    ]
    told[-1] = replace(told[-1], since=last)
    return History(tuple(told), told[0].since)


def sight(
    body: bytes | None = ENFORCE,
    record: tuple[str, ...] = (OURS,),
    *fetched: Fetched,
    **more: Any,
) -> Sight:
    """A domain whose object is BODY, served as it is, under RECORD; nothing in the ledger."""
    fetched = fetched or ((served(body),) if body else (NOT_FOUND,))
    seen = Sight(
        domain=DOMAIN,
        now=NOW,
        region="lab",
        location=Location("mta-sts.solarmora.com", ".well-known/mta-sts.txt"),
        stored=stored(body) if body else None,
        history=versions(body) if body else History(),
        zone=HostedZone("Z1", DOMAIN, ("ns1.example",)),
        record_sets=[_txt(*record)] if record else [],
        others=(),
        answers=(said(*record), resolved(*record)),
        not_asked=(),
        fetched=fetched,
        look={},
        mx=hosts("mail.solarmora.com"),
        tlsa=(),
        tlsrpt=(resolved("v=TLSRPTv1; rua=mailto:x@solarmora.com"),),
        item={},
        other_cache_seconds=0,
        drain_margin_seconds=259_200,
    )
    seen = replace(seen, **more)
    if seen.look:
        return seen
    known = {one.body for one in seen.fetched}
    return replace(
        seen,
        look=look(
            seen.fetched,
            (),
            known={stored(one).sha256: "the present policy" for one in known},
            missing=seen.stored is None,
            host=HOST,
            now=NOW,
            region="lab",
        ),
    )


def none_object(**more: Any) -> StoredPolicy:
    """The object after none-policy."""
    return replace(stored(NONE), **{"last_modified": PUBLISHED, "version_id": "v2", **more})


def item(**more: Any) -> dict[str, Any]:
    """The ledger's item of a domain that drains after none-policy."""
    return {
        "domain": DOMAIN,
        "phase": "draining",
        "current_id": "2",
        "policy_sha256": stored(NONE).sha256,
        "ours": {"policies": [stored(NONE).sha256], "ids": ["2"]},
        "all_off_at": stamp(ALL_OFF),
        "generation": 3,
        "moments": {
            "published_at": stamp(PUBLISHED),
            "caches_fresh_at": stamp(PUBLISHED),
            "in_sync_at": stamp(PUBLISHED),
            "record_gone_at": stamp(GONE_AT),
            "confirmed_at": stamp(GONE_AT),
        },
        "id_changes": [
            {
                "id": "2",
                "old": "1",
                "at": stamp(PUBLISHED + timedelta(seconds=1)),
                "gone_at": stamp(GONE_AT),
                "distribution_id": "",
                "published_at": stamp(PUBLISHED),
                "fresh_at": stamp(PUBLISHED),
            }
        ],
        "due": {
            "watch": {"at": stamp(NOW), "request": {"method": "check"}},
            "drained": {"at": stamp(ALL_OFF), "request": {"method": "check"}},
        },
        "saved": {
            "policy": {"body": ENFORCE, "bucket": "b", "key": "k"},
            "saved_at": stamp(PUBLISHED),
        },
        **more,
    }


def draining(*fetched: Fetched, **more: Any) -> Sight:
    """A domain in mid-drain after none-policy, everything as it has to be."""
    return sight(
        NONE,
        (OURS,),
        *(fetched or (served(NONE),)),
        **{
            "stored": none_object(),
            "history": versions(ENFORCE, NONE, last=PUBLISHED),
            "item": item(),
            **more,
        },
    )


def deleted(*fetched: Fetched, **more: Any) -> Sight:
    """A domain in mid-drain after delete-record, of a policy host that serves nothing any more."""
    phase = item(current_id="", policy_sha256=stored().sha256)
    phase["ours"] = {"policies": [stored().sha256], "ids": [""]}
    phase["moments"] |= {"published_at": None, "caches_fresh_at": None}
    phase["id_changes"][0] |= {"id": "", "old": "1", "published_at": None, "fresh_at": None}
    return sight(ENFORCE, (), *(fetched or (NOT_FOUND,)), **{"item": phase, **more})


def request(**asked: Any) -> Request:
    """A request to check the domain."""
    return Request.parse({"domain": DOMAIN, "method": "check", **asked})


def watch(kind: str = "watch", at: str = stamp(NOW), generation: int = 3) -> Request:
    """The request of a check that the sweep starts."""
    return request(due={"kind": kind, "generation": generation, "at": at})


def outcome(seen: Sight, asked: Request | None = None) -> dict[str, Any]:
    """What the check tells."""
    return check(asked or request(), seen, EXECUTION)


def codes(told: dict[str, Any], *levels: str) -> set[str]:
    """The findings of these levels, or of all."""
    return {one["code"] for one in told["findings"] if not levels or one["level"] in levels}


def finding(told: dict[str, Any], code: str) -> dict[str, Any]:
    """The one finding with this code."""
    (one,) = [each for each in told["findings"] if each["code"] == code]
    return dict(one)


def _txt(*values: str) -> dict[str, Any]:
    records = [{"Value": f'"{value}"'} for value in values]
    return {
        "Name": f"_mta-sts.{DOMAIN}.",
        "Type": "TXT",
        "TTL": 3600,
        "ResourceRecords": records,
    }
