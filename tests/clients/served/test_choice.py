"""A device of the office carries what its app chose, over real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.clients.served.field import PASSWORD, copy
from tests.support.house import House
from tests.support.serving import listening
from tests.support.world import World
from tests.support.years import received
from tournee.kernel.entity import now
from tournee_client import Choice, Device, ProtocolError, Store

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

LAST_YEAR = (now() - timedelta(days=300)).date()
CHOICE = Choice({"Customer", "WorkOrder"}, LAST_YEAR)


@dataclass
class Office:
    """A dispatcher's store, which an app opens with one choice or another."""

    world: World
    store: Store
    url: str
    email: str

    async def open(self, choice: Choice | None) -> Device:
        device = Device(self.url, self.store, choice=choice)
        await device.sign_in(self.email, PASSWORD)
        return device

    async def compare(self, device: Device, counts: dict[str, int]) -> None:
        """Compare the copy with what it was to hold, and with the server's checksums."""
        assert Counter(entity for entity, _ in copy(device)) == counts
        assert await device.verify() == []


@pytest_asyncio.fixture
async def office(app: Starlette, house: House, store: Store) -> AsyncIterator[Office]:
    """Return an office with an order of today, and one that was canceled two years ago."""
    world = await World(house).settle()
    await world.order()
    with received(now() - timedelta(days=700)):
        old = await world.order()
        await house.run("cancelWorkOrder", workOrderId=old.id, reason="Demo")
    email = f"{uuid4()}@demo.example"
    await house.account("DISPATCHER", email=email, password=PASSWORD)
    async with listening(app) as host:
        yield Office(world, store, f"http://{host}", email)


async def test_a_copy_holds_the_choice_and_follows_it(office: Office) -> None:
    async with await office.open(CHOICE) as device:
        await device.sync()
        await office.compare(device, {"Customer": 1, "WorkOrder": 1})
        await office.world.order()
        # Its record comes with the outcome, and is of no type that was chosen.
        customer = str(office.world.customer.id)
        await device.do("createContact", {"customerId": customer, "name": "Demo", "id": str(uuid4())})
        await device.sync()
        await office.compare(device, {"Customer": 1, "WorkOrder": 2})


async def test_another_choice_of_the_app_replaces_the_copy(office: Office) -> None:
    async with await office.open(CHOICE) as device:
        await device.sync()
    wider: dict[Any, dict[str, int]] = {
        Choice(("Customer", "Site", "WorkOrder"), LAST_YEAR): {"Customer": 1, "Site": 1, "WorkOrder": 1},
        Choice(("WorkOrder",)): {"WorkOrder": 2},
    }
    for choice, counts in wider.items():
        async with Device(office.url, office.store, choice=choice) as device:
            await device.pull()
            await office.compare(device, counts)
    async with Device(office.url, office.store) as device:
        await device.pull()
        found = Counter(entity for entity, _ in copy(device))
        assert found["WorkOrder"] == 2
        assert found["Site"] == 1
        assert await device.verify() == []


async def test_a_stream_goes_on_with_the_choice(office: Office) -> None:
    async with await office.open(CHOICE) as device:
        await device.pull()
        heard = device.stream()
        await office.world.house.run("updateSite", siteId=office.world.site.id, name="Demo Quay")
        order = await office.world.order()
        async for changes in heard:
            assert {change.entity for change in changes} <= {"WorkOrder"}
            if str(order.id) in {change.id for change in changes}:
                break
        await heard.aclose()


async def test_a_choice_that_the_server_does_not_know_is_refused(office: Office) -> None:
    async with await office.open(Choice({"Nothing"})) as device:
        with pytest.raises(ProtocolError) as refusal:
            await device.pull()
    assert refusal.value.status == 400
