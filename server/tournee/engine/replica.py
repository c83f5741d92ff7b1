"""A read replica: queries are read there, as long as it shows every commit that this server knows of.

A replica follows the primary by some milliseconds, or stops following. So each query compares the replica's
head with the newest number that this server has heard of, from its own commits and from the notices of all
others. If the replica is behind, the query is read from the primary: nobody misses a change made before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.engine.statements import OrganisationSession
from tournee.kernel.log import Head
from tournee.kernel.outages import DatabaseAway, outage_of

# The seconds for which a replica that does not answer is not asked.
_REST_SECONDS = 5.0
_MOST_ORGANISATIONS = 10_000
# A replica cancels a query that reads rows which the primary has removed since.
_CANCELED = "40001"

_reads = Counter("tournee_replica_reads", "Queries for which a read replica was considered.", ["result"])


class Hearing(Protocol):
    """Hears of commits by all servers; `connection` counts the connections for it, 0 while there is none."""

    connection: int

    def newest(self, organisation_id: UUID) -> int: ...


class Replica:
    """Opens sessions on the replica where that is as good as the primary, and else on the primary."""

    def __init__(self, primary: Database, replica: Database, heads: Heads, hearing: Hearing) -> None:
        self._primary = primary
        self._replica = replica
        self._heads = heads
        self._hearing = hearing
        # The heads read from the primary when an organisation was first asked for, since when every notice
        # of it was heard. They count for one connection.
        self._known: OrderedDict[UUID, int] = OrderedDict()
        self._connection = 0
        self._rests_until = 0.0

    @asynccontextmanager
    async def reading(
        self, organisation_id: UUID, *, seconds: float | None = None
    ) -> AsyncIterator[OrganisationSession]:
        """Open a read-only session on one snapshot that shows every commit known to this server.

        Raises DatabaseAway if the replica goes away meanwhile; the next call then reads from the primary.
        """
        async with AsyncExitStack() as stack:
            session = await self._open(organisation_id, stack, seconds)
            if session is None:
                primary = self._primary.reading(organisation_id, seconds=seconds)
                yield await stack.enter_async_context(primary)
                return
            try:
                yield session
            except DBAPIError as error:
                if not _went_away(error):
                    raise
                self._rest(error)
                raise DatabaseAway from error

    async def _open(
        self, organisation_id: UUID, stack: AsyncExitStack, seconds: float | None
    ) -> OrganisationSession | None:
        """Return a session on the replica, None if it is behind or away."""
        if asyncio.get_running_loop().time() < self._rests_until:
            return None
        needed = await self._needed(organisation_id)
        if needed is None:
            _reads.labels("unknown").inc()
            return None
        async with AsyncExitStack() as opened:
            try:
                replica = self._replica.reading(organisation_id, seconds=seconds)
                session = await opened.enter_async_context(replica)
                seq = await session.scalar(select(Head.seq))
            except (DBAPIError, OSError) as error:
                self._rest(error)
                return None
            if seq is None or seq < needed:
                _reads.labels("behind").inc()
                return None
            stack.push_async_exit(opened.pop_all())
        _reads.labels("replica").inc()
        return session

    async def _needed(self, organisation_id: UUID) -> int | None:
        """Return the newest number committed that this server can know of; None if it cannot know."""
        if not self._hearing.connection:
            return None
        if self._hearing.connection != self._connection:
            # Notices were lost in between.
            self._connection = self._hearing.connection
            self._known.clear()
        if organisation_id not in self._known:
            connection, head = self._connection, await self._heads.now(organisation_id)
            if connection != self._hearing.connection:
                return None
            self._known[organisation_id] = head.seq
            while len(self._known) > _MOST_ORGANISATIONS:
                self._known.popitem(last=False)
        return max(self._known[organisation_id], self._hearing.newest(organisation_id))

    def _rest(self, error: BaseException) -> None:
        _reads.labels("away").inc()
        structlog.get_logger().warning("replica_away", error=repr(error)[:300])
        self._rests_until = asyncio.get_running_loop().time() + _REST_SECONDS

    async def close(self) -> None:
        await self._replica.close()


def _went_away(error: DBAPIError) -> bool:
    """Return whether another try at the primary may succeed."""
    canceled = getattr(error.orig, "sqlstate", None) == _CANCELED
    return canceled or isinstance(outage_of(error), DatabaseAway)
