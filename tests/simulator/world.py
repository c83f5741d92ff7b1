"""An organisation at the start of the simulation, created by commands."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.simulator.chronicle import Chronicle
from tests.simulator.clock import Clock
from tests.simulator.device import Device, Document, Person
from tests.simulator.leaving import give_refresh_token
from tests.simulator.native import NativeDevice
from tests.simulator.stage import Stage
from tests.support.house import wire
from tournee.auth.organisations import actor_of, found_organisation
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.transaction import Operation, Transaction

ITEMS: list[Document] = [
    {"key": "powered", "prompt": "Is it switched on?", "kind": "CHECK", "required": True},
    {"key": "pressure", "prompt": "Pressure", "kind": "NUMBER", "minimum": 1.0, "maximum": 4.0},
    {"key": "remarks", "prompt": "Remarks", "kind": "TEXT"},
]
SKEWS = [timedelta(), timedelta(minutes=-7), timedelta(hours=3), timedelta(days=-900), timedelta(days=2000)]

DeviceMaker = Callable[[str, str, str, Clock, timedelta], Device]


class Company:
    """One organisation: its people, their devices and its log."""

    def __init__(self, stage: Stage, clock: Clock, dice: random.Random, mark: str, technicians: int) -> None:
        self.stage = stage
        self.clock = clock
        self.dice = dice
        self.mark = mark
        self.id = self.new_id()
        self.people: list[Person] = []
        self.manager = Person("manager", str(self.new_id()), "MANAGER")
        self.dispatcher = Person("dispatcher", str(self.new_id()), "DISPATCHER")
        self.technicians = [
            Person(f"technician{n}", str(self.new_id()), "TECHNICIAN", str(self.new_id()))
            for n in range(technicians)
        ]
        self.chronicle = Chronicle(stage.eye, self.id)

    def new_id(self) -> UUID:
        """Return an id with the organisation's mark, so that it is recognised wherever it appears."""
        id = f"{self.clock.new_id()}"
        return UUID(f"{id[:24]}{self.mark}{id[-6:]}")

    def everybody(self) -> list[Person]:
        return [self.manager, self.dispatcher, *self.technicians]

    def devices(self) -> list[Device]:
        return [device for person in self.everybody() for device in person.devices]

    def actor(self, person: Person, device: Device | None = None) -> Actor:
        """Return the person's actor, with the account's present role."""
        account = self.chronicle.rows["Account"].get(person.account)
        role = Role(account["role"] if account else person.role)
        return actor_of(self.id, UUID(person.account), role, UUID(device.id) if device else None)

    def native(self, name: str, person: Person) -> NativeDevice:
        skew = self.dice.choice(SKEWS)
        return NativeDevice(name, str(self.new_id()), person.account, self.clock, skew, self.dice)

    async def begin(self) -> Company:
        await found_organisation(self.stage.database, self.id, f"Company {self.mark}")
        await self._in_one_transaction(self._add_accounts)
        await self._in_one_transaction(self._fill)
        self.chronicle.read()
        return self

    async def _in_one_transaction(self, work: Callable[[Transaction], Awaitable[None]]) -> None:
        async with self.stage.database.writing(self.id) as session:
            kernel = self.stage.apps[0].state.kernel
            tx = Transaction(kernel.database, session, self._as(self.manager), kernel.rules)
            await work(tx)
            await tx.commit()

    def _as(self, person: Person) -> Actor:
        return actor_of(self.id, UUID(person.account), Role(person.role))

    async def _run(self, tx: Transaction, name: str, /, **payload: Any) -> str:
        command = COMMANDS[name]
        row = await command.run(tx, command.parse(wire(payload)), Operation(name, now()))
        return str(row.id)

    async def _make(self, tx: Transaction, name: str, /, **payload: Any) -> str:
        return await self._run(tx, name, id=self.new_id(), **payload)

    async def _fill(self, tx: Transaction) -> None:
        await self._add_people(tx)
        version = await self._add_catalogue(tx)
        await self._add_stock(tx)
        for number in range(max(1, len(self.technicians))):
            await self._add_customer(tx, number, version)

    async def _add_accounts(self, tx: Transaction) -> None:
        for person in self.everybody():
            email = f"{person.name}.{self.id}@demo.example"
            role = Role(person.role)
            await self._run(tx, "createAccount", id=person.account, email=email, name=person.name, role=role)

    async def _add_people(self, tx: Transaction) -> None:
        for person in self.everybody():
            if person.technician:
                named = {"id": person.technician, "accountId": person.account, "profileId": self.new_id()}
                await self._run(tx, "createTechnician", name=f"Demo {person.name} {self.mark}", **named)
        field = [(person, 1 + (number == 0)) for number, person in enumerate(self.technicians)]
        for person, count in [(self.dispatcher, 1), *field]:
            for number in range(count):
                person.devices.append(self.native(f"{person.name}.{number}", person))
        for person in self.everybody():
            for device in person.devices:
                tx.actor = self._as(person)
                await self._run(tx, "enrolDevice", id=device.id, name=f"Device {self.mark}")
                await give_refresh_token(tx.session, self, device)
        tx.actor = self._as(self.manager)

    async def _add_catalogue(self, tx: Transaction) -> str:
        await self._make(tx, "createSkill", name=f"Lifts {self.mark}")
        template = await self._make(
            tx, "createChecklistTemplate", key="inspection", title=f"Inspection {self.mark}"
        )
        version = await self._make(tx, "draftChecklistVersion", templateId=template, items=ITEMS)
        await self._run(tx, "publishChecklistVersion", versionId=version)
        return version

    async def _add_stock(self, tx: Transaction) -> None:
        await self._make(tx, "createPart", number="F-1", name=f"Filter {self.mark}")
        await self._make(tx, "createStockLocation", name=f"Store {self.mark}", kind="WAREHOUSE")
        for person in self.technicians:
            held = {"kind": "VAN", "technicianId": person.technician}
            await self._make(tx, "createStockLocation", name=f"Van {self.mark}", **held)

    async def _add_customer(self, tx: Transaction, number: int, version: str) -> None:
        customer = await self._make(
            tx, "createCustomer", name=f"Customer {number} {self.mark}", phone="1", tags=["a"]
        )
        await self._make(tx, "createContact", customerId=customer, name=f"Reception {self.mark}")
        for place in range(2 if number == 0 else 1):
            site = await self._make(
                tx, "createSite", customerId=customer, name=f"Site {number}.{place} {self.mark}"
            )
            asset = await self._make(
                tx, "createAsset", siteId=site, name=f"Lift {number}.{place} {self.mark}"
            )
            await self._make(tx, "createMeter", assetId=asset, name="Hours", unit="h", kind="GAUGE")
            person = self.dice.choice(self.technicians)
            await self._add_visit(tx, customer, site, asset, person, version)

    async def _add_visit(
        self, tx: Transaction, customer: str, site: str, asset: str, person: Person, version: str
    ) -> None:
        order = await self._make(
            tx,
            "createWorkOrder",
            customerId=customer,
            siteId=site,
            assetId=asset,
            summary=f"Work {self.mark}",
        )
        starts = self.clock.at + timedelta(days=self.dice.choice([0, 0, 1, 2, 40]), hours=1)
        visit = await self._make(
            tx, "createAppointment", workOrderId=order, startsAt=starts, endsAt=starts + timedelta(hours=1)
        )
        await self._run(tx, "assignTechnician", appointmentId=visit, technicianId=person.technician)
        await self._run(tx, "dispatchAppointment", appointmentId=visit)
        if self.dice.random() < 0.5:
            await self._make(tx, "addChecklistRun", versionId=version, appointmentId=visit, required=True)
