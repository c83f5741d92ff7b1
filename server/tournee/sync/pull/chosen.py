"""2. The live rows of a first pull of somebody who chose what to carry, one type after another.

Within a type, rows come in the order in which they stop to count, so that a page reads what it sends and
nothing that lies before the window. A row whose place moves meanwhile has changed, and the feed has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, literal, select, tuple_

from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import UTCDateTime
from tournee.kernel.head import HeadNow
from tournee.kernel.log import Record
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.cursor import MIN_ID, Cursor, Phase, Place
from tournee.sync.pull.page import Page, Progress, PulledChange, Rows, text_of


class Chosen:
    """The rows that a choice takes from an organisation, for one page on one database snapshot."""

    def __init__(self, session: OrganisationSession, entities: Sequence[str], choice: Choice) -> None:
        self.session = session
        self.entities = sorted(entities)
        self.choice = choice

    async def page(self, cursor: Cursor, head: HeadNow, limit: int) -> Page:
        """Return the rows after the cursor, and the next cursor, like `Snapshot.page`."""
        cursor = replace(cursor, phase=Phase.SNAPSHOT, mark=head.mark)
        if not cursor.total:
            cursor = replace(cursor, total=await self._count())
        changes, place = await self._rows(cursor, limit)
        cursor = replace(cursor, done=cursor.done + len(changes))
        progress = Progress(cursor.done, max(cursor.done, cursor.total))
        text = text_of(changes)
        if place is not None:
            return Page(text, replace(cursor, place=place, id=changes[-1].id), True, progress)
        after = Cursor(cursor.epoch, cursor.seq, mark=head.mark, choice=cursor.choice)
        return Page(text, after, head.seq > cursor.seq, progress)

    async def _rows(self, cursor: Cursor, limit: int) -> tuple[list[PulledChange], Place | None]:
        """Return the next rows, and the place of the last one if there may be more."""
        found: list[PulledChange] = []
        at = cursor.place
        left = self.entities if at is None else [name for name in self.entities if name >= at.entity]
        for entity in left:
            begun = at is not None and entity == at.entity
            until, id = (at.until, cursor.id) if begun and at is not None else (self.choice.begins, MIN_ID)
            rows = (await self.session.execute(self._after(entity, until, id, limit - len(found)))).all()
            found += [PulledChange(*row[:4]) for row in rows]
            if len(found) == limit:
                return found, Place(entity, rows[-1].until)
        return found, None

    def _after(self, entity: str, until: datetime, id: object, most: int) -> Rows:
        place = tuple_(literal(until, UTCDateTime()), literal(id, Record.id.type))
        return (
            select(Record.seq, Record.entity, Record.id, Record.document, Record.until)
            .where(
                Record.deleted.is_(False),
                Record.entity == entity,
                tuple_(Record.until, Record.id) > place,
            )
            .order_by(Record.until, Record.id)
            .limit(most)
        )

    async def _count(self) -> int:
        counted = select(func.count()).where(
            Record.deleted.is_(False), Record.entity.in_(self.entities), self.choice.carries()
        )
        return int((await self.session.execute(counted)).scalar_one())
