"""Stock is a ledger: inserts only, and levels derived from them."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tests.stock.shop import ONE, Shop
from tournee.catalogue import COMMANDS
from tournee.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from tournee.kernel.fields import NOT_EDITABLE, fields
from tournee.stock.models import StockLevel, StockMovement
from tournee.stock.order import levels

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


def test_a_level_is_the_sum_of_its_movements() -> None:
    part, other, van, store = (uuid4() for _ in range(4))

    def moved(part: Any, source: Any, target: Any, quantity: int) -> Any:
        return SimpleNamespace(
            part_id=part, from_location_id=source, to_location_id=target, quantity=quantity
        )

    ledger = [moved(part, None, store, 5), moved(part, store, van, 3), moved(part, van, None, 4)]
    assert levels([*ledger, moved(other, None, van, 7)]) == {
        (part, store): 2,
        (part, van): -1,
        (other, van): 7,
    }


def test_no_command_changes_or_deletes_a_movement_or_a_level() -> None:
    assert not {"updateStockMovement", "deleteStockMovement", "updateStockLevel", "deletePart"} & set(
        COMMANDS
    )
    for model in (StockMovement, StockLevel):
        assert all(field.merge in NOT_EDITABLE for field in fields(model) if field.name != "id")


async def test_received_moved_used_and_returned_parts_add_up(shop: Shop) -> None:
    van = await shop.van()
    await shop.fill(shop.warehouse, 10)
    moved = {"partId": shop.part, "fromLocationId": shop.warehouse, "toLocationId": van.id}
    await shop.house.run("transferStock", van.actor, **moved, quantity=4 * ONE)
    await shop.house.run("usePart", van.actor, **shop.used(van, 3))
    await shop.house.run("returnPart", van.actor, partId=shop.part, toLocationId=van.id, quantity=ONE)
    await shop.house.run("scrapPart", partId=shop.part, fromLocationId=shop.warehouse, quantity=ONE)
    assert (await shop.level(shop.warehouse), await shop.level(van.id)) == (5, 2)
    await shop.agree()


async def test_metres_have_decimals_and_pieces_are_whole(shop: Shop) -> None:
    hose = await shop.new_part(unit="METRE")
    for _ in range(10):
        await shop.house.run("receiveStock", partId=hose, toLocationId=shop.warehouse, quantity=100)
    assert await shop.level(shop.warehouse, hose) == 1
    with pytest.raises(Invalid, match="whole pieces"):
        await shop.house.run("receiveStock", partId=shop.part, toLocationId=shop.warehouse, quantity=2)


async def test_a_serial_number_belongs_to_one_piece(shop: Shop) -> None:
    pump = await shop.new_part(serialised=True)
    moved = {"partId": pump, "toLocationId": shop.warehouse, "serialNumber": "DEMO-1"}
    with pytest.raises(Invalid):
        await shop.house.run("receiveStock", **moved, quantity=2 * ONE)
    assert (await shop.house.run("receiveStock", **moved, quantity=ONE)).serial_number == "DEMO-1"


async def test_a_movement_id_with_another_serial_number_is_refused(shop: Shop) -> None:
    """The same id with another serial number is another fact, not a repetition."""
    pump = await shop.new_part(serialised=True)
    moved = {"partId": pump, "toLocationId": shop.warehouse, "quantity": ONE, "id": uuid4()}
    first = await shop.house.run("receiveStock", **moved, serialNumber="DEMO-1")
    again = await shop.house.run("receiveStock", **moved, serialNumber="DEMO-1")
    assert again.id == first.id
    with pytest.raises(Invalid) as refusal:
        await shop.house.run("receiveStock", **moved, serialNumber="DEMO-2")
    assert refusal.value.field == "id"
    assert await shop.level(shop.warehouse, pump) == 1


async def test_a_movement_can_be_reversed_once(shop: Shop) -> None:
    van = await shop.van(filled=5)
    wrong = await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    back = await shop.house.run("reverseStockMovement", van.actor, movementId=wrong.id)
    assert (await shop.level(van.id), back.reverses_id, back.reason) == (5, wrong.id, wrong.reason)
    with pytest.raises(Conflict):
        await shop.house.run("reverseStockMovement", van.actor, movementId=wrong.id)
    with pytest.raises(Invalid):
        await shop.house.run("reverseStockMovement", van.actor, movementId=back.id)
    assert await shop.level(van.id) == 5
    await shop.agree()


async def test_a_technician_reverses_only_their_own_movements(shop: Shop) -> None:
    van = await shop.van()
    received = await shop.fill(van.id, 5)
    with pytest.raises(Forbidden):
        await shop.house.run("reverseStockMovement", van.actor, movementId=received.id)


async def test_a_technician_reverses_their_own_movement_in_a_van_they_handed_over(shop: Shop) -> None:
    van, other = await shop.van(filled=5), await shop.van()
    wrong = await shop.house.run("usePart", van.actor, **shop.used(van, 2))
    await shop.house.run("updateStockLocation", stockLocationId=van.id, technicianId=other.technician_id)
    await shop.house.run("reverseStockMovement", van.actor, movementId=wrong.id)
    assert await shop.level(van.id) == 5


async def test_a_technician_manages_only_the_stock_of_their_own_van(shop: Shop) -> None:
    own, other = await shop.van(filled=3), await shop.van(filled=3)
    part = {"partId": shop.part}
    for command, payload in (
        ("receiveStock", {**part, "toLocationId": shop.warehouse, "quantity": ONE}),
        ("scrapPart", {**part, "fromLocationId": shop.warehouse, "quantity": ONE}),
        ("countStock", {**part, "locationId": shop.warehouse, "counted": ONE}),
        ("createPart", {"number": "DEMO", "name": "Demo"}),
    ):
        with pytest.raises(Forbidden):
            await shop.house.run(command, own.actor, **payload)
    with pytest.raises(NotFound):
        await shop.house.run("usePart", own.actor, **shop.used(other))
    assert await shop.level(other.id) == 3


async def test_a_discontinued_part_can_still_be_used(shop: Shop) -> None:
    van = await shop.van(filled=3)
    await shop.house.run("updatePart", partId=shop.part, discontinued=True)
    await shop.house.run("usePart", van.actor, **shop.used(van))
    assert await shop.level(van.id) == 2


async def test_part_numbers_are_unique_and_units_cannot_change(shop: Shop) -> None:
    await shop.new_part(number="DEMO-1")
    with pytest.raises(Conflict):
        await shop.new_part(number="DEMO-1")
    assert "unit" not in {field.name for field in COMMANDS["updatePart"].input.__dataclass_fields__.values()}


async def test_a_van_has_a_holder_and_a_warehouse_has_none(shop: Shop) -> None:
    van = await shop.van()
    for payload in (
        {"kind": "VAN"},
        {"kind": "WAREHOUSE", "technicianId": van.technician_id},
    ):
        with pytest.raises(Invalid):
            await shop.house.run("createStockLocation", name="Demo", **payload)
    drill = await shop.house.run("createAsset", name="Demo drill", ownership="COMPANY", kind="TOOL")
    with pytest.raises(Invalid):
        await shop.house.run("createStockLocation", name="Demo", kind="VAN", assetId=drill.id)


async def test_levels_beyond_32_bits_are_stored(shop: Shop) -> None:
    for _ in range(4):
        await shop.fill(shop.warehouse, 1_000_000)
    assert await shop.level(shop.warehouse) == 4_000_000


@pytest.mark.parametrize("seed", range(3))
async def test_levels_equal_the_ledger_after_random_movements(shop: Shop, seed: int) -> None:
    choose = random.Random(seed)
    vans = [await shop.van() for _ in range(2)]
    places = [shop.warehouse, *(van.id for van in vans)]
    for _ in range(40):
        step = choose.choice(["receiveStock", "transferStock", "usePart", "countStock", "reverse"])
        source, target = choose.sample(places, 2)
        quantity = choose.randint(1, 5) * ONE
        given: dict[str, Any] = {
            "receiveStock": {"toLocationId": target, "quantity": quantity},
            "transferStock": {"fromLocationId": source, "toLocationId": target, "quantity": quantity},
            "usePart": {"fromLocationId": source, "quantity": quantity},
            "countStock": {"locationId": source, "counted": quantity},
        }.get(step, {})
        if given:
            await shop.house.run(step, partId=shop.part, **given)
            continue
        free = [m for m in await shop.movements() if m.count_id is None and m.reverses_id is None]
        taken = {m.reverses_id for m in await shop.movements()}
        if left := [m for m in free if m.id not in taken]:
            await shop.house.run("reverseStockMovement", movementId=choose.choice(left).id)
    await shop.agree()
