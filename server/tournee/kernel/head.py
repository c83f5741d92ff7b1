"""Where the log of an organisation stands, and whether it still has what somebody remembers of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Change, Head

_MICROSECOND = timedelta(microseconds=1)
_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class Mark(NamedTuple):
    """A number of the log and when its change was recorded, in microseconds; 0 where it has no change.

    A database that comes back without its newest seconds gives their numbers anew, to changes that are
    recorded later: whoever remembers the mark can tell.
    """

    seq: int
    recorded: int

    @staticmethod
    def of(seq: int, recorded_at: datetime | None) -> Mark:
        return Mark(seq, 0 if recorded_at is None else (recorded_at - _SINCE) // _MICROSECOND)

    @staticmethod
    def read(text: object) -> Mark | None:
        """A mark as a device gives it back; None where it is none."""
        parts = text.split(".") if isinstance(text, str) and text.isascii() else []
        if len(parts) != len(Mark._fields) or not all(one.isdigit() and len(one) < 18 for one in parts):
            return None
        return Mark(*map(int, parts))

    def __str__(self) -> str:
        return f"{self.seq}.{self.recorded}"


class HeadNow(NamedTuple):
    """The row `head` of an organisation at some moment, and when its change was recorded."""

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
    """The head as this transaction sees it."""
    row = await session.execute(HEADS)
    return HeadNow.of(*row.one())


async def is_there(session: AsyncSession, mark: Mark | None, head: HeadNow) -> bool:
    """Whether the log still has the change that the mark names. Where nobody marked any, it may."""
    if mark is None or mark == head.mark:
        return True
    if mark.seq >= head.seq:
        return False
    recorded_at = await session.scalar(select(Change.recorded_at).where(Change.seq == mark.seq))
    return Mark.of(mark.seq, recorded_at) == mark


async def head_seq(session: AsyncSession) -> int:
    """Where the log of an organisation stands, as this transaction sees it; 0 where there is none."""
    return await session.scalar(select(Head.seq)) or 0


async def was_lost(session: AsyncSession, seq: int | None) -> bool:
    """Whether this number was given in a history that a restored backup lacks: none is near it now."""
    given = select(Change.seq).where(Change.seq >= (seq or 0))
    after = await session.scalar(given.order_by(Change.seq).limit(1))
    if after is None:
        after = await head_seq(session)
    return seq is not None and bool(after > seq + 1)
