"""Two simultaneous changes of one person's visibility: the second takes the first into account."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House
from tests.sync.history.broken import EARLY
from tournee.engine import publishing
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.log import Member


@pytest.fixture(autouse=True)
def _on_postgresql(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer")


class Scene:
    """A technician, and visits of one customer, each with its own order."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def begin(self) -> Scene:
        self.customer = (await self.house.run("createCustomer", name="Demo Bakery")).id
        self.actor = await self.house.account("TECHNICIAN")
        self.technician = await self._technician(self.actor)
        self.visits = [await self._visit(), await self._visit()]
        self.others = [await self._technician(await self.house.account("TECHNICIAN")) for _ in self.visits]
        return self

    async def _technician(self, actor: Actor) -> UUID:
        made = await self.house.run("createTechnician", name="Demo Technician", accountId=actor.id)
        return UUID(str(made.id))

    async def _visit(self) -> UUID:
        order = await self.house.run("createWorkOrder", customerId=self.customer, summary="Cold oven")
        starts = now() + timedelta(hours=1)
        hours = {"startsAt": starts, "endsAt": starts + timedelta(hours=1)}
        return UUID(str((await self.house.run("createAppointment", workOrderId=order.id, **hours)).id))

    async def taken_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Reassign both visits in transactions that have both written before either takes the head."""
        both, take = asyncio.Barrier(2), publishing._take_head

        async def together(tx: Any) -> int:
            await both.wait()
            return await take(tx)

        with monkeypatch.context() as patched:
            patched.setattr(publishing, "_take_head", together)
            async with asyncio.timeout(30):
                moves = zip(self.visits, self.others, strict=True)
                await asyncio.gather(*(self.give(visit, other) for visit, other in moves))

    async def give(self, visit: UUID, technician: UUID) -> None:
        await self.house.run("reassignAppointment", appointmentId=visit, technicianId=technician)

    async def held(self) -> set[UUID]:
        async with self.house.reading() as session:
            mine = Member.account_id == self.actor.id, Member.to_seq.is_(None)
            return set(await session.scalars(select(Member.scope).where(*mine)))


@pytest.mark.parametrize("broken", [False, True], ids=["as it is", EARLY.what])
async def test_losing_two_visits_at_once_removes_their_customer(
    house: House, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    scene = await Scene(house).begin()
    for visit in scene.visits:
        await scene.give(visit, scene.technician)
    device = TestDevice(house, actor=scene.actor)
    await device.pull()
    gone = {*scene.visits, scene.customer}
    assert gone <= await scene.held() & device.rows.keys()
    with EARLY.applied() if broken else nullcontext():
        await scene.taken_at_once(monkeypatch)
    await device.pull()
    # A transaction that computes the scopes before the other commits would leave some of them.
    assert bool(gone & await scene.held() & device.rows.keys()) is broken
