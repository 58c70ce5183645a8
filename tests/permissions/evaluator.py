"""Decides by the emulator's own evaluator, so that a replay can differ from reality in nothing else.

`python evaluator.py` is the half that runs in the emulator's environment.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

# A policy document; what a request is decided from (`Authorisation.context`).
Document = Mapping[str, Any]
Context = Mapping[str, Any]

REGION, ACCOUNT = "us-east-1", "000000000000"


def allowed(
    contexts: Sequence[Context], variants: Sequence[Sequence[Document]]
) -> list[list[bool]]:
    """Tell for each variant, the documents of one role, which of the requests it allows."""
    from local import environments  # noqa: PLC0415 - the other half does not have it

    done = subprocess.run(
        [environments.executable("emulator"), "-I", __file__],
        input=json.dumps({"contexts": contexts, "variants": variants}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: list[list[bool]] = json.loads(done.stdout)
    return answer


def request(action: str, resource: str = "*", **keys: str) -> Context:
    """Compose what a request is decided from; `keys` are condition keys, `__` for `:`."""
    return {
        "principal_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/anybody/me",
        "principal_type": "AssumedRole",
        "principal_account": ACCOUNT,
        "action": action,
        "resource_arn": resource,
        "region": REGION,
        "service_context": {name.replace("__", ":").lower(): value for name, value in keys.items()},
    }


def _answer(asked: Mapping[str, Any]) -> list[list[bool]]:
    ministack = importlib.import_module("ministack.core.iam_evaluator")
    contexts = [ministack.EvalContext(**context) for context in asked["contexts"]]
    parsed = [
        [ministack.parse_policy_document(document) for document in variant]
        for variant in asked["variants"]
    ]
    return [
        [ministack.evaluate(context, variant).decision == "Allow" for context in contexts]
        for variant in parsed
    ]


if __name__ == "__main__":
    json.dump(_answer(json.load(sys.stdin)), sys.stdout)
