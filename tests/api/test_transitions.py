"""`availableTransitions` lists exactly the mutations that then succeed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.ask import ask
from tests.support.auditing import act, planned
from tests.support.house import House
from tests.support.world import World, at
from tournee.api import assets, devices, people, procedures, quality, stock, work
from tournee.api.schema import schema
from tournee.api.transitions import Ways
from tournee.assets.models import Asset
from tournee.auth.models import ACCOUNT_MOVES, DEVICE_MOVES
from tournee.catalogue import ENTITIES
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Refused
from tournee.kernel.fields import Merge, fields
from tournee.kernel.state import Machine
from tournee.people.models import Absence
from tournee.procedures.models import RUN, TEMPLATE, VERSION
from tournee.quality.states import AUDIT, FINDING, STANDARD
from tournee.stock.models import StockDiscrepancy
from tournee.work.models import Appointment, WorkOrder
from tournee.work.states import APPOINTMENT, WORK_ORDER

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

MACHINES: list[tuple[Machine[Any], Ways]] = [
    (APPOINTMENT, work._OF_VISITS),
    (WORK_ORDER, work._OF_ORDERS),
    (Asset.machine, assets._WAYS),
    (Absence.machine, people._WAYS),
    (RUN, procedures._WAYS),
    (AUDIT, quality._OF_AUDITS),
    (FINDING, quality._OF_FINDINGS),
    (STANDARD, quality._OF_STANDARDS),
    (TEMPLATE, procedures._OF_TEMPLATES),
    (VERSION, procedures._OF_VERSIONS),
    (ACCOUNT_MOVES, devices._OF_ACCOUNTS),
    (DEVICE_MOVES, devices._OF_DEVICES),
    (StockDiscrepancy.machine, stock._WAYS),
]


@pytest.mark.parametrize(("machine", "ways"), MACHINES)
def test_every_allowed_status_has_a_command_that_leads_to_it(machine: Machine[Any], ways: Ways) -> None:
    for current, following in machine.moves.items():
        for to in following:
            assert ways.get((current, to)) or ways[to]


def test_every_type_with_a_state_machine_has_available_transitions() -> None:
    """Conflicts have `availableResolutions` instead."""
    types: Any = schema()._schema.type_map
    for name, entity in ENTITIES.items():
        if any(field.name == "status" and field.merge is Merge.STATE_MACHINE for field in fields(entity)):
            told = "availableResolutions" if name == "Conflict" else "availableTransitions"
            assert told in types[name].fields, name


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
async def test_a_visit_lists_the_transitions_of_each_role(world: World, role: str) -> None:
    house, technician = world.house, await world.technician()
    actor: Actor = technician.actor if role == "TECHNICIAN" else house.actor(role)
    told = await allowed(house, "appointment", (await world.visit(technician)).id, actor)
    assert set(told) == set(VISIT)
    ways = VISIT | (BY_TECHNICIAN if role == "TECHNICIAN" else {})
    for to, (name, given) in ways.items():
        visit = await world.visit(technician)
        assert await works(house, name, actor, appointmentId=visit.id, **given) is told[to], to


@pytest.mark.parametrize("held", [False, True], ids=["going on", "on hold"])
@pytest.mark.parametrize("role", ["DISPATCHER", "MANAGER", "AUDITOR"])
async def test_only_managers_cancel_an_order_whose_work_has_begun(
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


@pytest.mark.parametrize("ended", ["COMPLETED", "CANNOT_COMPLETE"])
@pytest.mark.parametrize("role", ["TECHNICIAN", "DISPATCHER", "MANAGER", "REPORTING"])
async def test_only_managers_reopen_a_visit_while_its_order_is_open(
    world: World, role: str, ended: str
) -> None:
    house, technician = world.house, await world.technician()
    actor: Actor = technician.actor if role == "TECHNICIAN" else house.actor(role)
    visit = await world.visit(technician)
    given: dict[str, Any] = {"appointmentId": visit.id}
    if ended == "COMPLETED":
        await house.run("startWork", technician.actor, at=at(0), **given)
        await house.run("completeAppointment", technician.actor, at=at(9), **given)
    else:
        await house.run("startTravel", technician.actor, at=at(0), **given)
        await house.run("cannotCompleteAppointment", technician.actor, at=at(9), reason="Demo", **given)
    told = await allowed(house, "appointment", visit.id, actor)
    to = "IN_PROGRESS" if ended == "COMPLETED" else "EN_ROUTE"
    assert told == {to: role == "MANAGER"}
    assert await works(house, "reopenAppointment", actor, reason="Demo", **given) is told[to]
    if told[to]:
        assert (await world.read(Appointment, visit.id)).status == to


async def test_nobody_reopens_a_visit_of_a_closed_order(world: World) -> None:
    house, technician = world.house, await world.technician()
    visit = await world.visit(technician)
    await house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    await house.run("completeAppointment", technician.actor, appointmentId=visit.id, at=at(9))
    await house.run("closeWorkOrder", workOrderId=visit.work_order_id)
    assert await allowed(house, "appointment", visit.id, "MANAGER") == {"IN_PROGRESS": False}
    assert not await works(house, "reopenAppointment", "MANAGER", appointmentId=visit.id, reason="Demo")


async def test_a_dispatcher_cannot_cancel_an_order_finished_while_on_hold(world: World) -> None:
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


async def test_account_and_device_transitions_match_what_the_commands_allow(house: House) -> None:
    manager, technician = await house.account("MANAGER"), await house.account("TECHNICIAN")
    device = await house.run("enrolDevice", technician, id=uuid4(), name="Demo tablet")
    assert await allowed(house, "account", technician.id, manager) == {"DISABLED": True}
    assert await allowed(house, "account", manager.id, manager) == {"DISABLED": False}
    assert not await works(house, "disableAccount", manager, accountId=manager.id)
    assert await allowed(house, "account", technician.id, technician) == {"DISABLED": False}
    assert await allowed(house, "device", device.id, manager) == {"REVOKED": True, "WIPED": False}
    assert not await works(house, "confirmWipe", manager, deviceId=device.id)
    assert await allowed(house, "device", device.id, technician) == {"REVOKED": False, "WIPED": True}
    assert await works(house, "revokeDevice", manager, deviceId=device.id)
    assert await works(house, "confirmWipe", technician, deviceId=device.id)
    assert await allowed(house, "device", device.id, manager) == {}


async def test_checklist_and_standard_transitions_match_what_the_commands_allow(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="X")
    item = {"key": "clean", "prompt": "Clean?", "kind": "CHECK"}
    version = await house.run("draftChecklistVersion", templateId=template.id, items=[item])
    assert await allowed(house, "checklistVersion", version.id, "AUDITOR") == {"PUBLISHED": True}
    assert await allowed(house, "checklistVersion", version.id, "DISPATCHER") == {"PUBLISHED": False}
    assert await allowed(house, "checklistTemplate", template.id, "AUDITOR") == {"ARCHIVED": True}
    assert await works(house, "archiveChecklistTemplate", "AUDITOR", templateId=template.id)
    assert await allowed(house, "checklistVersion", version.id, "AUDITOR") == {"PUBLISHED": False}
    assert not await works(house, "publishChecklistVersion", "AUDITOR", versionId=version.id)
    standard = await house.run("createQualityStandard", code="X", title="Demo")
    assert await allowed(house, "qualityStandard", standard.id, "AUDITOR") == {"WITHDRAWN": True}
    assert await allowed(house, "qualityStandard", standard.id, "DISPATCHER") == {"WITHDRAWN": False}
    assert await works(house, "withdrawQualityStandard", "AUDITOR", standardId=standard.id)
    assert await allowed(house, "qualityStandard", standard.id, "AUDITOR") == {}


async def test_only_the_lead_auditor_among_technicians_starts_an_audit(house: House) -> None:
    lead, observer = await house.account("TECHNICIAN"), await house.account("TECHNICIAN")
    audit = await planned(house, leadAuditorId=lead.id)
    await act(house, "setAuditTeam", audit, members=[{"accountId": observer.id, "part": "OBSERVER"}])
    for who, expected in ((lead, True), (observer, False), (house.actor("AUDITOR"), True)):
        assert (await allowed(house, "audit", audit.id, who))["IN_PROGRESS"] is expected
