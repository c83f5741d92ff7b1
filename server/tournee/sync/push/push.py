"""Push: carry out what a device did while it was away. The numbers are those of schema/sync.md, "Push".

A push runs in one transaction. When something in it is refused, it starts over with a savepoint around that
unit, so that the refused unit leaves nothing and the rest stands.

1. Read     `incoming.py`, `Incoming.read`         each operation by itself; here, `_leave_for_later`
2. Lock     `devices/locking.py`, `lock_device`    two pushes of one device take turns
3. Receipt  `batch.py`, `Batch.load`               what was decided before and what waits: a case for each
4. Order    here, `_in_order`                      an operation waits until all before it have arrived
5. Unit     `deciding.py`, `decide`                all or nothing
6. Command  `deciding.py`, `_run`, `carry_out`     exactly as online
7. Replay   `waiting/replaying.py`, `replay`       what waited continues
8. Commit   here, `_commit`                        effects, log, receipts and what waits, in one transaction
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tournee.engine.pipelining import Pipeline
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel, passes, pause
from tournee.kernel.errors import SchemaTooNew, UnitRefused
from tournee.kernel.head import Mark, read_head
from tournee.kernel.transaction import Transaction
from tournee.sync.devices.history import history_of
from tournee.sync.devices.locking import LockedDevice, check_device, lock_device, release_device
from tournee.sync.messages import Outcome, as_record
from tournee.sync.models import DeviceState, Reason
from tournee.sync.push.batch import Batch, Carefulness, Commands, Unit
from tournee.sync.push.deciding import StartOver, decide
from tournee.sync.push.incoming import Incoming, units
from tournee.sync.push.receipts import write_receipts
from tournee.sync.push.request import PushRequest
from tournee.sync.push.upcasts import OPERATION_SCHEMA
from tournee.sync.waiting.inbox import report
from tournee.sync.waiting.parking import write_parked
from tournee.sync.waiting.replaying import replay, replay_gaps

_ATTEMPTS = 5


@dataclass
class Answer:
    """The answer to a push.

    `bodies` are the outcomes as JSON; outcomes of `unread` records still lack the record. `made` are the
    records that came to exist, `waits_for` those that were missing when the push began at seq `began_at`.
    `resync`: the history that the device knows is lost, and nothing was carried out.
    """

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


async def push(kernel: Kernel, commands: Commands, actor: Actor, request: PushRequest) -> Answer:
    """Carry out a push and answer for each operation. Never raises Refused because of one operation.

    A device whose known history is lost is told to resync, and nothing of its push is carried out.
    """
    if request.schema > OPERATION_SCHEMA:
        return await _leave_for_later(kernel, actor, request)
    read = cache(partial(Incoming.read, request.operations, request.schema))
    careful = Carefulness()
    attempt = 1
    while True:
        try:
            return await _attempt(kernel, commands, actor, request, read, careful)
        except StartOver:
            pass
        except DBAPIError as error:
            # If the commit succeeded and only its answer was lost, the next attempt finds the receipts.
            again = passes(error)
            if attempt == _ATTEMPTS or (careful.everywhere and not again):
                raise
            careful.everywhere = careful.everywhere or not again
            if again:
                await asyncio.sleep(pause(attempt))
            attempt += 1


async def _attempt(
    kernel: Kernel,
    commands: Commands,
    actor: Actor,
    request: PushRequest,
    read: Callable[[], Incoming],
    careful: Carefulness,
) -> Answer:
    """Go through the eight steps in one transaction."""
    async with kernel.database.writing(actor.organisation_id) as session:
        tx = Transaction(kernel.database, session, actor, kernel.rules)
        incoming, device = await _read_and_lock(tx, request, read)  # 1. Read. 2. Lock.
        history = await history_of(session, request, device.epoch, device.head)
        if history.is_lost:
            return Answer([], device.head, None, [], epoch=device.epoch, resync=True)
        incoming = incoming.founded(device.head, history.lost_bases)
        batch = Batch(commands, tx, device, incoming, careful, request.patience)
        await batch.load()  # 3. Receipt.
        if device.next_number is None:
            await replay_gaps(batch, before=incoming.first_number)
        for unit in _in_order(batch):  # 4. Order.
            await decide(batch, unit)  # 5. Unit. 6. Command.
        batch.lose_malformed()
        await replay(batch)  # 7. Replay.
        return await _commit(batch, request)  # 8. Commit.


async def _read_and_lock(
    tx: Transaction, request: PushRequest, read: Callable[[], Incoming]
) -> tuple[Incoming, LockedDevice]:
    """1. and 2. Read the operations while the database locks the device."""
    async with Pipeline() as pipeline:
        locking = await pipeline.send(lock_device(tx.session, tx.actor, request.device_id))
        incoming = read()
        device = await locking
    device.absent = request.absent
    device.used |= incoming.settled
    if incoming.is_nameless and device.next_number is not None:
        device.next_number += len(incoming.slots)
    return incoming, device


def _in_order(batch: Batch) -> Iterator[Unit]:
    """4. Yield the units whose turn it is. The others wait until everything before them has arrived."""
    device, incoming = batch.device, batch.incoming
    for operations in units(incoming.operations, device.is_used):
        unit = [batch.cases[operation.id] for operation in operations]
        fresh = [case for case in unit if case.is_fresh]
        is_broken = operations[0].unit in incoming.broken
        # These numbers are used up: the operation is known, or its unit is incomplete.
        device.use(one.number for one in operations if is_broken or not batch.cases[one.id].is_fresh)
        if not fresh:
            continue
        if is_broken:
            _refuse_broken(batch, fresh)
        elif device.is_beyond(fresh[0].number):
            batch.keep_waiting(fresh, Reason.GAP)
        else:
            device.go_on_after(fresh[-1].number)
            yield fresh
    if device.next_number is None and incoming.operations:
        # Every operation was known. The device must continue after them and not start anew.
        device.go_on_after(incoming.operations[-1].number)
    device.pass_used()


def _refuse_broken(batch: Batch, unit: Unit) -> None:
    for case in unit:
        case.refuse(UnitRefused())
    batch.reported.append(unit)


async def _commit(batch: Batch, request: PushRequest) -> Answer:
    """8. Write receipts in the same transaction as their effects, then the log, and the head row last."""
    tx, device = batch.tx, batch.device
    await report(batch)
    await write_parked(batch)
    await release_device(tx.session, device, request.app)
    tx.last_writes.append(partial(write_receipts, tx, batch.decided, device.device_id, tx.actor.id))
    last, answer = await tx.commit_answering(partial(_answer, batch))
    if last is None:
        async with tx.database.reading(tx.organisation_id) as session:
            last = (await read_head(session)).mark
    answer.checkpoint, answer.mark = last.seq, last
    return answer


def _answer(batch: Batch) -> Answer:
    """Make the answer while the database still writes."""
    slots = batch.incoming.slots
    outcomes = [slot if isinstance(slot, Outcome) else batch.cases[slot.id].answer for slot in slots]
    records = _records(batch)
    unread = {outcome.record_id for outcome in outcomes if outcome.record_id is not None} - records.keys()
    waiting = (case.waits_for for case in batch.cases.values() if case.begins_to_wait)
    return Answer(
        outcomes=outcomes,
        checkpoint=batch.device.head,
        next_number=batch.device.next_number,
        bodies=[one.body() if one.record_id in unread else one.message_body(records) for one in outcomes],
        unread=frozenset(unread),
        made=frozenset(batch.tx.notes.awaited),
        waits_for=frozenset(id for id in waiting if id is not None),
        began_at=batch.device.head,
        epoch=batch.device.epoch,
    )


def _records(batch: Batch) -> dict[UUID, str]:
    """Return the records just written, for actors who see everything anyway: they need no reading."""
    if not batch.tx.actor.sees_all:
        return {}
    written = batch.tx.documents.items()
    return {row.id: as_record(type(row).__name__, document) for row, document in written if not row.deleted}


async def _leave_for_later(kernel: Kernel, actor: Actor, request: PushRequest) -> Answer:
    """1. The app is newer than this server: the device keeps its work until the server is upgraded."""
    own = actor.organisation_id
    async with kernel.database.reading(own) as session:
        await check_device(session, actor, request.device_id)
        head = await read_head(session)
        history = await history_of(session, request, head.epoch, head.seq)
        number = await session.scalar(
            select(DeviceState.next_number).where(DeviceState.device_id == request.device_id)
        )
    if history.is_lost:
        return Answer([], head.seq, None, [], epoch=head.epoch, resync=True)
    ids = [item.get("id") if isinstance(item, dict) else None for item in request.operations]
    refusal = SchemaTooNew()
    outcomes = [
        Outcome(id if isinstance(id, str) else None, "parked", code=refusal.code, message=refusal.message)
        for id in ids
    ]
    bodies = [outcome.message_body({}) for outcome in outcomes]
    return Answer(outcomes, head.seq, number, bodies, epoch=head.epoch)
