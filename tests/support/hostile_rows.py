"""Rows with values that are hard to write as JSON or SQL, put past every rule into a filled organisation."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Boolean, Date, Enum, Float, Integer, String, Uuid, select, update

from tests.support.house import House
from tournee.catalogue import ENTITIES
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Base, DeclaredName, UTCDateTime
from tournee.kernel.fields import Field, fields

TEXTS = [
    "", " ", "'", '"', "\\", "''\"\"", "%", "_", "50%_/\\", "/%", "Ünïcödé", "İstanbul", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🙂",
    "\u2028\u2029", "\x01\x1f\x7f", "a\nb\r\n\tc", "\u202ertl", "null", "NULL", "{}", "[1]", "'; --", "é",
    "é", "x" * 40,
]  # fmt: skip
FLOATS = [0.1 + 0.2, -0.0, 0.0, 1e308, 5e-324, 1e22, 123456789.12345679, -1.5, 2.0, 1 / 3]
TIMES = [
    datetime(2026, 11, 23, 9, 12, tzinfo=UTC),
    datetime(2026, 11, 23, 9, 12, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 23, 9, 12, 0, 100_000, tzinfo=UTC),
    datetime(2026, 11, 23, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 120_000, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
]
DAYS = [date(2026, 11, 23), date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29)]
INTS = [0, 1, -1, 2**31 - 1, -(2**31)]
DOCUMENTS: list[Any] = [
    {}, {"a": [1, 2.5, None, 'é\\"', {"b": True}], "": 0.1}, {"n": 2**53, "m": -1e-7},
]  # fmt: skip


# Names that domains declare, ids and numbers of the log stay.
_VALUES: tuple[tuple[Any, list[Any]], ...] = (
    (DeclaredName, [...]),
    (Uuid, [...]),
    (BigInteger, [...]),
    (UTCDateTime, TIMES),
    (Date, DAYS),
    (Boolean, [True, False]),
    (Float, FLOATS),
    (Integer, INTS),
    (String, TEXTS),
)


class Hostility:
    """Puts such values into rows; the same seed puts the same."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def into(self, house: House, share: float = 0.4) -> None:
        """Change about this share of all values that are no keys."""
        async with house.writing() as session:
            for model in ENTITIES.values():
                table: Any = model.__table__
                ids = (await session.execute(select(table.c.id).where(_own(table, house)))).scalars().all()
                for id in ids:
                    values = self._values(model, share)
                    if values:
                        where = (_own(table, house), table.c.id == id)
                        await session.execute(update(table).where(*where).values(values))
            await session.commit()

    def _values(self, model: Any, share: float) -> dict[Any, Any]:
        unique = {
            column.name for index in model.__table__.indexes if index.unique for column in index.columns
        } | {
            column.name
            for one in model.__table__.constraints
            if hasattr(one, "columns")
            for column in one.columns
        }
        found = {}
        for one in fields(model):
            column = getattr(model, one.name).property.columns[0]
            if column.name not in unique and self.chance.random() < share:
                value = self._value(one, column.type)
                if value is not ...:
                    found[column] = value
        return found

    def _value(self, one: Field, kind: Any) -> Any:
        """Return a value for a field; `...` leaves it as it is."""
        if one.nullable and self.chance.random() < 0.3:
            return None
        if one.of is not None:
            # It is read as what it stands for.
            return ...
        if isinstance(kind, JSON):
            return self._document(one)
        if isinstance(kind, Enum):
            return self.chance.choice(list(kind.enum_class or ()))
        for python, values in _VALUES:
            if isinstance(kind, python):
                value = self.chance.choice(values)
                return value[: one.limit] if isinstance(value, str) else value
        return ...

    def _document(self, one: Field) -> Any:
        if str(one.type).startswith("list[str"):
            return self.chance.sample(TEXTS, 3)
        return [*DOCUMENTS] if str(one.type).startswith("list") else self.chance.choice(DOCUMENTS)


def _own(table: Any, house: House) -> Any:
    return table.c.organisation_id == house.organisation_id


async def copy_of(house: House, organisation_id: UUID) -> House:
    """Copy every row of an organisation into another one: all ids exist twice."""
    copied = House(house.database)
    copied.organisation_id = organisation_id
    await copied.found()
    async with house.database.writing(ACROSS) as session:
        for table in Base.metadata.sorted_tables:
            if "organisation_id" not in table.c or table.name == "head":
                continue
            rows = (await session.execute(select(table).where(_own(table, house)))).mappings().all()
            if rows:
                await session.execute(
                    table.insert(), [{**row, "organisation_id": organisation_id} for row in rows]
                )
        await session.commit()
    return copied
