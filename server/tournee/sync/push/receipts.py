"""Receipts: what was decided about each operation, so that it is decided once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import update

from tournee.engine.database import Database
from tournee.engine.pipelining import Pipeline
from tournee.engine.purging import purge
from tournee.kernel.entity import now
from tournee.kernel.log import Entry, dump
from tournee.kernel.transaction import Transaction
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import Receipt


async def write_receipts(
    tx: Transaction,
    decided: Iterable[tuple[PushedOperation, Outcome]],
    device_id: UUID,
    account_id: UUID,
    entries: Sequence[Entry],
    pipeline: Pipeline,
) -> None:
    """Write receipts for operations of one device; each outcome gets the seq of its change."""
    seqs = {entry.operation_id: entry.seq for entry in entries if entry.operation_id is not None}
    rows = []
    for operation, outcome in decided:
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
                "unmoved": dump(outcome.unmoved) if outcome.unmoved else None,
                "meaning": outcome.meaning,
            }
        )
    same = {"device_id": device_id, "account_id": account_id, "received_at": now()}
    await pipeline.send(tx.statements.insert_many(Receipt.__table__, rows, same))


async def complete_receipts(tx: Transaction, decided: Iterable[tuple[PushedOperation, Outcome]]) -> None:
    """Complete the receipts of refused operations that were retried: each keeps the outcome its device
    received, and gains the fields that later operations ask about.
    """
    for operation, outcome in decided:
        if outcome.unmoved:
            own = update(Receipt).where(Receipt.operation_id == operation.id)
            await tx.session.execute(own.values(unmoved=dump(outcome.unmoved)))


async def purge_receipts(database: Database, organisation_id: UUID, before: datetime) -> int:
    """Delete receipts of operations that are too old to be accepted again; return how many."""
    return await purge(database, organisation_id, Receipt, Receipt.received_at < before)
