"""Nothing of a frozen organisation changes: neither the log nor what is written beside it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import update

from tests.support.device import TestDevice
from tests.support.house import House
from tournee import housekeeping
from tournee.auth.commands import SignOut, sign_out
from tournee.customers.commands import create_customer
from tournee.engine.database import Database
from tournee.engine.freezing import freeze, is_frozen, require_open, thaw
from tournee.kernel.entity import now
from tournee.kernel.log import Head
from tournee.kernel.outages import OrganisationFrozen
from tournee.kernel.transaction import Operation, Transaction
from tournee.settings import Settings
from tournee.sync.models import DeviceState, GivenUpRecord, ParkedOperation, Receipt


async def test_a_frozen_organisation_refuses_commands_until_it_is_thawed(
    house: House, database: Database
) -> None:
    other = await House(database).found()
    assert await freeze(database, house.organisation_id)
    assert not await freeze(database, house.organisation_id)
    seq = await house.seq()
    with pytest.raises(OrganisationFrozen):
        await house.run("createCustomer", name="Demo")
    assert await house.seq() == seq
    await other.run("createCustomer", name="Demo")
    assert await thaw(database, house.organisation_id)
    assert not await thaw(database, house.organisation_id)
    await house.run("createCustomer", name="Demo")


async def test_a_push_leaves_nothing_not_even_what_waits(house: House, database: Database) -> None:
    device = TestDevice(house, "MANAGER")
    await device.push(device.operation("createCustomer", name="Demo"))
    receipts, state = await house.rows(Receipt), (await house.rows(DeviceState))[0].pushes
    await freeze(database, house.organisation_id)
    waiting = device.operation("createSite", customerId=str(uuid4()), name="Demo")
    for operation in (waiting, device.operation("createCustomer", name="Demo")):
        with pytest.raises(OrganisationFrozen):
            await device.push(operation)
    assert [row.operation_id for row in await house.rows(Receipt)] == [row.operation_id for row in receipts]
    assert (await house.rows(DeviceState))[0].pushes == state
    assert await house.rows(ParkedOperation) == []


async def test_a_command_without_an_entry_in_the_log_is_refused_too(house: House, database: Database) -> None:
    actor = await house.account("TECHNICIAN")
    await house.kernel.perform(actor, sign_out, SignOut())
    await freeze(database, house.organisation_id)
    with pytest.raises(OrganisationFrozen):
        await house.kernel.perform(actor, sign_out, SignOut())


@pytest.mark.parametrize("logged", [True, False])
async def test_who_began_before_and_commits_after_is_refused(
    house: House, database: Database, logged: bool
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")

    async def work(tx: Transaction) -> None:
        if logged:
            do = create_customer.parse({"name": "Demo"})
            await create_customer.run(tx, do, Operation("createCustomer", now()))
        else:
            own = {"organisation_id": house.organisation_id, "record_id": uuid4()}
            tx.session.add(GivenUpRecord(**own))
            await tx.flush()
        await freeze(database, house.organisation_id)

    with pytest.raises(OrganisationFrozen):
        await house.kernel.transact(house.actor(), work)
    assert await house.rows(GivenUpRecord) == []
    assert await house.seq() == 0


async def test_freezing_waits_for_those_who_write(house: House, database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    async with house.writing() as holding, house.writing() as beside:
        await require_open(holding)
        # It does not hold up other writers.
        await beside.execute(
            update(Head).values(seq=Head.seq + 1).execution_options(synchronize_session=False)
        )
        await beside.commit()
        freezing = asyncio.create_task(freeze(database, house.organisation_id))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(freezing), 0.5)
        assert not await is_frozen(database, house.organisation_id)
        await holding.commit()
        assert await freezing
    async with house.writing() as late:
        with pytest.raises(OrganisationFrozen):
            await require_open(late)


async def test_housekeeping_leaves_it_alone(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "move_windows", lambda *_: pytest.fail("It was kept."))
    await freeze(database, house.organisation_id)
    await housekeeping.keep_organisation(house.kernel, Settings(), house.organisation_id)
