"""What must be so before an appointment or an order may go on, and what may follow now. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.customers.models import Site
from tournee.kernel.entity import now
from tournee.kernel.state import Transition
from tournee.people.models import Skill, Technician, TechnicianSkill, TechnicianStatus
from tournee.procedures.models import ChecklistRun
from tournee.procedures.queries import required_and_open
from tournee.work.models import Appointment, AppointmentEvent, Assignment, WorkOrder
from tournee.work.states import (
    APPOINTMENT,
    FINISHED,
    UNDER_WAY,
    WORK_ORDER,
    AppointmentStatus,
    WorkOrderStatus,
    before_the_end,
    roll_up,
)
from tournee.work.timing import local_day

UNFINISHED_CHECKLIST = "A required checklist is not finished."
MANAGERS_CANCEL = "Work has begun; only a manager cancels this order."
MANAGERS_REOPEN = "Only a manager reopens an appointment."


@dataclass(frozen=True)
class CrewMember:
    """A technician who is assigned now."""

    technician_id: UUID
    account_id: UUID | None
    name: str
    status: TechnicianStatus
    lead: bool


async def crew_of(session: AsyncSession, appointment: Appointment) -> Sequence[CrewMember]:
    """Who is assigned now, who leads first. The appointment's lock keeps them."""
    rows = await session.execute(
        select(Technician.id, Technician.account_id, Technician.name, Technician.status, Assignment.lead)
        .join(
            Assignment,
            and_(
                Assignment.organisation_id == Technician.organisation_id,
                Assignment.technician_id == Technician.id,
            ),
        )
        .where(
            Assignment.organisation_id == appointment.organisation_id,
            Assignment.appointment_id == appointment.id,
            Assignment.active.is_(True),
            Assignment.deleted.is_(False),
        )
        .order_by(Assignment.lead.desc(), Assignment.id)
    )
    return [CrewMember(*row) for row in rows]


async def missing_skills(
    session: AsyncSession,
    organisation_id: UUID,
    technician_id: UUID,
    skill_ids: Collection[str],
    day: date,
) -> list[str]:
    """A sentence for each skill that the technician does not have, or no longer, on that day."""
    wanted = [UUID(id) for id in skill_ids]
    held = await session.scalars(
        select(TechnicianSkill.skill_id).where(
            TechnicianSkill.organisation_id == organisation_id,
            TechnicianSkill.technician_id == technician_id,
            TechnicianSkill.skill_id.in_(wanted),
            TechnicianSkill.deleted.is_(False),
            or_(TechnicianSkill.valid_from.is_(None), TechnicianSkill.valid_from <= day),
            or_(TechnicianSkill.valid_to.is_(None), TechnicianSkill.valid_to >= day),
        )
    )
    missing = set(wanted) - set(held)
    if not missing:
        return []
    names = await session.scalars(
        select(Skill.name)
        .where(Skill.organisation_id == organisation_id, Skill.id.in_(missing))
        .order_by(Skill.name)
    )
    return [f"The required skill {name} is missing or expired." for name in names]


async def _day_of(session: AsyncSession, appointment: Appointment) -> date:
    """The day of the visit where it takes place."""
    time_zone = await session.scalar(
        select(Site.time_zone).where(
            Site.organisation_id == appointment.organisation_id, Site.id == appointment.site_id
        )
    )
    return local_day(appointment.starts_at or now(), time_zone)


async def obstacles_to_sending(
    session: AsyncSession,
    appointment: Appointment,
    order: WorkOrder,
    technician: Technician | CrewMember,
    *,
    whatever_skills: bool = False,
) -> list[str]:
    """Why this technician cannot be sent there."""
    if technician.status is not TechnicianStatus.ACTIVE:
        return [f"{technician.name} is not active."]
    if whatever_skills or not order.required_skill_ids:
        return []
    id = technician.technician_id if isinstance(technician, CrewMember) else technician.id
    day = await _day_of(session, appointment)
    return await missing_skills(session, order.organisation_id, id, order.required_skill_ids, day)


async def obstacles_to_dispatch(
    session: AsyncSession, appointment: Appointment, order: WorkOrder, *, whatever_skills: bool = False
) -> list[str]:
    """Why the appointment cannot be handed to its technicians yet."""
    crew = await crew_of(session, appointment)
    reasons = [] if crew else ["No technician is assigned."]
    if appointment.starts_at is None:
        reasons.append("It has no start and end time.")
    if order.status is WorkOrderStatus.ON_HOLD:
        reasons.append("The work order is on hold.")
    for member in crew:
        reasons += await obstacles_to_sending(
            session, appointment, order, member, whatever_skills=whatever_skills
        )
    return reasons


