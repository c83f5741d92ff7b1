"""Commands about the crew of an appointment."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Blocked, Forbidden, NotFound, TransitionNotAllowed
from tournee.kernel.transaction import Transaction
from tournee.people.models import Technician
from tournee.work.assigning import assignments_of, put_on, take_off
from tournee.work.crews import (
    CrewMember,
    against_new_crew,
    against_reassigning,
    against_sending,
    circumstances_of,
)
from tournee.work.models import Appointment
from tournee.work.permissions import WORK_PLAN
from tournee.work.recording import record_office_step
from tournee.work.states import OVER, PLANNED, UNDER_WAY, AppointmentStatus

_HANDED_OVER = PLANNED - {AppointmentStatus.SCHEDULED}


@dataclass(frozen=True)
class AssignTechnician:
    appointment_id: UUID
    """The visit to go to."""
    technician_id: UUID
    """The technician who goes."""
    lead: bool = False
    """Put this technician in charge of the visit."""
    force: bool = False
    """Assign although a rule advises against it, such as a missing skill or another visit."""


@command(WORK_PLAN)
async def assign_technician(tx: Transaction, actor: Actor, do: AssignTechnician) -> Appointment:
    """Assign a technician to an appointment; with `force` a manager overrides missing skills."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    if against := against_new_crew(appointment):
        raise TransitionNotAllowed(" ".join(against), "appointmentId")
    await _require_fit(tx, actor, appointment, do.technician_id, force=do.force)
    await put_on(tx, appointment, do.technician_id, lead=do.lead)
    return appointment


@dataclass(frozen=True)
class UnassignTechnician:
    appointment_id: UUID
    """The visit that the technician is taken off."""
    technician_id: UUID
    """The technician who does not go."""


@command(WORK_PLAN)
async def unassign_technician(tx: Transaction, actor: Actor, do: UnassignTechnician) -> Appointment:
    """Take a technician off an appointment. If nobody remains, it is no longer dispatched."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    active = {a.technician_id for a in await assignments_of(tx, appointment) if a.active}
    if do.technician_id not in active:
        raise NotFound("This technician is not assigned.", "technicianId")
    if before in OVER or (before in UNDER_WAY and len(active) == 1):
        raise TransitionNotAllowed(f"The visit is {before}.", "appointmentId")
    if not await take_off(tx, appointment, do.technician_id) and before in _HANDED_OVER:
        appointment.status = AppointmentStatus.SCHEDULED
    await record_office_step(tx, appointment, before)
    return appointment


@dataclass(frozen=True)
class ReassignAppointment:
    appointment_id: UUID
    """The visit that somebody else takes over."""
    technician_id: UUID
    """The technician who goes instead of all others."""
    force: bool = False
    """Reassign although a rule advises against it, such as a missing skill or another visit."""


@command(WORK_PLAN)
async def reassign_appointment(tx: Transaction, actor: Actor, do: ReassignAppointment) -> Appointment:
    """Give an appointment to one technician in place of its crew; a dispatched one reaches the new
    technician at once.
    """
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    if against := against_reassigning(appointment):
        raise TransitionNotAllowed(" ".join(against), "appointmentId")
    await _require_fit(tx, actor, appointment, do.technician_id, force=do.force)
    await put_on(tx, appointment, do.technician_id, lead=True, alone=True)
    if before in _HANDED_OVER:
        appointment.status = AppointmentStatus.DISPATCHED
    await record_office_step(tx, appointment, before)
    return appointment


async def _require_fit(
    tx: Transaction, actor: Actor, appointment: Appointment, technician_id: UUID, *, force: bool
) -> None:
    technician = await tx.find_reference(Technician, technician_id, "technicianId")
    if force and actor.role != Role.MANAGER:
        raise Forbidden("Only a manager may override missing skills.")
    sent = CrewMember(technician.id, technician.account_id, technician.name, technician.status, lead=False)
    circumstances = await circumstances_of(tx.session, [appointment])
    (against,) = await against_sending(tx.session, [(sent, circumstances[appointment.id])])
    if against and not force:
        raise Blocked(" ".join(against), "technicianId")
