"""All rows of some organisations, as they are now, to be put back later."""

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
    """Read and put back by engines that see all organisations."""

    def __init__(self, eye: Engine, organisations: Collection[UUID]) -> None:
        self._organisations = organisations
        with eye.connect() as connection:
            self._rows: dict[Table, list[dict[str, Any]]] = {
                table: [
                    dict(row) for row in connection.execute(select(table).where(self._own(table))).mappings()
                ]
                for table in Base.metadata.sorted_tables
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
        """Rows refer to each other in circles; the copy is whole when it is there."""
        on_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("BEGIN" if on_sqlite else "SET session_replication_role = replica")

    def _end(self, connection: Connection) -> None:
        on_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("COMMIT" if on_sqlite else "SET session_replication_role = DEFAULT")


def saved(house: House) -> SavedRows:
    """All rows of this organisation."""
    eye = eye_of(house.database.url)
    rows = SavedRows(eye, [house.organisation_id])
    eye.dispose()
    return rows


async def new_epochs(database: Database) -> int:
    """Give every organisation a new epoch, and forget nothing that devices said."""
    async with database.writing(ACROSS) as session:
        organisations = await begin_epochs(session)
        await session.commit()
    return organisations


async def put_back(rows: SavedRows, house: House) -> None:
    """Make the organisation what it was; whoever listens is told nothing."""

    def restore() -> None:
        eye = eye_of(house.database.url)
        rows.restore(eye)
        eye.dispose()

    # A server that is to end may still be writing.
    await asyncio.to_thread(restore)
