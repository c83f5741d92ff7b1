"""For migrations: reads stored records in pages, rewrites their documents, and numbers those that changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

from tournee.migrations.steps import step

Row = Mapping[Any, Any]
Document = dict[str, Any]

# Rows held in memory at once.
_BATCH = 1_000
NOTHING: Mapping[str, Any] = {}

_TIME = sa.DateTime(timezone=True)
record_table = sa.table(
    "record",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("entity", sa.String()),
    sa.column("seq", sa.BigInteger()),
    sa.column("deleted", sa.Boolean()),
    sa.column("clock", sa.Text()),
    sa.column("document", sa.Text()),
)
_head = sa.table("head", sa.column("organisation_id", sa.Uuid()), sa.column("seq", sa.BigInteger()))
_edge = sa.table(
    "edge",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("record_id", sa.Uuid()),
    sa.column("seq", sa.BigInteger()),
    sa.column("open", sa.Boolean()),
)
change_table = sa.table(
    "change",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("seq", sa.BigInteger()),
    sa.column("entity", sa.String()),
    sa.column("id", sa.Uuid()),
    sa.column("command", sa.String()),
    *(sa.column(name, sa.Text()) for name in ("fields", "before", "after")),
    *(sa.column(name, _TIME) for name in ("occurred_at", "recorded_at")),
)


@dataclass(frozen=True)
class _Rewritten:
    """A record with its document before and after."""

    row: Row
    was: Document
    document: Document

    def clock(self, renamed: Mapping[str, str]) -> str:
        """Return who changed which field when; an added field counts as set when the record was created."""
        clock = {renamed.get(name, name): by for name, by in json.loads(self.row["clock"]).items()}
        return dumped({name: by for name, by in clock.items() if name in ("*", "?") or name in self.document})

    def entry(self) -> Row:
        """Return the record's entry in the log."""
        names = [
            *(name for name in self.document if _differs(name, self.was, self.document)),
            *(name for name in self.was if name not in self.document),
        ]
        before = {name: self.was[name] for name in names if name in self.was}
        after = {name: self.document.get(name) for name in names}
        return {
            "id": self.row["id"],
            "fields": dumped(names),
            "before": dumped(before),
            "after": dumped(after),
        }


def _differs(name: str, one: Document, other: Document) -> bool:
    return name not in one or one[name] != other[name]


def rewrite(
    entity: str,
    change: Callable[[Document, Row], Document],
    columns: sa.TableClause | None = None,
    renamed: Mapping[str, str] = NOTHING,
    *,
    tell_all: bool = False,
) -> None:
    """Replace each document of an entity by what `change` returns for it and its row."""
    for organisation_id, rows in _batches(entity, columns):
        documents = [(row, json.loads(row["document"])) for row in rows]
        changed = [_Rewritten(row, document, change(document, row)) for row, document in documents]
        wanted = [one for one in changed if one.document != one.was or tell_all]
        _write(wanted, organisation_id, entity, renamed)
        # Nobody waits for the head longer than for one batch.
        step()


def _batches(entity: str, columns: sa.TableClause | None) -> Iterator[tuple[UUID, list[Row]]]:
    """Yield the records of an entity, with these columns of their rows; a batch is of one organisation."""
    chosen = sa.select(record_table).where(record_table.c.entity == entity)
    if columns is not None:
        same = (columns.c[name] == record_table.c[name] for name in ("organisation_id", "id"))
        chosen = chosen.add_columns(*list(columns.c)[2:]).join(columns, sa.and_(*same))
    for rows in pages(chosen, record_table.c.organisation_id, record_table.c.id):
        for organisation_id, batch in groupby(rows, lambda row: row["organisation_id"]):
            yield organisation_id, list(batch)


def pages(chosen: sa.Select[Any], *key: sa.ColumnElement[Any]) -> Iterator[Sequence[Row]]:
    """Yield the rows of a statement in pages, in the order of a unique key."""
    page = chosen.order_by(*key).limit(_BATCH)
    rows: Sequence[Row] = connection().execute(page).mappings().all()
    while rows:
        yield rows
        place = sa.tuple_(*(sa.literal(rows[-1][column.key], column.type) for column in key))
        rows = connection().execute(page.where(sa.tuple_(*key) > place)).mappings().all()


def connection() -> sa.Connection:
    connection = op.get_bind()
    if connection is None:
        raise RuntimeError(
            "This revision reads stored data: run it on the database; it cannot be printed as SQL."
        )
    return connection


def _write(
    wanted: Sequence[_Rewritten], organisation_id: UUID, entity: str, renamed: Mapping[str, str]
) -> None:
    """Write documents and clocks, with new numbers for live records; no device has the deleted ones."""
    if not wanted:
        return
    live = [one for one in wanted if not one.row["deleted"]]
    # Lock the head before any record, as every writer does.
    last = take_head(organisation_id, len(live))
    seqs = {one.row["id"]: seq for seq, one in enumerate(live, last - len(live) + 1)}
    records = [
        {
            "of_record": one.row["id"],
            "new_seq": seqs.get(one.row["id"], one.row["seq"]),
            "new_document": dumped(one.document),
            "new_clock": one.clock(renamed),
        }
        for one in wanted
    ]
    own = {"of_organisation": organisation_id}
    write_many(_WRITE_RECORD, [own | record for record in records])
    write_many(_MOVE_EDGES, [{**own, "of_record": id, "new_seq": seq} for id, seq in seqs.items()])
    now = datetime.now(UTC)
    same = {"organisation_id": organisation_id, "entity": entity, "command": "migrate"}
    same |= {"occurred_at": now, "recorded_at": now}
    write_many(sa.insert(change_table), [{**same, "seq": seqs[one.row["id"]], **one.entry()} for one in live])


def take_head(organisation_id: UUID, changes: int) -> int:
    own = sa.update(_head).where(_head.c.organisation_id == organisation_id)
    return int(
        connection().execute(own.values(seq=_head.c.seq + changes).returning(_head.c.seq)).scalar_one()
    )


_WRITE_RECORD = (
    sa.update(record_table)
    .where(record_table.c.organisation_id == sa.bindparam("of_organisation"))
    .where(record_table.c.id == sa.bindparam("of_record"))
    .values(
        seq=sa.bindparam("new_seq"), document=sa.bindparam("new_document"), clock=sa.bindparam("new_clock")
    )
)
# Only open edges: a closed edge is a tombstone, and keeps the number at which it closed.
_MOVE_EDGES = (
    sa.update(_edge)
    .where(_edge.c.organisation_id == sa.bindparam("of_organisation"))
    .where(_edge.c.record_id == sa.bindparam("of_record"), _edge.c.open)
    .values(seq=sa.bindparam("new_seq"))
)


def write_many(statement: sa.Executable, parameters: list[dict[str, Any]]) -> None:
    if parameters:
        connection().execute(statement, parameters)


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
