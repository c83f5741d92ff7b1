"""Push: each operation takes effect exactly once, and a bad one does not affect the others."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, select, update

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.customers.models import Contact, Customer
from tournee.kernel.conflict import Conflict
from tournee.kernel.log import Change, Head
from tournee.sync.models import Receipt


@pytest.fixture
def device(house: House) -> TestDevice:
    """Return a manager's device, which may do everything offline."""
    return TestDevice(house, "MANAGER")


async def count(house: House, model: type[object]) -> int:
    async with house.reading() as session:
        rows = (
            select(func.count())
            .select_from(model)
            .where(
                model.organisation_id == house.organisation_id  # type: ignore[attr-defined]
            )
        )
        return await session.scalar(rows) or 0


async def test_an_operation_pushed_twice_takes_effect_once(house: House, device: TestDevice) -> None:
    operation = device.operation("createCustomer", name="Demo Hotel")
    first, second = (await device.push(operation))[0], (await device.push(operation))[0]
    assert (first.status, second.status) == ("applied", "duplicate")
    assert (first.seq, first.record_id) == (second.seq, second.record_id)
    assert await count(house, Customer) == 1


async def test_receipts_of_earlier_versions_are_recognised(house: House, device: TestDevice) -> None:
    operation = device.operation("createCustomer", name="Demo Hotel")
    (first,) = await device.push(operation)
    async with house.writing() as session:
        own = Receipt.operation_id == UUID(operation["id"])
        stored = orjson.loads(await session.scalar(select(Receipt.outcome).where(own)) or "")
        assert stored.keys() == {"entity", "record_id"}
        # They named these a second time.
        whole = stored | {"id": operation["id"], "status": "applied", "seq": first.seq}
        await session.execute(update(Receipt).where(own).values(outcome=orjson.dumps(whole).decode()))
        await session.commit()
    (second,) = await device.push(operation)
    assert (second.id, second.status, second.seq, second.record_id) == (
        operation["id"],
        "duplicate",
        first.seq,
        first.record_id,
    )


async def test_an_operation_repeated_in_one_batch_takes_effect_once(house: House, device: TestDevice) -> None:
    operation = device.operation("createCustomer", name="Demo Hotel")
    await device.push(operation, operation)
    assert await count(house, Customer) == 1


async def test_an_id_reused_with_other_content_is_refused(house: House, device: TestDevice) -> None:
    operation = device.operation("createCustomer", name="Demo Hotel")
    await device.push(operation)
    (outcome,) = await device.push(operation | {"input": {"name": "Another"}})
    assert (outcome.status, outcome.code) == ("rejected", "OPERATION_REUSED")
    assert await count(house, Customer) == 1


async def test_one_bad_operation_never_blocks_the_next(house: House, device: TestDevice) -> None:
    outcomes = await device.push(
        device.operation("createCustomer", name="First"),
        device.operation("createCustomer", nam="typo"),
        device.operation("updateCustomer", customerId=uuid4(), phone="1"),
        device.operation("launchRocket"),
        device.operation("createExpectation"),
        "nonsense",
        {"id": "7", "number": 3},
        device.operation("createCustomer", name="Last"),
    )
    assert [outcome.code for outcome in outcomes] == [
        None,
        "INVALID",
        "NOT_FOUND",
        "UNKNOWN_COMMAND",
        "NOT_OFFLINE",
        "INVALID",
        "INVALID",
        None,
    ]
    assert await count(house, Customer) == 2


async def test_a_refused_operation_stays_refused_when_pushed_again(device: TestDevice) -> None:
    operation = device.operation("updateCustomer", customerId=uuid4(), phone="1")
    first, again = (await device.push(operation))[0], (await device.push(operation))[0]
    assert (first.status, first.code) == (again.status, again.code) == ("rejected", "NOT_FOUND")


async def test_a_unit_applies_all_or_nothing(house: House, device: TestDevice) -> None:
    unit, customer = uuid4(), uuid4()
    outcomes = await device.push(
        device.operation("createCustomer", unit=unit, id=customer, name="Demo Hotel"),
        device.operation("createContact", unit=unit, customerId=customer, name="Reception"),
        device.operation("createContact", unit=unit, customerId=uuid4(), name="Nobody's"),
        device.operation("createCustomer", name="Stands alone"),
    )
    assert [outcome.code for outcome in outcomes] == ["UNIT_REFUSED", "UNIT_REFUSED", "NOT_FOUND", None]
    assert (await count(house, Customer), await count(house, Contact)) == (1, 0)


async def test_a_child_may_follow_its_parent_in_the_same_batch(house: House, device: TestDevice) -> None:
    customer = uuid4()
    outcomes = await device.push(
        device.operation("createCustomer", id=customer, name="Demo Hotel"),
        device.operation("createContact", customerId=customer, name="Reception"),
        device.operation("updateCustomer", customerId=customer, phone="1"),
    )
    assert [outcome.status for outcome in outcomes] == ["applied"] * 3


