"""Who sees which stock: the technician who has the van, the office, and no customer."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.stock.shop import ONE, Shop, Van
from tests.support.ask import answer
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World
from tournee.auth.roles import Role, permissions_of
from tournee.kernel.entity import new_id
from tournee.stock.permissions import STOCK_MANAGE, STOCK_READ, STOCK_WRITE

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

_STOCK = {"Part", "StockLocation", "StockMovement", "StockCount", "StockLevel", "StockDiscrepancy"}


def stock(device: TestDevice) -> set[tuple[str, UUID]]:
    return {(row["entity"], id) for id, row in device.rows.items() if row["entity"] in _STOCK}


async def a_full_van(shop: Shop) -> Van:
    """Return a van with levels, movements, a count and a discrepancy."""
    van = await shop.van(filled=3)
    await shop.house.run("countStock", van.actor, **shop.counted(van, 2))
    await shop.house.run("usePart", van.actor, **shop.used(van, 4))
    return van


async def of_van(shop: Shop, van: Van) -> set[tuple[str, UUID]]:
    from tournee.stock.models import StockCount, StockDiscrepancy, StockLevel

    found = {("StockLocation", van.id)}
    for model in (StockCount, StockDiscrepancy, StockLevel):
        found |= {(model.__name__, row.id) for row in await shop.house.rows(model, location_id=van.id)}
    for end in ("from_location_id", "to_location_id"):
        found |= {("StockMovement", row.id) for row in await shop.movements(**{end: van.id})}
    return found


async def test_a_technician_sees_parts_warehouses_and_their_own_van(shop: Shop) -> None:
    own, other = await a_full_van(shop), await a_full_van(shop)
    await shop.fill(shop.warehouse, 5)
    mine = await of_van(shop, own)
    assert len({entity for entity, _ in mine}) == 5
    await own.device.pull()
    assert stock(own.device) == mine | {("Part", shop.part), ("StockLocation", shop.warehouse)}
    await other.device.pull()
    assert not stock(other.device) & mine


async def test_a_handed_over_van_takes_its_stock_along(shop: Shop) -> None:
    own, other = await a_full_van(shop), await shop.van()
    await own.device.pull()
    await shop.house.run("updateStockLocation", stockLocationId=own.id, technicianId=other.technician_id)
    mine = await of_van(shop, own)
    for van, sees in ((own, False), (other, True)):
        await van.device.pull()
        assert (stock(van.device) >= mine) is sees
        assert van.device.rows == await van.device.fresh()
    assert not stock(own.device) & mine


async def test_the_stock_of_a_vehicle_is_visible_to_its_holder(shop: Shop) -> None:
    first, second = await shop.van(), await shop.van()
    holder = {"holderTechnicianId": first.technician_id}
    company = {"kind": "VEHICLE", "ownership": "COMPANY"}
    vehicle = await shop.house.run("createAsset", name="Demo truck", **company, **holder)
    place = await shop.house.run("createStockLocation", name="Demo", kind="VAN", assetId=vehicle.id)
    received = await shop.fill(place.id, 3)
    for now_with, before_with in ((first, second), (second, first), (first, second)):
        await shop.house.run("moveAsset", assetId=vehicle.id, holderTechnicianId=now_with.technician_id)
        for van, sees in ((now_with, True), (before_with, False)):
            await van.device.pull()
            assert ({place.id, received.id} <= van.device.rows.keys()) is sees
            assert van.device.rows == await van.device.fresh()
    await shop.house.run("moveAsset", assetId=vehicle.id)
    await first.device.pull()
    assert place.id not in first.device.rows


async def test_an_assigned_technician_sees_the_parts_used_on_a_visit(shop: Shop) -> None:
    own, other = await shop.van(filled=3), await shop.van()
    world = await World(shop.house).settle()
    visit = await world.visit()
    for van in (own, other):
        await shop.house.run("assignTechnician", appointmentId=visit.id, technicianId=van.technician_id)
    used = await shop.house.run("usePart", own.actor, **shop.used(own, appointmentId=visit.id))
    await other.device.pull()
    assert used.id in other.device.rows
    assert own.id not in other.device.rows


async def test_a_customer_sees_no_stock(shop: Shop) -> None:
    own = await a_full_van(shop)
    world = await World(shop.house).settle()
    visit = await world.visit()
    await shop.house.run("assignTechnician", appointmentId=visit.id, technicianId=own.technician_id)
    await shop.house.run("usePart", own.actor, **shop.used(own, appointmentId=visit.id))
    portal = await shop.house.account("CUSTOMER_PORTAL", customerId=world.customer.id)
    device = TestDevice(shop.house, actor=portal)
    await device.pull()
    assert visit.id in device.rows
    assert not stock(device)
    document = "{appointments{nodes{partsUsed{name}}}}"
    assert (await answer(shop.house, document, portal)).codes == ["FORBIDDEN"]


async def test_the_office_sees_all_stock(shop: Shop) -> None:
    van = await a_full_van(shop)
    for role in ("MANAGER", "DISPATCHER", "AUDITOR", "REPORTING"):
        device = TestDevice(shop.house, role)
        await device.pull()
        assert stock(device) >= await of_van(shop, van)


def test_each_role_has_its_stock_permissions() -> None:
    held = {role: {one for one in permissions_of(role) if one.startswith("stock:")} for role in Role}
    read, write, manage = STOCK_READ, STOCK_WRITE, STOCK_MANAGE
    assert held == {
        Role.TECHNICIAN: {read, write},
        Role.DISPATCHER: {read, write, manage},
        Role.MANAGER: {read, write, manage},
        Role.AUDITOR: {read},
        Role.REPORTING: {read},
        Role.CUSTOMER_PORTAL: set(),
    }


async def test_another_organisation_sees_none_of_the_stock(shop: Shop, house: House) -> None:
    van = await a_full_van(shop)
    other = await Shop(await House(house.database).found()).open()
    stranger = await other.van()
    assert not stock(stranger.device) & await of_van(shop, van)
    given: dict[str, Any] = {"partId": other.part, "fromLocationId": van.id, "quantity": ONE}
    outcome = await stranger.device.do("usePart", **given, id=uuid4())
    nowhere = await stranger.device.do("usePart", **{**given, "fromLocationId": new_id()}, id=uuid4())
    assert (outcome.status, outcome.code, outcome.message) == (nowhere.status, nowhere.code, nowhere.message)
    assert outcome.status == "parked"
