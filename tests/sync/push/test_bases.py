"""Invalid bases: beyond the head, or from history that a restored backup lacks."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from tests.support.backups import new_epochs
from tests.support.device import TestDevice, technicians_device, visit
from tests.support.house import House
from tournee.customers.models import Customer
from tournee.engine.horizon import raise_floor
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, Conflict
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import Head
from tournee.sync.devices.restored import begin_anew

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

GREATEST = 2**53 - 1


@pytest.fixture
def device(house: House) -> TestDevice:
    return TestDevice(house, "MANAGER")


async def clashes(house: House) -> list[Conflict]:
    async with house.reading() as session:
        own = (
            Conflict.organisation_id == house.organisation_id,
            Conflict.kind == FIELD_CHANGED_BY_BOTH,
        )
        return list(await session.scalars(select(Conflict).where(*own)))


async def names(house: House) -> set[str]:
    async with house.reading() as session:
        own = Customer.organisation_id == house.organisation_id
        return set(await session.scalars(select(Customer.name).where(own)))


async def customer_the_office_changed(house: House, device: TestDevice) -> UUID:
    customer = await house.run("createCustomer", name="Demo Hotel", phone="before")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, phone="office")
    return UUID(str(customer.id))


async def much_else(house: House, times: int = 10) -> None:
    for turn in range(times):
        await house.run("createSkill", name=f"Skill {turn} {uuid4()}")


def edit(device: TestDevice, customer: UUID) -> dict[str, Any]:
    return device.operation("updateCustomer", customerId=customer, phone="device")


async def test_a_base_beyond_the_head_hides_no_conflict(house: House, device: TestDevice) -> None:
    customer = await customer_the_office_changed(house, device)
    for beyond in (1, GREATEST):
        await house.run("updateCustomer", customerId=customer, phone=f"office {beyond}")
        base = min(await house.seq() + beyond, GREATEST)
        (outcome,) = await device.push(edit(device, customer) | {"base": base})
        assert (outcome.status, outcome.conflict is None) == ("merged", False)


async def test_a_base_at_the_head_is_accepted(house: House, device: TestDevice) -> None:
    customer = await customer_the_office_changed(house, device)
    (outcome,) = await device.push(edit(device, customer) | {"base": await house.seq()})
    assert (outcome.status, outcome.conflict) == ("applied", None)


async def test_a_base_beyond_the_head_stays_invalid_when_the_log_reaches_it(
    house: House, device: TestDevice
) -> None:
    customer = await customer_the_office_changed(house, device)
    await device.do("createSkill", name="First")
    missing = device.operation("createSkill", name="Missing")
    (outcome,) = await device.push(edit(device, customer) | {"base": await house.seq() + 5})
    assert outcome.status == "parked"
    await much_else(house)
    await device.push(missing)
    assert len(await clashes(house)) == 1


async def test_a_retry_from_the_inbox_keeps_its_invalid_base(house: House) -> None:
    actor = await house.account("MANAGER")
    device, customer = TestDevice(house, actor=dataclasses.replace(actor, device_id=None)), uuid4()
    (outcome,) = await device.push(edit(device, customer) | {"base": await house.seq() + 5})
    assert outcome.status == "rejected"
    await house.run("createCustomer", id=customer, name="Demo Hotel", phone="office")
    await much_else(house)
    await house.run("resolveConflict", conflictId=outcome.conflict, resolution="RETRY")
    assert len(await clashes(house)) == 1


async def test_work_recorded_in_lost_history_is_accepted_and_its_conflict_detected(
    house: House, device: TestDevice
) -> None:
    customer = await customer_the_office_changed(house, device)
    # It saw the office's change, which the backup lacks.
    queued = edit(device, customer) | {"base": await house.seq() + 5}
    await begin_anew(house.database)
    await house.run("updateCustomer", customerId=customer, phone="office again")
    await much_else(house)
    (outcome,) = await device.push(queued)
    assert (outcome.status, len(await clashes(house))) == ("merged", 1)
    await device.pull()
    (after,) = await device.push(edit(device, customer))
    assert after.status == "applied"


async def test_a_base_from_before_the_backup_is_still_valid(house: House, device: TestDevice) -> None:
    customer = await customer_the_office_changed(house, device)
    await device.pull()
    queued = edit(device, customer)
    await begin_anew(house.database)
    (outcome,) = await device.push(queued)
    assert (outcome.status, outcome.conflict) == ("applied", None)


async def test_restoring_one_backup_twice_reuses_no_number(house: House) -> None:
    await house.run("createSkill", name="Lifts")
    stood = await house.seq()
    await begin_anew(house.database)
    await house.run("createSkill", name="Doors")
    given = await house.seq()
    async with house.database.writing(house.organisation_id) as session:
        own = Head.organisation_id == house.organisation_id
        await session.execute(update(Head).where(own).values(seq=stood))
        await session.commit()
    await begin_anew(house.database)
    assert await house.seq() > given


async def test_a_step_that_follows_a_lost_one_is_applied_with_a_conflict(house: House) -> None:
    device = await technicians_device(house)
    appointment, _ = await visit(house, device)
    await device.pull()
    step = {"appointmentId": appointment, "at": now()}
    await begin_anew(house.database)
    await house.run("createSkill", name="Lifts")
    # It knows the state at the backup, so nothing was lost before this step.
    refused = await device.do("pauseWork", **step)
    assert (refused.status, refused.code) == ("rejected", "TRANSITION_NOT_ALLOWED")
    # It saw that work had begun, which the backup lacks.
    device.base += 5
    taken = await device.do("pauseWork", **step)
    assert (taken.status, bool(taken.conflict)) == ("merged", True)


async def test_numbers_decided_in_lost_history_leave_no_gap(house: House, device: TestDevice) -> None:
    await device.do("createCustomer", name="1")
    device.number += 1
    third = device.operation("createCustomer", name="3")
    assert (await device.push(third))[0].status == "parked"
    # The second and the fourth to sixth were decided, so they are not sent again.
    device.number += 3
    await begin_anew(house.database)
    answer = await device.push_all([device.operation("createCustomer", name="7")])
    assert (answer.outcomes[0].status, answer.next_number) == ("applied", 8)
    assert await names(house) == {"1", "3", "7"}
    assert (await device.push(third))[0].status == "duplicate"


async def test_numbers_skipped_after_a_restore_do_not_move_the_horizon(house: House) -> None:
    await house.run("createSkill", name="Lifts")
    await new_epochs(house.database)
    last = await house.run("createSkill", name="Doors")
    (change,) = await house.changes(last.id)
    yesterday, tomorrow = now() - timedelta(days=1), now() + timedelta(days=1)
    assert await raise_floor(house.database, house.organisation_id, yesterday) == 0
    assert await raise_floor(house.database, house.organisation_id, tomorrow) == change.seq


async def test_a_device_that_begins_a_new_copy_ends_with_a_correct_one(
    house: House, device: TestDevice
) -> None:
    await device.do("createCustomer", id=new_id(), name="Demo Bakery")
    await device.pull()
    await begin_anew(house.database)
    await house.run("createCustomer", name="Demo Hotel")
    await device.pull()
    assert device.rows == await device.fresh()
    assert device.base == await house.seq()
