"""Plain commands, made from an entity: create it, edit its fields, delete it.

Their inputs contain every plain field of the model, so a new column appears in them at once. They contain no
status, no ledger and nothing that the server sets. `creates`, `edits` and `deletes` make the whole command;
`creating` and `editing` wrap a function, for entities that need more.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Awaitable, Callable, Collection
from functools import cache
from typing import Annotated, Any, TypeVar
from uuid import UUID

from tournee.kernel.actor import Actor
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid, NotFound, require_none
from tournee.kernel.fields import EditedBy, Field, camel, fields
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge, yields_to_changes
from tournee.kernel.registry import BY_TABLE, Plain
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import new_row

EntityT = TypeVar("EntityT", bound=Entity)
_Function = Callable[[Transaction, Actor, Any], Awaitable[EntityT]]


def _words(model: type[Entity]) -> str:
    return re.sub(r"(?<!^)([A-Z])", r" \1", model.__name__).lower()


def _one(model: type[Entity]) -> str:
    words = _words(model)
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _typed(field: Field) -> Any:
    kind = field.type | None if field.nullable else field.type
    return Annotated[kind, Limits(field.limit, field.minimum, field.maximum)]


def _described(sentence: str) -> Any:
    return dataclasses.field(metadata={"description": sentence})


def _plain_fields(model: type[Entity], without: Collection[str]) -> list[Field]:
    return [field for field in fields(model) if field.editable and field.name not in ("id", *without)]


def _optional(name: str, kind: Any) -> tuple[str, Any, Any]:
    return name, kind | Unset, dataclasses.field(default=UNSET)


def _create_input(
    name: str, model: type[Entity], without: Collection[str], beside: type[Any] | None
) -> type[Any]:
    """Make the input of a create command. The device may choose the id; nullable fields and those with a
    default are optional.
    """
    plain = _plain_fields(model, without)
    definitions: list[Any] = [(f.name, _typed(f)) for f in plain if not f.nullable and not f.has_default]
    definitions.append(_optional("id", UUID))
    definitions += [_optional(f.name, _typed(f)) for f in plain if f.nullable or f.has_default]
    return _input(name, definitions, beside)


def _edit_input(
    name: str, model: type[Entity], without: Collection[str], beside: type[Any] | None
) -> type[Any]:
    """Make the input of an update command: only the fields that are sent change."""
    key = _described(f"The {_words(model)} to change.")
    definitions: list[Any] = [(f"{model.__tablename__}_id", UUID, key)]
    definitions += [_optional(f.name, _typed(f)) for f in _plain_fields(model, without)]
    return _input(name, definitions, beside)


def _input(name: str, definitions: list[Any], beside: type[Any] | None) -> type[Any]:
    """An input class. What `beside` declares, a command's own class, it declares in its own way."""
    own = {field.name for field in dataclasses.fields(beside)} if beside else set()
    rest = [one for one in definitions if one[0] not in own]
    bases = (beside,) if beside else ()
    return dataclasses.make_dataclass(name, rest, bases=bases, frozen=True, kw_only=True)


def given(do: Any, *but: str) -> dict[str, Any]:
    """Return the fields that an input contains, with their values."""
    return {name: value for name, value in vars(do).items() if value is not UNSET and name not in but}


def edited_by(model: type[Entity], editor: EditedBy) -> frozenset[str]:
    """Return the plain fields that these people change; each must declare who does."""
    plain = _plain_fields(model, ())
    if unsaid := [field.name for field in plain if field.edited_by is None]:
        raise TypeError(
            f"Declare who changes these fields of {model.__name__}, with `edited_by`: {', '.join(unsaid)}."
        )
    return frozenset(field.name for field in plain if field.edited_by is editor)


