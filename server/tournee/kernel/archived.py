"""What `tournee archive` wrote to files and removed from the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import OrganisationRow, UTCDateTime


class ArchivedChanges(OrganisationRow):
    """Entries of the log that are in a file. Their numbers are all those from `first_seq` to `last_seq`.

    Without `archived_at` the file is still being written, and the log has the entries.
    """

    __tablename__ = "archived_changes"
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    recorded_from: Mapped[datetime] = mapped_column(UTCDateTime)
    recorded_until: Mapped[datetime] = mapped_column(UTCDateTime)
    # Its name without a folder: the server does not know where people keep it.
    file: Mapped[str] = mapped_column(String(200))
    # SHA-256 of the entries, not of the file.
    digest: Mapped[str | None] = mapped_column(String(64))
    archived_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Range(NamedTuple):
    """The numbers in one file, and when the first and the last of its entries were recorded."""

    first: int
    last: int
    recorded_from: datetime
    recorded_until: datetime

    def has(self, seq: int) -> bool:
        return self.first <= seq <= self.last


_IS_ARCHIVED = ArchivedChanges.archived_at.is_not(None)


async def archived_until(session: AsyncSession) -> int:
    """Return the last number that was removed from the log; 0 if none was.

    Entries are removed after this is known. To find out whether a read of the log was complete, call this
    after it.
    """
    return await session.scalar(select(func.max(ArchivedChanges.last_seq)).where(_IS_ARCHIVED)) or 0


async def archived_with(session: AsyncSession, seqs: Iterable[int]) -> dict[int, Range]:
    """Return the range of each of these numbers that was archived."""
    asked = set(seqs)
    if not asked:
        return {}
    columns = (
        ArchivedChanges.first_seq,
        ArchivedChanges.last_seq,
        ArchivedChanges.recorded_from,
        ArchivedChanges.recorded_until,
    )
    near = (ArchivedChanges.first_seq <= max(asked), ArchivedChanges.last_seq >= min(asked))
    ranges = [Range(*row) for row in await session.execute(select(*columns).where(_IS_ARCHIVED, *near))]
    return {seq: one for one in ranges for seq in asked if one.has(seq)}
