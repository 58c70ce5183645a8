"""The one log: JSON, with execution, domain and ticket on each line.

Foreign text stays inside its string: whatever is not ASCII is escaped as well, so that neither line
separators nor signs that turn the direction of writing reach a terminal.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger

from mta_sts.errors import MtaStsError

Handler = Callable[[Any, Any], dict[str, Any]]
_LONGEST = 256  # characters; what people are asked for is no longer, and what is was not accepted
# Most characters of a text, which may quote what others wrote; and of those that say how it came about.
_MOST, _MORE = 400, {"why": 4000, "failure": 4000, "exception": 8000}


def _line(record: Mapping[str, Any]) -> str:
    bounded = {name: _bounded(value, _MORE.get(name, _MOST)) for name, value in record.items()}
    return json.dumps(bounded, separators=(",", ":"), ensure_ascii=True)


def _bounded(value: object, most: int) -> object:
    if isinstance(value, Mapping):
        return {str(name)[:most]: _bounded(each, most) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(each, most) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text, half = str(value), most // 2
    if len(text) <= most:
        return text
    # Both ends are kept: the last line of a traceback says most.
    return f"{text[:half]}... {len(text) - 2 * half} characters left out ...{text[-half:]}"


logger = Logger(json_serializer=_line)


def add(**keys: object) -> None:
    """Put keys on each further line of this call; empty ones are left out."""
    logger.append_keys(**{name: cut(key) for name, key in keys.items() if key})


def cut(key: object) -> str:
    """Give what a line may hold of whatever somebody has sent in the place of a name."""
    return str(key)[:_LONGEST]


def logged(handler: Handler) -> Handler:
    """Put on each line whom it is about, and log what the handler raises before it leaves.

    A process serves one call after the other, for another domain each: nothing is carried over.
    """

    @functools.wraps(handler)
    def wrapped(event: Any, context: Any) -> dict[str, Any]:
        logger.clear_state()
        add(request_id=getattr(context, "aws_request_id", ""), **_about(event))
        try:
            return handler(event, context)
        except MtaStsError as error:
            # Foreseen: the message says where and why, and how it came about is of no use.
            logger.warning("raised", error=type(error).__name__, why=str(error))
            raise
        except Exception as error:
            logger.exception("raised", error=type(error).__name__, why=str(error))
            raise
        finally:
            logger.clear_state()

    return wrapped


def _about(event: object) -> dict[str, object]:
    """Say what a call of the workflow is about; nothing of what comes by another way."""
    parts = event if isinstance(event, Mapping) else {}
    execution, plan, request, check = (
        part if isinstance(part := parts.get(name), Mapping) else {}
        for name in ("execution", "plan", "request", "check")
    )
    return {
        "execution": execution.get("arn"),
        "domain": plan.get("domain") or check.get("domain") or request.get("domain"),
        "ticket": execution.get("ticket") or request.get("ticket"),
    }
