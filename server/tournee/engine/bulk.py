"""Statements on many rows at once as PostgreSQL takes them, each column one parameter.

Each keeps to the organisation it is given as `:organisation_id`. They are made once: making one of
expressions takes longer than the database takes to answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Executable, String, Table, Uuid, bindparam, column

from tournee.engine.border import OwnText
from tournee.engine.codec import IDS, TEXTS, Codec, codec_of, quoted, type_name

Rows = Sequence[Mapping[str, Any]]


def columns_of(table: Table, rows: Rows) -> dict[str, str]:
    """Each column of the rows as one parameter."""
    names = tuple(rows[0])
    # Transpose all columns in one pass, which runs in C.
    columns = (
        zip(*map(itemgetter(*names), rows), strict=True) if len(names) > 1 else [[r[names[0]] for r in rows]]
    )
    return {
        f"own_{name}": codec_of(table, name).join(held) for name, held in zip(names, columns, strict=True)
    }


def key_codec(key: Any) -> Codec:
    """Return how the ids or texts travel by which rows are picked."""
    return TEXTS if isinstance(key.type, String) else IDS


@cache
def picking(key: Any, columns: tuple[Any, ...]) -> Executable:
    """Read these columns of the rows whose `key` is one of `:ids`.

    PostgreSQL looks each of them up by itself: of a table that has grown since it last counted, it takes
    an organisation's share for a handful of rows, and would read them all and compare each with each id.
    """
    codec = key_codec(key)
    names = [quoted(one.key) for one in columns]
    own = ", ".join(f"own.{name}" for name in names)
    # OFFSET keeps the planner from merging the two queries.
    return (
        OwnText(
            f"SELECT {own} FROM unnest({codec.array.format(':ids')}) AS asked(id) JOIN LATERAL"  # noqa: S608 - names of columns
            f" (SELECT {', '.join(names)} FROM {quoted(key.class_.__tablename__)}"
            f" WHERE organisation_id = :organisation_id AND {quoted(key.key)} = asked.id OFFSET 0) AS own"
            " ON true"
        )
        .bindparams(bindparam("ids", type_=codec.type), bindparam("organisation_id", type_=Uuid()))
        .columns(*(column(one.key, one.type) for one in columns))
    )


@cache
def inserting(
    table: Table, names: tuple[str, ...], same: tuple[str, ...], replacing: tuple[str, ...]
) -> Executable:
    """Insert rows; `same` are columns of one value, `replacing` are set in a row that is there already."""
    columns = ", ".join(map(quoted, (*names, *same)))
    values = [f"own.{quoted(name)}" for name in names]
    values += [f"CAST(:{name} AS {type_name(table, name)})" for name in same]
    statement = (
        f"INSERT INTO {quoted(table.name)} ({columns}) SELECT {', '.join(values)}"  # noqa: S608 - names of columns
        f" FROM {_own(table, names)}"
    )
    if replacing:
        key = ", ".join(quoted(column.name) for column in table.primary_key)
        set_to = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in replacing)
        statement += f" ON CONFLICT ({key}) DO UPDATE SET {set_to}"
    # Citus would copy rows that nothing is returned of, which row-level security forbids.
    return _bound(table, names, same, f"{statement} RETURNING NULL")


@cache
def updating(table: Table, key: tuple[str, ...], names: tuple[str, ...], same: tuple[str, ...]) -> Executable:
    """Update rows that are found by the columns of `key` and of `same`."""
    target = quoted(table.name)
    set_to = ", ".join(f"{quoted(name)} = own.{quoted(name)}" for name in names if name not in key)
    found_by = [f"{target}.{quoted(name)} = own.{quoted(name)}" for name in key]
    found_by += [f"{target}.{quoted(name)} = :{name}" for name in same]
    return _bound(
        table,
        names,
        same,
        f"UPDATE {target} SET {set_to} FROM {_own(table, names)} WHERE {' AND '.join(found_by)}",  # noqa: S608
    )


def _own(table: Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(quoted(name) for name in names)
    # Select the arrays, so that the planner assumes few rows: for many it would read the whole table.
    arrays = ", ".join(f"(SELECT {codec_of(table, name).array.format(f':own_{name}')})" for name in names)
    return f"unnest({arrays}) AS own({columns})"


def _bound(table: Table, names: tuple[str, ...], same: tuple[str, ...], statement: str) -> Executable:
    many = [bindparam(f"own_{name}", type_=codec_of(table, name).type) for name in names]
    typed = [bindparam(name, type_=table.c[name].type) for name in same]
    return OwnText(statement).bindparams(*many, *typed)
