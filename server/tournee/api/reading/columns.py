"""Columns: how the value of each becomes JSON, equal to what the executor makes of it.

A value that the executor would refuse (a number too great for `Int`, an unknown name of an enum, null where
none may be) raises, and the executor refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import orjson
from graphql import GraphQLEnumType, GraphQLOutputType, get_named_type, is_list_type, is_non_null_type
from sqlalchemy import JSON, BigInteger, Boolean, Date, Enum, Float, Integer, String, Uuid

from tournee.api.reading import sql
from tournee.api.reading.unknown import Doubt
from tournee.kernel.entity import DeclaredName, UTCDateTime
from tournee.kernel.times import read_time
from tournee.kernel.values import wire_value

Sql = Callable[[Any], Any]


@dataclass(frozen=True)
class Codec:
    """How a column is selected, as a column of rows or within JSON, and the function that makes JSON of it;
    None if it already is. `sorts` is the function for a cursor, where that is another.
    """

    flat: Sql
    inside: Sql
    made: Callable[[Any], Any] | None = None
    sorts: Callable[[Any], Any] | None = None


def _as_it_is(column: Any) -> Any:
    return column


def codec(column: Any, kind: GraphQLOutputType) -> Codec:
    """Return the codec of a column for a field of this type."""
    own = column.property.columns[0].type
    named = get_named_type(kind)
    if isinstance(named, GraphQLEnumType):
        return _names(own, named, kind)
    for python, name, made in _KNOWN:
        if isinstance(own, python) and named.name == name:
            if is_list_type(getattr(kind, "of_type", kind)) or is_list_type(kind):
                break
            return made
    if isinstance(own, JSON):
        return _documents(kind)
    raise Doubt(f"no codec for {column} as {kind}")


def python_of(column: Any) -> Codec:
    """Return how a column is selected for a stand-in, and the function that makes Python's value of it."""
    own = column.property.columns[0].type
    if isinstance(own, DeclaredName):
        return _read(sql.as_text, dict(own.kind.declared).__getitem__)
    if isinstance(own, Enum) and own.enum_class is not None and own.values_callable is None:
        return _read(sql.as_text, own.enum_class.__members__.__getitem__)
    for python, select_as, read in _PYTHON:
        if isinstance(own, python):
            return _read(select_as, read)
    raise Doubt(f"no value for {column}")


def _read(select_as: Sql, read: Callable[[Any], Any]) -> Codec:
    return Codec(select_as, select_as, lambda value: None if value is None else read(value))


def _int(value: Any) -> int | None:
    if value is None or -(2**31) <= value < 2**31:
        return value  # type: ignore[no-any-return]
    raise Doubt("no Int")


def _float(value: Any) -> float | None:
    if value is None or value == "NULL":
        return None
    number = float(value)
    if math.isfinite(number):
        return number
    raise Doubt("no Float")


def _utc(value: datetime | str | None) -> datetime | str | None:
    """Return a time in UTC, whatever time zone a pooler's session is in; text already is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


_TRUTH: Mapping[Any, bool | None] = {None: None, 0: False, 1: True}

_KNOWN: tuple[tuple[type[Any], str, Codec], ...] = (
    (UTCDateTime, "DateTime", Codec(sql.time, sql.time_text, _utc)),
    (Date, "Date", Codec(_as_it_is, _as_it_is)),
    (Uuid, "ID", Codec(sql.id_text, sql.id_text)),
    (Boolean, "Boolean", Codec(_as_it_is, _as_it_is, _TRUTH.__getitem__)),
    (Float, "Float", Codec(_as_it_is, sql.float_text, _float)),
    (BigInteger, "Long", Codec(_as_it_is, _as_it_is)),
    (Integer, "Int", Codec(_as_it_is, _as_it_is, _int)),
    (String, "String", Codec(_as_it_is, _as_it_is)),
)


_PYTHON: tuple[tuple[type[Any], Sql, Callable[[Any], Any]], ...] = (
    (UTCDateTime, sql.time_text, read_time),
    (Date, sql.date_text, date.fromisoformat),
    (Uuid, sql.id_text, UUID),
    (Boolean, _as_it_is, bool),
    (Float, sql.float_text, float),
    (Integer, _as_it_is, int),
    (String, _as_it_is, str),
    (JSON, sql.json_text, orjson.loads),
)


def _names(own: Any, named: GraphQLEnumType, kind: GraphQLOutputType) -> Codec:
    """Return the codec of an enum: the column has the names of its members, a cursor their values."""
    if isinstance(own, DeclaredName):
        stored: dict[str, Any] = dict(own.kind.declared)
    elif isinstance(own, Enum) and own.enum_class is not None and own.values_callable is None:
        stored = dict(own.enum_class.__members__)
    elif isinstance(own, String):
        stored = {str(value.value): value.value for value in named.values.values()}
    else:
        raise Doubt(f"no codec for {own} as {named}")
    names: dict[str | None, Any] = {
        text: named.coerce_output_value(member) for text, member in stored.items()
    }
    values: dict[str | None, Any] = {text: wire_value(member) for text, member in stored.items()}
    if not is_non_null_type(kind):
        names[None] = values[None] = None
    return Codec(sql.as_text, sql.as_text, names.__getitem__, values.__getitem__)


def _documents(kind: GraphQLOutputType) -> Codec:
    text = str(kind)
    if text in ("JSON", "JSON!"):
        return Codec(sql.json_text, sql.json_text, _json if text == "JSON" else _json_given)
    if text in ("[String!]!", "[ID!]!", "[JSON!]!"):
        return Codec(sql.json_text, sql.json_text, _values if text == "[JSON!]!" else _texts)
    raise Doubt(f"no codec for documents as {kind}")


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _json_given(text: str) -> Any:
    value = orjson.loads(text)
    if value is None:
        raise Doubt("null")
    return value


def _values(text: str) -> list[Any]:
    values = orjson.loads(text)
    if type(values) is list and None not in values:
        return values
    raise Doubt("no list")


def _texts(text: str) -> list[str]:
    values = _values(text)
    if all(type(one) is str for one in values):
        return values
    raise Doubt("no texts")
