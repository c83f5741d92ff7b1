"""What follows every change of an appointment's status: an event, new times, the order's status.

Locks are taken in one order: appointments, then their work order, then conflicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.entity import now
from tournee.kernel.errors import NotFound
from tournee.kernel.transaction import Transaction
from tournee.work.guards import statuses_of
from tournee.work.models import AcceptedAs, Appointment, AppointmentEvent, WorkOrder
from tournee.work.states import OVER, AppointmentStatus, roll_up
from tournee.work.timing import Moment, is_suspect, times


@dataclass(frozen=True)
class Step:
    """A step of a visit, as it is reported. Without a technician it is the office's."""

    to: AppointmentStatus
    at: datetime
    technician_id: UUID | None = None
    latitude: float | None = None
    longitude: float | None = None
    note: str | None = None


async def moments_of(tx: Transaction, appointment: Appointment) -> Sequence[Moment]:
    """Return the steps so far, in the order of their arrival."""
    rows = await tx.session.execute(
        select(
            AppointmentEvent.id,
            AppointmentEvent.technician_id,
            AppointmentEvent.device_id,
            AppointmentEvent.to_status,
            AppointmentEvent.occurred_at,
            AppointmentEvent.clock_suspect,
            AppointmentEvent.accepted_as == AcceptedAs.FACT,
            AppointmentEvent.from_status,
        )
        .where(
            AppointmentEvent.appointment_id == appointment.id,
        )
        .order_by(AppointmentEvent.id)
    )
    return [Moment(*row) for row in rows]


async def record_field_step(
    tx: Transaction,
    appointment: Appointment,
    before: AppointmentStatus,
    step: Step,
    history: Sequence[Moment],
    accepted_as: AcceptedAs,
) -> None:
    """Write the event of a technician's step, and derive the visit's times again."""
    device = tx.current.device_id
    earlier = [
        moment.at
        for moment in history
        if moment.technician_id == step.technician_id and moment.device_id == device
    ]
    event = await record(
        tx, appointment, before, step, accepted_as=accepted_as, suspect=is_suspect(step.at, now(), earlier)
    )
    moment = Moment(event.id, step.technician_id, device, step.to, step.at, event.clock_suspect)
    retime(appointment, [*history, moment])


def retime(appointment: Appointment, history: Sequence[Moment]) -> None:
    """Derive the times of a visit again."""
    for name, value in vars(times(history, over=appointment.status in OVER)).items():
        setattr(appointment, name, value)


async def record(
    tx: Transaction,
    appointment: Appointment,
    before: AppointmentStatus,
    step: Step,
    *,
    accepted_as: AcceptedAs = AcceptedAs.NORMAL,
    suspect: bool = False,
) -> AppointmentEvent:
    """Write an event."""
    return await tx.add(
        AppointmentEvent(
            appointment_id=appointment.id,
            from_status=before,
            to_status=step.to,
            occurred_at=step.at,
            latitude=step.latitude,
            longitude=step.longitude,
            account_id=tx.actor.id,
            technician_id=step.technician_id,
            device_id=tx.current.device_id,
            accepted_as=accepted_as,
            clock_suspect=suspect,
            note=step.note,
        )
    )


async def record_office_step(
    tx: Transaction, appointment: Appointment, before: AppointmentStatus, note: str | None = None
) -> None:
    """Write the event of an office step, and let the order follow."""
    if appointment.status is not before:
        await record(tx, appointment, before, Step(appointment.status, now(), note=note))
        await follow(tx, appointment, before)


async def follow(tx: Transaction, appointment: Appointment, before: AppointmentStatus) -> None:
    """Let the order follow its appointment. A step that cannot matter to the order does not wait for its
    lock.
    """
    after = appointment.status
    if after is not before and (roll_up([before]) is not roll_up([after]) or {before, after} & OVER):
        order = await order_of(tx, appointment.work_order_id)
        order.follow((await statuses_of(tx.session, [order]))[order.id])


async def order_of(tx: Transaction, id: UUID) -> WorkOrder:
    """Return the work order, locked, even if the actor may not see it."""
    found = await tx.all(select(WorkOrder).where(WorkOrder.id == id))
    if not found:
        raise NotFound("There is no such WorkOrder.")
    return found[0]
