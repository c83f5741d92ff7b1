"""Many rows in one transaction: loaded and reserved by one statement each, and all logged."""

from __future__ import annotations

import contextlib
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import event, select

from tests.support.house import House
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.engine.database import UnloggedWrite
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.log import Edge, Record
from tournee.kernel.transaction import Operation, Transaction

CREATE, UPDATE = COMMANDS["createCustomer"], COMMANDS["updateCustomer"]


def operation(name: str) -> Operation:
    return Operation(name, now())


async def test_preloaded_rows_are_found_without_a_statement(house: House) -> None:
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


async def test_preloading_reveals_no_invisible_rows(house: House) -> None:
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


async def test_a_row_changed_outside_a_command_is_not_committed(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")

    async def work(tx: Transaction) -> None:
        rows = await tx.preload(Customer, [customer.id])
        rows[customer.id].name = "Pipeline the log"

    with pytest.raises(UnloggedWrite):
        await house.kernel.transact(house.actor(), work)
    async with house.reading() as session:
        row = await session.get_one(Customer, (house.organisation_id, customer.id))
    assert row.name == "Demo Hotel"


async def test_every_change_of_a_row_in_one_transaction_is_logged(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")

    async def work(tx: Transaction) -> None:
        for phone in ("1", "2", "2", "3"):
            change = UPDATE.input(customer_id=customer.id, phone=phone)
            await UPDATE.run(tx, change, operation("updateCustomer"))

    await house.kernel.transact(house.actor(), work)
    assert len(await house.changes(customer.id)) == 1 + 3


ODD = [
    'a "quoted" word',
    "back\\slash \\n \\\\ and \\u0041",
    "line\nfeed\ttab\r",
    "{braces, commas}",
    "NULL",
    "null",
    " ",
    "ünï ☃ 🚐 \u2028",
    "'; DROP TABLE customer; --",
    "\x01\x1f\x7f",
    "\x01\x02\x03\x04",
    "",
    None,
]


@pytest.mark.parametrize("odd", [ODD, *([text] for text in ODD)], ids=[str(n) for n in range(len(ODD) + 1)])
async def test_odd_texts_arrive_unchanged(house: House, odd: list[str | None]) -> None:
    """The texts are written together and one at a time."""
    made = [{"id": str(new_id()), "name": f"Demo {number}", "notes": text} for number, text in enumerate(odd)]
    tags = ["Demo", *(text for text in odd if text is not None)]

    async def work(tx: Transaction) -> None:
        for values in made:
            await CREATE.run(tx, CREATE.parse(values), operation("createCustomer"))

    async def edit(tx: Transaction) -> None:
        for values in made:
            change = UPDATE.parse({"customerId": values["id"], "phone": "1", "tags": tags})
            await UPDATE.run(tx, change, operation("updateCustomer"))

    await house.kernel.transact(house.actor(), work)
    await house.kernel.transact(house.actor(), edit)
    async with house.reading() as session:
        rows = {str(row.id): row for row in await session.scalars(select(Customer))}
        documents = {str(id): text for id, text in await session.execute(select(Record.id, Record.document))}
    for values in made:
        row, document = rows[values["id"]], orjson.loads(documents[values["id"]])
        assert (row.notes, row.tags) == (values["notes"], tags)
        assert (document["notes"], document["tags"]) == (values["notes"], tags)
        created, edited = await house.changes(row.id)
        assert orjson.loads(created.after)["notes"] == values["notes"]
        assert orjson.loads(edited.after)["tags"] == tags


async def test_a_moved_record_leaves_its_old_scope(house: House) -> None:
    """It moves twice in one transaction, and once more in a savepoint that is rolled back."""
    customer = (await house.run("createCustomer", name="Demo Hotel")).id
    first, second, third = [
        (await house.run("createSite", customerId=customer, name=f"Demo {number}")).id for number in range(3)
    ]
    asset = (await house.run("createAsset", siteId=first, name="Demo Lift")).id
    move = COMMANDS["moveAsset"]

    async def to(tx: Transaction, site: UUID) -> None:
        payload = {"assetId": str(asset), "siteId": str(site)}
        await move.run(tx, move.parse(payload), operation("moveAsset"))

    async def work(tx: Transaction) -> None:
        with contextlib.suppress(Invalid):
            async with tx.savepoint():
                await to(tx, third)
                raise Invalid("Demo")
        await to(tx, second)
        with contextlib.suppress(Invalid):
            async with tx.savepoint():
                await to(tx, third)
                raise Invalid("Demo")
        rename = COMMANDS["updateAsset"]
        payload = {"assetId": str(asset), "name": "Demo Hoist"}
        await rename.run(tx, rename.parse(payload), operation("updateAsset"))

    await house.kernel.transact(house.actor(), work)
    async with house.reading() as session:
        edges = (await session.execute(select(Edge.scope, Edge.open).where(Edge.record_id == asset))).all()
        seq = await session.scalar(select(Record.seq).where(Record.id == asset))
        seqs = set(await session.scalars(select(Edge.seq).where(Edge.record_id == asset)))
    assert {(scope, is_open) for scope, is_open in edges} == {(first, False), (second, True)}
    assert seqs == {seq}
