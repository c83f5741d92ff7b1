"""One round of an endpoint: first the deliveries that are due again, then the log past its position.

Changes of one record go out in their order, one after the other. If one is not accepted, those after it wait
behind it, and changes of other records go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.delivery import payload
from tournee.delivery.progress import Failed, Progress
from tournee.delivery.sending import Sends
from tournee.engine.database import Database
from tournee.engine.freezing import is_frozen
from tournee.kernel.entity import now
from tournee.kernel.head import read_head
from tournee.kernel.log import Change
from tournee.webhooks.models import WebhookDelivery, WebhookEndpoint

# Changes read, and noted as sent, at a time.
CHUNK = 50
# Requests to one endpoint at a time.
_AT_ONCE = 4
# With so many deliveries waiting, the endpoint reads no further: the log keeps the rest.
MOST_WAITING = 500


@dataclass(frozen=True)
class Round:
    """A round of one endpoint, as it is set up now."""

    database: Database
    progress: Progress
    sender: Sends
    endpoint: WebhookEndpoint
    epoch: UUID

    @staticmethod
    async def begin(database: Database, progress: Progress, sender: Sends) -> Round | None:
        """Read the endpoint; None if nothing is sent to it now."""
        if await is_frozen(database, progress.organisation_id):
            return None
        wanted = select(WebhookEndpoint).where(
            WebhookEndpoint.id == progress.endpoint_id,
            WebhookEndpoint.active.is_(True),
            WebhookEndpoint.deleted.is_(False),
        )
        async with database.reading(progress.organisation_id) as session:
            endpoint = await session.scalar(wanted)
            epoch = (await read_head(session)).epoch
        return None if endpoint is None else Round(database, progress, sender, endpoint, epoch)

    async def go(self) -> None:
        """Send what can be sent now."""
        while await self._try_again():
            # An accepted delivery makes the next one of its record due.
            continue
        while await self.progress.count_waiting() < MOST_WAITING:
            changes = await self._next()
            if not changes:
                break
            failed, sent = await self._send(changes)
            await self.progress.advance(changes[-1].seq, failed)
            if failed and not sent:
                # The receiver seems to be down: the log keeps the rest.
                break

    async def _next(self) -> Sequence[Change]:
        async with self.database.reading(self.progress.organisation_id) as session:
            if not await self._is_current(session):
                return []
            later = select(Change).where(Change.seq > self.progress.seq).order_by(Change.seq).limit(CHUNK)
            return list(await session.scalars(later))

    async def _is_current(self, session: AsyncSession) -> bool:
        """Return whether the endpoint is still set up as it was when the round began."""
        own = WebhookEndpoint
        found = await session.scalar(select(own).where(own.id == self.endpoint.id, own.deleted.is_(False)))
        return found is not None and all(
            getattr(found, name) == getattr(self.endpoint, name)
            for name in ("active", "url", "secret", "entities")
        )

    async def _send(self, changes: Sequence[Change]) -> tuple[list[Failed], int]:
        """Send those changes that the endpoint wants; return what was refused, and how many were accepted."""
        wanted = [change for change in changes if self._wants(change.entity)]
        held_back = await self.progress.held_back({change.id for change in wanted}) if wanted else set()
        by_record: dict[UUID, list[Change]] = {}
        for change in wanted:
            by_record.setdefault(change.id, []).append(change)
        limit = asyncio.Semaphore(_AT_ONCE)
        sent = await asyncio.gather(
            *(self._in_turn(limit, own, held=id in held_back) for id, own in by_record.items())
        )
        failed = [one for refused, _ in sent for one in refused]
        return failed, sum(count for _, count in sent)

    async def _in_turn(
        self, limit: asyncio.Semaphore, changes: Sequence[Change], *, held: bool
    ) -> tuple[list[Failed], int]:
        """Send the changes of one record until one is refused; the rest waits behind it."""
        failed: list[Failed] = []
        for change in changes:
            if held or failed:
                failed.append(Failed(change.seq, change.id, 0, None))
                continue
            async with limit:
                error = await self._post(change)
            if error is not None:
                failed.append(Failed(change.seq, change.id, 1, error))
        return failed, len(changes) - len(failed)

    def _wants(self, entity: str) -> bool:
        actor = payload.reader(self.progress.organisation_id, self.endpoint.id)
        chosen = not self.endpoint.entities or entity in self.endpoint.entities
        return chosen and payload.is_readable(actor, entity)

    async def _post(self, change: Change) -> str | None:
        actor = payload.reader(self.progress.organisation_id, self.endpoint.id)
        body = payload.content(change, self.epoch, actor)
        id = payload.delivery_id(self.endpoint.id, change.seq)
        return await self.sender.post(self.endpoint.url, payload.sign(id, now(), body, self.endpoint.secret))

    async def _try_again(self) -> bool:
        """Try what is due, the first of each record; return whether any of it was accepted."""
        due = [one for one in await self.progress.waiting() if one.next_at <= now()]
        limit = asyncio.Semaphore(_AT_ONCE)
        return any(await asyncio.gather(*(self._try_one(limit, one) for one in due)))

    async def _try_one(self, limit: asyncio.Semaphore, delivery: WebhookDelivery) -> bool:
        async with limit:
            async with self.database.reading(self.progress.organisation_id) as session:
                if not await self._is_current(session):
                    return False
                change = await session.scalar(select(Change).where(Change.seq == delivery.seq))
            if change is None:
                await self.progress.refused(delivery, "The change was archived.", final=True)
                return False
            error = await self._post(change)
            if error is None:
                await self.progress.accepted(delivery.seq)
            elif await self.progress.refused(delivery, error):
                structlog.get_logger().warning(
                    "webhook_given_up",
                    organisation=str(self.progress.organisation_id),
                    endpoint=str(self.endpoint.id),
                    seq=delivery.seq,
                    error=error,
                )
            return error is None
