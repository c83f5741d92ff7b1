"""Decide a unit: carry it out, refuse it, let it wait, or keep it after a crash. The numbers are those of
schema/sync.md, "Push".
"""

from __future__ import annotations

from contextlib import nullcontext
from uuid import UUID

import structlog
from sqlalchemy.exc import IntegrityError, OperationalError

from tournee.kernel.actor import Actor
from tournee.kernel.command import is_transient
from tournee.kernel.errors import (
    Conflict,
    DoneAlready,
    ParentRefused,
    Refused,
    TransitionNotAllowed,
    UnitRefused,
)
from tournee.kernel.transaction import Operation, Transaction
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import Reason
from tournee.sync.push.batch import Batch, Unit
from tournee.sync.push.case import Case, Ready, State
from tournee.sync.push.repeating import meaning_of, repeated
from tournee.sync.waiting.dependents import stopped_before
from tournee.sync.waiting.given_up import id_in
from tournee.sync.waiting.overtaking import Overtaking, overtaking
from tournee.sync.waiting.parking import missing_parent


class StartOver(Exception):
    """The fast path met a refusal: the push starts again, with a savepoint for this unit."""


async def decide(batch: Batch, unit: Unit) -> None:
    """5. Carry out the whole unit or nothing, and settle each of its cases."""
    careful = batch.careful.with_unit(unit)
    outcomes: list[Outcome] = []
    try:
        async with batch.tx.savepoint() if careful else nullcontext():
            for case in unit:
                outcomes.append(await _run(batch, case))  # noqa: PERF401 - shows how far the unit came
    except OperationalError:
        raise
    except Exception as error:
        harmless = isinstance(error, Refused) and not outcomes and batch.tx.notes.is_untouched()
        if not careful and not harmless:
            batch.careful.take_care_of(unit)
            raise StartOver from error
        # The database refuses only at the end of the unit: then its last operation gets the blame.
        await _fail(batch, unit, unit[min(len(outcomes), len(unit) - 1)], error)
    else:
        for case, outcome in zip(unit, outcomes, strict=True):
            case.finish(outcome)
    batch.device.last_number = max(batch.device.last_number, unit[-1].number)


async def _run(batch: Batch, case: Case) -> Outcome:
    """6. Run the command exactly as online, with the device's base and time."""
    ready = batch.read(case)
    if isinstance(ready, Refused):
        raise ready
    late = _overtaking(batch, case)
    try:
        return await carry_out(batch.tx, ready, case.operation, batch.device.device_id, overtaken_in=late)
    except (TransitionNotAllowed, DoneAlready):
        again = await repeated(batch, ready, case)
        if again is None:
            raise
        return again


async def carry_out(
    tx: Transaction,
    ready: Ready,
    pushed: PushedOperation,
    device_id: UUID,
    *,
    overtaken_in: Overtaking | None = None,
    decider: Actor | None = None,
) -> Outcome:
    """Run an operation's command with its device's base and time, and return the outcome.

    The command may name the records that the actor sees, or those that `decider` sees: the person who lets a
    stopped operation continue.
    """
    operation = Operation(
        command=ready.command.name,
        occurred_at=pushed.occurred_at,
        id=pushed.id,
        device_id=device_id,
        base=pushed.base,
        base_unknown=pushed.base_unknown,
        decider=decider,
        overtaken_in=overtaken_in,
    )
    row = await ready.command.run(tx, ready.do, operation)
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


def _overtaking(batch: Batch, case: Case) -> Overtaking | None:
    """Return the check for what the device did later, if this operation comes late."""
    if case.number >= batch.device.last_number:
        return None
    came_at = case.parked.received_at if case.parked is not None else None
    return overtaking(batch.tx, batch.device.device_id, case.operation, batch.decided, came_at)


async def _fail(batch: Batch, unit: Unit, culprit: Case, error: Exception) -> None:
    """Refuse the unit, let it wait for what it lacks, or try it once more where the error is ours."""
    refusal = _refusal(error)
    if refusal is not None:
        await _refuse(batch, unit, culprit, refusal)
        return
    structlog.get_logger().exception("operation_crashed", operations=[str(case.id) for case in unit])
    batch.keep_waiting(unit, Reason.CRASHED)
    if unit[0].state is State.QUARANTINED:
        batch.reported.append(unit)


def _refusal(error: Exception) -> Refused | None:
    """Return the refusal that an error means; None where the error is a bug."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, IntegrityError):
        if is_transient(error):
            raise error
        return Conflict("This clashes with an existing record.")
    return None


async def _refuse(batch: Batch, unit: Unit, culprit: Case, refusal: Refused) -> None:
    """Refuse the unit, unless what it lacks may still come."""
    parent = await missing_parent(batch, culprit, refusal)
    if parent is not None and await batch.is_given_up(parent):
        refusal = ParentRefused(field=refusal.field)
    elif not batch.is_overdue(unit):
        if parent is not None:
            batch.keep_waiting(unit, Reason.PARENT, parent)
            return
        stopped = await stopped_before(batch, culprit, refusal)
        if stopped is not None:
            batch.keep_waiting(unit, Reason.FOLLOWS, stopped)
            return
    for case in unit:
        case.refuse(refusal if case is culprit else UnitRefused())
    batch.reported.append(unit)
    if isinstance(refusal, ParentRefused):
        made = (id_in(case.operation.input) for case in unit)
        batch.given_up.update((id, True) for id in made if id is not None)
