"""Waking subscribers: within the process on SQLite, by LISTEN and NOTIFY on PostgreSQL, or by looking.

A notice is only a hint: the heads of organisations with subscribers are also read from time to time, so a
lost notice costs time, never a change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog

from tournee.engine.database import Database, plain
from tournee.engine.heads import Heads
from tournee.engine.publishing import ADMISSIONS, CHANGES

_RECONNECT_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 5.0
# Where no notices arrive, a change is noticed only by looking.
POLL_SECONDS = 1.0
# A connection that was lost without a word is noticed after half a minute.
_KEPT_ALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
# Beyond this, the oldest are forgotten, and their subscribers learn of changes at the next look.
_MOST_ORGANISATIONS = 10_000


class Wake:
    """Knows the newest seq heard of for each organisation, and wakes those who wait for a newer one.

    With `look`, one look at what happened comes first, so that a thousand subscribers find it in memory.
    `ask_anew` is called with each organisation in which accounts or devices changed. Notices come from
    `listen_url`, by default the database; if it is empty, the heads are read every second instead.
    """

    def __init__(
        self,
        database: Database,
        heads: Heads | None = None,
        look: Callable[[UUID], Awaitable[object]] | None = None,
        ask_anew: Callable[[UUID], None] | None = None,
        listen_url: str | None = None,
    ) -> None:
        self._database = database
        self._listen_url = database.plain_url if listen_url is None else listen_url and plain(listen_url)
        self._heads = heads or Heads(database)
        self._look = look
        self._ask_anew = ask_anew
        self._looking: dict[UUID, asyncio.Task[None]] = {}
        self._newest: dict[UUID, int] = {}
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        # Counts the connections on which notices arrived; 0 while none does.
        self.connection = 0
        self._connections = 0
        self.closing = asyncio.Event()

    def heard(self, organisation_id: UUID, seq: int, admits: bool = False) -> None:
        """Take note of a commit. `admits`: it changed who is admitted."""
        if admits:
            self.heard_of_admissions(organisation_id)
        if seq > self._newest.get(organisation_id, 0):
            self._note(organisation_id, seq)
            if self._look is None or not self._waiting.get(organisation_id):
                self._ring(organisation_id)
            elif organisation_id not in self._looking:
                looking = self._look_and_ring(organisation_id, self._look)
                self._looking[organisation_id] = asyncio.get_running_loop().create_task(looking)

    def newest(self, organisation_id: UUID) -> int:
        """Return the newest seq heard of, 0 if none was."""
        return self._newest.get(organisation_id, 0)

    def _note(self, organisation_id: UUID, seq: int) -> None:
        self._newest.pop(organisation_id, None)
        if len(self._newest) >= _MOST_ORGANISATIONS:
            del self._newest[next(iter(self._newest))]
        self._newest[organisation_id] = seq

    def heard_of_admissions(self, organisation_id: UUID) -> None:
        if self._ask_anew is not None:
            self._ask_anew(organisation_id)

    async def _look_and_ring(self, organisation_id: UUID, look: Callable[[UUID], Awaitable[object]]) -> None:
        seq = -1
        try:
            while seq < (newest := self._newest.get(organisation_id, seq)):
                seq = newest
                # If the database is away, the subscribers find that out themselves.
                with contextlib.suppress(Exception):
                    await look(organisation_id)
                self._ring(organisation_id)
        finally:
            del self._looking[organisation_id]

    def _ring(self, organisation_id: UUID) -> None:
        for waiter in self._waiting.pop(organisation_id, ()):
            _let_go(waiter)

    async def wait(
        self, organisation_id: UUID, seq: int, seconds: float, gone: asyncio.Future[None] | None = None
    ) -> int | None:
        """Return the newest seq heard of, once it is newer than `seq`; None after so many seconds, at
        shutdown, or once `gone` is done.
        """
        if self.newest(organisation_id) > seq:
            return self._newest[organisation_id]
        if self.closing.is_set() or (gone is not None and gone.done()):
            return None
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _let_go, waiter)

        def leave(_gone: object) -> None:
            _let_go(waiter)

        if gone is not None:
            gone.add_done_callback(leave)
        waiting = self._waiting.setdefault(organisation_id, set())
        waiting.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            waiting.discard(waiter)
            if not waiting and self._waiting.get(organisation_id) is waiting:
                del self._waiting[organisation_id]
            if gone is not None:
                gone.remove_done_callback(leave)
        newest = self._newest.get(organisation_id, 0)
        return newest if newest > seq else None

    async def start(self) -> None:
        self._database.listeners.append(self.heard)
        polls = self._database.has_channels and not self._listen_url
        self._tasks.append(
            asyncio.create_task(self._look_again(POLL_SECONDS if polls else LOOK_AGAIN_SECONDS))
        )
        if polls:
            structlog.get_logger().info(
                "wake_polls", every_seconds=POLL_SECONDS, because="TOURNEE_LISTEN_URL"
            )
            self._tasks.append(asyncio.create_task(self._suspect()))
        elif self._database.has_channels:
            self._tasks.append(asyncio.create_task(self._listen()))

    def close(self) -> None:
        """Let every waiter go; nobody waits from now on."""
        self.closing.set()
        for organisation_id in list(self._waiting):
            self._ring(organisation_id)

    async def stop(self) -> None:
        """Close, and stop listening."""
        self.close()
        self._database.listeners.remove(self.heard)
        for task in (*self._tasks, *self._looking.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _suspect(self) -> None:
        """Ask anew for everybody who waits, because ended sessions do not show in a head."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            for organisation_id in self._awaited():
                self.heard_of_admissions(organisation_id)

    def _awaited(self) -> list[UUID]:
        return [id for id, waiting in self._waiting.items() if waiting]

    async def _look_again(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            awaited = self._awaited()
            looked = await asyncio.gather(*map(self._heads.now, awaited), return_exceptions=True)
            for organisation_id, head in zip(awaited, looked, strict=True):
                if isinstance(head, BaseException):
                    continue
                if head.seq < self._newest.get(organisation_id, 0):
                    # The database came back without its newest seconds: subscribers have seen lost changes.
                    self._newest[organisation_id] = head.seq
                    self._ring(organisation_id)
                self.heard(organisation_id, head.seq)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (psycopg.Error, OSError) as error:
                structlog.get_logger().warning("wake_listener_lost", error=repr(error)[:300])
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        listening = psycopg.AsyncConnection.connect(self._listen_url, autocommit=True, **_KEPT_ALIVE)
        async with await listening as connection:
            await connection.execute(f"LISTEN {CHANGES}; LISTEN {ADMISSIONS}")
            self._connections += 1
            self.connection = self._connections
            try:
                async for notice in connection.notifies():
                    self._notice(notice)
            finally:
                self.connection = 0

    def _notice(self, notice: psycopg.Notify) -> None:
        organisation, _, seq = notice.payload.partition(":")
        if notice.channel == ADMISSIONS:
            self.heard_of_admissions(UUID(organisation))
        else:
            self.heard(UUID(organisation), int(seq))


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
