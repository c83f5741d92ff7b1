"""2. The live rows of a first pull, in pages. The numbers are those of schema/sync.md, "Pull".

Who sees all gets them by id. Everybody else gets them scope by scope, each row in the least of the
scopes they see it by: what a page costs follows from the page, not from what is still to come. A row
passes unsent only where an edge or a membership moved after the pinned seq, and then the feed has it.
Today's work goes ahead and comes once more at its place, so that whatever becomes of it meanwhile,
the walk through the rest stays whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, and_, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from tournee.kernel.actor import Actor
from tournee.kernel.log import Edge, Member, Record
from tournee.sync.cursor import MIN_ID, Cursor, Phase
from tournee.sync.page import Page, Progress, Rows, write

# The scopes whose rows somebody needs first.
Urgent = Callable[[AsyncSession, Actor], Awaitable[Sequence[UUID]]]

# With more it would be no head start.
_MOST_URGENT = 300


class Snapshot:
    """The rows that an actor sees, for one page on one database snapshot."""

    def __init__(
        self, session: AsyncSession, actor: Actor, entities: list[str], urgent: Urgent | None
    ) -> None:
        self.session = session
        self.actor = actor
        self.entities = entities
        self.urgent = urgent

    async def page(self, cursor: Cursor, head: int, limit: int) -> Page:
        """The rows after the cursor, and the cursor to go on with; after the last one it is the feed's."""
        first = await self._first() if cursor.phase is Phase.URGENT else []
        if not cursor.total:
            all_rows = await self._count(None)
            # What comes in one page needs no head start.
            first = first if all_rows > limit else []
            cursor = replace(cursor, total=all_rows + (await self._count(first) if first else 0))
        if cursor.phase is Phase.URGENT and not first:
            cursor = replace(cursor, phase=Phase.SNAPSHOT, scope=MIN_ID, id=MIN_ID)
        written = await write(self.session, self._rows(cursor, first).limit(limit + 1), limit)
        text, count = (written.text, written.count) if written else ("", 0)
        cursor = replace(cursor, done=cursor.done + count)
        progress = Progress(cursor.done, max(cursor.done, cursor.total))
        if written and written.more:
            _, id = written.place()
            return Page(text, replace(cursor, scope=written.scope or MIN_ID, id=id), True, progress)
        if cursor.phase is Phase.URGENT:
            rest = replace(cursor, phase=Phase.SNAPSHOT, scope=MIN_ID, id=MIN_ID)
            return Page(text, rest, True, progress)
        return Page(text, Cursor(cursor.epoch, cursor.seq), head > cursor.seq, progress)

    async def _first(self) -> Sequence[UUID]:
        if self.urgent is None or self.actor.sees_all:
            return []
        scopes = await self.urgent(self.session, self.actor)
        return scopes if len(scopes) <= _MOST_URGENT else []

    async def _count(self, scopes: Sequence[UUID] | None) -> int:
        """All rows, or those of these scopes only."""
        if self.actor.sees_all:
            counted = select(func.count()).where(*self._live())
        else:
            counted = self._seen(select(func.count(Edge.record_id.distinct())), scopes)
        return int((await self.session.execute(counted)).scalar_one())

    def _rows(self, cursor: Cursor, first: Sequence[UUID]) -> Rows:
        columns = select(Record.seq, Record.entity, Record.id, Record.document)
        if self.actor.sees_all:
            rows = columns.add_columns(literal(None, Uuid).label("scope"))
            return rows.where(*self._live(), Record.id > cursor.id).order_by(Record.id)
        scopes = first if cursor.phase is Phase.URGENT else None
        rows = self._seen(columns.add_columns(Member.scope), scopes)
        past = or_(Member.scope > cursor.scope, Edge.record_id > cursor.id)
        return rows.where(Member.scope >= cursor.scope, past, ~_seen_before(self.actor, scopes)).order_by(
            Member.scope, Edge.record_id
        )

    def _live(self) -> tuple[Any, ...]:
        return (
            Record.organisation_id == self.actor.organisation_id,
            Record.deleted.is_(False),
            Record.entity.in_(self.entities),
        )

    def _seen(self, columns: Rows, scopes: Sequence[UUID] | None) -> Rows:
        """Live rows by the scopes held: all of them, or these only."""
        return (
            columns.select_from(Member)
            .join(Edge, and_(Edge.organisation_id == Member.organisation_id, Edge.scope == Member.scope))
            .join(Record, and_(Record.organisation_id == Edge.organisation_id, Record.id == Edge.record_id))
            .where(*_held(Member, self.actor, scopes), Edge.open.is_(True), *self._live())
        )


def _held(member: Any, actor: Actor, scopes: Sequence[UUID] | None) -> list[Any]:
    held = [
        member.organisation_id == actor.organisation_id,
        member.account_id == actor.id,
        member.to_seq.is_(None),
    ]
    return held if scopes is None else [*held, member.scope.in_(scopes)]


def _seen_before(actor: Actor, scopes: Sequence[UUID] | None) -> Any:
    """Whether the row was there in a lesser scope already."""
    edge, member = aliased(Edge), aliased(Member)
    return exists(
        select(1)
        .select_from(edge)
        .join(member, and_(member.organisation_id == edge.organisation_id, member.scope == edge.scope))
        .where(
            edge.organisation_id == actor.organisation_id,
            edge.record_id == Edge.record_id,
            edge.scope < Edge.scope,
            edge.open.is_(True),
            *_held(member, actor, scopes),
        )
    )
