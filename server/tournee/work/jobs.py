"""Jobs that run by themselves for visits."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Select, and_, select, union

from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.transaction import Transaction
from tournee.people.models import Technician
from tournee.work.models import Appointment, Assignment
from tournee.work.models.appointment import NOT_OVER
from tournee.work.models.holdings import to_visit
from tournee.work.permissions import WORK_READ, WORK_WRITE
from tournee.work.states import OVER, AppointmentStatus

# Visits in one transaction, which locks them.
CHUNK = 200


async def settle_assignments(kernel: Kernel, organisation_id: UUID) -> int:
    """Correct assignments that do not say until when their visit counts; return of how many visits.

    A server of an older version writes such rows while the servers are being upgraded. Moving the windows
    then corrects who holds what.
    """
    actor = Actor.server(organisation_id, WORK_READ, WORK_WRITE)
    settled = found = await kernel.transact(actor, _settle)
    while found == CHUNK:
        found = await kernel.transact(actor, _settle)
        settled += found
    return settled


async def _settle(tx: Transaction) -> int:
    wrong = set(await tx.session.scalars(union(_never_ended(), _opened_again()).limit(CHUNK)))
    visits = await tx.all(select(Appointment).where(Appointment.id.in_(wrong)).order_by(Appointment.id))
    right = [{"appointment_id": visit.id, "until": visit.until} for visit in visits]
    await tx.statements.update_many(Assignment.__table__, ("appointment_id",), right)
    return len(visits)


# Each reads what is current, by an index: visits of years are over, and their assignments say so.


def _never_ended() -> Select[UUID]:
    technician = and_(
        Technician.organisation_id == Assignment.organisation_id, Technician.id == Assignment.technician_id
    )
    return (
        select(Appointment.id)
        .select_from(Technician)
        .join(Assignment, and_(technician, Assignment.until == NOT_OVER))
        .join(Appointment, to_visit(Assignment))
        .where(Appointment.status.in_(OVER), Appointment.deleted.is_(False))
    )


def _opened_again() -> Select[UUID]:
    unfinished = [status for status in AppointmentStatus if status not in OVER]
    return (
        select(Appointment.id)
        .join(Assignment, and_(to_visit(Assignment), Assignment.until < NOT_OVER))
        .where(Appointment.status.in_(unfinished), Appointment.deleted.is_(False))
    )
