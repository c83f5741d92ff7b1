"""The tail: the end of each organisation's log in memory, with what moved lately, and for whom.

Most clients that ask for changes are nearly up to date, and most of what moves is not theirs. Answering each
of them by index costs one look-up for each scope they hold. So each process asks the database once for each
move of a head, for everybody: which records moved, for which accounts, and whose scopes changed. A cursor
within the remembered part is answered from memory. All others, and accounts whose own scopes changed since
their cursor, ask the database.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.kernel.entity import ALWAYS
from tournee.kernel.head import HeadNow, Mark, is_there, read_head
from tournee.kernel.log import Change, Edge, Member, Record
from tournee.kernel.visibility import lies_in

# Limits for one organisation; when one is exceeded, the older half is forgotten.
MOST_RECORDS = 1_000
MOST_MOVES = 50_000
MOST_MARKS = 5_000
_MOST_ORGANISATIONS = 100
_MOST_MADE = 100


@dataclass(frozen=True, slots=True)
class Moved:
    """A record that changed, as it was when this was read."""

    seq: int
    entity: str
    id: UUID
    document: str | None
    until: datetime = ALWAYS


@dataclass(frozen=True, slots=True)
class Move:
    """A record moved for one account: its place in that account's feed, and whether the account still
    sees it.
    """

    seq: int
    seen: bool


PlacedT = TypeVar("PlacedT", Moved, Move)


@dataclass
class Recent:
    """What happened in one organisation after `since`, up to its head; the latest comes last."""

    head: HeadNow
    since: int
    records: dict[UUID, Moved] = field(default_factory=dict)
    moves: dict[UUID, dict[UUID, Move]] = field(default_factory=dict)
    # Accounts that got or lost a scope: the records that moved do not show what they see now.
    regrouped: dict[UUID, int] = field(default_factory=dict)
    # When the changes were recorded, by their numbers.
    marks: dict[int, int] = field(default_factory=dict)
    # Results that readers derived from this memory, kept until the head moves again.
    made: dict[Any, Any] = field(default_factory=dict)

    def knows(self, account_id: UUID, seq: int) -> bool:
        """Return whether memory holds everything that happened to this account after `seq`."""
        return seq >= self.since and self.regrouped.get(account_id, -1) <= seq

    def changed(self, record_id: UUID | None, seq: int) -> bool:
        """Return whether the record may have changed after `seq`, or since a longer history was lost."""
        if record_id is None:
            return False
        moved = self.records.get(record_id)
        return not self.since <= seq <= self.head.seq or (moved is not None and moved.seq > seq)

    def has(self, mark: Mark | None) -> bool | None:
        """Return whether the log has the marked change; None if only the database knows."""
        if mark is None or mark == self.head.mark:
            return True
        if mark.seq >= self.head.seq:
            return False
        recorded = self.marks.get(mark.seq)
        return None if recorded is None else recorded == mark.recorded

    def note(self, account_id: UUID, record_id: UUID, move: Move) -> None:
        """Note a move. A record may move in several scopes of an account: the latest is its place, and
        one open edge suffices.
        """
        own = self.moves.setdefault(account_id, {})
        other = own.get(record_id)
        own[record_id] = (
            Move(max(other.seq, move.seq), other.seen or move.seen) if other is not None else move
        )

    def join(self, later: Recent) -> None:
        """Add what happened after this, within the limit of what is remembered."""
        self.marks |= {self.head.seq: self.head.recorded} | later.marks
        if len(self.marks) > MOST_MARKS:
            self.marks = dict(sorted(self.marks.items())[MOST_MARKS // 2 :])
        self.head = later.head
        _append(self.records, later.records)
        self.regrouped |= later.regrouped
        for account_id, own in later.moves.items():
            _append(self.moves.setdefault(account_id, {}), own)
        self.made.clear()
        while len(self.records) > MOST_RECORDS or self._moves() > MOST_MOVES:
            seqs = sorted([*(moved.seq for moved in self.records.values()), *self.regrouped.values()])
            self._forget(seqs[len(seqs) // 2])

    def _moves(self) -> int:
        return len(self.regrouped) + sum(map(len, self.moves.values()))

    def keep(self, key: Any, made: Any) -> None:
        """Keep something that a reader made of this. Readers choose the keys, so the oldest entry makes
        room.
        """
        if len(self.made) >= _MOST_MADE:
            del self.made[next(iter(self.made))]
        self.made[key] = made

    def _forget(self, seq: int) -> None:
        """Forget what happened up to this seq."""
        self.since = max(self.since, seq)
        self.records = {id: moved for id, moved in self.records.items() if moved.seq > seq}
        self.regrouped = {account: at for account, at in self.regrouped.items() if at > seq}
        for account_id, own in list(self.moves.items()):
            self.moves[account_id] = {id: move for id, move in own.items() if move.seq > seq}
            if not self.moves[account_id]:
                del self.moves[account_id]


def _append(known: dict[UUID, PlacedT], later: dict[UUID, PlacedT]) -> None:
    """What is known already moves to its new place."""
    for id, placed in sorted(later.items(), key=lambda item: item[1].seq):
        known.pop(id, None)
        known[id] = placed


class Tail:
    """What is remembered of every organisation that somebody asks about."""

    def __init__(self, database: Database, heads: Heads) -> None:
        self._database = database
        self.heads = heads
        self._recent: OrderedDict[UUID, Recent] = OrderedDict()
        self._reading: dict[UUID, asyncio.Task[None]] = {}

    async def now(self, organisation_id: UUID) -> Recent:
        """Return what happened lately, up to a head no older than this call."""
        known = self._recent.get(organisation_id)
        before = None if known is None else known.head
        head = await self.heads.now(organisation_id)
        if before is not None and head.epoch == before.epoch and not _continues(before, head):
            # The database came back without its newest seconds.
            self._recent[organisation_id] = _anew(before, head)
        while True:
            recent = self._recent.get(organisation_id)
            if recent is not None and recent.head.epoch == head.epoch and _continues(head, recent.head):
                if recent.head.seq == head.seq:
                    recent.head = head
                return recent
            await asyncio.shield(self._advancing(organisation_id))

    async def reaching(self, organisation_id: UUID, seq: int) -> Recent:
        """Return what happened lately, at least up to this seq; from memory if it reaches that far."""
        recent = self._recent.get(organisation_id)
        if recent is not None and recent.head.seq >= seq:
            return recent
        return await self.now(organisation_id)

    def _advancing(self, organisation_id: UUID) -> asyncio.Task[None]:
        reading = self._reading.get(organisation_id)
        if reading is None or reading.done():
            reading = asyncio.get_running_loop().create_task(self._advance(organisation_id))
            self._reading[organisation_id] = reading
            reading.add_done_callback(lambda done: self._read_through(organisation_id, done))
        return reading

    def _read_through(self, organisation_id: UUID, done: asyncio.Task[None]) -> None:
        if self._reading.get(organisation_id) is done:
            del self._reading[organisation_id]

    async def _advance(self, organisation_id: UUID) -> None:
        known = self._recent.get(organisation_id)
        async with self._database.reading(organisation_id) as session:
            head = await read_head(session)
            if known is not None and not (
                known.head.epoch == head.epoch and await is_there(session, known.head.mark, head)
            ):
                known = _anew(known.head, head)
            known = known or Recent(head, max(head.floor, head.seq - MOST_RECORDS))
            after = known.since if known.head is head else known.head.seq
            found = await _read(session, after, head)
        if found is None:
            known = Recent(head, head.seq)
        else:
            known.join(found)
        self._recent[organisation_id] = known
        self._recent.move_to_end(organisation_id)
        if len(self._recent) > _MOST_ORGANISATIONS:
            self._recent.popitem(last=False)


async def _marks(session: AsyncSession, after: int, head: HeadNow) -> dict[int, int]:
    recorded = select(Change.seq, Change.recorded_at).where(Change.seq > after, Change.seq <= head.seq)
    return {seq: Mark.of(seq, at).recorded for seq, at in await session.execute(recorded)}


def _continues(one: HeadNow, later: HeadNow) -> bool:
    """Return whether the later head may belong to the same history."""
    return later.seq > one.seq or later.mark == one.mark


def _anew(lost: HeadNow, head: HeadNow) -> Recent:
    """Return a memory without the lost part. Whoever knows a number that both histories gave asks the
    database.
    """
    return Recent(head, max(lost.seq, head.seq) + 1)


async def _read(session: AsyncSession, after: int, head: HeadNow) -> Recent | None:
    """Read what happened after `after`, on the session's one snapshot; None if it is more than we
    remember.
    """
    found = Recent(head, after)
    if head.seq - after > MOST_RECORDS:
        return None
    if head.seq == after:
        return found
    in_range = Record.seq > after
    columns = select(Record.id, Record.entity, Record.seq, Record.deleted, Record.document, Record.until)
    for id, entity, seq, deleted, document, until in await session.execute(columns.where(in_range)):
        found.records[id] = Moved(seq, entity, id, None if deleted else document, until)
    found.marks = await _marks(session, after, head)
    # An edge moves only with its record, and every open edge of a record moves with it.
    moves = await session.execute(
        select(Member.account_id, Edge.record_id, Edge.seq, Edge.open)
        .select_from(Record)
        .join(Edge, and_(Edge.organisation_id == Record.organisation_id, Edge.record_id == Record.id))
        .join(Member, lies_in())
        .where(in_range, Edge.seq > after, Member.to_seq.is_(None))
        .limit(MOST_MOVES + 1)
    )
    rows = moves.all()
    if len(rows) > MOST_MOVES:
        return None
    for account_id, record_id, seq, is_open in rows:
        found.note(account_id, record_id, Move(seq, is_open))
    grouped = select(Member.account_id, func.max(func.coalesce(Member.to_seq, Member.from_seq))).where(
        or_(Member.from_seq > after, Member.to_seq > after)
    )
    regrouped = (await session.execute(grouped.group_by(Member.account_id).limit(MOST_MOVES + 1))).all()
    if len(rows) + len(regrouped) > MOST_MOVES:
        return None
    for account_id, seq in regrouped:
        found.regrouped[account_id] = seq
    return found
