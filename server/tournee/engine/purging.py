"""Purging: delete many rows, a portion in each transaction, so that nobody waits long for their locks."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, TextClause

from tournee.engine.database import Database
from tournee.kernel.entity import OrganisationRow

# Rows deleted in one transaction.
CHUNK = 5_000


async def purge(
    database: Database,
    organisation_id: UUID,
    model: type[OrganisationRow],
    *where: ColumnElement[bool] | TextClause,
) -> int:
    """Delete the rows that meet the conditions; return how many. What was deleted before an interruption
    stays deleted.
    """
    count, deleted = 0, CHUNK
    while deleted == CHUNK:
        async with database.writing(organisation_id) as session:
            statement = session.statements.delete_some(model, CHUNK, *where)
            result = await session.execute(statement, execution_options={"synchronize_session": False})
            deleted = int(getattr(result, "rowcount", 0))
            await session.commit()
        count += deleted
    return count
