"""Work on rows from a page of an unfinished pull."""

from __future__ import annotations

from datetime import timedelta

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.kernel.entity import now


async def test_a_fact_about_a_record_seen_only_during_an_unfinished_pull_is_applied(house: House) -> None:
    actor = await house.account("TECHNICIAN")
    technician = await house.run("createTechnician", name="Demo Technician", accountId=actor.id)
    device = TestDevice(house, actor=actor)
    await device.pull()
    customer = await house.run("createCustomer", name="Demo Hotel")
    order = await house.run("createWorkOrder", customerId=customer.id, summary="Work")
    starts = now() + timedelta(hours=1)
    times = {"startsAt": starts, "endsAt": starts + timedelta(hours=1)}
    visit = await house.run("createAppointment", workOrderId=order.id, **times)
    assigned = {"appointmentId": visit.id, "technicianId": technician.id}
    await house.run("assignTechnician", **assigned)
    # A page here would bring the visit without a checkpoint; then the office unassigns it.
    await house.run("unassignTechnician", **assigned)
    outcome = await device.do("addNote", appointmentId=visit.id, text="Nobody there")
    assert outcome.code is None


async def test_only_a_complete_page_has_a_checkpoint(house: House) -> None:
    device = TestDevice(house, "MANAGER")
    await house.run("createCustomer", name="Demo Hotel")
    first = await device.feed.pull(device.actor, None)
    for number in range(4):
        await house.run("createCustomer", name=f"Customer {number}")
    page = await device.feed.pull(device.actor, first.cursor, 3)
    rest = await device.feed.pull(device.actor, page.cursor, 3)
    assert (first.checkpoint, page.checkpoint, rest.checkpoint) == (1, None, 5)
