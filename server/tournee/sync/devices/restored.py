"""After the database was restored from a backup: what devices are told, and what is known of them."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.horizon import begin_epochs
from tournee.sync.models import DeviceState


async def begin_anew(database: Database) -> int:
    """Before the server starts; returns for how many organisations."""
    async with database.writing(ACROSS) as session:
        organisations = await begin_anew_in(session)
        await session.commit()
    return organisations


async def begin_anew_in(session: AsyncSession) -> int:
    """Do so as part of a transaction across organisations.

    What devices had handed in since the backup some hand in again and some do not: nobody waits for its
    numbers, and whatever comes first is the first.
    """
    nothing = update(DeviceState).values(next_number=None, used_numbers=None, acknowledged_seq=None)
    await session.execute(nothing.execution_options(synchronize_session=False))
    return await begin_epochs(session)
