"""The rows of one organisation as lines of JSON, the same for both databases.

Each table has a line that names it and its columns, and then a line for each row: a list of values. The
organisation itself is left out of every row. Only the values of a few rows are in memory at a time.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cache, partial
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    JSON,
    ColumnClause,
    Date,
    Enum,
    LargeBinary,
    Select,
    String,
    Table,
    TableClause,
    Text,
    TypeDecorator,
    Uuid,
    cast,
    column,
    func,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine, UserDefinedType

import tournee.catalogue  # noqa: F401 - brings in every domain, so that the metadata is complete
from tournee.backups.archive import BackupFailed
from tournee.kernel.entity import Base, Organisation, UTCDateTime

# Rows read or written at once.
PORTION = 500


class _Verbatim(UserDefinedType[str]):
    """JSON as its text, so that not even a space in it changes."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


def own_column(of: Table) -> str | None:
    """Return the column that holds the organisation, None for a table of all organisations."""
    if of.name == Organisation.__tablename__:
        return "id"
    return "organisation_id" if "organisation_id" in of.c else None


# In the order in which rows can be inserted.
TABLES = [one for one in Base.metadata.sorted_tables if own_column(one) is not None]


def counting(of: Table, organisation_id: UUID) -> Select[int]:
    """Return the question for the number of the organisation's rows."""
    plain = _plain(of)
    return select(func.count()).select_from(plain).where(plain.c[_own(of)] == organisation_id)


@cache
def names(of: Table) -> tuple[str, ...]:
    """Return the columns whose values are saved."""
    return tuple(one.name for one in of.columns if one.name != _own(of))


def heading(of: Table) -> bytes:
    """Return the line before the rows of a table."""
    return _line({"table": of.name, "columns": names(of)})


async def lines(connection: AsyncConnection, of: Table, organisation_id: UUID) -> AsyncIterator[bytes]:
    """Yield the organisation's rows of this table, a line each."""
    plain = _plain(of)
    columns = [_read(plain.c[name]) for name in names(of)]
    wanted = select(*columns).where(plain.c[_own(of)] == organisation_id)
    found = await connection.stream(wanted.execution_options(yield_per=PORTION))
    async for portion in found.partitions():
        yield b"".join(_line([*row]) for row in portion)


def dump_keys(cursor_keys: Iterable[bytes]) -> bytes:
    """Return the first line: the keys that verify the cursors of the organisation's devices."""
    return _line({"cursors": [*cursor_keys]})


def read_keys(line: bytes) -> list[bytes]:
    """Return the keys in the first line."""
    value = parse(line)
    try:
        return [base64.b64decode(one, validate=True) for one in value["cursors"]]
    except (KeyError, TypeError, ValueError):
        raise BackupFailed("The first line of the file is damaged.") from None


def inserting(of: Table) -> Any:
    """Return the statement that inserts rows as `values` returns them."""
    return _plain(of).insert()


def parse(line: bytes) -> Any:
    """Return the value of a line; raises BackupFailed if it is not JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BackupFailed("A line of the file is damaged.") from None


def values(of: Table, row: list[Any], organisation_id: UUID) -> dict[str, Any]:
    """Return a row to insert, for this organisation."""
    kept = names(of)
    if len(row) != len(kept):
        raise BackupFailed(f"A row of {of.name} has {len(row)} values instead of {len(kept)}.")
    made: dict[str, Any] = {_own(of): organisation_id}
    try:
        for name, make, one in zip(kept, _makers(of), row, strict=True):
            made[name] = None if one is None else make(one)
    except (AttributeError, TypeError, ValueError):
        raise BackupFailed(f"A value of {of.name} is damaged.") from None
    return made


def portions(found: Iterable[bytes]) -> Iterator[tuple[Table, list[list[Any]]]]:
    """Yield rows of one table at a time, from the lines of a file."""
    by_name: Mapping[str, Table] = {one.name: one for one in TABLES}
    current: Table | None = None
    rows: list[list[Any]] = []
    for line in found:
        value = parse(line)
        if isinstance(value, dict):
            if current is not None:
                yield current, rows
            current, rows = by_name.get(str(value.get("table"))), []
            if current is None or value.get("columns") != [*names(current)]:
                raise BackupFailed(
                    f"{value.get('table')} is not a table of this version, or has other columns."
                )
        elif current is None or not isinstance(value, list):
            raise BackupFailed("A line of the file is damaged.")
        else:
            rows.append(value)
            if len(rows) == PORTION:
                yield current, rows
                rows = []
    if current is not None:
        yield current, rows


@cache
def _own(of: Table) -> str:
    own = own_column(of)
    assert own is not None, of.name
    return own


def _line(value: Any) -> bytes:
    return orjson.dumps(value, _text_of, orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _text_of(value: Any) -> str:
    """Return bytes as text: JSON has no bytes."""
    return base64.b64encode(value).decode()


def _plain(of: Table) -> TableClause:
    """Return the table with types that change no value: no enum, no JSON."""
    return table(of.name, *(column(one.name, _plain_type(one.type)) for one in of.columns))


def _plain_type(of: TypeEngine[Any]) -> TypeEngine[Any]:
    if isinstance(of, JSON):
        return _Verbatim()
    if isinstance(of, UTCDateTime):
        return of
    if isinstance(of, TypeDecorator | Enum):
        return String()
    return of


def _read(of: ColumnClause[Any]) -> Any:
    return cast(of, Text).label(of.name) if isinstance(of.type, _Verbatim) else of


@cache
def _makers(of: Table) -> tuple[Callable[[Any], Any], ...]:
    """Return what makes the value of each column of `names` from that of its line."""
    return tuple(_maker(of.c[name].type) for name in names(of))


def _maker(of: TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(of, Uuid):
        return UUID
    if isinstance(of, UTCDateTime):
        return datetime.fromisoformat
    if isinstance(of, LargeBinary):
        return partial(base64.b64decode, validate=True)
    return date.fromisoformat if isinstance(of, Date) else _as_it_is


def _as_it_is(value: Any) -> Any:
    return value
