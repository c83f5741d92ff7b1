"""An organisation for many simultaneous writers and readers: its people and records."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.house import House
from tournee.auth.organisations import actor_of
from tournee.auth.roles import Role
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now

CUSTOMERS, VISITS = 4, 12


@dataclass
class Scene:
    """All ids, so that another process can use them."""

    url: str
    organisation_id: UUID
    manager: UUID
    accounts: list[UUID] = field(default_factory=list)
    technicians: list[UUID] = field(default_factory=list)
    customers: list[UUID] = field(default_factory=list)
    orders: list[UUID] = field(default_factory=list)
    visits: list[UUID] = field(default_factory=list)

    def actor(self, account: UUID, device: UUID | None = None) -> Actor:
        role = Role.MANAGER if account == self.manager else Role.TECHNICIAN
        return actor_of(self.organisation_id, account, role, device)

    def house(self, database: Database) -> House:
        house = House(database)
        house.organisation_id = self.organisation_id
        return house


async def set_up(house: House, dice: random.Random) -> Scene:
    """Create two technicians, and customers with orders and visits, each assigned to one of the two."""
    manager = await house.account(Role.MANAGER)
    scene = Scene(house.database.url, house.organisation_id, manager.id)
    for _ in range(2):
        account = (await house.account(Role.TECHNICIAN)).id
        made = await house.run("createTechnician", accountId=account, profileId=new_id(), name="Demo Person")
        scene.accounts.append(account)
        scene.technicians.append(made.id)
    for number in range(CUSTOMERS):
        await _add_customer(house, scene, number)
    for number in range(VISITS):
        await _add_visit(house, scene, number, dice)
    return scene


async def _add_customer(house: House, scene: Scene, number: int) -> None:
    customer = (await house.run("createCustomer", name=f"Demo Customer {number}")).id
    site = (await house.run("createSite", customerId=customer, name=f"Demo Site {number}")).id
    order = await house.run("createWorkOrder", customerId=customer, siteId=site, summary="Demo work")
    scene.customers.append(customer)
    scene.orders.append(order.id)


async def _add_visit(house: House, scene: Scene, number: int, dice: random.Random) -> None:
    starts = now() + timedelta(hours=1 + number)
    hours: dict[str, Any] = {"startsAt": starts, "endsAt": starts + timedelta(hours=1)}
    order = scene.orders[number % CUSTOMERS]
    visit = (await house.run("createAppointment", workOrderId=order, **hours)).id
    await house.run("assignTechnician", appointmentId=visit, technicianId=dice.choice(scene.technicians))
    scene.visits.append(visit)
