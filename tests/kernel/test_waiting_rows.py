"""New rows wait outside the unit of work; statements find them, and none is lost."""

from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import select

from tests.support.house import House, transaction
from tournee.customers.models import Customer
from tournee.engine.database import UnloggedWrite
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid
from tournee.kernel.transaction import Operation, Transaction
from tournee.kernel.values import new_row


def demo(**values: object) -> Customer:
    return new_row(Customer, {"id": new_id(), "name": "Demo Bakery", **values})


def some_operation() -> Operation:
    return Operation("test", now())


async def names(house: House) -> set[str]:
    async with house.reading() as session:
        own = Customer.organisation_id == house.organisation_id
        return set(await session.scalars(select(Customer.name).where(own)))


async def test_a_new_row_is_found_by_statements_of_the_same_transaction(house: House) -> None:
    async with transaction(house) as tx:
        async with tx.running(some_operation()):
            row = await tx.add(demo())
            assert await tx.session.scalar(select(Customer).where(Customer.id == row.id)) is row
            row.notes = "changed after it was sent"
        await tx.commit()
    async with house.reading() as session:
        found = await session.get_one(Customer, (house.organisation_id, row.id))
        assert (found.name, found.notes) == ("Demo Bakery", "changed after it was sent")


async def test_a_new_row_changed_before_it_is_sent_is_written_in_its_final_state(house: House) -> None:
    async with transaction(house) as tx:
        async with tx.running(some_operation()):
            row = await tx.add(demo())
        async with tx.running(some_operation()):
            (await tx.find(Customer, row.id)).notes = "later"
        await tx.commit()
        assert tx.documents[row].count('"notes":"later"') == 1
    assert [one.after for one in await house.changes(row.id)][1] == '{"notes":"later"}'
    async with house.reading() as session:
        assert (await session.get_one(Customer, (house.organisation_id, row.id))).notes == "later"


async def test_a_rolled_back_savepoint_drops_unsent_new_rows(house: House) -> None:
    async with transaction(house) as tx:
        async with tx.running(some_operation()):
            await tx.add(demo(name="Demo Mill"))
        with contextlib.suppress(Invalid):
            async with tx.savepoint(), tx.running(some_operation()):
                await _add_and_fail(tx)
        await tx.commit()
    assert await names(house) == {"Demo Mill"}


async def _add_and_fail(tx: Transaction) -> None:
    await tx.add(demo())
    raise Invalid("Demo")


async def test_a_row_added_outside_a_command_is_refused_at_the_commit(house: House) -> None:
    async with transaction(house) as tx:
        async with tx.running(some_operation()):
            await tx.add(demo())
        with pytest.raises(UnloggedWrite):
            await _add_and_commit(tx)
    assert await names(house) == set()


async def _add_and_commit(tx: Transaction) -> None:
    await tx.add(demo())
    await tx.commit()
