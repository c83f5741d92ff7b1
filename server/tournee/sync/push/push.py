"""Push: what a device did while it was away. The numbers are those of schema/sync.md, "Push".

A batch runs in one transaction on the fast path. When something in it is refused, it starts over
with a savepoint around each unit, so that what is refused leaves nothing and the rest stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tournee.engine.pipelining import Pipeline
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel, passes, pause
from tournee.kernel.errors import OperationReused, SchemaTooNew
from tournee.kernel.head import Mark, read_head
from tournee.kernel.transaction import Transaction
from tournee.sync.devices.locking import LockedDevice, check_device, lock_device, release_device
from tournee.sync.messages import Outcome, as_record
from tournee.sync.models import DeviceState
from tournee.sync.push import deciding
from tournee.sync.push.bases import changes_at, is_lost, is_over, lost_bases
from tournee.sync.push.batch import Batch, Carefulness, Commands
from tournee.sync.push.deciding import StartOver
from tournee.sync.push.inbox import tell
from tournee.sync.push.incoming import Incoming, read_batch, units
from tournee.sync.push.receipts import write_receipts
from tournee.sync.push.upcasts import OPERATION_SCHEMA
from tournee.sync.waiting.parking import write_parked
from tournee.sync.waiting.replaying import after_gaps, replay

_ATTEMPTS = 5


@dataclass
class Answer:
    """What a push answers. `bodies` are the outcomes as JSON, those of records that are still `unread`
    without them; `made` are the records that came to exist, `waits_for` those that did not when it
    `began_at` that seq. `resync`: the device knows of a history that is lost, and nothing was carried out."""

    outcomes: list[Outcome]
    checkpoint: int
    next_number: int | None
    bodies: Sequence[str]
    unread: frozenset[UUID] = frozenset()
    made: frozenset[UUID] = frozenset()
    waits_for: frozenset[UUID] = frozenset()
    began_at: int = 0
    epoch: UUID | None = None
    mark: Mark | None = None
    resync: bool = False


async def push(
    kernel: Kernel,
    commands: Commands,
    actor: Actor,
    device_id: UUID,
    raw: Sequence[Any],
    app: str | None = None,
    schema: int = OPERATION_SCHEMA,
    patience: datetime | None = None,
    *,
    epoch: UUID | None = None,
    absent: bool = False,
    mark: Mark | None = None,
    marks: Mapping[int, Mark] = MappingProxyType({}),
) -> Answer:
    """Carry out a batch and answer for each operation. Never raises Refused for one operation's sake.

    `marks` are those of the bases that operations name. What waits since before `patience` goes on without
    what it waits for, or is refused. A device that says of which `epoch` its last answer was, and which
    `mark` came with it, is told where that epoch is over or the log lacks that change. `absent`: the device
    itself says nothing, only what it left here goes on.
    """
    if schema > OPERATION_SCHEMA:
        return await _from_the_future(kernel, actor, device_id, raw, epoch, mark)
    read = cache(partial(read_batch, raw, schema))
    careful = Carefulness()
    attempt = 1
    while True:
        try:
            async with kernel.database.writing(actor.organisation_id) as session:
                tx = Transaction(kernel.database, session, actor, kernel.rules)
                device, incoming = await _begin(tx, device_id, app, read)
                named = {one.seq for one in (mark, *marks.values()) if one is not None}
                there = await changes_at(session, actor.organisation_id, named)
                if epoch not in (None, device.epoch) or is_lost(mark, there, device.head):
                    return Answer([], device.head, None, [], epoch=device.epoch, resync=True)
                device.absent = absent
                batch = Batch(commands, tx, device, careful, {*incoming.settled, *device.used}, patience)
                return await _carry_out(
                    batch, incoming.founded(device.head, lost_bases(marks, there, device.head))
                )
        except StartOver:
            pass
        except DBAPIError as error:
            # A commit whose answer was lost shows in the receipts when it is tried again.
            again = passes(error)
            if attempt == _ATTEMPTS or (careful.everywhere and not again):
                raise
            careful.everywhere = careful.everywhere or not again
            if again:
                await asyncio.sleep(pause(attempt))
            attempt += 1


async def _begin(
    tx: Transaction, device_id: UUID, app: str | None, read: Callable[[], Incoming]
) -> tuple[LockedDevice, Incoming]:
    """The batch is read while the database locks the device."""
    async with Pipeline() as pipeline:
        locked = await pipeline.send(lock_device(tx.session, tx.actor, device_id, app))
        incoming = read()
        device = await locked
    if incoming.is_nameless and device.next_number is not None:
        device.next_number += len(incoming.slots)
    return device, incoming


async def _from_the_future(
    kernel: Kernel,
    actor: Actor,
    device_id: UUID,
    raw: Sequence[Any],
    epoch: UUID | None,
    mark: Mark | None,
) -> Answer:
    """The app is newer than this server: the device keeps its work until the server has caught up."""
    async with kernel.database.reading(actor.organisation_id) as session:
        await check_device(session, actor, device_id)
        head = await read_head(session, actor.organisation_id)
        over = await is_over(session, actor.organisation_id, head, epoch, mark)
        number = await session.scalar(
            select(DeviceState.next_number).where(
                DeviceState.organisation_id == actor.organisation_id, DeviceState.device_id == device_id
            )
        )
    if over:
        return Answer([], head.seq, None, [], epoch=head.epoch, resync=True)
    ids = [item.get("id") if isinstance(item, dict) else None for item in raw]
    refusal = SchemaTooNew()
    outcomes = [
        Outcome(id if isinstance(id, str) else None, "parked", code=refusal.code, message=refusal.message)
        for id in ids
    ]
    bodies = [outcome.message_body({}) for outcome in outcomes]
    return Answer(outcomes, head.seq, number, bodies, epoch=head.epoch)


async def _carry_out(batch: Batch, incoming: Incoming) -> Answer:
    await batch.load(incoming.operations)
    if batch.device.next_number is None:
        await after_gaps(batch, incoming.operations[0].number if incoming.operations else None)
    for unit in units(incoming.operations, batch.is_used):
        await deciding.run_unit(batch, unit, broken=unit[0].unit in incoming.broken)
    if batch.device.next_number is None and incoming.operations:
        # All of it was known. The device goes on after that, and must not think that we know of nothing.
        batch.device.next_number = max(operation.number for operation in incoming.operations) + 1
    batch.pass_settled()
    batch.lose(incoming.malformed)
    batch.of_no_use, batch.schema = list(_of_no_use(batch, incoming)), incoming.schema
    await replay(batch)
    return await _commit(batch, incoming)


def _of_no_use(batch: Batch, incoming: Incoming) -> Iterable[tuple[dict[str, Any], Outcome]]:
    """What cannot be read, or bears the id of another operation. Its device forgets it.

    An object that is a number alone was sent to say that nothing comes under it.
    """
    for sent, slot in zip(incoming.raw, incoming.slots, strict=True):
        outcome = slot if isinstance(slot, Outcome) else batch.outcomes[slot.id]
        is_reused = outcome.code == OperationReused.code
        if isinstance(sent, dict) and sent.keys() != {"number"} and (outcome is slot or is_reused):
            yield sent, outcome


def _answer(batch: Batch, incoming: Incoming) -> Answer:
    """What will be answered once it is committed."""
    outcomes = [slot if isinstance(slot, Outcome) else batch.outcomes[slot.id] for slot in incoming.slots]
    records = _records(batch)
    unread = {outcome.record_id for outcome in outcomes if outcome.record_id is not None} - records.keys()
    return Answer(
        outcomes=outcomes,
        checkpoint=batch.device.head,
        next_number=batch.device.next_number,
        bodies=[one.body() if one.record_id in unread else one.message_body(records) for one in outcomes],
        unread=frozenset(unread),
        made=frozenset(batch.tx.notes.awaited),
        waits_for=frozenset(batch.waits_for.values()),
        began_at=batch.device.head,
        epoch=batch.device.epoch,
    )


def _records(batch: Batch) -> dict[UUID, str]:
    """What was just written needs no reading, for those who see it all anyway."""
    if not batch.tx.actor.sees_all:
        return {}
    written = batch.tx.documents.items()
    return {row.id: as_record(type(row).__name__, document) for row, document in written if not row.deleted}


async def _commit(batch: Batch, incoming: Incoming) -> Answer:
    """8. Receipts in the same transaction as their effects; then the log and the head row, last."""
    tx = batch.tx
    await tell(batch)
    await write_parked(batch)
    await release_device(tx.session, batch.device, batch.settled)
    answers: list[Answer] = []

    tx.before_commit = partial(write_receipts, tx, batch.decided, batch.device.device_id, tx.actor.id)
    tx.meanwhile = lambda: answers.append(_answer(batch, incoming))
    last = await tx.commit()
    (answer,) = answers
    if last is None:
        async with tx.database.reading(tx.organisation_id) as session:
            last = (await read_head(session, tx.organisation_id)).mark
    answer.checkpoint, answer.mark = last.seq, last
    return answer
