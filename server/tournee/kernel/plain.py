"""Plain commands made from an entity: create it, edit its fields, delete it.

Fields that are a state, a ledger or the server's own are in none of them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Annotated, Any, TypeVar
from uuid import UUID

from tournee.kernel.actor import Actor
from tournee.kernel.command import Command
from tournee.kernel.entity import BY_TABLE, Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Field, camel, fields, new_row
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge, yields_to_changes
from tournee.kernel.transaction import Transaction

EntityT = TypeVar("EntityT", bound=Entity)


def _words(model: type[Entity]) -> str:
    return re.sub(r"(?<!^)([A-Z])", r" \1", model.__name__).lower()


def _typed(field: Field) -> Any:
    kind = field.type | None if field.nullable else field.type
    return Annotated[kind, Limits(field.limit, field.minimum, field.maximum)]


def _described(sentence: str) -> Any:
    return dataclasses.field(metadata={"description": sentence})


def _inputs(model: type[Entity], without: Collection[str]) -> list[Field]:
    return [field for field in fields(model) if field.editable and field.name not in ("id", *without)]


async def _check_references(tx: Transaction, model: type[Entity], values: dict[str, Any]) -> None:
    """Every record a field names must be one the actor may see."""
    for name, wire, other in _referring(model):
        if values.get(name) is not None:
            await tx.find(other, values[name], wire)


@cache
def _referring(model: type[Entity]) -> tuple[tuple[str, str, type[Entity]], ...]:
    """The fields that name records, and of which entity."""
    return tuple((one.name, one.wire, BY_TABLE[one.references]) for one in fields(model) if one.references)


def creates(
    model: type[EntityT],
    permission: str,
    *,
    offline: bool = False,
    fact: bool = False,
    without: Collection[str] = (),
    description: str | None = None,
) -> Command[Any, EntityT]:
    """`createCustomer`: the device may name the id; what may be null or has a default is optional."""
    definitions: list[Any] = [("id", UUID | Unset, dataclasses.field(default=UNSET))]
    required = [f for f in _inputs(model, without) if not f.nullable and not f.has_default]
    optional = [f for f in _inputs(model, without) if f.nullable or f.has_default]
    definitions[:0] = [(field.name, _typed(field)) for field in required]
    definitions += [(f.name, _typed(f) | Unset, dataclasses.field(default=UNSET)) for f in optional]
    name = f"create{model.__name__}"
    input_type = dataclasses.make_dataclass(f"Create{model.__name__}", definitions, frozen=True)

    async def create(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        values = {k: v for k, v in vars(do).items() if v is not UNSET}
        await _check_references(tx, model, values)
        return await tx.add(new_row(model, values))

    text = description or f"Add a {_words(model)}."
    return Command(name, permission, input_type, model, create, text, offline=offline, fact=fact)


def edits(
    model: type[EntityT],
    permission: str,
    *,
    offline: bool = False,
    without: Collection[str] = (),
    description: str | None = None,
) -> Command[Any, EntityT]:
    """`updateCustomer(customerId, …)`: only the fields that are given change."""
    key = f"{model.__tablename__}_id"
    definitions: list[Any] = [(key, UUID, _described(f"The {_words(model)} to change."))]
    definitions += [
        (f.name, _typed(f) | Unset, dataclasses.field(default=UNSET)) for f in _inputs(model, without)
    ]
    input_type = dataclasses.make_dataclass(f"Update{model.__name__}", definitions, frozen=True)

    async def edit(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        changes = {k: v for k, v in vars(do).items() if v is not UNSET and k != key}
        if not changes:
            raise Invalid("Name at least one field to change.")
        row = await tx.find_to_edit(model, getattr(do, key), camel(key))
        await _check_references(tx, model, changes)
        await merge(tx, row, changes)
        return row

    text = description or f"Change fields of a {_words(model)}; what is not named stays."
    return Command(f"update{model.__name__}", permission, input_type, model, edit, text, offline=offline)


def deletes(
    model: type[EntityT],
    permission: str,
    *,
    offline: bool = False,
    guard: Callable[[EntityT], None] | None = None,
) -> Command[Any, EntityT]:
    """`deleteContact(contactId)`: the record leaves every query and device; the log keeps it."""
    key = f"{model.__tablename__}_id"
    definitions = [(key, UUID, _described(f"The {_words(model)} to delete."))]
    input_type = dataclasses.make_dataclass(f"Delete{model.__name__}", definitions, frozen=True)

    async def delete(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        row = await tx.find(model, getattr(do, key), camel(key))
        if guard is not None:
            guard(row)
        if not await yields_to_changes(tx, row):
            tx.delete(row)
        return row

    return Command(
        f"delete{model.__name__}",
        permission,
        input_type,
        model,
        delete,
        f"Delete a {_words(model)}.",
        offline=offline,
    )
