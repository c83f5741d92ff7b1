"""Commands that plan appointments and dispatch them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Forbidden, Invalid, TransitionNotAllowed
from tournee.kernel.inputs import Limits
from tournee.kernel.plain import creating, edits, given
from tournee.kernel.transaction import Transaction
from tournee.work.guards import against_dispatch, against_reopening, against_reopening_by, statuses_of
from tournee.work.models import Appointment, WorkOrder
from tournee.work.permissions import WORK_PLAN
from tournee.work.recording import moments_of, order_of, record_office_step, retime
from tournee.work.states import (
    APPOINTMENT,
    FINISHED,
    PLANNED,
    AppointmentStatus,
    WorkOrderStatus,
    before_the_end,
    refuse,
)

PLANNABLE = frozenset(
    {WorkOrderStatus.NEW, WorkOrderStatus.SCHEDULED, WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.ON_HOLD}
)

update_appointment = edits(
    Appointment,
    WORK_PLAN,
    description="Change what an appointment says; its time and its technicians have commands of their own.",
)


@dataclass(frozen=True)
class NewAppointment:
    work_order_id: UUID
    summary: Annotated[str | None, Limits(length=200)] = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@creating(Appointment, WORK_PLAN)
async def create_appointment(tx: Transaction, actor: Actor, do: NewAppointment) -> Appointment:
    """Plan a visit for a work order; with a time it is scheduled."""
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    if order.status not in PLANNABLE:
        raise TransitionNotAllowed(
            f"A work order that is {order.status} takes no new appointment.", "workOrderId"
        )
    values = given(do)
    values["summary"] = do.summary or order.summary
    appointment = await tx.add(
        Appointment(
            **values,
            customer_id=order.customer_id,
            site_id=order.site_id,
            asset_id=order.asset_id,
            status=AppointmentStatus.SCHEDULED if do.starts_at else AppointmentStatus.NONE,
        )
    )
    order.follow((await statuses_of(tx.session, [order]))[order.id])
    return appointment


@dataclass(frozen=True)
class ScheduleAppointment:
    appointment_id: UUID
    """The visit that gets a time."""
    starts_at: datetime
    ends_at: datetime


@command(WORK_PLAN)
async def schedule_appointment(tx: Transaction, actor: Actor, do: ScheduleAppointment) -> Appointment:
    """Set or move the time of an appointment, until a technician has left for it."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    appointment.schedule(do.starts_at, do.ends_at)
    await record_office_step(tx, appointment, before)
    return appointment


@dataclass(frozen=True)
class UnscheduleAppointment:
    appointment_id: UUID
    """The visit that loses its time."""


@command(WORK_PLAN)
async def unschedule_appointment(tx: Transaction, actor: Actor, do: UnscheduleAppointment) -> Appointment:
    """Take an appointment off the schedule; it waits for another time."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    appointment.unschedule()
    await record_office_step(tx, appointment, before)
    return appointment


@dataclass(frozen=True)
class DispatchAppointment:
    appointment_id: UUID
    """The visit that is sent to its technicians."""
    force: bool = False
    """Send it although a rule advises against it, such as a missing skill or another visit."""


@command(WORK_PLAN)
async def dispatch_appointment(tx: Transaction, actor: Actor, do: DispatchAppointment) -> Appointment:
    """Send an appointment to its technicians, who can then set out; with `force` a manager overrides
    missing skills.
    """
    if do.force and actor.role != Role.MANAGER:
        raise Forbidden("Only a manager may override missing skills.")
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    # Lock the order, so that nobody puts it on hold meanwhile.
    await order_of(tx, appointment.work_order_id)
    (against,) = await against_dispatch(tx.session, [appointment], whatever_skills=do.force)
    APPOINTMENT.require(before, AppointmentStatus.DISPATCHED, against)
    appointment.status = AppointmentStatus.DISPATCHED
    await record_office_step(tx, appointment, before)
    return appointment


@dataclass(frozen=True)
class RecallAppointment:
    appointment_id: UUID
    """The visit that the technician need not prepare for yet."""


@command(WORK_PLAN)
async def recall_appointment(tx: Transaction, actor: Actor, do: RecallAppointment) -> Appointment:
    """Take a dispatched appointment back before anybody has left."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    appointment.move(AppointmentStatus.SCHEDULED, only_from=PLANNED - {AppointmentStatus.SCHEDULED})
    await record_office_step(tx, appointment, before)
    return appointment


@dataclass(frozen=True)
class CancelAppointment:
    appointment_id: UUID
    """The visit that is called off."""
    reason: Annotated[str, Limits(length=2000)]
    """Why, for the technician."""


@command(WORK_PLAN)
async def cancel_appointment(tx: Transaction, actor: Actor, do: CancelAppointment) -> Appointment:
    """Cancel a visit for good."""
    if not do.reason.strip():
        raise Invalid("Say why.", "reason")
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    appointment.cancel(do.reason)
    await record_office_step(tx, appointment, before, note=do.reason)
    return appointment


@dataclass(frozen=True)
class ReopenAppointment:
    appointment_id: UUID
    """The finished visit that goes on."""
    reason: Annotated[str, Limits(length=2000)]
    """What is left to do."""


@command(WORK_PLAN)
async def reopen_appointment(tx: Transaction, actor: Actor, do: ReopenAppointment) -> Appointment:
    """Take back the end of a visit that was ended by mistake; managers only."""
    if against := against_reopening_by(actor):
        raise Forbidden(" ".join(against))
    if not do.reason.strip():
        raise Invalid("Say why.", "reason")
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    if before not in FINISHED:
        refuse(APPOINTMENT, before, AppointmentStatus.IN_PROGRESS)
    order = await order_of(tx, appointment.work_order_id)
    if against := against_reopening(order.status):
        raise TransitionNotAllowed(" ".join(against), "appointmentId")
    steps = [(moment.came_from, moment.to) for moment in await moments_of(tx, appointment)]
    appointment.status = before_the_end(steps)
    appointment.outcome = None
    await record_office_step(tx, appointment, before, note=do.reason)
    retime(appointment, await moments_of(tx, appointment))
    return appointment
