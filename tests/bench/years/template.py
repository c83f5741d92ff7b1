"""Templates: the rows that one stretch of work left in every table, ready to be copied thousands of times.

A template is text as COPY writes it, with holes for all that differs from copy to copy: ids, numbers and
days. No column is named here, so a new one is copied like the others. The numbers of the log, of work orders
and of a device's operations are found in any text, because the organisation that the rows come from counts
from numbers that occur nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from hashlib import shake_128
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Table

from tests.support.field import ITEMS
from tournee.catalogue import ENTITIES
from tournee.kernel.entity import Base
from tournee.procedures.answers import answer_id
from tournee.work.models.notes import staff_scope

# The numbers before the first change, operation and work order of an organisation that is copied.
LAST_SEQ, LAST_OPERATION, LAST_NUMBER = 7_310_000_000_000, 7_320_000_000_000, 731_000_000
# The only numbered entity: another one would need numbers of its own.
((NUMBERED, NUMBERS),) = ((model, model.numbers) for model in ENTITIES.values() if model.numbers)
COUNTER = NUMBERS.counter

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HOLE = re.compile(
    rf"(?P<id>{_ID})"
    r"|(?<![0-9a-f])[0-9a-f]{32}(?P<hash>[0-9a-f]{32})(?![0-9a-f])"
    r"|(?<!\d)(?:731(?P<seq>0{4}\d{6})|732(?P<operation>0{4}\d{6})|731(?P<number>\d{6}))(?!\d)"
    r"|(?P<day>\d{4}-\d\d-\d\d)"
)
# Ids that follow from another id.
_DERIVED: tuple[Callable[[UUID], UUID], ...] = (
    staff_scope,
    *(partial(answer_id, item_key=item["key"]) for item in ITEMS),
)
# Scopes and records are ids of other rows, so these tables own none.
_OWN_NO_IDS = ("edge", "member", "search_term")
_DAY_MS = 86_400_000
# Days of the work and its plans are this near.
_NEAR = timedelta(days=365)

# By table and primary key, the row as COPY writes it.
Rows = dict[str, dict[str, str]]
# What stands in each hole.
Values = dict[str, str]


@dataclass(frozen=True)
class Place:
    """Where a copy goes: the last numbers before its own, its days, and other rows that it refers to.

    Work was done `back` days earlier than in the template, and its plans lie `later` days later. At `until`
    ends what ended after the template's own changes. `others` are ids by the names of their holes.
    """

    seq: int
    others: Mapping[str, str]
    operation: int = 0
    number: int = 0
    until: int = 0
    back: int = 0
    later: int = 0


class Template:
    """Rows with holes. `others` are the ids that other rows own, with the names of their holes."""

    def __init__(self, rows: Rows, others: Mapping[UUID, str], today: date) -> None:
        self.counts = {table: len(lines) for table, lines in rows.items()}
        self.seqs = self.counts["change"]
        self.operations = self.counts.get("receipt", 0)
        self.numbers = self.counts.get(NUMBERED.__tablename__, 0)
        self._today = today
        self._others = {str(id): name for id, name in others.items()}
        owned = self._owned(rows)
        self._derivations = {
            str(derive(UUID(id))): (derive, id) for id in (*owned, *self._others) for derive in _DERIVED
        }
        own = [id for id in owned if id not in self._derivations]
        self._own = {id: f"id{n}" for n, id in enumerate(own)}
        # Found while the holes are made.
        self._derived: dict[str, tuple[Callable[[UUID], UUID], str]] = {}
        self._days: dict[str, date] = {}
        self.texts = {table: self._with_holes(table, lines) for table, lines in rows.items()}

    def _owned(self, rows: Rows) -> list[str]:
        """Return the ids that were given to the rows themselves: those in their primary keys."""
        keys = (key for table, lines in rows.items() if table not in _OWN_NO_IDS for key in lines)
        found = dict.fromkeys(id for key in keys for id in re.findall(_ID, key))
        return [id for id in found if id not in self._others]

    def _with_holes(self, table: str, lines: Mapping[str, str]) -> str:
        try:
            return _HOLE.sub(self._hole, "".join(lines.values()).replace("%", "%%"))
        except KeyError as error:
            raise ValueError(
                f"The rows of {table} name {error}, which neither they nor others own."
            ) from None

    def _hole(self, found: re.Match[str]) -> str:
        kind = str(found.lastgroup)
        text = found[kind]
        if kind == "id":
            return f"%({self._name_of(text)})s"
        if kind == "hash":
            return f"%(hash)s{text}"
        if kind == "day":
            return self._hole_of_day(date.fromisoformat(text))
        is_after = kind == "seq" and int(text) > self.seqs
        return "%(until)s" if is_after else f"%({kind}{int(text)})s"

    def _hole_of_day(self, day: date) -> str:
        if abs(day - self._today) > _NEAR:
            # No day of work: it stands for always or never.
            return str(day)
        name = f"day{day}"
        self._days[name] = day
        return f"%({name})s"

    def _name_of(self, id: str) -> str:
        name = self._others.get(id) or self._own.get(id)
        if name is None:
            name = f"derived {id}"
            derive, origin = self._derivations[id]
            self._derived[name] = derive, self._name_of(origin)
        return name

    # -- filling the holes -----------------------------------------------------------------------

    def fill(self, n: int, place: Place) -> Values:
        """Return what stands in the holes of copy `n`."""
        values = {**place.others, **dict(self._ids(n, place.back)), **dict(self._dates(place))}
        values["hash"] = shake_128(values["id0"].encode()).hexdigest(16)
        values["until"] = str(place.until)
        for kind, last, count in (
            ("seq", place.seq, self.seqs),
            ("operation", place.operation, self.operations),
            ("number", place.number, self.numbers),
        ):
            values.update({f"{kind}{step}": str(last + step) for step in range(count + 1)})
        for name, (derive, origin) in self._derived.items():
            values[name] = str(derive(UUID(values[origin])))
        return values

    def _dates(self, place: Place) -> Iterator[tuple[str, str]]:
        for name, day in self._days.items():
            is_planned = day > self._today + timedelta(days=1)
            yield name, str(day + timedelta(days=place.later if is_planned else -place.back))

    def _ids(self, n: int, back: int) -> Iterator[tuple[str, str]]:
        """Yield an id for each of the template's own: made as much earlier as its row, otherwise random."""
        first = next(iter(self._own))
        random = shake_128(f"{first}{n}".encode()).hexdigest(9 * len(self._own))
        for own, (id, name) in enumerate(self._own.items()):
            made_at = f"{int(id[:8] + id[9:13], 16) - back * _DAY_MS:012x}"
            part = random[18 * own : 18 * own + 18]
            yield name, f"{made_at[:8]}-{made_at[8:]}-7{part[:3]}-8{part[3:6]}-{part[6:]}"

    def own(self, values: Values, id: UUID) -> str:
        """Return the id that stands in a copy in place of this one of the template's."""
        return values[self._own[str(id)]]


