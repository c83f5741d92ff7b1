"""A device for tests of the protocol: it calls the push and pull functions without HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from tests.support.house import House, wire
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, ENTITIES, urgent_scopes
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import ResyncNeeded
from tournee.sync.messages import Outcome
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.feed import Feed
from tournee.sync.push.push import Answer, push
from tournee.sync.push.request import PushRequest


class TestDevice:
    """Keeps a copy of the pulled rows and numbers its operations."""

    __test__ = False

    def __init__(
        self,
        house: House,
        role: Role | str = Role.TECHNICIAN,
        *,
        actor: Actor | None = None,
        tail: Tail | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.house = house
        self.actor = actor or house.actor(role)
        self.id = self.actor.device_id or new_id()
        self.feed = Feed(house.database, tuple(ENTITIES.values()), tail, urgent_scopes)
        self.choice = choice
        self.rows: dict[UUID, dict[str, Any]] = {}
        self.cursor: Cursor | None = None
        self.number = 0
        self.base = 0

    def operation(self, command: str, /, *, unit: UUID | None = None, **input: Any) -> dict[str, Any]:
        self.number += 1
        made = {
            "id": str(new_id()),
            "number": self.number,
            "command": command,
            "input": wire(input),
            "base": self.base,
            "occurredAt": now().isoformat(),
        }
        return made | ({"unit": str(unit)} if unit else {})

    async def push(self, *operations: Any) -> list[Outcome]:
        return (await self.push_all(operations)).outcomes

    async def push_all(self, operations: Any) -> Answer:
        return await push(self.house.kernel, COMMANDS, self.actor, PushRequest(self.id, list(operations)))

    async def do(self, command: str, /, **input: Any) -> Outcome:
        (outcome,) = await self.push(self.operation(command, **input))
        return outcome

    async def pull(self, limit: int = 500, pages: int = 10_000) -> None:
        """Pull until there are no more pages, or this many; a resync starts a new copy."""
        for _ in range(pages):
            try:
                page = await self.feed.pull(self.actor, self.cursor, limit, choice=self.choice)
            except ResyncNeeded:
                self.rows.clear()
                self.cursor = None
                continue
            for change in page.changes:
                if change.document is None:
                    self.rows.pop(change.id, None)
                else:
                    self.rows[change.id] = {"entity": change.entity, **orjson.loads(change.document)}
            self.cursor = page.cursor
            self.base = max(self.base, page.cursor.seq)
            if not page.more:
                return

    async def fresh(self) -> dict[UUID, dict[str, Any]]:
        """Return the rows that a new copy would hold now."""
        other = TestDevice(self.house, actor=self.actor, choice=self.choice)
        await other.pull()
        return other.rows


async def technicians_device(house: House) -> TestDevice:
    """Return the device of a new technician, before its first pull."""
    _, actor = await house.technician()
    return TestDevice(house, actor=actor)


async def visit(house: House, device: TestDevice) -> tuple[UUID, UUID]:
    """Create a visit of this technician; return its id and the technician's."""
    me = next(id for id, row in (await device.fresh()).items() if row["entity"] == "Technician")
    customer = await house.run("createCustomer", name="Demo Bakery")
    site = await house.run("createSite", customerId=customer.id, name="Oven")
    order = await house.run("createWorkOrder", customerId=customer.id, siteId=site.id, summary="Cold oven")
    starts = now() + timedelta(hours=1)
    appointment = await house.run(
        "createAppointment", workOrderId=order.id, startsAt=starts, endsAt=starts + timedelta(hours=1)
    )
    await house.run("assignTechnician", appointmentId=appointment.id, technicianId=me)
    return appointment.id, me
