"""Assets: owner, place and status."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from tests.assets.things import grant, offline, revoke, site
from tests.support.house import House, seen
from tournee.assets.models import Asset, AssetStatus, Meter, Ownership
from tournee.assets.queries import possible_duplicates
from tournee.kernel.conflict import STATE_CHANGED_BY_BOTH
from tournee.kernel.entity import now
from tournee.kernel.errors import Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.kernel.log import Change


async def test_an_asset_belongs_to_the_customer_of_its_site(house: House) -> None:
    place = await site(house)
    asset = await house.run("createAsset", name="Demo boiler", siteId=place.id)
    assert (asset.customer_id, asset.ownership) == (place.customer_id, Ownership.CUSTOMER)
    other = await house.run("createCustomer", name="Demo Bakery")
    with pytest.raises(Invalid, match="another customer"):
        await house.run("createAsset", name="Demo boiler", siteId=place.id, customerId=other.id)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({}, "siteId"),
        ({"ownership": "COMPANY", "customerId": "customer"}, "customerId"),
        ({"customerId": "customer", "holderTechnicianId": "technician"}, "holderTechnicianId"),
        (
            {"ownership": "COMPANY", "siteId": "site", "holderTechnicianId": "technician"},
            "holderTechnicianId",
        ),
        (
            {"siteId": "site", "warrantyStartsOn": "2026-02-01", "warrantyEndsOn": "2026-01-31"},
            "warrantyEndsOn",
        ),
        ({"siteId": "site", "specification": {"power": 5}}, "specification"),
        ({"siteId": "site", "specification": {"power": "5\u0000"}}, "specification"),
        ({"siteId": "site", "specification": {str(n): "" for n in range(501)}}, "specification"),
        ({"siteId": "site", "criticality": "VITAL"}, "criticality"),
        ({"siteId": "site", "serialNumber": "9" * 121}, "serialNumber"),
    ],
)
async def test_an_asset_that_contradicts_itself_is_refused(
    house: House, bad: dict[str, Any], field: str
) -> None:
    place = await site(house)
    person, _ = await house.technician()
    ids = {"customer": place.customer_id, "site": place.id, "technician": person.id}
    given = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in bad.items()}
    with pytest.raises(Invalid) as refusal:
        await house.run("createAsset", name="Demo boiler", **given)
    assert (refusal.value.field or "").startswith(field)


async def test_an_asset_cannot_be_part_of_itself(house: House) -> None:
    place = await site(house)
    plant, boiler, pump = [
        await house.run("createAsset", name=name, siteId=place.id) for name in ("Plant", "Boiler", "Pump")
    ]
    await house.run("updateAsset", assetId=boiler.id, parentId=plant.id)
    await house.run("updateAsset", assetId=pump.id, parentId=boiler.id)
    for below in (plant, pump):
        with pytest.raises(Invalid, match="below itself"):
            await house.run("updateAsset", assetId=plant.id, parentId=below.id)


async def test_only_its_own_commands_change_a_status(house: House) -> None:
    place = await site(house)
    asset = await house.run("createAsset", name="Demo boiler", siteId=place.id, status="PLANNED")
    with pytest.raises(Invalid):
        await house.run("updateAsset", assetId=asset.id, status="ACTIVE")
    with pytest.raises(Invalid):
        await house.run("updateAsset", assetId=asset.id, siteId=place.id)


async def test_an_asset_goes_from_planned_to_retired(house: House) -> None:
    place = await site(house)
    made = await house.run("createAsset", name="Demo boiler", siteId=place.id, status="PLANNED")
    assert [step.to for step in made.transitions()] == ["INSTALLED", "ACTIVE", "RETIRED"]
    with pytest.raises(TransitionNotAllowed, match="PLANNED cannot become OUT_OF_SERVICE"):
        await house.run("takeAssetOutOfService", assetId=made.id)
    steps = [
        ("installAsset", AssetStatus.INSTALLED),
        ("commissionAsset", AssetStatus.ACTIVE),
        ("takeAssetOutOfService", AssetStatus.OUT_OF_SERVICE),
        ("returnAssetToService", AssetStatus.ACTIVE),
        ("retireAsset", AssetStatus.RETIRED),
    ]
    for name, status in steps:
        asset = await house.run(name, assetId=made.id)
        assert asset.status is status
    for name, _ in steps:
        with pytest.raises(TransitionNotAllowed, match="final"):
            await house.run(name, assetId=made.id)


def test_a_warranty_covers_its_first_and_last_day() -> None:
    asset = Asset(warranty_starts_on=date(2026, 1, 1), warranty_ends_on=date(2026, 12, 31))
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 1)]
    assert [asset.is_under_warranty(day) for day in days] == [False, True, True, False]
    assert not Asset(warranty_starts_on=date(2026, 1, 1)).is_under_warranty(date(2026, 1, 2))
    from_installation = Asset(installed_on=date(2026, 2, 1), warranty_ends_on=date(2026, 12, 31))
    assert not from_installation.is_under_warranty(date(2026, 1, 31))


async def test_an_asset_is_visible_through_its_site(house: House) -> None:
    place = await site(house)
    person, holder = await house.technician()
    _, visitor = await house.technician("Demo Two")
    installed = await house.run("createAsset", name="Demo boiler", siteId=place.id)
    loose = await house.run("createAsset", name="Demo heater", customerId=place.customer_id)
    van = await house.run(
        "createAsset", name="Demo van", ownership="COMPANY", kind="VEHICLE", holderTechnicianId=person.id
    )
    in_depot = await house.run("createAsset", name="Demo ladder", ownership="COMPANY")
    assert await seen(house, Asset, holder) == {van.id}
    assert await seen(house, Asset, visitor) == set()
    await grant(house, visitor, place.id)
    assert await seen(house, Asset, visitor) == {installed.id}
    await revoke(house, visitor, place.id)
    await grant(house, visitor, place.customer_id)
    assert await seen(house, Asset, visitor) == {loose.id}
    assert in_depot.id in await seen(house, Asset, house.actor("DISPATCHER"))


async def test_a_moved_asset_takes_its_parts_and_meters_along(house: House) -> None:
    here, there, elsewhere = await site(house), await site(house), await site(house)
    _, visitor = await house.technician()
    boiler = await house.run("createAsset", name="Boiler", siteId=here.id)
    pump = await house.run("createAsset", name="Pump", siteId=here.id, parentId=boiler.id)
    await house.run("createAsset", name="Spare", siteId=elsewhere.id, parentId=boiler.id)
    meter = await house.run("createMeter", assetId=pump.id, name="Use", unit="h")
    assert meter.site_id == here.id
    await grant(house, visitor, there.id)
    assert await seen(house, Meter, visitor) == set()
    moved = await house.run("moveAsset", assetId=boiler.id, siteId=there.id)
    assert (moved.site_id, moved.customer_id) == (there.id, there.customer_id)
    assert await seen(house, Asset, visitor) == {boiler.id, pump.id}
    assert await seen(house, Meter, visitor) == {meter.id}


async def test_a_company_asset_passes_between_holders(house: House) -> None:
    one, first = await house.technician()
    two, second = await house.technician("Demo Two")
    tool = await house.run(
        "createAsset", name="Meter", ownership="COMPANY", kind="TOOL", holderTechnicianId=one.id
    )
    with pytest.raises(NotFound):
        await house.run("moveAsset", second, assetId=tool.id, holderTechnicianId=two.id)
    await house.run("moveAsset", first, assetId=tool.id, holderTechnicianId=two.id)
    assert (await seen(house, Asset, first), await seen(house, Asset, second)) == (set(), {tool.id})
    in_depot = await house.run("moveAsset", assetId=tool.id)
    assert in_depot.holder_technician_id is None
    assert await seen(house, Asset, second) == set()


async def test_a_company_asset_at_a_customers_site_stays_the_companys(house: House) -> None:
    place = await site(house)
    tool = await house.run("createAsset", name="Dryer", ownership="COMPANY", kind="TOOL")
    moved = await house.run("moveAsset", assetId=tool.id, siteId=place.id)
    assert (moved.ownership, moved.site_id, moved.customer_id) == (Ownership.COMPANY, place.id, None)


async def test_an_asset_cannot_move_to_a_site_of_another_customer_than_the_named_one(house: House) -> None:
    here, there = await site(house), await site(house)
    asset = await house.run("createAsset", name="Demo boiler", siteId=here.id)
    with pytest.raises(Invalid, match="another customer"):
        await house.run("moveAsset", assetId=asset.id, siteId=there.id, customerId=here.customer_id)
    with pytest.raises(Invalid, match="another customer"):
        await house.run("createAsset", name="Pump", siteId=there.id, customerId=here.customer_id)


async def test_an_installation_date_is_a_valid_day_or_absent(house: House) -> None:
    place = await site(house)
    for given, day in (({"installedOn": date(2026, 3, 1)}, date(2026, 3, 1)), ({}, None)):
        asset = await house.run("createAsset", name="Demo boiler", siteId=place.id, status="PLANNED")
        installed = await house.run("installAsset", assetId=asset.id, **given)
        assert (installed.status, installed.installed_on) == (AssetStatus.INSTALLED, day)


async def test_a_customers_asset_can_only_move_to_a_site(house: House) -> None:
    place = await site(house)
    person, _ = await house.technician()
    asset = await house.run("createAsset", name="Demo boiler", siteId=place.id)
    for given in ({}, {"holderTechnicianId": person.id}):
        with pytest.raises(Invalid):
            await house.run("moveAsset", assetId=asset.id, **given)


async def test_a_technician_creates_assets_only_at_a_visible_site(house: House) -> None:
    place = await site(house)
    person, actor = await house.technician()
    with pytest.raises(NotFound):
        await house.run("createAsset", actor, name="Demo boiler", siteId=place.id)
    await grant(house, actor, place.id, place.customer_id)
    found = await house.run("createAsset", actor, name="Demo boiler", siteId=place.id)
    assert await seen(house, Asset, actor) == {found.id}
    for given in (
        {"customerId": place.customer_id},
        {"ownership": "COMPANY", "holderTechnicianId": person.id},
    ):
        with pytest.raises(Forbidden):
            await house.run("createAsset", actor, name="Demo boiler", **given)


async def test_another_organisations_assets_are_not_found(house: House) -> None:
    other = await House(house.database).found()
    foreign_site = await site(other)
    foreign = await other.run("createAsset", name="Theirs", siteId=foreign_site.id, serialNumber="1")
    meter = await other.run("createMeter", assetId=foreign.id, name="Use", unit="h")
    mine = await house.run("createAsset", name="Ours", siteId=(await site(house)).id, serialNumber="1")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("createAsset", {"name": "Mine", "siteId": foreign_site.id}),
        ("updateAsset", {"assetId": mine.id, "parentId": foreign.id}),
        ("moveAsset", {"assetId": mine.id, "siteId": foreign_site.id}),
        ("retireAsset", {"assetId": foreign.id}),
        ("createMeter", {"assetId": foreign.id, "name": "Use", "unit": "h"}),
        ("recordReading", {"meterId": meter.id, "value": 1, "takenAt": now()}),
    ]
    for name, given in attempts:
        with pytest.raises(NotFound):
            await house.run(name, **given)
    async with house.reading() as session:
        assert await possible_duplicates(session, house.actor()) == []


async def test_possible_duplicates_ignore_hyphens_and_include_only_visible_assets(house: House) -> None:
    place = await site(house)
    _, actor = await house.technician()
    twins = [
        await house.run("createAsset", name="A", siteId=place.id, serialNumber=number, manufacturer=maker)
        for number, maker in (("AB-12 3", "Demo Works"), ("ab123", "demo works"))
    ]
    for number, maker in (("ab123", "Another"), ("ab124", "Demo Works"), (None, "Demo Works"), (None, None)):
        given = {} if number is None else {"serialNumber": number}
        await house.run("createAsset", name="B", siteId=place.id, manufacturer=maker, **given)
    async with house.reading() as session:
        assert await possible_duplicates(session, house.actor()) == [sorted(twin.id for twin in twins)]
        assert await possible_duplicates(session, actor) == []


async def test_an_offline_step_on_a_retired_asset_opens_a_conflict(house: House) -> None:
    place = await site(house)
    _, actor = await house.technician()
    await grant(house, actor, place.id)
    asset = await house.run("createAsset", name="Demo boiler", siteId=place.id)
    base = await house.seq()
    await house.run("retireAsset", "DISPATCHER", assetId=asset.id)
    row, operation = await offline(house, actor, base, "takeAssetOutOfService", assetId=asset.id)
    assert row.status is AssetStatus.RETIRED
    clash = operation.conflict
    assert clash is not None
    assert (clash.kind, operation.lost) == (STATE_CHANGED_BY_BOTH, ["status"])
    assert (clash.base, clash.mine, clash.theirs) == (
        {"status": "ACTIVE"},
        {"status": "OUT_OF_SERVICE"},
        {"status": "RETIRED"},
    )


async def test_two_devices_taking_the_same_step_do_not_conflict(house: House) -> None:
    place = await site(house)
    _, actor = await house.technician()
    await grant(house, actor, place.id)
    asset = await house.run("createAsset", name="Demo boiler", siteId=place.id)
    base = await house.seq()
    await house.run("takeAssetOutOfService", assetId=asset.id)
    row, operation = await offline(house, actor, base, "takeAssetOutOfService", assetId=asset.id)
    assert (row.status, operation.conflict) == (AssetStatus.OUT_OF_SERVICE, None)


async def test_a_step_on_an_asset_no_longer_visible_is_applied(house: House) -> None:
    here, there = await site(house), await site(house)
    _, actor = await house.technician()
    asset = await house.run("createAsset", name="Demo boiler", siteId=here.id)
    await grant(house, actor, here.id)
    base = await house.seq()
    await house.run("moveAsset", assetId=asset.id, siteId=there.id)
    with pytest.raises(NotFound):
        await house.run("takeAssetOutOfService", actor, assetId=asset.id)
    row, _ = await offline(house, actor, base, "takeAssetOutOfService", assetId=asset.id)
    assert row.status is AssetStatus.OUT_OF_SERVICE
    with pytest.raises(NotFound):
        await offline(house, actor, await house.seq(), "returnAssetToService", assetId=asset.id)


async def test_two_moves_keep_the_later_one_and_open_a_conflict(house: House) -> None:
    here, office, field = await site(house), await site(house), await site(house)
    _, actor = await house.technician()
    asset = await house.run("createAsset", name="Demo boiler", siteId=here.id)
    await grant(house, actor, here.id, field.id)
    base = await house.seq()
    await house.run("moveAsset", assetId=asset.id, siteId=office.id)
    row, operation = await offline(house, actor, base, "moveAsset", assetId=asset.id, siteId=field.id)
    assert row.site_id == field.id
    assert operation.conflict is not None
    assert operation.conflict.theirs["siteId"] == str(office.id)


async def test_the_log_records_who_moved_an_asset_where(house: House) -> None:
    here, there = await site(house), await site(house)
    asset = await house.run("createAsset", name="Boiler", siteId=here.id)
    seq = await house.seq()
    await house.run("moveAsset", assetId=asset.id, siteId=there.id)
    async with house.reading() as session:
        rows = await session.execute(
            select(Change.command, Change.entity).where(
                Change.organisation_id == house.organisation_id, Change.seq > seq
            )
        )
        assert [tuple(row) for row in rows] == [("moveAsset", "Asset")]
