"""Mends of the emulator: who may do what, and a record of every decision."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from local.mending import function, part, put


def mend(authorisations: Path) -> None:
    """Mend all of it; `authorisations` takes a JSON line for each decision on what a role asked for."""
    mend_authorisations(authorisations)
    mend_route53_authorisation()
    mend_events_authorisation()
    mend_s3_authorisation()
    mend_logs()
    mend_failures()
    mend_topics()


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


def mend_events_authorisation() -> None:
    """Supply the condition keys of PutEvents, source and detail type, to the IAM evaluation.

    Service authorisation reference, "Actions, resources, and condition keys for Amazon EventBridge".
    """
    module = "ministack.core.iam_actions"
    parameters = ("service", "iam_action", "body", "params")
    context = function(module, "request_tag_context", *parameters)

    def with_entries(service: str, iam_action: str, body: bytes, params: Any) -> Any:
        keys = context(service, iam_action, body, params)
        if iam_action != "events:PutEvents":
            return keys
        entries = json.loads(body).get("Entries", [])

        def told(name: str) -> Any:
            # Of several entries with one value AWS makes one; no caller here sends several others.
            values = list(dict.fromkeys(str(entry.get(name, "")) for entry in entries))
            return values[0] if len(values) == 1 else values

        return {
            **keys,
            "events:source": told("Source"),
            "events:detail-type": told("DetailType"),
        }

    put(module, "request_tag_context", with_entries)


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


def decided(
    role_arn: str, session: str, action: str, resource: str, region: str
) -> tuple[Any, str]:
    """Decide what a service asks for by a role: the context, and Allow, ImplicitDeny or Deny."""
    evaluator = "ministack.core.iam_evaluator"
    policies = function(evaluator, "_gather_role_policies", "role_name", "account_id")
    boundary = function(evaluator, "_permissions_boundary", "store", "name", "account_id")
    account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    asked = part(evaluator, "EvalContext")(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=region,
    )
    limits = boundary(part("ministack.services.iam", "_roles"), role, account)
    given = part(evaluator, "evaluate")(asked, policies(role, account), *limits)
    return asked, str(given.decision)


def mend_logs() -> None:
    """Write a function's log only where its role may, as Lambda does; ministack asks no role.

    Lambda developer guide, "Sending Lambda function logs to CloudWatch Logs".
    """
    module, evaluator = "ministack.services.lambda_svc", "ministack.core.iam_evaluator"
    emit = function(module, "_emit_lambda_logs", "func", "request_id")

    def emitted(func: Any, request_id: str, *rest: Any, **more: Any) -> None:
        config = func.get("config") or func
        _, _, _, region, account, _, name, *_ = config["FunctionArn"].split(":")
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}"
        stream = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{name}"
        decisions = []
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            asked, decision = decided(config["Role"], name, action, stream, region)
            part(evaluator, "recorded")(asked, decision)
            decisions.append(decision)
        if set(decisions) == {"Allow"}:
            emit(func, request_id, *rest, **more)

    put(module, "_emit_lambda_logs", emitted)


def mend_failures() -> None:
    """Send what a function failed at only where its role may, as Lambda does; ministack asks no role.

    Lambda developer guide, "Capturing records of Lambda asynchronous invocations".
    """
    module, evaluator = "ministack.services.lambda_svc", "ministack.core.iam_evaluator"
    parameters = ("target_arn", "func_name", "event", "result")
    send, functions = (
        function(module, "_route_async_failure", *parameters),
        part(module, "_functions"),
    )

    def sent(target: str, name: str, event: Any, result: Any) -> None:
        config, service = functions[name]["config"], target.split(":")[2]
        action = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}
        region = config["FunctionArn"].split(":")[3]
        asked, decision = decided(config["Role"], name, action[service], target, region)
        part(evaluator, "recorded")(asked, decision)
        if decision == "Allow":
            send(target, name, event, result)

    put(module, "_route_async_failure", sent)


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
