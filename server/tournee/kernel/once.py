"""Idempotency keys: a request that is sent again takes effect once.

The key is claimed in the transaction that does the work, so a crash leaves both or neither, and of two
requests at the same time the second waits for the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from sqlalchemy import Index, String, Text, Uuid, select
from sqlalchemy.orm import Mapped, mapped_column

from tournee.engine.database import Database
from tournee.engine.purging import purge
from tournee.kernel.entity import OrganisationRow, UTCDateTime, now
from tournee.kernel.errors import OperationReused

if TYPE_CHECKING:
    from tournee.kernel.transaction import Transaction

# After this time, a client without an answer has to look up whether its request took effect.
KEPT = timedelta(days=2)
LONGEST_KEY = 200


class IdempotencyKey(OrganisationRow):
    """What an account did under a key that its client chose, and what it was answered."""

    __tablename__ = "idempotency_key"
    account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    key: Mapped[str] = mapped_column(String(LONGEST_KEY), primary_key=True)
    # The hash of the place in the request: a request can hold several mutations.
    place: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The hash of the whole request.
    body: Mapped[str] = mapped_column(String(64))
    answer: Mapped[str | None] = mapped_column(Text)
    used_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    __table_args__ = (Index("ix_idempotency_key_used", "organisation_id", "used_at"),)


@dataclass(frozen=True)
class Once:
    """One mutation of a request with a key."""

    key: str
    place: str
    body: str


async def claim(tx: Transaction, once: Once) -> Any:
    """Claim the key for this transaction; return the answer that was stored under it, None if it is new.

    Raises OperationReused if another request used the key.
    """
    own = {"organisation_id": tx.organisation_id, "account_id": tx.actor.id, "key": once.key}
    row = {**own, "place": once.place, "body": once.body, "used_at": now()}
    # Waits for a transaction that has claimed the same key and not ended yet.
    new = tx.statements.insert(IdempotencyKey.__table__).values(row).on_conflict_do_nothing()
    await tx.session.execute(new)
    known = select(IdempotencyKey.place, IdempotencyKey.body, IdempotencyKey.answer)
    rows = (
        await tx.session.execute(
            known.where(IdempotencyKey.account_id == tx.actor.id, IdempotencyKey.key == once.key)
        )
    ).all()
    if any(body != once.body for _, body, _ in rows):
        raise OperationReused("This idempotency key was used for another request.")
    return next((orjson.loads(text) for place, _, text in rows if place == once.place and text), None)


async def keep(tx: Transaction, once: Once, answer: Any) -> None:
    """Store the answer under the claimed key."""
    row = {"account_id": tx.actor.id, "key": once.key, "place": once.place}
    stored = {**row, "answer": orjson.dumps(answer).decode()}
    await tx.statements.update_many(IdempotencyKey.__table__, tuple(row), [stored])


async def purge_keys_used(database: Database, organisation_id: UUID) -> int:
    """Delete the keys that were used long ago; return how many."""
    return await purge(database, organisation_id, IdempotencyKey, IdempotencyKey.used_at < now() - KEPT)
