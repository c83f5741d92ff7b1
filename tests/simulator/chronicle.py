"""The organisation's log folded in plain Python into the state of every row at the head.

Everything else the server stores (records, edges, memberships, receipts) is checked against this, and
this against the business tables at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Engine, select

from tests.simulator.violations import Violation
from tournee.catalogue import ENTITIES
from tournee.kernel.fields import fields
from tournee.kernel.log import Change, Head
from tournee.kernel.values import wire_value

Document = dict[str, Any]

_CHANGE = Change.__table__


@dataclass(frozen=True)
class Entry:
    """One change, and the row before it."""

    seq: int
    entity: str
    id: str
    command: str
    actor: str | None
    device: str | None
    operation: str | None
    before: Document | None
    after: Document


class Chronicle:
    """The log of one organisation, as far as it has been read."""

    def __init__(self, eye: Engine, organisation_id: UUID, *, dense: bool = True) -> None:
        self.eye = eye
        self.organisation_id = organisation_id
        self._dense = dense
        # Numbers skipped after a restore, because the backup may lack them.
        self.leaps: Counter[int] = Counter()
        # Marks of numbers that were lost and are used again, with the last number before them.
        self.lost_marks: dict[str, int] = {}
        self.seq = 0
        self.entries: list[Entry] = []
        self.rows: dict[str, dict[str, Document]] = defaultdict(dict)
        # Deleted rows as they were; a fact from the field restores one.
        self.gone: dict[str, Document] = {}
        self.of_operation: dict[str, list[Entry]] = defaultdict(list)
        self.of_record: dict[str, list[Entry]] = defaultdict(list)

    def read(self, until: int | None = None) -> list[Entry]:
        """Read the entries committed since, up to a number; each number must follow the one before it."""
        wanted = [_CHANGE.c.organisation_id == self.organisation_id, _CHANGE.c.seq > self.seq]
        if until is not None:
            wanted.append(_CHANGE.c.seq <= until)
        with self.eye.connect() as connection:
            found = connection.execute(select(_CHANGE).where(*wanted).order_by(_CHANGE.c.seq)).all()
        fresh = [self._take(row) for row in found]
        self.entries += fresh
        return fresh

    def _take(self, row: Any) -> Entry:
        if self._dense and row.seq != self.top + 1:
            raise Violation("the log has no gap", f"{row.seq} follows {self.seq}")
        self.seq = row.seq
        entry = Entry(
            row.seq, row.entity, str(row.id), row.command, _text(row.actor_id), _text(row.device_id),
            _text(row.operation_id), None if row.before is None else orjson.loads(row.before),
            orjson.loads(row.after),
        )  # fmt: skip
        self._fold(entry)
        self.of_record[entry.id].append(entry)
        if entry.operation is not None:
            self.of_operation[entry.operation].append(entry)
        return entry

    def _fold(self, entry: Entry) -> None:
        held = self.rows[entry.entity].pop(entry.id, None) or self.gone.get(entry.id)
        if entry.before is None:
            if held is not None:
                raise Violation("a record is created once", f"{entry.entity} {entry.id} at {entry.seq}")
            self.rows[entry.entity][entry.id] = dict(entry.after)
            return
        if held is None:
            raise Violation("the log is whole", f"{entry.entity} {entry.id} changed at {entry.seq}, not made")
        was = {name: held.get(name) for name in entry.before if name != "deleted"}
        said = {name: value for name, value in entry.before.items() if name != "deleted"}
        if was != said:
            raise Violation("the log is whole", f"before {entry.seq} it was {was}, the log says {said}")
        after = dict(entry.after)
        deleted = after.pop("deleted", entry.id in self.gone)
        self.gone.pop(entry.id, None)
        into = self.gone if deleted else self.rows[entry.entity]
        into[entry.id] = {**held, **after}

    @property
    def top(self) -> int:
        """Return the number that the head must have."""
        return self.seq + self.leaps[self.seq]

    def lost(self, seq: int, mark: str | None) -> int | None:
        """Return the last number before the lost history, if this number belongs to it."""
        if mark in self.lost_marks:
            return self.lost_marks[mark]
        return next((last for last, leap in self.leaps.items() if last < seq < last + leap), None)

    def stood(self, id: str, at: int) -> Document:
        """Return the record as it was after that number, None if it did not exist yet."""
        held: Document = {}
        for entry in self.of_record[id]:
            held |= entry.after if entry.seq <= at else {}
        return held

    def states(self, id: str, since: int) -> list[Document]:
        """Return the record as it was after that number, and after each later change."""
        later = [entry.seq for entry in self.of_record[id] if entry.seq > since]
        stood = [self.stood(id, at) for at in (since, *later)]
        return [{name: value for name, value in one.items() if name != "deleted"} for one in stood]

    def value_at(self, name: str, entry: Entry) -> Any:
        """Return a field's value in the entry's record after that number."""
        said = [e.after[name] for e in self.of_record[entry.id] if e.seq <= entry.seq and name in e.after]
        return said[-1] if said else None

    def find(self, id: str) -> Document | None:
        return next((rows[id] for rows in self.rows.values() if id in rows), None)

    def head(self) -> int:
        with self.eye.connect() as connection:
            return int(
                connection.execute(
                    select(Head.seq).where(Head.organisation_id == self.organisation_id)
                ).scalar_one()
            )

    def tables(self) -> dict[str, dict[str, Document]]:
        """Return the business tables as they are, in the form of `rows`."""
        found: dict[str, dict[str, Document]] = {}
        with self.eye.connect() as connection:
            for name, model in ENTITIES.items():
                table: Any = model.__table__
                chosen = select(table).where(
                    table.c.organisation_id == self.organisation_id, table.c.deleted.is_(False)
                )
                rows = connection.execute(chosen).mappings()
                found[name] = {
                    str(row["id"]): {field.wire: wire_value(row[field.name]) for field in fields(model)}
                    for row in rows
                }
        return {name: rows for name, rows in found.items() if rows}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
