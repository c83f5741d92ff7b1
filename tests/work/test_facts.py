"""Facts from the field that conflict with the office's decisions."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.world import Technician, World, at
from tournee.kernel.errors import NotFound, TransitionNotAllowed
from tournee.work.facts import (
    VISIT_ON_CANCELED_APPOINTMENT,
    VISIT_ON_REASSIGNED_APPOINTMENT,
    VISIT_OUT_OF_STEP,
)
from tournee.work.models import AcceptedAs, Appointment, WorkOrder
from tournee.work.states import AppointmentStatus as A
from tournee.work.states import WorkOrderStatus as W

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


def a_visit(visit: Appointment) -> list[tuple[str, dict[str, Any]]]:
    """Return every step that a technician reports for a visit, in order."""
    names = ("acceptAppointment", "startTravel", "arriveOnSite", "startWork", "completeAppointment")
    return [(name, {"appointmentId": visit.id, "at": at(10 * n)}) for n, name in enumerate(names)]


async def test_a_visit_on_a_canceled_appointment_counts_and_opens_one_conflict(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo customer called")
    operations = await world.offline(technician.actor, base, *a_visit(visit))
    found = await world.read(Appointment, visit.id)
    assert (found.status, found.work_minutes, found.travel_minutes) == (A.COMPLETED, 10, 10)
    (conflict,) = await world.conflicts()
    assert (conflict.kind, conflict.role) == (VISIT_ON_CANCELED_APPOINTMENT, "DISPATCHER")
    assert conflict.base["status"] == "DISPATCHED"
    assert conflict.mine["status"] == "COMPLETED"
    assert (conflict.theirs["status"], conflict.theirs["cancelReason"]) == (
        "CANCELED",
        "Demo customer called",
    )
    assert [op.conflict.id if op.conflict else None for op in operations] == [None, *[conflict.id] * 4]
    fact, *_ = [event for event in await world.events(visit) if event.accepted_as is AcceptedAs.FACT]
    assert (fact.to_status, fact.occurred_at) == (A.ACCEPTED, at(0))
    assert len(await world.events(visit)) == 7


async def test_the_same_visit_pushed_step_by_step_is_still_one_conflict(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    for step in a_visit(visit)[1:]:
        await world.offline(technician.actor, base, step)
    (conflict,) = await world.conflicts()
    assert (conflict.mine["status"], conflict.command) == ("COMPLETED", "completeAppointment")
    assert (await world.read(WorkOrder, visit.work_order_id)).status is W.COMPLETED


async def reassigned(world: World) -> tuple[Technician, Technician, Appointment, int]:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first)
    base = await world.house.seq()
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=second.id)
    return first, second, visit, base


async def test_a_visit_by_the_former_technician_counts_and_opens_a_conflict(world: World) -> None:
    first, second, visit, base = await reassigned(world)
    await world.offline(first.actor, base, *a_visit(visit))
    found = await world.read(Appointment, visit.id)
    assert (found.status, found.work_minutes) == (A.COMPLETED, 10)
    (conflict,) = await world.conflicts()
    assert conflict.kind is VISIT_ON_REASSIGNED_APPOINTMENT
    assert conflict.theirs["technicianIds"] == [str(second.id)]
    assert conflict.mine["technicianId"] == conflict.base["technicianId"] == str(first.id)
    assert {event.technician_id for event in await world.events(visit)} == {None, first.id}


async def test_the_new_technician_can_still_make_the_visit(world: World) -> None:
    """The first technician set out before learning of it, which does not stop the second."""
    first, second, visit, base = await reassigned(world)
    await world.offline(first.actor, base, *a_visit(visit)[1:3])
    for name, minute in (
        ("startTravel", 5),
        ("arriveOnSite", 30),
        ("startWork", 35),
        ("completeAppointment", 60),
    ):
        await world.house.run(name, second.actor, appointmentId=visit.id, at=at(minute))
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED
    assert len(await world.conflicts()) == 1


async def test_a_visit_on_an_appointment_reassigned_and_canceled_is_one_conflict(world: World) -> None:
    first, second, visit, base = await reassigned(world)
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    await world.offline(first.actor, base, *a_visit(visit))
    (conflict,) = await world.conflicts()
    assert conflict.kind is VISIT_ON_CANCELED_APPOINTMENT
    assert conflict.theirs["technicianIds"] == [str(second.id)]
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED


async def test_a_visit_on_a_recalled_appointment_counts_as_out_of_step(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("recallAppointment", appointmentId=visit.id)
    await world.offline(technician.actor, base, *a_visit(visit)[1:])
    (conflict,) = await world.conflicts()
    assert (conflict.kind, conflict.theirs["status"]) == (VISIT_OUT_OF_STEP, "SCHEDULED")
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED


async def test_late_facts_about_a_finished_visit_are_kept_without_moving_it(world: World) -> None:
    first, second, visit, base = await reassigned(world)
    await world.house.run("startWork", second.actor, appointmentId=visit.id, at=at(0))
    await world.house.run(
        "cannotCompleteAppointment", second.actor, appointmentId=visit.id, at=at(5), reason="Demo locked door"
    )
    (operation,) = await world.offline(first.actor, base, a_visit(visit)[3])
    found = await world.read(Appointment, visit.id)
    assert (found.status, found.outcome) == (A.CANNOT_COMPLETE, "Demo locked door")
    assert operation.lost == ["status"]
    assert (await world.events(visit))[-1].technician_id == first.id
    assert len(await world.conflicts()) == 1


async def test_accepting_or_rejecting_a_canceled_visit_does_not_revive_it(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    for name, more in (("acceptAppointment", {}), ("rejectAppointment", {"reason": "Demo ill"})):
        payload = {"appointmentId": visit.id, "at": at(0), **more}
        (operation,) = await world.offline(technician.actor, base, (name, payload))
        assert operation.lost == ["status"]
    assert (await world.read(Appointment, visit.id)).status is A.CANCELED
    assert await world.conflicts() == []
    assert len(await world.events(visit)) == 4


async def test_a_plan_that_still_fits_raises_no_conflict(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("recallAppointment", appointmentId=visit.id)
    await world.house.run("dispatchAppointment", appointmentId=visit.id)
    await world.offline(technician.actor, base, *a_visit(visit))
    assert await world.conflicts() == []
    assert (await world.read(Appointment, visit.id)).status is A.COMPLETED


async def test_a_step_out_of_order_is_refused_when_the_plan_is_unchanged(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    with pytest.raises(TransitionNotAllowed, match="EN_ROUTE"):
        await world.offline(technician.actor, await world.house.seq(), a_visit(visit)[4])
    with pytest.raises(TransitionNotAllowed):
        await world.house.run("pauseWork", technician.actor, appointmentId=visit.id, at=at(0))
    assert await world.conflicts() == []


async def test_a_canceled_visit_is_refused_online(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    with pytest.raises(TransitionNotAllowed, match="final"):
        await world.house.run("startTravel", technician.actor, appointmentId=visit.id, at=at(0))


async def test_a_step_on_another_technicians_visit_is_not_found(world: World) -> None:
    first, _second, visit, base = await reassigned(world)
    stranger = await world.technician()
    for actor, since in ((first.actor, None), (stranger.actor, base), (stranger.actor, None)):
        with pytest.raises(NotFound):
            await (
                world.house.run("startTravel", actor, appointmentId=visit.id, at=at(0))
                if since is None
                else world.offline(actor, since, a_visit(visit)[1])
            )
    assert len(await world.events(visit)) == 1


async def test_two_technicians_on_one_visit_do_not_conflict(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first, second)
    base = await world.house.seq()
    await world.offline(first.actor, base, *a_visit(visit))
    await world.offline(second.actor, base, *a_visit(visit))
    found = await world.read(Appointment, visit.id)
    assert (found.status, found.travel_minutes, found.work_minutes) == (A.COMPLETED, 20, 20)
    assert await world.conflicts() == []


async def test_a_technician_on_the_way_to_a_colleague_cannot_accept_the_visit_again(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first, second)
    accept, travel, arrive, *_ = a_visit(visit)
    for technician, steps in ((first, (accept, travel, arrive)), (second, (accept, travel))):
        await world.offline(technician.actor, await world.house.seq(), *steps)
    with pytest.raises(TransitionNotAllowed):
        await world.offline(second.actor, await world.house.seq(), accept)


async def test_a_new_clash_after_the_decision_opens_another_conflict(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    await world.offline(technician.actor, base, a_visit(visit)[1])
    (conflict,) = await world.conflicts()
    await world.house.run("resolveConflict", conflictId=conflict.id)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo again")
    await world.offline(technician.actor, base, a_visit(visit)[2])
    assert [found.status for found in await world.conflicts()] == ["RESOLVED", "OPEN"]


async def test_a_colleagues_step_does_not_change_the_first_technicians_conflict(world: World) -> None:
    first, second = await world.technician(), await world.technician()
    visit = await world.visit(first, second)
    base = await world.house.seq()
    await world.house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    for technician in (first, second):
        await world.offline(technician.actor, base, a_visit(visit)[1])
    (conflict,) = await world.conflicts()
    assert (conflict.actor_id, conflict.mine["technicianId"]) == (first.actor.id, str(first.id))


async def test_a_step_recorded_by_the_office_counts_for_the_lead_technician(world: World) -> None:
    technician = await world.technician()
    visit = await world.visit(technician)
    await world.house.run("startTravel", "DISPATCHER", appointmentId=visit.id, at=at(0))
    assert (await world.events(visit))[-1].technician_id == technician.id


async def test_a_time_without_a_zone_and_impossible_coordinates_are_refused(world: World) -> None:
    from tournee.kernel.errors import Invalid

    visit = await world.visit(await world.technician())
    places = [{"latitude": 90.1}, {"latitude": -90.1}, {"longitude": 180.1}, {"longitude": -180.1}]
    off: list[dict[str, Any]] = [{"at": at(0), **place} for place in places]
    for payload in [{"at": "2026-11-23T09:00:00"}, {}, *off]:
        with pytest.raises(Invalid):
            await world.house.run("startTravel", appointmentId=visit.id, **payload)
    with pytest.raises(NotFound):
        await world.house.run("startTravel", appointmentId=uuid4(), at=at(0))
    await world.house.run("startTravel", appointmentId=visit.id, at=at(0), latitude=-90, longitude=180)
