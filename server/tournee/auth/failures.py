"""Failed attempts of all servers, in the database where several processes serve it.

An attempt is checked by one statement. Only a failure is written, and takes the place of failures that count
no more, so that the table stays small: a wrong password costs much more time to try than a row to store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Delete, delete, func, insert, select, union_all

from tournee.auth.models import FailedAttempt
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import new_id, now

WINDOW = 300.0

# Expired failures that a new one removes. It adds two at most.
_REMOVED = 100


@dataclass(frozen=True)
class Limit:
    """At most this many failures of a key within WINDOW seconds."""

    key: str
    allowed: int

    @staticmethod
    def of(allowed: int, *parts: str) -> Limit:
        """Return the limit of what these parts name together."""
        return Limit(hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest(), allowed)


class Failures:
    """Counts failures of all servers; with SQLite there is one, which counts in memory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wait(self, limits: Sequence[Limit]) -> int:
        """Return the seconds until all limits allow an attempt; 0 if they do now."""
        if not self._database.has_channels:
            return 0
        at = now()
        async with self._database.reading(ACROSS) as session:
            reached = await session.scalar(_last_reached(limits, at - timedelta(seconds=WINDOW)))
        return 0 if reached is None else max(int(WINDOW - (at - reached).total_seconds()) + 1, 0)

    async def add(self, limits: Sequence[Limit]) -> None:
        """Count a failure; may be called while a command holds a connection for writing."""
        if not self._database.has_channels:
            return
        at = now()
        async with self._database.writing(ACROSS, beside=True) as session:
            await session.execute(_removing(at).execution_options(synchronize_session=False))
            rows = [{"id": new_id(), "key": limit.key, "at": at} for limit in limits]
            await session.execute(insert(FailedAttempt).values(rows))
            await session.commit()


def _last_reached(limits: Sequence[Limit], since: datetime) -> Any:
    """Return the query for the latest time at which a limit was reached: that many failures came after it."""
    reached = [
        select(FailedAttempt.at)
        .where(FailedAttempt.key == limit.key, FailedAttempt.at > since)
        .order_by(FailedAttempt.at.desc())
        .offset(limit.allowed - 1)
        .limit(1)
        .subquery()
        for limit in limits
    ]
    return select(func.max(union_all(*(select(one.c.at) for one in reached)).subquery().c.at))


def _removing(at: datetime) -> Delete:
    """Return the statement that deletes some failures that count no more, and waits for nobody."""
    expired = select(FailedAttempt.id).where(FailedAttempt.at < at - timedelta(seconds=WINDOW))
    some = expired.order_by(FailedAttempt.at).limit(_REMOVED).with_for_update(skip_locked=True)
    return delete(FailedAttempt).where(FailedAttempt.id.in_(some))


async def purge_failures(database: Database) -> None:
    """Delete all failures that count no more."""
    expired = delete(FailedAttempt).where(FailedAttempt.at < now() - timedelta(seconds=WINDOW))
    async with database.writing(ACROSS) as session:
        await session.execute(expired.execution_options(synchronize_session=False))
        await session.commit()
