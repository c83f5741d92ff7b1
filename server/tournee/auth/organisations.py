"""Founding an organisation: its row and its head row, before there is anyone to run a command."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.roles import OFFICE, SCOPES, Role
from tournee.kernel.actor import Actor
from tournee.kernel.database import Database, Organisation, new_id, now
from tournee.kernel.log import Head


async def found(session: AsyncSession, id: UUID, name: str) -> None:
    """Add the organisation in the session's transaction; committing is the caller's."""
    await session.execute(insert(Organisation).values(id=id, name=name, created_at=now()))
    await session.execute(insert(Head).values(organisation_id=id, epoch=new_id(), seq=0, floor=0))


async def found_organisation(database: Database, id: UUID, name: str) -> None:
    """Add the organisation and commit."""
    async with database.writing(id) as session:
        await found(session, id, name)
        await session.commit()


async def organisation_exists(database: Database, id: UUID) -> bool:
    async with database.reading(id) as session:
        return await session.scalar(select(Organisation.id).where(Organisation.id == id)) is not None


def actor_of(organisation_id: UUID, account_id: UUID, role: Role, device_id: UUID | None = None) -> Actor:
    """An account as its role makes it."""
    return Actor(account_id, organisation_id, role, SCOPES[role], role in OFFICE, device_id)
