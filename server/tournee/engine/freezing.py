"""Freezing: while an organisation moves to another server, nothing that it has may change here.

Every change of the log passes the head row, which refuses when it is frozen. What is written without the log
(receipts of refused operations, refresh tokens) asks here first, and holds the head row until its commit in a
way that lets other writers pass, but not somebody who freezes it.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.kernel.entity import now
from tournee.kernel.log import Head
from tournee.kernel.outages import OrganisationFrozen

_OPEN = select(Head.seq).where(Head.frozen_at.is_(None)).with_for_update(read=True, key_share=True)


async def require_open(session: AsyncSession) -> None:
    """Raise OrganisationFrozen if the organisation is frozen; until the commit nobody can freeze it."""
    if await session.scalar(_OPEN) is None:
        raise OrganisationFrozen


async def freeze(database: Database, organisation_id: UUID) -> bool:
    """Let nothing of the organisation change from now on. Waits for all who are writing; returns whether it
    was open before.
    """
    async with database.writing(organisation_id) as session:
        # An UPDATE alone would not wait for those who hold the row in `require_open`.
        at = await session.scalar(select(Head.frozen_at).with_for_update())
        if at is None:
            await _set(session, now())
    return at is None


async def thaw(database: Database, organisation_id: UUID) -> bool:
    """Let the organisation change again; return whether it was frozen."""
    async with database.writing(organisation_id) as session:
        at = await session.scalar(select(Head.frozen_at))
        if at is not None:
            await _set(session, None)
    return at is not None


async def is_frozen(database: Database, organisation_id: UUID) -> bool:
    async with database.reading(organisation_id) as session:
        return await session.scalar(select(Head.frozen_at)) is not None


async def _set(session: AsyncSession, at: object) -> None:
    await session.execute(update(Head).values(frozen_at=at).execution_options(synchronize_session=False))
    await session.commit()
