"""The sync contract: what a client must know to work offline, derived from the entities and commands.

GraphQL's `syncContract` and `GET /sync/contract` both show it, and the directive `@merge` in the schema comes
from the same fields.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from tournee.kernel.command import Command
from tournee.kernel.conflict import ConflictKind, Resolution
from tournee.kernel.declared import Declared
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, Merge, camel
from tournee.kernel.inputs import Limits, Unset
from tournee.kernel.registry import BY_TABLE, Registered, registered
from tournee.sync.messages import OPERATIONS_LIMIT
from tournee.sync.pull.feed import GREATEST_LIMIT
from tournee.sync.push.upcasts import OPERATION_SCHEMA

# The version of the messages in schema/sync.md.
PROTOCOL = 1
HORIZON_DAYS = 90


class WireType(StrEnum):
    """How a value is written in JSON."""

    STRING = "STRING"
    """Text."""
    INTEGER = "INTEGER"
    """A whole number."""
    NUMBER = "NUMBER"
    """A number that may have a fraction."""
    BOOLEAN = "BOOLEAN"
    """True or false."""
    UUID = "UUID"
    """An id, written in its usual form with hyphens."""
    DATE_TIME = "DATE_TIME"
    """RFC 3339 with an offset."""
    DATE = "DATE"
    """A day, such as `2026-11-23`."""
    ENUM = "ENUM"
    """One of the names listed beside it."""
    JSON = "JSON"
    """Any JSON value."""
    OBJECT = "OBJECT"
    """An object described under `objects`."""


@dataclass(frozen=True)
class SyncField:
    """A field of a record."""

    name: str
    """The key in the record's document."""
    type: WireType
    """How the value is written in JSON."""
    is_list: Annotated[bool, "Whether it holds a list of such values."]
    nullable: bool
    """Whether the value may be null."""
    merge: Annotated[Merge, "What happens to a plain edit if somebody else changed the field meanwhile."]
    editable: Annotated[bool, "Whether a plain edit may name it; other fields have commands of their own."]
    values: Annotated[list[str], "Of an ENUM: the values known now; more may come."]
    max_length: Annotated[int | None, "Of a STRING: in characters."]
    minimum: float | None
    """The least number; null for no limit."""
    maximum: float | None
    """The greatest number; null for no limit."""
    references: Annotated[str | None, "The type of the record that it names."]
    description: str | None
    """What the field is."""


@dataclass(frozen=True)
class SyncEntity:
    """A type of record that devices get."""

    name: str
    """The type's name, as in GraphQL."""
    scope: Annotated[str, "The permission that a reader needs."]
    description: str | None
    """What a record of this type is."""
    fields: list[SyncField]
    """Every field of its document."""


@dataclass(frozen=True)
class SyncInputField:
    """A field of a command's input."""

    name: str
    """The key in the operation's input."""
    type: WireType
    """How the value is written in JSON."""
    is_list: Annotated[bool, "Whether it is a list of such values."]
    required: bool
    """Whether the key must be there."""
    nullable: Annotated[bool, "Whether it may be null, which differs from being absent."]
    values: Annotated[list[str], "Of an ENUM: the values that are accepted."]
    max_length: Annotated[int | None, "Of a STRING: in characters."]
    minimum: float | None
    """The least number; null for no limit."""
    maximum: float | None
    """The greatest number; null for no limit."""
    object: Annotated[str | None, "Of an OBJECT: which of the contract's objects."]


@dataclass(frozen=True)
class SyncObject:
    """An object inside inputs."""

    name: str
    """What input fields of type OBJECT refer to."""
    fields: list[SyncInputField]
    """The fields that the object has."""


@dataclass(frozen=True)
class SyncCommand:
    """A command: the mutation of this name online, and the operation of this name offline."""

    name: str
    """The operation's name in a push, and the mutation's in GraphQL."""
    scope: Annotated[str, "The permission that it needs."]
    offline: Annotated[bool, "Whether a device may queue it."]
    fact: Annotated[
        bool,
        "Whether it records what happened in the field, and so is not refused because of a changed plan.",
    ]
    unit: Annotated[bool, "Whether it may be part of a unit, which takes effect as a whole or not at all."]
    record: Annotated[str, "The type of the record that the answer holds."]
    description: str | None
    """What the command does."""
    input: list[SyncInputField]
    """The fields of the operation's input."""


@dataclass(frozen=True)
class SyncConflict:
    """A kind of conflict, and how it may be decided."""

    kind: ConflictKind
    """As in the conflict's `kind`."""
    resolutions: list[Resolution]
    """The decisions that `resolveConflict` accepts for it."""


@dataclass(frozen=True)
class SyncContract:
    """What a client must know to work offline."""

    protocol: Annotated[int, "The version of the messages."]
    operation_schema: Annotated[int, "The version of the operations' inputs, `schema` in a push."]
    horizon_days: Annotated[int, "How long a cursor can be continued; queued work is accepted for longer."]
    operations_limit: Annotated[int, "How many operations a push takes at most."]
    page_limit: Annotated[int, "How many changes a pull gives at most."]
    entities: list[SyncEntity]
    """Every type of record that a device can get."""
    commands: list[SyncCommand]
    """Every command, with whether a device may queue it."""
    objects: list[SyncObject]
    """The objects that inputs hold."""
    conflicts: list[SyncConflict]
    """Every kind of conflict, with its decisions."""


