"""Waking those who wait for changes: in process on SQLite, LISTEN and NOTIFY on PostgreSQL.

Only a hint: whoever waits also looks again by itself after a while, so a lost notice costs time,
never a change.
"""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

import psycopg
import structlog

from tournee.kernel.database import Database

_CHANNEL = "tournee"
_RECONNECT_SECONDS = 1.0


class Wake:
    """Knows the newest seq heard of for each organisation and wakes who waits for a newer one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._newest: dict[UUID, int] = {}
        self._bells: dict[UUID, asyncio.Event] = {}
        self._listener: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    def heard(self, organisation_id: UUID, seq: int) -> None:
        if seq > self._newest.get(organisation_id, 0):
            self._newest[organisation_id] = seq
            bell = self._bells.pop(organisation_id, None)
            if bell is not None:
                bell.set()

    async def wait(self, organisation_id: UUID, seq: int, seconds: float) -> bool:
        """Until something newer than `seq` is heard of; False after so many seconds or at shutdown."""
        if self._newest.get(organisation_id, 0) > seq:
            return True
        bell = self._bells.setdefault(organisation_id, asyncio.Event())
        closing = asyncio.ensure_future(self.closing.wait())
        ringing = asyncio.ensure_future(bell.wait())
        try:
            await asyncio.wait({closing, ringing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            ringing.cancel()
        return bell.is_set()

    async def start(self) -> None:
        self._database.listeners.append(self.heard)
        if not self._database.is_sqlite:
            self._listener = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Let every waiter go and stop listening."""
        self.closing.set()
        self._database.listeners.remove(self.heard)
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError):
                structlog.get_logger().warning("wake_listener_lost", exc_info=True)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        url = self._database.plain_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {_CHANNEL}")
            async for notice in connection.notifies():
                organisation, _, seq = notice.payload.partition(":")
                self.heard(UUID(organisation), int(seq))
