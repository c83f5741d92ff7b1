"""Every entity and everything declared about it: the first place to look.

A class registers itself when it is defined. `tournee.catalogue` registers the plain commands of the domains
it lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tournee.kernel.fields import Field, Merge, camel, fields

if TYPE_CHECKING:
    from tournee.kernel.command import Command
    from tournee.kernel.entity import Entity


class Plain(StrEnum):
    """Whether a plain command creates, updates or deletes its entity."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"

    def name_for(self, model: type[Entity]) -> str:
        """Return the command's name outside, such as `createCustomer`."""
        return f"{self}{model.__name__}"


@dataclass
class Registered:
    """One entity. A plain command is None if other commands create, change or end the record.

    Visible to holders of the permission `model.reads`; outside the office only in the scopes that
    `model.scopes()` returns. Conflicts about it are decided by the role `model.decider`.
    """

    model: type[Entity]
    create: Command[Any, Any] | None = None
    update: Command[Any, Any] | None = None
    delete: Command[Any, Any] | None = None

    @property
    def name(self) -> str:
        return self.model.__name__

    @property
    def table(self) -> str:
        return str(self.model.__tablename__)

    @property
    def key(self) -> str:
        """The input field by which `update` and `delete` name the record, such as `customerId`."""
        return camel(f"{self.table}_id")

    @property
    def fields(self) -> tuple[Field, ...]:
        return fields(self.model)

    @property
    def policies(self) -> Mapping[str, Merge]:
        """How each field merges, by wire name."""
        return {field.wire: field.merge for field in self.fields}


# In the order in which the classes were defined: what others refer to comes first.
BY_NAME: dict[str, type[Entity]] = {}
BY_TABLE: dict[str, type[Entity]] = {}
_REGISTERED: dict[type[Entity], Registered] = {}


def registered(model: type[Entity]) -> Registered:
    """Return everything declared about an entity."""
    return _REGISTERED[model]


def register_entity(model: type[Entity]) -> None:
    """Register a class that has just been defined."""
    undeclared = [
        f"`{name}`, {what}"
        for name, what in (
            ("decider", "the role that decides conflicts about it (None if none can arise)"),
            ("reads", "the permission that its readers need"),
        )
        if not hasattr(model, name)
    ]
    if undeclared:
        raise TypeError(f"{model.__name__} in {model.__module__} must declare {' and '.join(undeclared)}.")
    BY_NAME[model.__name__] = BY_TABLE[model.__tablename__] = model
    _REGISTERED[model] = Registered(model)


def register_command(command: Command[Any, Any]) -> None:
    """Register the command that creates, updates or deletes an entity; there is one of each."""
    if command.plain is None:
        return
    entry = registered(command.output)
    earlier: Command[Any, Any] | None = getattr(entry, command.plain)
    if earlier is not None:
        raise TypeError(f"{earlier.name} and {command.name} both {command.plain} a {entry.name}.")
    setattr(entry, command.plain, command)
