"""What tests of the demo share: recorded runs, a culprit, and a way to read what is drawn.

recorded_run.json holds the plan and the output of a real run, recorded_deletion.json those of one
that deleted the record and left the policy alone.
"""

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from local.screen import Screen

RECORDED, DELETED = (
    json.loads(Path(__file__).with_name(f"recorded_{name}.json").read_text())
    for name in ("run", "deletion")
)
PLAN, OUTPUT = RECORDED["plan"], RECORDED["output"]
DELETION_PLAN, DELETION = DELETED["plan"], DELETED["output"]
NOW = datetime.fromisoformat(OUTPUT["moments"]["confirmed_at"]) + timedelta(seconds=1)
LAGGING = {
    "server": "ns-2.example",
    "address": "127.0.0.2",
    "found": "v=STSv1; id=1;",
    "expected": "v=STSv1; id=2;",
    "ttl": 5,
}
CAUSE = """half changed for solarmora.com: look. Next: mend it.

What happened: PropagationTimeoutError in “Check Name Servers”.
- ns-2.example (127.0.0.2): found "v=STSv1; id=1;", expected "v=STSv1; id=2;".

Changed: policy and record."""


def drawn(draw: Callable[[Screen], None], *, plain: bool = True, width: int = 80) -> str:
    """Return what is drawn on a screen."""
    stream = io.StringIO()
    draw(Screen(stream, plain=plain, width=width))
    return stream.getvalue()


def line_with(text: str, *parts: object) -> str:
    """Return the one line that holds all the parts."""
    lines = [line for line in text.splitlines() if all(str(part) in line for part in parts)]
    assert len(lines) == 1, (parts, text)
    return lines[0]


def history(*events: tuple[float, str, str, Any]) -> list[dict[str, Any]]:
    """Make a history of (second, kind of state, entered or left or end, (name, data))."""
    told = []
    for second, kind, what, data in events:
        event: dict[str, Any] = {"timestamp": NOW + timedelta(seconds=second), "type": kind + what}
        if what == "StateEntered":
            event["stateEnteredEventDetails"] = {"name": data[0], "input": json.dumps(data[1])}
        elif what == "StateExited":
            event["stateExitedEventDetails"] = {"name": data[0], "output": json.dumps(data[1])}
        told.append(event)
    return told


PENDING = {
    "ready": False,
    "region": "us-east-1",
    "checked_at": "2026-11-24T04:05:00Z",
    "agreeing": [],
    "laggards": [LAGGING],
    "not_asked": [],
    "pause_seconds": 2,
}
GONE_AT = "2026-11-24T04:05:06Z"
READY = PENDING | {
    "ready": True,
    "agreeing": [LAGGING],
    "pause_seconds": 0,
    "record_gone_at": GONE_AT,
}
LOOP = history(
    (0, "Task", "StateEntered", ("Check", {})),
    (1, "Task", "StateExited", ("Check", PENDING)),
    (1, "Choice", "StateEntered", ("There?", PENDING)),
    (1, "Choice", "StateExited", ("There?", PENDING)),
    (1, "Wait", "StateEntered", ("Wait For", PENDING)),
    (3, "Wait", "StateExited", ("Wait For", PENDING)),
    (3, "Task", "StateEntered", ("Check", PENDING)),
    (3.5, "Task", "StateExited", ("Check", READY)),
    (3.5, "Wait", "StateEntered", ("Wait Out TTL", READY)),
)
