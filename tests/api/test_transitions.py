"""What `availableTransitions` tells somebody is what the mutation then does for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.ask import ask
from tests.house import House
from tests.work.world import World, at
from tournee.api import assets, people, procedures, quality, stock, work
from tournee.api.transitions import Ways
from tournee.assets.models import Asset
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Refused
from tournee.kernel.state import Machine
from tournee.people.models import Absence
from tournee.procedures.models import RUN
from tournee.quality.states import AUDIT, FINDING
from tournee.stock.models import StockDiscrepancy
from tournee.work.models import Appointment, WorkOrder
from tournee.work.states import APPOINTMENT, WORK_ORDER

MACHINES: list[tuple[Machine[Any], Ways]] = [
    (APPOINTMENT, work._OF_VISITS),
    (WORK_ORDER, work._OF_ORDERS),
    (Asset.machine, assets._WAYS),
    (Absence.machine, people._WAYS),
    (RUN, procedures._WAYS),
    (AUDIT, quality._OF_AUDITS),
    (FINDING, quality._OF_FINDINGS),
    (StockDiscrepancy.machine, stock._WAYS),
]


@pytest.mark.parametrize(("machine", "ways"), MACHINES)
def test_every_status_that_may_follow_has_a_command_that_makes_it(machine: Machine[Any], ways: Ways) -> None:
    for current, following in machine.moves.items():
        for to in following:
            assert ways.get((current, to)) or ways[to]


async def allowed(house: House, field: str, id: Any, actor: Any) -> dict[str, bool]:
    document = f"query($id: ID!) {{found: {field}(id: $id) {{availableTransitions {{to allowed}}}}}}"
    found = await ask(house, document, actor, id=str(id))
    return {one["to"]: one["allowed"] for one in found["found"]["availableTransitions"]}


async def works(house: House, name: str, actor: Any, **fields: Any) -> bool:
    try:
        await house.run(name, actor, **fields)
    except Refused:
        return False
    return True


VISIT: dict[str, tuple[str, dict[str, Any]]] = {
    "SCHEDULED": ("recallAppointment", {}),
    "ACCEPTED": ("acceptAppointment", {"at": at(0)}),
    "EN_ROUTE": ("startTravel", {"at": at(0)}),
    "IN_PROGRESS": ("startWork", {"at": at(0)}),
    "CANNOT_COMPLETE": ("cannotCompleteAppointment", {"at": at(0), "reason": "Demo"}),
    "CANCELED": ("cancelAppointment", {"reason": "Demo"}),
}

BY_TECHNICIAN = {"SCHEDULED": ("rejectAppointment", {"at": at(0), "reason": "Demo"})}


@pytest.fixture
async def world(house: House) -> World:
    return await World(house).settle()


@pytest.mark.parametrize("role", ["TECHNICIAN", "DISPATCHER", "AUDITOR", "REPORTING"])
async def test_a_visit_tells_each_role_what_it_can_do(world: World, role: str) -> None:
    house, technician = world.house, await world.technician()
    actor: Actor = technician.actor if role == "TECHNICIAN" else house.actor(role)
    told = await allowed(house, "appointment", (await world.visit(technician)).id, actor)
    assert set(told) == set(VISIT)
    ways = VISIT | (BY_TECHNICIAN if role == "TECHNICIAN" else {})
    for to, (name, fields) in ways.items():
        visit = await world.visit(technician)
        assert await works(house, name, actor, appointmentId=visit.id, **fields) is told[to], to


@pytest.mark.parametrize("held", [False, True], ids=["going on", "on hold"])
@pytest.mark.parametrize("role", ["DISPATCHER", "MANAGER", "AUDITOR"])
async def test_an_order_whose_work_has_begun_is_canceled_by_managers_only(
    world: World, role: str, held: bool
) -> None:
    house, technician = world.house, await world.technician()
    visit = await world.visit(technician)
    await house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))
    order: dict[str, Any] = {"workOrderId": visit.work_order_id, "reason": "Demo"}
    if held:
        await house.run("holdWorkOrder", "DISPATCHER", **order)
    told = await allowed(house, "workOrder", visit.work_order_id, house.actor(role))
    assert told["CANCELED"] is (role == "MANAGER")
    assert await works(house, "cancelWorkOrder", role, **order) is told["CANCELED"]


async def test_what_was_finished_under_a_hold_is_not_canceled_by_a_dispatcher(world: World) -> None:
    house, technician = world.house, await world.technician()
    visit = await world.visit(technician)
    await house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    order: dict[str, Any] = {"workOrderId": visit.work_order_id, "reason": "Demo"}
    await house.run("holdWorkOrder", "DISPATCHER", **order)
    await house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(9))
    told = await allowed(house, "workOrder", visit.work_order_id, "DISPATCHER")
    assert told == {"COMPLETED": True, "CANCELED": False}
    assert not await works(house, "cancelWorkOrder", "DISPATCHER", **order)
    await house.run("releaseWorkOrder", "DISPATCHER", workOrderId=visit.work_order_id)
    assert (await world.read(WorkOrder, visit.work_order_id)).status == "COMPLETED"
    assert (await world.read(Appointment, visit.id)).status == "COMPLETED"