def creating(
    model: type[EntityT],
    permission: str,
    *,
    offline: bool = False,
    fact: bool = False,
    logged: bool = False,
    without: Collection[str] = (),
) -> Callable[[_Function[EntityT]], Command[Any, EntityT]]:
    """Make the create command of a function `(tx, actor, do)`, which it is named after.

    The input has the plain fields of the model, and those of the class that the function takes.
    """

    def decorate(function: _Function[EntityT]) -> Command[Any, EntityT]:
        name = camel(function.__name__)
        kind = _create_input(_class_name(name), model, without, _beside(function))
        return _command(
            name,
            Plain.CREATE,
            model,
            permission,
            kind,
            function,
            function.__doc__,
            offline=offline,
            fact=fact,
            logged=logged,
        )

    return decorate


def editing(
    model: type[EntityT],
    permission: str,
    *,
    offline: bool = False,
    fact: bool = False,
    without: Collection[str] = (),
) -> Callable[[_Function[EntityT]], Command[Any, EntityT]]:
    """Make the update command of a function in the same way."""

    def decorate(function: _Function[EntityT]) -> Command[Any, EntityT]:
        name = camel(function.__name__)
        kind = _edit_input(_class_name(name), model, without, _beside(function))
        return _command(
            name,
            Plain.UPDATE,
            model,
            permission,
            kind,
            function,
            function.__doc__,
            offline=offline,
            fact=fact,
        )

    return decorate


def _beside(function: _Function[Any]) -> type[Any] | None:
    """The class of a command's own inputs, if its function names one."""
    kind = typing.get_type_hints(function).get("do")
    return kind if dataclasses.is_dataclass(kind) and isinstance(kind, type) else None


def _class_name(command: str) -> str:
    return command[0].upper() + command[1:]


def _command(
    name: str,
    plain: Plain,
    model: type[EntityT],
    permission: str,
    kind: type[Any],
    function: _Function[EntityT],
    description: str | None,
    **flags: bool,
) -> Command[Any, EntityT]:
    text = (description or "").strip()
    return Command(name, permission, kind, model, function, text, plain=plain, **flags)


async def _check_references(tx: Transaction, model: type[Entity], values: dict[str, Any]) -> None:
    """Raise NotFound, naming every such field, unless the actor may see every record that they name."""
    missing = []
    for name, wire, other in _referring(model):
        if values.get(name) is not None:
            try:
                await tx.find(other, values[name], wire)
            except NotFound as refusal:
                missing.append(refusal)
    require_none(missing)


@cache
def _referring(model: type[Entity]) -> tuple[tuple[str, str, type[Entity]], ...]:
    """Return the fields that name records, with the entity of each."""
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
    """`createCustomer(name, …)`."""

    async def create(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        values = given(do)
        await _check_references(tx, model, values)
        return await tx.add(new_row(model, values))

    text = description or f"Add {_one(model)}."
    name = Plain.CREATE.name_for(model)
    kind = _create_input(_class_name(name), model, without, None)
    return _command(name, Plain.CREATE, model, permission, kind, create, text, offline=offline, fact=fact)


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

    async def edit(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        changes = given(do, key)
        if not changes:
            raise Invalid("Name at least one field to change.")
        row = await tx.find_to_edit(model, getattr(do, key), camel(key))
        await _check_references(tx, model, changes)
        await merge(tx, row, changes)
        return row

    text = description or f"Change fields of {_one(model)}; fields that are not named stay."
    name = Plain.UPDATE.name_for(model)
    kind = _edit_input(_class_name(name), model, without, None)
    return _command(name, Plain.UPDATE, model, permission, kind, edit, text, offline=offline)


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
    name = Plain.DELETE.name_for(model)
    kind = dataclasses.make_dataclass(_class_name(name), definitions, frozen=True)

    async def delete(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        row = await tx.find(model, getattr(do, key), camel(key))
        if guard is not None:
            guard(row)
        if not await yields_to_changes(tx, row):
            tx.delete(row)
        return row

    return _command(
        name, Plain.DELETE, model, permission, kind, delete, f"Delete {_one(model)}.", offline=offline
    )
