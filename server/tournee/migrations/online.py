"""For migrations: change large tables of PostgreSQL while servers go on writing.

A revision runs in a transaction of its own, and these functions commit as they go on, so that no lock lasts
longer than a portion. A revision that was interrupted starts again from its beginning: every step must do
nothing where it was done before. On SQLite, and within a transaction of somebody else, nothing commits early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from tournee.migrations.steps import is_online, step
from tournee.migrations.stored import pages


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column; where rows exist it is nullable, or has a server default. Takes its lock for a moment."""
    if column.name not in _columns(table):
        op.add_column(table, column)
    step()


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | sa.TextClause],
    where: str | None = None,
    using: str | None = None,
) -> None:
    """Create an index of columns and expressions, which may take long, while others write; `where` makes
    it a partial one, `using` names PostgreSQL's kind of index.
    """
    condition = None if where is None else sa.text(where)
    options: dict[str, Any] = (
        {} if where is None else {"sqlite_where": condition, "postgresql_where": condition}
    )
    if using is not None:
        options["postgresql_using"] = using
    if not is_online():
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        # One that was interrupted is left behind, and is not valid.
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index, while others use the table."""
    if not is_online():
        op.drop_index(name, table)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


def change_key(table: str, columns: Sequence[str]) -> None:
    """Give a table another primary key, of columns that are never null. Takes its lock for a moment."""
    key, new = f"pk_{table}", f"pk_{table}_new"
    if op.get_context().dialect.name == "sqlite":
        with op.batch_alter_table(table, recreate="always") as changed:
            changed.drop_constraint(key, type_="primary")
            changed.create_primary_key(key, list(columns))
        return
    if not is_online():
        op.drop_constraint(key, table, type_="primary")
        op.create_primary_key(key, table, list(columns))
    elif _key(table) != list(columns):
        with op.get_context().autocommit_block():
            op.drop_index(new, table, if_exists=True, postgresql_concurrently=True)
            op.create_index(new, table, columns, unique=True, postgresql_concurrently=True)
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {key}, ADD CONSTRAINT {key} PRIMARY KEY USING INDEX {new}"
        )
        step()


def update(change: sa.Update) -> None:
    """Carry out an UPDATE one portion of rows at a time; its table has `organisation_id` and `id`."""
    key = change.table.c
    place = sa.tuple_(key.organisation_id, key.id)
    for rows in pages(sa.select(key.organisation_id, key.id), key.organisation_id, key.id):
        first, last = ((row["organisation_id"], row["id"]) for row in (rows[0], rows[-1]))
        op.execute(change.where(place >= _values(first), place <= _values(last)))
        step()


def _values(place: tuple[Any, Any]) -> Any:
    return sa.tuple_(*(sa.literal(value, sa.Uuid()) for value in place))


def _columns(table: str) -> set[str]:
    if op.get_context().as_sql:
        return set()
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _key(table: str) -> list[str]:
    return list(sa.inspect(op.get_bind()).get_pk_constraint(table)["constrained_columns"])
