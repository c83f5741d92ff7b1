"""The proof of ordering: with many simultaneous writers, a puller never misses a commit."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text, update

import tournee.kernel.transaction
from tests.support.device import TestDevice
from tests.support.house import House
from tournee.assets.models import Asset
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.engine.pipelining import Pipeline
from tournee.kernel.entity import now
from tournee.kernel.head import Mark
from tournee.kernel.log import Change, Head, Record, dump
from tournee.kernel.transaction import Operation, Transaction
from tournee.kernel.values import document

WRITERS, WRITES = 16, 12


async def write_all(house: House) -> None:
    async def writer(number: int) -> None:
        for turn in range(WRITES):
            await house.run("createCustomer", name=f"Customer {number}.{turn}")

    await asyncio.gather(*(writer(number) for number in range(WRITERS)))


async def missed(house: House) -> set[UUID]:
    """Return the customers that a continuously pulling device lacks at the end."""
    device = TestDevice(house, "MANAGER")
    await device.pull()
    writing = asyncio.create_task(write_all(house))
    while not writing.done():
        await device.pull(limit=50)
        await asyncio.sleep(0.001)
    await writing
    await device.pull()
    async with house.reading() as session:
        ids = await session.scalars(
            select(Customer.id).where(Customer.organisation_id == house.organisation_id)
        )
        return set(ids) - set(device.rows)


@pytest.mark.slow("Sixteen writers and a puller share one process.")
async def test_a_puller_misses_no_commit_of_sixteen_writers(house: House) -> None:
    assert await missed(house) == set()


async def _publish_with_a_sequence(tx: Transaction, pipeline: Pipeline) -> Mark:
    """Publish as many systems do: take a number, write, commit some time later."""
    await pipeline.arrived()
    for entry in tx.entries:
        entry.seq = (await tx.session.execute(text("SELECT nextval('unsafe_sequence')"))).scalar_one()
    at = now()
    await asyncio.sleep(0.002 * (tx.entries[0].seq % 4))
    await tx.session.execute(
        insert(Change.__table__),
        [
            {"organisation_id": tx.organisation_id, "recorded_at": at, **entry.values()}
            for entry in tx.entries
        ],
    )  # type: ignore[arg-type]
    await tx.session.execute(
        insert(Record.__table__),  # type: ignore[arg-type]
        [
            {
                "organisation_id": tx.organisation_id,
                "id": entry.row.id,
                "entity": type(entry.row).__name__,
                "seq": entry.seq,
                "deleted": False,
                "clock": "{}",
                "document": dump(document(entry.row)),
            }
            for entry in tx.entries
        ],
    )
    # Readers must use the sequence as the head.
    await tx.session.execute(update(Head).values(seq=func.greatest(Head.seq, tx.entries[-1].seq)))
    return Mark.of(tx.entries[-1].seq, at)


async def test_a_sequence_instead_of_the_head_row_misses_commits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This proves that the same run can fail."""
    if house.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time, so no number can overtake another.")
    async with house.writing() as session:
        await session.execute(text("CREATE SEQUENCE IF NOT EXISTS unsafe_sequence"))
        await session.commit()
    monkeypatch.setattr(tournee.kernel.transaction, "publish", _publish_with_a_sequence)
    assert await missed(house) != set()


async def _order(tx: Transaction, customer: UUID) -> None:
    create = COMMANDS["createWorkOrder"]
    do = create.parse({"customerId": str(customer), "summary": "Demo"})
    await create.run(tx, do, Operation(create.name, now()))


async def _is_held_up(house: House) -> None:
    async with house.reading() as session:
        while not await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.01)


async def test_a_transaction_waiting_for_a_referenced_row_holds_no_number(
    house: House,
) -> None:
    """A new row waits for the row that it refers to while that lock's owner needs a number.

    Commands take weaker locks than this; an operator's own statement may not.
    """
    if house.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time.")
    named, *customers = [(await house.run("createCustomer", name="Demo")).id for _ in range(3)]
    await house.run("createWorkOrder", customerId=customers[0], summary="Demo")
    manager, rules = house.actor(), house.kernel.rules
    async with house.writing() as one, house.writing() as two:
        names = Transaction(house.database, one, manager, rules)
        holds = Transaction(house.database, two, manager, rules)
        await _order(names, customers[0])
        async with names.running(Operation("demo", now())):
            await names.add(Asset(name="Demo", customer_id=named))
        await _order(holds, customers[1])
        with two.no_autoflush:
            await two.execute(select(Customer.id).where(Customer.id == named).with_for_update())
        waits = asyncio.create_task(names.commit())
        await asyncio.wait_for(_is_held_up(house), 10)
        assert [bool(await holds.commit()), bool(await waits)] == [True, True]
