"""Heads: where each organisation's log stands, asked once for everybody who asks at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import psycopg

from tournee.engine.database import Database
from tournee.engine.engines import ACROSS, driver_options
from tournee.kernel.head import HEADS, HeadNow
from tournee.kernel.log import Head

# Across organisations, for this statement alone: a transaction around it would take two more round trips.
# The policies read the setting where they are first needed, so on the inner side, once it is set.
_QUESTION = """
SELECT own.*
  FROM (SELECT set_config('tournee.organisation', '*', true) AS organisation OFFSET 0) AS served
 CROSS JOIN LATERAL (
    SELECT head.organisation_id, epoch, head.seq, floor, recorded_at
      FROM head LEFT JOIN change ON change.organisation_id = head.organisation_id AND change.seq = head.seq
     WHERE head.organisation_id = ANY(%s) AND served.organisation = '*'
    OFFSET 0) AS own
"""


class Heads:
    """Reads heads. Each is read after the call, so a device that pulls after its push finds the push there.

    Calls that arrive while one question runs share the next. PostgreSQL is asked over a connection of its
    own: the same short question, all day, must not queue behind long ones.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, list[asyncio.Future[HeadNow]]] = {}
        self._asking: asyncio.Task[None] | None = None
        # Kept as long as its connection, because making a cursor takes as long as the query.
        self._cursor: psycopg.AsyncCursor[tuple[UUID, UUID, int, int, datetime | None]] | None = None

    def now(self, organisation_id: UUID) -> asyncio.Future[HeadNow]:
        """Return the head as it stands at some moment after this call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[HeadNow] = loop.create_future()
        self._waiting.setdefault(organisation_id, []).append(answer)
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                found = await self._read(waiting.keys())
            except Exception as error:  # noqa: BLE001 - passed on to the callers
                _tell(waiting, {}, error)
            else:
                _tell(waiting, found, None)

    async def _read(self, organisations: Collection[UUID]) -> dict[UUID, HeadNow]:
        # Citus sends settings to its nodes as it reads SET LOCAL, so the question has a transaction there.
        if not self._database.is_sqlite and not await self._database.has_citus():
            return await self._read_postgresql(list(organisations))
        wanted = HEADS.add_columns(Head.organisation_id).where(Head.organisation_id.in_(organisations))
        async with self._database.reading(ACROSS) as session:
            rows = await session.execute(wanted)
            return {id: HeadNow.of(epoch, seq, floor, at) for epoch, seq, floor, at, id in rows}

    async def _read_postgresql(self, organisations: list[UUID]) -> dict[UUID, HeadNow]:
        fresh = self._cursor is None or self._cursor.connection.closed
        try:
            cursor = await self._connected()
            rows = await (await cursor.execute(_QUESTION, (organisations,))).fetchall()
        except psycopg.OperationalError:
            await self.close()
            if fresh:
                raise
            # The connection was lost while idle; a new one shows whether the server is there.
            return await self._read_postgresql(organisations)
        return {id: HeadNow.of(epoch, seq, floor, at) for id, epoch, seq, floor, at in rows}

    async def _connected(self) -> psycopg.AsyncCursor[tuple[UUID, UUID, int, int, datetime | None]]:
        if self._cursor is None or self._cursor.connection.closed:
            connection = await psycopg.AsyncConnection.connect(
                self._database.plain_url, **driver_options(prepares=self._database.prepares)
            )
            self._cursor = connection.cursor()
        return self._cursor

    async def close(self) -> None:
        if (
            self._asking is not None
            and not self._asking.done()
            and self._asking is not asyncio.current_task()
        ):
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking
        if self._cursor is not None:
            cursor, self._cursor = self._cursor, None
            with contextlib.suppress(psycopg.Error):
                await cursor.connection.close()


def _tell(
    waiting: dict[UUID, list[asyncio.Future[HeadNow]]],
    found: dict[UUID, HeadNow],
    error: Exception | None,
) -> None:
    for organisation_id, answers in waiting.items():
        head = found.get(organisation_id)
        for answer in answers:
            if answer.done():
                continue
            if head is None:
                answer.set_exception(error or LookupError(f"no organisation {organisation_id}"))
            else:
                answer.set_result(head)
