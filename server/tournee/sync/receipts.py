"""Receipts: what was decided of which operation, so that it is decided once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, tuple_

from tournee.kernel.behind import Behind
from tournee.kernel.bulk import insert_many
from tournee.kernel.database import Database, now
from tournee.kernel.log import Entry
from tournee.sync.batch import Batch
from tournee.sync.models import Receipt

_CHUNK = 5_000


async def write_receipts(batch: Batch, entries: Sequence[Entry], behind: Behind) -> None:
    seqs = {entry.operation_id: entry.seq for entry in entries if entry.operation_id is not None}
    rows = []
    for operation, outcome in batch.decided:
        outcome.seq = seqs.get(operation.id)
        rows.append(
            {
                "operation_id": operation.id,
                "number": operation.number,
                "command": operation.command,
                "payload_hash": operation.payload_hash,
                "status": outcome.status,
                "seq": outcome.seq,
                "outcome": outcome.stored(),
            }
        )
    same = {
        "organisation_id": batch.device.organisation_id,
        "device_id": batch.device.device_id,
        "account_id": batch.tx.actor.id,
        "received_at": now(),
    }
    await behind.send(insert_many(batch.tx.session, Receipt.__table__, rows, same))


async def purge_receipts(database: Database, organisation_id: UUID, before: datetime) -> int:
    """Forget receipts of operations so old that they are accepted no longer; returns how many."""
    key = (Receipt.organisation_id, Receipt.operation_id)
    old = (
        select(*key)
        .where(Receipt.organisation_id == organisation_id, Receipt.received_at < before)
        .limit(_CHUNK)
    )
    gone = 0
    while True:
        async with database.writing(organisation_id) as session:
            done = await session.execute(delete(Receipt).where(tuple_(*key).in_(old)))
            await session.commit()
        count = int(getattr(done, "rowcount", 0))
        gone += count
        if count < _CHUNK:
            return gone
