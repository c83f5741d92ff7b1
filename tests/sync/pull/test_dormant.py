"""Scopes that nobody holds have no edges; a person who gets one sees what lies in it now."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from tests.support import migrate
from tests.support.ask import ask
from tests.support.device import TestDevice, technicians_device, visit
from tests.support.house import House
from tournee.engine import dormancy
from tournee.engine.horizon import forget, raise_floor
from tournee.engine.notes import scopes_of
from tournee.kernel.dormant import DormantScope
from tournee.kernel.entity import now
from tournee.kernel.log import Edge, Member
from tournee.work.models import Appointment

# The revision before there were dormant scopes.
BEFORE = "0024"


async def forget_all(house: House) -> None:
    """Let everything so far be older than any device may need."""
    await house.run("createSkill", name="Lifts")
    later = now() + timedelta(hours=1)
    await raise_floor(house.database, house.organisation_id, later)
    await forget(house.database, house.organisation_id, later)


async def edges(house: House, scope: UUID) -> set[UUID]:
    async with house.reading() as session:
        return set(await session.scalars(select(Edge.record_id).where(Edge.scope == scope, Edge.open)))


async def dormant(house: House) -> set[UUID]:
    async with house.reading() as session:
        return set(await session.scalars(select(DormantScope.scope)))


class Scene:
    """A technician's visit, with a note, at a site with a boiler."""

    def __init__(self, house: House, device: TestDevice) -> None:
        self.house, self.device = house, device

    async def set_up(self) -> Scene:
        self.visit, self.me = await visit(self.house, self.device)
        row = await self._row()
        self.site, self.customer, self.order = row.site_id, row.customer_id, row.work_order_id
        self.boiler = (await self.house.run("createAsset", name="Demo boiler", siteId=self.site)).id
        await self.device.pull()
        note = await self.device.do("addNote", appointmentId=self.visit, text="Demo", at=now())
        self.note = note.record_id
        await self.device.pull()
        return self

    async def _row(self) -> Any:
        (row,) = await self.house.rows(Appointment, Appointment.id == self.visit)
        return row

    async def assign(self, *, yes: bool) -> None:
        command = "assignTechnician" if yes else "unassignTechnician"
        await self.house.run(command, appointmentId=self.visit, technicianId=self.me)

    async def rest(self) -> None:
        """Take the visit away, and let that be long ago."""
        await self.assign(yes=False)
        await forget_all(self.house)
        assert {self.visit, self.site, self.order} <= await dormant(self.house)

    async def sees(self, id: UUID | None) -> bool:
        await self.device.pull()
        assert self.device.rows == await self.device.fresh()
        return id in self.device.rows


@pytest.fixture
async def scene(house: House) -> Scene:
    return await Scene(house, await technicians_device(house)).set_up()


async def test_a_scope_that_nobody_holds_gives_up_its_edges_and_gets_them_back(scene: Scene) -> None:
    before = {one: await edges(scene.house, one) for one in (scene.visit, scene.site, scene.order)}
    assert {scene.visit, scene.note} <= before[scene.visit]
    copy = dict(scene.device.rows)
    await scene.rest()
    for scope in before:
        assert await edges(scene.house, scope) == set()
    assert not await scene.sees(scene.visit)
    await scene.assign(yes=True)
    for scope, records in before.items():
        assert await edges(scene.house, scope) >= records
        assert scope not in await dormant(scene.house)
    assert await scene.sees(scene.note)
    assert copy.keys() - scene.device.rows.keys() <= {
        id for id, row in copy.items() if row["entity"] == "Assignment"
    }


async def test_scopes_that_somebody_holds_or_held_lately_keep_their_edges(scene: Scene) -> None:
    await forget_all(scene.house)
    assert scene.visit not in await dormant(scene.house)
    assert await edges(scene.house, scene.visit)
    await scene.assign(yes=False)
    await scene.house.run("createSkill", name="Doors")
    long_ago = now() - timedelta(days=400)
    await forget(scene.house.database, scene.house.organisation_id, long_ago)
    assert scene.visit not in await dormant(scene.house)


async def test_what_left_a_dormant_scope_is_not_seen_again(scene: Scene) -> None:
    await scene.rest()
    house = scene.house
    other = await house.run("createSite", customerId=scene.customer, name="Demo depot")
    await house.run("moveAsset", assetId=scene.boiler, siteId=other.id)
    await scene.assign(yes=True)
    assert not await scene.sees(scene.boiler)
    assert scene.boiler not in await edges(house, scene.site)


