"""Mends of the emulator: EventBridge, its Scheduler, and what becomes of what they cannot deliver.

Where AWS tries for hours, this tries for a second or two: how often it tries, and what for, is AWS's.
"""

import contextvars
import email.utils
import hashlib
import json
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.mending import function, part, put
from local.mends_access import decided

EVENTS, SCHEDULER = "ministack.services.eventbridge", "ministack.services.scheduler"
QUEUES, RESOURCES = "ministack.services.sqs", "ministack.services.cloudformation.provisioners"
# Retries of an API destination at most, whatever its rule says, and the pauses before them.
MOST_RETRIES = 3
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 2.0
# EventBridge user guide, "API destinations": these are tried again, and every 5xx.
TRIED_AGAIN = {401, 407, 409, 429}
SERVER_ERRORS = 500
REDIRECTIONS, ERRORS = 300, 400


def mend(authorities: Path) -> None:
    """Mend all of it; `authorities` is a PEM file of what API destinations are trusted by beside all else."""
    mend_resources()
    mend_asynchronous_targets()
    mend_targets()
    mend_destinations()
    mend_trust(authorities)


def mend_resources() -> None:
    """Let CloudFormation make connections and API destinations, which only the API does here.

    Template reference, "AWS::Events::Connection" and "AWS::Events::ApiDestination": Ref is the name,
    Arn an attribute. References to a secret are resolved before this, as for every resource.
    """
    handlers = part(RESOURCES, "_RESOURCE_HANDLERS")
    physical_name = function(RESOURCES, "_physical_name", "stack_name", "logical_id")

    def done(answer: Any) -> dict[str, Any]:
        status, _, body = answer
        said: dict[str, Any] = json.loads(body)
        if status >= ERRORS:
            raise ValueError(f"EventBridge refused it: {said}")
        return said

    def handler(kind: str, arn: str) -> dict[str, Any]:
        create, update, delete = (
            function(EVENTS, f"_{verb}_{kind}", "data") for verb in ("create", "update", "delete")
        )

        def created(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, Any]:
            name = props.get("Name") or physical_name(stack, logical_id, max_len=64)
            return name, {"Arn": done(create({**props, "Name": name}))[arn]}

        def updated(name: str, _: Any, props: dict[str, Any], *__: Any) -> tuple[str, Any]:
            return name, {"Arn": done(update({**props, "Name": name}))[arn]}

        def deleted(name: str, _: Any) -> None:
            delete({"Name": name})

        return {"create": created, "update": updated, "delete": deleted}

    handlers["AWS::Events::Connection"] = handler("connection", "ConnectionArn")
    handlers["AWS::Events::ApiDestination"] = handler("api_destination", "ApiDestinationArn")


def mend_asynchronous_targets() -> None:
    """Let a function that a rule or a schedule calls be tried again, and fail to its destination.

    Lambda developer guide, "Invoking a Lambda function asynchronously": what ministack does for
    other asynchronous calls only.
    """
    service = "ministack.services.lambda_svc"
    record_of = function(service, "_get_func_record_for_ref", "function_ref")
    with_config = function(service, "_execution_record_for_config", "func", "config")
    invoke = function(service, "invoke_async_with_retry", "func", "event")
    function(EVENTS, "_dispatch_to_lambda", "arn", "payload")

    def dispatched(arn: str, payload: str) -> None:
        func, config, _ = record_of(arn)
        if func and config:
            invoke(with_config(func, config), json.loads(payload))

    put(EVENTS, "_dispatch_to_lambda", dispatched)


