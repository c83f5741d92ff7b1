"""Which changes share a conflict, which have separate ones, and which merge without one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World, at
from tournee.customers.models import Contact, Customer
from tournee.kernel.conflict import Conflict

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def clashes(house: House) -> list[Conflict]:
    return await World(house).conflicts()


async def device_of(house: House) -> TestDevice:
    made = TestDevice(house, actor=await house.account("MANAGER"))
    await made.pull()
    return made


async def customer(house: House) -> UUID:
    made = await house.run("createCustomer", name="Demo Hotel", phone="0", email="0@demo.example", tags=["a"])
    return UUID(str(made.id))


async def test_each_technician_on_a_canceled_visit_has_their_own_conflict(house: House) -> None:
    world = await World(house).settle()
    crew = [await world.technician() for _ in range(2)]
    visit = await world.visit(*crew)
    devices = [TestDevice(house, actor=technician.actor) for technician in crew]
    for device in devices:
        device.id = device.actor.device_id or device.id
        await device.pull()
    await house.run("cancelAppointment", appointmentId=visit.id, reason="Demo")
    for _ in range(2):
        for device, minutes in zip(devices, (0, 5), strict=True):
            await device.do("startTravel", appointmentId=visit.id, at=at(minutes))
    found = await world.conflicts()
    assert sorted(row.actor_id for row in found) == sorted(technician.actor.id for technician in crew)


async def test_each_device_has_its_own_conflict_about_a_field(house: House) -> None:
    id = await customer(house)
    devices = [await device_of(house) for _ in range(2)]
    await house.run("updateCustomer", customerId=id, phone="office")
    for device, phone in zip(devices, ("one", "two"), strict=True):
        assert (await device.do("updateCustomer", customerId=id, phone=phone)).status == "merged"
    assert [row.mine for row in await clashes(house)] == [{"phone": "one"}, {"phone": "two"}]


async def test_a_decided_conflict_is_not_updated(house: House) -> None:
    id, device = await customer(house), await device_of(house)
    await house.run("updateCustomer", customerId=id, phone="office")
    await device.do("updateCustomer", customerId=id, phone="one")
    (first,) = await clashes(house)
    await house.run("resolveConflict", conflictId=first.id, resolution="ACKNOWLEDGED")
    await house.run("updateCustomer", customerId=id, phone="office again")
    await device.do("updateCustomer", customerId=id, phone="two")
    kept = {row.id: row.mine for row in await clashes(house)}
    assert kept.pop(first.id) == {"phone": "one"}
    assert list(kept.values()) == [{"phone": "two"}]


async def test_a_clash_about_another_field_opens_another_conflict(house: House) -> None:
    id, device = await customer(house), await device_of(house)
    await house.run("updateCustomer", customerId=id, phone="office", email="office@demo.example")
    await device.do("updateCustomer", customerId=id, phone="one")
    await device.do("updateCustomer", customerId=id, phone="two", email="two@demo.example")
    told: list[Any] = [row.mine for row in await clashes(house)]
    assert told == [{"phone": "one"}, {"email": "two@demo.example"}]


@pytest.mark.parametrize(
    ("office", "device", "both"),
    [
        (["a", "b"], ["a", "b", "c"], ["a", "b", "c"]),
        (["a", "b"], ["a", "c", "c"], ["a", "b", "c"]),
        ([], ["a", "c"], ["c"]),
        (["a", "b"], [], ["b"]),
    ],
)
async def test_a_merged_set_has_every_addition_and_no_removed_value(
    house: House, office: list[str], device: list[str], both: list[str]
) -> None:
    id, away = await customer(house), await device_of(house)
    await house.run("updateCustomer", customerId=id, tags=office)
    await away.do("updateCustomer", customerId=id, tags=device)
    assert (await World(house).read(Customer, id)).tags == both
    assert await clashes(house) == []


async def test_an_office_device_restores_a_record_deleted_after_its_base(house: House) -> None:
    id = await customer(house)
    contact = await house.run("createContact", customerId=id, name="Demo Porter")
    away = await device_of(house)
    talk = {"customerId": id, "contactId": contact.id, "channel": "VISIT", "direction": "INBOUND"}
    await house.run("deleteContact", contactId=contact.id)
    outcome = await away.do("recordInteraction", **talk, subject="Demo", at=at(0))
    assert (outcome.status, outcome.code) == ("merged", None)
    assert not (await World(house).read(Contact, contact.id)).deleted
    await house.run("deleteContact", contactId=contact.id)
    await away.pull()
    outcome = await away.do("recordInteraction", **talk, subject="Demo", at=at(1))
    assert (outcome.status, outcome.code) == ("rejected", "NOT_FOUND")
