"""Commands for what technicians do on a visit. Each records what happened and when, and may arrive much
later.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import Limits
from tournee.kernel.transaction import Transaction
from tournee.work.assigning import take_off
from tournee.work.checklists import missed_checklists
from tournee.work.facts import take_step, tell_of_checklists
from tournee.work.models import Appointment, Outcome
from tournee.work.permissions import WORK_WRITE
from tournee.work.recording import Step
from tournee.work.states import APPOINTMENT, OVER, AppointmentStatus

Latitude = Annotated[float | None, Limits(minimum=-90, maximum=90)]
Longitude = Annotated[float | None, Limits(minimum=-180, maximum=180)]
Reason = Annotated[str, Limits(length=2000)]
OptionalText = Annotated[str | None, Limits(length=2000)]
ANY = frozenset(AppointmentStatus)


@dataclass(frozen=True)
class VisitStep:
    """A step of a visit: when it happened, and where, if the device knows."""

    appointment_id: UUID
    """The visit whose status changes."""
    at: datetime
    """When it happened, by the device's clock."""
    latitude: Latitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""
    longitude: Longitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""


@dataclass(frozen=True)
class AcceptAppointment(VisitStep):
    pass


@command(WORK_WRITE, offline=True, fact=True)
async def accept_appointment(tx: Transaction, actor: Actor, do: AcceptAppointment) -> Appointment:
    """Accept a visit; after leaving, this means that the technician turned back."""
    return await _take(tx, actor, do, AppointmentStatus.ACCEPTED)


@dataclass(frozen=True)
class RejectAppointment:
    appointment_id: UUID
    """The visit that the technician can't go to."""
    at: datetime
    """When the technician said so, by the device's clock."""
    reason: Reason
    """Why the technician can't go."""
    latitude: Latitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""
    longitude: Longitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""


@command(WORK_WRITE, offline=True, fact=True)
async def reject_appointment(tx: Transaction, actor: Actor, do: RejectAppointment) -> Appointment:
    """Reject a visit: it returns to the office without this technician."""
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    step = _step(do, AppointmentStatus.SCHEDULED, do.reason)
    whose = await take_step(tx, actor, appointment, step, {AppointmentStatus.DISPATCHED})
    if whose is not None and appointment.status not in OVER:
        await take_off(tx, appointment, whose)
    return appointment


@dataclass(frozen=True)
class StartTravel(VisitStep):
    pass


@command(WORK_WRITE, offline=True, fact=True)
async def start_travel(tx: Transaction, actor: Actor, do: StartTravel) -> Appointment:
    """Record that the technician left for the site."""
    return await _take(tx, actor, do, AppointmentStatus.EN_ROUTE)


@dataclass(frozen=True)
class ArriveOnSite(VisitStep):
    pass


@command(WORK_WRITE, offline=True, fact=True)
async def arrive_on_site(tx: Transaction, actor: Actor, do: ArriveOnSite) -> Appointment:
    """Record that the technician arrived."""
    return await _take(tx, actor, do, AppointmentStatus.ON_SITE)


@dataclass(frozen=True)
class StartWork(VisitStep):
    pass


@command(WORK_WRITE, offline=True, fact=True)
async def start_work(tx: Transaction, actor: Actor, do: StartWork) -> Appointment:
    """Record that the work began."""
    return await _take(tx, actor, do, AppointmentStatus.IN_PROGRESS)


@dataclass(frozen=True)
class PauseWork(VisitStep):
    reason: OptionalText = None
    """Why; null for nothing."""


@command(WORK_WRITE, offline=True, fact=True)
async def pause_work(tx: Transaction, actor: Actor, do: PauseWork) -> Appointment:
    """Record that the work was interrupted."""
    return await _take(tx, actor, do, AppointmentStatus.PAUSED, note=do.reason)


@dataclass(frozen=True)
class ResumeWork(VisitStep):
    pass


@command(WORK_WRITE, offline=True, fact=True)
async def resume_work(tx: Transaction, actor: Actor, do: ResumeWork) -> Appointment:
    """Record that the work continued after an interruption."""
    return await _take(tx, actor, do, AppointmentStatus.IN_PROGRESS, only_from={AppointmentStatus.PAUSED})


@dataclass(frozen=True)
class CompleteAppointment(VisitStep):
    outcome: Outcome = Outcome.DONE
    """Whether the work is finished or another visit is needed."""
    note: OptionalText = None
    """What was done; null for nothing."""


@command(WORK_WRITE, offline=True, fact=True)
async def complete_appointment(tx: Transaction, actor: Actor, do: CompleteAppointment) -> Appointment:
    """Record that the visit is finished; PARTIAL means that another one is needed."""
    to = AppointmentStatus.COMPLETED if do.outcome is Outcome.DONE else AppointmentStatus.PARTIALLY_COMPLETED
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    before = appointment.status
    missed: list[UUID] = []
    if to is AppointmentStatus.COMPLETED and APPOINTMENT.can(before, to):
        missed = [run.id for run in await missed_checklists(tx, appointment)]
    await _end(tx, actor, do, to, do.note)
    if missed:
        await tell_of_checklists(tx, actor, appointment, before, _step(do, to), missed)
    return appointment


@dataclass(frozen=True)
class CannotCompleteAppointment:
    appointment_id: UUID
    """The visit that ends without the work being done."""
    at: datetime
    """When it ended, by the device's clock."""
    reason: Reason
    """What stood in the way."""
    latitude: Latitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""
    longitude: Longitude = None
    """Degrees, WGS 84, where the device was; null if it knows no place."""


@command(WORK_WRITE, offline=True, fact=True)
async def cannot_complete_appointment(
    tx: Transaction, actor: Actor, do: CannotCompleteAppointment
) -> Appointment:
    """Record that the work cannot be done, and why."""
    if not do.reason.strip():
        raise Invalid("Say why.", "reason")
    return await _end(tx, actor, do, AppointmentStatus.CANNOT_COMPLETE, do.reason)


async def _end(
    tx: Transaction, actor: Actor, do: AnyStep, to: AppointmentStatus, note: str | None
) -> Appointment:
    appointment = await _take(tx, actor, do, to, note=note)
    if appointment.status is to:
        appointment.outcome = note
    return appointment


AnyStep = VisitStep | RejectAppointment | CannotCompleteAppointment


def _step(do: AnyStep, to: AppointmentStatus, note: str | None = None) -> Step:
    return Step(to, do.at, latitude=do.latitude, longitude=do.longitude, note=note)


async def _take(
    tx: Transaction,
    actor: Actor,
    do: AnyStep,
    to: AppointmentStatus,
    *,
    note: str | None = None,
    only_from: Collection[AppointmentStatus] = ANY,
) -> Appointment:
    appointment = await tx.find(Appointment, do.appointment_id, "appointmentId")
    await take_step(tx, actor, appointment, _step(do, to, note), only_from)
    return appointment
