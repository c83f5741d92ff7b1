"""Stock in GraphQL: computed values, and no statement per row."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stock.shop import ONE, Shop
from tests.support.ask import ask, statements
from tests.support.world import World

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

_PARTS_USED = """
{ appointments { nodes {
  id partsUsed { partId number name quantity unit } workOrder { partsUsed { quantity } }
} } }
"""
_LEVELS = """
{ parts { nodes { id levels { nodes { quantity belowMinimum location { name holder { name } } } } } }
  stockLocations { nodes { id levels { nodes { quantity part { number } } } } } }
"""


async def test_a_visits_used_parts_exclude_returned_and_reversed_ones(shop: Shop) -> None:
    van = await shop.van(filled=9)
    world = await World(shop.house).settle()
    visit = await world.visit()
    await shop.house.run("assignTechnician", appointmentId=visit.id, technicianId=van.technician_id)
    on_visit = {"appointmentId": visit.id}
    for pieces in (3, 2):
        wrong = await shop.house.run("usePart", van.actor, **shop.used(van, pieces, **on_visit))
    back = {"partId": shop.part, "toLocationId": van.id, "quantity": ONE, **on_visit}
    await shop.house.run("returnPart", van.actor, **back)
    await shop.house.run("reverseStockMovement", van.actor, movementId=wrong.id)
    hose = await shop.new_part(unit="METRE")
    gone = await shop.house.run(
        "usePart", partId=hose, fromLocationId=shop.warehouse, quantity=1500, **on_visit
    )
    await shop.house.run("reverseStockMovement", movementId=gone.id)
    [node] = (await ask(shop.house, _PARTS_USED))["appointments"]["nodes"]
    [used] = node["partsUsed"]
    assert (used["partId"], used["quantity"], used["unit"]) == (str(shop.part), 2 * ONE, "PIECE")
    assert node["workOrder"]["partsUsed"] == [{"quantity": 2 * ONE}]
    [node] = (await ask(shop.house, _PARTS_USED, van.actor))["appointments"]["nodes"]
    assert [one["quantity"] for one in node["partsUsed"]] == [2 * ONE]


async def test_a_level_shows_whether_it_is_below_the_minimum_and_a_van_its_holder(shop: Shop) -> None:
    van = await shop.van(filled=2)
    await shop.house.run("updatePart", partId=shop.part, minimum=3 * ONE)
    found = await ask(shop.house, _LEVELS)
    [part] = found["parts"]["nodes"]
    assert part["levels"]["nodes"] == [
        {
            "quantity": 2 * ONE,
            "belowMinimum": True,
            "location": {"name": "Demo van", "holder": {"name": "Demo Technician"}},
        }
    ]
    await shop.fill(van.id, 1)
    found = await ask(shop.house, "{stockLevels(filter:{quantity:{gte:3000}}){nodes{belowMinimum}}}")
    assert found["stockLevels"]["nodes"] == [{"belowMinimum": False}]


async def furnish(shop: Shop, count: int) -> None:
    world = await World(shop.house).settle()
    for _ in range(count):
        van = await shop.van(filled=3)
        visit = await world.visit()
        part = await shop.new_part()
        for one in (shop.part, part):
            used: dict[str, Any] = {**shop.used(van), "partId": one, "appointmentId": visit.id}
            await shop.house.run("usePart", **used)


async def test_the_number_of_statements_does_not_grow_with_the_rows(shop: Shop) -> None:
    await furnish(shop, 1)
    counted = []
    for document in (_PARTS_USED, _LEVELS):
        with statements(shop.house) as few:
            await ask(shop.house, document)
        counted.append(len(few))
    await furnish(shop, 4)
    for document, few in zip((_PARTS_USED, _LEVELS), counted, strict=True):
        with statements(shop.house) as many:
            found = await ask(shop.house, document)
        assert all(len(nodes["nodes"]) >= 5 for nodes in found.values())
        assert len(many) == few <= 9, "\n".join(many)


async def test_quantities_beyond_32_bits_are_returned(shop: Shop) -> None:
    for _ in range(3):
        await shop.fill(shop.warehouse, 1_000_000)
    found = await ask(shop.house, "{stockLevels{nodes{quantity}}}")
    assert found["stockLevels"]["nodes"] == [{"quantity": 3_000_000_000}]
