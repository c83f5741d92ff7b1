"""A backup made while devices push is restored: they lose nothing and double nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import select

from tests.operating.terminal import Terminal
from tests.support.house import House
from tests.support.processes import running
from tournee.app import create_app
from tournee.customers.models import Customer
from tournee.engine.database import Database
from tournee.settings import Settings
from tournee_client import Device, Store
from tournee_client.testing import StreamingASGITransport

PASSWORD = "a long password"
SERVER = "http://server.example"


async def add(device: Device, number: int) -> None:
    await device.do("createCustomer", {"name": f"Number {number:03}"})
    outcomes = (await device.sync()).outcomes
    assert [outcome.status for outcome in outcomes] == ["applied"]


@asynccontextmanager
async def restored(url: str, keys: Path, store: Store) -> AsyncIterator[tuple[Device, Database]]:
    """Yield the same device, and a server started on the restored backup."""
    app = create_app(Settings(database_url=url, directory=keys))
    async with app.router.lifespan_context(app):
        store.move(SERVER)
        http = httpx2.AsyncClient(transport=StreamingASGITransport(app))
        yield Device(SERVER, store, http), app.state.kernel.database


@pytest.mark.slow("It starts a server, backs it up and starts one on the backup.")
@pytest.mark.prove_on("postgresql", "It starts a server, backs it up and starts one on the backup.")
@pytest.mark.usefixtures("tools")
async def test_devices_continue_after_a_restore_without_losing_work(
    tournee: Terminal, elsewhere: Terminal, house: House, tmp_path: Path
) -> None:
    async def customers(database: Database) -> list[str]:
        async with database.reading(house.organisation_id) as session:
            return list(await session.scalars(select(Customer.name).order_by(Customer.name)))

    file, store, number = str(tmp_path / "backup.zip"), Store(tmp_path / "device.db"), 0
    email = f"{uuid4()}@demo.example"
    await house.account("MANAGER", email=email, password=PASSWORD)
    with running(tmp_path, tournee.url, TOURNEE_WORKERS="1") as (_, url, _):
        async with Device(url, store) as device:
            await device.sign_in(email, PASSWORD)
            await add(device, number)
            saving = asyncio.create_task(asyncio.to_thread(tournee, "backup", file))
            # The last two certainly come after the backup.
            after = 0
            while after < 2:
                after += saving.done()
                number += 1
                await add(device, number)
            assert (saving.result().code, saving.result().error) == (0, "")
    assert (await asyncio.to_thread(elsewhere, "restore", file)).code == 0
    async with restored(elsewhere.url, tmp_path / "var", store) as (device, database):
        assert len(await customers(database)) in range(1, number)
        await device.do("createCustomer", {"name": f"Number {number + 1:03}"})
        await device.sync()
        assert device.pending() == []
        everything = [f"Number {one:03}" for one in range(number + 2)]
        assert await customers(database) == everything
        assert sorted(row["name"] for row in device.all("Customer")) == everything
    store.close()
