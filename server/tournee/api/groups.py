"""What an entity's rows can be grouped by, and which of their values are added up or compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import strawberry

from tournee.api.relations import relations
from tournee.api.scalars import enumeration
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, camel, fields
from tournee.kernel.ranks import enumeration_of
from tournee.kernel.statistics import seconds
from tournee.kernel.times import TimeSource


@dataclass(frozen=True)
class Through:
    """A group by a column of related rows, such as the technicians of a visit. A row counts once for each of
    its related rows that the viewer sees and that are `counted`.
    """

    model: type[Entity]
    name: str
    relation: str
    column: str
    counted: Callable[[Any], Any]
    description: str


@dataclass(frozen=True)
class Group:
    """One thing to group rows by. `wire` is its name in the key, `column` the column's in Python."""

    name: str
    wire: str
    column: str
    kind: Any
    description: str | None
    # The field that the viewer must be allowed to read.
    field: str
    through: Through | None = None


def groups(model: type[Entity], throughs: tuple[Through, ...]) -> Iterator[Group]:
    """Return what rows of the model can be grouped by: enums, booleans and references."""
    to_one = {one.source.name for one in relations(model).values()}
    for one in fields(model):
        kind = enumeration_of(one)
        if kind is not None or one.type is bool:
            shown = bool if kind is None else enumeration(kind)
            yield Group(one.name.upper(), one.wire, one.name, shown, one.description, one.wire)
        elif one.type is UUID and one.name in to_one and one.name != "id":
            name = one.name.removesuffix("_id").upper()
            yield Group(name, one.wire, one.name, strawberry.ID, one.description, one.wire)
    for through in throughs:
        if through.model is model:
            wire = camel(through.column)
            yield Group(
                through.name,
                wire,
                through.column,
                strawberry.ID,
                through.description,
                through.relation,
                through,
            )


@dataclass(frozen=True)
class Measure:
    """A value of a row that is added up, or has a least and a greatest. `of` makes its SQL of the row."""

    wire: str
    kind: type[Any]
    description: str | None
    permission: str | None
    of: Callable[[Any], Any]


def _measure(field: Field) -> Measure:
    own = field.name
    return Measure(
        field.wire, field.type, field.description, field.permission, lambda entity: getattr(entity, own)
    )


def numbers(model: type[Entity]) -> list[Measure]:
    """Return the numbers, and the duration of rows that have a start and an end."""
    own = [_measure(one) for one in fields(model) if one.type in (int, float)]
    return own + ([_LENGTH] if {"starts_at", "ends_at"} <= {one.name for one in fields(model)} else [])


_LENGTH = Measure(
    "seconds",
    int,
    "The time from `startsAt` to `endsAt`, in seconds.",
    None,
    lambda entity: seconds(entity.ends_at) - seconds(entity.starts_at),
)


def times(model: type[Entity]) -> list[Field]:
    """Return the times that rows can be grouped by. The first is the default: a time that was planned or
    reported goes before the one that the server recorded.
    """
    own = [one for one in fields(model) if one.type is datetime]
    return sorted(own, key=lambda one: (one.name == "created_at", one.time_source not in _OF_PEOPLE))


_OF_PEOPLE = (TimeSource.PLAN, TimeSource.DEVICE)


def compared(model: type[Entity]) -> list[Measure]:
    """Return what has a least and a greatest value: numbers, times and days."""
    return numbers(model) + [_measure(one) for one in fields(model) if one.type in (datetime, date)]


def has_stats(model: type[Entity]) -> bool:
    """Return whether there is anything to group by or to add up besides the time of creation."""
    states = any(enumeration_of(one) is not None for one in fields(model))
    return states or bool(numbers(model)) or len(times(model)) > 1
