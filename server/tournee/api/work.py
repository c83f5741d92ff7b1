"""Work orders and appointments in GraphQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from tournee.api.context import Context
from tournee.api.groups import Through
from tournee.api.nodes import Batch, ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_guard
from tournee.auth.models import Account
from tournee.people.models import Skill
from tournee.people.permissions import PEOPLE_READ
from tournee.work import commands
from tournee.work.guards import order_transitions, visit_transitions
from tournee.work.models import Appointment, AppointmentEvent, Note, TimeEntry, WorkOrder
from tournee.work.states import FINISHED, UNDER_WAY, AppointmentStatus, WorkOrderStatus


async def required_skills(context: Context, rows: Sequence[WorkOrder]) -> list[list[Skill]]:
    """The skills that each technician sent must have."""
    wanted = [[UUID(id) for id in order.required_skill_ids] for order in rows]
    ids = dict.fromkeys(id for one in wanted for id in one)
    found = await asyncio.gather(*(context.load.one(Skill, id) for id in ids))
    skills = {skill.id: skill for skill in found if skill is not None}
    return [[skills[id] for id in one if id in skills] for one in wanted]


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
        ComputedField(
            WorkOrder, by_guard(_OF_ORDERS, order_transitions), TRANSITIONS, needs=("id", "status")
        ),
        ComputedField(
            WorkOrder,
            Batch(required_skills),
            list[Skill],
            needs=("required_skill_ids",),
            permission=PEOPLE_READ,
        ),
        ComputedField(
            Appointment,
            by_guard(_OF_VISITS, visit_transitions),
            TRANSITIONS,
            needs=("id", "status", "starts_at"),
        ),
    ),
    groups=(
        Through(
            Appointment,
            "TECHNICIAN",
            "assignments",
            "technician_id",
            lambda assignment: assignment.active.is_(True),
            "An assigned technician. A visit counts once for each; without any, it counts under null.",
        ),
    ),
)