async def _unfinished_checklists(session: AsyncSession, appointment: Appointment) -> list[str]:
    found = await session.scalars(
        required_and_open(appointment.id).where(ChecklistRun.organisation_id == appointment.organisation_id)
    )
    return [UNFINISHED_CHECKLIST] if found.first() else []


async def statuses_of(session: AsyncSession, order: WorkOrder) -> Sequence[AppointmentStatus]:
    """How the order's appointments stand, as last committed; read under the order's lock where it matters.

    They are not locked: whoever changes one waits for the order next, and reads them again.
    """
    found = await session.scalars(
        select(Appointment.status).where(
            Appointment.organisation_id == order.organisation_id,
            Appointment.work_order_id == order.id,
            Appointment.deleted.is_(False),
        )
    )
    return found.all()


def work_has_begun(status: WorkOrderStatus, statuses: Collection[AppointmentStatus]) -> bool:
    """Whether somebody set out or was there for the order; a hold does not hide it."""
    if status is WorkOrderStatus.ON_HOLD:
        return roll_up(statuses) in (WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.COMPLETED)
    return status is WorkOrderStatus.IN_PROGRESS


def obstacles_to_cancel(statuses: Collection[AppointmentStatus]) -> list[str]:
    """A visit that has arrived is finished by who is there, not canceled."""
    there = [status for status in statuses if status in UNDER_WAY and not _may_be_canceled(status)]
    return ["A technician is on site; the visit must end first."] if there else []


def obstacles_to_reopening(status: WorkOrderStatus) -> list[str]:
    """The end of a visit is taken back only while its order goes on."""
    over = status in (WorkOrderStatus.CLOSED, WorkOrderStatus.CANCELED)
    return [f"Its work order is {status}."] if over else []


async def _reopening(session: AsyncSession, appointment: Appointment) -> Transition:
    order = await session.get_one(WorkOrder, (appointment.organisation_id, appointment.work_order_id))
    steps = await session.execute(
        select(AppointmentEvent.from_status, AppointmentEvent.to_status)
        .where(
            AppointmentEvent.organisation_id == appointment.organisation_id,
            AppointmentEvent.appointment_id == appointment.id,
        )
        .order_by(AppointmentEvent.id)
    )
    against = obstacles_to_reopening(order.status)
    return Transition(before_the_end([(*step,) for step in steps]), not against, against)


def _may_be_canceled(status: AppointmentStatus) -> bool:
    return APPOINTMENT.can(status, AppointmentStatus.CANCELED)


async def appointment_transitions(session: AsyncSession, appointment: Appointment) -> list[Transition]:
    """What may follow now, and what must be done before."""
    guards: dict[AppointmentStatus, list[str]] = {}
    if APPOINTMENT.can(appointment.status, AppointmentStatus.DISPATCHED):
        order = await session.get_one(WorkOrder, (appointment.organisation_id, appointment.work_order_id))
        guards[AppointmentStatus.DISPATCHED] = await obstacles_to_dispatch(session, appointment, order)
    if APPOINTMENT.can(appointment.status, AppointmentStatus.COMPLETED):
        guards[AppointmentStatus.COMPLETED] = await _unfinished_checklists(session, appointment)
    following = APPOINTMENT.transitions(appointment.status, guards)
    return [await _reopening(session, appointment)] if appointment.status in FINISHED else following


async def work_order_transitions(session: AsyncSession, order: WorkOrder) -> list[Transition]:
    """What people may make of the order now; a hold ends in what its appointments say."""
    statuses = await statuses_of(session, order)
    guards = {WorkOrderStatus.CANCELED: obstacles_to_cancel(statuses)}
    following = WORK_ORDER.transitions(order.status, guards)
    if order.status is WorkOrderStatus.ON_HOLD:
        ends_in = {WorkOrderStatus.CANCELED, roll_up(statuses)}
        return [transition for transition in following if transition.to in ends_in]
    return following


async def transitions(session: AsyncSession, row: WorkOrder | Appointment) -> list[Transition]:
    """`availableTransitions` of either."""
    if isinstance(row, WorkOrder):
        return await work_order_transitions(session, row)
    return await appointment_transitions(session, row)
