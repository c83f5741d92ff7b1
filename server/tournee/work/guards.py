"""What prevents the next status of appointments and work orders, as sentences; reads only.

Each guard takes many rows and returns the sentences for each: a list in the API costs as many statements as
one row, and a command asks about one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.reader import Reader
from tournee.kernel.state import Transition
from tournee.work.crews import Circumstances, against_sending, circumstances_of
from tournee.work.models import Appointment, AppointmentEvent, WorkOrder
from tournee.work.states import (
    APPOINTMENT,
    ENDED,
    FINISHED,
    UNDER_WAY,
    WORK_ORDER,
    AppointmentStatus,
    WorkOrderStatus,
    before_the_end,
    roll_up,
)

UNFINISHED_CHECKLIST = "A required checklist is not finished."


async def against_dispatch(
    read: Reader, visits: Sequence[Appointment], *, whatever_skills: bool = False
) -> list[list[str]]:
    """Return why each appointment cannot be dispatched yet."""
    there = await circumstances_of(read, visits)
    return await _against_dispatch(read, visits, there, whatever_skills=whatever_skills)


async def _against_dispatch(
    read: Reader,
    visits: Sequence[Appointment],
    there: Mapping[UUID, Circumstances],
    *,
    whatever_skills: bool = False,
) -> list[list[str]]:
    sent = [(member, there[visit.id]) for visit in visits for member in there[visit.id].crew]
    unfit = iter(await against_sending(read, sent, whatever_skills=whatever_skills))
    found = []
    for visit in visits:
        crew = there[visit.id].crew
        reasons = [] if crew else ["No technician is assigned."]
        if visit.starts_at is None:
            reasons.append("It has no start and end time.")
        if there[visit.id].order is WorkOrderStatus.ON_HOLD:
            reasons.append("The work order is on hold.")
        found.append(reasons + [reason for _ in crew for reason in next(unfit)])
    return found


def against_reopening(status: WorkOrderStatus) -> list[str]:
    """Return why the end of a visit cannot be taken back: its order, of this status, does not go on."""
    over = status in ENDED
    return [f"Its work order is {status}."] if over else []


def against_reopening_by(actor: Actor) -> list[str]:
    return [] if actor.role == Role.MANAGER else ["Only a manager may reopen a visit."]


async def _reopening(
    read: Reader, actor: Actor, visits: Sequence[Appointment], there: Mapping[UUID, Circumstances]
) -> list[list[Transition]]:
    """Return, for each visit, the transition that takes back its end, to the status it had before."""
    if not visits:
        return []
    event = AppointmentEvent
    rows = await read.execute(
        select(event.appointment_id, event.from_status, event.to_status)
        .where(event.appointment_id.in_([visit.id for visit in visits]), event.to_status.in_(FINISHED))
        .order_by(event.id)
    )
    ends = defaultdict(list)
    for id, came_from, to in rows:
        ends[id].append((came_from, to))
    found = []
    for visit in visits:
        against = against_reopening_by(actor) + against_reopening(there[visit.id].order)
        found.append([Transition(before_the_end(ends[visit.id]), not against, against)])
    return found


async def visit_transitions(
    read: Reader, actor: Actor, visits: Sequence[Appointment]
) -> list[list[Transition]]:
    """Return the statuses that each appointment can take, and what must be done before."""
    sent = [visit for visit in visits if APPOINTMENT.can(visit.status, AppointmentStatus.DISPATCHED)]
    done = [visit for visit in visits if APPOINTMENT.can(visit.status, AppointmentStatus.COMPLETED)]
    over = [visit for visit in visits if visit.status in FINISHED]
    there = await circumstances_of(read, list(dict.fromkeys([*sent, *done, *over])))
    dispatch = dict(zip(sent, await _against_dispatch(read, sent, there), strict=True))
    reopening = dict(zip(over, await _reopening(read, actor, over, there), strict=True))
    unfinished = {visit for visit in done if there[visit.id].unfinished}
    return [
        reopening[visit]
        if visit in reopening
        else APPOINTMENT.transitions(
            visit.status,
            {
                AppointmentStatus.DISPATCHED: dispatch.get(visit, []),
                AppointmentStatus.COMPLETED: [UNFINISHED_CHECKLIST] if visit in unfinished else [],
            },
        )
        for visit in visits
    ]


async def statuses_of(read: Reader, orders: Sequence[WorkOrder]) -> dict[UUID, list[AppointmentStatus]]:
    """Return the statuses of the orders' appointments as last committed; read them under an order's lock
    where it matters.

    They are not locked: whoever changes one then waits for the order, and reads them again.
    """
    statuses: dict[UUID, list[AppointmentStatus]] = {order.id: [] for order in orders}
    rows = await read.execute(
        select(Appointment.work_order_id, Appointment.status).where(
            Appointment.work_order_id.in_(statuses),
            Appointment.deleted.is_(False),
        )
    )
    for order_id, status in rows:
        statuses[order_id].append(status)
    return statuses


def against_canceling(statuses: Collection[AppointmentStatus]) -> list[str]:
    """Return why visits in these statuses cannot be canceled: a technician is on site, who ends the visit
    first.
    """
    canceled = AppointmentStatus.CANCELED
    there = [status for status in statuses if status in UNDER_WAY and not APPOINTMENT.can(status, canceled)]
    return ["A technician is on site; the visit must end first."] if there else []


def against_canceling_by(
    actor: Actor, order: WorkOrder, statuses: Collection[AppointmentStatus]
) -> list[str]:
    """Return why this actor cannot cancel the order: somebody has set out for it, so a manager must. A
    hold does not change that.
    """
    if order.status is WorkOrderStatus.ON_HOLD:
        begun = roll_up(statuses) in (WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.COMPLETED)
    else:
        begun = order.status is WorkOrderStatus.IN_PROGRESS
    managers = begun and actor.role != Role.MANAGER
    return ["Work has begun; only a manager may cancel this order."] if managers else []


async def order_transitions(
    read: Reader, actor: Actor, orders: Sequence[WorkOrder]
) -> list[list[Transition]]:
    """Return the statuses that people can give each order; a hold ends in the status its appointments
    imply.
    """
    statuses = await statuses_of(read, orders)
    return [_order_transitions(actor, order, statuses[order.id]) for order in orders]


def _order_transitions(
    actor: Actor, order: WorkOrder, statuses: Collection[AppointmentStatus]
) -> list[Transition]:
    against = against_canceling_by(actor, order, statuses) + against_canceling(statuses)
    following = WORK_ORDER.transitions(order.status, {WorkOrderStatus.CANCELED: against})
    if order.status is WorkOrderStatus.ON_HOLD:
        ends_in = {WorkOrderStatus.CANCELED, roll_up(statuses)}
        return [transition for transition in following if transition.to in ends_in]
    return following
