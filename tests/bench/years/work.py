"""The work that is copied, carried out with the real commands.

A customer with a site, a contact and seven assets; three orders there with five visits, finished by a
technician's device; an order with a visit that is planned and dispatched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

from tests.support.device import TestDevice
from tests.support.field import checklist
from tests.support.house import House
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id

ASSETS = 7
# Visits of each order.
VISITS = (1, 2, 2)
# Days from today for which the template's visit is planned.
PLANNED_IN = 7


@dataclass
class Technician:
    """A technician with the account and the device that they use."""

    id: UUID
    actor: Actor
    device: TestDevice

    def names(self) -> dict[UUID, str]:
        return {self.id: "technician", self.actor.id: "account", self.device.id: "device"}


@dataclass
class Crew:
    """The people of an organisation, and what all work refers to."""

    house: House
    dispatcher: Actor
    version_id: UUID
    template_id: UUID
    technicians: list[Technician] = field(default_factory=list)

    async def hire(self) -> Technician:
        row, actor = await self.house.technician(f"Demo Technician {len(self.technicians) + 1}")
        device = TestDevice(self.house, actor=actor)
        await device.push()
        self.technicians.append(Technician(row.id, actor, device))
        return self.technicians[-1]

    def names(self) -> dict[UUID, str]:
        return {
            self.house.organisation_id: "organisation",
            self.dispatcher.id: "dispatcher",
            self.template_id: "checklist",
            self.version_id: "version",
        }


async def crew_of(house: House) -> Crew:
    """Return an organisation's people: a dispatcher, and no technician yet."""
    dispatcher = await house.account("DISPATCHER")
    template_id, version_id = await checklist(house)
    return Crew(house, dispatcher, version_id, template_id)


@dataclass
class Site:
    """A customer's site with what stands there."""

    customer: UUID
    site: UUID
    assets: list[UUID]

    def names(self) -> dict[UUID, str]:
        assets = {id: f"asset{n}" for n, id in enumerate(self.assets)}
        return {self.customer: "customer", self.site: "site", **assets}


async def add_site(crew: Crew) -> Site:
    """Add a customer with a site, a contact and its assets."""

    async def run(name: str, /, **payload: Any) -> UUID:
        made = await crew.house.run(name, crew.dispatcher, **payload)
        return made.id

    own = {"customerId": await run("createCustomer", name="Demo Hotel", phone="+33 1 99 00 00 00")}
    address = {"street": "1 Example Quay", "postalCode": "99000", "city": "Demo Port", "country": "FR"}
    site = await run("createSite", name="Demo Harbour", **own, **address)
    await run("createContact", name="Demo Porter", siteId=site, phone="+33 1 99 00 00 01", **own)
    assets = [
        await run(
            "createAsset", name=f"Demo boiler {n}", siteId=site, manufacturer="Demo", serialNumber=f"B-{n}"
        )
        for n in range(ASSETS)
    ]
    return Site(own["customerId"], site, assets)


async def finish_orders(crew: Crew, site: Site) -> None:
    """Carry out three orders in five visits yesterday, which the technician's device records."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    hours = iter(range(8, 8 + sum(VISITS)))
    for n, count in enumerate(VISITS):
        order = await _order(crew, site, n)
        times = [datetime.combine(yesterday, time(next(hours)), UTC) for _ in range(count)]
        visits = [await _visit(crew, order, begins) for begins in times]
        for visit, begins in zip(visits, times, strict=True):
            await _record(crew, visit, begins, n)
        await crew.house.run("closeWorkOrder", crew.dispatcher, workOrderId=order)


async def plan_visit(crew: Crew, site: Site) -> UUID:
    """Plan a visit a week from now, dispatch it, and return its id."""
    day = datetime.now(UTC).date() + timedelta(days=PLANNED_IN)
    return await _visit(crew, await _order(crew, site, 0), datetime.combine(day, time(9), UTC))


async def _order(crew: Crew, site: Site, n: int) -> UUID:
    of = {"customerId": site.customer, "siteId": site.site, "assetId": site.assets[n]}
    texts = {"summary": "Demo boiler leaks", "description": "Demo: water under the boiler since the morning."}
    order = await crew.house.run("createWorkOrder", crew.dispatcher, **of, **texts)
    return UUID(str(order.id))


async def _visit(crew: Crew, order: UUID, begins: datetime) -> UUID:
    """Plan a visit of the technician and dispatch it."""
    run, ends = crew.house.run, begins + timedelta(hours=1)
    times = {"startsAt": begins, "endsAt": ends}
    visit = (await run("createAppointment", crew.dispatcher, workOrderId=order, **times)).id
    technician = crew.technicians[0].id
    await run("assignTechnician", crew.dispatcher, appointmentId=visit, technicianId=technician)
    await run("dispatchAppointment", crew.dispatcher, appointmentId=visit)
    return UUID(str(visit))


async def _record(crew: Crew, visit: UUID, begins: datetime, n: int) -> None:
    """Record a visit on the technician's device. Not every technician reports every step."""
    device = crew.technicians[0].device
    await device.pull()
    at = [begins + timedelta(minutes=minutes) for minutes in (-15, 5, 20, 50)]
    on = {"appointmentId": visit}
    new = device.operation
    operations = [new("startTravel", at=at[0], **on)] if n == 0 else []
    operations.append(new("startWork", at=at[1], **on))
    if n == 0:
        run = new_id()
        operations += [
            new("addChecklistRun", id=run, versionId=crew.version_id, **on),
            new("answerChecklistItem", runId=run, itemKey="on", checked=False, at=at[2]),
            new("completeChecklistRun", runId=run, at=at[2]),
            new("addNote", id=new_id(), text="Demo: comes back in spring.", at=at[2], **on),
        ]
    operations.append(new("completeAppointment", at=at[3], note="Demo: sealed.", **on))
    outcomes = await device.push(*operations)
    assert all(outcome.status == "applied" for outcome in outcomes), outcomes
