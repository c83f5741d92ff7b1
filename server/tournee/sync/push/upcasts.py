"""Upcasts: turn operations of older apps into what commands take today, one schema at a time.

The schema of operations rises by one whenever an input that a device may have in its outbox changes its
meaning or its names. The step added here turns the old form into the new one. It stays for as long as
operations of that age are accepted (`operations_days`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Input = dict[str, Any]
# Returns the name and the input of an operation in the next schema.
Step = Callable[[Input], tuple[str, Input]]

OPERATION_SCHEMA = 2


def renamed(command: str, **names: str) -> Step:
    """Return a step that renames fields of the input, given as `old=new`."""

    def step(old: Input) -> tuple[str, Input]:
        return command, {names.get(name, name): value for name, value in old.items()}

    return step


# By command name, and by the schema that the step starts from.
STEPS: Mapping[tuple[str, int], Step] = {
    # The time of the conversation had the name that the operation uses for its own time.
    ("recordInteraction", 1): renamed("recordInteraction", occurredAt="at"),
}


def upcast(command: str, input: Any, schema: int) -> tuple[str, Any]:
    """Return the operation as an app of today would have sent it."""
    for version in range(schema, OPERATION_SCHEMA):
        step = STEPS.get((command, version))
        if step is not None and isinstance(input, dict):
            command, input = step(input)
    return command, input
