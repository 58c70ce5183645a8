"""A ticketing system at the lab's hooks: it signs what it sends, as the files under events/hooks have it."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.api import Answer, Api
from local.lab import HOOK_SOURCES, Lab
from mta_sts.hooks.signature import sign
from tests.workflow.watch import PATIENCE

_TOO_MANY = 429
FOLDER = Path(__file__).parents[2] / "events/hooks"
SOURCES = (FOLDER / "sources.json").read_text()
# Which secret each source signs with, and where its format has the moment.
SECRETS = {name: one["secret"] for name, one in json.loads(SOURCES).items()}


class Hooks:
    """Sends deliveries to a lab; the sources are those of events/hooks/sources.json, for all tests."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._api = Api(lab, credentials=None)
        lab.client("ssm").put_parameter(
            Name=HOOK_SOURCES, Type="String", Value=SOURCES, Overwrite=True
        )

    def key(self, source: str) -> bytes:
        """Give the key that a source signs with."""
        found = self._lab.client("secretsmanager").get_secret_value(SecretId=SECRETS[source])
        return str(found["SecretString"]).encode()

    def send(self, source: str, data: object, **headers: str) -> Answer:
        """Send a delivery, signed; bytes are sent as they are."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.send_unsigned(
            source, body, X_Hub_Signature=sign(body, self.key(source)), **headers
        )

    def send_unsigned(
        self, source: str, body: bytes, method: str = "POST", **headers: str
    ) -> Answer:
        """Send a delivery with these headers alone; `_` stands for `-` in their names."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._api.call(method, f"/hooks/{source}", body, sent)
            # The stage takes so many in a second; whoever has sent more tries again, as Jira does.
            if answer.status != _TOO_MANY or time.monotonic() > deadline:
                return answer
            time.sleep(0.2)


def shipped(name: str) -> Any:
    """A file under events/hooks, as though it were sent now, unless it is an old one."""
    data = json.loads((FOLDER / f"{name}.json").read_text())
    now = datetime.now(UTC)
    if "timestamp" in data:
        data["timestamp"] = int(now.timestamp() * 1000)
    elif "sent_at" in data and "long-ago" not in name:
        data["sent_at"] = now.isoformat()
    return data


def plain(domain: str, **more: Any) -> dict[str, Any]:
    """What a script asks for, at a moment that no other test has."""
    return {"domain": domain, "method": "check", "sent_at": time.time(), **more}
