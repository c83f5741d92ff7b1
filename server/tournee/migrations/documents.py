"""For migrations: change the public fields of an entity in the documents that are stored beside its rows.

A row's wire form is stored (`record.document`), so adding, renaming or dropping a column changes every
document of the entity. A document that changed gets a new number, by which devices learn of it. This module
names tables and columns as text, because the models will have changed when a migration runs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from tournee.migrations.renaming import rename_in_conflicts, rename_in_log, rename_in_receipts
from tournee.migrations.stored import NOTHING, Document, Row, rewrite


def change_fields(
    table: str,
    *,
    added: Mapping[str, sa.types.TypeEngine[Any]] = NOTHING,
    renamed: Mapping[str, str] = NOTHING,
    dropped: Collection[str] = (),
    tell_all: bool = False,
) -> None:
    """Add, rename or drop public fields of an entity in its stored documents, and let devices pull them.

    Names are those of columns. An added column must already exist with its values; give its type. Each live
    record whose document changes gets a new number and an entry `migrate` in the log. With `tell_all`, every
    live record of the entity does: an earlier revision changed documents without giving them new numbers.
    """
    by_wire = {_camel(name): name for name in added}
    new_names = {_camel(old): _camel(new) for old, new in renamed.items()}
    gone = {_camel(name) for name in dropped}

    def change(document: Document, row: Row) -> Document:
        kept = {new_names.get(key, key): value for key, value in document.items() if key not in gone}
        return kept | {wire: _wire_value(row[name]) for wire, name in by_wire.items()}

    entity = "".join(part.capitalize() for part in table.split("_"))
    rewrite(entity, change, _columns(table, added) if added else None, new_names, tell_all=tell_all)
    if new_names:
        rename_in_log(entity, new_names)
        rename_in_conflicts(entity, new_names)
        rename_in_receipts(entity, new_names)


def _columns(table: str, added: Mapping[str, sa.types.TypeEngine[Any]]) -> sa.TableClause:
    key = (sa.column(name, sa.Uuid()) for name in ("organisation_id", "id"))
    return sa.table(table, *key, *(sa.column(name, kind) for name, kind in added.items()))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _wire_value(value: Any) -> Any:
    """Return a column's value in the form that documents use."""
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return aware.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
