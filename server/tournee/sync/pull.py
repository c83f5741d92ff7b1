"""Pull: what changed for a person since a cursor. The numbers are those of schema/sync.md, "Pull".

Who sees all reads the records of the organisation by seq. Everybody else reads edges and
memberships: each visible row has a position (seq, id) derived from when its edge last moved and
when the person got or lost its scope. Positions only move later, so a page is stateless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.actor import Actor
from tournee.kernel.database import Database, Entity
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.log import Edge, Head, Member, Record
from tournee.sync.cursor import MAX_ID, MIN_ID, Cursor

Rows = Select[*tuple[Any, ...]]

DEFAULT_LIMIT = 500
GREATEST_LIMIT = 5000


@dataclass(frozen=True)
class PulledChange:
    """One row as it now stands for the person: its document, or None where it went away."""

    seq: int
    entity: str
    id: UUID
    document: str | None

    def json(self) -> str:
        head = f'{{"seq":{self.seq},"entity":"{self.entity}","id":"{self.id}",'
        return head + ('"removed":true}' if self.document is None else f'"record":{self.document}}}')


@dataclass(frozen=True)
class Page:
    """4. Changes in order, the cursor after them, and whether more wait already."""

    changes: Sequence[PulledChange]
    cursor: Cursor
    more: bool
    total: int | None = None


class Feed:
    """Reads pages for actors. `entities` are those that are synced at all."""

    def __init__(self, database: Database, entities: Sequence[type[Entity]]) -> None:
        self.database = database
        self.entities = tuple(entities)

    def readable(self, actor: Actor) -> list[str]:
        return [entity.__name__ for entity in self.entities if actor.may(entity.reads)]

    async def pull(self, actor: Actor, cursor: Cursor | None, limit: int = DEFAULT_LIMIT) -> Page:
        """One page on one database snapshot. Raises ResyncNeeded past the horizon or in another epoch."""
        limit = max(1, min(limit, GREATEST_LIMIT))
        async with self.database.reading(actor.organisation_id) as session:
            head = await self._head(session, actor)
            if cursor is None:
                cursor = Cursor(head.epoch, head.seq, MIN_ID, snapshot=True)
            # 1. A cursor that cannot be continued: too old, of another epoch, or ahead of a restored backup.
            if cursor.epoch != head.epoch or cursor.seq > head.seq or cursor.seq < head.floor:
                raise ResyncNeeded
            if cursor.snapshot:
                return await self._snapshot(session, actor, cursor, head.seq, limit)
            if cursor.seq == head.seq and cursor.id == MAX_ID:
                return Page((), cursor, more=False)
            return await self._changes(session, actor, cursor, head.seq, limit)

    async def _head(self, session: AsyncSession, actor: Actor) -> Any:
        row = await session.execute(
            select(Head.epoch, Head.seq, Head.floor).where(Head.organisation_id == actor.organisation_id)
        )
        return row.one()

    async def _snapshot(
        self, session: AsyncSession, actor: Actor, cursor: Cursor, head: int, limit: int
    ) -> Page:
        """2. Live rows by id, resumable; what changed meanwhile comes from the feed after `seq`."""
        rows = (await session.execute(_snapshot(actor, self.readable(actor), cursor.id, limit + 1))).all()
        changes = [PulledChange(*row) for row in rows[:limit]]
        if len(rows) > limit:
            return Page(changes, Cursor(cursor.epoch, cursor.seq, changes[-1].id, snapshot=True), more=True)
        return Page(changes, Cursor(cursor.epoch, cursor.seq), more=head > cursor.seq)

    async def _changes(
        self, session: AsyncSession, actor: Actor, cursor: Cursor, head: int, limit: int
    ) -> Page:
        """3. The feed past the cursor; a short page ends at the head."""
        statement = _office_changes if actor.sees_all else _scoped_changes
        rows = (await session.execute(statement(actor, self.readable(actor), cursor, limit + 1))).all()
        changes = [PulledChange(*row) for row in rows[:limit]]
        if len(rows) > limit:
            last = changes[-1]
            return Page(changes, Cursor(cursor.epoch, last.seq, last.id), more=True)
        return Page(changes, Cursor(cursor.epoch, head), more=False)


def _held(actor: Actor) -> Any:
    return and_(
        Member.organisation_id == actor.organisation_id,
        Member.account_id == actor.id,
        Member.to_seq.is_(None),
    )


def _snapshot(actor: Actor, entities: list[str], after: UUID, limit: int) -> Rows:
    columns = select(Record.seq, Record.entity, Record.id, Record.document).where(
        Record.organisation_id == actor.organisation_id,
        Record.id > after,
        Record.deleted.is_(False),
        Record.entity.in_(entities),
    )
    if not actor.sees_all:
        seen = (
            select(Edge.record_id)
            .join(Member, and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope))
            .where(
                _held(actor),
                Edge.organisation_id == actor.organisation_id,
                Edge.record_id > after,
                Edge.open.is_(True),
            )
        )
        columns = columns.where(Record.id.in_(seen))
    return columns.order_by(Record.id).limit(limit)


def _office_changes(actor: Actor, entities: list[str], cursor: Cursor, limit: int) -> Rows:
    """Each record's last change is its position; a deleted one is a removal."""
    document = case((Record.deleted.is_(True), None), else_=Record.document)
    return (
        select(Record.seq, Record.entity, Record.id, document)
        .where(
            Record.organisation_id == actor.organisation_id,
            Record.seq > cursor.seq,
            Record.entity.in_(entities),
        )
        .order_by(Record.seq)
        .limit(limit)
    )


