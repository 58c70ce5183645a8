"""The function that takes deliveries, over memory in the place of AWS: what tests send, and what starts."""

import base64
import importlib.util
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from mta_sts import wiring
from mta_sts.adapters.refusals import Refusals
from mta_sts.hooks.signature import sign
from mta_sts.hooks.sources import Source, parse
from mta_sts.intake import Delivery, Intake
from tests.unit.test_state_machine import ROOT

KEY, OLD_KEY = b"the key of the ticket system", b"the key before that one"
MACHINE = "arn:aws:states:eu-west-1:000000000000:stateMachine:of-tests-disable"
EXECUTION = MACHINE.replace("stateMachine", "execution")
SOURCES = {
    "desk": {
        "format": "plain",
        "secret": "desk",
        "domains": ["solarmora.com", "*.example.org"],
        "methods": ["check", "none-policy"],
    }
}
NOW = datetime.now(UTC)
ASKED = {"domain": "solarmora.com", "method": "check", "sent_at": NOW.isoformat()}


class Exists(Exception):  # noqa: N818 - boto3's name for it is as short
    """Step Functions has an execution of that name."""


class Executions:
    """Step Functions, which starts a name once."""

    exceptions = SimpleNamespace(ExecutionAlreadyExists=Exists)

    def __init__(self) -> None:
        self.started: dict[str, Any] = {}

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: A002, N803
        assert stateMachineArn == MACHINE
        if name in self.started:
            raise Exists
        self.started[name] = json.loads(input)


class Deliveries:
    """The table of deliveries."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Delivery] = {}

    def find(self, domain: str, keys: Iterable[str]) -> Delivery | None:
        return next((self.kept[domain, key] for key in keys if (domain, key) in self.kept), None)

    def reserve(self, domain: str, keys: tuple[str, ...], delivery: Delivery) -> bool:
        if self.find(domain, keys):
            return False
        self.kept |= {(domain, key): delivery for key in keys}
        return True

    def started(self, domain: str, keys: Iterable[str], _now: datetime) -> None:
        for key in keys:
            if found := self.kept.get((domain, key)):
                self.kept[domain, key] = Delivery(
                    found.run, found.digest, found.input, found.reserved_at, started=True
                )


class Desk:
    """A system that signs, and the function that takes what it sends."""

    def __init__(self, sources: Mapping[str, Any] = SOURCES) -> None:
        self.executions, self.deliveries = Executions(), Deliveries()
        self.sources: Mapping[str, Source] | Exception = parse(json.dumps(sources))
        self.keys: tuple[bytes, ...] | Exception = (KEY, OLD_KEY)
        self.keys_read: list[str] = []
        self.holder = ""
        self.told: list[Any] = []
        self.bus: Any = lambda entries: {"FailedEntryCount": 0, "Entries": entries}
        self.refusals = Refusals(
            cast("Any", self.deliveries), cast("Any", SimpleNamespace(put_events=self.put_events))
        )
        ledger = SimpleNamespace(
            domain=lambda _domain: {"holder": self.holder}, ended_long_ago=lambda *_: False
        )
        self.intake: Any = Intake(
            cast("Any", self.deliveries), cast("Any", ledger), cast("Any", self.executions), MACHINE
        )
        self.app = load()

    def find(self, name: str, _now: datetime) -> Source | None:
        if isinstance(self.sources, Exception):
            raise self.sources
        return self.sources.get(name)

    def of(self, source: Source, _now: datetime) -> tuple[bytes, ...]:
        self.keys_read.append(source.secret)
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys

    def put_events(self, *, Entries: list[Any]) -> Any:  # noqa: N803
        answer = self.bus(Entries)
        if not answer["FailedEntryCount"]:
            self.told += [json.loads(each["Detail"]) for each in Entries]
        return answer

    @property
    def reserved(self) -> list[str]:
        """The keys under which runs are on record."""
        return [key for _, key in self.deliveries.kept if key.startswith("hook:")]

    @property
    def started(self) -> list[Any]:
        """The inputs of what was started."""
        return list(self.executions.started.values())

    def send(self, event: dict[str, Any]) -> Any:
        """Hand an event to the function; return its answer, the body read."""
        answer = self.app.handler(event, None)
        return SimpleNamespace(
            status=answer["statusCode"],
            headers=answer["headers"],
            text=answer["body"],
            body=json.loads(answer["body"]),
            kind=json.loads(answer["body"]).get("type", "").rpartition(":")[2],
        )


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk that everything in the function's place is wired to."""
    made = Desk()
    for name in ("hook_sources", "hook_keys"):
        monkeypatch.setattr(wiring, name, lambda: made)
    monkeypatch.setattr(wiring, "intake", lambda: made.intake)
    monkeypatch.setattr(wiring, "refusals", lambda: made.refusals)
    monkeypatch.setenv("STATE_MACHINE_ARN", MACHINE)
    return made


def load() -> ModuleType:
    """Import the function, as Lambda does."""
    spec = importlib.util.spec_from_file_location("take_hook", ROOT / "functions/take_hook/app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def delivery(
    data: object = None,
    *,
    source: str = "desk",
    key: bytes | None = KEY,
    packed: bool = False,
    method: str = "POST",
    **headers: str | None,
) -> dict[str, Any]:
    """An event of API Gateway with a body, signed unless the key is None; headers of None are left out."""
    body = data if isinstance(data, bytes) else json.dumps(data or ASKED).encode()
    sent: dict[str, str | None] = {"Content-Type": "application/json; charset=utf-8"}
    if key is not None:
        sent["X-Hub-Signature"] = sign(body, key)
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in sent.items() if value is not None}
    return {
        "httpMethod": method,
        "path": f"/hooks/{source}",
        "pathParameters": {"source": source},
        "requestContext": {"path": f"/v1/hooks/{source}"},
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "body": base64.b64encode(body).decode() if packed else body.decode("utf-8", "replace"),
        "isBase64Encoded": packed,
    }