# -- reading rows --------------------------------------------------------------------------------


def tables() -> list[Table]:
    """Return the tables of organisations, each after those that it refers to."""
    return [table for table in Base.metadata.sorted_tables if "organisation_id" in table.c]


def columns_of(table: Table) -> Composed:
    """Return the columns that can be written."""
    return SQL(", ").join(Identifier(column.name) for column in table.c if column.computed is None)


def rows_of(connection: psycopg.Connection, organisation_id: UUID) -> Rows:
    """Return all rows of an organisation."""
    return {table.name: dict(_lines(connection, table, organisation_id)) for table in tables()}


def _lines(connection: psycopg.Connection, table: Table, organisation_id: UUID) -> Iterator[tuple[str, str]]:
    keys = SQL(", ").join(Identifier(column.name) for column in table.primary_key)
    own = SQL("{} WHERE organisation_id = {} ORDER BY {}").format(
        Identifier(table.name), organisation_id, keys
    )
    found = connection.execute(SQL("SELECT concat_ws(' ', {}) FROM {}").format(keys, own)).fetchall()
    with connection.cursor().copy(
        SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns_of(table), own)
    ) as copy:
        text = b"".join(copy).decode()
    # Line breaks inside of values are written as `\n`.
    lines = text.split("\n")[:-1]
    for (key,), line in zip(found, lines, strict=True):
        yield key, f"{line}\n"
