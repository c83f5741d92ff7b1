"""Stores: take planned records, and write them by commands, or in a dry run keep them in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.importing.planning.plan import Plan, Planned
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.inputs import UNSET
from tournee.kernel.log import Record
from tournee.kernel.transaction import Operation, Transaction
from tournee.kernel.visibility import visible

_CHUNK = 10_000


class Store(Protocol):
    """What the importer needs from the place that it writes to."""

    def row(self, id: UUID) -> Any | None:
        """Return the record with the changes made so far, or None."""

    async def create(self, planned: Planned) -> None:
        """Add the record; raises Refused."""

    async def change(self, planned: Planned, command: Command[Any, Any], values: dict[str, Any]) -> None:
        """Change fields of the record by this command; raises Refused."""


def _needed(plans: Iterable[Plan]) -> dict[type[Entity], set[UUID]]:
    needed: dict[type[Entity], set[UUID]] = defaultdict(set)
    for plan in plans:
        for model, id in plan.needed:
            needed[model].add(id)
    return needed


@dataclass
class Live:
    """Writes records by commands, in one transaction."""

    tx: Transaction
    rows: dict[UUID, Entity] = field(default_factory=dict)

    @classmethod
    async def load(cls, tx: Transaction, plans: Iterable[Plan]) -> Live:
        """Return a store with the rows that the plans need, read and locked by one statement a table."""
        store = cls(tx)
        needed = _needed(plans)
        # In a first import most records are new: reserve their ids, and read only the rows that exist.
        taken = await tx.ahead.reserve(id for ids in needed.values() for id in ids)
        for model in sorted(needed, key=lambda model: model.__name__):
            if known := needed[model] & taken:
                store.rows.update(await tx.preload(model, known))
        await store._reserve_keys(plans)
        return store

    async def _reserve_keys(self, plans: Iterable[Plan]) -> None:
        """Look up all keys that must be unique at once."""
        keys: dict[Any, set[str]] = defaultdict(set)
        for plan in plans:
            for planned in plan.records:
                if planned.id not in self.rows and planned.recipe.target.has_unique_key:
                    keys[planned.recipe.target.model].add(planned.key)
        for model, own in keys.items():
            await self.tx.ahead.reserve_values(model.external_key, own)

    def row(self, id: UUID) -> Any | None:
        return self.rows.get(id)

    async def create(self, planned: Planned) -> None:
        self.rows[planned.id] = await self._run(planned.recipe.target.create, planned.do)

    async def change(self, planned: Planned, command: Command[Any, Any], values: dict[str, Any]) -> None:
        key = f"{planned.recipe.target.model.__tablename__}_id"
        await self._run(command, command.input(**{key: planned.id, **values}))

    async def _run(self, command: Command[Any, Any], do: Any) -> Entity:
        made: Entity = await command.run(self.tx, do, Operation(command.name, now()))
        return made


@dataclass
class DryRun:
    """Writes nothing; keeps in memory what would be written, to compare later lines with it."""

    actor: Actor
    rows: dict[UUID, Any] = field(default_factory=dict)
    taken: set[UUID] = field(default_factory=set)

    async def look(self, session: AsyncSession, plans: Iterable[Plan]) -> None:
        """Read the rows that the plans need."""
        for model, ids in _needed(plans).items():
            pending = [id for id in ids if id not in self.rows]
            for start in range(0, len(pending), _CHUNK):
                chunk = pending[start : start + _CHUNK]
                found = await session.scalars(
                    select(model).where(model.id.in_(chunk), visible(model, self.actor))
                )
                self.rows.update((row.id, SimpleNamespace(**vars(row))) for row in found)
                known = select(Record.id).where(Record.id.in_(chunk))
                self.taken.update(await session.scalars(known))

    def row(self, id: UUID) -> Any | None:
        return self.rows.get(id)

    async def create(self, planned: Planned) -> None:
        self.actor.require(planned.recipe.target.create.permission)
        if planned.id in self.taken:
            raise Invalid("This id is in use.", "id")
        given = {name: value for name, value in vars(planned.do).items() if value is not UNSET}
        for name, model in planned.recipe.target.references.items():
            if given.get(name) is not None and given[name] not in self.rows:
                raise NotFound(f"There is no such {model.__name__}.", name)
        self.rows[planned.id] = SimpleNamespace(**given)

    async def change(self, planned: Planned, command: Command[Any, Any], values: dict[str, Any]) -> None:
        self.actor.require(command.permission)
        vars(self.rows[planned.id]).update(values)
