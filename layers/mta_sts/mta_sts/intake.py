"""The one way from a front door to an execution: a second delivery is the same run.

A run's name is reserved under the delivery's keys before the execution is started. Whoever
dies in between is repeated by the next delivery: Step Functions starts a name once, for as long as it
remembers it (90 days after the end); the table of deliveries remembers for ever that it was started.
"""

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from mta_sts.instants import stamp

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

    from mta_sts.adapters.deliveries import Deliveries
    from mta_sts.adapters.ledger import Ledger

_NO_NAME = re.compile(r"[^A-Za-z0-9-]")
# Step Functions knows a name for 90 days after the end of its execution; from then on it would start anew.
_REMEMBERED = timedelta(days=80)
Door = Literal["api", "hook", "event", "schedule"]


class KeyReusedError(Exception):
    """A front door was given a key that stands for another request; nothing was started."""


@dataclass(frozen=True)
class Ask:
    """What came in through a front door.

    ``domain`` is the policy domain, or what was given for it where it is none: the deliveries' partition.
    ``event`` is the execution's input. ``keys`` make a second delivery recognisable, whichever of them it
    bears; with none every call is a new run. ``identity`` is the digest that a second delivery must have;
    empty for that of the event.
    """

    door: Door
    domain: str
    event: Mapping[str, Any]
    keys: tuple[str, ...] = ()
    identity: str = ""

    @property
    def digest(self) -> str:
        """What tells a second delivery from another request under the same key."""
        return self.identity or digest(self.event)


@dataclass(frozen=True)
class Taken:
    """A run: its name, its execution's ARN, and whether it was there before."""

    run: str
    execution: str
    again: bool


@dataclass(frozen=True)
class Delivery:
    """A delivery on record: ``run`` is the execution's name, ``input`` what it is started with.

    ``started`` is false where whoever reserved the name, at ``reserved_at``, may have died before the
    start.
    """

    run: str
    digest: str
    input: str
    reserved_at: datetime
    started: bool = False


class Intake:
    """Starts executions of the one state machine."""

    def __init__(
        self, deliveries: "Deliveries", ledger: "Ledger", executions: "SFNClient", machine: str
    ) -> None:
        self._deliveries = deliveries
        self._ledger = ledger
        self._executions = executions
        self._machine = machine

    def known(self, ask: Ask) -> bool:
        """Tell whether one of the keys was used; raise KeyReusedError where it was for another request."""
        found = self._deliveries.find(_partition(ask.domain), ask.keys)
        return found is not None and _same(found, ask.digest)

    def busy(self, domain: str, now: datetime) -> Taken | None:
        """Give the run that holds the domain, if one does that may still be at work."""
        holder = self._ledger.domain(_partition(domain)).get("holder", "")
        if not holder or self._ledger.ended_long_ago(holder, now):
            return None
        return Taken(str(holder).rpartition(":")[2], str(holder), again=True)

    def start(self, ask: Ask, now: datetime) -> Taken:
        """Start a run, or name the one that an earlier delivery has started.

        Raises KeyReusedError where a key was used for another event; nothing is started then.
        """
        name, domain = _name(ask), _partition(ask.domain)
        if not ask.keys:
            self._execute(name, json.dumps(dict(ask.event)))
            return Taken(name, self._arn(name), again=False)
        found = self._deliveries.find(domain, ask.keys)
        again = found is not None
        if found is None and not self._deliveries.reserve(
            domain,
            ask.keys,
            Delivery(name, ask.digest, json.dumps(dict(ask.event)), now),
        ):
            again = True  # another delivery of the same came first
        found = found or self._deliveries.find(domain, ask.keys)
        if found is None:
            raise LookupError("a reserved run has to be on record")
        _same(found, ask.digest)
        if not found.started:
            if now - found.reserved_at > _REMEMBERED:
                raise KeyReusedError(
                    f"The run {found.run} was reserved under this key {stamp(found.reserved_at)}; whether it"
                    " was started cannot be told any more. Send the request under another key."
                )
            self._execute(found.run, found.input)
            self._deliveries.started(domain, ask.keys, now)
        return Taken(found.run, self._arn(found.run), again)

    def _execute(self, name: str, event: str) -> None:
        # One that exists already: whoever started it died before that was written down.
        with contextlib.suppress(self._executions.exceptions.ExecutionAlreadyExists):
            self._executions.start_execution(stateMachineArn=self._machine, name=name, input=event)

    def _arn(self, name: str) -> str:
        return f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"


def _same(found: Delivery, identity: str) -> bool:
    if found.digest != identity:
        raise KeyReusedError(
            f"The key was used for another request, of which the run {found.run} came. Send this one under"
            " a key of its own."
        )
    return True


def digest(event: Mapping[str, Any]) -> str:
    """Give the SHA-256 of an execution's input, however its fields are ordered."""
    return hashlib.sha256(json.dumps(dict(event), sort_keys=True).encode()).hexdigest()


def _partition(domain: str) -> str:
    """Give what a partition's key may be: never empty, of bounded size."""
    return domain[:253] or "-"


def _name(ask: Ask) -> str:
    """Give a fresh name: at most 80 characters of 0-9 A-Z a-z - and _, which logs can take as well."""
    shown = _NO_NAME.sub("-", ask.domain)[:32]
    return f"{ask.door}-{shown}-{secrets.token_hex(8)}"
