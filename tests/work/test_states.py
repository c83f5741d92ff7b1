"""Both state machines, move by move, through their commands."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.world import World, at
from tournee.kernel.errors import TransitionNotAllowed
from tournee.work.guards import order_transitions
from tournee.work.models import Appointment, Assignment, WorkOrder
from tournee.work.states import AppointmentStatus as A
from tournee.work.states import WorkOrderStatus as W
from tournee.work.states import roll_up

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

# Written out again from the specification, so that a mistake in the server's table is not repeated.
VISIT_MOVES = {
    A.NONE: "SCHEDULED CANCELED",
    A.SCHEDULED: "NONE DISPATCHED CANCELED",
    A.DISPATCHED: "SCHEDULED ACCEPTED EN_ROUTE IN_PROGRESS CANNOT_COMPLETE CANCELED",
    A.ACCEPTED: "EN_ROUTE IN_PROGRESS SCHEDULED CANNOT_COMPLETE CANCELED",
    A.EN_ROUTE: "ON_SITE IN_PROGRESS ACCEPTED CANNOT_COMPLETE CANCELED",
    A.ON_SITE: "IN_PROGRESS CANNOT_COMPLETE",
    A.IN_PROGRESS: "PAUSED COMPLETED PARTIALLY_COMPLETED CANNOT_COMPLETE",
    A.PAUSED: "IN_PROGRESS PARTIALLY_COMPLETED CANNOT_COMPLETE",
    A.COMPLETED: "",
    A.PARTIALLY_COMPLETED: "",
    A.CANNOT_COMPLETE: "",
    A.CANCELED: "",
}

STEP = {"at": at(0)}
VISIT_COMMANDS: dict[A, list[tuple[str, dict[str, Any]]]] = {
    A.NONE: [("unscheduleAppointment", {})],
    A.SCHEDULED: [
        ("scheduleAppointment", {"startsAt": at(0), "endsAt": at(60)}),
        ("recallAppointment", {}),
        ("rejectAppointment", {"at": at(0), "reason": "Demo reason"}),
    ],
    A.DISPATCHED: [("dispatchAppointment", {})],
    A.ACCEPTED: [("acceptAppointment", STEP)],
    A.EN_ROUTE: [("startTravel", STEP)],
    A.ON_SITE: [("arriveOnSite", STEP)],
    A.IN_PROGRESS: [("startWork", STEP)],
    A.PAUSED: [("pauseWork", STEP)],
    A.COMPLETED: [("completeAppointment", STEP)],
    A.PARTIALLY_COMPLETED: [("completeAppointment", {**STEP, "outcome": "PARTIAL"})],
    A.CANNOT_COMPLETE: [("cannotCompleteAppointment", {**STEP, "reason": "Demo reason"})],
    A.CANCELED: [("cancelAppointment", {"reason": "Demo reason"})],
}
# From these statuses `scheduleAppointment` changes only the time.
RESCHEDULES = {A.SCHEDULED, A.DISPATCHED, A.ACCEPTED}


@pytest.mark.parametrize("current", list(A))
async def test_a_visit_moves_only_as_the_table_allows(world: World, current: A) -> None:
    visit = await world.visit(await world.technician())
    for to, commands in VISIT_COMMANDS.items():
        reached = False
        for name, payload in commands:
            if name == "scheduleAppointment" and current in RESCHEDULES:
                continue
            # Earlier commands may have removed its time or its technician.
            await world.put(visit, status=current, starts_at=at(0), ends_at=at(60))
            await world.put((await world.house.rows(Assignment))[0], active=True)
            try:
                moved = await world.house.run(name, appointmentId=visit.id, **payload)
            except TransitionNotAllowed as refusal:
                assert all(option in refusal.message for option in VISIT_MOVES[current].split())  # noqa: PT017
                assert (await world.read(Appointment, visit.id)).status is current
            else:
                assert moved.status is to
                reached = True
        assert reached == (to in VISIT_MOVES[current].split()), f"{current} -> {to}"


@pytest.mark.parametrize(
    ("name", "current"),
    [("recallAppointment", A.NONE), ("rejectAppointment", A.ACCEPTED), ("resumeWork", A.ON_SITE)],
)
async def test_a_step_is_refused_from_a_status_that_only_another_command_may_leave(
    world: World, name: str, current: A
) -> None:
    visit = await world.visit(await world.technician())
    await world.put(visit, status=current)
    payload: dict[str, Any] = {"recallAppointment": {}, "rejectAppointment": {**STEP, "reason": "no"}}.get(
        name, STEP
    )
    with pytest.raises(TransitionNotAllowed):
        await world.house.run(name, appointmentId=visit.id, **payload)


ORDER_MOVES = {
    W.DRAFT: {"releaseWorkOrder": W.NEW, "cancelWorkOrder": W.CANCELED},
    W.NEW: {"holdWorkOrder": W.ON_HOLD, "cancelWorkOrder": W.CANCELED},
    W.SCHEDULED: {"holdWorkOrder": W.ON_HOLD, "cancelWorkOrder": W.CANCELED},
    W.IN_PROGRESS: {"holdWorkOrder": W.ON_HOLD, "cancelWorkOrder": W.CANCELED},
    W.ON_HOLD: {"releaseWorkOrder": W.NEW, "cancelWorkOrder": W.CANCELED},
    W.COMPLETED: {"closeWorkOrder": W.CLOSED, "reopenWorkOrder": W.IN_PROGRESS},
    W.CANNOT_COMPLETE: {"reopenWorkOrder": W.NEW, "closeWorkOrder": W.CLOSED, "cancelWorkOrder": W.CANCELED},
    W.CLOSED: {},
    W.CANCELED: {},
}
ORDER_COMMANDS: dict[str, dict[str, Any]] = {
    "holdWorkOrder": {"reason": "Demo reason"},
    "releaseWorkOrder": {},
    "cancelWorkOrder": {"reason": "Demo reason"},
    "closeWorkOrder": {},
    "reopenWorkOrder": {"reason": "Demo reason"},
}


@pytest.mark.parametrize("current", list(W))
async def test_people_move_an_order_only_as_the_table_allows(world: World, current: W) -> None:
    order = await world.order()
    for name, payload in ORDER_COMMANDS.items():
        await world.put(order, status=current)
        if name in ORDER_MOVES[current]:
            moved = await world.house.run(name, workOrderId=order.id, **payload)
            assert moved.status is ORDER_MOVES[current][name]
        else:
            with pytest.raises(TransitionNotAllowed):
                await world.house.run(name, workOrderId=order.id, **payload)
            assert (await world.read(WorkOrder, order.id)).status is current


@pytest.mark.parametrize("current", list(W))
async def test_an_order_lists_the_moves_that_people_can_make(world: World, current: W) -> None:
    order = await world.order()
    await world.put(order, status=current)
    async with world.house.reading() as session:
        row = await session.get_one(WorkOrder, (order.organisation_id, order.id))
        (offered,) = await order_transitions(session, world.house.actor("MANAGER"), [row])
    assert {move.to for move in offered if move.allowed} == set(ORDER_MOVES[current].values())


_S, _IP, _C, _P, _X = A.SCHEDULED, A.IN_PROGRESS, A.COMPLETED, A.PARTIALLY_COMPLETED, A.CANCELED


@pytest.mark.parametrize(
    ("visits", "order"),
    [
        # Microsoft's fifteen rows; its "unscheduled" is NEW here.
        ([], W.NEW),
        ([_S], W.SCHEDULED),
        ([_IP], W.IN_PROGRESS),
        ([_C], W.COMPLETED),
        ([_P], W.NEW),
        ([_X], W.NEW),
        ([_S, _S], W.SCHEDULED),
        ([_S, _IP], W.IN_PROGRESS),
        ([_S, _C], W.IN_PROGRESS),
        ([_S, _P], W.SCHEDULED),
        ([_C, _C], W.COMPLETED),
        ([_P, _P], W.NEW),
        ([_IP, _P], W.IN_PROGRESS),
        ([_C, _P], W.COMPLETED),
        ([_X, _P], W.NEW),
        # Our own rows, which Microsoft lacks.
        ([A.NONE], W.NEW),
        ([A.NONE, _S], W.SCHEDULED),
        ([A.NONE, _C], W.IN_PROGRESS),
        ([A.DISPATCHED], W.SCHEDULED),
        ([A.ACCEPTED], W.SCHEDULED),
        ([A.EN_ROUTE], W.IN_PROGRESS),
        ([A.ON_SITE], W.IN_PROGRESS),
        ([A.PAUSED], W.IN_PROGRESS),
        ([_C, _X], W.COMPLETED),
        ([A.CANNOT_COMPLETE], W.CANNOT_COMPLETE),
        ([A.CANNOT_COMPLETE, _X], W.CANNOT_COMPLETE),
        ([A.CANNOT_COMPLETE, _C], W.COMPLETED),
        ([A.CANNOT_COMPLETE, _S], W.SCHEDULED),
        ([A.CANNOT_COMPLETE, _P], W.NEW),
        ([A.CANNOT_COMPLETE, A.NONE], W.NEW),
    ],
)
def test_an_orders_status_follows_from_its_visits(visits: list[A], order: W) -> None:
    assert roll_up(visits) is order
    assert roll_up(visits[::-1]) is order


async def test_a_visit_moves_its_order_from_new_to_completed(world: World) -> None:
    technician = await world.technician()
    order = await world.order()
    seen = [order.status]

    async def note() -> None:
        seen.append((await world.read(WorkOrder, order.id)).status)

    visit = await world.visit(technician, order=order)
    await note()
    for name in ("startTravel", "arriveOnSite", "startWork"):
        await world.house.run(name, technician.actor, appointmentId=visit.id, at=at(0))
    await note()
    await world.house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(60))
    await note()
    assert seen == [W.NEW, W.SCHEDULED, W.IN_PROGRESS, W.COMPLETED]


@pytest.mark.parametrize("kept", [W.ON_HOLD, W.CLOSED, W.CANCELED])
async def test_visits_do_not_move_an_order_on_hold_closed_or_canceled(world: World, kept: W) -> None:
    visit = await world.visit(await world.technician())
    order = await world.read(WorkOrder, visit.work_order_id)
    await world.put(order, status=kept)
    await world.house.run("startWork", appointmentId=visit.id, at=at(0))
    await world.house.run("completeAppointment", appointmentId=visit.id, at=at(30))
    assert (await world.read(WorkOrder, order.id)).status is kept


async def test_an_order_released_from_hold_takes_the_status_of_its_visits(world: World) -> None:
    visit = await world.visit(await world.technician())
    await world.house.run("holdWorkOrder", workOrderId=visit.work_order_id, reason="Demo parts missing")
    await world.house.run("startWork", appointmentId=visit.id, at=at(0))
    released = await world.house.run("releaseWorkOrder", workOrderId=visit.work_order_id)
    assert (released.status, released.hold_reason) == (W.IN_PROGRESS, None)


async def test_canceling_an_order_cancels_only_its_open_visits(world: World) -> None:
    order = await world.order()
    technician = await world.technician()
    done = await world.visit(technician, order=order)
    await world.house.run("startWork", appointmentId=done.id, at=at(0))
    await world.house.run("completeAppointment", appointmentId=done.id, at=at(30), outcome="PARTIAL")
    pending = await world.visit(technician, order=order)
    await world.house.run("cancelWorkOrder", "DISPATCHER", workOrderId=order.id, reason="Demo customer left")
    statuses = [(await world.read(Appointment, visit.id)).status for visit in (done, pending)]
    assert statuses == [A.PARTIALLY_COMPLETED, A.CANCELED]
    assert (await world.read(WorkOrder, order.id)).status is W.CANCELED
    assert [event.to_status for event in await world.events(pending)][-1] is A.CANCELED
