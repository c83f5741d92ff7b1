"""The write transaction that a command works in: find, add, merge, and at the end the log.

Rules never commit. `Database.writing` provides the session and `publish` the numbers; between them, this
class notes what each command changed, however often the session flushes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import inspect, or_, select
from sqlalchemy.orm.attributes import instance_state

from tournee.engine.database import Database, require_command
from tournee.engine.freezing import require_open
from tournee.engine.numbering import give_numbers, to_be_numbered
from tournee.engine.pipelining import Pipeline
from tournee.engine.publishing import ADMISSIONS, publish
from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import (
    RECORD_DELETED_MEANWHILE,
    VALUE_SET_ASIDE,
    Conflict,
    ConflictKind,
    Resolution,
)
from tournee.kernel.entity import Entity, new_id, now
from tournee.kernel.errors import Invalid, NotFound, Outdated
from tournee.kernel.finding import Finding
from tournee.kernel.head import Mark
from tournee.kernel.log import Entry, Record
from tournee.kernel.membership import MembershipRules
from tournee.kernel.operation import Expected, Operation
from tournee.kernel.values import apply_defaults, present
from tournee.kernel.visibility import visible, was_visible

__all__ = ["Operation", "Pipeline", "Transaction"]

EntityT = TypeVar("EntityT", bound=Entity)
AnswerT = TypeVar("AnswerT")

LastWrite = Callable[[Sequence[Entry], Pipeline], Awaitable[None]]


class Transaction(Finding):
    """One database transaction of one actor, which runs one command or many in a row."""

    def __init__(
        self, database: Database, session: OrganisationSession, actor: Actor, rules: MembershipRules
    ) -> None:
        super().__init__(database, session, actor)
        self.rules = rules
        # Writes that need the numbers of the changes.
        self.last_writes: list[LastWrite] = []
        # Whether this changes who is admitted, even if no entry of the log shows it.
        self.admits = False
        # Once true, only the database knows whether the commit succeeded.
        self.is_committing = False
        # The wire form of each written row.
        self.documents: dict[Entity, str] = {}

    @property
    def entries(self) -> list[Entry]:
        return self.notes.entries

    # -- reading ---------------------------------------------------------------------------------

    async def find(self, model: type[EntityT], id: UUID, field: str | None = None) -> EntityT:
        """Return the row, locked and as last committed, if the actor may see it.

        A fact may also find what its device saw at its base. Raises NotFound, with the same words whether the
        row is hidden or does not exist.
        """
        return await self._find_visible(model, id, field, to_change=True)

    async def find_reference(self, model: type[EntityT], id: UUID, field: str | None = None) -> EntityT:
        """Return the row like `find`, for a command that refers to it without changing it.

        Others may refer to it at the same time; whoever changes or deletes it waits for this transaction.
        """
        return await self._find_visible(model, id, field, to_change=False)

    async def _find_visible(
        self, model: type[EntityT], id: UUID, field: str | None, *, to_change: bool
    ) -> EntityT:
        held = self._held(model, id, to_change=to_change)
        if held is not None:
            return held
        operation = self.current
        sees = (
            was_visible(model, self.actor, operation.base, operation.device_id)
            if operation.fact
            else visible(model, self.actor)
        )
        if operation.decider is not None:
            sees = or_(sees, visible(model, operation.decider))
        row = await self._find(model, id, sees, field, to_change=to_change)
        if not operation.fact:
            self._authorised.add(id)
        if row.deleted:
            await self._bring_back(row, field)
        return row

    async def find_to_edit(self, model: type[EntityT], id: UUID, field: str | None = None) -> EntityT:
        """Return the row like `find`; for a device also a row that others deleted after its base, whose
        edit `merge` then puts into the inbox.
        """
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
        """Restore a deleted row that a fact names, and let somebody decide: a deletion loses to a fact."""
        await self._require_deleted_meanwhile(row, field)
        row.deleted = False
        self.current.merged = True
        was, deleted = {"deleted": False}, {"deleted": True}
        kind = RECORD_DELETED_MEANWHILE
        await self.conflict(kind, row, base=was, mine=was, theirs=deleted)

    async def _require_deleted_meanwhile(self, row: Entity, field: str | None) -> None:
        """Raise NotFound if the device itself deleted the row."""
        if not row.deleted or "deleted" not in await self.changed_since_base(row):
            raise NotFound(f"There is no such {type(row).__name__}.", field)

    async def find_optional(
        self, model: type[EntityT], id: UUID | None, field: str | None = None
    ) -> EntityT | None:
        """Return the row like `find_reference`, or None if none is named."""
        return None if id is None else await self.find_reference(model, id, field)

    async def require_version(self, expected: Expected) -> None:
        """Raise Outdated unless the record's last change has this number. Its row stays locked, so it keeps
        that number until this transaction changes it.
        """
        row = await self.find(expected.model, expected.id, expected.field)
        # A statement of its own, after the lock, sees what the last holder of the lock committed.
        seq = await self.session.scalar(select(Record.seq).where(Record.id == expected.id))
        if seq != expected.version:
            raise Outdated(row, "expectedVersion")

    # -- writing ---------------------------------------------------------------------------------

    async def add(self, row: EntityT) -> EntityT:
        """Add a new row. Raises Invalid if any record already has this id."""
        if vars(row).get("id") is None:
            row.id = new_id()
        elif row.id in self.notes.new or await self.ahead.is_taken(row.id):
            raise Invalid("This id is in use.", "id")
        else:
            self.notes.awaited.add(row.id)
        # Bypasses the instrumented attributes, which take ten times as long.
        vars(row).update(organisation_id=self.organisation_id, created_at=now(), deleted=False)
        apply_defaults(row)
        instance_state(row).modified = True
        self.notes.new.add(row.id)
        self._authorised.add(row.id)
        self._rows[row.id] = row
        self.notes.handed.add(row)
        self.unit_of_work.waiting.append(row)
        return row

    def delete(self, row: Entity) -> None:
        """Mark the row as deleted: it leaves every scope and query, and the log keeps what it was."""
        row.deleted = True

    async def conflict(
        self,
        kind: ConflictKind,
        row: Entity,
        *,
        base: dict[str, Any],
        mine: dict[str, Any],
        theirs: dict[str, Any],
    ) -> Conflict:
        """1. Put a conflict into the inbox, for the role that decides such conflicts; the operation's outcome
        names it. (The numbers are those of schema/sync.md, "Conflicts".)"""
        operation = self.current
        raised = Conflict(
            kind=kind,
            role=kind.decider or row.decider,
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
        if kind is VALUE_SET_ASIDE:
            raised.resolve(Resolution.ACKNOWLEDGED, None, None, now())
        operation.conflict = await self.add(raised)
        return raised

    async def set_aside(
        self, row: Entity, *, base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
    ) -> None:
        """Keep values that a policy set aside, for people to read; nobody has to decide. The outcome
        names the entry, unless it already names a conflict.
        """
        disputed = self.current.conflict
        await self.conflict(VALUE_SET_ASIDE, row, base=base, mine=mine, theirs=theirs)
        self.current.conflict = disputed or self.current.conflict

    async def _other_side(self, row: Entity, theirs: Iterable[str]) -> UUID | None:
        """Return who last changed one of these fields after the device's base."""
        if not self.is_new(row):
            await self.clocks.load([row.id])
        base, device = self.current.base or 0, str(self.current.device_id)
        clock = self.clocks.find(row.id) or {}
        stamps = [clock.get(name) or clock.get("*") for name in theirs]
        others = [
            (stamp[0], stamp[2]) for stamp in stamps if stamp and stamp[0] > base and stamp[1] != device
        ]
        return UUID(max(known)[1]) if (known := [one for one in others if one[1]]) else None

    # -- the log ---------------------------------------------------------------------------------

    def begin(self, operation: Operation) -> None:
        """Start a command: until `end`, every change is logged under its name."""
        self.operation = operation
        self.notes.handed.clear()
        self.session.info["command"] = operation.command

    def note(self) -> None:
        """Note what the command changed: it has finished."""
        self.notes.take(self.current, self.actor.id)

    def end(self) -> None:
        self.operation = None
        self.session.info["command"] = None

    @asynccontextmanager
    async def running(self, operation: Operation) -> AsyncIterator[Operation]:
        """Do all three, for work that is not a command itself."""
        self.begin(operation)
        try:
            yield operation
            self.note()
        finally:
            self.end()

    @asynccontextmanager
    async def acting(self, actor: Actor) -> AsyncIterator[None]:
        """Let the running command carry out another person's commands, with that person's permissions and
        visibility.
        """
        self.note()
        kept = self.actor, self.operation, self._authorised, set(self.notes.handed)
        self.actor, self._authorised = actor, set()
        try:
            yield
        finally:
            self.actor, self.operation, self._authorised, self.notes.handed = kept
            self.session.info["command"] = self.current.command

    @asynccontextmanager
    async def carrying_out(self, command: str) -> AsyncIterator[None]:
        """Run another command inside the current one; its changes are logged under its own name."""
        self.note()
        outer = self.current.command
        self.current.command = self.session.info["command"] = command
        try:
            yield
            self.note()
        finally:
            self.current.command = self.session.info["command"] = outer

    async def flush(self) -> None:
        """Send pending rows to the database, so that it refuses now what it would refuse later."""
        async with Pipeline() as pipeline:
            await self._flush_into(pipeline)

    async def _flush_into(self, pipeline: Pipeline, *, last: bool = False) -> None:
        self.session.info["command"] = self.session.info.get("command") or "flush"
        try:
            await self._send_into(pipeline, last=last)
        finally:
            self.session.info["command"] = self.operation.command if self.operation else None

    async def commit(self) -> Mark | None:
        """Write the log and commit; return the mark of the last change, None if nothing changed."""
        last, _ = await self.commit_answering(lambda: None)
        return last

    async def commit_answering(self, answer: Callable[[], AnswerT]) -> tuple[Mark | None, AnswerT]:
        """Commit, and return beside the mark what `answer` makes while the database still writes."""
        async with Pipeline() as pipeline:
            await self._refresh_expired()
            await self._flush_into(pipeline, last=True)
            self.notes.require_complete()
            made = to_be_numbered(self.entries)
            if made:
                # The check waits for rows that others lock, so do it before taking the numbers.
                await pipeline.send(self.statements.check_references())
                await pipeline.send(give_numbers(self.session, made))
                await pipeline.arrived()
            last = await publish(self, pipeline) if self.entries else None
            if last is None:
                await require_open(self.session)
                await self.write_last(pipeline)
            answered = answer()
        admits = self.admits or any(entry.row.admits for entry in self.entries)
        if admits:
            # Notify the other processes too.
            await self.statements.notify(ADMISSIONS, str(self.organisation_id))
        require_command(self.unit_of_work, self.unit_of_work.waiting)
        self.is_committing = True
        await self.session.commit()
        if last is not None or admits:
            self.database.announce(self.organisation_id, 0 if last is None else last.seq, admits)
        return last, answered

    async def _refresh_expired(self) -> None:
        """Read again the rows that commands changed before a savepoint was rolled back."""
        with self.session.no_autoflush:
            for row in {entry.row for entry in self.entries}:
                if instance_state(row).expired_attributes:
                    await self.session.refresh(row)

    async def write_last(self, pipeline: Pipeline) -> None:
        """Write what needs the numbers of the changes."""
        # They are closures, which may hold this object in memory.
        last_writes, self.last_writes = self.last_writes, []
        for write in last_writes:
            await write(self.entries, pipeline)

    # -- savepoints ------------------------------------------------------------------------------

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Apply everything inside, or nothing; the notes go back together with the rows."""
        # What earlier commands left pending must survive a rollback of this one.
        await self.flush()
        notes, clocks = self.notes.copy(), self.clocks.copy()
        rows, authorised, shared = dict(self._rows), set(self._authorised), set(self._shared)
        last_writes, stored = list(self.last_writes), len(self.unit_of_work.stored)
        try:
            async with self.session.begin_nested():
                yield
                await self.flush()
        except BaseException:
            self.unit_of_work.waiting.clear()
            self.unit_of_work.take_back(stored)
            self.notes.restore(notes)
            self.clocks.restore(clocks)
            self._rows, self._authorised, self._shared = rows, authorised, shared
            self.last_writes = last_writes
            self._forget_expired()
            raise

    def _forget_expired(self) -> None:
        """Forget rows that a rollback took back: they are read and locked again when next needed."""
        for id, row in list(self._rows.items()):
            state = inspect(row)
            if state.transient or state.detached or state.expired_attributes:
                del self._rows[id]
                self.notes.forget(row)
