"""Leases: let one process of all servers do some work at a time, and another continue if it dies.

A lease is a row with an end that its holder keeps moving on. A lock would need a connection of its own for as
long as the work takes, which a pooler does not give.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import or_, update

from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import new_id, now
from tournee.kernel.lease import Lease

# How long a process that has died keeps others waiting. Clocks of servers may differ by less than this.
HELD_SECONDS = 90.0


class LeaseLost(RuntimeError):
    """Another process does the work now, because this one was silent for too long."""


class Rounds:
    """One process's part in the rounds of some work."""

    def __init__(self, database: Database, work: str, every_seconds: float) -> None:
        self._database = database
        self._work = work
        self._every = timedelta(seconds=every_seconds)
        self._holder = new_id()
        # The last organisation that is done; an earlier holder may have done it.
        self.position: UUID | None = None

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[bool]:
        """Hold the lease inside the block, if a round is due and no other process is at it."""
        if not await self._take():
            yield False
            return
        keeping = asyncio.create_task(self._keep())
        try:
            yield True
        finally:
            keeping.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await keeping
            # If the database is away, the lease ends by itself.
            with contextlib.suppress(Exception):
                await self._set(until=now())

    async def done(self, position: UUID) -> None:
        """Note how far the round has come. Raises LeaseLost."""
        await self._require(position=position, until=_end())

    async def finish(self) -> None:
        """Note that the round is complete. Raises LeaseLost."""
        await self._require(position=None, next_at=now() + self._every)

    async def _take(self) -> bool:
        at = now()
        mine = {"holder": self._holder, "until": _end()}
        async with self._database.writing(ACROSS) as session:
            taking = session.statements.insert(Lease).values(work=self._work, next_at=at, **mine)
            free = or_(Lease.until < at, Lease.holder == self._holder)
            taking = taking.on_conflict_do_update(
                index_elements=[Lease.work], set_=mine, where=free & (Lease.next_at <= at)
            )
            row = (await session.execute(taking.returning(Lease.position))).first()
            await session.commit()
        if row is None:
            return False
        self.position = row[0]
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(HELD_SECONDS / 3)
            with contextlib.suppress(Exception):
                await self._set(until=_end())

    async def _require(self, **values: Any) -> None:
        if not await self._set(**values):
            raise LeaseLost(self._work)

    async def _set(self, **values: Any) -> bool:
        """Change the lease if it is still ours; return whether it is."""
        own = update(Lease).where(Lease.work == self._work, Lease.holder == self._holder)
        async with self._database.writing(ACROSS) as session:
            result = await session.execute(own.values(**values).execution_options(synchronize_session=False))
            await session.commit()
        return bool(getattr(result, "rowcount", 0))


def _end() -> Any:
    return now() + timedelta(seconds=HELD_SECONDS)
