"""Runs the emulator, or the SAM CLI, in its own environment and tied to the process that began it.

`launcher.py emulator FD` serves ministack on the bound socket FD; `launcher.py sam ARGUMENT...` is
the SAM CLI. Both end, with every process they started, when standard input closes: a parent that is
killed cannot clean up, but the kernel closes its end of the pipe. The parent must therefore start
this in a session of its own and keep a pipe to it open.

This file runs on the emulator's or the SAM CLI's own interpreter, never on that of the lab.

What ministack 1.5.33 lacks and AWS does is added here, each by one `mend_` function, which first
looks whether ministack still is as the mend expects it; tests/contract/test_emulator.py and
test_authorisations.py prove each from outside.
"""

import asyncio
import contextlib
import importlib
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree as ET

# A folder of files named after distributions whose invalidations must stay InProgress.
HOLD = "MTA_STS_LAB_HOLD"
# The file that takes a JSON line for each thing that a role asked for, and whether it was allowed.
AUTHORISATIONS = "MTA_STS_LAB_AUTHORISATIONS"
# The folder to take away when the parent is gone.
REMOVE = "MTA_STS_LAB_REMOVE"
# Names an exception in a worker's answer; no handler's own result has it.
MARK = "\N{NULL}"


def tie_to_parent(folder: str) -> None:
    """End this process group, and take `folder` away, when standard input closes."""

    def wait() -> None:
        # Not by sys.stdin, whose lock would be held while the interpreter ends.
        while os.read(0, 4096):
            continue
        try:
            # From outside the group, after its end: until then its workers go on to write files.
            subprocess.Popen(
                [sys.executable, __file__, "remove", str(os.getpgrp()), folder],
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            ).wait()
        finally:
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def remove(group: int, folder: str) -> None:
    """End a process group, then take a folder away, also what was being written at that moment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.05)


def refuse(what: str) -> NoReturn:
    """Stop, because this ministack is not the one that the mends were written for."""
    sys.exit(f"local/launcher.py must be adapted to this version of ministack: {what} has changed")


def part(module: str, name: str) -> Any:
    """Return a part of ministack; those used here are internal, so look before use."""
    found = getattr(importlib.import_module(module), name, None)
    return refuse(f"{module}.{name}") if found is None else found


def function(module: str, name: str, *parameters: str) -> Callable[..., Any]:
    """Return a function of ministack, after a look whether these are still its first parameters."""
    found: Callable[..., Any] = part(module, name)
    if tuple(signature(found).parameters)[: len(parameters)] != parameters:
        refuse(f"the signature of {module}.{name}")
    return found


def put(module: str, name: str, replacement: object) -> None:
    """Put a replacement in the place of a part of ministack."""
    setattr(importlib.import_module(module), name, replacement)


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


def mend_route53_authorisation() -> None:
    """Supply Route 53's condition keys, and the resource of GetChange, to the IAM evaluation.

    Service authorisation reference, "Actions, resources, and condition keys for Amazon Route 53":
    record names normalised (lower case, no final dot), record types and actions of the batch.
    """
    module, change = "ministack.core.iam_actions", "route53:ChangeResourceRecordSets"
    parameters = ("service", "iam_action", "body", "params")
    context = function(module, "request_tag_context", *parameters)
    resource = function(module, "extract_resource_arn", "service", "method", "path")

    def with_batch(service: str, iam_action: str, body: bytes, params: Any) -> Any:
        keys = context(service, iam_action, body, params)
        if iam_action != change:
            return keys
        try:
            batch = ET.fromstring(body)  # noqa: S314 - the lab's own clients on loopback
        except ET.ParseError:
            return keys  # without the keys a guarded statement denies

        def texts(path: str) -> list[str]:
            return [element.text or "" for element in batch.findall(f".//{path}")]

        names = texts("{*}ResourceRecordSet/{*}Name")
        return {
            **keys,
            f"{change}NormalizedRecordNames": [name.lower().rstrip(".") for name in names],
            f"{change}RecordTypes": texts("{*}ResourceRecordSet/{*}Type"),
            f"{change}Actions": texts("{*}Change/{*}Action"),
        }

    def with_change(service: str, method: str, path: str, *rest: Any) -> Any:
        before, _, change_id = path.rpartition("/")
        if service == "route53" and before.endswith("/change"):
            return f"arn:aws:route53:::change/{change_id}"
        return resource(service, method, path, *rest)

    put(module, "request_tag_context", with_batch)
    put(module, "extract_resource_arn", with_change)


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


def mend_s3_authorisation() -> None:
    """Demand what S3 demands beside the action itself; ministack lets that pass.

    S3 API reference: "GetObject" (a missing object is told only to who may list the bucket) and
    "PutObject" (tags need s3:PutObjectTagging; a KMS key that encrypts needs kms:GenerateDataKey,
    and kms:Decrypt to read).
    """
    module, service = "ministack.core.iam_actions", "ministack.services.s3"
    checks = function(module, "s3_additional_checks", "method", "path", "headers", "body")
    action_of = function(module, "_s3_action", "method", "path", "query_params")
    parameter = function(module, "_query_param", "query_params", "key")
    encrypted_by = function(service, "_resolve_sse_write_headers", "headers", "bucket_name")
    of_version = function(service, "_object_record_from_version", "v")
    buckets, versions = part(service, "_buckets"), part(service, "_object_versions")
    key_header = "x-amz-server-side-encryption-aws-kms-key-id"

    def read(bucket: str, key: str, version: str) -> list[tuple[str, str]]:
        listed = versions.get((bucket, key), [])
        found = [of_version(each) for each in listed if each["version_id"] == version]
        if not version:
            found = [each for each in [buckets[bucket]["objects"].get(key)] if each]
            if not found:
                return [("s3:ListBucket", f"arn:aws:s3:::{bucket}")]
        keys = (each.get("preserved_headers", {}).get(key_header) for each in found)
        return [("kms:Decrypt", each) for each in keys if each]

    def written(bucket: str, headers: Any, where: str) -> list[tuple[str, str]]:
        more = [("s3:PutObjectTagging", where)] if headers.get("x-amz-tagging") else []
        key = (encrypted_by(headers, bucket)[0] or {}).get(key_header)
        return more + ([("kms:GenerateDataKey", key)] if key else [])

    def all_checks(method: str, path: str, headers: Any, body: bytes, params: Any) -> Any:
        known, action = checks(method, path, headers, body, params), action_of(method, path, params)
        bucket, _, key = path.strip("/").partition("/")
        if bucket not in buckets:
            return known
        if action in {"GetObject", "GetObjectVersion"}:
            known += read(bucket, key, parameter(params, "versionId"))
        elif action == "PutObject":
            known += written(bucket, headers, f"arn:aws:s3:::{bucket}/{key}")
        return known

    put(module, "s3_additional_checks", all_checks)


def mend_logs() -> None:
    """Write a function's log only where its role may, as Lambda does; ministack asks no role.

    Lambda developer guide, "Sending Lambda function logs to CloudWatch Logs".
    """
    module, evaluator = "ministack.services.lambda_svc", "ministack.core.iam_evaluator"
    emit = function(module, "_emit_lambda_logs", "func", "request_id")
    policies = function(evaluator, "_gather_role_policies", "role_name", "account_id")
    boundary = function(evaluator, "_permissions_boundary", "store", "name", "account_id")
    context, roles = part(evaluator, "EvalContext"), part("ministack.services.iam", "_roles")

    def emitted(func: Any, request_id: str, *rest: Any, **more: Any) -> None:
        config = func.get("config") or func
        _, _, _, region, account, _, name, *_ = config["FunctionArn"].split(":")
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        role = config["Role"].rpartition("/")[2]
        limits = boundary(roles, role, account)
        decisions = []
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            asked = context(
                principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{name}",
                principal_type="AssumedRole",
                principal_account=account,
                action=action,
                resource_arn=f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{name}",
                region=region,
            )
            given = part(evaluator, "evaluate")(asked, policies(role, account), *limits)
            part(evaluator, "recorded")(asked, given.decision)
            decisions.append(given.decision)
        if set(decisions) == {"Allow"}:
            emit(func, request_id, *rest, **more)

    put(module, "_emit_lambda_logs", emitted)


def mend_topics() -> None:
    """Let a topic that CloudFormation made be open to its owner alone, as CreateTopic makes it.

    SNS API reference, "SetTopicAttributes": the default policy lets only the owner publish. ministack
    leaves the condition out here, so that every role may, whatever its own policies say.
    """
    module, default = "ministack.services.sns", '"__default_statement_ID"'
    policy_of = function(module, "topic_policy_for_arn", "topic_arn")

    def closed(topic_arn: str) -> Any:
        found = policy_of(topic_arn)
        if not found or default not in found[0]:
            return found
        policy, owner = json.loads(found[0]), found[1]
        policy["Statement"][0]["Condition"] = {"StringEquals": {"AWS:SourceOwner": owner}}
        return json.dumps(policy), owner

    put(module, "topic_policy_for_arn", closed)


def mend_authorisations(file: Path) -> None:
    """Write down each decision on what a role asked for, with all that it was decided from."""
    module = "ministack.core.iam_evaluator"
    enforce = function(module, "enforce", "access_key_id", "iam_action", "service")
    evaluate = function(module, "evaluate", "ctx", "policies")
    last = threading.local()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def recorded(context: Any, decision: str) -> None:
        role = context.principal_arn.split("/")[1]
        line = json.dumps({"role": role, "decision": decision, "context": asdict(context)})
        os.write(descriptor, f"{line}\n".encode())  # at once: several threads do

    def evaluated(context: Any, *layers: Any) -> Any:
        # The first is what the role may by itself; the policy of a resource may come after it.
        if getattr(last, "context", context) is None:
            last.context = context
        return evaluate(context, *layers)

    def enforced(*given: Any, **more: Any) -> Any:
        last.context = None
        denied = enforce(*given, **more)
        if last.context and last.context.principal_type == "AssumedRole":
            recorded(last.context, denied.decision if denied else "Allow")
        return denied

    put(module, "enforce", enforced)
    put(module, "evaluate", evaluated)
    put(module, "recorded", recorded)


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


def serve(descriptor: int) -> None:
    """Serve ministack on a socket that the parent has bound, so that no port is ever guessed."""
    config = part("hypercorn.config", "Config")()
    config.bind = [f"fd://{descriptor}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    asyncio.run(part("hypercorn.asyncio", "serve")(part("ministack.app", "app"), config))


def main(kind: str, *arguments: str) -> None:
    """Run what is asked for."""
    # The folder of this script would otherwise come first and shadow modules of the tools.
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    if kind == "remove":
        group, folder = arguments
        remove(int(group), folder)
        return
    # Taken out of the environment, because every function's process inherits it.
    tie_to_parent(os.environ.pop(REMOVE))
    if kind == "sam":
        sys.argv = ["sam", *arguments]
        runpy.run_module("samcli", run_name="__main__", alter_sys=True)
        return
    hold, authorisations = Path(os.environ.pop(HOLD)), Path(os.environ.pop(AUTHORISATIONS))
    mend_exceptions()
    mend_authorisations(authorisations)
    mend_route53_authorisation()
    mend_s3_authorisation()
    mend_logs()
    mend_topics()
    mend_invalidations(hold)
    mend_history()
    mend_any_method()
    serve(int(arguments[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
