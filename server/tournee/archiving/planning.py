"""Which entries of the log may be archived, and which go into the next file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.horizon import raise_floor, seq_before
from tournee.kernel.archived import ArchivedChanges, archived_until
from tournee.kernel.entity import now
from tournee.kernel.head import read_head
from tournee.kernel.log import Change

# Entries in one file: some twenty megabytes.
MOST = 200_000


@dataclass(frozen=True)
class Keeping:
    """For how many days devices need the log: to continue from a cursor, and to hand in operations."""

    horizon_days: int
    operations_days: int

    @property
    def days(self) -> int:
        return max(self.horizon_days, self.operations_days)

    @property
    def since(self) -> datetime:
        """The moment since which the log is needed."""
        return now() - timedelta(days=self.days)


@dataclass(frozen=True)
class Part:
    """What goes into one file: all entries from one number to another."""

    first: int
    last: int
    file: str

    @property
    def count(self) -> int:
        return self.last - self.first + 1


async def last_to_archive(
    database: Database, organisation_id: UUID, before: datetime, keeping: Keeping
) -> int:
    """Return the last number recorded before that time which no cursor needs; 0 if there is none.

    A cursor may stand at the floor, and the head names its own change, so both stay.
    """
    await raise_floor(database, organisation_id, now() - timedelta(days=keeping.horizon_days))
    async with database.reading(organisation_id) as session:
        head = await read_head(session)
        return max(0, min(await seq_before(session, before), head.floor - 1, head.seq - 1))


async def plan(database: Database, organisation_id: UUID, until: int) -> Part | None:
    """Note the next part and return it; first of all one that an interrupted run had begun. None if there is
    nothing left up to this number.

    The note fixes the part's numbers, so that a second run writes the same file again and no other.
    """
    async with database.writing(organisation_id) as session:
        begun = select(ArchivedChanges).where(ArchivedChanges.archived_at.is_(None))
        row = await session.scalar(begun.order_by(ArchivedChanges.first_seq).limit(1))
        if row is None:
            row = await _next(session, organisation_id, until)
            if row is None:
                return None
            session.add(row)
        part = Part(row.first_seq, row.last_seq, row.file)
        await session.commit()
        return part


async def _next(session: AsyncSession, organisation_id: UUID, until: int) -> ArchivedChanges | None:
    # Another process may still be removing what is archived.
    left = (Change.seq > await archived_until(session), Change.seq <= until)
    seqs = list(await session.scalars(select(Change.seq).where(*left).order_by(Change.seq).limit(MOST)))
    if not seqs:
        return None
    # A restored backup leaps over numbers. No file reaches across, so it is known which never existed.
    first = seqs[0]
    last = next((seq for seq, after in pairwise(seqs) if after > seq + 1), seqs[-1])
    recorded = select(Change.recorded_at).where(Change.seq.in_((first, last))).order_by(Change.seq)
    times = list(await session.scalars(recorded))
    return ArchivedChanges(
        organisation_id=organisation_id,
        first_seq=first,
        last_seq=last,
        recorded_from=times[0],
        recorded_until=times[-1],
        file=f"changes-{organisation_id}-{first:012d}-{last:012d}.parquet",
    )
