"""A device that returns after three weeks, or with a clock decades off, loses no work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World
from tournee.assets.models import Asset, Reading
from tournee.customers.models import Contact, Interaction
from tournee.kernel.conflict import RECORD_DELETED_MEANWHILE, Conflict
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import Change
from tournee.sync.messages import Outcome
from tournee.work.models import Appointment, AppointmentEvent, Note, TimeEntry

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

STEPS = ("acceptAppointment", "startTravel", "arriveOnSite", "startWork", "completeAppointment")
LATE = timedelta(weeks=3)


class Day:
    """One technician's visit, planned before the device went offline, with all the work on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.house = world.house
        self.began = now().replace(microsecond=0) - LATE
        self.device: TestDevice
        self.visit: Appointment
        self.asset: Any
        self.meter: Any
        self.contact: Any
        self.technician_id: UUID

    async def plan(self) -> Day:
        world, run = self.world, self.house.run
        technician = await world.technician()
        self.technician_id = technician.id
        self.device = TestDevice(self.house, actor=technician.actor)
        assert technician.actor.device_id is not None
        self.device.id = technician.actor.device_id
        self.asset = await run("createAsset", siteId=world.site.id, name="Demo boiler")
        self.meter = await run("createMeter", assetId=self.asset.id, name="Demo hours", unit="h")
        self.contact = await run("createContact", customerId=world.customer.id, name="Demo Contact")
        order = await world.order(assetId=self.asset.id, contactId=self.contact.id)
        starts = self.began
        self.visit = await world.visit(
            technician, order=order, startsAt=starts, endsAt=starts + timedelta(hours=3)
        )
        await self.device.pull()
        for row in (self.visit, self.asset, self.meter, self.contact):
            assert row.id in self.device.rows
        return self

    def queued(self, clock: timedelta = timedelta(0)) -> list[dict[str, Any]]:
        """Return the visit's operations; `clock` is how far the device's clock is off."""
        visit, site = self.visit.id, self.world.site.id
        when = [self.began + clock + timedelta(minutes=10 * place) for place in range(5)]
        made = [
            self.at(moment, step, appointmentId=visit, at=moment)
            for step, moment in zip(STEPS, when, strict=True)
        ]
        call = {"channel": "PHONE", "direction": "INBOUND", "subject": "Demo", "at": when[1]}
        customer, contact = self.world.customer.id, self.contact.id
        facts: list[tuple[str, dict[str, Any]]] = [
            (
                "recordReading",
                {"meterId": self.meter.id, "value": 12.5, "takenAt": when[3], "appointmentId": visit},
            ),
            ("addNote", {"text": "Demo leak", "appointmentId": visit, "at": when[3]}),
            (
                "recordTimeEntry",
                {"kind": "WORK", "startsAt": when[3], "endsAt": when[4], "appointmentId": visit},
            ),
            ("recordInteraction", {**call, "customerId": customer, "contactId": contact, "siteId": site}),
        ]
        made[4:4] = [self.at(when[3], command, **input) for command, input in facts]
        for number, operation in enumerate(made, 1):
            operation["number"] = number
        return made

    def at(self, moment: datetime, command: str, /, **input: Any) -> dict[str, Any]:
        return self.device.operation(command, **input) | {"occurredAt": moment.isoformat()}

    async def conflicts(self) -> list[Conflict]:
        return await self.world.conflicts()

    async def everything_arrived(self, outcomes: list[Outcome], clock: timedelta = timedelta(0)) -> None:
        """Check that nothing was refused and each fact has the time it happened."""
        assert [(one.status, one.code, one.message) for one in outcomes if one.status not in TAKEN] == []
        own = self.technician_id
        events = [event for event in await self.world.events(self.visit) if event.technician_id == own]
        began = self.began + clock
        assert [event.occurred_at for event in events] == [
            began + timedelta(minutes=10 * n) for n in range(5)
        ]
        for model, name, minutes in FACTS:
            (row,) = await self.world.house.rows(model)
            assert getattr(row, name) == began + timedelta(minutes=minutes), model
        async with self.house.reading() as session:
            from sqlalchemy import select

            logged = await session.scalars(
                select(Change.occurred_at).where(
                    Change.organisation_id == self.house.organisation_id, Change.device_id == self.device.id
                )
            )
            assert set(logged) <= {began + timedelta(minutes=10 * n) for n in range(5)}


TAKEN = {"applied", "merged", "superseded"}
FACTS: tuple[tuple[Any, str, int], ...] = (
    (Reading, "taken_at", 30),
    (TimeEntry, "starts_at", 30),
    (Interaction, "occurred_at", 10),
)


@pytest_asyncio.fixture
async def day(house: House) -> Day:
    return await Day(await World(house).settle()).plan()


async def nothing(_day: Day) -> None:
    """Change nothing in the office."""


async def canceled(day: Day) -> None:
    await day.house.run("cancelAppointment", appointmentId=day.visit.id, reason="Demo customer called")


async def reassigned(day: Day) -> None:
    other = await day.world.technician()
    await day.house.run("reassignAppointment", appointmentId=day.visit.id, technicianId=other.id)


async def unassigned(day: Day) -> None:
    await day.house.run("recallAppointment", appointmentId=day.visit.id)
    await day.house.run("unassignTechnician", appointmentId=day.visit.id, technicianId=day.technician_id)