def contract_of(
    entities: Iterable[type[Entity]],
    commands: Iterable[Command[Any, Any]],
    horizon_days: int,
) -> SyncContract:
    """Return the contract of these entities and commands, and of every kind of conflict."""
    commands = list(commands)
    found: dict[str, SyncObject] = {}
    for command in commands:
        _collect(command.input, found)
    return SyncContract(
        protocol=PROTOCOL,
        operation_schema=OPERATION_SCHEMA,
        horizon_days=horizon_days,
        operations_limit=OPERATIONS_LIMIT,
        page_limit=GREATEST_LIMIT,
        entities=[_entity(registered(entity)) for entity in entities],
        commands=[_command(command) for command in commands],
        objects=[found[name] for name in sorted(found)],
        conflicts=[SyncConflict(kind, list(kind.resolutions)) for kind in ConflictKind.all()],
    )


def _entity(entity: Registered) -> SyncEntity:
    edited = {one.name for one in dataclasses.fields(entity.update.input)} if entity.update else set()
    return SyncEntity(
        name=entity.name,
        scope=entity.model.reads,
        description=_first_line(entity.model.__doc__),
        fields=[_field(one, editable=one.name in edited) for one in entity.fields],
    )


def _field(one: Field, *, editable: bool) -> SyncField:
    shape = _shape(one.type)
    return SyncField(
        name=one.wire,
        type=shape.type,
        is_list=shape.is_list,
        nullable=one.nullable,
        merge=one.merge,
        editable=editable,
        values=shape.values,
        max_length=one.limit,
        minimum=one.minimum,
        maximum=one.maximum,
        references=BY_TABLE[one.references].__name__ if one.references else None,
        description=one.description,
    )


def _command(command: Command[Any, Any]) -> SyncCommand:
    return SyncCommand(
        name=command.name,
        scope=command.permission,
        offline=command.offline,
        fact=command.fact,
        unit=command.offline,
        record=command.output.__name__,
        description=_first_line(command.description),
        input=_inputs(command.input),
    )


@dataclass(frozen=True)
class _Shape:
    type: WireType
    is_list: bool = False
    nullable: bool = False
    limits: Limits = field(default_factory=Limits)
    values: list[str] = field(default_factory=list)
    inside: Any = None


_SCALARS: dict[Any, WireType] = {
    str: WireType.STRING,
    int: WireType.INTEGER,
    float: WireType.NUMBER,
    bool: WireType.BOOLEAN,
    UUID: WireType.UUID,
    datetime: WireType.DATE_TIME,
    date: WireType.DATE,
    dict: WireType.JSON,
    Any: WireType.JSON,
}


def _shape(annotation: Any) -> _Shape:
    """Return what an annotation of a field or an input means."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        limits = next((extra for extra in extras if isinstance(extra, Limits)), Limits())
        return dataclasses.replace(_shape(inner), limits=limits)
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part not in (Unset, type(None))]
        shape = _shape(parts[0])
        nullable = shape.nullable or type(None) in get_args(annotation)
        return dataclasses.replace(shape, nullable=nullable)
    if origin is list:
        return dataclasses.replace(_shape(get_args(annotation)[0]), is_list=True)
    kind = origin or annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _Shape(WireType.ENUM, values=[str(member.value) for member in kind])
    if isinstance(kind, type) and issubclass(kind, Declared):
        return _Shape(WireType.ENUM, values=[str(name) for name in kind.all()])
    if dataclasses.is_dataclass(kind):
        return _Shape(WireType.OBJECT, inside=kind)
    return _Shape(_SCALARS[kind])


def _shapes(kind: type[Any]) -> Iterator[tuple[dataclasses.Field[Any], _Shape]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for one in dataclasses.fields(kind):
        yield one, _shape(hints[one.name])


def _inputs(kind: type[Any]) -> list[SyncInputField]:
    return [
        SyncInputField(
            name=camel(one.name),
            type=shape.type,
            is_list=shape.is_list,
            required=one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING,
            nullable=shape.nullable,
            values=shape.values,
            max_length=shape.limits.length,
            minimum=shape.limits.minimum,
            maximum=shape.limits.maximum,
            object=None if shape.inside is None else _name(shape.inside),
        )
        for one, shape in _shapes(kind)
    ]


def _collect(kind: type[Any], found: dict[str, SyncObject]) -> None:
    """Return the objects inside an input, and inside those."""
    for _, shape in _shapes(kind):
        if shape.inside is not None and _name(shape.inside) not in found:
            found[_name(shape.inside)] = SyncObject(_name(shape.inside), _inputs(shape.inside))
            _collect(shape.inside, found)


def _name(kind: type[Any]) -> str:
    """Return the name that GraphQL uses."""
    return kind.__name__.removesuffix("Input") + "Input"


def _first_line(text: str | None) -> str | None:
    return " ".join(text.split("\n\n")[0].split()) if text else None
