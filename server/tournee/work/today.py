"""What a technician needs first on an empty device: the visits of today and tomorrow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.people.models import Technician
from tournee.work.models.appointment import Appointment, Assignment
from tournee.work.states import OVER, UNDER_WAY

# Before and after now, so that the window covers today in every time zone.
_BEHIND, _AHEAD = timedelta(hours=24), timedelta(hours=48)
_MOST_VISITS = 50


async def urgent_scopes(session: AsyncSession, actor: Actor) -> Sequence[UUID]:
    """Return the scopes of those visits that are not over, and of the records they depend on."""
    soon = and_(Appointment.starts_at >= now() - _BEHIND, Appointment.starts_at < now() + _AHEAD)
    visits = await session.execute(
        select(Appointment.id, Appointment.work_order_id, Appointment.customer_id, Appointment.site_id)
        .join(
            Assignment,
            and_(
                Assignment.organisation_id == Appointment.organisation_id,
                Assignment.appointment_id == Appointment.id,
                Assignment.active.is_(True),
                Assignment.deleted.is_(False),
            ),
        )
        .join(
            Technician,
            and_(
                Technician.organisation_id == Assignment.organisation_id,
                Technician.id == Assignment.technician_id,
                Technician.deleted.is_(False),
            ),
        )
        .where(
            Technician.account_id == actor.id,
            Appointment.deleted.is_(False),
            Appointment.status.not_in(OVER),
            or_(Appointment.status.in_(UNDER_WAY), soon),
        )
        .order_by(Appointment.starts_at, Appointment.id)
        .limit(_MOST_VISITS)
    )
    return sorted({scope for visit in visits for scope in visit if scope is not None})
