"""7. Replay: waiting operations continue in a push of their device, or because the record they wait for
arrived.
"""

from __future__ import annotations

from uuid import UUID

from tournee.kernel.log import Record
from tournee.sync.models import Reason
from tournee.sync.push.batch import Batch
from tournee.sync.push.deciding import decide
from tournee.sync.push.incoming import units
from tournee.sync.waiting.dependents import released
from tournee.sync.waiting.given_up import given_up_among


async def replay(batch: Batch) -> None:
    """7. Retry what crashed, then release its dependents; then fill gaps in the order of the numbers; then
    run children whose parents arrived.
    """
    crashed = [case for case in batch.waiting_for(Reason.CRASHED) if not case.has_moved]
    for unit in units(crashed):
        await decide(batch, unit)
    for unit in released(batch):
        await decide(batch, unit)
    await replay_gaps(batch)
    await _replay_children(batch)


async def replay_gaps(batch: Batch, before: int | None = None) -> None:
    """Run the operations whose turn has come, in the order of their numbers. Where the next number is
    unknown, run all of them, or all below `before`.
    """
    device = batch.device
    for unit in units(batch.waiting_for(Reason.GAP), device.is_used):
        if before is not None and unit[0].number >= before:
            break
        if device.next_number is not None:
            if device.is_beyond(unit[0].number) and not batch.is_overdue(unit):
                continue
            device.go_on_after(unit[-1].number)
        await decide(batch, unit)


async def _replay_children(batch: Batch) -> None:
    """Run operations whose record has arrived, also those that began to wait in this push. Each may create
    the record that the next one waits for.
    """
    pending = list(units(batch.waiting_for(Reason.PARENT)))
    parents = {case.waits_for for unit in pending for case in unit if case.waits_for is not None}
    gone = await given_up_among(batch.tx.session, parents)
    batch.given_up.update(dict.fromkeys(gone, True))
    there = await _existing(batch, parents)
    goes_on = True
    while goes_on:
        goes_on = False
        for unit in list(pending):
            parent = unit[0].waits_for
            is_decided = parent in there or parent in batch.tx.notes.new or parent in batch.will_not_come
            if not is_decided and not batch.is_overdue(unit):
                continue
            goes_on = True
            pending.remove(unit)
            await decide(batch, unit)
            if unit[0].is_waiting_for(Reason.PARENT) and unit[0].waits_for != parent:
                pending.append(unit)


async def _existing(batch: Batch, ids: set[UUID]) -> set[UUID]:
    if not ids:
        return set()
    with batch.tx.session.no_autoflush:
        return set((await batch.tx.statements.pick(Record.id, ids, Record.id)).scalars())
