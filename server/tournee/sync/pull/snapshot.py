"""2. The live rows of a first pull, in pages. The numbers are those of schema/sync.md, "Pull".

Office roles get them by id. Everybody else gets them scope by scope. A row that lies in several scopes is
sent in the lowest of them; it has a place in the others too, where it is skipped. So a page walks along a
number of places, and its cost depends on that number alone. A row can be missed only if an edge or a
membership moved after the pinned seq, and then the feed has it. Today's work comes first, and once more at
its place, so that the walk stays complete whatever happens to it meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.head import HeadNow
from tournee.kernel.log import Edge, Member, Record
from tournee.kernel.visibility import holds, lies_in, sees
from tournee.sync.pull.cursor import MIN_ID, Cursor, Phase
from tournee.sync.pull.page import Page, Progress, Rows, Written, write, write_placed

# Returns the scopes whose rows the actor needs first.
Urgent = Callable[[AsyncSession, Actor], Awaitable[Sequence[UUID]]]

# Scopes that come first; with more of them, coming first would gain nothing.
_MOST_URGENT = 300


class Snapshot:
    """The rows that an actor sees, for one page on one database snapshot."""

    def __init__(
        self, session: OrganisationSession, actor: Actor, entities: list[str], urgent: Urgent | None
    ) -> None:
        self.session = session
        self.actor = actor
        self.entities = entities
        self.urgent = urgent

    async def page(self, cursor: Cursor, head: HeadNow, limit: int) -> Page:
        """Return the rows after the cursor, and the next cursor. After the last row, that cursor continues in
        the feed.

        Rows come as they stand now, not as they stood at the pinned seq.
        """
        cursor = replace(cursor, mark=head.mark)
        first = await self._first() if cursor.phase is Phase.URGENT else []
        if not cursor.total:
            all_rows = await self._count(None)
            # If everything fits in one page, nothing needs a head start.
            first = first if all_rows > limit else []
            cursor = replace(cursor, total=all_rows + (await self._count(first) if first else 0))
        if cursor.phase is Phase.URGENT and not first:
            cursor = replace(cursor, phase=Phase.SNAPSHOT, scope=MIN_ID, id=MIN_ID)
        written = await self._write(cursor, first, limit)
        text, count = (written.text, written.count) if written else ("", 0)
        cursor = replace(cursor, done=cursor.done + count)
        progress = Progress(cursor.done, max(cursor.done, cursor.total))
        if written and written.more:
            after = replace(cursor, scope=written.scope or MIN_ID, id=written.id or MIN_ID)
            return Page(text, after, True, progress)
        if cursor.phase is Phase.URGENT:
            rest = replace(cursor, phase=Phase.SNAPSHOT, scope=MIN_ID, id=MIN_ID)
            return Page(text, rest, True, progress)
        return Page(text, Cursor(cursor.epoch, cursor.seq, mark=head.mark), head.seq > cursor.seq, progress)

    async def _first(self) -> Sequence[UUID]:
        if self.urgent is None or self.actor.sees_all:
            return []
        scopes = await self.urgent(self.session, self.actor)
        return scopes if len(scopes) <= _MOST_URGENT else []

    async def _count(self, scopes: Sequence[UUID] | None) -> int:
        """Count all rows, or those of these scopes."""
        if self.actor.sees_all:
            counted = select(func.count()).where(*self._live())
        else:
            lying = _in_scopes(select(Edge.record_id), self.actor, scopes).distinct().subquery("lying")
            alive = and_(Record.id == lying.c.record_id, *self._live())
            counted = select(func.count()).select_from(lying).join(Record, alive)
        return int((await self.session.execute(counted)).scalar_one())

    async def _write(self, cursor: Cursor, first: Sequence[UUID], limit: int) -> Written | None:
        if self.actor.sees_all:
            columns = select(Record.seq, Record.entity, Record.id, Record.document)
            rows = columns.where(*self._live(), Record.id > cursor.id).order_by(Record.id).limit(limit + 1)
            return await write(self.session, rows, limit)
        scopes = first if cursor.phase is Phase.URGENT else None
        place = self._places(cursor, scopes, limit + 1)
        columns = select(Record.seq, Record.entity, Record.id, Record.document, place.c.n)
        joined = columns.join_from(place, Record, and_(Record.id == place.c.id, *self._live()))
        # Leave out rows that already came with an earlier scope.
        before = sees(self.actor.id, place.c.id, scopes=scopes, before=place.c.scope)
        rows = joined.where(~before)
        return await write_placed(self.session, place, rows, limit)

    def _places(self, cursor: Cursor, scopes: Sequence[UUID] | None, most: int) -> Any:
        """Select the next places in the scopes held, or in these scopes, and number them."""
        of = holds(self.actor.id, scopes=scopes)
        own = select(Member.scope).where(of, Member.scope >= cursor.scope).subquery("held")
        begun = case((own.c.scope == cursor.scope, cursor.id), else_=MIN_ID)
        lying = and_(Edge.scope == own.c.scope, Edge.open.is_(True), Edge.record_id > begun)
        places = self.session.statements.each_in_turn(own, Edge.record_id, lying, most)
        next_ones = places.order_by("scope", "id").limit(most).subquery("next_ones")
        in_order = func.row_number().over(order_by=(next_ones.c.scope, next_ones.c.id))
        return select(next_ones, in_order.label("n")).cte("place")

    def _live(self) -> tuple[Any, ...]:
        return (
            Record.deleted.is_(False),
            Record.entity.in_(self.entities),
        )


def _in_scopes(columns: Rows, actor: Actor, scopes: Sequence[UUID] | None) -> Rows:
    """What lies in the scopes held: all of them, or these only."""
    lying = columns.select_from(Member).join(Edge, lies_in())
    return lying.where(holds(actor.id, scopes=scopes), Edge.open.is_(True))
