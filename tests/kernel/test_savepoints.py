"""A rolled back savepoint undoes rows and notes, and forgets what it read of unlocked rows."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from tests.support.house import House, transaction
from tournee.assets.models import Asset
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid
from tournee.kernel.log import Head, Record
from tournee.kernel.transaction import Operation, Transaction


async def refused_after_looking(tx: Transaction, operation: Operation, customer: UUID) -> None:
    """Run an operation that reads a record, compares it with the device's base, and is refused."""
    with contextlib.suppress(Invalid):
        async with tx.savepoint(), tx.running(operation):
            row = await tx.find(Customer, customer)
            await tx.changed_since_base(row)
            row.notes = "Demo"
            raise Invalid("Demo")


async def test_a_conflict_with_a_change_made_after_a_refusal_in_the_same_push_is_detected(
    house: House, database_url: str
) -> None:
    """The refused operation released its locks, so the record could change again."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")
    customer = await house.run("createCustomer", name="Demo Hotel", phone="before")
    async with house.reading() as session:
        own = Head.organisation_id == house.organisation_id
        base = (await session.execute(select(Head.seq).where(own))).scalar_one()
    device = {"device_id": new_id(), "base": base}
    update = COMMANDS["updateCustomer"]
    edit = Operation(update.name, now(), id=new_id(), **device)
    async with transaction(house) as tx:
        await refused_after_looking(tx, Operation("x", now(), id=new_id(), **device), customer.id)
        await house.run("updateCustomer", customerId=customer.id, phone="office", email="demo@demo.example")
        await update.run(tx, update.parse({"customerId": str(customer.id), "phone": "device"}), edit)
        await tx.commit()
    assert edit.conflict is not None
    assert edit.conflict.theirs == {"phone": "office"}
    async with house.reading() as session:
        clock: Any = await session.scalar(select(Record.clock).where(Record.id == customer.id))
    assert '"email"' in clock


async def test_a_rolled_back_savepoint_restores_the_notes(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    async with transaction(house) as tx:
        await refused_after_looking(tx, Operation("x", now()), customer.id)
        assert (tx.notes.handed, tx.notes.flushed, tx.entries) == (set(), set(), [])
        assert not tx.clocks.find(customer.id)
        assert await tx.commit() is None
    assert len(await house.changes(customer.id)) == 1


async def test_a_technician_finds_a_record_created_before_a_savepoint(house: House) -> None:
    """No edge shows it to the technician yet, and the savepoint made the session forget it."""
    customer = await house.run("createCustomer", name="Demo Hotel")
    async with house.writing() as session:
        tx = Transaction(house.database, session, house.actor("TECHNICIAN"), house.kernel.rules)
        async with tx.running(Operation("made", now())):
            made = (await tx.add(Asset(name="Demo", customer_id=customer.id))).id
        with contextlib.suppress(Invalid):
            async with tx.savepoint(), tx.running(Operation("refused", now())):
                (await tx.find(Asset, made)).name = "Demo refused"
                await tx.flush()
                raise Invalid("Demo")
        async with tx.running(Operation("edited", now())):
            (await tx.find(Asset, made)).notes = "Demo"
        await tx.commit()
    changes = await house.changes(made)
    assert [one.command for one in changes] == ["made", "edited"]
    assert '"name":"Demo"' in str(changes[0].after)
