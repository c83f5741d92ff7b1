"""A warehouse, parts and technicians with vans, for the stock tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import update

from tests.support.device import TestDevice
from tests.support.house import House
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.stock.models import StockCount, StockDiscrepancy, StockLevel, StockMovement
from tournee.stock.order import levels

ONE = 1000


@dataclass
class Van:
    """A technician with a device, and the van's stock."""

    technician_id: UUID
    actor: Actor
    id: UUID
    device: TestDevice


class Shop:
    """An organisation with a warehouse and a part."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.vans: list[Van] = []
        self.warehouse: UUID
        self.part: UUID

    async def open(self) -> Shop:
        self.warehouse = (
            await self.house.run("createStockLocation", name="Demo warehouse", kind="WAREHOUSE")
        ).id
        self.part = await self.new_part()
        return self

    async def new_part(self, **fields: Any) -> UUID:
        values = {"number": f"DEMO-{uuid4().hex[:8]}", "name": "Demo relay", **fields}
        id: UUID = (await self.house.run("createPart", **values)).id
        return id

    async def van(self, filled: int = 0) -> Van:
        """Return a technician with an account and a van with this many pieces of the part."""
        actor = await self.house.account("TECHNICIAN")
        technician = await self.house.run("createTechnician", name="Demo Technician", accountId=actor.id)
        place = await self.house.run(
            "createStockLocation", name="Demo van", kind="VAN", technicianId=technician.id
        )
        van = Van(technician.id, actor, place.id, TestDevice(self.house, actor=actor))
        self.vans.append(van)
        if filled:
            await self.fill(van.id, filled)
        await van.device.pull()
        return van

    async def fill(self, place: UUID, pieces: int, **more: Any) -> StockMovement:
        moved: StockMovement = await self.house.run(
            "receiveStock", partId=self.part, toLocationId=place, quantity=pieces * ONE, **more
        )
        return moved

    def used(self, van: Van, pieces: float = 1, **more: Any) -> dict[str, Any]:
        """Return the input of `usePart`."""
        return {"partId": self.part, "fromLocationId": van.id, "quantity": round(pieces * ONE), **more}

    def counted(self, van: Van, pieces: float, **more: Any) -> dict[str, Any]:
        """Return the input of `countStock`."""
        return {"partId": self.part, "locationId": van.id, "counted": round(pieces * ONE), **more}

    async def level(self, place: UUID, part: UUID | None = None) -> float:
        """Return the level in pieces, as the server derived it."""
        rows = await self.house.rows(StockLevel, part_id=part or self.part, location_id=place)
        assert len(rows) <= 1
        return rows[0].quantity / ONE if rows else 0

    async def movements(self, **values: Any) -> list[StockMovement]:
        return await self.house.rows(StockMovement, **values)

    async def counts(self) -> list[StockCount]:
        return await self.house.rows(StockCount)

    async def discrepancies(self) -> list[StockDiscrepancy]:
        return await self.house.rows(StockDiscrepancy)

    async def put_back(self, hours: float) -> None:
        """Move everything recorded so far into the past."""
        table: Any = StockMovement.__table__
        earlier = now() - timedelta(hours=hours)
        async with self.house.writing() as session:
            own = table.c.organisation_id == self.house.organisation_id
            await session.execute(update(table).where(own).values(placed_at=earlier, occurred_at=earlier))
            await session.commit()

    async def agree(self) -> None:
        """Check that levels are the sums of the ledger, and counts equal their adjustments."""
        movements = await self.movements()
        derived = {(row.part_id, row.location_id): row.quantity for row in await self.house.rows(StockLevel)}
        assert {key: derived.pop(key) for key in levels(movements)} == levels(movements)
        assert not any(derived.values())
        for count in await self.counts():
            adjusted = sum(m.change_at(count.location_id) for m in movements if m.count_id == count.id)
            assert (count.difference, count.expected) == (adjusted, count.counted - adjusted)


def ago(minutes: float) -> datetime:
    return now() - timedelta(minutes=minutes)


def at(device: TestDevice, moment: datetime, command: str, **input: Any) -> dict[str, Any]:
    """Return an operation of that time by the device's clock."""
    return device.operation(command, **input) | {"occurredAt": moment.isoformat()}
