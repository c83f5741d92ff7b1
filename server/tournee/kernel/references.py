"""Which records a command's input names: found by the names of its fields."""

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
    """The field, the entity and the id of each record that the input names."""
    for name, model in named_by(command):
        value = getattr(do, name)
        if isinstance(value, UUID):
            yield name, model, value
        elif isinstance(value, list):
            yield from ((name, model, id) for id in value if isinstance(id, UUID))


@cache
def named_by(command: Command[Any, Any]) -> tuple[tuple[str, type[Entity]], ...]:
    """`customer_id` and `skill_ids` say it themselves, of `parent_id` the entity's column does, and `run_id`
    is the `checklist_run` that the command is about."""
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
    """Children before what they hang on, which is declared before them."""
    return -list(BY_TABLE.values()).index(model)
