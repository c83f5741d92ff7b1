"""Copy what the log has beyond the copy's end, and wait for more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.kernel.archived import archived_until
from tournee.kernel.head import HeadNow, is_there, read_head
from tournee.kernel.outages import outage_of
from tournee.sync.http.wake import Wake
from tournee.sync.messages import SEQ_LIMIT
from tournee.sync.pull.cursor import Cursor
from tournee.tailing.entries import Batch, TailFailed
from tournee.tailing.formats import Store

# Entries in one batch, so that a long log becomes several files.
MOST = 50_000
# The longest that a follower waits without looking.
_LOOK_SECONDS = 60.0


@dataclass(frozen=True)
class Copied:
    """What one batch added."""

    where: str
    count: int
    end: Cursor


@dataclass(frozen=True)
class Tailing:
    """One organisation's log on its way into a store."""

    database: Database
    organisation_id: UUID
    store: Store
    tell: Callable[[Copied], None]

    async def catch_up(self, end: Cursor, stop: Callable[[], bool] = lambda: False) -> tuple[Cursor, HeadNow]:
        """Copy up to the head. Return where the copy ends, and the head that was reached."""
        while True:
            async with self.database.reading(self.organisation_id) as session:
                head = await read_head(session)
                await require_continuous(session, end, head)
                batch = Batch(session, end.seq, head.seq, MOST)
                if head.seq > end.seq:
                    end = await self._add(batch, end)
            if batch.count < MOST or stop():
                return end, head

    async def _add(self, batch: Batch, end: Cursor) -> Cursor:
        where = await self.store.add(batch)
        if not batch.count:
            return end
        end = Cursor(end.epoch, batch.last.seq, mark=batch.last)
        self.tell(Copied(where, batch.count, end))
        return end

    async def follow(self, end: Cursor, every: float, wake: Wake) -> Cursor:
        """Go on until `wake` closes; `every` seconds pass between batches, so that files do not get tiny."""
        while not wake.closing.is_set():
            try:
                end, head = await self.catch_up(end, wake.closing.is_set)
            except Exception as error:
                outage = outage_of(error)
                if outage is None:
                    raise
                await wake.wait(self.organisation_id, SEQ_LIMIT, outage.retry_after)
                continue
            await wake.wait(self.organisation_id, head.seq, _LOOK_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.closing.wait(), every)
        return end


async def require_continuous(session: AsyncSession, end: Cursor, head: HeadNow) -> None:
    """Raise TailFailed unless the log goes on where a copy ends."""
    if end.epoch != head.epoch or end.seq > head.seq or not await is_there(session, end.mark, head):
        raise TailFailed(
            f"The database was restored, and its log is not the one that was copied up to {end.seq}: start a"
            " copy in another folder."
        )
    archived = await archived_until(session)
    if archived > end.seq:
        raise TailFailed(
            f"The entries from {end.seq + 1} to {archived} were archived to files: name a later cursor by"
            " --since."
        )
