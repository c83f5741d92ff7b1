"""Many rows in one statement.

On PostgreSQL each column travels as one parameter: binding each value by itself costs twice the time of
writing it, and rows as JSON are read three times as slowly. SQLite runs in this process, where a
statement for each row costs next to nothing.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from operator import itemgetter
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    JSON,
    TEXT,
    ColumnElement,
    Dialect,
    Executable,
    String,
    Table,
    TextClause,
    Uuid,
    any_,
    bindparam,
    column,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import UserDefinedType

Rows = Sequence[Mapping[str, Any]]

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


class _Array(UserDefinedType[Any]):
    """Many values as one parameter of PostgreSQL, in its own notation: the driver's takes each by itself."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, element: str) -> None:
        self.element = element

    def get_col_spec(self, **_options: Any) -> str:
        return f"{self.element}[]"


class _Ids(_Array):
    """Of ids, from a list of them."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__("UUID")

    def bind_processor(self, dialect: Dialect) -> Callable[[list[UUID] | None], str]:
        return lambda ids: _plain(ids or [])


def _plain(values: Sequence[Any]) -> str:
    """The array of numbers, ids, times or truths: JSON but for the brackets, and a tenth of the cost."""
    return f"{{{orjson.dumps(values, option=orjson.OPT_UTC_Z)[1:-1].decode()}}}"


def _texts(values: Sequence[str | None]) -> str:
    """Texts joined to one that `_SPLIT` takes apart again: in an array's own notation each quote of a
    document would be escaped here and read there."""
    said = "".join([text for text in values if text is not None])
    if "\0" in said:
        raise DataError("A text holds a NUL character.", None, ValueError("NUL"))
    # Two characters that none of them holds, mostly the first two.
    between, nothing = islice((mark for mark in map(chr, _MARKS) if mark not in said), 2)
    return between.join(["", nothing, *(nothing if text is None else text for text in values)])


_MARKS = range(1, 0xD800)
# What parts the texts and what stands for SQL's NULL come first, and again as the first two parts.
_SPLIT = "(string_to_array({0}, left({0}, 1), substr({0}, 2, 1)))[3:]"


def _jsons(values: Sequence[Any]) -> str:
    """Of JSON values; nothing is SQL's NULL."""
    return _texts([None if value is None else orjson.dumps(value).decode() for value in values])


@dataclass(frozen=True)
class _Column:
    """How the values of a column travel: as what type, made how, and what PostgreSQL makes of it."""

    type: UserDefinedType[Any] | TEXT
    made: Callable[[Sequence[Any]], str]
    array: str = "{0}"


@cache
def _column(table: Table, name: str) -> _Column:
    kind = table.c[name].type
    if isinstance(kind, String) or isinstance(getattr(kind, "impl", None), String):
        # Enumerations as well. A length is for the column to check, a cast would cut.
        return _Column(TEXT(), _texts, _SPLIT)
    if isinstance(kind, JSON):
        return _Column(TEXT(), _jsons, f"{_SPLIT}::{_type(table, name)}[]")
    return _Column(_Array(_type(table, name)), _plain)


