"""A command's input fits its column: no text is too long and no number out of range."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from tournee.catalogue import COMMANDS
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, fields
from tournee.kernel.inputs import Limits
from tournee.work.commands.visits import VisitStep
from tournee.work.models import AppointmentEvent

# Percentages are checked on input; the column holds a computed score.
NARROWER = {("recordPastAudit", "score_percent"): Limits(minimum=0, maximum=100)}
# A step returns the visit, but its input goes to the step's own row.
RECORDED: dict[type, type[Entity]] = {VisitStep: AppointmentEvent}


def limits_of(hint: Any) -> Limits | None:
    """Return the limits in an annotation, at any depth."""
    own = (extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Limits))
    inner = (found for part in typing.get_args(hint) if (found := limits_of(part)) is not None)
    return next(own, None) or next(inner, None)


def holds(hint: Any, kind: type) -> bool:
    return hint is kind or any(holds(part, kind) for part in typing.get_args(hint))


def pairs() -> typing.Iterator[tuple[str, Any, Field]]:
    """Yield each field that a command's input shares with the record it writes, with its annotation."""
    for name, command in COMMANDS.items():
        hints = typing.get_type_hints(command.input, include_extras=True)
        written = [row for kind, row in RECORDED.items() if issubclass(command.input, kind)]
        columns = {column.name: column for row in (command.output, *written) for column in fields(row)}
        for own in dataclasses.fields(command.input):
            column = columns.get(own.name)
            if (
                column is not None
                and column.type in (str, int, float)
                and holds(hints[own.name], column.type)
            ):
                yield name, hints[own.name], column


@pytest.mark.parametrize(
    ("command", "hint", "column"), [pytest.param(*pair, id=f"{pair[0]}-{pair[2].name}") for pair in pairs()]
)
def test_an_inputs_limits_equal_those_of_its_column(command: str, hint: Any, column: Field) -> None:
    held = Limits(column.limit, column.minimum, column.maximum)
    assert (limits_of(hint) or Limits()) == NARROWER.get((command, column.name), held)
