"""Two organisations with the demo's rows in one database, without common ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from tests.support.house import House
from tournee.auth.models import Device
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.demo import _demo
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, Kernel
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Conflict, Unfinished
from tournee.kernel.transaction import Operation, Transaction
from tournee.quality.models import AuditMember
from tournee.work.models import TimeEntry, TimeKind, WorkOrder


async def demo_house(house: House) -> House:
    """Fill an organisation with the demo's work under its own ids."""
    for role in Role:
        house.actor(role, id=own_id(house, demo_id(f"account/{_NAMES.get(role, role.lower())}")))

    async def work(tx: Transaction) -> Entity:
        done: list[Entity] = []
        for role, name, payload in _demo(datetime.now(UTC).date()):
            own = remap(house, payload)
            if name == "createAccount":
                own["email"] = f"{house.organisation_id.hex}.{own['email']}"
            tx.actor = house.actor(role)
            command = COMMANDS[name]
            done.append(await command.run(tx, command.parse(own), Operation(name, now())))
        await _add_rest(house, tx)
        return done[-1]

    await house.kernel.transact(house.actor(), work)
    return house


async def _add_rest(house: House, tx: Transaction) -> None:
    """Add a row of each entity that the demo lacks."""
    tx.actor = house.actor()
    account = house.actor(Role.TECHNICIAN).id
    async with tx.running(Operation("addRest", now())):
        await tx.add(Device(account_id=account, name="Demo Phone", enrolled_at=now()))
        await tx.add(AuditMember(audit_id=own_id(house, demo_id("audit/1")), account_id=account))
        times = {"starts_at": now() - timedelta(hours=1), "ends_at": now()}
        technician = own_id(house, demo_id("technician/1"))
        await tx.add(TimeEntry(technician_id=technician, kind=TimeKind.TRAVEL, account_id=account, **times))
        row = await tx.find(WorkOrder, own_id(house, demo_id("order/1")))
        kind = FIELD_CHANGED_BY_BOTH
        await tx.conflict(kind, row, base={"summary": "a"}, mine={"summary": "b"}, theirs={"summary": "c"})


_NAMES = {Role.CUSTOMER_PORTAL: "portal"}


def own_id(house: House, id: UUID) -> UUID:
    """Return the id that replaces a demo id in this organisation."""
    return uuid5(house.organisation_id, id.hex)


def remap(house: House, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: remap(house, one) for name, one in value.items()}
    if isinstance(value, list):
        return [remap(house, one) for one in value]
    try:
        return str(own_id(house, UUID(value))) if isinstance(value, str) else value
    except ValueError:
        return value


class Rehearsal(Kernel):
    """Runs commands and rolls them back; its answer is INTERNAL when all succeeded."""

    async def perform(self, actor: Actor, what: Command[Any, Any], do: Any, **_: Any) -> Any:
        try:
            async with self.database.writing(actor.organisation_id) as session:
                tx = Transaction(self.database, session, actor, self.rules)
                await what.run(tx, do, Operation(what.name, now()))
                await tx.flush()
                if not self.database.is_sqlite:
                    await session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        except IntegrityError:
            raise Conflict from None
        raise Unfinished("Rehearsed.")


async def samples(house: House) -> dict[str, UUID]:
    """Return one row of each entity that has any."""
    found: dict[str, UUID] = {}
    async with house.reading() as session:
        for name, entity in ENTITIES.items():
            model: Any = entity
            id = await session.scalar(
                select(model.id)
                .where(model.organisation_id == house.organisation_id)
                .order_by(model.created_at, model.id)
                .limit(1)
            )
            if id is not None:
                found[name] = id
    return found