def _branches(actor: Actor, cursor: Cursor) -> Any:
    """Positions of the rows that moved for this person, in four kinds.

    tail: a held scope's edge moved. grant: the scope was given later than the edge moved. closed:
    the edge closed while the scope was held. loss: the scope was lost with the edge in it.
    """
    join = and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope)
    base = and_(Member.organisation_id == actor.organisation_id, Member.account_id == actor.id)
    held, lost = Member.to_seq.is_(None), Member.to_seq.is_not(None)

    def branch(position: Any, *where: Any) -> Any:
        past = or_(position > cursor.seq, and_(position == cursor.seq, Edge.record_id > cursor.id))
        return (
            select(Edge.record_id.label("record_id"), position.label("position"))
            .select_from(Member)
            .join(Edge, join)
            .where(base, position >= cursor.seq, past, *where)
        )

    return union_all(
        branch(Edge.seq, held, Edge.seq > Member.from_seq),
        branch(Member.from_seq, held, Edge.open.is_(True), Edge.seq <= Member.from_seq),
        branch(Edge.seq, lost, Edge.open.is_(False), Edge.seq > Member.from_seq, Edge.seq <= Member.to_seq),
        branch(Member.to_seq, lost, or_(Edge.open.is_(True), Edge.seq > Member.to_seq)),
    ).subquery("moved")


def _scoped_changes(actor: Actor, entities: list[str], cursor: Cursor, limit: int) -> Rows:
    moved = _branches(actor, cursor)
    page = (
        select(func.max(moved.c.position).label("position"), moved.c.record_id)
        .join(
            Record,
            and_(Record.organisation_id == actor.organisation_id, Record.id == moved.c.record_id),
        )
        .where(Record.entity.in_(entities))
        .group_by(moved.c.record_id)
        .order_by("position", moved.c.record_id)
        .limit(limit)
        .subquery("page")
    )
    seen = exists(
        select(1)
        .select_from(Edge)
        .join(Member, and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope))
        .where(
            _held(actor),
            Edge.organisation_id == actor.organisation_id,
            Edge.record_id == page.c.record_id,
            Edge.open.is_(True),
        )
    )
    document = case((and_(seen, Record.deleted.is_(False)), Record.document), else_=None)
    return (
        select(page.c.position, Record.entity, Record.id, document)
        .join(Record, and_(Record.organisation_id == actor.organisation_id, Record.id == page.c.record_id))
        .order_by(page.c.position, page.c.record_id)
    )


async def records_now(database: Database, actor: Actor, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The wire form of those of these records that the actor may see now, as outcomes carry it."""
    if not ids:
        return {}
    statement = select(Record.id, Record.entity, Record.document).where(
        Record.organisation_id == actor.organisation_id,
        Record.id.in_(set(ids)),
        Record.deleted.is_(False),
    )
    if not actor.sees_all:
        statement = statement.where(
            exists(
                select(1)
                .select_from(Edge)
                .join(
                    Member,
                    and_(Member.organisation_id == Edge.organisation_id, Member.scope == Edge.scope),
                )
                .where(
                    _held(actor),
                    Edge.organisation_id == Record.organisation_id,
                    Edge.record_id == Record.id,
                    Edge.open.is_(True),
                )
            )
        )
    async with database.reading(actor.organisation_id) as session:
        rows = await session.execute(statement)
        return {id: f'{{"entity":"{entity}",{document[1:]}' for id, entity, document in rows}
