"""Mends of the emulator: what ministack 1.5.33 lacks and AWS does.

Each is one `mend_` function, which first looks whether ministack still is as the mend expects it;
tests/contract/test_emulator.py, test_authorisations.py and test_emulated_*.py prove each from
outside. These modules run on the emulator's own interpreter, never on that of the lab.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local import mends_access, mends_alarms, mends_events
from local.mending import function, part, put, refuse

# Names an exception in a worker's answer; no handler's own result has it.
MARK = "\N{NULL}"


def mend(hold: Path, authorisations: Path, authorities: Path) -> None:
    """Mend everything.

    `hold` is a folder of files named after distributions whose invalidations must stay InProgress;
    `authorisations` the file that takes a JSON line for each thing that a role asked for;
    `authorities` a PEM file, there or not, that API destinations are trusted by.
    """
    mend_exceptions()
    mends_alarms.mend()  # before access: what a role may not write to the log is no figure either
    mends_access.mend(authorisations)
    mend_invalidations(hold)
    mend_history()
    mend_any_method()
    mend_message_attributes()
    mends_events.mend(authorities)


def mend_exceptions() -> None:
    """Hand a Python exception to the state machine as Lambda does: by its class, from a worker that lives on.

    ministack says `Runtime.HandlerError` for every one, so that no Catch or Retry would match, and
    ends the worker, so that whatever comes after a refusal starts cold. On AWS an execution
    environment outlives what its handler raises ("Understanding the Lambda execution environment
    lifecycle"): only a crash or a timeout ends it, and those ministack still sees as such.

    So the worker answers that all went well, with the exception as its result, which is taken out
    of the answer here.
    """
    runtime, service = "ministack.core.lambda_runtime", "ministack.services.lambda_svc"
    script = part(runtime, "_PYTHON_WORKER_SCRIPT")
    says = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
    raised = f"{{{MARK!r}: [type(e).__name__, str(e), traceback.format_exc()]}}"
    if script.count(says) != 1:
        refuse("the worker's answer to an exception")
    execute = function(service, "_execute_function_warm", "func", "event", "request_id")

    def told(func: Any, event: Any, request_id: str) -> Any:
        answer = execute(func, event, request_id)
        body = answer.get("body")
        if not isinstance(body, dict) or MARK not in body:
            return answer
        name, message, trace = body[MARK]
        return {
            "body": {"errorMessage": message, "errorType": name},
            "error": True,
            "log": "\n".join(filter(None, [answer.get("log"), trace])),
        }

    put(
        runtime,
        "_PYTHON_WORKER_SCRIPT",
        script.replace(says, f'{{"status": "ok", "result": {raised}}}'),
    )
    put(service, "_execute_function_warm", told)


def mend_invalidations(hold: Path) -> None:
    """Keep the invalidations of a distribution InProgress while a file in `hold` has its id.

    On AWS an invalidation takes a while; ministack completes it before it answers.
    """
    module = "ministack.services.cloudfront"
    all_of_them = part(module, "_invalidations")
    create = function(module, "_create_invalidation", "dist_id", "body")
    done, running = "Completed", "InProgress"

    def settle(dist_id: str) -> list[dict[str, Any]]:
        known: list[dict[str, Any]] = all_of_them.get(dist_id, [])
        for each in known:
            if not (hold / dist_id).exists():
                each["Status"] = done
        return known

    def created(dist_id: str, body: bytes) -> Any:
        before = len(settle(dist_id))
        status, headers, answer = create(dist_id, body)
        new = all_of_them.get(dist_id, [])[before:]
        if not new or not (hold / dist_id).exists():
            return status, headers, answer
        new[0]["Status"] = running
        says, shall_say = (f"<Status>{word}</Status>".encode() for word in (done, running))
        if answer.count(says) != 1:
            refuse("the answer to CreateInvalidation")
        return status, headers, answer.replace(says, shall_say)

    put(module, "_create_invalidation", created)
    for name in ("_get_invalidation", "_list_invalidations"):
        read = function(module, name, "dist_id")

        def settled(dist_id: str, *rest: str, read: Callable[..., Any] = read) -> Any:
            settle(dist_id)
            return read(dist_id, *rest)

        put(module, name, settled)


def mend_history() -> None:
    """Tell in an execution's history what each task was sent, as AWS does; ministack leaves it out.

    Step Functions API reference, "TaskScheduledEventDetails": `parameters` is JSON text. Each
    attempt evaluates its arguments and is scheduled by the same thread, one right after the other.
    """
    module, scheduled = "ministack.services.stepfunctions", "TaskScheduled"
    arguments = function(module, "_apply_jsonata_arguments", "state_def", "raw_input", "ctx")
    add = function(module, "_add_event", "execution", "event_type", "details")
    last = threading.local()

    def evaluated(*given: Any) -> Any:
        last.arguments = arguments(*given)
        return last.arguments

    def added(execution: Any, event_type: str, details: Any = None) -> Any:
        if event_type == scheduled:
            details["taskScheduledEventDetails"]["parameters"] = json.dumps(last.arguments)
        return add(execution, event_type, details)

    put(module, "_apply_jsonata_arguments", evaluated)
    put(module, "_add_event", added)


def mend_any_method() -> None:
    """Take over an API's method for any verb, which ministack leaves out of a description.

    API Gateway developer guide, "x-amazon-apigateway-any-method Object".
    """
    module, known = "ministack.services.apigateway_v1", "x-amazon-apigateway-any-method"
    take_over = function(module, "_import_path_item", "api_id", "path", "path_item")
    part(module, "_OPENAPI_HTTP_METHODS").add("any")

    def all_taken_over(api_id: str, path: str, item: Any, *rest: Any) -> None:
        take_over(api_id, path, {"any" if key == known else key: item[key] for key in item}, *rest)

    put(module, "_import_path_item", all_taken_over)


def mend_message_attributes() -> None:
    """Take the attributes of a message from a state machine, too, which ministack drops.

    Step Functions developer guide, "Publish messages to an Amazon SNS topic with Step Functions".
    """
    module = "ministack.services.sns"
    of_a_form = function(module, "_parse_message_attributes", "params")

    def parsed(params: dict[str, Any]) -> Any:
        # Arguments of a state are JSON, and no form.
        return params.get("MessageAttributes") or of_a_form(params)

    put(module, "_parse_message_attributes", parsed)
