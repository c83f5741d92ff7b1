"""Notes: what each command changed, taken when the command ends, however often the session flushes
meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm.attributes import instance_state

from tournee.engine.database import UnloggedWrite, WriteSession
from tournee.kernel.entity import Entity
from tournee.kernel.fields import camel, fields
from tournee.kernel.log import Entry
from tournee.kernel.operation import Operation
from tournee.kernel.values import check_texts, document, values

Scopes = tuple[UUID, ...]
Seen = dict[Entity, dict[str, Any]]
Kept = tuple[list[Entry], set[UUID], set[UUID], set[Entity], Seen, dict[Entity, Scopes]]


# The key of the notes in a session's `info`.
NOTES = "notes"


class Notes:
    """The log entries of a transaction, and each row as it was last noted."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.new: set[UUID] = set()
        # Ids that waiting operations may wait for: new records, and operations that were decided.
        self.awaited: set[UUID] = set()
        self.flushed: set[Entity] = set()
        # The rows that the running command was given: it cannot have changed any other.
        self.handed: set[Entity] = set()
        self._seen: Seen = {}
        # The scopes of rows when they were locked.
        self._lay: dict[Entity, Scopes] = {}

    def hold(self, row: Entity) -> None:
        """Remember a row that was just read and locked."""
        self.handed.add(row)
        if row not in self._seen and row not in self.flushed:
            self._seen[row] = vars(row).copy()
            self._lay.setdefault(row, scopes_of(row))

    def forget(self, row: Entity) -> None:
        self._seen.pop(row, None)

    def lay_in(self, row: Entity) -> Scopes:
        """Return the scopes that the row lay in before this transaction."""
        return () if row.id in self.new else self._lay[row]

    def is_untouched(self) -> bool:
        """Return whether the running command has changed nothing so far."""
        return not self.flushed and not any(instance_state(row).modified for row in self.handed)

    def is_as_before(self) -> bool:
        """Return whether the running command, which was refused, leaves each row as earlier commands
        noted it.
        """
        touched = self.flushed | {row for row in self.handed if instance_state(row).modified}
        return not any(self._differs(row) for row in touched)

    def _differs(self, row: Entity) -> bool:
        """Return whether the row differs from when it was last noted."""
        seen = self._seen.get(row)
        return seen is None or bool(self._changes(row, seen))

    def take(self, operation: Operation, actor_id: UUID) -> None:
        """Compare each row that the command touched with what was last noted of it."""
        touched = {row for row in self.handed if instance_state(row).modified}
        if self.flushed:
            touched |= self.flushed
        # Usually one row, so skip the sort.
        for row in sorted(touched, key=lambda row: row.id) if len(touched) > 1 else touched:
            entry = self._entry(row)
            if entry is not None:
                before, after = entry
                check_texts(row, after)
                row.check()
                self.entries.append(
                    Entry(
                        row=row,
                        command=operation.command,
                        actor_id=actor_id,
                        device_id=operation.device_id,
                        operation_id=operation.id,
                        occurred_at=operation.occurred_at,
                        before=before,
                        after=after,
                    )
                )
        self.flushed.clear()

    def _entry(self, row: Entity) -> tuple[dict[str, Any] | None, dict[str, Any]] | None:
        """The values before and after by wire name, None before for a new row; None if nothing differs."""
        seen = self._seen.get(row)
        if seen is None:
            if row.id not in self.new:
                raise UnloggedWrite(f"{type(row).__name__} was changed without being found first.")
            self._seen[row] = vars(row).copy()
            return None, document(row)
        after = self._changes(row, seen)
        if not after:
            return None
        self._seen[row] = seen | after
        return {camel(name): seen.get(name) for name in after}, _by_wire_name(after)

    def _changes(self, row: Entity, seen: dict[str, Any]) -> dict[str, Any]:
        state = instance_state(row)
        held = vars(row)
        if held == seen:
            return {}
        present = {"deleted": row.deleted, **values(row)} if state.expired_attributes else held
        public = _public(type(row))
        # For a row that was not flushed, the session knows the names of the changed fields.
        names = public if row in self.flushed else [name for name in state.committed_state if name in public]
        return {name: present.get(name) for name in names if present.get(name) != seen.get(name)}

    def changed(self, row: Entity, device_id: UUID | None) -> set[str]:
        """Return the wire names of the fields that this device's commands changed in a row so far."""
        own = (entry for entry in self.entries if entry.row is row and entry.device_id == device_id)
        return {name for entry in own for name in entry.after}

    def require_complete(self) -> None:
        """Raise UnloggedWrite if a row was changed between commands, or by a command that had not found
        it.
        """
        for row in self.flushed:
            seen = self._seen.get(row)
            if seen is None or self._changes(row, seen):
                raise UnloggedWrite(f"{type(row).__name__} was changed outside of a command.")

    def copy(self) -> Kept:
        """Return a copy for `restore`, at a savepoint."""
        return (
            *(list(self.entries), set(self.new), set(self.awaited), set(self.handed)),
            *(dict(self._seen), dict(self._lay)),
        )

    def restore(self, kept: Kept) -> None:
        self.entries, self.new, self.awaited, self.handed, self._seen, self._lay = kept
        self.flushed.clear()


def scopes_of(row: Entity) -> Scopes:
    """Return the scopes that the row lies in now: none once it is deleted."""
    if row.deleted:
        return ()
    # Each scope once, in its order.
    return tuple(dict.fromkeys([scope for scope in row.scopes() if scope is not None]))


def _note_flushed(session: WriteSession, _context: object, _rows: object) -> None:
    notes: Notes | None = session.info.get(NOTES)
    if notes is not None:
        notes.flushed.update(row for row in (*session.new, *session.dirty) if isinstance(row, Entity))


event.listen(WriteSession, "before_flush", _note_flushed)


@cache
def _public(model: type[Entity]) -> Mapping[str, None]:
    """Return the public names, in the order of their declaration."""
    return dict.fromkeys(("deleted", *(field.name for field in fields(model))))


def _by_wire_name(values: dict[str, Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in values.items()}
