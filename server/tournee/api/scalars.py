"""Python types in GraphQL: scalars, enums, ids."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from typing import Any, NewType, Optional, get_args, get_origin
from uuid import UUID

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON

from tournee.kernel.declared import Declared
from tournee.kernel.fields import Field
from tournee.kernel.log import Seq
from tournee.kernel.ranks import is_enumeration
from tournee.kernel.sentences import sentences
from tournee.kernel.times import read_date, read_time
from tournee.kernel.values import wire_time

Long = NewType("Long", int)


def _parse_time(value: Any) -> datetime:
    try:
        return read_time(value)
    except ValueError:
        raise GraphQLError("A DateTime is RFC 3339 with an offset, such as 2026-11-23T09:12:00Z.") from None


def _parse_date(value: Any) -> date:
    try:
        return read_date(value)
    except ValueError:
        raise GraphQLError("A Date is a day such as 2026-11-23.") from None


def _parse_long(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**53:
        raise GraphQLError("A Long is an integer between -2^53 and 2^53.")
    return value


SCALARS: dict[object, Any] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A time in RFC 3339 with an offset; answers are in UTC and end in `Z`.",
        serialize=wire_time,
        parse_value=_parse_time,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A day, as RFC 3339 writes it: `2026-11-23`.",
        serialize=date.isoformat,
        parse_value=_parse_date,
    ),
    Long: strawberry.scalar(
        name="Long",
        description="An integer below 2^53, which a JSON number still holds exactly.",
        serialize=lambda value: value,
        parse_value=_parse_long,
    ),
}


def parse_id(text: str | None) -> UUID | None:
    """Read an id; None if nothing can have it."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None


@cache
def _enum_of(kind: type[Declared]) -> type[enum.Enum]:
    """Make an enum of all names that domains have declared."""
    make: Any = enum.StrEnum
    made = make(kind.__name__, {str(one): str(one) for one in kind.all()})
    strawberry.enum(made, description=(describe(kind) or "").split("\n\n")[0])
    for value in made.__strawberry_definition__.values:
        value.description = kind.declared[value.name].description
    return made  # type: ignore[no-any-return]


def enumeration(kind: type[enum.Enum | Declared]) -> type[enum.Enum]:
    """Return the enum as GraphQL knows it; the same class wherever it is used."""
    if issubclass(kind, Declared):
        return _enum_of(kind)
    if "__strawberry_definition__" not in kind.__dict__:
        strawberry.enum(kind, description=describe(kind))
        for value in kind.__strawberry_definition__.values:  # type: ignore[attr-defined]
            value.description = sentences(kind).get(value.name)
    return kind


def describe(kind: object) -> str | None:
    """Return a docstring as a description, unless dataclasses invented it."""
    text = inspect.cleandoc(getattr(kind, "__doc__", None) or "")
    return None if not text or text.startswith(f"{getattr(kind, '__name__', '')}(") else text


_NAMED: dict[Any, Any] = {UUID: strawberry.ID, dict: JSON, Any: JSON, Seq: Long}


def graphql_type(kind: Any, nested: Callable[[Any], Any] | None = None) -> Any:
    """Return the annotation that Strawberry needs for a Python type; `nested` answers for dataclasses."""
    if get_origin(kind) is list:
        return list[graphql_type(get_args(kind)[0], nested)]  # type: ignore[misc]
    kind = get_origin(kind) or kind
    if is_enumeration(kind):
        return enumeration(kind)
    if nested is not None and hasattr(kind, "__dataclass_fields__"):
        return nested(kind)
    return _NAMED.get(kind, kind)


def optional(kind: Any) -> Any:
    """Return the annotation of a value that may be null."""
    return Optional[kind]  # noqa: UP045 - scalars are no types


def field_type(field: Field) -> Any:
    """Return the annotation of an entity's field."""
    kind = graphql_type(Long if _is_long(field) else _declared(field))
    return optional(kind) if field.nullable else kind


def _declared(field: Field) -> Any:
    if field.of is None:
        return field.type
    return list[field.of] if get_origin(field.type) is list else field.of  # type: ignore[name-defined]


def _is_long(field: Field) -> bool:
    """Return whether the type needs more than the 32 bits of GraphQL's Int."""
    return field.type is int and field.maximum is not None and field.maximum >= 2**31
