"""Move entries of the log to files: each is in the log or in a complete file at every moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from tournee.archiving import parquet
from tournee.archiving.parquet import ArchiveFailed, Content
from tournee.archiving.planning import Part, plan
from tournee.archiving.shortening import shorten_clocks
from tournee.backups.files import appear, aside
from tournee.engine.database import Database
from tournee.engine.purging import purge
from tournee.kernel.archived import ArchivedChanges
from tournee.kernel.entity import now
from tournee.kernel.log import Change

# Entries read, and written as one group of rows, at a time.
PORTION = 10_000


@dataclass(frozen=True)
class Moved:
    """What a run did for one organisation."""

    files: tuple[str, ...]
    written: int
    """Entries in these files."""
    removed: int
    """Entries removed from the log; more than were written if an earlier run had been interrupted."""


async def archive(database: Database, organisation_id: UUID, until: int, folder: Path) -> Moved:
    """Move the entries up to this number to files in the folder. It can be interrupted at any moment; the
    next run continues.
    """
    removed = await _remove(database, organisation_id)
    files: list[str] = []
    written = 0
    while (part := await plan(database, organisation_id, until)) is not None:
        await _note(database, organisation_id, part, await _save(database, organisation_id, part, folder))
        removed += await _remove(database, organisation_id)
        files.append(part.file)
        written += part.count
    return Moved(tuple(files), written, removed)


async def _save(database: Database, organisation_id: UUID, part: Part, folder: Path) -> Content:
    """Write the part's file, read it back, and give it its name."""
    target = folder / part.file
    with aside(target) as temporary:
        async with database.reading(organisation_id) as session:
            content = await parquet.write(temporary, _entries(session, part))
        wanted = (part.count, part.first, part.last, content.digest)
        if content.facts != wanted:
            raise ArchiveFailed(
                f"The log has {content.count} entries from {part.first} to {part.last} instead of"
                f" {part.count}: does another process archive it? Nothing was removed."
            )
        if parquet.read(temporary) != content:
            raise ArchiveFailed(f"{target} was not written as the log has it. Nothing was removed.")
        if not target.exists():
            appear(temporary, target)
        elif parquet.read(target) != content:
            raise ArchiveFailed(f"{target} exists and holds something else: name another folder.")
    return content


async def _entries(session: Any, part: Part) -> AsyncIterator[Sequence[Any]]:
    after = part.first - 1
    while True:
        columns = select(*parquet.COLUMNS).where(Change.seq > after, Change.seq <= part.last)
        rows = (await session.execute(columns.order_by(Change.seq).limit(PORTION))).all()
        if not rows:
            return
        yield rows
        after = rows[-1].seq


async def _note(database: Database, organisation_id: UUID, part: Part, content: Content) -> None:
    """Note that the file is complete: from now on the log's entries count as archived."""
    async with database.writing(organisation_id) as session:
        row = update(ArchivedChanges).where(ArchivedChanges.first_seq == part.first)
        await session.execute(row.values(digest=content.digest, archived_at=now()))
        await session.commit()


async def _remove(database: Database, organisation_id: UUID) -> int:
    """Remove the entries that complete files hold, after shortening the clocks of records that only they
    name; return how many there still were.
    """
    async with database.reading(organisation_id) as session:
        oldest = await session.scalar(select(Change.seq).order_by(Change.seq).limit(1)) or 0
        complete = select(ArchivedChanges.first_seq, ArchivedChanges.last_seq).where(
            ArchivedChanges.archived_at.is_not(None), ArchivedChanges.last_seq >= oldest
        )
        ranges = (await session.execute(complete)).all()
    removed = 0
    for first, last in ranges:
        await shorten_clocks(database, organisation_id, first, last)
        removed += await purge(database, organisation_id, Change, Change.seq >= first, Change.seq <= last)
    return removed
