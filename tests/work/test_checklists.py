"""A visit cannot be completed before the required checklists that its device could know of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.field import checklist
from tests.support.world import Technician, World, at
from tournee.kernel.conflict import Conflict
from tournee.kernel.errors import Blocked
from tournee.work.facts import VISIT_OUT_OF_STEP
from tournee.work.guards import visit_transitions
from tournee.work.models import Appointment
from tournee.work.states import AppointmentStatus as A

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

ITEM = [{"key": "clean", "prompt": "Clean", "kind": "TEXT"}]


async def begun(world: World) -> tuple[Technician, Appointment, UUID]:
    """Return a visit in progress, and a checklist version for it."""
    technician = await world.technician()
    visit = await world.visit(technician)
    _, version = await checklist(world.house, ITEM)
    await world.house.run("startWork", technician.actor, appointmentId=visit.id, at=at(0))
    return technician, visit, version


async def add_run(world: World, visit: Appointment, version: UUID, *, required: bool = True) -> Any:
    return await world.house.run(
        "addChecklistRun", "DISPATCHER", versionId=version, appointmentId=visit.id, required=required
    )


async def blocked_by(world: World, visit: Appointment) -> list[str]:
    async with world.house.reading() as session:
        row = await session.get_one(Appointment, (visit.organisation_id, visit.id))
        (moves,) = await visit_transitions(session, world.house.actor("MANAGER"), [row])
        return next(move.blocked_by for move in moves if move.to == "COMPLETED")


async def test_a_required_checklist_blocks_completion_until_completed_or_dismissed(world: World) -> None:
    technician, visit, version = await begun(world)
    run = await add_run(world, visit, version)
    done = {"appointmentId": visit.id, "at": at(60)}
    assert await blocked_by(world, visit) == ["A required checklist is not finished."]
    with pytest.raises(Blocked, match="required checklist"):
        await world.house.run("completeAppointment", technician.actor, **done)
    await world.house.run("dismissChecklistRun", technician.actor, runId=run.id, reason="Demo")
    assert await blocked_by(world, visit) == []
    ended = await world.house.run("completeAppointment", technician.actor, **done)
    assert ended.status is A.COMPLETED


async def test_optional_checklists_and_partial_visits_block_nothing(
    world: World,
) -> None:
    technician, visit, version = await begun(world)
    await add_run(world, visit, version, required=False)
    assert await blocked_by(world, visit) == []
    await add_run(world, visit, version)
    done = {"appointmentId": visit.id, "at": at(60), "outcome": "PARTIAL"}
    ended = await world.house.run("completeAppointment", technician.actor, **done)
    assert ended.status is A.PARTIALLY_COMPLETED


def done(visit: Appointment) -> tuple[str, dict[str, Any]]:
    return "completeAppointment", {"appointmentId": visit.id, "at": at(60)}


async def ends_with_a_question(
    world: World, technician: Technician, visit: Appointment, run: Any, base: int
) -> None:
    """Complete the visit at that base; check that it is over with a conflict about the checklist."""
    (operation,) = await world.offline(technician.actor, base, done(visit))
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED
    assert operation.status == "merged"
    (conflict,) = await world.house.rows(Conflict)
    assert (conflict.kind, conflict.role) == (VISIT_OUT_OF_STEP, "DISPATCHER")
    assert (conflict.record_id, conflict.mine["status"]) == (visit.id, "COMPLETED")
    assert conflict.theirs["checklistRunIds"] == [str(run.id)]


async def test_a_checklist_added_after_the_base_does_not_block_a_visit(world: World) -> None:
    technician, visit, version = await begun(world)
    before = await world.house.seq()
    run = await add_run(world, visit, version)
    with pytest.raises(Blocked):
        await world.offline(technician.actor, await world.house.seq(), done(visit))
    await ends_with_a_question(world, technician, visit, run, before)


async def test_a_checklist_reopened_after_the_base_does_not_block_a_visit(world: World) -> None:
    technician, visit, version = await begun(world)
    run = await add_run(world, visit, version)
    await world.house.run("dismissChecklistRun", technician.actor, runId=run.id, reason="Demo")
    before = await world.house.seq()
    await world.house.run("reopenChecklistRun", "DISPATCHER", runId=run.id, reason="Demo")
    with pytest.raises(Blocked):
        await world.offline(technician.actor, await world.house.seq(), done(visit))
    await ends_with_a_question(world, technician, visit, run, before)


async def test_a_checklist_closed_by_the_device_and_reopened_by_the_office_blocks_nothing(
    world: World,
) -> None:
    technician, visit, version = await begun(world)
    run = await add_run(world, visit, version)
    before = await world.house.seq()
    dismissed = ("dismissChecklistRun", {"runId": run.id, "reason": "Demo"})
    await world.offline(technician.actor, before, dismissed)
    await world.house.run("reopenChecklistRun", "DISPATCHER", runId=run.id, reason="Demo")
    await ends_with_a_question(world, technician, visit, run, before)


async def test_a_checklist_of_a_visit_assigned_after_the_base_blocks_nothing(
    world: World,
) -> None:
    technician, visit, version = await begun(world)
    run = await add_run(world, visit, version)
    colleague = await world.technician()
    before = await world.house.seq()
    await world.house.run("assignTechnician", appointmentId=visit.id, technicianId=colleague.id)
    with pytest.raises(Blocked):
        await world.offline(technician.actor, before, done(visit))
    await ends_with_a_question(world, colleague, visit, run, before)
