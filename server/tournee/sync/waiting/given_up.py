"""Records that will not come: the operation that was to create them was refused, and the refusal stands.

While the refusal can still be retried (RETRY), operations that name the record wait. A malformed operation
cannot be retried, since its device has forgotten it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine.bulk import among, insert_many
from tournee.engine.database import Database
from tournee.kernel.entity import now
from tournee.kernel.log import Record
from tournee.kernel.transaction import Transaction
from tournee.sync.models import GivenUpRecord


def id_in(value: Any) -> UUID | None:
    """Return the `id` in a JSON object, if it is a UUID: in an input, the id of the record to be created."""
    named = value.get("id") if isinstance(value, dict) else None
    try:
        return UUID(named) if isinstance(named, str) else None
    except ValueError:
        return None


async def give_up(tx: Transaction, records: Iterable[UUID | None]) -> None:
    """Give up these records; operations that wait for them are refused right after the commit."""
    ids = sorted({id for id in records if id is not None})
    rows = [{"record_id": id, "given_up_at": now()} for id in ids]
    same = {"organisation_id": tx.organisation_id}
    await insert_many(tx.session, GivenUpRecord.__table__, rows, same, replacing=("given_up_at",))
    tx.notes.awaited.update(ids)


def given_up(organisation_id: UUID, ids: Collection[UUID], *, is_sqlite: bool) -> Select[UUID]:
    """Select which of these ids were given up and still do not exist."""
    made = select(Record.id).where(
        Record.organisation_id == organisation_id, Record.id == GivenUpRecord.record_id
    )
    return select(GivenUpRecord.record_id).where(
        GivenUpRecord.organisation_id == organisation_id,
        among(GivenUpRecord.record_id, ids, is_sqlite=is_sqlite),
        ~made.exists(),
    )


async def given_up_among(session: AsyncSession, organisation_id: UUID, ids: Collection[UUID]) -> set[UUID]:
    if not ids:
        return set()
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    with session.no_autoflush:
        return set(await session.scalars(given_up(organisation_id, ids, is_sqlite=is_sqlite)))


async def purge_given_up(database: Database, organisation_id: UUID, before: datetime) -> None:
    """Delete entries so old that no operation naming them is accepted any more."""
    async with database.writing(organisation_id) as session:
        await session.execute(
            delete(GivenUpRecord).where(
                GivenUpRecord.organisation_id == organisation_id, GivenUpRecord.given_up_at < before
            )
        )
        await session.commit()
