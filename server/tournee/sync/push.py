"""Push: what a device did while it was away. The numbers are those of schema/sync.md, "Push".

A batch runs in one transaction on the fast path. When something in it is refused, it starts over
with a savepoint around each unit, so that what is refused leaves nothing and the rest stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel, is_transient
from tournee.kernel.errors import Conflict, OperationReused, ParentRefused, Refused, SchemaTooNew, UnitRefused
from tournee.kernel.log import head_seq
from tournee.kernel.transaction import Operation, Transaction
from tournee.sync.batch import Batch, Carefulness, Commands
from tournee.sync.devices import check_device, lock_device, release_device
from tournee.sync.given_up import made_by
from tournee.sync.incoming import Incoming, read_batch, units
from tournee.sync.messages import Outcome, PushedOperation, as_record, rejected, waiting
from tournee.sync.models import DeviceState
from tournee.sync.parking import keep_waiting, missing_parent, operations, write_parked
from tournee.sync.receipts import write_receipts
from tournee.sync.replaying import after_gaps, replay
from tournee.sync.telling import tell
from tournee.sync.upcasts import OPERATION_SCHEMA

_ATTEMPTS = 5


class _StartOver(Exception):
    """The fast path met a refusal."""


@dataclass
class Answer:
    """What a push answers. `records` are those of the outcomes that are known already; `made` are the
    records that came to exist, `waits_for` those that did not when it `began_at` that seq."""

    outcomes: list[Outcome]
    checkpoint: int
    next_number: int | None
    records: Mapping[UUID, str]
    made: frozenset[UUID] = frozenset()
    waits_for: frozenset[UUID] = frozenset()
    began_at: int = 0


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
    absent: bool = False,
) -> Answer:
    """Carry out a batch and answer for each operation. Never raises Refused for one operation's sake.

    What waits since before `patience` goes on without what it waits for, or is refused. `absent`: the
    device itself says nothing, only what it left here goes on.
    """
    if schema > OPERATION_SCHEMA:
        return await _from_the_future(kernel, actor, device_id, raw)
    incoming = read_batch(raw, schema)
    careful = Carefulness()
    attempt = 1
    while True:
        try:
            async with kernel.database.writing(actor.organisation_id) as session:
                tx = Transaction(kernel.database, session, actor, kernel.rules)
                device = await lock_device(session, actor, device_id, app)
                device.absent = absent
                if incoming.is_nameless and device.next_number is not None:
                    device.next_number += len(raw)
                batch = Batch(commands, tx, device, careful, {*incoming.settled, *device.used}, patience)
                return await _carry_out(batch, incoming.founded(device.head))
        except _StartOver:
            pass
        except DBAPIError as error:
            if attempt == _ATTEMPTS or (careful.everywhere and not is_transient(error)):
                raise
            careful.everywhere = careful.everywhere or not is_transient(error)
            attempt += 1


async def _from_the_future(kernel: Kernel, actor: Actor, device_id: UUID, raw: Sequence[Any]) -> Answer:
    """The app is newer than this server: the device keeps its work until the server has caught up."""
    async with kernel.database.reading(actor.organisation_id) as session:
        await check_device(session, actor, device_id)
        head = await head_seq(session, actor.organisation_id)
        number = await session.scalar(
            select(DeviceState.next_number).where(
                DeviceState.organisation_id == actor.organisation_id, DeviceState.device_id == device_id
            )
        )
    ids = [item.get("id") if isinstance(item, dict) else None for item in raw]
    refusal = SchemaTooNew()
    outcomes = [
        Outcome(id if isinstance(id, str) else None, "parked", code=refusal.code, message=refusal.message)
        for id in ids
    ]
    return Answer(outcomes, head, number, {})


async def _carry_out(batch: Batch, incoming: Incoming) -> Answer:
    await batch.load(incoming.operations)
    if batch.device.next_number is None:
        await after_gaps(batch, _decide)
    for unit in units(incoming.operations, batch.is_used):
        await _run_unit(batch, unit, broken=unit[0].unit in incoming.broken)
    batch.pass_settled()
    await replay(batch, _decide)
    checkpoint = await _commit(batch)
    outcomes = [slot if isinstance(slot, Outcome) else batch.outcomes[slot.id] for slot in incoming.slots]
    made, parents = frozenset(batch.tx.notes.awaited), frozenset(batch.waits_for.values())
    number, began_at = batch.device.next_number, batch.device.head
    return Answer(outcomes, checkpoint, number, _records(batch), made, parents, began_at)


def _records(batch: Batch) -> dict[UUID, str]:
    """What was just written needs no reading, for those who see it all anyway."""
    if not batch.tx.actor.sees_all:
        return {}
    rows = {entry.row.id: entry.row for entry in batch.tx.entries}
    documents = batch.tx.documents
    return {id: as_record(type(row).__name__, documents[id]) for id, row in rows.items() if not row.deleted}


async def _run_unit(batch: Batch, unit: list[PushedOperation], *, broken: bool) -> None:
    fresh = [operation for operation in unit if not _known(batch, operation)]
    batch.settled.update(operation.number for operation in unit if operation not in fresh)
    batch.pass_settled()
    if not fresh:
        return
    if broken:
        batch.settled.update(operation.number for operation in fresh)
        _note_refused(batch, [(operation, rejected(str(operation.id), UnitRefused())) for operation in fresh])
        batch.pass_settled()
        return
    # 4. A gap in the numbers: something done earlier has not arrived, so this waits for it.
    expected = batch.device.next_number
    if expected is not None and fresh[0].number > expected:
        keep_waiting(batch, fresh, "GAP", f"number {expected}")
        return
    batch.device.next_number = max(expected or 0, fresh[-1].number + 1)
    await _decide(batch, fresh)


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
    parked = batch.parked.get(operation.id)
    if operation.id in batch.elsewhere or (
        parked is not None and operations([parked])[0].payload_hash != operation.payload_hash
    ):
        batch.outcomes[operation.id] = rejected(str(operation.id), OperationReused())
        return True
    if parked is not None and parked.reason != "GAP":
        what = "a record that it names" if parked.waits_for else "the server"
        batch.outcomes[operation.id] = waiting(operation, what)
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
        parent = await missing_parent(batch, unit[min(len(results), len(unit) - 1)], refusal)
        if parent is not None and await batch.is_given_up(parent):
            refusal = ParentRefused(field=refusal.field)
        elif parent is not None and not batch.is_overdue(unit):
            keep_waiting(batch, unit, "PARENT", "a record that it names", parent)
            return
        _note_refused(batch, _refused(unit, len(results), refusal))
        return
    _note(batch, results)


def _note(batch: Batch, results: list[tuple[PushedOperation, Outcome]]) -> None:
    for operation, outcome in results:
        batch.outcomes[operation.id] = outcome
    batch.decided.extend(results)


def _note_refused(batch: Batch, results: list[tuple[PushedOperation, Outcome]]) -> None:
    _note(batch, results)
    batch.refused.append(results)
    if any(outcome.code == ParentRefused.code for _, outcome in results):
        made = (made_by(operation.input) for operation, _ in results)
        batch.given_up.update((id, True) for id in made if id is not None)


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
    keep_waiting(batch, unit, "CRASHED", "the server")
    for operation in unit:
        batch.outcomes[operation.id].code = "INTERNAL"
    if batch.to_park.get(unit[0].id, {}).get("reason") == "QUARANTINED":
        batch.quarantined.append(unit)


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


async def _commit(batch: Batch) -> int:
    """8. Receipts in the same transaction as their effects; then the log and the head row, last."""
    tx = batch.tx
    await tell(batch)
    await tx.flush()
    await write_parked(batch)
    await release_device(tx.session, batch.device, batch.settled)
    tx.before_commit = lambda entries, behind: write_receipts(batch, entries, behind)
    last = await tx.commit()
    if last is not None:
        return last
    async with tx.database.reading(tx.organisation_id) as session:
        return await head_seq(session, tx.organisation_id)


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
