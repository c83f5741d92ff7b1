"""Many rows in one transaction: loaded and reserved by one statement, and nothing escapes the log."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import event

from tests.house import House
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.kernel.database import UnloggedWrite, now
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.transaction import Operation, Transaction

CREATE, UPDATE = COMMANDS["createCustomer"], COMMANDS["updateCustomer"]


def operation(name: str) -> Operation:
    return Operation(name, now())


async def test_rows_loaded_ahead_are_found_without_a_statement(house: House) -> None:
    ids = [(await house.run("createCustomer", name=f"Demo {number}")).id for number in range(20)]
    statements: list[str] = []
    event.listen(
        house.database.engine.sync_engine, "before_cursor_execute", lambda *a: statements.append(a[2])
    )

    async def work(tx: Transaction) -> None:
        await tx.preload(Customer, ids)
        asked = len(statements)
        for id in ids:
            await UPDATE.run(tx, UPDATE.input(customer_id=id, phone="1"), operation("updateCustomer"))
        assert len(statements) == asked

    await house.kernel.transact(house.actor(), work)
    assert [len(await house.changes(id)) for id in ids] == [2] * 20


async def test_loading_ahead_shows_nobody_what_they_may_not_see(house: House) -> None:
    hidden = await house.run("createCustomer", name="Demo Hotel")

    async def work(tx: Transaction) -> None:
        assert await tx.preload(Customer, [hidden.id]) == {}
        tx.operation = operation("updateCustomer")
        with pytest.raises(NotFound):
            await tx.find(Customer, hidden.id)

    await house.kernel.transact(house.actor("TECHNICIAN"), work)


async def test_a_reserved_id_can_be_used_once(house: House) -> None:
    known = await house.run("createCustomer", name="Demo Hotel")
    free = uuid4()

    async def work(tx: Transaction) -> None:
        assert await tx.ahead.reserve([known.id, free]) == {known.id}
        await CREATE.run(tx, CREATE.input(id=free, name="Demo Inn"), operation("createCustomer"))
        for taken in (known.id, free):
            with pytest.raises(Invalid, match="in use"):
                await CREATE.run(tx, CREATE.input(id=taken, name="Demo Bar"), operation("createCustomer"))

    await house.kernel.transact(house.actor(), work)


async def test_a_free_value_can_be_claimed_once(house: House) -> None:
    await house.run("createCustomer", name="Demo Hotel", externalKey="A")

    async def work(tx: Transaction) -> None:
        await tx.ahead.reserve_values(Customer.external_key, ["A", "B"])
        claims = [tx.ahead.claim(Customer.external_key, key) for key in ("A", "B", "B", "C")]
        assert claims == [False, True, False, False]

    await house.kernel.transact(house.actor(), work)


async def test_a_row_changed_outside_of_a_command_is_not_committed(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")

    async def work(tx: Transaction) -> None:
        rows = await tx.preload(Customer, [customer.id])
        rows[customer.id].name = "Behind the log"

    with pytest.raises(UnloggedWrite):
        await house.kernel.transact(house.actor(), work)
    async with house.reading() as session:
        row = await session.get_one(Customer, (house.organisation_id, customer.id))
    assert row.name == "Demo Hotel"


async def test_a_command_that_changes_a_row_again_and_again_logs_each_time(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")

    async def work(tx: Transaction) -> None:
        for phone in ("1", "2", "2", "3"):
            change = UPDATE.input(customer_id=customer.id, phone=phone)
            await UPDATE.run(tx, change, operation("updateCustomer"))

    await house.kernel.transact(house.actor(), work)
    assert len(await house.changes(customer.id)) == 1 + 3