@dataclass(frozen=True)
class Delivery:
    """What is on its way to a target of a rule, or of a schedule.

    `body` and `attributes` are what a dead letter has of it; `sender` is the ARN of the rule or the
    schedule.
    """

    target: Mapping[str, Any]
    sender: str
    body: str
    attributes: Mapping[str, str]

    def fail(self, code: str, message: str, attempts: int = 0) -> None:
        """Send the dead letter, if there is a queue for it that takes it.

        EventBridge user guide, "Using dead-letter queues": the queue's policy lets in a rule's.
        Scheduler user guide, "Configuring a dead-letter queue": the schedule's role sends its own.
        """
        arn = (self.target.get("DeadLetterConfig") or {}).get("Arn", "")
        queue = part(QUEUES, "_queue_by_arn")(arn)
        if queue is None or not self._may_send(arn):
            return
        said = {
            **self.attributes,
            "TARGET_ARN": self.target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "RETRY_ATTEMPTS": str(attempts),
            **({"EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"} if attempts else {}),
        }
        queue["messages"].append(letter(self.body, said))

    @property
    def schedule(self) -> bool:
        """Whether a schedule sends it, which does all by its role."""
        return self.sender.split(":")[2] == "scheduler"

    def _may_send(self, queue: str) -> bool:
        account, region = self.sender.split(":")[4], self.sender.split(":")[3]
        if self.schedule:
            return self.may("sqs:SendMessage", queue)
        allows = function(QUEUES, "queue_policy_allows", "queue_arn", "service", "source_arn")
        # In the thread of a delivery there is no request whose region would be taken.
        part("ministack.core.responses", "set_request_region")(region)
        return bool(allows(queue, "events.amazonaws.com", self.sender, account))

    def may(self, action: str, resource: str) -> bool:
        """Tell whether the target's role allows it."""
        role, region = self.target.get("RoleArn"), self.sender.split(":")[3]
        return bool(role) and decided(str(role), "events", action, resource, region)[1] == "Allow"


