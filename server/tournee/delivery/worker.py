"""The worker of one server process: it sends to the endpoints that no other process sends to."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select

from tournee.delivery.endpoint import Round
from tournee.delivery.progress import HELD_SECONDS, HeldByAnother, Progress
from tournee.delivery.sending import Sends
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import now
from tournee.kernel.outages import outage_of
from tournee.sync.http.wake import Wake
from tournee.webhooks.models import WebhookEndpoint, WebhookProgress

# How often to look for endpoints, and for deliveries that are due.
LOOK_SECONDS = 5.0
# Endpoints of one process at a time.
_MOST = 250


class Deliveries:
    """Sends to many endpoints at a time; each has a task of its own, so that none waits for another."""

    def __init__(
        self, database: Database, wake: Wake, sender: Sends, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._database = database
        self._wake = wake
        self._sender = sender
        self._seconds = look_seconds
        # By organisation and endpoint: the ids of two organisations may be equal.
        self._tasks: dict[tuple[UUID, UUID], asyncio.Task[None]] = {}
        # Whether endpoints wait for a place.
        self._is_full = False

    async def run(self) -> None:
        """Send until the server closes."""
        closing = self._wake.closing
        try:
            while not closing.is_set():
                try:
                    await self._look()
                except Exception as error:  # noqa: BLE001 - the next look may succeed
                    if outage_of(error) is None:
                        structlog.get_logger().exception("webhooks_failed")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(closing.wait(), self._seconds)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        free = or_(WebhookProgress.until.is_(None), WebhookProgress.until < now())
        same = and_(
            WebhookProgress.organisation_id == WebhookEndpoint.organisation_id,
            WebhookProgress.endpoint_id == WebhookEndpoint.id,
        )
        wanted = (
            select(WebhookEndpoint.organisation_id, WebhookEndpoint.id)
            .outerjoin(WebhookProgress, same)
            .where(WebhookEndpoint.active.is_(True), WebhookEndpoint.deleted.is_(False), free)
            .order_by(WebhookProgress.until.asc().nulls_first())
            .limit(_MOST)
        )
        async with self._database.reading(ACROSS) as session:
            found = [(one[0], one[1]) for one in await session.execute(wanted)]
        waiting = [key for key in found if key not in self._tasks]
        places = _MOST - len(self._tasks)
        self._is_full = len(waiting) > places
        for key in waiting[:places]:
            task = asyncio.create_task(self._serve(Progress(self._database, *key)))
            self._tasks[key] = task
            task.add_done_callback(partial(self._forget, key))

    def _forget(self, key: tuple[UUID, UUID], _done: object) -> None:
        self._tasks.pop(key, None)

    async def _serve(self, progress: Progress) -> None:
        """Send to one endpoint as long as it is active and ours."""
        try:
            if not await progress.take():
                return
            keeping = asyncio.create_task(_keep(progress))
            try:
                await self._rounds(progress)
            finally:
                keeping.cancel()
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await keeping
                with contextlib.suppress(Exception):
                    await progress.release()
        except HeldByAnother:
            return
        except Exception as error:  # noqa: BLE001 - the next look begins again
            if outage_of(error) is None:
                structlog.get_logger().exception("webhook_failed", endpoint=str(progress.endpoint_id))

    async def _rounds(self, progress: Progress) -> None:
        while not self._wake.closing.is_set():
            seq = self._wake.newest(progress.organisation_id)
            current = await Round.begin(self._database, progress, self._sender)
            if current is None:
                return
            await current.go()
            if self._is_full:
                # The one that has waited longest gets the place.
                return
            await self._wake.wait(progress.organisation_id, max(seq, progress.seq), self._seconds)


async def _keep(progress: Progress) -> None:
    while True:
        await asyncio.sleep(HELD_SECONDS / 3)
        with contextlib.suppress(Exception):
            await progress.keep()
