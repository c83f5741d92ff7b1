"""Push: what a device did while it was away. The numbers are those of schema/sync.md, "Push".

A batch runs in one transaction on the fast path. When something in it is refused, it starts over
with a savepoint around each unit, so that what is refused leaves nothing and the rest stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from tournee.kernel.actor import Actor
from tournee.kernel.bulk import insert_many
from tournee.kernel.command import Kernel, is_transient
from tournee.kernel.database import now
from tournee.kernel.errors import Conflict, OperationReused, Refused, UnitRefused
from tournee.kernel.log import Entry, Head
from tournee.kernel.transaction import Operation, Transaction
from tournee.sync.batch import Batch, Carefulness, Commands
from tournee.sync.devices import lock_device, release_device
from tournee.sync.incoming import Incoming, read_batch, rejected
from tournee.sync.messages import Outcome, PushedOperation, as_record, read_operation
from tournee.sync.models import ParkedOperation, Receipt

_ATTEMPTS = 5
_CRASHES_ALLOWED = 2


class _StartOver(Exception):
    """The fast path met a refusal."""


@dataclass
class Answer:
    """What a push answers. `records` are those of the outcomes that are known already."""

    outcomes: list[Outcome]
    checkpoint: int
    next_number: int | None
    records: Mapping[UUID, str]


async def push(
    kernel: Kernel,
    commands: Commands,
    actor: Actor,
    device_id: UUID,
    raw: Sequence[Any],
    app: str | None = None,
) -> Answer:
    """Carry out a batch and answer for each operation. Never raises Refused for one operation's sake."""
    incoming = read_batch(raw)
    careful = Carefulness()
    attempt = 1
    while True:
        try:
            async with kernel.database.writing(actor.organisation_id) as session:
                tx = Transaction(kernel.database, session, actor, kernel.rules)
                device = await lock_device(session, actor, device_id, app)
                batch = Batch(commands, tx, device, careful, set(incoming.settled))
                return await _carry_out(batch, incoming)
        except _StartOver:
            pass
        except DBAPIError as error:
            if attempt == _ATTEMPTS or (careful.everywhere and not is_transient(error)):
                raise
            careful.everywhere = careful.everywhere or not is_transient(error)
            attempt += 1


async def _carry_out(batch: Batch, incoming: Incoming) -> Answer:
    await batch.load(incoming.operations)
    for unit in _units(incoming.operations):
        await _run_unit(batch, unit, broken=unit[0].unit in incoming.broken)
    _pass_settled(batch)
    await _replay_parked(batch)
    checkpoint = await _commit(batch)
    outcomes = [slot if isinstance(slot, Outcome) else batch.outcomes[slot.id] for slot in incoming.slots]
    return Answer(outcomes, checkpoint, batch.device.next_number, _records(batch))


def _records(batch: Batch) -> dict[UUID, str]:
    """What was just written needs no reading, for those who see it all anyway."""
    if not batch.tx.actor.sees_all:
        return {}
    rows = {entry.row.id: entry.row for entry in batch.tx.entries}
    documents = batch.tx.documents
    return {id: as_record(type(row).__name__, documents[id]) for id, row in rows.items() if not row.deleted}


def _units(operations: Iterable[PushedOperation]) -> Iterable[list[PushedOperation]]:
    """Neighbours that name the same unit belong together; an operation without one stands alone."""
    # A unit may bear the id of an operation that stands alone.
    named = groupby(
        operations, key=lambda operation: (operation.unit is None, operation.unit or operation.id)
    )
    for _, members in named:
        yield list(members)


async def _run_unit(batch: Batch, unit: list[PushedOperation], *, broken: bool) -> None:
    fresh = [operation for operation in unit if not _known(batch, operation)]
    batch.settled.update(operation.number for operation in unit if operation not in fresh)
    _pass_settled(batch)
    if not fresh:
        return
    if broken:
        batch.settled.update(operation.number for operation in fresh)
        _note(batch, [(operation, rejected(str(operation.id), UnitRefused())) for operation in fresh])
        _pass_settled(batch)
        return
    # 4. A gap in the numbers: something done earlier has not arrived, so this waits for it.
    expected = batch.device.next_number
    if expected is not None and fresh[0].number > expected:
        for operation in fresh:
            _park(batch, operation, "GAP")
            batch.outcomes[operation.id] = _waiting(operation, f"number {expected}")
        return
    batch.device.next_number = max(expected or 0, fresh[-1].number + 1)
    await _decide(batch, fresh)


def _pass_settled(batch: Batch) -> None:
    while batch.device.next_number in batch.settled:
        batch.device.next_number += 1


def _known(batch: Batch, operation: PushedOperation) -> bool:
    """3. A receipt decides: same content, same outcome; other content under the same id is refused."""
    if operation.id in batch.outcomes:
        return True
    receipt = batch.receipts.get(operation.id)
    if receipt is not None:
        same = receipt.payload_hash == operation.payload_hash and receipt.device_id == batch.device.device_id
        batch.outcomes[operation.id] = (
            Outcome.repeated(receipt.outcome) if same else rejected(str(operation.id), OperationReused())
        )
        return True
    if operation.id in batch.elsewhere:
        batch.outcomes[operation.id] = rejected(str(operation.id), OperationReused())
        return True
    parked = batch.parked.get(operation.id)
    if parked is not None and parked.reason != "GAP":
        batch.outcomes[operation.id] = _waiting(operation, "the server")
        return True
    return False


