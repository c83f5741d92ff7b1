"""Records that will not come: the operation that was to create them was refused, and the refusal stands.

While the refusal can still be retried (RETRY), operations that name the record wait. A malformed operation
cannot be retried, since its device has forgotten it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from tournee.engine.database import Database
from tournee.engine.purging import purge
from tournee.engine.statements import OrganisationSession, Statements
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
    await tx.statements.insert_many(GivenUpRecord.__table__, rows, replacing=("given_up_at",))
    tx.notes.awaited.update(ids)


def given_up(statements: Statements, ids: Collection[UUID]) -> Select[UUID]:
    """Select which of these ids were given up and still do not exist."""
    own = Record.organisation_id == GivenUpRecord.organisation_id
    made = select(Record.id).where(own, Record.id == GivenUpRecord.record_id)
    among = statements.among(GivenUpRecord.record_id, ids)
    return select(GivenUpRecord.record_id).where(among, ~made.exists())


async def given_up_among(session: OrganisationSession, ids: Collection[UUID]) -> set[UUID]:
    if not ids:
        return set()
    with session.no_autoflush:
        return set(await session.scalars(given_up(session.statements, ids)))


async def purge_given_up(database: Database, organisation_id: UUID, before: datetime) -> None:
    """Delete entries so old that no operation naming them is accepted any more."""
    await purge(database, organisation_id, GivenUpRecord, GivenUpRecord.given_up_at < before)
