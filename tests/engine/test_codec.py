"""Many values in one parameter arrive on PostgreSQL unchanged, however odd they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Enum,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    create_engine,
    delete,
    select,
)
from sqlalchemy.exc import DataError

import tournee.catalogue  # noqa: F401 - imports every table
from tournee.engine.bulk import columns_of, inserting, picking, updating
from tournee.engine.codec import PLAIN, TEXTS
from tournee.engine.engines import async_url
from tournee.kernel.conflict import ConflictKind
from tournee.kernel.entity import Base, DeclaredName, UTCDateTime


class Shade(StrEnum):
    """Names with characters that have a meaning elsewhere."""

    PLAIN = "PLAIN"
    NULL = "NULL"
    BRACES = "BRACES"


# Texts that have broken such encodings before.
HOSTILE = st.one_of(
    st.sampled_from(['"', "\\", "\\\\n", "{a,b}", "{}", "NULL", "null", "", " ", "'; DROP TABLE trial; --"]),
    st.sampled_from(["\x01", "\x02", "\x01\x02\x03", "\x7f", "\r\n\t", "\u2028", "\ufeff", "\ud7ff", "🚐"]),
    st.sampled_from(["%s", ":own_text", "$$", "'", "''"]),
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ANY_TEXT = st.one_of(HOSTILE, TEXT, st.lists(HOSTILE).map("".join))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
JSONS = st.recursive(
    st.one_of(st.booleans(), NUMBERS, ANY_TEXT, st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(st.one_of(st.none(), inner)), st.dictionaries(ANY_TEXT, inner)),
    max_leaves=5,
)
# These are valid dates in every time zone.
FIRST, LAST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - as the strategy takes them

# For each plain type, the values that a column can hold.
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "big": (BigInteger(), NUMBERS),
    "yes": (Boolean(), st.booleans()),
    "day": (Date(), st.dates()),
    "shade": (Enum(Shade, native_enum=False, length=40), st.sampled_from(Shade)),
    "real": (Float(), st.floats(allow_nan=False)),
    "small": (Integer(), st.integers(-(2**31), 2**31 - 1)),
    "bytes": (LargeBinary(), st.binary()),
    "json": (JSON(none_as_null=True), JSONS),
    "text": (Text(), ANY_TEXT),
    "line": (String(2_000), ANY_TEXT.filter(lambda text: len(text) <= 2_000)),
    "id": (Uuid(), st.uuids()),
    "kind": (DeclaredName(ConflictKind), st.sampled_from(ConflictKind.all())),
    "at": (UTCDateTime(), st.datetimes(FIRST, LAST, timezones=st.one_of(st.just(UTC), st.timezones()))),
}
TRIAL = Table(
    "trial",
    MetaData(),
    Column("organisation_id", Uuid(), primary_key=True),
    Column("row", Integer(), primary_key=True),
    *(Column(name, kind) for name, (kind, _) in KINDS.items()),
)
ROWS = st.lists(
    st.fixed_dictionaries({name: st.one_of(st.none(), values) for name, (_, values) in KINDS.items()}),
    min_size=1,
    max_size=6,
)
OWN = {"organisation_id": uuid4()}


@pytest.fixture(scope="module")
def trial(postgres_url: str) -> Iterator[Connection]:
    """Return a connection with a table that has a column of each plain type."""
    engine = create_engine(async_url(postgres_url), connect_args={"options": "-c timezone=UTC"})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(_temporary())
        yield connection
    engine.dispose()


def _temporary() -> Any:
    from sqlalchemy.schema import CreateTable

    TRIAL._prefixes = ["TEMPORARY"]
    return CreateTable(TRIAL)


def _sent(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert all rows by one statement and return them as the database has them."""
    connection.execute(delete(TRIAL))
    named = [{"row": number, **row} for number, row in enumerate(rows)]
    statement = inserting(TRIAL, tuple(named[0]), tuple(OWN), ())
    connection.execute(statement, {**columns_of(TRIAL, named), **OWN})
    return _there(connection)


def _there(connection: Connection) -> list[dict[str, Any]]:
    columns = [TRIAL.c[name] for name in KINDS]
    return [dict(row._mapping) for row in connection.execute(select(*columns).order_by(TRIAL.c.row))]


def _as_read(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the value with times in UTC; Python never equates a repeated local time with another zone's."""
    return [row | {"at": row["at"] and row["at"].astimezone(UTC)} for row in rows]


anything = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_every_plain_type_has_trial_values() -> None:
    assert {type(kind) for kind, _ in KINDS.values()} - {Text} == set(PLAIN)


def test_enumeration_members_equal_their_names() -> None:
    """A value is sent as its text, and an enumeration's column stores names."""
    columns = [column for table in Base.metadata.tables.values() for column in table.c]
    enumerations = [column.type.enum_class for column in columns if isinstance(column.type, Enum)]
    assert enumerations
    for one in enumerations:
        assert issubclass(one, str)
        assert [(member.name, str(member)) for member in one] == [(m.name, m.name) for m in one]


@anything
@given(rows=ROWS)
def test_every_value_is_inserted_unchanged(trial: Connection, rows: list[dict[str, Any]]) -> None:
    assert _sent(trial, rows) == _as_read(rows)


@anything
@given(rows=ROWS, data=st.data())
def test_every_value_is_updated_unchanged(
    trial: Connection, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    _sent(trial, rows)
    changed = data.draw(st.lists(st.sampled_from(rows), min_size=len(rows), max_size=len(rows)))
    named = [{"row": number, **row} for number, row in enumerate(changed)]
    statement = updating(TRIAL, ("row",), tuple(named[0]), tuple(OWN))
    trial.execute(statement, {**columns_of(TRIAL, named), **OWN})
    assert _there(trial) == _as_read(changed)


@anything
@given(asked=st.lists(ANY_TEXT, min_size=1))
def test_rows_are_selected_by_every_text(trial: Connection, asked: list[str]) -> None:
    _sent(trial, [dict.fromkeys(KINDS) | {"text": text} for text in dict.fromkeys(asked)])
    picked = picking(_Key, (_Key,))
    found = trial.execute(picked, {"ids": TEXTS.join(asked), **OWN}).scalars().all()
    assert sorted(found) == sorted(asked)


class _Model:
    __tablename__ = TRIAL.name


class _Attribute:
    """The part of a mapped attribute that a statement selecting by it needs."""

    class_ = _Model
    key = "text"
    type = Text()


_Key = _Attribute()


def test_a_value_that_no_column_can_hold_raises() -> None:
    with pytest.raises(DataError):
        TEXTS.join(["fine", "not \0 fine"])
