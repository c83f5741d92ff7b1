"""What housekeeping does for visits."""

from __future__ import annotations

from tests.support.world import World, at
from tournee.work.jobs import settle_assignments
from tournee.work.models import Appointment, Assignment
from tournee.work.models.appointment import NOT_OVER
from tournee.work.states import AppointmentStatus as A


async def test_assignments_that_an_older_server_left_wrong_are_corrected(world: World) -> None:
    technician = await world.technician()
    done, opened, right = [await world.visit(technician) for _ in range(3)]
    await world.put(done, status=A.COMPLETED)
    for assignment in await world.house.rows(Assignment):
        if assignment.appointment_id == opened.id:
            await world.put(assignment, until=at(0))
    kernel, own = world.house.kernel, world.house.organisation_id
    assert await settle_assignments(kernel, own) == 2
    until = {one.appointment_id: one.until for one in await world.house.rows(Assignment)}
    ends_at = (await world.read(Appointment, done.id)).ends_at
    assert until == {done.id: ends_at, opened.id: NOT_OVER, right.id: NOT_OVER}
    assert await settle_assignments(kernel, own) == 0
