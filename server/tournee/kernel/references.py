"""Which records the input of a command names, judging by the names of its fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import UUID

from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.fields import fields
from tournee.kernel.registry import BY_TABLE


def references(command: Command[Any, Any], do: Any) -> Iterator[tuple[str, type[Entity], UUID]]:
    """Yield the field, the entity and the id of each record that the input names."""
    for name, model in named_by(command):
        value = getattr(do, name)
        if isinstance(value, UUID):
            yield name, model, value
        elif isinstance(value, list):
            yield from ((name, model, id) for id in value if isinstance(id, UUID))


@cache
def named_by(command: Command[Any, Any]) -> tuple[tuple[str, type[Entity]], ...]:
    """Return the fields of the input that name records, with their entities.

    `customer_id` and `skill_ids` contain the name. For `parent_id` the entity's column has it. `run_id` is
    the `checklist_run` that the command changes.
    """
    own = {field.name: field.references for field in fields(command.output) if field.references}
    found = []
    for field in dataclasses.fields(command.input):
        table = own.get(field.name) or field.name.removesuffix("s").removesuffix("_id")
        if field.name not in own and command.output.__tablename__.endswith(f"_{table}"):
            table = command.output.__tablename__
        if field.name != table and table in BY_TABLE:
            found.append((field.name, BY_TABLE[table]))
    return tuple(found)


def lock_order(model: type[Entity]) -> int:
    """Return an entity's place in the order of locking: children before the parents they refer to."""
    return -list(BY_TABLE.values()).index(model)
