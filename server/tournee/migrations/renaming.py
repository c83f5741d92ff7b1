"""Renames a field outside of documents: in the log, in conflicts and in receipts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from tournee.migrations.stored import (
    Document,
    Row,
    change_table,
    connection,
    dumped,
    pages,
    record_table,
    rewrite,
    write_many,
)

# Each holds values of the disputed record, by the wire names of its fields.
_DISPUTED = ("base", "mine", "theirs", "standing", "decided")
_conflict = sa.table(
    "conflict",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("entity", sa.String()),
    *(sa.column(name, sa.JSON(none_as_null=True)) for name in _DISPUTED),
)
_RECEIPT_KEY = ("organisation_id", "operation_id")
_receipt = sa.table(
    "receipt", *(sa.column(name, sa.Uuid()) for name in _RECEIPT_KEY), sa.column("unmoved", sa.Text())
)


def rename_in_log(entity: str, names: Mapping[str, str]) -> None:
    """Rename the fields in the log, because late edits, which use the new names, are compared with it."""
    texts = ("fields", "before", "after")
    of_entity = sa.select(change_table).where(change_table.c.entity == entity)
    found_by = [change_table.c[name] == sa.bindparam(f"of_{name}") for name in ("organisation_id", "seq")]
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in texts}
    new = sa.update(change_table).where(*found_by).values(values)
    for rows in pages(of_entity, change_table.c.organisation_id, change_table.c.seq):
        written = []
        for row in rows:
            named = {name: _renamed(row[name], names) for name in texts}
            if any(named[name] != row[name] for name in texts):
                place = {"of_organisation_id": row["organisation_id"], "of_seq": row["seq"]}
                written.append(place | {f"new_{name}": text for name, text in named.items()})
        write_many(new, written)


def _renamed(text: str | None, names: Mapping[str, str]) -> str | None:
    """Return a JSON list or object of fields with their new names, or the same text if none was renamed."""
    value = None if text is None else json.loads(text)
    if value is None or names.keys().isdisjoint(value):
        return text
    if isinstance(value, list):
        return dumped([names.get(name, name) for name in value])
    return dumped({names.get(name, name): item for name, item in value.items()})


def rename_in_conflicts(entity: str, names: Mapping[str, str]) -> None:
    """Rename the fields in conflicts, because open ones will be decided by the new names."""

    def rename(disputed: Any) -> Any:
        if not isinstance(disputed, dict):
            return disputed
        return {names.get(name, name): value for name, value in disputed.items()}

    of_entity = sa.select(_conflict).where(_conflict.c.entity == entity)
    found_by = [_conflict.c[name] == sa.bindparam(f"of_{name}") for name in ("organisation_id", "id")]
    new = {name: sa.bindparam(f"new_{name}", type_=_conflict.c[name].type) for name in _DISPUTED}
    for rows in pages(of_entity, _conflict.c.organisation_id, _conflict.c.id):
        places = [{"of_organisation_id": row["organisation_id"], "of_id": row["id"]} for row in rows]
        values = [{f"new_{name}": rename(row[name]) for name in _DISPUTED} for row in rows]
        written = [place | value for place, value in zip(places, values, strict=True)]
        write_many(sa.update(_conflict).where(*found_by).values(new), written)

    def change(document: Document, _row: Row) -> Document:
        if document["entity"] != entity:
            return document
        return document | {name: rename(document.get(name)) for name in _DISPUTED}

    rewrite("Conflict", change)


def rename_in_receipts(entity: str, names: Mapping[str, str]) -> None:
    """Rename the fields in receipts, which list for each record the fields that an edit left unchanged."""
    listed = sa.select(_receipt).where(_receipt.c.unmoved.is_not(None))
    found_by = [_receipt.c[name] == sa.bindparam(f"of_{name}") for name in _RECEIPT_KEY]
    new = sa.update(_receipt).where(*found_by).values(unmoved=sa.bindparam("new_unmoved"))
    for rows in pages(listed, *(_receipt.c[name] for name in _RECEIPT_KEY)):
        by_record = [json.loads(row["unmoved"]) for row in rows]
        ids = {UUID(id) for one in by_record for id in one}
        of_entity = sa.select(record_table.c.id).where(
            record_table.c.entity == entity, record_table.c.id.in_(ids)
        )
        ours = {str(id) for id in connection().scalars(of_entity)}
        written = []
        for row, one in zip(rows, by_record, strict=True):
            named = {id: [names.get(n, n) if id in ours else n for n in fields] for id, fields in one.items()}
            place = {f"of_{name}": row[name] for name in _RECEIPT_KEY}
            written.append(place | {"new_unmoved": dumped(named)})
        write_many(new, written)
