"""After the database was restored from a backup: begin a new epoch for every device."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.engine.horizon import begin_epochs
from tournee.sync.models import DeviceState


async def begin_anew(database: Database) -> int:
    """Do this before the server starts; return for how many organisations."""
    async with database.writing(ACROSS) as session:
        organisations = await begin_anew_in(session)
        await session.commit()
    return organisations


async def begin_anew_in(session: AsyncSession) -> int:
    """Do this inside a transaction across organisations.

    Devices send some of what they sent since the backup again, and some not. So nothing waits for their
    numbers, and whatever arrives first is the first.
    """
    nothing = update(DeviceState).values(next_number=None, used_numbers=None, acknowledged_seq=None)
    await session.execute(nothing.execution_options(synchronize_session=False))
    return await begin_epochs(session)
