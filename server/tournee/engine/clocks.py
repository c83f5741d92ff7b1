"""The clocks of records: who last changed each field, and its earlier value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.ahead import chunks
from tournee.engine.statements import Statements
from tournee.kernel.archived import archived_until
from tournee.kernel.entity import Entity
from tournee.kernel.fields import fields
from tournee.kernel.log import CREATED, SHORTENED, Change, Record
from tournee.kernel.values import present

# By field: seq, device and actor of its last change.
Clock = dict[str, list[Any]]
_SEVERAL = frozenset((CREATED, SHORTENED))
# By record: its seq, and its clock as stored text.
Known = dict[UUID, tuple[int, str]]


class Clocks:
    """The clocks of records whose rows this transaction has locked: they do not change until its commit."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        # Parsed only when asked for: most records have not changed since the base.
        self._known: Known = {}

    async def load(self, ids: Iterable[UUID]) -> None:
        """Read the clocks that are not known yet."""
        for chunk in chunks([id for id in ids if id not in self._known]):
            rows = await self.statements.pick(Record.id, chunk, Record.id, Record.seq, Record.clock)
            self._known.update({id: (seq, clock) for id, seq, clock in rows})

    def forget(self, ids: Iterable[UUID]) -> None:
        """Forget clocks of records whose rows could not be locked."""
        for id in ids:
            self._known.pop(id, None)

    def copy(self) -> Known:
        """Return a copy for `restore`, at a savepoint."""
        return dict(self._known)

    def restore(self, kept: Known) -> None:
        """Go back to the copy: rows read since are no longer locked."""
        self._known = kept

    def find(self, id: UUID) -> Clock | None:
        """Return the clock of a loaded record; None if there is none."""
        known = self._known.get(id)
        return None if known is None else orjson.loads(known[1])

    def made(self, id: UUID) -> list[Any]:
        """Return seq, device and actor of the creation of a loaded record."""
        made: list[Any] = orjson.loads(self._known[id][1])["*"]
        return made

    async def changed_by_others(self, row: Entity, base: int, device_id: UUID | None) -> set[str]:
        """Return the wire names of the fields that another device or person changed after `base`."""
        if row.id not in self._known:
            await self.load([row.id])
        seq, text = self._known.get(row.id, (0, "{}"))
        if seq <= base:
            return set()
        clock, device = orjson.loads(text), str(device_id)
        theirs = {name for name, (seq, by, _actor) in clock.items() if seq > base and by != device}
        if theirs & _SEVERAL:
            # Somebody else created the row meanwhile, or changed fields that are not named any more.
            theirs |= {field.wire for field in fields(type(row))} - clock.keys()
        return theirs - _SEVERAL


def shortened(clock: Clock) -> Clock:
    """Return the clock of a record whose changes have all been archived: when it was created, and when it
    changed last. No base is so old that more could be asked, except of a device whose edits then wait for a
    decision.
    """
    last = max((seq for name, (seq, *_) in clock.items() if name != CREATED), default=None)
    created: Clock = {CREATED: [clock[CREATED][0], None, None]}
    return created if last is None else created | {SHORTENED: [last, None, None]}


async def value_at(session: AsyncSession, row: Entity, name: str, base: int, since: Any) -> Any:
    """Return the value that a field had at a seq, from the log; `since` if it has not changed after it.

    If changes after the seq were archived, it is the oldest value that is known.
    """
    changes = await session.execute(
        select(Change.before).where(Change.id == row.id, Change.seq > base).order_by(Change.seq)
    )
    for (before,) in changes:
        if before is None:  # It did not exist yet.
            return None
        values = orjson.loads(before)
        if name in values:
            return values[name]
    if since is None and base < await archived_until(session):
        return present(row, [name])[name]
    return since


async def value_known(
    session: AsyncSession, row: Entity, name: str, base: int, device_id: UUID | None
) -> Any:
    """Return the value of a field as a device knows it: as it was at `base`, or as the device itself left
    it since.
    """
    changes = await session.execute(
        select(Change.before, Change.after, Change.device_id)
        .where(Change.id == row.id, Change.seq > base)
        .order_by(Change.seq)
    )
    made = [(orjson.loads(before or "{}"), orjson.loads(after or "{}"), by) for before, after, by in changes]
    own = [after[name] for _, after, by in made if by == device_id and name in after]
    others = [before.get(name) for before, after, _ in made if name in after]
    return own[-1] if own else others[0] if others else present(row, [name])[name]
