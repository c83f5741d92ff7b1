"""A level below zero opens a discrepancy; it is never refused or cut off at zero."""

from __future__ import annotations

import pytest

from tests.stock.shop import ONE, Shop
from tournee.kernel.errors import Blocked, Forbidden, Invalid, TransitionNotAllowed
from tournee.stock.models import DiscrepancyStatus, Settlement, StockLevel

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_a_level_below_zero_opens_one_discrepancy_that_follows_the_level(shop: Shop) -> None:
    van = await shop.van(filled=1)
    for _ in range(2):
        await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    assert (await shop.level(van.id), task.level, task.status) == (-1, -ONE, DiscrepancyStatus.OPEN)
    assert task.movement_id == (await shop.movements())[-1].id
    await shop.house.run("usePart", van.actor, **shop.used(van, 4))
    [task] = await shop.discrepancies()
    assert (await shop.level(van.id), task.level) == (-5, -5 * ONE)
    await shop.fill(van.id, 7)
    [task] = await shop.discrepancies()
    assert (task.level, task.status) == (2 * ONE, DiscrepancyStatus.OPEN)


async def test_a_level_of_zero_opens_no_discrepancy(shop: Shop) -> None:
    van = await shop.van(filled=2)
    await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    assert (await shop.level(van.id), await shop.discrepancies()) == (0, [])


async def test_a_count_settles_a_discrepancy(shop: Shop) -> None:
    van = await shop.van()
    await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    count = await shop.house.run("countStock", van.actor, **shop.counted(van, 3))
    settled = await shop.house.run(
        "resolveStockDiscrepancy", "DISPATCHER", discrepancyId=task.id, countId=count.id
    )
    assert (settled.status, settled.settlement, settled.settled_by_count_id) == (
        DiscrepancyStatus.RESOLVED,
        Settlement.COUNT,
        count.id,
    )
    with pytest.raises(TransitionNotAllowed):
        await shop.house.run("resolveStockDiscrepancy", discrepancyId=task.id, countId=count.id)


async def test_the_missing_movement_settles_a_discrepancy(shop: Shop) -> None:
    van = await shop.van()
    await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    missing = await shop.fill(van.id, 2)
    await shop.house.run("resolveStockDiscrepancy", discrepancyId=task.id, movementId=missing.id)
    [task] = await shop.discrepancies()
    assert (task.settlement, task.settled_by_movement_id) == (Settlement.MOVEMENT, missing.id)


async def test_a_level_below_zero_after_settling_opens_another_discrepancy(shop: Shop) -> None:
    van = await shop.van()
    await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    missing = await shop.fill(van.id, 2)
    await shop.house.run("resolveStockDiscrepancy", discrepancyId=task.id, movementId=missing.id)
    await shop.house.run("usePart", van.actor, **shop.used(van, 5))
    first, second = await shop.discrepancies()
    assert (first.level, first.status, second.level) == (ONE, DiscrepancyStatus.RESOLVED, -4 * ONE)
    [level] = await shop.house.rows(StockLevel)
    assert level.discrepancy_id == second.id


async def test_a_discrepancy_cannot_be_settled_while_the_level_is_below_zero(shop: Shop) -> None:
    van = await shop.van()
    used = await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    with pytest.raises(Blocked):
        await shop.house.run("resolveStockDiscrepancy", discrepancyId=task.id, movementId=used.id)


async def test_only_the_same_part_at_the_same_place_settles_a_discrepancy(shop: Shop) -> None:
    van = await shop.van()
    await shop.house.run("usePart", van.actor, **shop.used(van))
    [task] = await shop.discrepancies()
    await shop.fill(van.id, 2)
    elsewhere = await shop.fill(shop.warehouse, 2)
    counted = await shop.house.run("countStock", partId=shop.part, locationId=shop.warehouse, counted=2 * ONE)
    for what in (
        {"movementId": elsewhere.id},
        {"countId": counted.id},
        {},
        {"movementId": elsewhere.id, "countId": counted.id},
    ):
        with pytest.raises(Invalid):
            await shop.house.run("resolveStockDiscrepancy", discrepancyId=task.id, **what)


async def test_the_vans_technician_sees_a_discrepancy_and_the_office_settles_it(shop: Shop) -> None:
    own, other = await shop.van(), await shop.van()
    await shop.house.run("usePart", own.actor, **shop.used(own))
    [task] = await shop.discrepancies()
    missing = await shop.fill(own.id, 2)
    for van, sees in ((own, True), (other, False)):
        await van.device.pull()
        assert (task.id in van.device.rows) is sees
        with pytest.raises(Forbidden):
            await shop.house.run(
                "resolveStockDiscrepancy", van.actor, discrepancyId=task.id, movementId=missing.id
            )
