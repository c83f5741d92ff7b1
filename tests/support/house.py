"""A house: an organisation for tests, its people, and helpers to act as them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.roles import OFFICE, Role, permissions_of
from tournee.catalogue import COMMANDS, MEMBERSHIPS
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.entity import Entity, Organisation, new_id, now
from tournee.kernel.log import Change, Head
from tournee.kernel.transaction import Transaction
from tournee.kernel.visibility import visible
from tournee.people.models import (
    Technician,
)
from tournee.sync.waiting.reviving import reviving


class House:
    """One organisation in a database. `run` performs a command as a role or as a given actor."""

    def __init__(self, database: Database) -> None:
        self.kernel = Kernel(database, MEMBERSHIPS, reviving(COMMANDS))
        self.database = database
        self.organisation_id = uuid4()
        self._actors: dict[str, Actor] = {}

    async def found(self) -> House:
        async with self.writing() as session:
            await session.execute(
                insert(Organisation.__table__).values(id=self.organisation_id, name="Test", created_at=now())
            )
            await session.execute(
                insert(Head.__table__).values(
                    organisation_id=self.organisation_id, epoch=uuid4(), seq=0, floor=0
                )
            )
            await session.commit()
        return self

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        return self.database.reading(self.organisation_id)

    def writing(self) -> AbstractAsyncContextManager[AsyncSession]:
        return self.database.writing(self.organisation_id)

    def actor(
        self, role: Role | str = Role.MANAGER, *, id: UUID | None = None, device_id: UUID | None = None
    ) -> Actor:
        """Return an account of this organisation; the same one for the same role unless an id is given."""
        role = Role(role)
        if id is None:
            id = self._actors[role].id if role in self._actors else new_id()
        actor = Actor(id, self.organisation_id, role, permissions_of(role), role in OFFICE, device_id)
        self._actors.setdefault(role, actor)
        return actor

    async def account(
        self,
        role: Role | str = Role.MANAGER,
        *,
        email: str | None = None,
        device_id: UUID | None = None,
        **fields: Any,
    ) -> Actor:
        """Create an account, without a password unless given, and return it as an actor."""
        email = email or f"{uuid4()}@demo.example"
        row = await self.run("createAccount", email=email, name="Demo Person", role=Role(role), **fields)
        return self.actor(role, id=row.id, device_id=device_id)

    async def run(self, name: str, _as: Actor | Role | str = Role.MANAGER, /, **payload: Any) -> Any:
        """Perform a command online, with the inputs' wire names (`customerId="…"`)."""
        actor = _as if isinstance(_as, Actor) else self.actor(_as)
        command = COMMANDS[name]
        return await self.kernel.perform(actor, command, command.parse(wire(payload)))

    async def technician(
        self, name: str = "Demo One", *, device_id: UUID | None = None, **given: Any
    ) -> tuple[Technician, Actor]:
        """Create a technician and their account."""
        actor = await self.account(Role.TECHNICIAN, device_id=device_id)
        return await self.run("createTechnician", name=name, accountId=actor.id, **given), actor

    async def rows(self, model: Any, *where: Any, **values: Any) -> list[Any]:
        """Return the rows of a model that are not deleted, in the order of their ids."""
        own = {"organisation_id": self.organisation_id, **values}
        if hasattr(model, "deleted"):
            own.setdefault("deleted", False)
        keys = inspect(model).primary_key
        async with self.reading() as session:
            return list(await session.scalars(select(model).filter_by(**own).where(*where).order_by(*keys)))

    async def seq(self) -> int:
        """Return the number of the last change."""
        async with self.reading() as session:
            return (await session.get_one(Head, self.organisation_id)).seq

    async def changes(self, id: UUID) -> list[Change]:
        """Return the log's changes of a record, in order."""
        async with self.reading() as session:
            own = (Change.organisation_id == self.organisation_id, Change.id == id)
            return list(await session.scalars(select(Change).where(*own).order_by(Change.seq)))


def wire(value: Any) -> Any:
    from tournee.kernel.values import wire_value

    if isinstance(value, dict):
        return {key: wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [wire(item) for item in value]
    return wire_value(value)


@contextlib.asynccontextmanager
async def transaction(house: House) -> AsyncIterator[Transaction]:
    async with house.writing() as session:
        yield Transaction(house.database, session, house.actor("MANAGER"), house.kernel.rules)


async def seen(house: House, model: type[Entity], actor: Actor) -> set[UUID]:
    async with house.reading() as session:
        return set(await session.scalars(select(model.id).where(visible(model, actor))))
