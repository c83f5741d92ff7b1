"""The write transaction that a command works in: find, add, merge, and at the end the log.

Rules never commit. `Database.writing` gives the session, `publish` the numbers; between them this
notes what each command changed, command by command, however often the session flushes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Executable, Select, event, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.attributes import instance_state

from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict, ConflictKind
from tournee.kernel.database import Database, Entity, UnloggedWrite, new_id, now
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.fields import apply_defaults, camel, fields, present, values, wire_value
from tournee.kernel.log import Change, Entry, Record, publish
from tournee.kernel.visibility import MembershipRules, visible, was_visible

EntityT = TypeVar("EntityT", bound=Entity)
ValueT = TypeVar("ValueT")


@dataclass
class Operation:
    """The command that runs now, with what a device says of it.

    `base` is the seq at which the device last saw the record, None online. `merged` tells that
    others had changed the record meanwhile, `lost` names the fields in which they prevailed.
    """

    command: str
    occurred_at: datetime
    id: UUID | None = None
    device_id: UUID | None = None
    base: int | None = None
    fact: bool = False
    merged: bool = False
    lost: list[str] = field(default_factory=list)
    kept: bool = False
    conflict: Conflict | None = None

    @property
    def status(self) -> str:
        """How far it took effect, in the words of an outcome."""
        if self.lost and not self.kept:
            return "superseded"
        return "merged" if self.merged or self.conflict is not None else "applied"


class Transaction:
    """One database transaction of one actor, running one command or many in a row."""

    def __init__(
        self, database: Database, session: AsyncSession, actor: Actor, rules: MembershipRules
    ) -> None:
        self.database = database
        self.session = session
        self.actor = actor
        self.rules = rules
        self.entries: list[Entry] = []
        self.clocks: dict[UUID, dict[str, Any]] = {}
        self.operation: Operation | None = None
        self.before_commit: Callable[[Sequence[Entry]], Awaitable[None]] | None = None
        self._new: set[UUID] = set()
        # What was last noted of each row found, the rows by id, and the rows the actor may name.
        self._seen: dict[UUID, dict[str, Any]] = {}
        self._rows: dict[UUID, Entity] = {}
        self._authorised: set[UUID] = set()
        self._flushed: set[Entity] = set()
        # What the running command has had in its hands: nothing else can it have changed.
        self._handed: set[Entity] = set()
        self._free: set[UUID] = set()
        self._unclaimed: set[tuple[Any, Any]] = set()
        event.listen(session.sync_session, "before_flush", self._before_flush)

    @property
    def organisation_id(self) -> UUID:
        return self.actor.organisation_id

    @property
    def current(self) -> Operation:
        if self.operation is None:
            raise RuntimeError("No command is running.")
        return self.operation

    # -- reading ---------------------------------------------------------------------------------

    async def find(self, model: type[EntityT], id: UUID, field: str | None = None) -> EntityT:
        """The row, locked for this transaction and as last committed, if the actor may see it.

        A fact from a device may also find what the device saw at its base. Raises NotFound with
        the same words whether the row is another's or nowhere.
        """
        held = self._rows.get(id)
        if isinstance(held, model) and not held.deleted and id in self._authorised:
            self._handed.add(held)
            return held
        operation = self.current
        sees = (
            was_visible(model, self.actor, operation.base) if operation.fact else visible(model, self.actor)
        )
        row = await self._find(model, id, sees, field)
        if not operation.fact:
            self._authorised.add(id)
        if row.deleted:
            await self._bring_back(row, field)
        return row

    async def find_to_edit(self, model: type[EntityT], id: UUID, field: str | None = None) -> EntityT:
        """The row as `find` gives it; for a device also one that others deleted after its base, whose
        edit `merge` then puts into the inbox."""
        base = self.current.base
        try:
            return await self.find(model, id, field)
        except NotFound:
            if base is None:
                raise
        row = await self.find_deleted(model, id, base, field)
        await self._require_deleted_meanwhile(row, field)
        return row

    async def _bring_back(self, row: Entity, field: str | None) -> None:
        """A deletion loses to a fact that names the record: it is there again, and somebody decides."""
        await self._require_deleted_meanwhile(row, field)
        row.deleted = False
        self.current.merged = True
        was, deleted = {"deleted": False}, {"deleted": True}
        kind = ConflictKind.RECORD_DELETED_MEANWHILE
        await self.conflict(kind, row, base=was, mine=was, theirs=deleted)

    async def _require_deleted_meanwhile(self, row: Entity, field: str | None) -> None:
        """What the device deleted itself is gone for it."""
        if not row.deleted or "deleted" not in await self.changed_since_base(row):
            raise NotFound(f"There is no such {type(row).__name__}.", field)

    async def find_deleted(
        self, model: type[EntityT], id: UUID, base: int | None, field: str | None = None
    ) -> EntityT:
        """The row though it was deleted, if the actor could see it at `base`."""
        return await self._find(model, id, was_visible(model, self.actor, base), field)

    async def _find(
        self, model: type[EntityT], id: UUID, sees: ColumnElement[bool], field: str | None
    ) -> EntityT:
        await self.session.flush()
        row = await self.session.scalar(
            select(model)
            .where(model.id == id, sees)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if row is None:
            raise NotFound(f"There is no such {model.__name__}.", field)
        self._hold(row)
        return row

    def _hold(self, row: Entity) -> None:
        """Keep a row just read and locked, with its values as what was last noted of it."""
        self._rows[row.id] = row
        self._handed.add(row)
        if row not in self._flushed and row.id not in self._seen:
            self._seen[row.id] = _values(row)

    async def find_optional(
        self, model: type[EntityT], id: UUID | None, field: str | None = None
    ) -> EntityT | None:
        return None if id is None else await self.find(model, id, field)

    async def all(self, statement: Select[EntityT]) -> Sequence[EntityT]:
        """Rows of this organisation as last committed; for rules, which see more than the actor."""
        model: Any = statement.column_descriptions[0]["entity"]
        await self.session.flush()
        rows = await self.session.scalars(
            statement.where(model.organisation_id == self.organisation_id, model.deleted.is_(False))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        found = rows.all()
        for row in found:
            self._hold(row)
        return found

    async def preload(self, model: type[EntityT], ids: Iterable[UUID]) -> dict[UUID, EntityT]:
        """Find many rows with one statement, so that finding each of them later costs none.

        Rows that are not there, or that the actor may not see, are left out.
        """
        await self.session.flush()
        found: dict[UUID, EntityT] = {}
        for chunk in _chunks(sorted(set(ids))):
            rows = await self.session.scalars(
                select(model)
                .where(model.id.in_(chunk), visible(model, self.actor))
                .order_by(model.id)
                .with_for_update()
                .execution_options(populate_existing=True)
            )
            found.update((row.id, row) for row in rows)
        for row in found.values():
            self._hold(row)
        self._authorised.update(found)
        return found

    async def reserve(self, ids: Iterable[UUID]) -> set[UUID]:
        """Ask with one statement which of these ids are taken; rows may be added under the others."""
        asked = set(ids)
        taken: set[UUID] = set()
        for chunk in _chunks(sorted(asked)):
            known = select(Record.id).where(
                Record.organisation_id == self.organisation_id, Record.id.in_(chunk)
            )
            taken.update(await self.session.scalars(known))
        self._free |= asked - taken
        return taken

    async def reserve_values(self, column: InstrumentedAttribute[ValueT], values: Iterable[ValueT]) -> None:
        """Ask with one statement which of these values nobody holds in this column, for `claim`."""
        asked = set(values)
        for chunk in _chunks(list(asked)):
            model: Any = column.class_
            held = select(column).where(model.organisation_id == self.organisation_id, column.in_(chunk))
            asked.difference_update(await self.session.scalars(held))
        self._unclaimed.update((column, value) for value in asked)

    def claim(self, column: InstrumentedAttribute[ValueT], value: ValueT) -> bool:
        """Whether the value is known to be free; once, since whoever asks is about to take it."""
        known = (column, value) in self._unclaimed
        self._unclaimed.discard((column, value))
        return known

    async def sees(self, model: type[Entity], id: UUID) -> bool:
        """Whether the actor may see the row now, whatever a fact may name."""
        if id in self._new:
            return True
        found = await self.session.scalar(select(model.id).where(model.id == id, visible(model, self.actor)))
        return found is not None

    # -- writing ---------------------------------------------------------------------------------

    async def add(self, row: EntityT) -> EntityT:
        """Add a new row. A row of this id that exists already, anywhere, is refused."""
        row.organisation_id = self.organisation_id
        if vars(row).get("id") is None:
            row.id = new_id()
        elif await self._is_taken(row.id):
            raise Invalid("This id is in use.", "id")
        row.created_at = now()
        row.deleted = False
        apply_defaults(row)
        self._new.add(row.id)
        self._authorised.add(row.id)
        self._rows[row.id] = row
        self._handed.add(row)
        self.session.add(row)
        return row

    async def _is_taken(self, id: UUID) -> bool:
        """An id made by a device may be in use already; one made here is not."""
        if id in self._free:
            return id in self._new
        known = select(Record.id).where(Record.organisation_id == self.organisation_id, Record.id == id)
        return id in self._new or await self.session.scalar(known) is not None

    def delete(self, row: Entity) -> None:
        """Mark deleted: it leaves every scope and query, and the log keeps what it was."""
        row.deleted = True

    def is_new(self, row: Entity) -> bool:
        return row.id in self._new

    async def load_clocks(self, ids: Iterable[UUID]) -> None:
        """Read the field clocks of records whose rows this transaction has locked."""
        for chunk in _chunks(list(ids)):
            rows = await self.session.execute(
                select(Record.id, Record.clock).where(
                    Record.organisation_id == self.organisation_id, Record.id.in_(chunk)
                )
            )
            for id, clock in rows:
                self.clocks[id] = orjson.loads(clock)

    async def changed_since_base(self, row: Entity) -> set[str]:
        """Wire names of the row's fields that somebody else changed after the device's base."""
        base = self.current.base
        if base is None or self.is_new(row):
            return set()
        if row.id not in self.clocks:
            await self.load_clocks([row.id])
        device = str(self.current.device_id)
        clock = self.clocks.get(row.id, {})
        theirs = {name for name, (seq, by, _actor) in clock.items() if seq > base and by != device}
        if "*" in theirs:
            # Somebody else made the row meanwhile: what was not changed since is theirs as well.
            theirs |= {field.wire for field in fields(type(row))} - clock.keys()
        return theirs - {"*"}

    async def value_at_base(self, row: Entity, name: str) -> Any:
        """The value a field had when the device last saw the record, from the log."""
        changes = await self.session.execute(
            select(Change.before)
            .where(
                Change.organisation_id == self.organisation_id,
                Change.id == row.id,
                Change.seq > (self.current.base or 0),
            )
            .order_by(Change.seq)
        )
        for (before,) in changes:
            if before is None:  # It did not exist yet.
                return None
            values = orjson.loads(before)
            if name in values:
                return values[name]
        return None

    async def conflict(
        self,
        kind: ConflictKind,
        row: Entity,
        *,
        base: dict[str, Any],
        mine: dict[str, Any],
        theirs: dict[str, Any],
        role: str | None = None,
    ) -> Conflict:
        """1. Put a clash into the inbox, for the role that decides about such records unless another is
        named; the operation's outcome names it. (The numbers are those of schema/sync.md, "Conflicts".)"""
        operation = self.current
        raised = Conflict(
            kind=kind,
            role=role or row.decider,
            entity=type(row).__name__,
            record_id=row.id,
            command=operation.command,
            operation_id=operation.id,
            actor_id=self.actor.id,
            device_id=operation.device_id,
            their_actor_id=await self._other_side(row, theirs),
            occurred_at=operation.occurred_at,
            base=base,
            mine=mine,
            theirs=theirs,
            standing=present(row, mine.keys() | theirs.keys()),
        )
        raised.involve(operation.id)
        operation.conflict = await self.add(raised)
        return raised

    async def _other_side(self, row: Entity, theirs: Iterable[str]) -> UUID | None:
        """Who changed one of these fields last, after the device's base."""
        if row.id not in self.clocks and not self.is_new(row):
            await self.load_clocks([row.id])
        base, device = self.current.base or 0, str(self.current.device_id)
        clock = self.clocks.get(row.id, {})
        stamps = [clock.get(name) or clock.get("*") for name in theirs]
        others = [stamp for stamp in stamps if stamp and stamp[0] > base and stamp[1] != device]
        return UUID(max(others)[2]) if others else None

    # -- the log ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, operation: Operation) -> AsyncIterator[Operation]:
        """Run one command: every change made inside is logged as its doing."""
        self.operation = operation
        self._handed.clear()
        self.session.info["command"] = operation.command
        try:
            yield operation
            self._note_changes()
        finally:
            self.operation = None
            self.session.info["command"] = None

    @asynccontextmanager
    async def acting(self, actor: Actor) -> AsyncIterator[None]:
        """Let the running command carry out commands of somebody else, with that actor's rights and sight."""
        self._note_changes()
        kept = self.actor, self.operation, self._authorised, set(self._handed)
        self.actor, self._authorised = actor, set()
        try:
            yield
        finally:
            self.actor, self.operation, self._authorised, self._handed = kept
            self.session.info["command"] = self.current.command

    @asynccontextmanager
    async def carrying_out(self, command: str) -> AsyncIterator[None]:
        """Another command inside of the one that runs: what it changes is logged by its name."""
        self._note_changes()
        outer = self.current.command
        self.current.command = self.session.info["command"] = command
        try:
            yield
            self._note_changes()
        finally:
            self.current.command = self.session.info["command"] = outer

    def _before_flush(self, session: Session, _context: object, _rows: object) -> None:
        self._flushed.update(row for row in (*session.new, *session.dirty) if isinstance(row, Entity))

    def _note_changes(self) -> None:
        """Compare each row this command touched with what was last noted of it."""
        touched = self._flushed | {row for row in self._handed if instance_state(row).modified}
        for row in sorted(touched, key=lambda row: row.id):
            seen = self._seen.get(row.id)
            if seen is None and row.id not in self._new:
                raise UnloggedWrite(f"{type(row).__name__} was changed without being found first.")
            present = _values(row)
            if seen is None:
                self._note(row, None, values(row))
            else:
                after = {name: value for name, value in present.items() if seen[name] != value}
                if after:
                    self._note(row, {name: seen[name] for name in after}, after)
            self._seen[row.id] = present
        self._flushed.clear()

    def _require_noted(self) -> None:
        """Refuse what was changed between commands, or by one that had not found it first."""
        for row in self._flushed:
            if self._seen.get(row.id) != _values(row):
                raise UnloggedWrite(f"{type(row).__name__} was changed outside of a command.")

    def _note(self, row: Entity, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
        row.check()
        operation = self.current
        self.entries.append(
            Entry(
                row=row,
                command=operation.command,
                actor_id=self.actor.id,
                device_id=operation.device_id,
                operation_id=operation.id,
                occurred_at=operation.occurred_at,
                before=None if before is None else _wire(before),
                after=_wire(after),
            )
        )

    async def core(self, statement: Executable, rows: list[dict[str, Any]]) -> None:
        """Run a statement of the log tables for many rows, past the unit of work."""
        connection = await self.session.connection()
        await connection.execute(statement, rows)

    async def flush(self) -> None:
        """Send pending rows to the database, so that what it refuses is refused now."""
        self.session.info["command"] = self.session.info.get("command") or "flush"
        try:
            await self.session.flush()
        finally:
            self.session.info["command"] = self.operation.command if self.operation else None

    async def commit(self) -> int | None:
        """Write the log and commit; returns the seq of the last change, None if nothing changed."""
        await self.flush()
        self._require_noted()
        if not self.database.is_sqlite:
            await self.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        for row in {entry.row for entry in self.entries}:
            if instance_state(row).expired_attributes:
                await self.session.refresh(row)
        last = await publish(self) if self.entries else None
        if self.before_commit is not None:
            await self.before_commit(self.entries)
        await self.session.commit()
        if last is not None:
            self.database.announce(self.organisation_id, last)
        return last

    # -- savepoints ------------------------------------------------------------------------------

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """All of what is inside or nothing of it; the notes go back together with the rows."""
        kept = (list(self.entries), dict(self._seen), dict(self._rows), set(self._new), set(self._authorised))
        try:
            async with self.session.begin_nested():
                yield
                await self.flush()
        except BaseException:
            self.entries, self._seen, self._rows, self._new, self._authorised = kept
            self._flushed.clear()
            self._forget_expired()
            raise

    def _forget_expired(self) -> None:
        """After a rollback: rows it took back are read and locked again when next needed."""
        for id, row in list(self._rows.items()):
            state = inspect(row)
            if state.transient or state.detached or state.expired_attributes:
                del self._rows[id]
                self._seen.pop(id, None)


def _values(row: Entity) -> dict[str, Any]:
    return {"deleted": row.deleted, **values(row)}


def _wire(values: dict[str, Any]) -> dict[str, Any]:
    return {camel(name): wire_value(value) for name, value in values.items()}


def _chunks(values: list[ValueT]) -> Iterable[list[ValueT]]:
    """A statement holds only so many parameters."""
    return (values[start : start + 10_000] for start in range(0, len(values), 10_000))
