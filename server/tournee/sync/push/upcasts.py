"""Operations of older apps, brought up to what commands take today, one schema after the other.

The schema of operations goes up by one whenever an input that a device may have queued changes its
meaning or its names; the step that is added here turns the old form into the new one. A step stays
for as long as queued operations are accepted (`operations_days`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Input = dict[str, Any]
# The name and the input of an operation, in the next schema.
Step = Callable[[Input], tuple[str, Input]]

OPERATION_SCHEMA = 2


def renamed(command: str, **names: str) -> Step:
    """Fields of the input go by other names now; those are given as `old=new`."""

    def step(old: Input) -> tuple[str, Input]:
        return command, {names.get(name, name): value for name, value in old.items()}

    return step


# By the command's name and the schema that the step leads out of.
STEPS: Mapping[tuple[str, int], Step] = {
    # The time of the talk bore the name of the time at which the operation was made.
    ("recordInteraction", 1): renamed("recordInteraction", occurredAt="at"),
}


def upcast(command: str, input: Any, schema: int) -> tuple[str, Any]:
    """The operation as an app of today would have sent it."""
    for version in range(schema, OPERATION_SCHEMA):
        step = STEPS.get((command, version))
        if step is not None and isinstance(input, dict):
            command, input = step(input)
    return command, input
