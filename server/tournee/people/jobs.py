"""Jobs that run by themselves for people."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import and_, select

from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.entity import now
from tournee.kernel.transaction import Operation, Transaction
from tournee.people.commands import MoveWindow, move_window
from tournee.people.models import Technician, TechnicianProfile, TechnicianStatus, window_starts
from tournee.people.permissions import PEOPLE_READ, PEOPLE_WRITE


async def move_windows(kernel: Kernel, organisation_id: UUID) -> int:
    """Move windows that begin too far back to today; return how many.

    Each keeps its length. Windows consist of whole days, so each technician's profile changes once a day,
    however often this runs.
    """
    actor = Actor.server(organisation_id, PEOPLE_READ, PEOPLE_WRITE)
    starts = window_starts(now())
    behind = await _behind(kernel, organisation_id, starts)
    for id in behind:
        # One in a transaction: everybody else's writes wait while the technician's visits are worked out.
        await kernel.transact(actor, partial(_move, MoveWindow(id, starts)))
    return len(behind)


async def _behind(kernel: Kernel, organisation_id: UUID, starts: datetime) -> list[UUID]:
    async with kernel.database.reading(organisation_id) as session:
        found = await session.scalars(
            select(Technician.id)
            .join(
                TechnicianProfile,
                and_(
                    TechnicianProfile.organisation_id == Technician.organisation_id,
                    TechnicianProfile.technician_id == Technician.id,
                ),
            )
            .where(
                Technician.deleted.is_(False),
                Technician.status == TechnicianStatus.ACTIVE,
                TechnicianProfile.window_from < starts,
            )
            .order_by(Technician.id)
        )
        return list(found)


async def _move(move: MoveWindow, tx: Transaction) -> TechnicianProfile:
    return await move_window.run(tx, move, Operation(move_window.name, now()))
