"""Deletions that conflict with work done in the field."""

from __future__ import annotations

import pytest

from tests.support.clashes import Clashes
from tests.support.device import TestDevice
from tests.support.world import at
from tournee.kernel.conflict import RECORD_DELETED_MEANWHILE

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_a_fact_restores_the_deleted_record_it_names_and_opens_a_conflict(clashes: Clashes) -> None:
    conflict = await clashes.of(RECORD_DELETED_MEANWHILE)
    assert (await clashes.read(clashes.contact)).deleted is False
    assert clashes.contact.id in clashes.device.rows
    assert (conflict.mine, conflict.theirs, conflict.role) == (
        {"deleted": False},
        {"deleted": True},
        "DISPATCHER",
    )
    await clashes.resolve(conflict, "KEEP_THEIRS")
    assert (await clashes.read(clashes.contact)).deleted is True
    last = (await clashes.house.changes(clashes.contact.id))[-1]
    assert last.command == "deleteContact"
    await clashes.device.pull()
    assert clashes.contact.id not in clashes.device.rows


async def test_a_record_that_the_device_deleted_or_never_saw_is_not_restored(clashes: Clashes) -> None:
    await clashes.office("deleteContact", contactId=clashes.contact.id)
    await clashes.device.pull()
    outcome = await clashes.device.do(
        "recordInteraction",
        customerId=clashes.world.customer.id,
        contactId=clashes.contact.id,
        channel="VISIT",
        direction="INBOUND",
        subject="Demo",
        at=at(0),
    )
    assert outcome.code == "NOT_FOUND"


async def an_edit_of_the_deleted(clashes: Clashes) -> TestDevice:
    office = TestDevice(clashes.house, "DISPATCHER")
    await office.pull()
    await clashes.office("deleteContact", "MANAGER", contactId=clashes.contact.id)
    outcome = await office.do("updateContact", contactId=clashes.contact.id, phone="7", jobTitle="Porter")
    assert (outcome.status, sorted(outcome.fields)) == ("superseded", ["jobTitle", "phone"])
    assert outcome.conflict is not None
    return office


async def test_an_edit_of_a_deleted_record_can_be_applied_from_the_inbox(clashes: Clashes) -> None:
    office = await an_edit_of_the_deleted(clashes)
    (conflict,) = await clashes.world.conflicts()
    assert (conflict.mine, conflict.theirs) == ({"phone": "7", "jobTitle": "Porter"}, {"deleted": True})
    assert (await clashes.read(clashes.contact)).deleted is True
    await clashes.resolve(conflict, "TAKE_MINE")
    contact = await clashes.read(clashes.contact)
    assert (contact.deleted, contact.phone, contact.job_title) == (False, "7", "Porter")
    await office.pull()
    assert office.rows[contact.id]["phone"] == "7"
    assert office.rows == await office.fresh()
    # The technician's device has it too, whether or not it received the deletion.
    await clashes.device.pull()
    assert clashes.on_device(contact.id)["phone"] == "7"


async def test_an_edit_of_a_deleted_record_can_be_dismissed(clashes: Clashes) -> None:
    await an_edit_of_the_deleted(clashes)
    (conflict,) = await clashes.world.conflicts()
    await clashes.resolve(conflict, "KEEP_THEIRS")
    assert (await clashes.read(clashes.contact)).deleted is True


async def test_an_online_edit_of_a_deleted_record_is_not_found(clashes: Clashes) -> None:
    office = TestDevice(clashes.house, "DISPATCHER")
    await clashes.office("deleteContact", "MANAGER", contactId=clashes.contact.id)
    await office.pull()
    outcome = await office.do("updateContact", contactId=clashes.contact.id, phone="7")
    assert outcome.code == "NOT_FOUND"
