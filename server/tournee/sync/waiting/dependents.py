"""Dependents: operations that need one which hit an error of ours. They wait for it instead of being refused.

Two operations belong together if they name the same record, or if one names a record that lies in the scope
of the other's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm.attributes import instance_state

from tournee.kernel.errors import Forbidden, Refused
from tournee.kernel.log import Edge
from tournee.kernel.references import references
from tournee.sync.models import Reason
from tournee.sync.push.batch import Batch, Unit
from tournee.sync.push.case import Case, Ready
from tournee.sync.push.incoming import units


async def stopped_before(batch: Batch, case: Case, refusal: Refused) -> UUID | None:
    """Return the id of the stopped operation without which this one may have been refused; None if there is
    none.
    """
    named = _named(batch, case)
    earlier = [one for one in batch.stopped() if one.number < case.number] if named else []
    if not earlier or isinstance(refusal, Forbidden):
        return None
    theirs = [_named(batch, one) for one in earlier]
    hanging = await _hanging(batch, named.union(*theirs))
    for one, others in zip(earlier, theirs, strict=True):
        if named & others or any(
            (this in named and on in others) or (this in others and on in named) for this, on in hanging
        ):
            # A dependent of a dependent waits for the same operation.
            return one.waits_for if one.reason is Reason.FOLLOWS else one.id
    return None


def released(batch: Batch) -> list[Unit]:
    """Return the units whose stopped operation was decided, so that they wait no longer."""
    broken = {one.id for one in batch.stopped() if one.reason is not Reason.FOLLOWS}
    return [
        unit
        for unit in units(batch.waiting_for(Reason.FOLLOWS))
        if unit[0].waits_for not in broken or batch.is_overdue(unit)
    ]


def _named(batch: Batch, case: Case) -> set[UUID]:
    """Return the records that an operation creates or names; none if its input cannot be read."""
    ready = batch.read(case)
    if not isinstance(ready, Ready):
        return set()
    made = getattr(ready.do, "id", None)
    return {id for _, _, id in references(ready.command, ready.do)} | (
        {made} if isinstance(made, UUID) else set()
    )


async def _hanging(batch: Batch, ids: Collection[UUID]) -> set[tuple[UUID, UUID]]:
    """Return the (record, scope) pairs among these ids, including what this push has done so far."""
    tx = batch.tx
    edges = select(Edge.record_id, Edge.scope).where(
        Edge.open.is_(True),
        tx.statements.among(Edge.record_id, ids),
        tx.statements.among(Edge.scope, ids),
    )
    with tx.session.no_autoflush:
        found = {(record, scope) for record, scope in await tx.session.execute(edges)}
        for row in {entry.row for entry in tx.entries}:
            # A refused operation used the row, and the rolled-back savepoint made the session forget it.
            if instance_state(row).expired_attributes:
                await tx.session.refresh(row)
    return found | set(_made(batch, ids))


def _made(batch: Batch, ids: Collection[UUID]) -> Iterator[tuple[UUID, UUID]]:
    for entry in batch.tx.entries:
        if entry.row.id in ids:
            yield from ((entry.row.id, scope) for scope in entry.row.scopes() if scope is not None)
