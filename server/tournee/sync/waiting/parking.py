"""What was handed in and waits: why, for how long at most, and how it goes on.

GAP waits for the operation before it, PARENT for a record that it names, CRASHED for one more try,
QUARANTINED for an engineer, FOLLOWS for one of those two, SURRENDERED for a manager's decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete

from tournee.engine.bulk import insert_many
from tournee.kernel.entity import now
from tournee.kernel.errors import NotFound, ParkedLimit, Unfinished
from tournee.kernel.fields import camel
from tournee.kernel.references import references
from tournee.kernel.visibility import ever_visible
from tournee.sync.messages import Outcome, PushedOperation, read_operation, waiting
from tournee.sync.models import FOLLOWS, STOPPED, ParkedOperation
from tournee.sync.push.batch import Batch, Ready

CRASHES_ALLOWED = 2
# Beyond it a device keeps what has to wait, and hands it in again later.
PARKED_LIMIT = 2_000
_MADE_BY_DEVICES = 7
# Stopped by an error of ours.
_BROKEN = frozenset({"CRASHED", "QUARANTINED"})
_FOR = {
    "PARENT": "a record that it names",
    "CRASHED": "the server",
    "QUARANTINED": "the office, in whose conflict inbox it is",
    FOLLOWS: "an earlier operation, which hit an error on our side",
}


def operations(parked: Iterable[ParkedOperation]) -> list[PushedOperation]:
    return [_read(one) for one in parked]


def _read(parked: ParkedOperation) -> PushedOperation:
    """What was beyond the head when it came is so for good, however far the log has got since."""
    operation = read_operation(orjson.loads(parked.operation), parked.schema)
    return operation.unfounded() if parked.base_unknown else operation


def park(batch: Batch, unit: Sequence[PushedOperation], reason: str, waits_for: UUID | None = None) -> bool:
    """Keep a unit until it can go on; false where this device has too much waiting beside it already."""
    fresh = [operation for operation in unit if operation.id not in batch.parked]
    if fresh and len(batch.parked) + len(batch.to_park) + len(fresh) > PARKED_LIMIT:
        return False
    batch.stopped.update(operation.id for operation in unit if reason in STOPPED)
    for operation in unit:
        earlier = batch.parked.get(operation.id)
        attempts = (earlier.attempts if earlier else 0) + (reason == "CRASHED")
        if earlier is not None:
            batch.unparked.append(operation.id)
        batch.to_park[operation.id] = {
            "operation_id": operation.id,
            "number": operation.number,
            "reason": "QUARANTINED" if attempts >= CRASHES_ALLOWED else reason,
            "waits_for": waits_for,
            "schema": operation.schema,
            "attempts": attempts,
            "base_unknown": operation.base_unknown,
            "operation": orjson.dumps(operation.raw).decode(),
            "received_at": earlier.received_at if earlier else now(),
        }
    return True


def waiting_now(batch: Batch, id: UUID) -> ParkedOperation | None:
    """An operation as it waits after what this push has made of it so far."""
    if id in batch.to_park:
        return ParkedOperation(**batch.to_park[id])
    return batch.parked[id] if id in batch.parked and id not in batch.unparked else None


def keep_waiting(
    batch: Batch, unit: Sequence[PushedOperation], reason: str, waits_for: UUID | None = None
) -> bool:
    """Park a unit and answer so; where there is no room the device keeps it. Tells whether it was kept."""
    kept = park(batch, unit, reason, waits_for)
    for operation in unit:
        if kept:
            outcome = still_waiting(operation, batch.to_park[operation.id]["reason"], batch)
        else:
            outcome = waiting(operation, "room on the server", ParkedLimit.code)
        batch.outcomes[operation.id] = outcome
    return kept


def still_waiting(operation: PushedOperation, reason: str, batch: Batch) -> Outcome:
    """What a device is told of an operation that waits, the first time and whenever it asks again."""
    what = _FOR.get(reason) or f"number {batch.device.next_number}"
    return waiting(operation, what, Unfinished.code if reason in _BROKEN else None)


async def missing_parent(batch: Batch, operation: PushedOperation, refusal: BaseException) -> UUID | None:
    """The record that the operation was refused for, if a device may still be about to hand it in.

    Only the form of the id, what this push makes and what this device had in its sight count: a record
    that is there and hidden is answered like one that is nowhere.
    """
    ready, actor = batch.read(operation), batch.tx.actor
    if not isinstance(refusal, NotFound) or not isinstance(ready, Ready):
        return None
    for name, model, id in references(ready.command, ready.do):
        may_come = id.version == _MADE_BY_DEVICES or id in batch.makes
        if camel(name) == refusal.field and may_come and actor.may(model.reads):
            with batch.tx.session.no_autoflush:
                return None if await batch.tx.session.scalar(ever_visible(actor, id)) else id
    return None


_PARKED: Any = ParkedOperation.__table__


async def write_parked(batch: Batch) -> None:
    if not batch.parked and not batch.to_park:
        return
    decided = {operation.id for operation, _ in batch.decided}
    gone = [id for id in {*batch.unparked, *decided} if id in batch.parked]
    if gone:
        # Past the session, which would first write what the commands have left.
        connection = await batch.tx.session.connection()
        await connection.execute(
            delete(_PARKED).where(
                _PARKED.c.organisation_id == batch.device.organisation_id,
                _PARKED.c.operation_id.in_(gone),
            )
        )
    same = {"organisation_id": batch.device.organisation_id, "device_id": batch.device.device_id}
    rows = [row for id, row in batch.to_park.items() if id not in decided]
    await insert_many(batch.tx.session, _PARKED, rows, same)
