"""A visit is not completed before its required checklists are, as far as its device could know of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.procedures.field import checklist
from tests.work.world import Technician, World, at
from tournee.kernel.errors import Blocked
from tournee.work.guards import transitions
from tournee.work.models import Appointment
from tournee.work.states import AppointmentStatus as A

ITEM = [{"key": "clean", "prompt": "Clean", "kind": "TEXT"}]


async def begun(world: World) -> tuple[Technician, Appointment, UUID]:
    """A visit in work, and the version of a checklist for it."""
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
        return next(move.blocked_by for move in await transitions(session, row) if move.to == "COMPLETED")


async def test_a_required_checklist_blocks_the_completion_until_it_is_done_with(world: World) -> None:
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


async def test_a_checklist_that_is_not_required_blocks_nothing_nor_does_any_a_partial_visit(
    world: World,
) -> None:
    technician, visit, version = await begun(world)
    await add_run(world, visit, version, required=False)
    assert await blocked_by(world, visit) == []
    await add_run(world, visit, version)
    done = {"appointmentId": visit.id, "at": at(60), "outcome": "PARTIAL"}
    ended = await world.house.run("completeAppointment", technician.actor, **done)
    assert ended.status is A.PARTIALLY_COMPLETED


async def test_a_checklist_the_device_had_not_seen_does_not_undo_a_visit(world: World) -> None:
    technician, visit, version = await begun(world)
    done = ("completeAppointment", {"appointmentId": visit.id, "at": at(60)})
    before = await world.seq()
    await add_run(world, visit, version)
    after = await world.seq()
    with pytest.raises(Blocked):
        await world.offline(technician.actor, after, done)
    await world.offline(technician.actor, before, done)
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED
