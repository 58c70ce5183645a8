"""The notices that docs/notices.md shows: one of each kind, made by the product, shortened.

`python -m tests.unit.notice_examples` writes them into the page anew.
"""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

from mta_sts import messages, notices
from mta_sts.instants import stamp
from mta_sts.request import Request
from tests.unit.documents import ROOT
from tests.unit.plans import NOW, plan
from tests.unit.sights import ALL_OFF, draining, item, outcome, resolved, said, sight, watch
from tests.unit.test_outcome import end

_ARN = "arn:aws:states:eu-central-1:123456789012:execution:mta-sts-off-disable:"
_WHO: dict[str, Any] = {"ticket": "OPS-123", "requested_by": "mail team"}
_TUESDAY, _OURS, _THEIRS = "20200425085700", "20261124040506", "20261125070000"
_RUN = "api-5f2c0c1b"


def examples() -> dict[str, dict[str, Any]]:
    """Give the notices by kind, as they are sent."""
    made, dry = plan(**_WHO), plan(dry_run=True, **_WHO)
    done = end(made)
    confirmed_at = NOW + timedelta(hours=1, minutes=3)
    told = [
        notices.started(made, _asked(), _ARN + _RUN, NOW),
        notices.planned(dry, _asked(), f"{_ARN}api-0d1e77aa", NOW),
        _looked(_asked(method="check"), f"{_ARN}api-93b7a1d0", notify=False),
        notices.confirmed(done, made, _asked(), _ARN + _RUN, confirmed_at),
        _drained(),
        _failed("api-77c04be2", "nothing", "DomainBusyError", _BUSY),
        _failed(_RUN, "policy and record", "PropagationTimeoutError", "ns-1.example lags."),
        _found(),
    ]
    return {one["kind"]: one for one in told if one}


def shown(notice: dict[str, Any]) -> dict[str, Any]:
    """Shorten a notice, so that a page can show it."""
    text, comment = notice["text"], notice["comment"]
    if notice["kind"] in {notices.REFUSED, notices.FAILED}:
        text = text.partition("\n")[0] + "\n\n…"
    else:
        text = "\n".join(text.splitlines()[:2]) + "\n…"
    if comment:
        comment = {
            system: {name: _shortened(value) for name, value in fields.items()}
            for system, fields in comment.items()
        }
    return {**notice, "text": text, "comment": comment}


def _shortened(value: object) -> object:
    if not isinstance(value, str):
        return value
    lines = value.splitlines()
    fenced = lines[0] == lines[-1] == "{noformat}"
    return "{noformat}\n…\n{noformat}" if fenced else "…"


_BUSY = f"Another execution holds solarmora.com: {_ARN}{_RUN}, since 2026-11-24T04:05:07Z. Nothing changed."


def _asked(**more: Any) -> Request:
    return Request.parse({"domain": "solarmora.com", "method": "none-policy", **_WHO, **more})


def _looked(asked: Request, execution: str, *, notify: bool) -> dict[str, Any] | None:
    record = (f"v=STSv1; id={_TUESDAY};",)
    return notices.checked(
        outcome(sight(record=record), asked), asked, execution, NOW, notify=notify
    )


def _drained() -> dict[str, Any] | None:
    at = ALL_OFF + timedelta(minutes=5)
    asked = watch("drained", stamp(ALL_OFF))
    look = outcome(replace(draining(), now=at), asked)
    return notices.checked(
        look, asked, _ARN + _by_itself("drained", stamp(ALL_OFF)), at, notify=True
    )


def _found() -> dict[str, Any] | None:
    kept = item(current_id=_OURS)
    kept["ours"] = {**kept["ours"], "ids": [_OURS]}
    theirs = f"v=STSv1; id={_THEIRS};"
    answers = (said(theirs), said(theirs, server="ns2.example"), resolved(theirs))
    look = outcome(draining(answers=answers, item=kept), watch())
    return notices.checked(look, watch(), _ARN + _by_itself("watch", stamp(NOW)), NOW, notify=True)


def _by_itself(kind: str, at: str) -> str:
    return f"{kind}-solarmora-com-6f1b3c55-g1-{re.sub('[^0-9TZ]', '', at)}"


def _failed(run: str, changed: str, error: str, cause: str) -> dict[str, Any]:
    made = plan(**_WHO)
    failure = {"Error": error, "Cause": cause}
    subject, text = messages.failed(
        made.domain, changed, failure, "Claim Domain", made, confirmed=""
    )
    told = {"subject": subject, "text": text, "changed": changed, "domain": made.domain}
    asked = {"domain": made.domain, "method": made.method, **_WHO}
    return notices.failed(asked, made, told, error, _ARN + run, NOW + timedelta(minutes=3))


def main() -> None:
    """Write the examples into the page."""
    path = ROOT / "docs/notices.md"
    page = path.read_text()
    for kind, notice in examples().items():
        block = json.dumps(shown(notice), indent=2, ensure_ascii=False)
        block = re.sub(r"\[\s[^]]*\]", lambda found: json.dumps(json.loads(found[0])), block)
        pattern = rf"(?s)(\n### {kind}\n\n```json\n).*?(\n```\n)"
        page, count = re.subn(pattern, lambda m, block=block: m[1] + block + m[2], page)  # type: ignore[misc]
        if count != 1:
            raise SystemExit(f"docs/notices.md has no example of {kind}")
    path.write_text(page)


if __name__ == "__main__":
    main()