async def made_by_another(day: Day) -> None:
    other = await day.world.technician()
    await day.house.run("reassignAppointment", appointmentId=day.visit.id, technicianId=other.id)
    for place, step in enumerate(STEPS):
        at = day.began + timedelta(days=1, minutes=place)
        await day.house.run(step, other.actor, appointmentId=day.visit.id, at=at)


async def order_closed(day: Day) -> None:
    await made_by_another(day)
    await day.house.run("closeWorkOrder", workOrderId=day.visit.work_order_id)


async def order_canceled(day: Day) -> None:
    await day.house.run("cancelWorkOrder", workOrderId=day.visit.work_order_id, reason="Demo")


async def asset_moved(day: Day) -> None:
    elsewhere = await day.house.run("createCustomer", name="Demo elsewhere")
    site = await day.house.run("createSite", customerId=elsewhere.id, name="Demo hill")
    await day.house.run("moveAsset", assetId=day.asset.id, customerId=elsewhere.id, siteId=site.id)


async def contact_deleted(day: Day) -> None:
    await day.house.run("updateWorkOrder", workOrderId=day.visit.work_order_id, contactId=None)
    await day.house.run("deleteContact", contactId=day.contact.id)


async def all_at_once(day: Day) -> None:
    await contact_deleted(day)
    await asset_moved(day)
    await order_closed(day)


Change_ = Callable[[Day], Awaitable[None]]
CLASHES = (canceled, reassigned, unassigned, made_by_another, order_closed, order_canceled, all_at_once)
HARMLESS = (nothing, asset_moved, contact_deleted)


@pytest.mark.parametrize("office", [*CLASHES, *HARMLESS], ids=lambda office: office.__name__)
async def test_work_three_weeks_late_is_applied_at_its_own_times(day: Day, office: Change_) -> None:
    queued = day.queued()
    await office(day)
    outcomes = await day.device.push(*queued)
    await day.everything_arrived(outcomes)
    found = [conflict for conflict in await day.conflicts() if conflict.entity == "Appointment"]
    assert len(found) == (office in CLASHES)
    for conflict in found:
        assert (conflict.role, conflict.record_id) == ("DISPATCHER", day.visit.id)
        assert conflict.mine["status"] == "COMPLETED"
        dispatcher = TestDevice(day.house, "DISPATCHER")
        await dispatcher.pull()
        assert dispatcher.rows[conflict.id]["status"] == "OPEN"
    assert {one.status for one in await day.device.push(*queued)} == {"duplicate"}
    assert len([one for one in await day.conflicts() if one.entity == "Appointment"]) == len(found)


@pytest.mark.parametrize("years", [-30, 30])
@pytest.mark.parametrize("office", [nothing, canceled], ids=lambda office: office.__name__)
async def test_a_clock_thirty_years_off_decides_nothing(day: Day, office: Change_, years: int) -> None:
    off = timedelta(days=365 * years)
    queued = day.queued(off)
    await office(day)
    await day.everything_arrived(await day.device.push(*queued), off)
    assert len(await day.conflicts()) == (office is canceled)
    visit = await day.world.read(Appointment, day.visit.id)
    assert (visit.status, visit.work_minutes) == ("COMPLETED", 10)
    assert abs(visit.created_at - now()) < timedelta(hours=1)


async def test_a_wrong_clock_neither_wins_nor_loses_an_edit(day: Day) -> None:
    """The edit that arrives last wins, whatever either clock says."""
    order = day.visit.work_order_id
    edit = day.at(now() - timedelta(days=365 * 30), "updateWorkOrder", workOrderId=order, symptom="Device")
    edit["number"] = 1
    await day.house.run("updateWorkOrder", workOrderId=order, symptom="Office")
    (outcome,) = await day.device.push(edit)
    assert (outcome.status, outcome.code) == ("merged", None)
    assert outcome.conflict is not None


async def test_unsent_orders_and_edits_survive_the_closing_of_their_order(day: Day) -> None:
    """A follow-up order, a new asset and an edit of a deleted record are all kept."""
    world = day.world
    follow_up = {"customerId": world.customer.id, "siteId": world.site.id, "summary": "Demo follow-up"}
    moment = day.began
    queued = [
        day.at(
            moment,
            "createWorkOrder",
            id=new_id(),
            assetId=day.asset.id,
            contactId=day.contact.id,
            **follow_up,
        ),
        day.at(moment, "createAsset", siteId=world.site.id, name="Demo pump found"),
        day.at(
            moment, "updateWorkOrder", workOrderId=day.visit.work_order_id, resolution="Demo replaced valve"
        ),
        day.at(moment, "addNote", workOrderId=day.visit.work_order_id, text="Demo"),
    ]
    await all_at_once(day)
    outcomes = await day.device.push(*queued)
    assert [(one.status, one.code, one.message) for one in outcomes if one.status not in TAKEN] == []
    (note,) = await world.house.rows(Note)
    assert note.text == "Demo"
    assert {row.name for row in await world.house.rows(Asset)} >= {"Demo pump found"}
    # A fact that names a deleted record restores it, and a person decides.
    assert [row.deleted for row in await world.house.rows(Contact)] == [False]
    kinds = [conflict.kind for conflict in await world.conflicts()]
    assert kinds.count(RECORD_DELETED_MEANWHILE) == 1
    assert await world.house.rows(AppointmentEvent)
