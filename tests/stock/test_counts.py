"""Counts and late movements: each piece is accounted for once, in any order of arrival."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from tests.stock.shop import ONE, Shop, Van, ago, at
from tests.support.device import TestDevice
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

MORE = pytest.mark.prove("One more random day.")


async def test_a_count_adjusts_the_level_to_the_counted_quantity(shop: Shop) -> None:
    van = await shop.van(filled=10)
    count = await shop.house.run("countStock", van.actor, **shop.counted(van, 8))
    assert (count.expected, count.difference) == (10 * ONE, -2 * ONE)
    [adjustment] = await shop.movements(count_id=count.id)
    assert (adjustment.reason, adjustment.quantity, await shop.level(van.id)) == ("COUNT", 2 * ONE, 8)
    again = await shop.house.run("countStock", van.actor, **shop.counted(van, 8))
    assert (again.difference, await shop.movements(count_id=again.id)) == (0, [])
    await shop.agree()


async def test_an_adjustment_cannot_be_reversed(shop: Shop) -> None:
    van = await shop.van(filled=10)
    count = await shop.house.run("countStock", **shop.counted(van, 8))
    [adjustment] = await shop.movements(count_id=count.id)
    with pytest.raises(Invalid):
        await shop.house.run("reverseStockMovement", movementId=adjustment.id)


async def test_a_use_before_a_count_that_arrives_after_it_is_not_counted_twice(
    shop: Shop,
) -> None:
    van = await shop.van(filled=10)
    used = at(van.device, ago(60), "usePart", **shop.used(van, 2))
    # The storekeeper counts without knowing of the two.
    count = await shop.house.run("countStock", **shop.counted(van, 8))
    assert count.difference == -2 * ONE
    await van.device.push(used)
    [count] = await shop.counts()
    assert (await shop.level(van.id), count.expected, count.difference) == (8, 8 * ONE, 0)
    await shop.agree()


async def test_a_use_after_a_count_that_arrives_before_it_still_counts(shop: Shop) -> None:
    van = await shop.van(filled=10)
    keeper = TestDevice(shop.house, "DISPATCHER")
    counted = at(keeper, ago(60), "countStock", **shop.counted(van, 9))
    await shop.put_back(hours=2)
    await van.device.push(at(van.device, ago(30), "usePart", **shop.used(van, 2)))
    await keeper.push(counted)
    [count] = await shop.counts()
    assert (count.expected, count.difference, await shop.level(van.id)) == (10 * ONE, -ONE, 7)
    await shop.agree()


async def test_a_late_count_ignores_later_movements_between_other_places(shop: Shop) -> None:
    van, other = await shop.van(filled=10), await shop.van(filled=10)
    await shop.fill(shop.warehouse, 10)
    await shop.put_back(hours=2)
    keeper = TestDevice(shop.house, "DISPATCHER")
    counted = at(keeper, ago(60), "countStock", **shop.counted(van, 9))
    for source, target in ((shop.warehouse, other.id), (other.id, shop.warehouse)):
        moved = {"fromLocationId": source, "toLocationId": target, "quantity": 3 * ONE}
        await shop.house.run("transferStock", partId=shop.part, **moved)
    await keeper.push(counted)
    [count] = await shop.counts()
    assert (count.expected, count.difference, await shop.level(van.id)) == (10 * ONE, -ONE, 9)
    await shop.agree()


async def test_a_count_that_arrives_after_a_later_one_keeps_the_later_level(shop: Shop) -> None:
    van = await shop.van(filled=10)
    await shop.put_back(hours=3)
    keeper = TestDevice(shop.house, "DISPATCHER")
    early = at(keeper, ago(60), "countStock", **shop.counted(van, 9))
    await shop.house.run("countStock", **shop.counted(van, 6))
    await keeper.push(early)
    later, first = await shop.counts()
    assert (first.difference, later.expected, later.difference) == (-ONE, 9 * ONE, -3 * ONE)
    assert await shop.level(van.id) == 6
    await shop.agree()


async def test_after_an_older_count_arrives_the_newest_still_accounts_for_late_uses(shop: Shop) -> None:
    van = await shop.van(filled=10)
    await shop.put_back(hours=3)
    keeper, colleague = TestDevice(shop.house, "DISPATCHER"), TestDevice(shop.house, "DISPATCHER")
    early = at(keeper, ago(90), "countStock", **shop.counted(van, 9))
    used = at(colleague, ago(60), "usePart", **shop.used(van, 2))
    await shop.house.run("countStock", **shop.counted(van, 6))
    await keeper.push(early)
    await colleague.push(used)
    assert await shop.level(van.id) == 6
    await shop.agree()


async def test_a_devices_own_order_overrides_its_clock(shop: Shop) -> None:
    van = await shop.van(filled=10)
    years = timedelta(days=900)
    await van.device.push(
        at(van.device, now(), "usePart", **shop.used(van, 1)),
        at(van.device, now() - years, "countStock", **shop.counted(van, 9)),
        at(van.device, now() - 2 * years, "usePart", **shop.used(van, 2)),
    )
    [count] = await shop.counts()
    assert (count.expected, count.difference, await shop.level(van.id)) == (9 * ONE, 0, 7)


async def test_a_use_by_a_device_that_had_seen_the_count_is_after_it_despite_its_clock(
    shop: Shop,
) -> None:
    van = await shop.van(filled=10)
    await shop.house.run("countStock", **shop.counted(van, 10))
    await van.device.pull()
    await van.device.push(at(van.device, now() - timedelta(days=900), "usePart", **shop.used(van, 2)))
    assert await shop.level(van.id) == 8


async def test_a_count_by_a_device_that_had_seen_the_use_is_after_it_despite_its_clock(
    shop: Shop,
) -> None:
    van = await shop.van(filled=10)
    await van.device.push(at(van.device, now(), "usePart", **shop.used(van, 2)))
    keeper = TestDevice(shop.house, "DISPATCHER")
    await keeper.pull()
    await keeper.push(at(keeper, now() - timedelta(days=900), "countStock", **shop.counted(van, 8)))
    [count] = await shop.counts()
    assert (count.difference, await shop.level(van.id)) == (0, 8)


async def test_a_time_ahead_of_the_server_counts_as_now(shop: Shop) -> None:
    van = await shop.van(filled=10)
    years = timedelta(days=900)
    await van.device.push(at(van.device, now() + years, "countStock", **shop.counted(van, 10)))
    await shop.house.run("usePart", **shop.used(van, 2))
    assert await shop.level(van.id) == 8


async def test_a_use_entered_later_for_a_time_before_the_count_explains_its_difference(
    shop: Shop,
) -> None:
    van = await shop.van(filled=10)
    await shop.put_back(hours=2)
    await van.device.push(
        at(van.device, ago(30), "countStock", **shop.counted(van, 8)),
        at(van.device, ago(20), "usePart", **shop.used(van, 2, at=ago(60))),
    )
    [count] = await shop.counts()
    assert (count.difference, await shop.level(van.id)) == (0, 8)
    await shop.agree()


async def test_reversing_a_movement_from_before_a_count_changes_the_expected_quantity(shop: Shop) -> None:
    van = await shop.van(filled=10)
    wrong = await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    await shop.house.run("countStock", **shop.counted(van, 8))
    await shop.house.run("reverseStockMovement", van.actor, movementId=wrong.id)
    [count] = await shop.counts()
    assert (count.expected, count.difference, await shop.level(van.id)) == (10 * ONE, -2 * ONE, 8)
    later = await shop.house.run("usePart", van.actor, **shop.used(van, 3))
    await shop.house.run("reverseStockMovement", van.actor, movementId=later.id)
    assert await shop.level(van.id) == 8
    await shop.agree()


async def test_an_offline_reversal_made_after_seeing_the_count_changes_its_expected_quantity(
    shop: Shop,
) -> None:
    van = await shop.van(filled=10)
    wrong = new_id()
    await van.device.push(at(van.device, now(), "usePart", **shop.used(van, 2, id=wrong)))
    await shop.house.run("countStock", **shop.counted(van, 8))
    await van.device.pull()
    await van.device.do("reverseStockMovement", movementId=wrong)
    [count] = await shop.counts()
    assert (count.expected, await shop.level(van.id)) == (10 * ONE, 8)


async def test_a_reversal_with_a_clock_years_behind_takes_the_time_of_its_movement(shop: Shop) -> None:
    van = await shop.van(filled=10)
    await shop.put_back(hours=3)
    keeper = TestDevice(shop.house, "DISPATCHER")
    counted = at(keeper, ago(60), "countStock", **shop.counted(van, 10))
    wrong = new_id()
    await van.device.push(
        at(van.device, ago(30), "usePart", **shop.used(van, 2, id=wrong)),
        at(van.device, now() - timedelta(days=900), "reverseStockMovement", movementId=wrong),
    )
    await keeper.push(counted)
    [count] = await shop.counts()
    assert (count.expected, count.difference, await shop.level(van.id)) == (10 * ONE, 0, 10)


async def test_the_first_of_several_counts_accounts_for_a_late_use(shop: Shop) -> None:
    van = await shop.van(filled=10)
    used = at(van.device, ago(60), "usePart", **shop.used(van, 2))
    for _ in range(2):
        await shop.house.run("countStock", **shop.counted(van, 8))
    await van.device.push(used)
    assert [(count.expected, count.difference) for count in await shop.counts()] == [(8 * ONE, 0)] * 2
    await shop.agree()


async def test_each_end_of_a_late_transfer_is_accounted_for_by_its_own_counts(shop: Shop) -> None:
    one, other = await shop.van(filled=10), await shop.van(filled=10)
    moved = {"partId": shop.part, "fromLocationId": one.id, "toLocationId": other.id, "quantity": 3 * ONE}
    keeper = TestDevice(shop.house, "DISPATCHER")
    late = at(keeper, ago(60), "transferStock", **moved)
    await shop.house.run("countStock", **shop.counted(one, 7))
    await keeper.push(late)
    assert (await shop.level(one.id), await shop.level(other.id)) == (7, 13)
    assert [count.difference for count in await shop.counts()] == [0]
    await shop.agree()


class Day:
    """Events in a van, a minute apart, each recorded on any device at hand."""

    def __init__(self, shop: Shop, van: Van, seed: int) -> None:
        self.shop = shop
        self.van = van
        self.choose = random.Random(seed)
        self.devices = [van.device, *(TestDevice(shop.house, "DISPATCHER") for _ in range(2))]
        self.queues: list[list[dict[str, Any]]] = [[] for _ in self.devices]
        self.moment = ago(90)
        self.there = 20
        self.lost_since_count = 0

    def happen(self) -> None:
        for _ in range(40):
            self.moment += timedelta(minutes=1)
            what = self.choose.choice([self.use, self.use, self.receive, self.lose, self.err, self.count])
            what(self.choose.randint(1, 3))

    def note(self, *steps: tuple[str, dict[str, Any]]) -> None:
        place = self.choose.randrange(len(self.devices))
        self.queues[place] += [at(self.devices[place], self.moment, name, **given) for name, given in steps]

    def use(self, pieces: int) -> None:
        self.there -= pieces
        self.note(("usePart", self.shop.used(self.van, pieces)))

    def receive(self, pieces: int) -> None:
        self.there += pieces
        received = {"partId": self.shop.part, "toLocationId": self.van.id, "quantity": pieces * ONE}
        self.note(("receiveStock", received))

    def lose(self, pieces: int) -> None:
        """Lose a piece without recording it."""
        self.there -= pieces
        self.lost_since_count += pieces

    def err(self, pieces: int) -> None:
        wrong = new_id()
        self.note(
            ("usePart", self.shop.used(self.van, pieces, id=wrong)),
            ("reverseStockMovement", {"movementId": wrong}),
        )

    def count(self, _pieces: int) -> None:
        if self.there >= 0:
            self.lost_since_count = 0
            self.note(("countStock", self.shop.counted(self.van, self.there)))

    async def hand_in(self) -> None:
        """Push each device's work in its own order, the devices in any order."""
        while any(self.queues):
            place = self.choose.choice([number for number, queue in enumerate(self.queues) if queue])
            size = self.choose.randint(1, 4)
            batch, self.queues[place] = self.queues[place][:size], self.queues[place][size:]
            outcomes = await self.devices[place].push(*batch)
            assert {outcome.status for outcome in outcomes} == {"applied"}, outcomes


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=MORE) for seed in range(3, 12))])
async def test_the_level_is_correct_in_any_order_of_arrival(shop: Shop, seed: int) -> None:
    """All clocks are right; the last count reveals pieces lost without a record."""
    van = await shop.van(filled=20)
    await shop.put_back(hours=3)
    day = Day(shop, van, seed)
    day.happen()
    await day.hand_in()
    assert await shop.level(van.id) == day.there + day.lost_since_count
    await shop.agree()
