"""The horizon: how far back the feed goes, and what happens to it after a restored backup.

The log itself is the audit trail: only `tournee archive` removes its entries. Closed edges and ended
memberships are removed here, and the documents of deleted records. Nothing but pulls and late facts need
them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.engine.dormancy import forget_members
from tournee.engine.purging import CHUNK, purge
from tournee.kernel.entity import now
from tournee.kernel.head import head_seq
from tournee.kernel.log import CLOSED, TOMBSTONES, Change, Edge, Head, Record

# Numbers: more than any history that a backup may lack.
LOST = 1_000_000_000


async def raise_floor(database: Database, organisation_id: UUID, oldest: datetime) -> int:
    """Let the feed begin at `oldest`; an older cursor is told to resync. Return the new floor."""
    async with database.reading(organisation_id) as session:
        floor = await seq_before(session, oldest)
    async with database.writing(organisation_id) as session:
        await session.execute(update(Head).where(Head.floor < floor).values(floor=floor))
        floor = (await session.scalar(select(Head.floor))) or 0
        await session.commit()
    return int(floor)


async def forget(database: Database, organisation_id: UUID, oldest: datetime) -> int:
    """Delete edges closed and memberships ended before `oldest` and below the floor; return how many rows.
    Scopes that nobody holds any more become dormant, and deleted records lose their documents.

    The floor's own seq is kept: a cursor may stand in the middle of it.
    """
    async with database.reading(organisation_id) as session:
        head = await session.scalar(select(Head.floor))
        until = min(head or 0, await seq_before(session, oldest))
    await _empty_tombstones(database, organisation_id, until)
    closed = await purge(database, organisation_id, Edge, CLOSED, Edge.seq < until)
    return closed + await forget_members(database, organisation_id, until)


async def _empty_tombstones(database: Database, organisation_id: UUID, until: int) -> None:
    """Remove the documents of records that were deleted before this number. The rows stay: they say that the
    ids are taken, and when the records were deleted.
    """
    found: list[dict[str, Any]] | None = None
    while found is None or len(found) == CHUNK:
        async with database.writing(organisation_id) as session:
            deleted = select(Record.id, Record.seq).where(TOMBSTONES, Record.seq < until)
            rows = await session.execute(deleted.limit(CHUNK))
            # Found again by its seq: a fact may be restoring the record.
            found = [{"id": id, "seq": seq, "document": "{}"} for id, seq in rows]
            await session.statements.update_many(Record.__table__, ("id", "seq"), found)
            await session.commit()


async def seq_before(session: AsyncSession, when: datetime) -> int:
    """Return the last seq recorded before `when`; 0 if there is none. Numbers rise with time, and are
    dense apart from those a restored backup lacks.
    """
    below = 0
    above = await head_seq(session)
    while below < above:
        middle = (below + above + 1) // 2
        recorded_at = await session.scalar(
            select(Change.recorded_at).where(Change.seq <= middle).order_by(Change.seq.desc()).limit(1)
        )
        if recorded_at is None or recorded_at < when:
            below = middle
        else:
            above = middle - 1
    return int(below)


async def begin_epochs(session: AsyncSession) -> int:
    """Give every organisation a new epoch: each cursor given out before is told to resync.

    Numbers go on far beyond those of the history that was lost: a `base` of a device that saw it names
    what was there before the backup, and nothing that comes now. They go on where the microseconds since
    1970 are, so that those of what follows another restoring of the same backup are others still.
    """
    today = int(now().timestamp() * 1_000_000)
    # If the clock has been set back, add a fixed distance instead.
    onward = case((Head.seq < today, today), else_=Head.seq + LOST)
    organisations = list(await session.scalars(select(Head.organisation_id)))
    for organisation_id in organisations:
        own = Head.organisation_id == organisation_id
        await session.execute(update(Head).where(own).values(epoch=uuid4(), seq=onward))
    return len(organisations)