async def _decide(batch: Batch, unit: list[PushedOperation]) -> None:
    """5. Run the unit, all or nothing, and note an outcome for each of its operations."""
    results: list[tuple[PushedOperation, Outcome]] = []
    careful = batch.careful.with_unit(unit)
    try:
        async with batch.tx.savepoint() if careful else nullcontext():
            for operation in unit:
                results.append((operation, await _run(batch, operation)))  # noqa: PERF401 - tells how far it came
    except OperationalError:
        raise
    except Exception as error:
        harmless = isinstance(error, Refused) and not results and batch.tx.notes.is_untouched()
        if not careful and not harmless:
            batch.careful.take_care_of(unit)
            raise _StartOver from error
        refusal = _refusal(error)
        if refusal is None:
            _crashed(batch, unit)
            return
        results = _refused(unit, len(results), refusal)
    _note(batch, results)


def _note(batch: Batch, results: list[tuple[PushedOperation, Outcome]]) -> None:
    for operation, outcome in results:
        batch.outcomes[operation.id] = outcome
    batch.decided.extend(results)


def _refusal(error: Exception) -> Refused | None:
    """Why it was refused; None where it was not, but broke."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, IntegrityError):
        if is_transient(error):
            raise error
        return Conflict("This clashes with a record that exists already.")
    return None


def _crashed(batch: Batch, unit: list[PushedOperation]) -> None:
    structlog.get_logger().exception("operation_crashed", operations=[str(op.id) for op in unit])
    for operation in unit:
        _park(batch, operation, "CRASHED")
        batch.outcomes[operation.id] = _waiting(operation, "the server", code="INTERNAL")


async def _run(batch: Batch, pushed: PushedOperation) -> Outcome:
    """6. The command itself, exactly as online, with the device's base and time."""
    ready = batch.read(pushed)
    if isinstance(ready, Refused):
        raise ready
    operation = Operation(
        command=ready.command.name,
        occurred_at=pushed.occurred_at,
        id=pushed.id,
        device_id=batch.device.device_id,
        base=pushed.base,
    )
    row = await ready.command.run(batch.tx, ready.do, operation)
    return Outcome(
        id=str(pushed.id),
        status=operation.status,
        fields=operation.lost,
        conflict=str(operation.conflict.id) if operation.conflict else None,
        entity=type(row).__name__,
        record_id=row.id,
    )


async def _replay_parked(batch: Batch) -> None:
    """7. What waited for its predecessor goes on as soon as that has come; a crash gets one more try."""
    waiting = [parked for parked in batch.parked.values() if parked.operation_id not in batch.receipts]
    crashed = [parked for parked in waiting if parked.reason == "CRASHED"]
    for unit in _units(_operations(crashed)):
        batch.unparked.extend(operation.id for operation in unit)
        await _decide(batch, unit)
    gaps = [parked for parked in waiting if parked.reason == "GAP"]
    for unit in _units(_operations(gaps)):
        if unit[0].number == batch.device.next_number:
            batch.unparked.extend(operation.id for operation in unit)
            batch.device.next_number = unit[-1].number + 1
            await _decide(batch, unit)


def _operations(parked: Iterable[ParkedOperation]) -> list[PushedOperation]:
    return [read_operation(orjson.loads(waiting.operation)) for waiting in parked]


def _park(batch: Batch, operation: PushedOperation, reason: str) -> None:
    earlier = batch.parked.get(operation.id)
    attempts = (earlier.attempts if earlier else 0) + (reason == "CRASHED")
    if earlier is not None:
        batch.unparked.append(operation.id)
    batch.to_park.append(
        {
            "organisation_id": batch.device.organisation_id,
            "operation_id": operation.id,
            "device_id": batch.device.device_id,
            "number": operation.number,
            "reason": "QUARANTINED" if attempts >= _CRASHES_ALLOWED else reason,
            "attempts": attempts,
            "operation": orjson.dumps(operation.raw).decode(),
            "received_at": now(),
        }
    )


async def _commit(batch: Batch) -> int:
    """8. Receipts in the same transaction as their effects; then the log and the head row, last."""
    tx = batch.tx
    await tx.flush()
    await _write_parked(batch)
    await release_device(tx.session, batch.device)
    tx.before_commit = lambda entries: _write_receipts(batch, entries)
    last = await tx.commit()
    if last is not None:
        return last
    async with tx.database.reading(tx.organisation_id) as session:
        head = await session.scalar(select(Head.seq).where(Head.organisation_id == tx.organisation_id))
        return head or 0


async def _write_parked(batch: Batch) -> None:
    decided = {operation.id for operation, _ in batch.decided}
    gone = [id for id in {*batch.unparked, *decided} if id in batch.parked]
    if gone:
        await batch.tx.session.execute(
            delete(ParkedOperation).where(
                ParkedOperation.organisation_id == batch.device.organisation_id,
                ParkedOperation.operation_id.in_(gone),
            )
        )
    if batch.to_park:
        await insert_many(batch.tx.session, ParkedOperation.__table__, batch.to_park)


async def _write_receipts(batch: Batch, entries: Sequence[Entry]) -> None:
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
    await insert_many(batch.tx.session, Receipt.__table__, rows, same)


def _refused(
    unit: list[PushedOperation], culprit: int, refusal: Refused
) -> list[tuple[PushedOperation, Outcome]]:
    """The refusal for the operation it met, and for the others that they were in its unit.

    What only the database refused, at the end, is nobody's in particular: it is the last one's.
    """
    culprit = min(culprit, len(unit) - 1)
    return [
        (operation, rejected(str(operation.id), refusal if place == culprit else UnitRefused()))
        for place, operation in enumerate(unit)
    ]


def _waiting(operation: PushedOperation, for_what: str, code: str | None = None) -> Outcome:
    return Outcome(str(operation.id), "parked", code=code, message=f"Waits for {for_what}.")
