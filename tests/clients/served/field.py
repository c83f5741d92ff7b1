"""A technician who signs in from a device, and helpers to act as them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.support.world import World, at
from tournee_client import Device, Store

PASSWORD = "a long password"


@dataclass
class Field:
    """A technician who can sign in, and their visits."""

    world: World
    email: str
    technician_id: UUID

    async def visit(self) -> str:
        order = await self.world.order()
        times = {"startsAt": at(0), "endsAt": at(120)}
        visit = await self.world.house.run("createAppointment", workOrderId=order.id, **times)
        await self.send(visit.id)
        await self.world.house.run("dispatchAppointment", appointmentId=visit.id)
        return str(visit.id)

    async def send(self, visit: UUID | str) -> None:
        sent = {"appointmentId": str(visit), "technicianId": self.technician_id}
        await self.world.house.run("assignTechnician", **sent)


Open = Callable[[Store], Device]


Office = Callable[..., Awaitable[None]]


def copy(device: Device) -> dict[tuple[str, str], Any]:
    keys = device.store.database.execute("SELECT entity, id FROM row").fetchall()
    return {(entity, id): device.store.server_row(entity, id) for entity, id in keys}


async def step(device: Device, command: str, visit: str, minutes: int) -> str:
    moment: datetime = at(minutes)
    return await device.do(command, {"appointmentId": visit, "at": moment}, occurred_at=moment)
