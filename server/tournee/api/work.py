"""Work orders and appointments in GraphQL.

What may follow is worked out here for many rows at once, by the domain's own tables and from the
same facts that its guards read for one row; a test holds the two together.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select

from tournee.api.context import Info
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, for_actor
from tournee.auth.models import Account
from tournee.auth.roles import Role
from tournee.customers.models import Site
from tournee.kernel.actor import Scope
from tournee.kernel.entity import now
from tournee.kernel.state import Transition
from tournee.people.models import Skill, Technician, TechnicianSkill, TechnicianStatus
from tournee.procedures.models import ChecklistRun, RunStatus
from tournee.work import commands
from tournee.work.guards import (
    MANAGERS_CANCEL,
    MANAGERS_REOPEN,
    UNFINISHED_CHECKLIST,
    obstacles_to_cancel,
    obstacles_to_reopening,
    work_has_begun,
)
from tournee.work.models import Appointment, AppointmentEvent, Assignment, Note, TimeEntry, WorkOrder
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


async def _statuses(info: Info, order_id: UUID) -> list[AppointmentStatus]:
    organisation = info.context.actor.organisation_id
    return await info.context.load.related(
        "statuses of an order",
        order_id,
        lambda ids: select(Appointment.work_order_id, Appointment.status).where(
            Appointment.organisation_id == organisation,
            Appointment.work_order_id.in_(ids),
            Appointment.deleted.is_(False),
        ),
    )


async def order_transitions(root: WorkOrder, info: Info) -> list[Transition]:
    """What may become of it now, by whoever asks."""
    statuses = await _statuses(info, root.id)
    actor = info.context.actor
    against = obstacles_to_cancel(statuses)
    if work_has_begun(root.status, statuses) and actor.role != Role.MANAGER:
        against = [MANAGERS_CANCEL, *against]
    guards = {WorkOrderStatus.CANCELED: against}
    following = WORK_ORDER.transitions(root.status, guards)
    if root.status is WorkOrderStatus.ON_HOLD:
        ends_in = {WorkOrderStatus.CANCELED, roll_up(statuses)}
        following = [transition for transition in following if transition.to in ends_in]
    return for_actor(actor, root.status, following, _OF_ORDERS)


async def _crew(info: Info, appointment_id: UUID) -> list[Any]:
    """Who is assigned now, who leads first: (id, name, status)."""
    organisation = info.context.actor.organisation_id
    same = and_(
        Technician.organisation_id == Assignment.organisation_id,
        Technician.id == Assignment.technician_id,
    )
    return await info.context.load.related(
        "crew",
        appointment_id,
        lambda ids: (
            select(Assignment.appointment_id, Technician.id, Technician.name, Technician.status)
            .join(Technician, same)
            .where(
                Assignment.organisation_id == organisation,
                Assignment.appointment_id.in_(ids),
                Assignment.active.is_(True),
                Assignment.deleted.is_(False),
            )
            .order_by(Assignment.lead.desc(), Assignment.id)
        ),
    )


async def _order(info: Info, order_id: UUID) -> tuple[WorkOrderStatus, list[str]]:
    """Its status and the skills it asks for."""
    organisation = info.context.actor.organisation_id
    found = await info.context.load.related(
        "order of an appointment",
        order_id,
        lambda ids: select(WorkOrder.id, WorkOrder.status, WorkOrder.required_skill_ids).where(
            WorkOrder.organisation_id == organisation, WorkOrder.id.in_(ids)
        ),
    )
    order: tuple[WorkOrderStatus, list[str]] = found[0]
    return order


async def _missing_skills(info: Info, technician_id: UUID, skill_ids: list[str], day: date) -> list[str]:
    organisation = info.context.actor.organisation_id
    held = await info.context.load.related(
        "skills of a technician",
        technician_id,
        lambda ids: select(TechnicianSkill.technician_id, TechnicianSkill).where(
            TechnicianSkill.organisation_id == organisation,
            TechnicianSkill.technician_id.in_(ids),
            TechnicianSkill.deleted.is_(False),
        ),
    )
    lacking = {UUID(id) for id in skill_ids} - {skill.skill_id for skill in held if skill.is_valid_on(day)}
    found = await asyncio.gather(*(_skill_name(info, id) for id in lacking))
    names = sorted(name for one in found for name in one)
    return [f"The required skill {name} is missing or expired." for name in names]


async def _skill_name(info: Info, skill_id: UUID) -> list[str]:
    organisation = info.context.actor.organisation_id
    return await info.context.load.related(
        "name of a skill",
        skill_id,
        lambda ids: select(Skill.id, Skill.name).where(
            Skill.organisation_id == organisation, Skill.id.in_(ids)
        ),
    )


async def _day_of(info: Info, visit: Appointment) -> date:
    """The day of the visit where it takes place."""
    organisation = info.context.actor.organisation_id
    zones: list[str] = []
    if visit.site_id is not None:
        zones = await info.context.load.related(
            "time zone of a site",
            visit.site_id,
            lambda ids: select(Site.id, Site.time_zone).where(
                Site.organisation_id == organisation, Site.id.in_(ids)
            ),
        )
    return local_day(visit.starts_at or now(), zones[0] if zones else None)


async def _against_dispatch(root: Appointment, info: Info) -> list[str]:
    crew = await _crew(info, root.id)
    status, skill_ids = await _order(info, root.work_order_id)
    reasons = [] if crew else ["No technician is assigned."]
    if root.starts_at is None:
        reasons.append("It has no start and end time.")
    if status is WorkOrderStatus.ON_HOLD:
        reasons.append("The work order is on hold.")
    day = await _day_of(info, root)
    found = await asyncio.gather(*(_against_sending(info, member, skill_ids, day) for member in crew))
    return reasons + [reason for one in found for reason in one]


async def _against_sending(info: Info, member: Any, skill_ids: list[str], day: date) -> list[str]:
    technician_id, name, status = member
    if status is not TechnicianStatus.ACTIVE:
        return [f"{name} is not active."]
    return await _missing_skills(info, technician_id, skill_ids, day) if skill_ids else []


async def _against_completion(root: Appointment, info: Info) -> list[str]:
    organisation = info.context.actor.organisation_id
    unfinished = await info.context.load.related(
        "unfinished checklists",
        root.id,
        lambda ids: select(ChecklistRun.appointment_id, ChecklistRun.id).where(
            ChecklistRun.organisation_id == organisation,
            ChecklistRun.appointment_id.in_(ids),
            ChecklistRun.required.is_(True),
            ChecklistRun.status.in_([RunStatus.NEW, RunStatus.IN_PROGRESS]),
        ),
    )
    return [UNFINISHED_CHECKLIST] if unfinished else []


async def appointment_transitions(root: Appointment, info: Info) -> list[Transition]:
    """What may become of it now, by whoever asks."""
    guards: dict[AppointmentStatus, list[str]] = {}
    if APPOINTMENT.can(root.status, AppointmentStatus.DISPATCHED):
        guards[AppointmentStatus.DISPATCHED] = await _against_dispatch(root, info)
    if APPOINTMENT.can(root.status, AppointmentStatus.COMPLETED):
        guards[AppointmentStatus.COMPLETED] = await _against_completion(root, info)
    following = APPOINTMENT.transitions(root.status, guards)
    if root.status in FINISHED:
        following = [await _reopening(root, info)]
    return for_actor(info.context.actor, root.status, following, _OF_VISITS)


async def _reopening(root: Appointment, info: Info) -> Transition:
    """To what it was when it was ended."""
    organisation = info.context.actor.organisation_id
    status, _ = await _order(info, root.work_order_id)
    steps = await info.context.load.related(
        "ends of a visit",
        root.id,
        lambda ids: (
            select(AppointmentEvent.appointment_id, AppointmentEvent.from_status, AppointmentEvent.to_status)
            .where(AppointmentEvent.organisation_id == organisation, AppointmentEvent.appointment_id.in_(ids))
            .where(AppointmentEvent.to_status.in_(FINISHED))
            .order_by(AppointmentEvent.id)
        ),
    )
    against = obstacles_to_reopening(status)
    if info.context.actor.role != Role.MANAGER:
        against = [MANAGERS_REOPEN, *against]
    return Transition(before_the_end(steps), not against, against)


async def required_skills(root: WorkOrder, info: Info) -> list[Skill]:
    """The skills that each technician sent must have."""
    load = info.context.load
    found = await asyncio.gather(*(load.one(Skill, UUID(id)) for id in root.required_skill_ids))
    return [skill for skill in found if skill is not None]


_TRANSITIONS = "availableTransitions"
_A, _W = AppointmentStatus, WorkOrderStatus

_OF_ORDERS: Ways = {
    _W.NEW: (commands.release_work_order, commands.reopen_work_order),
    _W.SCHEDULED: (commands.release_work_order,),
    _W.IN_PROGRESS: (commands.release_work_order, commands.reopen_work_order),
    _W.ON_HOLD: (commands.hold_work_order,),
    _W.COMPLETED: (commands.release_work_order,),
    _W.CANNOT_COMPLETE: (commands.release_work_order,),
    _W.CLOSED: (commands.close_work_order,),
    _W.CANCELED: (commands.cancel_work_order,),
}
_OF_VISITS: Ways = {
    _A.NONE: (commands.unschedule_appointment,),
    _A.SCHEDULED: (commands.schedule_appointment, commands.recall_appointment),
    (_A.DISPATCHED, _A.SCHEDULED): (commands.recall_appointment, commands.reject_appointment),
    _A.DISPATCHED: (commands.dispatch_appointment,),
    _A.ACCEPTED: (commands.accept_appointment,),
    _A.EN_ROUTE: (commands.start_travel,),
    _A.ON_SITE: (commands.arrive_on_site,),
    _A.IN_PROGRESS: (commands.start_work, commands.resume_work),
    _A.PAUSED: (commands.pause_work,),
    _A.COMPLETED: (commands.complete_appointment,),
    _A.PARTIALLY_COMPLETED: (commands.complete_appointment,),
    _A.CANNOT_COMPLETE: (commands.cannot_complete_appointment,),
    _A.CANCELED: (commands.cancel_appointment,),
    **{(over, to): (commands.reopen_appointment,) for over in FINISHED for to in UNDER_WAY},
}

EXTRAS = Extras(
    lists=(
        ListName(WorkOrder, "parent_id", "followUps"),
        ListName(AppointmentEvent, "appointment_id", "events"),
        ListName(AppointmentEvent, "technician_id", None),
        ListName(TimeEntry, "corrects_id", "corrections"),
    ),
    links=(
        Link(WorkOrder, "reported_by_id", Account),
        Link(AppointmentEvent, "account_id", Account),
        Link(Note, "author_id", Account),
    ),
    computed=(
        ComputedField(WorkOrder, order_transitions, TRANSITIONS, name=_TRANSITIONS),
        ComputedField(WorkOrder, required_skills, list[Skill], scope=Scope.PEOPLE_READ),
        ComputedField(Appointment, appointment_transitions, TRANSITIONS, name=_TRANSITIONS),
    ),
)
