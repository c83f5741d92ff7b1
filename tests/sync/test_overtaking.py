"""What waited and goes on late takes back nothing that its device did after it."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.house import House
from tests.sync.device import TestDevice
from tournee.catalogue import COMMANDS
from tournee.customers.models import Contact
from tournee.kernel.conflict import Conflict
from tournee.kernel.database import new_id
from tournee.sync.messages import Outcome
from tournee.sync.push import push


class Reception:
    """A contact that a device edits, first to put it at a site that it lacks so far."""

    def __init__(self, house: House, device: TestDevice, customer: UUID, contact: UUID) -> None:
        self.house = house
        self.device = device
        self.customer = customer
        self.contact = contact
        self.site = new_id()

    def edit(self, **values: Any) -> dict[str, Any]:
        return self.device.operation("updateContact", contactId=self.contact, **values)

    def made(self) -> dict[str, Any]:
        return self.device.operation("createSite", id=self.site, customerId=self.customer, name="Demo House")

    async def hits_a_bug(self, *operations: Any) -> list[Outcome]:
        async def crash(*_: Any) -> Any:
            raise ZeroDivisionError

        name = "updateContact"
        commands = COMMANDS | {name: dataclasses.replace(COMMANDS[name], name="broken", function=crash)}
        kernel, actor = self.house.kernel, self.device.actor
        return (await push(kernel, commands, actor, self.device.id, list(operations))).outcomes

    async def now(self) -> tuple[Any, ...]:
        async with self.house.reading() as session:
            row = await session.get_one(Contact, (self.house.organisation_id, self.contact))
            return row.phone, row.email, row.site_id

    async def conflicts(self) -> list[Conflict]:
        async with self.house.reading() as session:
            own = Conflict.organisation_id == self.house.organisation_id
            return list(await session.scalars(select(Conflict).where(own)))


async def hand_in(device: TestDevice, work: list[dict[str, Any]], together: bool) -> None:
    """What waits first; then what was done later, with what that waits for or before it."""
    await device.push(work[0])
    for operations in [work[1:]] if together else [[one] for one in work[1:]]:
        await device.push(*operations)


@pytest_asyncio.fixture
async def reception(house: House) -> Reception:
    customer = await house.run("createCustomer", name="Demo Hotel")
    contact = await house.run("createContact", customerId=customer.id, name="Demo Reception", phone="0")
    device = TestDevice(house, actor=await house.account("MANAGER"))
    made = Reception(house, device, customer.id, contact.id)
    await made.device.pull()
    return made


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_a_child_that_goes_on_keeps_what_its_device_wrote_since(
    reception: Reception, together: bool
) -> None:
    first = reception.edit(siteId=reception.site, phone="first", email="first@demo.example")
    work = [first, reception.edit(phone="second"), reception.made()]
    await hand_in(reception.device, work, together)
    assert await reception.now() == ("second", "first@demo.example", reception.site)
    assert await reception.conflicts() == []
    (told,) = await reception.device.push(first)
    assert (told.status, list(told.fields)) == ("duplicate", ["phone"])


async def test_what_hit_a_bug_and_is_tried_again_comes_after_nothing_that_was_done_later(
    reception: Reception,
) -> None:
    (told,) = await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    assert told.status == "parked"
    await reception.device.push(reception.edit(phone="second"))
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_what_the_office_lets_go_on_after_a_quarantine_comes_after_nothing_that_was_done_later(
    reception: Reception,
) -> None:
    await reception.hits_a_bug(reception.edit(phone="first", email="first@demo.example"))
    await reception.hits_a_bug()
    await reception.device.push(reception.edit(phone="second"))
    (entry,) = await reception.conflicts()
    await reception.house.run("resolveConflict", "MANAGER", conflictId=entry.id, resolution="RETRY")
    assert await reception.now() == ("second", "first@demo.example", None)


async def test_what_it_did_before_is_no_hindrance(reception: Reception) -> None:
    await reception.device.push(reception.edit(phone="earlier"))
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    await reception.device.push(reception.made())
    assert await reception.now() == ("first", None, reception.site)


async def test_another_device_of_the_same_person_is_another(reception: Reception) -> None:
    """Its numbers are its own: the two have changed the same field, and somebody decides."""
    other = TestDevice(reception.house, actor=reception.device.actor)
    await other.pull()
    await reception.device.push(reception.edit(siteId=reception.site, phone="first"))
    other.number = 7
    await other.do("updateContact", contactId=reception.contact, phone="theirs")
    await reception.device.push(reception.made())
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "first"}, {"phone": "theirs"})


@pytest.mark.parametrize("together", [True, False], ids=["with its parent", "before its parent"])
async def test_in_the_inbox_the_later_word_stays(reception: Reception, together: bool) -> None:
    """The office has changed the field as well, and what the device wrote last is what it wants."""
    await reception.house.run("updateContact", contactId=reception.contact, phone="office")
    work = [reception.edit(siteId=reception.site, phone="first"), reception.edit(phone="second")]
    work.append(reception.made())
    await hand_in(reception.device, work, together)
    (conflict,) = await reception.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "second"}, {"phone": "office"})
    assert await reception.now() == ("second", None, reception.site)
