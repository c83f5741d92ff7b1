"""Meters and their readings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from tests.assets.things import grant, offline, revoke, site
from tests.support.house import House, seen
from tournee.assets.models import Meter, Reading, ReadingSource
from tournee.kernel.conflict import RECORD_ON_CLOSED_PARENT
from tournee.kernel.entity import new_id
from tournee.kernel.errors import Forbidden, Invalid, NotFound

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


@asynccontextmanager
async def statements() -> AsyncIterator[list[str]]:
    """Collect the statements sent to the database inside the block."""
    sent: list[str] = []

    def note(*told: Any) -> None:
        sent.append(told[2])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def meter_at(house: House, site_id: UUID, **given: Any) -> Meter:
    asset = await house.run("createAsset", name="Demo boiler", siteId=site_id)
    made: Meter = await house.run("createMeter", assetId=asset.id, **{"name": "Use", "unit": "h", **given})
    return made


def read(meter: Meter, day: int, value: float, **given: Any) -> dict[str, Any]:
    return {"meterId": meter.id, "value": value, "takenAt": datetime(2026, 3, day, tzinfo=UTC), **given}


async def stored(house: House, *readings: Reading) -> list[Reading]:
    async with house.reading() as session:
        return [await session.get_one(Reading, (house.organisation_id, reading.id)) for reading in readings]


async def flags(house: House, *readings: Reading) -> list[bool]:
    return [reading.implausible for reading in await stored(house, *readings)]


async def test_a_reading_stores_its_unit_asset_site_and_author(house: House) -> None:
    place = await site(house)
    meter = await meter_at(house, place.id)
    reading = await house.run("recordReading", **read(meter, 1, 12.5, note="Seen twice"))
    assert (reading.asset_id, reading.site_id, reading.unit) == (meter.asset_id, place.id, "h")
    assert reading.taken_by_id == house.actor("MANAGER").id
    assert (reading.source, reading.implausible) == (ReadingSource.MANUAL, False)
    await house.run("updateMeter", meterId=meter.id, unit="min")
    assert [old.unit for old in await stored(house, reading)] == ["h"]


async def test_a_falling_counter_is_stored_and_flagged(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id)
    first = await house.run("recordReading", **read(meter, 1, 100))
    lower = await house.run("recordReading", **read(meter, 3, 90))
    after = await house.run("recordReading", **read(meter, 4, 95))
    assert await flags(house, first, lower, after) == [False, True, False]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
async def test_flags_do_not_depend_on_the_order_of_arrival(house: House, order: tuple[int, ...]) -> None:
    meter = await meter_at(house, (await site(house)).id)
    taken = [(1, 100), (2, 300), (3, 200)]
    made = {number: await house.run("recordReading", **read(meter, *taken[number])) for number in order}
    assert await flags(house, made[0], made[1], made[2]) == [False, False, True]


async def test_a_falling_gauge_is_plausible(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id, kind="GAUGE", unit="bar")
    high = await house.run("recordReading", **read(meter, 1, 2.5))
    low = await house.run("recordReading", **read(meter, 2, -1.5))
    assert await flags(house, high, low) == [False, False]


async def test_a_correction_is_a_new_reading_and_clears_later_flags(house: House) -> None:
    place = await site(house)
    meter, other = await meter_at(house, place.id), await meter_at(house, place.id)
    wrong = await house.run("recordReading", **read(meter, 1, 1000))
    after = await house.run("recordReading", **read(meter, 2, 110))
    assert await flags(house, after) == [True]
    right = await house.run("recordReading", **read(meter, 1, 100, correctsId=wrong.id))
    kept, corrected = await stored(house, wrong, right)
    assert (kept.value, kept.is_corrected) == (1000, True)
    assert (corrected.corrects_id, corrected.is_corrected) == (wrong.id, False)
    assert await flags(house, right, after) == [False, False]
    with pytest.raises(Invalid, match="another meter"):
        await house.run("recordReading", **read(other, 1, 1, correctsId=wrong.id))


@pytest.mark.parametrize(
    "bad", [{"value": "many"}, {"value": None}, {"takenAt": "2026-03-01T00:00:00"}, {"source": "GUESS"}]
)
async def test_a_reading_with_bad_values_is_refused(house: House, bad: dict[str, Any]) -> None:
    meter = await meter_at(house, (await site(house)).id)
    with pytest.raises(Invalid):
        await house.run("recordReading", **{**read(meter, 1, 1), **bad})


async def test_a_reading_is_visible_through_the_site_where_it_was_taken(house: House) -> None:
    here, there = await site(house), await site(house)
    _, before = await house.technician()
    _, afterwards = await house.technician("Demo Two")
    meter = await meter_at(house, here.id)
    await grant(house, before, here.id)
    await grant(house, afterwards, there.id)
    first = await house.run("recordReading", before, **read(meter, 1, 1))
    await house.run("moveAsset", assetId=meter.asset_id, siteId=there.id)
    second = await house.run("recordReading", afterwards, **read(meter, 2, 2))
    assert await seen(house, Reading, before) == {first.id}
    assert await seen(house, Reading, afterwards) == {second.id}
    with pytest.raises(NotFound):
        await house.run("recordReading", before, **read(meter, 3, 3))


async def test_a_portal_account_records_nothing(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id)
    with pytest.raises(Forbidden):
        await house.run("recordReading", "CUSTOMER_PORTAL", **read(meter, 1, 1))


async def test_a_reading_of_a_moved_asset_belongs_to_the_site_where_it_was_taken(house: House) -> None:
    here, there = await site(house), await site(house)
    _, actor = await house.technician()
    meter = await meter_at(house, here.id)
    await grant(house, actor, here.id)
    base = await house.seq()
    await house.run("moveAsset", assetId=meter.asset_id, siteId=there.id)
    reading, operation = await offline(house, actor, base, "recordReading", **read(meter, 1, 7))
    assert (reading.site_id, reading.customer_id) == (here.id, here.customer_id)
    assert operation.conflict is None
    assert await seen(house, Reading, actor) == {reading.id}


async def test_a_device_may_use_an_asset_that_it_created_even_when_its_new_copy_lacks_it(
    house: House,
) -> None:
    """The office moved the asset out of view before the new copy began; the outbox still shows it."""
    here, there = await site(house), await site(house)
    _, actor = await house.technician()
    await grant(house, actor, here.id)
    added, operation = await offline(
        house, actor, await house.seq(), "createAsset", id=new_id(), siteId=here.id, name="Demo pump"
    )
    await house.run("moveAsset", assetId=added.id, siteId=there.id)
    meter = {"assetId": added.id, "name": "Hours", "unit": "h", "kind": "COUNTER"}
    base = await house.seq()
    with pytest.raises(NotFound):
        await offline(house, actor, base, "createMeter", **meter)
    made, _ = await offline(house, actor, base, "createMeter", device=operation.device_id, **meter)
    assert (made.asset_id, made.site_id) == (added.id, there.id)


async def test_a_reading_taken_while_the_site_was_visible_is_kept(house: House) -> None:
    here = await site(house)
    _, actor = await house.technician()
    meter = await meter_at(house, here.id)
    await grant(house, actor, here.id)
    base = await house.seq()
    await revoke(house, actor, here.id)
    with pytest.raises(NotFound):
        await house.run("recordReading", actor, **read(meter, 1, 7))
    reading, _ = await offline(house, actor, base, "recordReading", **read(meter, 1, 7))
    assert [kept.value for kept in await stored(house, reading)] == [7]


async def test_a_reading_on_an_asset_retired_meanwhile_is_kept_with_a_conflict(house: House) -> None:
    here = await site(house)
    _, actor = await house.technician()
    meter = await meter_at(house, here.id)
    await grant(house, actor, here.id)
    base = await house.seq()
    await house.run("retireAsset", assetId=meter.asset_id)
    reading, operation = await offline(house, actor, base, "recordReading", **read(meter, 1, 7))
    assert [kept.value for kept in await stored(house, reading)] == [7]
    assert operation.conflict is not None
    assert operation.conflict.kind is RECORD_ON_CLOSED_PARENT
    assert operation.conflict.record_id == meter.asset_id
    _, later = await offline(house, actor, await house.seq(), "recordReading", **read(meter, 2, 8))
    assert later.conflict is None


async def test_an_unchanged_counter_is_plausible(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id)
    first = await house.run("recordReading", **read(meter, 1, 100))
    same = await house.run("recordReading", **read(meter, 2, 100))
    assert await flags(house, first, same) == [False, False]


async def test_two_readings_at_one_moment_are_both_plausible(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id)
    high = await house.run("recordReading", **read(meter, 1, 100))
    low = await house.run("recordReading", **read(meter, 1, 90))
    assert await flags(house, high, low) == [False, False]


async def test_a_corrected_reading_makes_no_other_reading_implausible(house: House) -> None:
    meter = await meter_at(house, (await site(house)).id)
    wrong = await house.run("recordReading", **read(meter, 1, 1000))
    await house.run("recordReading", **read(meter, 1, 100, correctsId=wrong.id))
    later = await house.run("recordReading", **read(meter, 2, 110))
    assert await flags(house, later) == [False]


async def test_a_reading_on_an_asset_that_only_changed_opens_no_conflict(house: House) -> None:
    here = await site(house)
    _, actor = await house.technician()
    meter = await meter_at(house, here.id)
    await grant(house, actor, here.id)
    base = await house.seq()
    await house.run("takeAssetOutOfService", assetId=meter.asset_id)
    _, operation = await offline(house, actor, base, "recordReading", **read(meter, 1, 7))
    assert operation.conflict is None


async def test_an_online_reading_costs_no_query_of_its_retired_asset(house: House) -> None:
    """An account online sees the asset's status, and an import of many readings must stay cheap."""
    meter = await meter_at(house, (await site(house)).id)
    await house.run("retireAsset", assetId=meter.asset_id)
    async with statements() as sent:
        await house.run("recordReading", **read(meter, 1, 7))
    assert not [text for text in sent if "FROM asset" in text]
