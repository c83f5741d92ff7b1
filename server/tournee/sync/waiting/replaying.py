"""7. What waited goes on: in the push of its device, or because somebody made what it waits for."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from tournee.engine.bulk import picked
from tournee.kernel.log import Record
from tournee.sync.messages import PushedOperation
from tournee.sync.models import ParkedOperation
from tournee.sync.push import deciding
from tournee.sync.push.batch import Batch
from tournee.sync.push.incoming import units
from tournee.sync.waiting.dependents import released
from tournee.sync.waiting.given_up import given_up_among
from tournee.sync.waiting.parking import operations, waiting_now


async def replay(batch: Batch) -> None:
    """After a crash one more try, and then what follows it; after a gap in the order of the numbers; children
    after their parents."""
    waiting = [one for one in batch.parked.values() if one.operation_id not in batch.receipts]
    for unit in units(operations(one for one in waiting if one.reason == "CRASHED")):
        await _again(batch, unit)
    for unit in released(batch):
        await _again(batch, unit)
    await after_gaps(batch)
    # Also what has begun to wait in this push: its parent may have come after it.
    now = (waiting_now(batch, id) for id in {**batch.parked, **batch.to_park} if id not in batch.receipts)
    children = [one for one in now if one is not None and one.reason == "PARENT"]
    await _children(batch, sorted(children, key=lambda one: one.number))


async def after_gaps(batch: Batch, before: int | None = None) -> None:
    """In the order of the numbers; where nobody knows which number is next all of it, or all that comes
    before a number."""
    waiting = operations(one for one in batch.parked.values() if _waits_for_its_turn(batch, one))
    for unit in units(waiting, batch.is_used):
        if before is not None and unit[0].number >= before:
            break
        expected = batch.device.next_number
        if expected is None:
            await _again(batch, unit)
        elif unit[0].number <= expected or batch.is_overdue(unit):
            batch.device.next_number = max(expected, unit[-1].number + 1)
            batch.pass_settled()
            await _again(batch, unit)


def _waits_for_its_turn(batch: Batch, parked: ParkedOperation) -> bool:
    """Also after what this push has made of it so far."""
    id = parked.operation_id
    if id in batch.receipts or (id in batch.outcomes and id not in batch.to_park):
        return False
    return str(batch.to_park[id]["reason"] if id in batch.to_park else parked.reason) == "GAP"


async def _children(batch: Batch, waiting: Iterable[ParkedOperation]) -> None:
    """One that goes on may be the parent of the next."""
    named = {one.operation_id: one.waits_for for one in waiting}
    parents = {id for id in named.values() if id is not None}
    gone = await given_up_among(batch.tx.session, batch.device.organisation_id, parents)
    batch.given_up.update(dict.fromkeys(gone, True))
    there = await _existing(batch, parents)
    pending = list(units(operations(waiting)))
    goes_on = True
    while goes_on:
        goes_on = False
        for unit in list(pending):
            parent = named[unit[0].id]
            decided = parent in there or parent in batch.tx.notes.new or parent in batch.will_not_come
            if decided or batch.is_overdue(unit):
                pending.remove(unit)
                await _again(batch, unit)
                goes_on = True
                next_parent = batch.waits_for.get(unit[0].id)
                if next_parent not in (None, parent):
                    named[unit[0].id] = next_parent
                    pending.append(unit)


async def _existing(batch: Batch, ids: set[UUID]) -> set[UUID]:
    if not ids:
        return set()
    is_sqlite = batch.tx.database.is_sqlite
    known = picked(Record.id, ids, batch.device.organisation_id, Record.id, is_sqlite=is_sqlite)
    with batch.tx.session.no_autoflush:
        return set(await batch.tx.session.scalars(*known))


async def _again(batch: Batch, unit: list[PushedOperation]) -> None:
    for operation in unit:
        batch.unparked.append(operation.id)
        batch.to_park.pop(operation.id, None)
    await deciding.decide(batch, unit)
