"""How many values of a column travel to PostgreSQL as one parameter, each arriving as what it was.

Binding each value by itself costs twice the time of writing it, and rows as JSON are read three times as
slowly as columns. So the values of a column are joined to one text here and taken apart by SQL there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    JSON,
    TEXT,
    BigInteger,
    Boolean,
    Date,
    Dialect,
    Enum,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    Uuid,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeEngine, UserDefinedType

from tournee.kernel.entity import DeclaredName, UTCDateTime

# The types whose values arrive unchanged (tests/engine/test_codec.py).
PLAIN = (
    *(BigInteger, Boolean, Date, Enum, Float, Integer, JSON, LargeBinary, String, Uuid),
    *(DeclaredName, UTCDateTime),
)

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class Array(UserDefinedType[Any]):
    """Many values as one parameter of PostgreSQL, in its own notation: the driver binds each by itself."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, element: str) -> None:
        self.element = element

    def get_col_spec(self, **_options: Any) -> str:
        return f"{self.element}[]"


class Ids(Array):
    """Ids, from a list of them; for SQLite as JSON, written as it stores them."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__("UUID")

    def bind_processor(self, dialect: Dialect) -> Callable[[list[UUID] | None], str]:
        if dialect.name == "sqlite":
            return lambda ids: orjson.dumps([id.hex for id in ids or []]).decode()
        return lambda ids: _plain(ids or [])


@dataclass(frozen=True)
class Codec:
    """How the values of a column travel: the parameter's type, how it is made, and the SQL that makes an
    array of it, with `{0}` in place of the parameter."""

    type: TypeEngine[Any]
    join: Callable[[Sequence[Any]], str]
    array: str = "{0}"


def _plain(values: Sequence[Any]) -> str:
    """An array of numbers, ids, times or truths: JSON but for the brackets, and a tenth of the cost."""
    return f"{{{orjson.dumps(values, option=orjson.OPT_UTC_Z)[1:-1].decode()}}}"


def _floats(values: Sequence[float | None]) -> str:
    """An array of floats, those among them that JSON has no number for as well."""
    return f"{{{','.join(['NULL' if value is None else repr(value) for value in values])}}}"


def _binaries(values: Sequence[bytes | None]) -> str:
    """An array of bytes in hexadecimal digits; an array's notation escapes the backslash before them."""
    texts = ["NULL" if one is None else rf'"\\x{one.hex()}"' for one in values]
    return f"{{{','.join(texts)}}}"


def _times(values: Sequence[datetime | None]) -> str:
    """An array of times: in UTC, since the offsets of old times have seconds, which JSON's times lack."""
    return _plain([time if time is None or time.tzinfo is UTC else time.astimezone(UTC) for time in values])


def _texts(values: Sequence[str | None]) -> str:
    """Texts joined to one that `_SPLIT` takes apart again: in an array's own notation each quote of a
    document would be escaped here and read there."""
    said = "".join([text for text in values if text is not None])
    if "\0" in said:
        raise DataError("A text holds a NUL character.", None, ValueError("NUL"))
    # Choose two characters that none of the texts holds, usually the first two.
    between, nothing = islice((mark for mark in map(chr, _MARKS) if mark not in said), 2)
    return between.join(["", nothing, *(nothing if text is None else text for text in values)])


_MARKS = range(1, 0xD800)
# The separator and the mark for SQL's NULL are the first two characters, which also make two empty parts.
_SPLIT = "(string_to_array({0}, left({0}, 1), substr({0}, 2, 1)))[3:]"


def _jsons(values: Sequence[Any]) -> str:
    """JSON values joined to one text; nothing is SQL's NULL."""
    return _texts([None if value is None else orjson.dumps(value).decode() for value in values])


IDS = Codec(Ids(), _plain)
TEXTS = Codec(TEXT(), _texts, _SPLIT)


_JOINS: dict[type[Any], Callable[[Any], str]] = {
    UTCDateTime: _times,
    Float: _floats,
    LargeBinary: _binaries,
}


@cache
def codec_of(table: Table, name: str) -> Codec:
    """Return how values of this column travel. A length is for the column to check: a cast would cut."""
    kind = table.c[name].type
    # This includes enumerations and declared names.
    if isinstance(kind, String) or isinstance(getattr(kind, "impl", None), String):
        return TEXTS
    if isinstance(kind, JSON):
        return Codec(TEXT(), _jsons, f"{_SPLIT}::{type_name(table, name)}[]")
    join = next((join for one, join in _JOINS.items() if isinstance(kind, one)), _plain)
    return Codec(Array(type_name(table, name)), join)


def type_name(table: Table, name: str) -> str:
    return str(table.c[name].type.compile(DIALECT))


def quoted(name: str) -> str:
    return str(DIALECT.identifier_preparer.quote(name))
