"""A customer with work and technicians to do it, for tests of orders and visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, update

from tests.support.house import House, wire
from tournee.catalogue import COMMANDS
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import Entity
from tournee.kernel.log import Edge, Member
from tournee.kernel.transaction import Operation, Transaction
from tournee.work.models import Appointment, AppointmentEvent, WorkOrder

# Relative to now, so that no test depends on the time of day.
START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)


def at(minutes: int) -> datetime:
    """Return the time this many minutes after the day's visits begin, two hours ago."""
    return START + timedelta(minutes=minutes)


@dataclass
class Technician:
    """A technician: the record, and the actor who signs in from a device."""

    id: UUID
    actor: Actor


@dataclass
class World:
    """An organisation with a customer, a site and helpers to make orders and visits."""

    house: House
    customer: Any = None
    site: Any = None
    technicians: list[Technician] = field(default_factory=list)

    async def settle(self) -> World:
        self.customer = await self.house.run("createCustomer", name="Demo Hotel")
        self.site = await self.house.run("createSite", customerId=self.customer.id, name="Demo Harbour")
        return self

    async def technician(self, **fields: Any) -> Technician:
        name = f"Demo Technician {len(self.technicians) + 1}"
        row, actor = await self.house.technician(name, device_id=uuid4(), **fields)
        self.technicians.append(Technician(row.id, actor))
        return self.technicians[-1]

    async def order(self, _as: Any = "DISPATCHER", **fields: Any) -> WorkOrder:
        values = {"customerId": self.customer.id, "siteId": self.site.id, "summary": "Demo leak", **fields}
        found: WorkOrder = await self.house.run("createWorkOrder", _as, **values)
        return found

    async def visit(
        self, *technicians: Technician, order: WorkOrder | None = None, **fields: Any
    ) -> Appointment:
        """Create an appointment for today, dispatched to these technicians."""
        order = order or await self.order()
        fields = {"startsAt": at(0), "endsAt": at(120), **fields}
        visit = await self.house.run("createAppointment", workOrderId=order.id, **fields)
        for technician in technicians:
            await self.house.run("assignTechnician", appointmentId=visit.id, technicianId=technician.id)
        if technicians:
            visit = await self.house.run("dispatchAppointment", appointmentId=visit.id)
        found: Appointment = visit
        return found

    async def offline(
        self, actor: Actor, base: int, *steps: tuple[str, dict[str, Any]], occurred_at: datetime | None = None
    ) -> list[Operation]:
        """Apply a device's operations made at `base`, in one transaction as a push does."""
        operations: list[Operation] = []

        async def work(tx: Transaction) -> Entity | None:
            operations.clear()
            row = None
            for name, payload in steps:
                operation = Operation(
                    name, occurred_at or at(0), id=uuid4(), device_id=actor.device_id, base=base
                )
                operations.append(operation)
                row = await COMMANDS[name].run(tx, COMMANDS[name].parse(wire(payload)), operation)
            return row

        await self.house.kernel.transact(actor, work)  # type: ignore[type-var]
        return operations

    async def read(self, model: Any, id: UUID) -> Any:
        async with self.house.reading() as session:
            return await session.get_one(model, (self.house.organisation_id, id))

    async def events(self, visit: Appointment) -> list[AppointmentEvent]:
        return await self.house.rows(AppointmentEvent, appointment_id=visit.id)

    async def conflicts(self) -> list[Conflict]:
        return await self.house.rows(Conflict)

    async def put(self, row: Entity, **values: Any) -> None:
        """Set columns regardless of every rule, to start a test in a given state."""
        table: Any = row.__table__
        async with self.house.writing() as session:
            own = (table.c.organisation_id == row.organisation_id, table.c.id == row.id)
            await session.execute(update(table).where(*own).values(**values))
            await session.commit()

    async def scopes(self, actor: Actor) -> set[UUID]:
        async with self.house.reading() as session:
            return set(
                await session.scalars(
                    select(Member.scope).where(
                        Member.organisation_id == self.house.organisation_id,
                        Member.account_id == actor.id,
                        Member.to_seq.is_(None),
                    )
                )
            )

    async def sees(self, actor: Actor, row: Entity) -> bool:
        """Return whether an open edge links the row to a scope that the account holds."""
        async with self.house.reading() as session:
            edges = await session.scalars(
                select(Edge.scope).where(
                    Edge.organisation_id == self.house.organisation_id,
                    Edge.record_id == row.id,
                    Edge.open.is_(True),
                )
            )
            return bool(set(edges) & await self.scopes(actor))

    async def read_technician(self, id: UUID) -> Any:
        from tournee.people.models import Technician as Row

        return await self.read(Row, id)
