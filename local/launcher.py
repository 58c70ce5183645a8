"""Runs the emulator, or the SAM CLI, inside its own environment and tied to the process that began it.

`launcher.py emulator FD` serves ministack on the bound socket FD; `launcher.py sam ARGUMENT...` is
the SAM CLI. Both end, with every process they started, when standard input closes: a parent that is
killed cannot clean up, but the kernel closes its end of the pipe. The parent must therefore start
this in a session of its own and keep a pipe to it open.

This file runs on the emulator's or the SAM CLI's own interpreter, never on that of the lab.

What ministack 1.5.33 lacks and AWS does is added here, each by one `mend_` function, which first
looks whether ministack still is as the mend expects it; tests/contract/test_emulator.py proves
each from outside.
"""

import os
import runpy
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from xml.etree import ElementTree as ET

# A folder of files named after distributions whose invalidations must stay InProgress.
HOLD_FOLDER = "MTA_STS_LAB_HOLD"
# Parts an exception's class from its message on the way out of a worker process.
MARK = "\N{NULL}"


def tie_to_parent() -> None:
    """End this process group, and remove its temporary folder, when standard input closes."""

    def wait() -> None:
        # Not by sys.stdin, whose lock would be held while the interpreter ends.
        while os.read(0, 4096):
            continue
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def refuse(what: str) -> NoReturn:
    """Stop, because this ministack is not the one that the mends were written for."""
    sys.exit(f"local/launcher.py must be adapted to this version of ministack: {what} has changed")


def expect_parameters(module: ModuleType, name: str, *parameters: str) -> Callable[..., Any]:
    """Return a function of ministack, after a look whether it still takes these parameters first."""
    function = getattr(module, name, None)
    if function is None or tuple(signature(function).parameters)[: len(parameters)] != parameters:
        refuse(f"{module.__name__}.{name}")
    found: Callable[..., Any] = function
    return found


def mend_exception_names() -> None:
    """Give the state machine the class name of a Python exception, as Lambda does (errorType).

    ministack says `Runtime.HandlerError` for every one, so that no Catch or Retry would match.
    """
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    says = '"error": str(e), "trace"'
    shall_say = f'"error": type(e).__name__ + {MARK!r} + str(e), "trace"'
    if lambda_runtime._PYTHON_WORKER_SCRIPT.count(says) != 1:
        refuse("the worker's answer to an exception")
    script = lambda_runtime._PYTHON_WORKER_SCRIPT.replace(says, shall_say)
    lambda_runtime._PYTHON_WORKER_SCRIPT = script
    execute = expect_parameters(lambda_svc, "_execute_function_warm", "func", "event", "request_id")

    def named(func: Any, event: Any, request_id: str) -> Any:
        result = execute(func, event, request_id)
        body = result.get("body")
        if result.get("error") and MARK in body["errorMessage"]:
            body["errorType"], _, body["errorMessage"] = body["errorMessage"].partition(MARK)
        return result

    lambda_svc._execute_function_warm = named


def mend_route53_authorisation() -> None:
    """Supply Route 53's condition keys, and the resource of GetChange, to the IAM evaluation.

    Service authorisation reference, "Actions, resources, and condition keys for Amazon Route 53":
    record names normalised (lower case, no final dot), record types and actions of the batch.
    """
    from ministack.core import iam_actions

    context = expect_parameters(
        iam_actions, "request_tag_context", "service", "iam_action", "body", "params"
    )
    resource = expect_parameters(iam_actions, "extract_resource_arn", "service", "method", "path")
    change = "route53:ChangeResourceRecordSets"

    def with_batch(service: str, iam_action: str, body: bytes, params: Any) -> Any:
        keys = context(service, iam_action, body, params)
        if iam_action != change:
            return keys
        try:
            batch = ET.fromstring(body)  # noqa: S314 - the lab's own clients on loopback
        except ET.ParseError:
            return keys  # without the keys a guarded statement denies, and the handler answers 400

        def texts(tag: str) -> list[str]:
            return [element.text or "" for element in batch.iter(f"{{*}}{tag}")]

        names = [element.findtext("{*}Name", "") for element in batch.iter("{*}ResourceRecordSet")]
        return {
            **keys,
            f"{change}NormalizedRecordNames": [name.lower().rstrip(".") for name in names],
            f"{change}RecordTypes": texts("Type"),
            f"{change}Actions": texts("Action"),
        }

    def with_change(service: str, method: str, path: str, *rest: Any) -> Any:
        before, _, change_id = path.rpartition("/")
        if service == "route53" and before.endswith("/change"):
            return f"arn:aws:route53:::change/{change_id}"
        return resource(service, method, path, *rest)

    iam_actions.request_tag_context = with_batch
    iam_actions.extract_resource_arn = with_change


def mend_invalidations(hold: Path) -> None:
    """Keep the invalidations of a distribution InProgress while a file in `hold` has its id.

    On AWS an invalidation takes a while; ministack completes it before it answers.
    """
    from ministack.services import cloudfront

    create = expect_parameters(cloudfront, "_create_invalidation", "dist_id", "body")
    get = expect_parameters(cloudfront, "_get_invalidation", "dist_id", "inv_id")
    list_all = expect_parameters(cloudfront, "_list_invalidations", "dist_id")
    done, running = "Completed", "InProgress"

    def settle(dist_id: str) -> None:
        if (hold / dist_id).exists():
            return
        for each in cloudfront._invalidations.get(dist_id, []):
            each["Status"] = done

    def created(dist_id: str, body: bytes) -> Any:
        settle(dist_id)
        known = len(cloudfront._invalidations.get(dist_id, []))
        status, headers, answer = create(dist_id, body)
        new = cloudfront._invalidations.get(dist_id, [])[known:]
        if not new or not (hold / dist_id).exists():
            return status, headers, answer
        new[0]["Status"] = running
        says, shall_say = (f"<Status>{word}</Status>".encode() for word in (done, running))
        if answer.count(says) != 1:
            refuse("the answer to CreateInvalidation")
        return status, headers, answer.replace(says, shall_say)

    def got(dist_id: str, inv_id: str) -> Any:
        settle(dist_id)
        return get(dist_id, inv_id)

    def listed(dist_id: str) -> Any:
        settle(dist_id)
        return list_all(dist_id)

    cloudfront._create_invalidation = created
    cloudfront._get_invalidation = got
    cloudfront._list_invalidations = listed


def serve(descriptor: int) -> None:
    """Serve ministack on a socket that the parent has bound, so that no port is ever guessed."""
    import asyncio

    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config
    from ministack.app import app

    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    asyncio.run(hypercorn(app, config))


def main(kind: str, *arguments: str) -> None:
    """Run what is asked for."""
    # The folder of this script would otherwise come first and shadow modules of the tools.
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    tie_to_parent()
    if kind == "sam":
        sys.argv = ["sam", *arguments]
        runpy.run_module("samcli", run_name="__main__", alter_sys=True)
        return
    # Taken away, because the functions' processes inherit this environment.
    hold = Path(os.environ.pop(HOLD_FOLDER))
    mend_exception_names()
    mend_route53_authorisation()
    mend_invalidations(hold)
    serve(int(arguments[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
