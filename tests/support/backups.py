"""Save all rows of some organisations and restore them later."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, delete, insert, select

from tests.simulator.stage import eye_of
from tests.support.house import House
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.horizon import begin_epochs
from tournee.kernel.entity import Base


class SavedRows:
    """Rows read and restored by engines that see all organisations."""

    def __init__(self, eye: Engine, organisations: Collection[UUID]) -> None:
        self._organisations = organisations
        with eye.connect() as connection:
            self._rows: dict[Table, list[dict[str, Any]]] = {
                table: [
                    dict(row) for row in connection.execute(select(table).where(self._own(table))).mappings()
                ]
                for table in Base.metadata.sorted_tables
                if table.name == "organisation" or "organisation_id" in table.c
            }

    def _own(self, table: Table) -> Any:
        whose = table.c.organisation_id if "organisation_id" in table.c else table.c.id
        return whose.in_(self._organisations)

    def restore(self, eye: Engine) -> None:
        with eye.connect() as connection:
            self._begin(connection)
            for table in reversed(self._rows):
                connection.execute(delete(table).where(self._own(table)))
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(insert(table), rows)
            self._end(connection)

    def _begin(self, connection: Connection) -> None:
        """Begin a transaction without foreign keys, as rows refer to each other in cycles."""
        on_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN" if on_sqlite else "SET session_replication_role = replica")

    def _end(self, connection: Connection) -> None:
        on_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("COMMIT" if on_sqlite else "SET session_replication_role = DEFAULT")


def saved(house: House) -> SavedRows:
    """Return all rows of this organisation."""
    eye = eye_of(house.database.url)
    rows = SavedRows(eye, [house.organisation_id])
    eye.dispose()
    return rows


async def new_epochs(database: Database) -> int:
    """Give every organisation a new epoch without forgetting what devices reported."""
    async with database.writing(ACROSS) as session:
        organisations = await begin_epochs(session)
        await session.commit()
    return organisations


async def put_back(rows: SavedRows, house: House) -> None:
    """Restore the organisation without notifying subscribers."""

    def restore() -> None:
        eye = eye_of(house.database.url)
        rows.restore(eye)
        eye.dispose()

    # A stopping server may still be writing.
    await asyncio.to_thread(restore)
