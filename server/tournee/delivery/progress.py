"""What the database remembers of an endpoint: who sends to it, its position, what it did not accept."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.database import Database
from tournee.kernel.entity import new_id, now
from tournee.kernel.log import CREATED, Record
from tournee.webhooks.models import WebhookDelivery, WebhookProgress

# How long a process that has died keeps others waiting.
HELD_SECONDS = 60.0

# A delivery that is not accepted is tried again for about a day.
MOST_ATTEMPTS = 20
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 4 * 3600.0

_UNSYNCHRONISED = {"synchronize_session": False}


class HeldByAnother(Exception):
    """Another process sends to this endpoint now."""


@dataclass(frozen=True)
class Failed:
    """A change that was not accepted, or that waits behind one of the same record."""

    seq: int
    record_id: UUID
    attempts: int
    error: str | None


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: twice as long each time, and never quite the same."""
    seconds = min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** max(0, attempts - 1))
    return timedelta(seconds=seconds * random.uniform(0.5, 1.0))  # noqa: S311 - nothing is secret about it


class Progress:
    """One endpoint, as one process knows it."""

    def __init__(self, database: Database, organisation_id: UUID, endpoint_id: UUID) -> None:
        self._database = database
        self.organisation_id = organisation_id
        self.endpoint_id = endpoint_id
        self._holder = new_id()
        self.seq = 0
        self._of_endpoint = WebhookDelivery.endpoint_id == endpoint_id

    async def take(self) -> bool:
        """Become the only process that sends to the endpoint; return whether that succeeded."""
        async with self._database.writing(self.organisation_id) as session:
            mine = {"holder": self._holder, "until": self._end()}
            values = {"endpoint_id": self.endpoint_id, "seq": await self._beginning(session), **mine}
            taking = session.statements.insert(WebhookProgress).values(
                organisation_id=self.organisation_id, **values
            )
            taking = taking.on_conflict_do_update(
                index_elements=[WebhookProgress.organisation_id, WebhookProgress.endpoint_id],
                set_=mine,
                where=or_(WebhookProgress.until < now(), WebhookProgress.holder == self._holder),
            )
            row = (await session.execute(taking.returning(WebhookProgress.seq))).first()
            await session.commit()
        if row is not None:
            self.seq = row[0]
        return row is not None

    async def _beginning(self, session: AsyncSession) -> int:
        """Return the number of the endpoint's own creation: it gets what came after."""
        clock = await session.scalar(select(Record.clock).where(Record.id == self.endpoint_id))
        return int(orjson.loads(clock)[CREATED][0]) if clock else 0

    async def keep(self) -> None:
        """Remain the one that sends. Raises HeldByAnother."""
        async with self._database.writing(self.organisation_id) as session:
            await self._update(session, until=self._end())
            await session.commit()

    async def release(self) -> None:
        async with self._database.writing(self.organisation_id) as session:
            await self._update(session, until=now())
            await session.commit()

    async def advance(self, seq: int, failed: Sequence[Failed]) -> None:
        """Note that everything up to this number was accepted, but for these. Raises HeldByAnother."""
        async with self._database.writing(self.organisation_id) as session:
            await self._update(session, seq=seq, until=self._end())
            if failed:
                await session.execute(self._insert(session, failed))
            await session.commit()
        self.seq = seq

    def _insert(self, session: Any, failed: Iterable[Failed]) -> Any:
        rows = [
            {
                "organisation_id": self.organisation_id,
                "endpoint_id": self.endpoint_id,
                "seq": one.seq,
                "record_id": one.record_id,
                "attempts": one.attempts,
                "next_at": now() + (pause(one.attempts) if one.attempts else timedelta()),
                "error": one.error,
            }
            for one in failed
        ]
        return session.statements.insert(WebhookDelivery).values(rows).on_conflict_do_nothing()

    async def waiting(self) -> list[WebhookDelivery]:
        """Return the first waiting delivery of each record; the next one goes out after it."""
        alive = (self._of_endpoint, WebhookDelivery.dead_at.is_(None))
        first = select(func.min(WebhookDelivery.seq)).where(*alive).group_by(WebhookDelivery.record_id)
        wanted = select(WebhookDelivery).where(self._of_endpoint, WebhookDelivery.seq.in_(first))
        async with self._database.reading(self.organisation_id) as session:
            return list(await session.scalars(wanted.order_by(WebhookDelivery.seq)))

    async def count_waiting(self) -> int:
        alive = (self._of_endpoint, WebhookDelivery.dead_at.is_(None))
        async with self._database.reading(self.organisation_id) as session:
            return await session.scalar(select(func.count()).select_from(WebhookDelivery).where(*alive)) or 0

    async def held_back(self, records: Collection[UUID]) -> set[UUID]:
        """Return those of these records that have a waiting delivery."""
        alive = (self._of_endpoint, WebhookDelivery.dead_at.is_(None))
        held = select(WebhookDelivery.record_id).where(*alive, WebhookDelivery.record_id.in_(records))
        async with self._database.reading(self.organisation_id) as session:
            return set(await session.scalars(held))

    async def accepted(self, seq: int) -> None:
        """Forget a waiting delivery that was accepted. Raises HeldByAnother."""
        async with self._database.writing(self.organisation_id) as session:
            await self._update(session, until=self._end())
            one = (self._of_endpoint, WebhookDelivery.seq == seq)
            await session.execute(delete(WebhookDelivery).where(*one).execution_options(**_UNSYNCHRONISED))
            await session.commit()

    async def refused(self, delivery: WebhookDelivery, error: str, *, final: bool = False) -> bool:
        """Note another attempt; return whether the delivery is given up. Raises HeldByAnother."""
        attempts = delivery.attempts + 1
        dead = final or attempts >= MOST_ATTEMPTS
        values = {
            "attempts": attempts,
            "error": error[:200],
            "next_at": now() + pause(attempts),
            "dead_at": now() if dead else None,
        }
        async with self._database.writing(self.organisation_id) as session:
            await self._update(session, until=self._end())
            one = (self._of_endpoint, WebhookDelivery.seq == delivery.seq)
            noting = update(WebhookDelivery).where(*one).values(**values)
            await session.execute(noting.execution_options(**_UNSYNCHRONISED))
            await session.commit()
        return dead

    async def _update(self, session: AsyncSession, **values: Any) -> None:
        own = (WebhookProgress.endpoint_id == self.endpoint_id, WebhookProgress.holder == self._holder)
        changing = update(WebhookProgress).where(*own).values(**values)
        result = await session.execute(changing.execution_options(**_UNSYNCHRONISED))
        if not getattr(result, "rowcount", 0):
            raise HeldByAnother

    def _end(self) -> Any:
        return now() + timedelta(seconds=HELD_SECONDS)
