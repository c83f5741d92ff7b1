"""The head: where an organisation's log stands, and whether the log still has a change that somebody
remembers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.archived import archived_with
from tournee.kernel.log import Change, Head

_MICROSECOND = timedelta(microseconds=1)
_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class Mark(NamedTuple):
    """A number of the log, with the time its change was recorded, in microseconds; 0 if the number has no
    change.

    A database that comes back without its newest seconds gives the same numbers to later changes. Whoever
    remembers the mark can tell.
    """

    seq: int
    recorded: int

    @staticmethod
    def of(seq: int, recorded_at: datetime | None) -> Mark:
        return Mark(seq, 0 if recorded_at is None else (recorded_at - _SINCE) // _MICROSECOND)

    @staticmethod
    def read(text: object) -> Mark | None:
        """Read a mark that a device sends back; None if it is not one."""
        parts = text.split(".") if isinstance(text, str) and text.isascii() else []
        if len(parts) != len(Mark._fields) or not all(one.isdigit() and len(one) < 18 for one in parts):
            return None
        return Mark(*map(int, parts))

    def __str__(self) -> str:
        return f"{self.seq}.{self.recorded}"


class HeadNow(NamedTuple):
    """The head of an organisation at one moment, with the time its change was recorded."""

    epoch: UUID
    seq: int
    floor: int
    recorded: int = 0

    @property
    def mark(self) -> Mark:
        return Mark(self.seq, self.recorded)

    @staticmethod
    def of(epoch: UUID, seq: int, floor: int, recorded_at: datetime | None) -> HeadNow:
        return HeadNow(epoch, seq, floor, Mark.of(seq, recorded_at).recorded)


_LAST: Any = and_(Change.organisation_id == Head.organisation_id, Change.seq == Head.seq)
HEADS = select(Head.epoch, Head.seq, Head.floor, Change.recorded_at).outerjoin(Change, _LAST)


async def read_head(session: AsyncSession) -> HeadNow:
    """Return the head as this transaction sees it."""
    row = await session.execute(HEADS)
    return HeadNow.of(*row.one())


async def is_there(session: AsyncSession, mark: Mark | None, head: HeadNow) -> bool:
    """Return whether the log still has the change that the mark names. Without a mark, assume that it has."""
    if mark is None or mark == head.mark:
        return True
    if mark.seq >= head.seq:
        return False
    recorded_at = await session.scalar(select(Change.recorded_at).where(Change.seq == mark.seq))
    return Mark.of(mark.seq, recorded_at) == mark


async def head_seq(session: AsyncSession) -> int:
    """Return the seq at the head as this transaction sees it; 0 if the organisation has no log."""
    return await session.scalar(select(Head.seq)) or 0


async def was_lost(session: AsyncSession, seq: int | None) -> bool:
    """Return whether this number belongs to a history that a restored backup lacks: no number near it exists
    now, in the log or in its archive.
    """
    given = select(Change.seq).where(Change.seq >= (seq or 0))
    after = await session.scalar(given.order_by(Change.seq).limit(1))
    if after is None:
        after = await head_seq(session)
    if seq is None or after <= seq + 1:
        return False
    return not await archived_with(session, (seq, seq + 1))
