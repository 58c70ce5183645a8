"""JMESPath expressions of the configuration, over what a system has sent."""

from collections.abc import Iterator
from typing import Any

import jmespath  # type: ignore[import-untyped]
from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]
from jmespath.functions import Functions  # type: ignore[import-untyped]


class ExpressionError(ValueError):
    """The text is no expression, or it could not be evaluated on what was sent."""


class Expression:
    """A compiled expression; raises ExpressionError where the text is none."""

    def __init__(self, text: str) -> None:
        try:
            self._compiled = jmespath.compile(text)
        except (JMESPathError, RecursionError) as error:
            raise ExpressionError(str(error)) from error
        # Told by JMESPath only when it comes to calling them, on the first delivery.
        unknown = set(_functions(self._compiled.parsed)) - set(Functions.FUNCTION_TABLE)
        if unknown:
            raise ExpressionError(f"unknown function: {', '.join(sorted(unknown))}()")

    def of(self, data: object) -> Any:
        """Evaluate; None where there is nothing. Raises ExpressionError, which quotes nothing of the data."""
        try:
            return self._compiled.search(data)
        except (JMESPathError, RecursionError, ArithmeticError, TypeError, ValueError) as error:
            raise ExpressionError(type(error).__name__) from error


def _functions(node: Any) -> Iterator[str]:
    """Name the functions that a parsed expression calls."""
    if isinstance(node, dict):
        if node.get("type") == "function_expression":
            yield node["value"]
        for child in node.get("children", ()):
            yield from _functions(child)
