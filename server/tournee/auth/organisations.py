"""Organisations: adds and lists them, and makes the actors that have no account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.roles import OFFICE, Role, permissions_of
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Organisation, new_id, now
from tournee.kernel.log import Head


async def found(session: AsyncSession, id: UUID, name: str, time_zone: str = "UTC") -> None:
    """Add the organisation in the session's transaction; the caller commits."""
    made = {"id": id, "name": name, "created_at": now(), "time_zone": time_zone}
    await session.execute(insert(Organisation).values(made))
    await session.execute(insert(Head).values(organisation_id=id, epoch=new_id(), seq=0, floor=0))


async def found_organisation(database: Database, id: UUID, name: str) -> None:
    """Add the organisation and commit."""
    async with database.writing(id) as session:
        await found(session, id, name)
        await session.commit()


async def organisation_exists(database: Database, id: UUID) -> bool:
    async with database.reading(id) as session:
        return await session.scalar(select(Organisation.id).where(Organisation.id == id)) is not None


def actor_of(
    organisation_id: UUID,
    account_id: UUID,
    role: Role,
    device_id: UUID | None = None,
    session_id: UUID | None = None,
) -> Actor:
    """Return an account as an actor, with the permissions of its role."""
    return Actor(
        account_id, organisation_id, role, permissions_of(role), role in OFFICE, device_id, session_id
    )


# Actors without an account: the text that their id is made from, and their name.
_NAMES: Final = {"operator": "Operator", "import": "Import"}


def operator_of(organisation_id: UUID) -> Actor:
    """Return the actor for the person who runs `tournee` on the server without signing in."""
    return _nobody(organisation_id, "operator")


def importer_of(organisation_id: UUID) -> Actor:
    """Return the actor for an import into an organisation without a manager."""
    return _nobody(organisation_id, "import")


def name_without_account(organisation_id: UUID, actor_id: UUID | None) -> str | None:
    """Return the audit trail's name for an actor without an account; None for all others."""
    known = {uuid5(organisation_id, key): name for key, name in _NAMES.items()}
    # Housekeeping writes as the organisation itself.
    known[organisation_id] = "Server"
    return None if actor_id is None else known.get(actor_id)


def _nobody(organisation_id: UUID, key: str) -> Actor:
    return actor_of(organisation_id, uuid5(organisation_id, key), Role.MANAGER)


@dataclass(frozen=True)
class Named:
    """An organisation by its name."""

    id: UUID
    name: str
    created_at: datetime

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


async def every_organisation(database: Database) -> list[Named]:
    """Return all organisations, sorted by name."""
    wanted = select(Organisation.id, Organisation.name, Organisation.created_at)
    async with database.reading(ACROSS) as session:
        rows = await session.execute(wanted.order_by(Organisation.name, Organisation.id))
        return [Named(*row) for row in rows]