def letter(body: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Make a message as the queues here keep it."""
    now = time.time()
    listed = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
    return {
        "id": str(uuid.uuid4()),
        "body": body,
        "md5_body": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "md5_attrs": function(QUEUES, "_md5_msg_attrs", "attrs")(listed),
        "receipt_handle": None,
        "sent_at": now,
        "visible_at": now,
        "receive_count": 0,
        "first_receive_at": None,
        "message_attributes": listed,
        "sys": {"SenderId": "AROAEXAMPLE", "SentTimestamp": str(int(now * 1000))},
        "group_id": None,
        "dedup_id": None,
        "dedup_cache_key": None,
        "seq": None,
    }


# The delivery that a thread is at: where ministack builds a request it knows the target no more.
_present: contextvars.ContextVar[Delivery] = contextvars.ContextVar("delivery")


def mend_targets() -> None:
    """Fill in what a schedule knows, and turn what has no target, or no right to it, into a dead letter."""
    # It looks for what is due that often; a test need not wait so long.
    part(SCHEDULER, "_SCHEDULE_TICK_INTERVAL")
    put(SCHEDULER, "_SCHEDULE_TICK_INTERVAL", 1)
    invoke = function(EVENTS, "_invoke_target", "target", "event", "rule", "view")
    view_of = function(EVENTS, "_pattern_event_view", "event")
    moment_of = function(SCHEDULER, "_at_time_epoch", "expr")

    def on_schedule(target: dict[str, Any], event: Any, schedule: Any) -> Delivery:
        moment = moment_of(schedule["ScheduleExpression"]) or event["Time"]
        at = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        execution = str(uuid.uuid4())
        filled = target.get("Input", "")
        for name, value in {
            "scheduled-time": at,
            "execution-id": execution,
            "schedule-arn": schedule["Arn"],
            "attempt-number": "1",
        }.items():
            filled = filled.replace(f"<aws.scheduler.{name}>", value)
        known = {"EXECUTION_ID": execution, "SCHEDULE_ARN": schedule["Arn"], "SCHEDULED_TIME": at}
        sent = {**target, **({"Input": filled} if filled else {})}
        return Delivery(sent, schedule["Arn"], filled or "{}", known)

    def invoked(target: dict[str, Any], event: Any, rule: Any, view: Any = None) -> None:
        view = view or view_of(event)
        if "FlexibleTimeWindow" in rule:
            delivery = on_schedule(target, event, rule)
        else:
            body = json.dumps(view.event_with_detail())
            delivery = Delivery(target, rule["Arn"], body, {"RULE_ARN": rule["Arn"]})
        wrong = unreachable(delivery)
        if wrong:
            delivery.fail(*wrong)
            return
        _present.set(delivery)
        invoke(delivery.target, event, rule, view)

    put(EVENTS, "_invoke_target", invoked)


def unreachable(delivery: Delivery) -> tuple[str, str] | None:
    """Say why a target cannot be called at all: error code and message; None where it can be."""
    arn = str(delivery.target["Arn"])
    service, resource = arn.split(":")[2], arn.split(":", 5)[-1]
    kind = resource.partition("/")[0] if service == "events" else service
    exists: Callable[[], Any]
    exists, action, by_role = {
        "lambda": (
            lambda: part("ministack.services.lambda_svc", "_get_func_record_for_ref")(arn)[0],
            "lambda:InvokeFunction",
            delivery.schedule,
        ),
        "states": (
            lambda: part("ministack.services.stepfunctions", "_resolve_state_machine_arn")(arn),
            "states:StartExecution",
            True,
        ),
        "sqs": (
            lambda: part(QUEUES, "_queue_by_arn")(arn),
            "sqs:SendMessage",
            delivery.schedule,
        ),
        "api-destination": (
            lambda: part(EVENTS, "_api_destinations").get(resource.split("/")[1]),
            "events:InvokeApiDestination",
            True,
        ),
    }.get(kind, (lambda: True, "", False))
    if not exists():
        return "NO_RESOURCE", f"{arn} does not exist"
    if by_role and not delivery.may(action, arn):
        return "NO_PERMISSIONS", f"{delivery.target.get('RoleArn')} may not {action} on {arn}"
    return None


def mend_destinations() -> None:
    """Try an API destination again, as its answer asks for, and then give up to the dead-letter queue.

    EventBridge user guide, "API destinations": 401, 407, 409, 429 and 5xx are tried again, not before
    the moment that `Retry-After` names; all else fails at once.
    """
    build = function(EVENTS, "_build_api_destination_request", "dest", "conn")
    function(EVENTS, "_deliver_to_api_destination", "name", "request", "conn", "token_key")
    authorised = function(EVENTS, "_connection_auth_headers", "conn", "token_key")
    finished = function(EVENTS, "_finalize_api_dest_headers", "headers")

    def built(*given: Any) -> dict[str, Any]:
        return {**build(*given), "delivery": _present.get()}

    def sent(request: dict[str, Any], headers: Any) -> tuple[int, str, float]:
        asked = urllib.request.Request(  # noqa: S310 - it is opened by what takes http and https only
            request["url"],
            data=request["body"].encode(),
            headers=finished({**request["headers"], **headers}),
            method=request["method"],
        )
        try:
            with part(EVENTS, "_http_open")(asked) as answer:
                return answer.status, "", 0.0
        except urllib.error.HTTPError as error:
            return error.code, f"HTTP {error.code}", pause(error.headers.get("Retry-After"))
        except (OSError, ValueError) as error:
            return SERVER_ERRORS, f"{type(error).__name__}: {error}", 0.0

    def delivered(_: str, request: dict[str, Any], conn: Any, token_key: Any) -> None:
        delivery: Delivery = request["delivery"]
        policy = delivery.target.get("RetryPolicy") or {}
        retries = min(int(policy.get("MaximumRetryAttempts", 185)), MOST_RETRIES)
        message = ""
        for attempt in range(retries + 1):
            status, message, wait = sent(request, authorised(conn, token_key))
            if status < REDIRECTIONS:
                return
            if status not in TRIED_AGAIN and status < SERVER_ERRORS:
                delivery.fail("SDK_CLIENT_ERROR", message)
                return
            if attempt < retries:
                time.sleep(max(PAUSE_SECONDS, wait))
        delivery.fail("ERROR_FROM_TARGET", message, retries)

    put(EVENTS, "_build_api_destination_request", built)
    put(EVENTS, "_deliver_to_api_destination", delivered)


def mend_trust(authorities: Path) -> None:
    """Let API destinations be trusted by the lab's own authority as well.

    On AWS they have to have a certificate of a public one; no setting changes that.
    """
    function(EVENTS, "_http_open", "req", "timeout")
    never_elsewhere = part(EVENTS, "_NoFollowRedirect")

    def opened(request: urllib.request.Request, timeout: int = 5) -> Any:
        context = ssl.create_default_context()
        if authorities.exists():
            context.load_verify_locations(authorities)
        https = urllib.request.HTTPSHandler(context=context)
        return urllib.request.build_opener(never_elsewhere(), https).open(request, timeout=timeout)

    put(EVENTS, "_http_open", opened)


def pause(retry_after: str | None) -> float:
    """Give the seconds that `Retry-After` asks for, which are never many here (RFC 9110 section 10.2.3)."""
    if not retry_after:
        return 0.0
    if retry_after.isdecimal():
        asked = float(retry_after)
    else:
        asked = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    return min(max(asked, 0.0), LONGEST_PAUSE_SECONDS)
