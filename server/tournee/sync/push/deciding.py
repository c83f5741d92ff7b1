"""A unit is decided: carried out, refused, kept waiting or found to hit a bug of ours. The numbers are
those of schema/sync.md, "Push".
"""

from __future__ import annotations

import structlog
from sqlalchemy.exc import IntegrityError, OperationalError

from tournee.kernel.command import is_transient
from tournee.kernel.errors import (
    Conflict,
    DoneAlready,
    OperationReused,
    ParentRefused,
    Refused,
    TransitionNotAllowed,
    UnitRefused,
)
from tournee.kernel.transaction import Operation
from tournee.sync.messages import Outcome, PushedOperation, rejected, waiting
from tournee.sync.models import FOLLOWS
from tournee.sync.push.batch import Batch
from tournee.sync.push.repeating import meaning_of, repeated
from tournee.sync.waiting.dependents import stopped_before
from tournee.sync.waiting.given_up import id_in
from tournee.sync.waiting.overtaking import Overtaking, overtaking
from tournee.sync.waiting.parking import keep_waiting, missing_parent, operations, still_waiting


class StartOver(Exception):
    """The fast path met a refusal."""


async def run_unit(batch: Batch, unit: list[PushedOperation], *, broken: bool) -> None:
    fresh = [operation for operation in unit if not _known(batch, operation)]
    if len(fresh) < len(unit):
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
        keep_waiting(batch, fresh, "GAP")
        return
    batch.device.next_number = max(expected or 0, fresh[-1].number + 1)
    await decide(batch, fresh)


def _known(batch: Batch, operation: PushedOperation) -> bool:
    """3. A receipt decides: same content, same outcome; other content under the same id is refused.

    A person may go on with a copied outbox on another device: what the first has handed in is known.
    """
    if operation.id in batch.outcomes:
        return True
    if not (batch.receipts or batch.parked or batch.elsewhere):
        return False
    receipt = batch.receipts.get(operation.id)
    if receipt is not None:
        reused = _reused(operation, receipt.payload_hash, is_own=receipt.account_id == batch.tx.actor.id)
        batch.outcomes[operation.id] = reused or Outcome.repeated(receipt.outcome)
        return True
    elsewhere = batch.elsewhere.get(operation.id)
    parked = elsewhere or batch.parked.get(operation.id)
    if parked is None:
        return False
    is_own = elsewhere is None or parked.device_id in batch.own_devices
    reused = _reused(operation, operations([parked])[0].payload_hash, is_own=is_own)
    if reused is not None:
        batch.outcomes[operation.id] = reused
        return True
    if elsewhere is not None:
        batch.outcomes[operation.id] = waiting(operation, "another device of yours, which handed it in")
        return True
    if parked.reason != "GAP":
        batch.outcomes[operation.id] = still_waiting(operation, parked.reason, batch)
        return True
    return False


def _reused(operation: PushedOperation, payload_hash: str, *, is_own: bool) -> Outcome | None:
    if payload_hash != operation.payload_hash:
        return rejected(str(operation.id), OperationReused())
    if not is_own:
        return rejected(
            str(operation.id), OperationReused("This operation was received from another account.")
        )
    return None


async def decide(batch: Batch, unit: list[PushedOperation]) -> None:
    """5. Run the unit, all or nothing, and note an outcome for each of its operations."""
    await _decide(batch, unit)
    batch.device.last_number = max(batch.device.last_number, unit[-1].number)


async def _decide(batch: Batch, unit: list[PushedOperation]) -> None:
    results: list[tuple[PushedOperation, Outcome]] = []
    careful = batch.careful.with_unit(unit)
    try:
        if careful:
            async with batch.tx.savepoint():
                await _run_all(batch, unit, results)
        else:
            await _run_all(batch, unit, results)
    except OperationalError:
        raise
    except Exception as error:
        harmless = isinstance(error, Refused) and not results and batch.tx.notes.is_untouched()
        if not careful and not harmless:
            batch.careful.take_care_of(unit)
            raise StartOver from error
        refusal = _refusal(error)
        if refusal is None:
            _crashed(batch, unit)
            return
        await _refuse(batch, unit, min(len(results), len(unit) - 1), refusal)
        return
    _note(batch, results)


async def _refuse(batch: Batch, unit: list[PushedOperation], culprit: int, refusal: Refused) -> None:
    """Refuse the unit, but where what it lacks may still come.

    What only the database refused, at the end, is nobody's in particular: it is the last one's.
    """
    parent = await missing_parent(batch, unit[culprit], refusal)
    if parent is not None and await batch.is_given_up(parent):
        refusal = ParentRefused(field=refusal.field)
    elif not batch.is_overdue(unit):
        if parent is not None:
            keep_waiting(batch, unit, "PARENT", parent)
            return
        stopped = await stopped_before(batch, unit[culprit], refusal)
        if stopped is not None:
            keep_waiting(batch, unit, FOLLOWS, stopped)
            return
    _note_refused(batch, _refused(unit, culprit, refusal))


async def _run_all(
    batch: Batch, unit: list[PushedOperation], results: list[tuple[PushedOperation, Outcome]]
) -> None:
    for operation in unit:
        results.append((operation, await _run(batch, operation)))  # noqa: PERF401 - tells how far it came


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
    keep_waiting(batch, unit, "CRASHED")
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
        base_unknown=pushed.base_unknown,
        overtaken_in=_overtaking(batch, pushed),
    )
    try:
        row = await ready.command.run(batch.tx, ready.do, operation)
    except (TransitionNotAllowed, DoneAlready):
        again = await repeated(batch, ready, pushed)
        if again is None:
            raise
        return again
    return Outcome(
        id=pushed.id,
        status=operation.status,
        fields=operation.lost,
        conflict=str(operation.conflict.id) if operation.conflict else None,
        entity=type(row).__name__,
        record_id=row.id,
        unmoved=operation.unmoved,
        meaning=meaning_of(ready.command, ready.do),
    )


def _overtaking(batch: Batch, pushed: PushedOperation) -> Overtaking | None:
    """What asks for that which its device did after it, where it comes late."""
    if pushed.number >= batch.device.last_number:
        return None
    parked = batch.parked.get(pushed.id)
    came_at = parked.received_at if parked is not None else None
    return overtaking(batch.tx, batch.device.device_id, pushed, batch.decided, came_at)


def _refused(
    unit: list[PushedOperation], culprit: int, refusal: Refused
) -> list[tuple[PushedOperation, Outcome]]:
    """The refusal for the operation it met, and for the others that they were in its unit."""
    return [
        (operation, rejected(str(operation.id), refusal if place == culprit else UnitRefused()))
        for place, operation in enumerate(unit)
    ]


def _note(batch: Batch, results: list[tuple[PushedOperation, Outcome]]) -> None:
    for operation, outcome in results:
        batch.outcomes[operation.id] = outcome
    batch.decided.extend(results)


def _note_refused(batch: Batch, results: list[tuple[PushedOperation, Outcome]]) -> None:
    _note(batch, results)
    batch.refused.append(results)
    if any(outcome.code == ParentRefused.code for _, outcome in results):
        made = (id_in(operation.input) for operation, _ in results)
        batch.given_up.update((id, True) for id in made if id is not None)