async def test_an_operation_after_a_gap_waits_for_the_missing_one(house: House, device: TestDevice) -> None:
    first = device.operation("createCustomer", name="First")
    missing = device.operation("createCustomer", name="Missing")
    third = device.operation("createCustomer", name="Third")
    await device.push(first)
    answer = await device.push_all([third])
    assert (answer.outcomes[0].status, answer.next_number) == ("parked", 2)
    assert await count(house, Customer) == 1
    answer = await device.push_all([missing])
    assert answer.next_number == 4
    assert await count(house, Customer) == 3
    (outcome,) = await device.push(third)
    assert outcome.status == "duplicate"


async def test_edits_of_different_fields_merge(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, phone="office")
    outcome = await device.do("updateCustomer", customerId=customer.id, email="device@demo.example")
    await device.pull()
    row = device.rows[customer.id]
    assert (outcome.status, outcome.conflict) == ("merged", None)
    assert (row["phone"], row["email"]) == ("office", "device@demo.example")


async def test_edits_of_one_field_leave_a_conflict_with_base_mine_and_theirs(
    house: House, device: TestDevice
) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel", phone="before")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, phone="office")
    outcome = await device.do("updateCustomer", customerId=customer.id, phone="device")
    async with house.reading() as session:
        conflict = await session.scalar(
            select(Conflict).where(Conflict.organisation_id == house.organisation_id)
        )
    assert conflict is not None
    assert (outcome.status, outcome.conflict) == ("merged", str(conflict.id))
    assert (conflict.base, conflict.mine, conflict.theirs) == (
        {"phone": "before"},
        {"phone": "device"},
        {"phone": "office"},
    )


async def test_a_devices_own_earlier_edit_is_no_conflict(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    await device.pull()
    first = device.operation("updateCustomer", customerId=customer.id, phone="1")
    second = device.operation("updateCustomer", customerId=customer.id, phone="2")
    (one,) = await device.push(first)
    (two,) = await device.push(second)
    assert (one.conflict, two.conflict, two.status) == (None, None, "applied")


async def test_a_second_edit_in_the_same_batch_does_not_conflict_with_the_first(
    house: House, device: TestDevice
) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, phone="office")
    one, two = await device.push(
        device.operation("updateCustomer", customerId=customer.id, phone="1"),
        device.operation("updateCustomer", customerId=customer.id, phone="2"),
    )
    assert one.conflict is not None
    assert (two.conflict, two.status) == (None, "applied")


async def test_with_first_wins_the_later_value_waits_in_the_inbox(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, externalKey="office")
    outcome = await device.do("updateCustomer", customerId=customer.id, externalKey="device")
    await device.pull()
    assert (outcome.status, outcome.fields) == ("superseded", ["externalKey"])
    assert outcome.conflict is not None
    assert device.rows[customer.id]["externalKey"] == "office"


async def test_edits_of_a_set_are_merged(house: House, device: TestDevice) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel", tags=["a"])
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, tags=["a", "office"])
    outcome = await device.do("updateCustomer", customerId=customer.id, tags=["a", "device"])
    await device.pull()
    assert outcome.conflict is None
    assert device.rows[customer.id]["tags"] == ["a", "office", "device"]


async def test_one_batch_pushed_twice_at_once_applies_once(house: House, device: TestDevice) -> None:
    batch = [device.operation("createCustomer", name=f"Customer {n}") for n in range(10)]
    answers = await asyncio.gather(*(device.push(*batch) for _ in range(4)))
    assert await count(house, Customer) == 10
    statuses = [outcome.status for outcomes in answers for outcome in outcomes]
    assert (statuses.count("applied"), statuses.count("duplicate")) == (10, 30)


async def test_the_log_has_no_gaps_and_records_who_did_what(house: House, device: TestDevice) -> None:
    await device.push(*(device.operation("createCustomer", name=f"Customer {n}") for n in range(3)))
    await device.push(
        device.operation("createCustomer", nam="typo"), device.operation("createCustomer", name="x")
    )
    async with house.reading() as session:
        changes = (
            await session.scalars(
                select(Change).where(Change.organisation_id == house.organisation_id).order_by(Change.seq)
            )
        ).all()
        head = await session.scalar(select(Head.seq).where(Head.organisation_id == house.organisation_id))
    assert [change.seq for change in changes] == list(range(1, 6))
    assert head == 5
    assert {(change.actor_id, change.device_id, change.command) for change in changes} == {
        (device.actor.id, device.id, command) for command in ("createCustomer", "pushOperations")
    }
