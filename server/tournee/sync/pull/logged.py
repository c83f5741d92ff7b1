"""The end of each organisation's log in memory, for those who see all of it: one read serves all subscribers.

A page holds entries as the log has them. Its reader may still lack the permission to see some of them.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.kernel.head import HeadNow, Mark, is_there, read_head
from tournee.kernel.log import Change, Record
from tournee.sync.pull.cursor import MAX_ID, Cursor

# What is kept of one organisation, and of how many.
MOST_ENTRIES = 500
MOST_CHARACTERS = 1_000_000
_MOST_ORGANISATIONS = 100

_PLACE = ("organisation_id", "seq", "entity", "id")
_LOGGED = [column.key for column in Change.__mapper__.column_attrs if column.key not in _PLACE]


@dataclass(frozen=True, slots=True)
class Seen:
    """A change as a subscription sends it. A person who may not read the log learns what the record is
    now, not who did what to it: the log's fields are None then.
    """

    seq: int
    entity: str
    id: UUID
    place: Cursor
    document: str | None
    command: str | None = None
    actor_id: UUID | None = None
    device_id: UUID | None = None
    operation_id: UUID | None = None
    fields: str | None = None
    before: str | None = None
    after: str | None = None
    occurred_at: datetime | None = None
    recorded_at: datetime | None = None
    # Of the log: the record's fields when the log was read up to `as_of`, even if it was deleted by then.
    last: str | None = None
    as_of: int = 0

    @property
    def size(self) -> int:
        return sum(len(one or "") for one in (self.last, self.fields, self.before, self.after))


def after_change(epoch: UUID, change: Change) -> Cursor:
    """Return the cursor past a change of the log; it reveals nothing about later changes."""
    return Cursor(epoch, change.seq, MAX_ID, mark=Mark.of(change.seq, change.recorded_at))


async def entries_after(
    session: AsyncSession, head: HeadNow, seq: int, most: int, *conditions: Any
) -> list[Seen]:
    """Read the log past this number, each entry with the document of its record as it is now."""
    rows = await session.execute(
        select(Change, Record.document, Record.deleted)
        .join(Record, and_(Record.organisation_id == Change.organisation_id, Record.id == Change.id))
        .where(Change.seq > seq, *conditions)
        .order_by(Change.seq)
        .limit(most)
    )
    return [_seen(change, document, deleted, head) for change, document, deleted in rows]


def _seen(change: Change, document: str, deleted: bool, head: HeadNow) -> Seen:
    logged = {name: getattr(change, name) for name in _LOGGED}
    place, shown = after_change(head.epoch, change), None if deleted else document
    return Seen(change.seq, change.entity, change.id, place, shown, last=document, as_of=head.seq, **logged)


@dataclass
class _End:
    """The entries past `since`, up to the head."""

    head: HeadNow
    since: Mark
    entries: list[Seen] = field(default_factory=list)

    def holds(self, place: Cursor) -> bool:
        """Return whether everything past the place is here, and the place is of this history."""
        if place.epoch != self.head.epoch or place.mark is None or place.mark.seq != place.seq:
            return False
        if place.mark in (self.since, self.head.mark):
            return True
        at = self._index(place.seq)
        return at > 0 and self.entries[at - 1].place.mark == place.mark

    def after(self, seq: int) -> Sequence[Seen]:
        return self.entries[self._index(seq) :]

    def _index(self, seq: int) -> int:
        return bisect_right(self.entries, seq, key=lambda one: one.seq)

    def join(self, head: HeadNow, entries: Sequence[Seen]) -> None:
        self.head = head
        self.entries = [*self.entries, *entries]
        size = sum(one.size for one in self.entries)
        while self.entries and (len(self.entries) > MOST_ENTRIES or size > MOST_CHARACTERS):
            oldest = self.entries.pop(0)
            size -= oldest.size
            self.since = oldest.place.mark or self.since


class Logged:
    """The ends of the logs of organisations with subscribers."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads
        self._ends: OrderedDict[UUID, _End] = OrderedDict()
        self._reading: dict[UUID, asyncio.Task[None]] = {}

    async def after(self, organisation_id: UUID, place: Cursor) -> tuple[Sequence[Seen], Cursor] | None:
        """Return the entries past a place and the place past them, up to a head no older than this call; None
        if only the database knows them.
        """
        known = self._ends.get(organisation_id)
        before = None if known is None else known.head
        head = await self._heads.now(organisation_id)
        if before is not None and not _reaches(head, before):
            # The database came back without its newest seconds.
            self._ends.pop(organisation_id, None)
            return None
        end = self._ends.get(organisation_id)
        if end is None or not _reaches(end.head, head):
            await asyncio.shield(self._advancing(organisation_id))
            end = self._ends.get(organisation_id)
        if end is None or not _reaches(end.head, head) or not end.holds(place):
            return None
        return end.after(place.seq), Cursor.at(end.head)

    def _advancing(self, organisation_id: UUID) -> asyncio.Task[None]:
        """Read what is new, once for all who ask meanwhile."""
        reading = self._reading.get(organisation_id)
        if reading is None or reading.done():
            reading = asyncio.get_running_loop().create_task(self._advance(organisation_id))
            self._reading[organisation_id] = reading
            reading.add_done_callback(lambda _done: self._reading.pop(organisation_id, None))
        return reading

    async def _advance(self, organisation_id: UUID) -> None:
        end = self._ends.pop(organisation_id, None)
        async with self._database.reading(organisation_id) as session:
            head = await read_head(session)
            if end is None or not await _continues(session, end.head, head):
                # Those who ask now are up to date, or read what they lack by themselves.
                end = _End(head, head.mark)
            else:
                new = await entries_after(session, head, end.head.seq, MOST_ENTRIES + 1)
                if len(new) > MOST_ENTRIES:
                    end = _End(head, head.mark)
                else:
                    end.join(head, new)
        self._ends[organisation_id] = end
        if len(self._ends) > _MOST_ORGANISATIONS:
            self._ends.popitem(last=False)


def _reaches(one: HeadNow, other: HeadNow) -> bool:
    """Return whether one head is the other, or may be a later one of the same history."""
    if one.epoch != other.epoch:
        return False
    return one.mark == other.mark or one.seq > other.seq


async def _continues(session: AsyncSession, one: HeadNow, head: HeadNow) -> bool:
    return one.epoch == head.epoch and one.seq <= head.seq and await is_there(session, one.mark, head)
