"""Finding: read rows in a write transaction, locked and as last committed, one by one or hundreds ahead.

A row that may be changed is locked FOR NO KEY UPDATE. Commands never change a key, and foreign keys that
others write ask for KEY SHARE, which FOR UPDATE would block. A row that is only referred to is locked FOR
SHARE, so that two orders of one customer do not wait for each other.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, true

from tournee.engine.ahead import Ahead, chunks
from tournee.engine.clocks import Clocks, value_at, value_known
from tournee.engine.database import Database, WriteSession
from tournee.engine.flushing import write_entities
from tournee.engine.notes import NOTES, Notes
from tournee.engine.pipelining import Pipeline
from tournee.engine.statements import OrganisationSession, Statements
from tournee.kernel.actor import Actor
from tournee.kernel.archived import archived_until
from tournee.kernel.entity import Entity
from tournee.kernel.errors import NotFound
from tournee.kernel.operation import Operation
from tournee.kernel.values import wire_value
from tournee.kernel.visibility import visible, was_visible

EntityT = TypeVar("EntityT", bound=Entity)


class Finding:
    """What a transaction has read, and how it reads more."""

    def __init__(self, database: Database, session: OrganisationSession, actor: Actor) -> None:
        self.database = database
        self.session = session
        self.actor = actor
        # The session refers to the notes, not to the transaction: a cycle would stay in memory.
        self.notes = session.info[NOTES] = Notes()
        self.clocks = Clocks(session.statements)
        self.ahead = Ahead(session.statements)
        self.operation: Operation | None = None
        # Rows by id, and the ids that the actor may name.
        self._rows: dict[UUID, Entity] = {}
        self._authorised: set[UUID] = set()
        # Rows locked FOR SHARE only.
        self._shared: set[UUID] = set()

    @property
    def organisation_id(self) -> UUID:
        return self.actor.organisation_id

    @property
    def statements(self) -> Statements:
        return self.session.statements

    @property
    def current(self) -> Operation:
        if self.operation is None:
            raise RuntimeError("No command is running.")
        return self.operation

    @property
    def unit_of_work(self) -> WriteSession:
        return typing.cast(WriteSession, self.session.sync_session)

    def pending(self) -> Iterable[Entity]:
        """Yield new rows that have not been sent to the database."""
        own = self.unit_of_work
        return (row for row in (*own.waiting, *own.new) if isinstance(row, Entity))

    def is_new(self, row: Entity) -> bool:
        return row.id in self.notes.new

    def _held(self, model: type[EntityT], id: UUID, *, to_change: bool) -> EntityT | None:
        """Return a row found before that the actor may name, if its lock is strong enough; else None."""
        held = self._rows.get(id)
        if not isinstance(held, model) or held.deleted or id not in self._authorised:
            return None
        if to_change and id in self._shared:
            return None
        self.notes.handed.add(held)
        return held

    async def find_deleted(
        self, model: type[EntityT], id: UUID, base: int | None, field: str | None = None
    ) -> EntityT:
        """Return a deleted row, if the actor could see it at `base`."""
        return await self._find(model, id, was_visible(model, self.actor, base), field)

    async def _find(
        self,
        model: type[EntityT],
        id: UUID,
        sees: ColumnElement[bool],
        field: str | None,
        *,
        to_change: bool = True,
    ) -> EntityT:
        await self._send()
        if id in self.notes.new and id in self._authorised:
            # Its edges are written at the commit.
            sees = true()
        row = await self.session.scalar(
            select(model)
            .where(model.id == id, sees)
            .with_for_update(read=not to_change, key_share=to_change)
            .execution_options(populate_existing=True)
        )
        if row is None:
            raise NotFound(f"There is no such {model.__name__}.", field)
        is_shared = not to_change and (row.id not in self._rows or row.id in self._shared)
        self._hold(row)
        if is_shared:
            self._shared.add(row.id)
        return row

    def _hold(self, row: Entity) -> None:
        """Keep a row that was just read and locked."""
        self._rows[row.id] = row
        self._shared.discard(row.id)
        self.notes.hold(row)

    async def all(self, statement: Select[EntityT]) -> Sequence[EntityT]:
        """Return rows of this organisation as last committed, locked; for rules, which see more than the
        actor does.
        """
        model: Any = statement.column_descriptions[0]["entity"]
        await self._send()
        rows = await self.session.scalars(
            statement.where(model.deleted.is_(False))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        found = rows.all()
        for row in found:
            self._hold(row)
        return found

    async def preload(self, model: type[EntityT], ids: Iterable[UUID]) -> dict[UUID, EntityT]:
        """Find many rows in one statement, so that finding each of them later costs none.

        Rows that do not exist, or that the actor may not see, are left out.
        """
        await self._send()
        return self.hold_many(await self.read_many(model, ids))

    async def read_many(self, model: type[EntityT], ids: Iterable[UUID]) -> list[Iterable[EntityT]]:
        """Do the database's part of `preload`; `hold_many` does the rest. Requires that nothing is left
        to send.
        """
        return [
            await self.session.scalars(
                select(model)
                .where(self.statements.among(model.id, chunk), visible(model, self.actor))
                .order_by(model.id)
                .with_for_update(key_share=True)
                .execution_options(populate_existing=True)
            )
            for chunk in chunks(list(set(ids)))
        ]

    def hold_many(self, read: Iterable[Iterable[EntityT]]) -> dict[UUID, EntityT]:
        """Keep the rows that were read, and let the actor name them."""
        found = {row.id: row for rows in read for row in rows}
        for row in found.values():
            self._hold(row)
        self._authorised.update(found)
        return found

    async def sees(self, model: type[Entity], id: UUID) -> bool:
        """Return whether the actor may see the row now, whatever a fact may name."""
        if id in self.notes.new:
            return True
        found = await self.session.scalar(select(model.id).where(model.id == id, visible(model, self.actor)))
        return found is not None

    async def changed_since_base(self, row: Entity) -> set[str]:
        """Return the wire names of the fields that somebody else changed last, after the device's base."""
        operation = self.current
        if operation.base is None or self.is_new(row):
            return set()
        theirs = await self.clocks.changed_by_others(row, operation.base, operation.device_id)
        # Changes of this very push have no clock yet.
        return theirs - self.notes.changed(row, operation.device_id) if theirs else theirs

    async def value_at_base(self, row: Entity, name: str) -> Any:
        """Return the value a field had when the device last saw the record, from the log and from pending
        entries.
        """
        own = (entry.before or {} for entry in self.notes.entries if entry.row is row)
        here = next((wire_value(before[name]) for before in own if name in before), None)
        return await value_at(self.session, row, name, self.current.base or 0, here)

    async def reaches_base(self) -> bool:
        """Return whether the log still has every change after the device's base. If not, `value_at_base` may
        return a value that the device never saw.
        """
        return (self.current.base or 0) >= await archived_until(self.session)

    async def value_known(self, row: Entity, name: str) -> Any:
        """Return the value of a field as the device knows it: as it was at its base, or as the device
        left it since.
        """
        operation = self.current
        return await value_known(self.session, row, name, operation.base or 0, operation.device_id)

    async def _send(self) -> None:
        """Send to the database what commands have changed so far."""
        async with Pipeline() as pipeline:
            await self._send_into(pipeline)

    async def _send_into(self, pipeline: Pipeline, *, last: bool = False) -> None:
        own = self.unit_of_work
        if own.unsent:
            self.notes.flushed |= await write_entities(self.session, pipeline, last=last)
        if own.unsent:
            await pipeline.arrived()
            await self.session.flush()
