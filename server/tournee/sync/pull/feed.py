"""The feed: what changed for a person since a cursor. The numbers are those of schema/sync.md, "Pull".

1. Cursor    `cursor.py`    where the device is; it may be too old to go on from
2. Snapshot  `snapshot.py`  the live rows of a first pull; of a choice, `chosen.py`
3. Feed      `moved.py`     what moved for this person after the cursor
4. Page      `page.py`      the changes as the text that goes out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import select

from tournee.engine.database import Database
from tournee.engine.lanes import Lanes
from tournee.engine.tail import Recent, Tail
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import HeadNow, Mark, is_there, read_head
from tournee.kernel.log import Record
from tournee.kernel.visibility import sees
from tournee.kernel.withheld import shown, withheld
from tournee.sync.messages import as_record
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.chosen import Chosen
from tournee.sync.pull.cursor import MAX_ID, MIN_ID, Cursor, Phase
from tournee.sync.pull.logged import Logged
from tournee.sync.pull.moved import marked, moved_rows, recent_page
from tournee.sync.pull.page import Page, write
from tournee.sync.pull.snapshot import Snapshot, Urgent

DEFAULT_LIMIT = 500
GREATEST_LIMIT = 5000


class Feed:
    """Reads pages for actors. `entities` are those that are synced."""

    def __init__(
        self,
        database: Database,
        entities: Sequence[type[Entity]],
        tail: Tail | None = None,
        urgent: Urgent | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        self.database = database
        self.entities = tuple(entities)
        self.tail = tail
        self.logged = None if tail is None else Logged(database, tail.heads)
        self.urgent = urgent
        self.lanes = lanes or Lanes()
        self._readable: dict[frozenset[str], list[str]] = {}

    def readable(self, actor: Actor) -> list[str]:
        known = self._readable.get(actor.permissions)
        if known is None:
            known = [entity.__name__ for entity in self.entities if actor.may(entity.reads)]
            self._readable[actor.permissions] = known
        return known

    def carried(self, actor: Actor, choice: Choice | None) -> list[str]:
        """Return the types of records that the actor's device carries."""
        readable = self.readable(actor)
        return readable if choice is None else choice.among(readable)

    async def require(self, actor: Actor, mark: Mark | None, recent: Recent) -> None:
        """Raise ResyncNeeded if the log lacks a change that the device has received."""
        known = recent.has(mark)
        if known is None:
            async with self.database.reading(actor.organisation_id) as session:
                known = await is_there(session, mark, recent.head)
        if not known:
            raise ResyncNeeded

    async def pull(
        self,
        actor: Actor,
        cursor: Cursor | None,
        limit: int = DEFAULT_LIMIT,
        recent: Recent | None = None,
        choice: Choice | None = None,
    ) -> Page:
        """Return a page of what changed since the cursor, as the actor may read it.

        It comes from the tail, else from one snapshot of the database. `recent` is what the caller has just
        asked the tail for. A new copy begins with `choice`; later the cursor has it. Raises ResyncNeeded past
        the horizon, in another epoch or for another choice, Overloaded if too many read at once.
        """
        if cursor is not None and choice is not None and cursor.choice != choice:
            raise ResyncNeeded
        choice = choice if cursor is None else cursor.choice
        limit = max(1, min(limit, GREATEST_LIMIT))
        page = await self._remembered(actor, cursor, limit, recent)
        if page is None:
            first = cursor is None or cursor.snapshot
            async with (self.lanes.snapshots if first else self.lanes.pulls).turn(actor.key):
                page = await self._read(actor, cursor, limit, choice)
        if choice is not None and page.cursor is not cursor:
            page = replace(page, cursor=replace(page.cursor, choice=choice))
        return page.shown_to(actor) if withheld(actor) else page

    async def _read(self, actor: Actor, cursor: Cursor | None, limit: int, choice: Choice | None) -> Page:
        """Read a page from the database."""
        async with self.database.reading(actor.organisation_id) as session:
            head = await read_head(session)
            cursor = cursor or Cursor(head.epoch, head.seq, MIN_ID, Phase.URGENT)
            known = await is_there(session, cursor.mark, head)
            _require_continuable(cursor, head, is_there=known)  # 1. Cursor.
            entities = self.carried(actor, choice)
            if cursor.snapshot and choice is not None:
                return await Chosen(session, entities, choice).page(cursor, head, limit)
            if cursor.snapshot:  # 2. Snapshot.
                return await Snapshot(session, actor, entities, self.urgent).page(cursor, head, limit)
            if cursor.seq == head.seq and cursor.id == MAX_ID:
                return Page("", marked(cursor, head), more=False)
            moved = moved_rows(actor, entities, cursor, limit + 1, choice)  # 3. Feed.
            written = await write(session, moved, limit)  # 4. Page.
            if written and written.more:
                return Page(written.text, Cursor(head.epoch, *written.place(), mark=head.mark), more=True)
            return Page(written.text if written else "", Cursor.at(head), more=False)

    async def _remembered(
        self, actor: Actor, cursor: Cursor | None, limit: int, recent: Recent | None
    ) -> Page | None:
        """Return the page from the tail's memory; None if the database has to be asked."""
        if cursor is None or cursor.snapshot or self.tail is None:
            return None
        recent = recent or await self.tail.now(actor.organisation_id)
        known = recent.has(cursor.mark)
        _require_continuable(cursor, recent.head, is_there=known is not False)
        entities = self.carried(actor, cursor.choice)
        return recent_page(recent, actor, entities, cursor, limit) if known else None


def _require_continuable(cursor: Cursor, head: HeadNow, *, is_there: bool) -> None:
    """1. Raise ResyncNeeded if the cursor is too old, of another epoch, or of a lost history."""
    if cursor.epoch != head.epoch or not head.floor <= cursor.seq <= head.seq or not is_there:
        raise ResyncNeeded


async def records_now(database: Database, actor: Actor, ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the wire form of those of these records that the actor may see now, as outcomes carry it."""
    if not ids:
        return {}
    async with database.reading(actor.organisation_id) as session:
        named = session.statements.among(Record.id, set(ids))
        statement = select(Record.id, Record.entity, Record.document).where(named, Record.deleted.is_(False))
        if not actor.sees_all:
            statement = statement.where(sees(actor.id, Record.id, row=Record))
        rows = await session.execute(statement)
        return {id: as_record(entity, shown(actor, entity, document)) for id, entity, document in rows}
