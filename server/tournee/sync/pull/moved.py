"""3. What moved for a person after a cursor, from the database or from the tail.

Office roles read the organisation's records by seq. Everybody else reads edges and memberships: each visible
row has a position (seq, id), derived from when its edge last moved and when the person gained or lost its
scope. Positions only move later, so pages need no state.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, not_, or_, select, union_all

from tournee.engine.tail import Recent
from tournee.kernel.actor import Actor
from tournee.kernel.head import HeadNow
from tournee.kernel.log import Edge, Member, Record
from tournee.kernel.visibility import lies_in, sees
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.cursor import MAX_ID, Cursor
from tournee.sync.pull.page import Page, PulledChange, Rows, text_of

_NOTHING = "nothing"


def moved_rows(
    actor: Actor, entities: list[str], cursor: Cursor, most: int, choice: Choice | None = None
) -> Rows:
    """Select the first changes past the cursor as (seq, entity, id, document), in order."""
    if actor.sees_all:
        return _office_rows(entities, cursor, most, choice)
    return _scoped_rows(actor, entities, cursor, most)


def _office_rows(entities: list[str], cursor: Cursor, most: int, choice: Choice | None) -> Rows:
    """Select records by their last change; a deleted one, or one outside the choice, is a removal."""
    # Assignments have the number of their visit that opened again.
    past = or_(Record.seq > cursor.seq, Record.id > cursor.id)
    left: ColumnElement[bool] = Record.deleted.is_(True)
    if choice is not None:
        left = or_(left, not_(choice.carries()))
    document = case((left, None), else_=Record.document).label("document")
    return (
        select(Record.seq, Record.entity, Record.id, document)
        .where(Record.seq >= cursor.seq, past, Record.entity.in_(entities))
        .order_by(Record.seq, Record.id)
        .limit(most)
    )


def _branches(actor: Actor, cursor: Cursor) -> Any:
    """Select the positions of the rows that moved for this person, in four branches.

    tail: an edge of a held scope moved. grant: the scope was gained after the edge moved. closed: the edge
    closed while the scope was held. loss: the scope was lost with the edge in it.
    """
    own = Member.account_id == actor.id
    held, lost = Member.to_seq.is_(None), Member.to_seq.is_not(None)

    def branch(position: Any, *where: Any) -> Any:
        past = or_(position > cursor.seq, and_(position == cursor.seq, Edge.record_id > cursor.id))
        return (
            select(Edge.record_id.label("record_id"), position.label("position"))
            .select_from(Member)
            .join(Edge, lies_in())
            .where(own, position >= cursor.seq, past, *where)
        )

    return union_all(
        branch(Edge.seq, held, Edge.seq > Member.from_seq),
        branch(Member.from_seq, held, Edge.open.is_(True), Edge.seq <= Member.from_seq),
        branch(
            Edge.seq,
            lost,
            # Follows from the others, and leaves out what ended in the years before.
            Member.to_seq >= cursor.seq,
            Edge.open.is_(False),
            Edge.seq > Member.from_seq,
            Edge.seq <= Member.to_seq,
        ),
        branch(Member.to_seq, lost, or_(Edge.open.is_(True), Edge.seq > Member.to_seq)),
    ).subquery("moved")


def _scoped_rows(actor: Actor, entities: list[str], cursor: Cursor, most: int) -> Rows:
    moved = _branches(actor, cursor)
    page = (
        select(func.max(moved.c.position).label("position"), moved.c.record_id)
        .join(Record, Record.id == moved.c.record_id)
        .where(Record.entity.in_(entities))
        .group_by(moved.c.record_id)
        .order_by("position", moved.c.record_id)
        .limit(most)
        .subquery("latest")
    )
    seen = sees(actor.id, page.c.record_id)
    document = case((and_(seen, Record.deleted.is_(False)), Record.document), else_=None).label("document")
    return (
        select(page.c.position.label("seq"), Record.entity, Record.id, document)
        .join(Record, Record.id == page.c.record_id)
        .order_by(page.c.position, page.c.record_id)
    )


def recent_page(
    recent: Recent, actor: Actor, entities: Collection[str], cursor: Cursor, limit: int
) -> Page | None:
    """Return the page after the cursor from memory; None if memory does not reach so far."""
    if cursor.seq == recent.head.seq and cursor.id == MAX_ID:
        return Page("", marked(cursor, recent.head), more=False)
    known = cursor.seq if cursor.id == MAX_ID else cursor.seq - 1
    if not actor.sees_all:
        if not recent.knows(actor.id, known):
            return None
        return _page(recent, _own_moved(recent, actor.id, entities, cursor), limit)
    if known < recent.since:
        return None
    # Office roles share their pages.
    key = (cursor.seq, cursor.id, tuple(entities), cursor.choice, limit)
    page: Page | None = recent.made.get(key)
    if page is None:
        page = _page(recent, _all_moved(recent, entities, cursor), limit)
        recent.keep(key, page)
    return page


def _page(recent: Recent, moved: list[PulledChange], limit: int) -> Page:
    if not moved:
        return _nothing(recent)
    if len(moved) <= limit:
        return Page(text_of(moved), Cursor.at(recent.head), more=False)
    last = moved[limit - 1]
    after = Cursor(recent.head.epoch, last.seq, last.id, mark=recent.head.mark)
    return Page(text_of(moved[:limit]), after, more=True)


def marked(cursor: Cursor, head: HeadNow) -> Cursor:
    """Return the cursor of a person for whom nothing moved: the same one, unless it lacks a mark."""
    return cursor if cursor.mark is not None else Cursor.at(head)


def _nothing(recent: Recent) -> Page:
    """Return the empty page that most receive at each move of the head, made once for all of them."""
    page: Page | None = recent.made.get(_NOTHING)
    if page is None:
        page = Page("", Cursor.at(recent.head), more=False)
        recent.keep(_NOTHING, page)
    return page


def _all_moved(recent: Recent, entities: Collection[str], cursor: Cursor) -> list[PulledChange]:
    begins = None if cursor.choice is None else cursor.choice.begins
    found = []
    past = (cursor.seq, cursor.id)
    for one in reversed(recent.records.values()):
        if one.seq < cursor.seq:
            break
        if (one.seq, one.id) > past and one.entity in entities:
            document = one.document if begins is None or one.until >= begins else None
            found.append(PulledChange(one.seq, one.entity, one.id, document))
    found.sort(key=lambda change: (change.seq, change.id))
    return found


def _own_moved(
    recent: Recent, account_id: UUID, entities: Collection[str], cursor: Cursor
) -> list[PulledChange]:
    own = recent.moves.get(account_id)
    if own is None:
        return []
    past = (cursor.seq, cursor.id)
    found = []
    for id, move in reversed(own.items()):
        if move.seq < cursor.seq:
            break
        record = recent.records[id]
        if (move.seq, id) > past and record.entity in entities:
            document = record.document if move.seen else None
            found.append(PulledChange(move.seq, record.entity, id, document))
    found.sort(key=lambda change: (change.seq, change.id))
    return found
