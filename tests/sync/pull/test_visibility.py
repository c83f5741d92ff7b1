"""After every complete pull a device holds exactly what its person may see.

Random histories are compared with an oracle that reads no edges and memberships.
"""

from __future__ import annotations

import contextlib
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.support.device import TestDevice
from tests.support.house import House
from tests.sync.oracle import Oracle
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.errors import Refused

STEPS = 70


class History:
    """A random day at the office and in the field, determined by the seed."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.random = random.Random(seed)
        self.ids: dict[str, list[UUID]] = {}
        self.actors: list[Actor] = []

    async def begin(self) -> History:
        for number in range(3):
            actor = await self.house.account("TECHNICIAN")
            self.actors.append(actor)
            await self.make("createTechnician", "technician", name=f"Technician {number}", accountId=actor.id)
        for number in range(3):
            customer = await self.make("createCustomer", "customer", name=f"Customer {number}")
            for place in range(2):
                await self.make("createSite", "site", customerId=customer, name=f"Site {number}.{place}")
        for _ in range(6):
            await self.new_asset()
        for _ in range(4):
            await self.new_order()
        return self

    async def make(self, command: str, kind: str, _as: Any = "MANAGER", /, **payload: Any) -> UUID:
        row = await self.house.run(command, _as, **payload)
        self.ids.setdefault(kind, []).append(row.id)
        id: UUID = row.id
        return id

    def any(self, kind: str) -> UUID:
        return self.random.choice(self.ids[kind])

    def day(self) -> Any:
        """Return a time, mostly within the window, sometimes far outside it."""
        return now() + timedelta(days=self.random.choice([-60, -20, -3, 0, 1, 5, 20, 60]), hours=1)

    async def step(self) -> None:
        with contextlib.suppress(Refused):
            await self.random.choice(self._moves)(self)

    async def new_order(self) -> None:
        site = self.any("site")
        order = await self.make(
            "createWorkOrder", "order", siteId=site, customerId=await self.customer_of(site), summary="Work"
        )
        starts = self.day()
        await self.make(
            "createAppointment",
            "appointment",
            workOrderId=order,
            startsAt=starts,
            endsAt=starts + timedelta(hours=1),
        )

    async def customer_of(self, site: UUID) -> UUID:
        oracle = await Oracle.read(self.house)
        found: UUID = next(row.customer_id for row in oracle.rows["Site"] if row.id == site)
        return found

    async def reported_order(self) -> None:
        actor = self.random.choice(self.actors)
        device = TestDevice(self.house, actor=actor)
        await device.pull()
        sites = [(id, row) for id, row in device.rows.items() if row["entity"] == "Site"]
        if sites:
            id, row = self.random.choice(sites)
            await self.make(
                "createWorkOrder", "order", actor, siteId=id, customerId=row["customerId"], summary="Leak"
            )

    async def new_asset(self) -> None:
        site = self.any("site")
        customer = await self.customer_of(site)
        asset = await self.make("createAsset", "asset", siteId=site, customerId=customer, name="Lift")
        await self.make("createMeter", "meter", assetId=asset, name="Hours", unit="h", kind="GAUGE")

    async def move_asset(self) -> None:
        await self.house.run("moveAsset", assetId=self.any("asset"), siteId=self.any("site"))

    async def reading(self) -> None:
        await self.make(
            "recordReading", "reading", meterId=self.any("meter"), value=self.random.random(), takenAt=now()
        )

    async def assign(self) -> None:
        await self.house.run(
            "assignTechnician", appointmentId=self.any("appointment"), technicianId=self.any("technician")
        )

    async def reassign(self) -> None:
        await self.house.run(
            "reassignAppointment", appointmentId=self.any("appointment"), technicianId=self.any("technician")
        )

    async def unassign(self) -> None:
        await self.house.run(
            "unassignTechnician", appointmentId=self.any("appointment"), technicianId=self.any("technician")
        )

    async def schedule(self) -> None:
        starts = self.day()
        await self.house.run(
            "scheduleAppointment",
            appointmentId=self.any("appointment"),
            startsAt=starts,
            endsAt=starts + timedelta(hours=1),
        )

    async def cancel(self) -> None:
        await self.house.run("cancelAppointment", appointmentId=self.any("appointment"), reason="Not needed")

    async def close_order(self) -> None:
        await self.house.run("cancelWorkOrder", workOrderId=self.any("order"), reason="Not needed")

    async def window(self) -> None:
        await self.house.run(
            "moveWindow",
            technicianId=self.any("technician"),
            windowFrom=now() - timedelta(days=self.random.choice([1, 14, 80])),
            windowTo=now() + timedelta(days=self.random.choice([2, 28, 80])),
        )

    async def contact(self) -> None:
        await self.make("createContact", "contact", customerId=self.any("customer"), name="Reception")

    async def drop_contact(self) -> None:
        if self.ids.get("contact"):
            await self.house.run("deleteContact", contactId=self.any("contact"))

    async def note(self) -> None:
        await self.house.run("addNote", appointmentId=self.any("appointment"), text="Key at the desk")

    async def rename(self) -> None:
        await self.house.run(
            "updateCustomer", customerId=self.any("customer"), phone=str(self.random.random())
        )

    _moves = (
        new_order, reported_order, new_asset, move_asset, reading, assign, assign, assign, reassign, unassign,
        schedule, cancel, close_order, window, contact, drop_contact, note, rename,
    )  # fmt: skip


async def compare(history: History, device: TestDevice) -> None:
    oracle = await Oracle.read(history.house)
    expected = oracle.sight(device.actor)
    names = {id: row["entity"] for id, row in (*expected.items(), *device.rows.items())}
    missing = sorted(names[id] for id in expected.keys() - device.rows.keys())
    extra = sorted(names[id] for id in device.rows.keys() - expected.keys())
    assert (missing, extra) == ([], [])
    assert device.rows == expected


@pytest.mark.prove_on("postgresql", "The same history on the other database.")
@pytest.mark.parametrize(
    "seed",
    [0, *(pytest.param(seed, marks=pytest.mark.prove("A long random history.")) for seed in range(1, 6))],
)
async def test_a_device_holds_exactly_what_its_person_may_see(house: House, tail: Tail, seed: int) -> None:
    history = await History(house, seed).begin()
    # One of each pair is answered from the cached end of the log when possible, the other never.
    devices = [TestDevice(house, actor=actor, tail=own) for actor in history.actors for own in (tail, None)]
    choice = history.random
    carried: set[UUID] = set()
    for _ in range(STEPS):
        await history.step()
        device = choice.choice(devices)
        if choice.random() < 0.4:
            await device.pull(limit=choice.choice([1, 2, 3, 7, 500]), pages=choice.choice([1, 2, 5]))
        elif choice.random() < 0.4:
            await device.pull(limit=choice.choice([3, 10, 500]))
            await compare(history, device)
        carried |= {id for id, row in device.rows.items() if row["entity"] == "Appointment"}
    for device in devices:
        await device.pull(limit=choice.choice([3, 500]))
        await compare(history, device)
    assert history.ids["reading"]
    assert carried, "A history without visits proves nothing."


async def test_an_office_device_pulls_every_row_of_the_organisation(house: House, tail: Tail) -> None:
    """The same pull gives the office the whole organisation."""
    history = await History(house, 99).begin()
    offices = [TestDevice(house, "MANAGER"), TestDevice(house, "MANAGER", tail=tail)]
    for _ in range(30):
        await history.step()
        for office in offices:
            await office.pull(limit=7)
    office = offices[0]
    assert office.rows == await office.fresh() == offices[1].rows
    oracle = await Oracle.read(house)
    assert set(office.rows) == {row.id for rows in oracle.rows.values() for row in rows}
