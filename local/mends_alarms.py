"""Mends of the emulator: the metrics that a stack's alarms look at, and how alarms look at them."""

import json
import time
from collections.abc import Callable
from typing import Any

from local.mending import function, part, put

METRICS, QUEUES = "ministack.services.cloudwatch", "ministack.services.sqs"
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda found, threshold: found >= threshold,
    "GreaterThanThreshold": lambda found, threshold: found > threshold,
    "LessThanThreshold": lambda found, threshold: found < threshold,
    "LessThanOrEqualToThreshold": lambda found, threshold: found <= threshold,
}
# Step Functions developer guide, "Monitoring Step Functions metrics using Amazon CloudWatch".
EXECUTIONS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "ABORTED": "ExecutionsAborted",
    "TIMED_OUT": "ExecutionsTimedOut",
}


def mend() -> None:
    """Mend all of it."""
    mend_embedded_metrics()
    mend_execution_metrics()
    mend_metric_math()
    mend_alarms()


def record() -> Callable[..., None]:
    """Return what takes a figure: namespace, name, value, unit, dimensions."""
    parameters = ("namespace", "metric_name", "value", "unit", "dimensions")
    return function(METRICS, "record_metric", *parameters)


def mend_embedded_metrics() -> None:
    """Take the figures out of a function's log, as CloudWatch does.

    CloudWatch user guide, "Specification: Embedded metric format".
    """
    module, take = "ministack.services.lambda_svc", record()
    emit = function(module, "_emit_lambda_logs", "func", "request_id", "log_text")

    def emitted(func: Any, request_id: str, log_text: str, *rest: Any, **more: Any) -> None:
        for line in (log_text or "").splitlines():
            if '"_aws"' not in line:
                continue
            told = json.loads(line)
            for directive in told["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = {name: told[name] for name in names}
                    for metric in directive["Metrics"]:
                        found = told[metric["Name"]]
                        for value in found if isinstance(found, list) else [found]:
                            unit = metric.get("Unit", "None")
                            take(directive["Namespace"], metric["Name"], value, unit, dimensions)
        emit(func, request_id, log_text, *rest, **more)

    put(module, "_emit_lambda_logs", emitted)


def mend_execution_metrics() -> None:
    """Count executions as they begin and end."""
    module, take = "ministack.services.stepfunctions", record()
    emit = function(module, "_emit_execution_status_event", "execution")

    def emitted(execution: Any) -> None:
        whose = {"StateMachineArn": execution["stateMachineArn"]}
        take("AWS/States", EXECUTIONS[execution["status"]], 1, "Count", whose)
        emit(execution)

    put(module, "_emit_execution_status_event", emitted)


def mend_metric_math() -> None:
    """Take an alarm on the sum of all its metrics, the one expression that this stack has.

    CloudWatch user guide, "Using math expressions with CloudWatch metrics": METRICS().
    """
    module, most = "ministack.services.cloudformation.provisioners", 10
    record_of = function(module, "_cw_metric_alarm_record", "name", "props")

    def recorded(name: str, props: dict[str, Any]) -> Any:
        if not props.get("Metrics"):
            return record_of(name, props)
        [expression] = [each["Expression"] for each in props["Metrics"] if "Expression" in each]
        summed = [each["MetricStat"] for each in props["Metrics"] if "MetricStat" in each]
        [(period, stat)] = {(int(each["Period"]), each["Stat"]) for each in summed}
        if expression != "SUM(METRICS())" or len(summed) > most:
            raise ValueError(f"{name}: {expression} of {len(summed)} metrics")
        looks = {"Period": period, "Statistic": stat, **summed[0]["Metric"]}
        return record_of(name, {**props, "Metrics": None, **looks}) | {
            "Metrics": props["Metrics"], "Namespace": None, "MetricName": None, "Dimensions": [],
        }  # fmt: skip

    put(module, "_cw_metric_alarm_record", recorded)


def mend_alarms() -> None:
    """Let an alarm look at its own dimensions only, period by period, at missing data as it says, and now.

    CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data". ministack puts all
    dimensions into one, and looks only when somebody sends figures.
    """
    function(METRICS, "_evaluate_alarm", "alarm")
    evaluate_all = function(METRICS, "_evaluate_all_alarms")
    describe = function(METRICS, "_describe_alarms", "params", "cbor_data", "is_cbor")
    history = function(METRICS, "_record_history", "alarm_name", "old_state", "new_state", "reason")
    act = function(METRICS, "_dispatch_alarm_actions", "alarm", "old_state", "new_state", "reason")

    def evaluated(alarm: dict[str, Any]) -> None:
        old, (new, reason) = alarm["StateValue"], _judge(alarm, _points(alarm))
        if new == old:
            return
        alarm |= {
            "StateValue": new,
            "StateReason": reason,
            "StateUpdatedTimestamp": int(time.time()),
        }
        history(alarm["AlarmName"], old, new, reason)
        act(alarm, old, new, reason)

    def described(*given: Any, **more: Any) -> Any:
        evaluate_all()
        return describe(*given, **more)

    put(METRICS, "_evaluate_alarm", evaluated)
    put(METRICS, "_describe_alarms", described)


def _points(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what an alarm looks at, whichever of its metrics it is told of."""
    summed = [
        each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each
    ]
    return [point for metric in summed or [alarm] for point in _points_of(metric)]


def _points_of(metric: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what was told of a metric; how full a queue is nobody has written down."""
    key_of = function(METRICS, "_dims_key", "dims")
    dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
    wanted = (metric["Namespace"], metric["MetricName"])
    if wanted == ("AWS/SQS", "ApproximateNumberOfMessagesVisible"):
        queues = part(QUEUES, "_queues").values()
        visible = [
            len([one for one in queue["messages"] if one["visible_at"] <= time.time()])
            for queue in queues
            if queue["name"] == dimensions["QueueName"]
        ]
        for count in visible:
            record()(*wanted, count, "Count", dimensions)
    return list(part(METRICS, "_metrics").get((*wanted, key_of(dimensions)), []))


def _judge(alarm: dict[str, Any], points: list[dict[str, Any]]) -> tuple[str, str]:
    """Say in which state an alarm is, and why; the periods end now."""
    stats, value_of = function(METRICS, "_calc_stats", "points"), part(METRICS, "_stat_value")
    now, period, periods = time.time(), alarm["Period"], alarm["EvaluationPeriods"]
    missing, breaches = alarm["TreatMissingData"], 0
    crossed = COMPARISONS[alarm["ComparisonOperator"]]
    seen: list[float] = []
    for number in range(periods):
        end = now - number * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        if inside:
            found = value_of(stats(inside), alarm["Statistic"], inside)
            seen.append(found)
            breaches += crossed(found, alarm["Threshold"])
        else:
            breaches += missing == "breaching"
    reason = f"{alarm['Statistic']} in {periods} periods of {period} s: {seen}, else {missing}"
    if breaches >= alarm.get("DatapointsToAlarm", periods):
        return "ALARM", reason
    if not seen and missing == "missing":
        return "INSUFFICIENT_DATA", reason
    return (alarm["StateValue"] if not seen and missing == "ignore" else "OK"), reason
