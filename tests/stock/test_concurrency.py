"""Several people at one place at once, on PostgreSQL only: SQLite has one writer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.stock.shop import ONE, Shop
from tests.support.device import TestDevice
from tournee.stock import levels


@pytest.fixture(autouse=True)
def _on_postgresql(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")


class Meeting:
    """Makes a reader of the ledger wait for a second one, as long as one may come."""

    def __init__(self) -> None:
        self.both = asyncio.Barrier(2)
        self.met = 0

    async def wait(self) -> None:
        with contextlib.suppress(TimeoutError, asyncio.BrokenBarrierError):
            await asyncio.wait_for(self.both.wait(), 1)
            self.met += 1
        if self.both.broken:
            await self.both.reset()


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Meeting:
    found = Meeting()
    read = levels.on_hand

    async def together(*of: Any) -> int:
        total = await read(*of)
        await found.wait()
        return total

    monkeypatch.setattr(levels, "on_hand", together)
    return found


@pytest.mark.usefixtures("meeting")
async def test_two_simultaneous_first_uses_at_a_place_are_both_counted(shop: Shop) -> None:
    """There is no level to lock yet, so the lock on the place separates them."""
    used = {"partId": shop.part, "fromLocationId": shop.warehouse, "quantity": ONE}
    await asyncio.gather(*(shop.house.run("usePart", **used) for _ in range(2)))
    assert (await shop.level(shop.warehouse), len(await shop.discrepancies())) == (-2, 1)
    await shop.agree()


@pytest.mark.usefixtures("meeting")
async def test_two_simultaneous_uses_at_a_place_are_both_counted(shop: Shop) -> None:
    await shop.fill(shop.warehouse, 1)
    used = {"partId": shop.part, "fromLocationId": shop.warehouse, "quantity": ONE}
    await asyncio.gather(*(shop.house.run("usePart", **used) for _ in range(2)))
    assert (await shop.level(shop.warehouse), len(await shop.discrepancies())) == (-1, 1)
    await shop.agree()


async def test_uses_of_one_part_from_two_vans_do_not_wait_for_each_other(
    shop: Shop, meeting: Meeting
) -> None:
    devices = [(await shop.van()).device for _ in range(2)]
    batches = [
        device.operation("usePart", **shop.used(van)) for device, van in zip(devices, shop.vans, strict=True)
    ]
    await asyncio.gather(*(device.push(used) for device, used in zip(devices, batches, strict=True)))
    assert meeting.met == 2


async def test_simultaneous_transfers_and_counts_lose_no_part(shop: Shop) -> None:
    """The batches lock the same places in opposite orders, with counts between them."""
    parts = [shop.part, await shop.new_part()]
    vans = [await shop.van() for _ in range(4)]
    boxes = [
        (await shop.house.run("createStockLocation", name=f"Demo {n}", kind="WAREHOUSE")).id for n in (1, 2)
    ]
    pairs = [(boxes[0], boxes[1]), (boxes[1], boxes[0])]

    def batch(device: TestDevice, number: int) -> list[Any]:
        return [
            device.operation(
                "transferStock",
                partId=parts[(number + step) % 2],
                fromLocationId=pairs[(number + step) % 2][0],
                toLocationId=pairs[(number + step) % 2][1],
                quantity=ONE,
            )
            for step in range(6)
        ]

    answers = await asyncio.gather(
        *(van.device.push(*batch(van.device, number)) for number, van in enumerate(vans))
    )
    assert {outcome.status for answer in answers for outcome in answer} == {"applied"}
    assert len(await shop.movements()) == 24
    await shop.agree()


async def test_a_count_among_simultaneous_uses_accounts_for_each_once(shop: Shop) -> None:
    await shop.fill(shop.warehouse, 20)
    used = {"partId": shop.part, "fromLocationId": shop.warehouse, "quantity": ONE}
    count = {"partId": shop.part, "locationId": shop.warehouse, "counted": 20 * ONE}
    await asyncio.gather(
        *(shop.house.run("usePart", **used) for _ in range(6)), shop.house.run("countStock", **count)
    )
    [counted] = await shop.counts()
    after = (20 * ONE - counted.expected) // ONE
    assert await shop.level(shop.warehouse) == 20 - (6 - after)
    await shop.agree()