def among(of: Any, ids: Iterable[UUID], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether the column is one of many ids, which PostgreSQL gets as one parameter."""
    if is_sqlite:
        return typing.cast(ColumnElement[bool], of.in_(list(ids)))
    return typing.cast(ColumnElement[bool], of) == any_(literal(list(ids), _Ids()))


def picked(
    key: Any, ids: Iterable[Any], organisation_id: UUID, *columns: Any, is_sqlite: bool
) -> tuple[Executable, dict[str, Any]]:
    """The statement, and its parameters, that reads these columns of an organisation's rows whose `key` is
    one of many ids or texts.

    PostgreSQL looks each id up by itself: of a table that has grown since it last counted, it takes
    an organisation's share for a handful of rows, and would read them all and compare each with each id.
    """
    if is_sqlite:
        own = select(*columns).where(key.class_.organisation_id == organisation_id)
        return own.where(key.in_(list(ids))), {}
    asked = list(ids)
    if isinstance(key.type, String):
        return _picking(key, columns), {"ids": _texts(asked), "organisation_id": organisation_id}
    return _picking(key, columns), {"ids": asked, "organisation_id": organisation_id}


@cache
def _picking(key: Any, columns: tuple[Any, ...]) -> Executable:
    """Made once: making it of expressions takes longer than the database takes to answer."""
    names = [_quoted(one.key) for one in columns]
    own = ", ".join(f"own.{name}" for name in names)
    table = _quoted(key.class_.__tablename__)
    is_text = isinstance(key.type, String)
    asked, kind = (_SPLIT.format(":ids"), TEXT()) if is_text else (":ids", _Ids())
    # OFFSET keeps the planner from making one query of the two.
    return (
        text(
            f"SELECT {own} FROM unnest({asked}) AS asked(id) JOIN LATERAL"  # noqa: S608 - names of columns
            f" (SELECT {', '.join(names)} FROM {table} WHERE organisation_id = :organisation_id"
            f" AND {_quoted(key.key)} = asked.id OFFSET 0) AS own ON true"
        )
        .bindparams(bindparam("ids", type_=kind), bindparam("organisation_id", type_=Uuid()))
        .columns(*(column(one.key, one.type) for one in columns))
    )


def insert_many(
    session: AsyncSession,
    table: Any,
    rows: Rows,
    same: Mapping[str, Any] = _NOTHING,
    replacing: tuple[str, ...] = (),
) -> Coroutine[Any, Any, None]:
    """Insert rows that name the same columns; `same` holds what is equal in all of them.

    Where a row of the same primary key is there already, the columns of `replacing` are set in it.
    All that this process does for it is done at once, what is awaited is the database's part.
    """
    if not rows:
        return _nothing()
    if not _is_sqlite(session):
        statement = _inserting(table, tuple(rows[0]), tuple(same), replacing)
        return _sent(session, statement, {**_columns(table, rows), **same})
    inserted = insert(table)
    if replacing:
        new = {name: inserted.excluded[name] for name in replacing}
        inserted = inserted.on_conflict_do_update(index_elements=list(table.primary_key), set_=new)
    return _sent(session, inserted, [{**same, **row} for row in rows])


def update_many(
    session: AsyncSession,
    table: Any,
    key: tuple[str, ...],
    rows: Rows,
    same: Mapping[str, Any] = _NOTHING,
) -> Coroutine[Any, Any, None]:
    """Update rows found by the columns of `key` and by those of `same`; each names the same columns."""
    if not rows:
        return _nothing()
    names = tuple(rows[0])
    if not _is_sqlite(session):
        statement = _updating(table, key, names, tuple(same))
        return _sent(session, statement, {**_columns(table, rows), **same})
    found_by = [table.c[name] == bindparam(f"by_{name}") for name in (*key, *same)]
    set_to: dict[str, Any] = {name: bindparam(name) for name in names if name not in key}
    fixed = {f"by_{name}": value for name, value in same.items()}
    return _sent(
        session,
        update(table).where(*found_by).values(set_to),
        [
            {**fixed, **{f"by_{name}" if name in key else name: value for name, value in row.items()}}
            for row in rows
        ],
    )


async def _nothing() -> None:
    """No rows, no statement."""


async def _sent(session: AsyncSession, statement: Any, parameters: Any) -> None:
    connection = await session.connection()
    await connection.execute(statement, parameters)


def _is_sqlite(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _columns(table: Table, rows: Rows) -> dict[str, str]:
    """Each column of the rows as one parameter."""
    names = tuple(rows[0])
    # All columns in one pass, which runs in C.
    columns = (
        zip(*map(itemgetter(*names), rows), strict=True) if len(names) > 1 else [[r[names[0]] for r in rows]]
    )
    return {f"own_{name}": _column(table, name).made(held) for name, held in zip(names, columns, strict=True)}


def _type(table: Table, name: str) -> str:
    return str(table.c[name].type.compile(_DIALECT))


def _quoted(name: str) -> str:
    return str(_DIALECT.identifier_preparer.quote(name))


def _own(table: Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(_quoted(name) for name in names)
    # Selected, so that the planner takes them for a few: of many it would read the whole table beside them.
    arrays = ", ".join(f"(SELECT {_column(table, name).array.format(f':own_{name}')})" for name in names)
    return f"unnest({arrays}) AS own({columns})"


def _bound(table: Table, names: tuple[str, ...], same: tuple[str, ...], statement: str) -> TextClause:
    many = [bindparam(f"own_{name}", type_=_column(table, name).type) for name in names]
    typed = [bindparam(name, type_=table.c[name].type) for name in same]
    return text(statement).bindparams(*many, *typed)


@cache
def _inserting(
    table: Table, names: tuple[str, ...], same: tuple[str, ...], replacing: tuple[str, ...]
) -> TextClause:
    columns = ", ".join(map(_quoted, (*names, *same)))
    values = [f"own.{_quoted(name)}" for name in names]
    values += [f"CAST(:{name} AS {_type(table, name)})" for name in same]
    statement = (
        f"INSERT INTO {_quoted(table.name)} ({columns}) SELECT {', '.join(values)}"  # noqa: S608 - names of columns
        f" FROM {_own(table, names)}"
    )
    if replacing:
        key = ", ".join(_quoted(column.name) for column in table.primary_key)
        set_to = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in replacing)
        statement += f" ON CONFLICT ({key}) DO UPDATE SET {set_to}"
    return _bound(table, names, same, statement)


@cache
def _updating(
    table: Table, key: tuple[str, ...], names: tuple[str, ...], same: tuple[str, ...]
) -> TextClause:
    target = _quoted(table.name)
    set_to = ", ".join(f"{_quoted(name)} = own.{_quoted(name)}" for name in names if name not in key)
    found_by = [f"{target}.{_quoted(name)} = own.{_quoted(name)}" for name in key]
    found_by += [f"{target}.{_quoted(name)} = :{name}" for name in same]
    return _bound(
        table,
        names,
        same,
        f"UPDATE {target} SET {set_to} FROM {_own(table, names)} WHERE {' AND '.join(found_by)}",  # noqa: S608
    )