async def test_what_was_deleted_in_a_dormant_scope_is_not_seen_again(scene: Scene) -> None:
    contact = await scene.house.run("createContact", customerId=scene.customer, name="Demo Porter")
    await scene.rest()
    assert scene.customer in await dormant(scene.house)
    await scene.house.run("deleteContact", contactId=contact.id)
    await scene.assign(yes=True)
    assert not await scene.sees(contact.id)


async def test_what_came_into_a_dormant_scope_or_changed_there_is_seen(scene: Scene) -> None:
    await scene.rest()
    house = scene.house
    added = await house.run("createAsset", name="Demo pump", siteId=scene.site)
    await house.run("updateAsset", assetId=scene.boiler, name="Demo old boiler")
    await scene.assign(yes=True)
    assert await scene.sees(added.id)
    assert scene.device.rows[scene.boiler]["name"] == "Demo old boiler"
    # Once more, with the edge of what came in the meantime.
    await scene.rest()
    assert await edges(house, scene.site) == set()
    await scene.assign(yes=True)
    assert await scene.sees(added.id)


async def test_large_scopes_keep_their_edges(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dormancy, "MOST", 1)
    await scene.assign(yes=False)
    await forget_all(scene.house)
    assert scene.site not in await dormant(scene.house)
    assert scene.boiler in await edges(scene.house, scene.site)


async def test_a_grant_waits_for_a_scope_that_becomes_dormant(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the head lock in `forget_members`."""
    await scene.assign(yes=False)
    found, granted = asyncio.Event(), asyncio.Event()
    real = dormancy._unheld

    async def slowly(*arguments: Any) -> set[UUID]:
        scopes = await real(*arguments)
        if scene.visit in scopes:
            found.set()
            if not scene.house.database.is_sqlite:
                # The grant would have committed by now.
                await asyncio.sleep(0.5)
        return scopes

    async def grant() -> None:
        await found.wait()
        await scene.assign(yes=True)
        granted.set()

    monkeypatch.setattr(dormancy, "_unheld", slowly)
    await asyncio.gather(forget_all(scene.house), grant())
    assert granted.is_set()
    assert scene.visit not in await dormant(scene.house)
    assert await scene.sees(scene.note)


async def test_why_not_on_device_still_names_the_scopes(scene: Scene) -> None:
    await scene.rest()
    asked = """query($record: ID!, $account: ID!) {whyNotOnDevice(id: $record, accountId: $account) {
      visible reasons {code} scopes {scope entity held}}}"""
    found = await ask(
        scene.house, asked, "MANAGER", record=str(scene.visit), account=str(scene.device.actor.id)
    )
    scopes = found["whyNotOnDevice"]["scopes"]
    assert {"scope": str(scene.visit), "entity": "Appointment", "held": False} in scopes


async def test_a_dormant_scope_lists_just_the_rows_that_lie_in_it(scene: Scene) -> None:
    await scene.rest()
    async with scene.house.reading() as session:
        rows = await session.execute(select(DormantScope.scope, DormantScope.records))
        lists = {scope: dormancy._unpacked(packed) for scope, packed in rows}
        members = await session.scalar(select(func.count()).where(Member.scope.in_(lists)))
    (appointment,) = await scene.house.rows(Appointment, Appointment.id == scene.visit)
    assert members == 0
    for scope in scopes_of(appointment):
        if scope in lists:
            assert scene.visit in lists[scope]


@pytest.mark.slow("It migrates down and up.")
async def test_an_earlier_version_finds_the_edges_again(scene: Scene) -> None:
    house = scene.house
    await scene.assign(yes=False)
    before = {one: await edges(house, one) for one in (scene.visit, scene.site)}
    await forget_all(house)
    other = await house.run("createSite", customerId=scene.customer, name="Demo depot")
    await house.run("moveAsset", assetId=scene.boiler, siteId=other.id)
    assert await edges(house, scene.visit) == set()
    migrate.downgrade(house.database.url, BEFORE)
    assert await edges(house, scene.site) == before[scene.site] - {scene.boiler}
    assert await edges(house, scene.visit) == before[scene.visit]
    migrate.upgrade(house.database.url)
    await scene.assign(yes=True)
    assert await scene.sees(scene.note)
