"""What an event or a schedule asks for, taken out of its envelope: which runs, and under which keys.

Both are delivered at least once. What makes a second delivery recognisable is the event's id, the key that
its sender gave it, or the schedule's ARN and the moment that it was set for, with the domain each time.

Whether a request can be carried out is for the workflow to say, which tells people: here is looked only
whether the envelope is one.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mta_sts.domains import DomainNameError, normalise
from mta_sts.instants import stamp
from mta_sts.intake import Ask, Door

DETAIL_TYPE = "MTA-STS Off Request"
# Requests in one schedule: what one call can start, retries included. All then share Route 53's ten
# requests a second, and the last is done some 20 minutes later.
MOST = 500
OLDEST = timedelta(hours=1)  # later it would be another hour than the one that was agreed upon
_OWN = re.compile(
    r"aws\..*|mta-sts-off"
)  # sources of AWS, and of the notices, which ask for nothing
_LONGEST_KEY = 256
_FIRST_YEAR, _LAST_YEAR = 2000, 9998  # which every zone can reckon with
_NOT_OURS = "left out: only what the ledger has due bears it"


class EnvelopeError(Exception):
    """What was delivered is neither an event nor a schedule's input as documented; nothing was started."""


class LateError(Exception):
    """What was delivered was asked for too long ago to start anything now."""


def asks(delivery: object) -> tuple[Ask, ...]:
    """Give the runs that a delivery asks for; raise EnvelopeError.

    From a rule: an event, whose ``detail`` is a run's input and, as ``key``, what the sender knows the
    request by. From EventBridge Scheduler: ``{"schedule": ARN, "at": moment, "request": input}``, or
    ``requests`` with a list of up to MOST inputs, of which each domain can have one.
    """
    if isinstance(delivery, Mapping) and "detail-type" in delivery:
        return (_of_event(delivery),)
    if isinstance(delivery, Mapping) and "schedule" in delivery:
        return _of_schedule(delivery)
    raise EnvelopeError(
        "This is neither an event nor what a schedule sends: it has neither detail-type nor schedule."
    )


def sent_at(delivery: Mapping[str, Any]) -> datetime:
    """Give the moment of a delivery that :func:`asks` has taken: of the event, or set for the schedule."""
    moment = datetime.fromisoformat(delivery["time" if "time" in delivery else "at"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def late(delivery: Mapping[str, Any], now: datetime) -> LateError | None:
    """Give the refusal of a delivery that is older than OLDEST, whatever has kept it on its way; or None."""
    moment = sent_at(delivery)
    if now - moment <= OLDEST:
        return None
    return LateError(
        f"It is of {stamp(moment)}, more than an hour ago, and starts nothing any more. Send it anew, if"
        " it is still wanted."
    )


def _of_event(event: Mapping[str, Any]) -> Ask:
    kind, source, named = event["detail-type"], event.get("source"), event.get("id")
    if kind != DETAIL_TYPE:
        raise EnvelopeError(
            f"The event's detail-type has to be {DETAIL_TYPE!r}, not {_shown(kind)}."
        )
    if not isinstance(source, str) or not source or _OWN.fullmatch(source):
        raise EnvelopeError(f"The event's source has to be one of your own, not {_shown(source)}.")
    if not isinstance(named, str) or not named:
        raise EnvelopeError(f"The event has no id: {_shown(named)}.")
    if not _is_moment(event.get("time")):
        raise EnvelopeError(
            f"The event's time has to be a moment, not {_shown(event.get('time'))}."
        )
    detail, keys = _object(event.get("detail"), "detail"), [f"event:{named}"]
    key = detail.get("key")
    if isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY:
        # Any other stays where it is, for the workflow to refuse: it knows no such field.
        detail = {name: value for name, value in detail.items() if name != "key"}
        keys.insert(0, f"event-key:{_joined(source, key)}")
    return _ask("event", detail, tuple(keys))


def _of_schedule(sent: Mapping[str, Any]) -> tuple[Ask, ...]:
    if set(sent) not in ({"schedule", "at", "request"}, {"schedule", "at", "requests"}):
        raise EnvelopeError(
            "A schedule has to send schedule, at, and either request or requests; it sends"
            f" {_shown(', '.join(map(str, sent)))}."
        )
    key = f"schedule:{_arn(sent['schedule'])}:{_moment(sent['at'])}"
    if "request" in sent:
        return (_ask("schedule", _object(sent["request"], "request"), (key,)),)
    requests = sent["requests"]
    if not isinstance(requests, list) or not 0 < len(requests) <= MOST:
        raise EnvelopeError(
            f"requests has to be a list of 1 to {MOST} requests: more go into schedules of their own."
        )
    # The key is the same for all: a domain has deliveries of its own, and can do one thing at a time.
    return tuple(_ask("schedule", _object(each, "each of requests"), (key,)) for each in requests)


def _ask(door: Door, request: Mapping[str, Any], keys: tuple[str, ...]) -> Ask:
    """Give what to start.

    ``due`` would let the run pass for one of the sweep's own, which does not raise the domain's generation
    and is the end of what was due. Leaving it out would start something else than was asked for, such as
    a deletion at once. So something stands there that the workflow refuses.
    """
    event = {**request, "due": _NOT_OURS} if "due" in request else request
    return Ask(door, _domain(request.get("domain")), event, keys)


def _domain(given: object) -> str:
    if not isinstance(given, str):
        return ""
    try:
        return normalise(given)
    except DomainNameError:
        return given


def _joined(*parts: str) -> str:
    """Join what others have chosen, so that no two of them come to the same."""
    return json.dumps(parts, separators=(",", ":"))


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise EnvelopeError(
            f"{name} has to be a JSON object, the input of a run; not {_shown(value)}."
        )
    return value


def _arn(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("arn:"):
        raise EnvelopeError(
            "schedule has to be <aws.scheduler.schedule-arn>, for which an ARN is filled in; not"
            f" {_shown(value)}."
        )
    return value


def _moment(value: object) -> str:
    """Give the moment that a schedule was set for.

    One that nobody filled in would be the same for ever, and the schedule would start one run in its life.
    """
    if not _is_moment(value):
        raise EnvelopeError(
            "at has to be <aws.scheduler.scheduled-time>, for which a moment is filled in; not"
            f" {_shown(value)}."
        )
    return str(value)


def _is_moment(value: object) -> bool:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return _FIRST_YEAR <= moment.year <= _LAST_YEAR


def _shown(value: object) -> str:
    return ascii(value)[:80]
