"""Notes and time."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.world import World, at
from tournee.kernel.errors import Forbidden, Invalid, NotFound
from tournee.work.models import TimeEntry

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_a_note_has_exactly_one_subject_and_a_text(world: World) -> None:
    visit = await world.visit()
    for payload in (
        {"text": "Demo"},
        {"text": "Demo", "appointmentId": visit.id, "workOrderId": visit.work_order_id},
        {"text": " ", "appointmentId": visit.id},
    ):
        with pytest.raises(Invalid):
            await world.house.run("addNote", **payload)


async def test_a_note_on_a_reassigned_visit_is_kept(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first)
    base = await world.house.seq()
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=second.id)
    note = {"id": uuid4(), "appointmentId": visit.id, "text": "Demo dog in the yard", "at": at(3)}
    await world.offline(first.actor, base, ("addNote", note))
    with pytest.raises(NotFound):
        await world.house.run("addNote", first.actor, appointmentId=visit.id, text="Demo")


async def test_overlapping_time_is_flagged_and_a_correction_replaces_its_entry(world: World) -> None:
    technician = await world.technician()

    async def enter(start: int, end: int, **more: object) -> TimeEntry:
        values = {"kind": "WORK", "startsAt": at(start), "endsAt": at(end), **more}
        found: TimeEntry = await world.house.run("recordTimeEntry", technician.actor, **values)
        return found

    first = await enter(0, 60)
    assert not first.overlaps
    assert not (await enter(60, 90)).overlaps
    assert (await enter(30, 45)).overlaps
    correction = await enter(0, 20, correctsId=first.id)
    assert not correction.overlaps
    assert not (await enter(20, 30)).overlaps


async def test_a_time_entry_must_end_after_it_starts(world: World) -> None:
    technician = await world.technician()
    with pytest.raises(Invalid):
        await world.house.run(
            "recordTimeEntry", technician.actor, kind="WORK", startsAt=at(10), endsAt=at(10)
        )


async def test_technicians_enter_only_their_own_time_and_the_office_anybodys(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    entry = {"kind": "TRAVEL", "startsAt": at(0), "endsAt": at(9), "technicianId": second.id}
    with pytest.raises(Forbidden):
        await world.house.run("recordTimeEntry", first.actor, **entry)
    recorded = await world.house.run("recordTimeEntry", "DISPATCHER", **entry)
    assert await world.sees(second.actor, recorded)
    assert not await world.sees(first.actor, recorded)
    with pytest.raises(Invalid, match="whose"):
        await world.house.run("recordTimeEntry", "DISPATCHER", kind="WORK", startsAt=at(0), endsAt=at(9))
