"""A late operation never undoes what its own device did afterwards. It is late if it waited, or if somebody
decided it.

The device's numbers say what came later, not its clock. A device restored from a backup gives numbers a
second time: an operation under a number that the device had used before, with another id, is not late. Ids of
version 7 rise, so they show the order as well; others do not. The device's own times are returned too, so
that somebody can be asked where they contradict the numbers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from tournee.kernel.entity import Entity
from tournee.kernel.log import Change
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import wire_defaults, wire_value
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import ParkedOperation, Receipt

_IN_ORDER = 7
# The last day that a datetime can hold, in milliseconds since 1970; the time in an id may be later.
_LATEST = 253_402_214_400_000

Overtaking = Callable[[Entity], Awaitable[dict[str, datetime]]]


def overtaking(
    tx: Transaction,
    device_id: UUID,
    operation: PushedOperation,
    unwritten: Sequence[tuple[PushedOperation, Outcome]] = (),
    came_at: datetime | None = None,
) -> Overtaking:
    """Return a function that finds the fields of a record which later operations of the device set, with the
    time of the last one. It includes fields they sent that did not change.

    `unwritten` are decided operations without a receipt yet. `came_at` is when the operation was received, if
    that was before this push.
    """

    async def overtaken_in(row: Entity) -> dict[str, datetime]:
        if await _number_was_used(tx, device_id, operation, came_at):
            return {}
        found: dict[str, datetime] = {}
        for fields, at in await _later_words(tx, device_id, operation, unwritten, row):
            found.update({name: max(at, found.get(name, at)) for name in fields})
        return found

    return overtaken_in


async def _later_words(
    tx: Transaction,
    device_id: UUID,
    operation: PushedOperation,
    unwritten: Sequence[tuple[PushedOperation, Outcome]],
    row: Entity,
) -> list[tuple[Iterable[str], datetime]]:
    """Return the fields that each later operation set, and when."""
    here = {one.id: (one, told) for one, told in unwritten if _is_later(one.id, one.number, operation)}
    found: list[tuple[Iterable[str], datetime]] = [
        (_changed(row, entry.before, entry.after), here[entry.operation_id][0].occurred_at)
        for entry in tx.entries
        if entry.row is row and entry.operation_id in here
    ]
    found += [(told.unmoved.get(str(row.id), ()), one.occurred_at) for one, told in here.values()]
    with tx.session.no_autoflush:
        changes = (await tx.session.execute(_changes(tx, device_id, operation, row))).all()
        later = await _later(tx, operation, {of for of, *_ in changes}) if changes else set()
        left = (await tx.session.execute(_left(tx, device_id, operation))).all()
    for of, before, after, at in changes:
        if of in later:
            found.append((_changed(row, before and orjson.loads(before), orjson.loads(after)), at))
    for id, number, unmoved, received_at in left:
        if _is_later(id, number, operation):
            found.append((orjson.loads(unmoved).get(str(row.id), ()), _done_at(id, received_at)))
    return found


def _done_at(id: UUID, received_at: datetime) -> datetime:
    """Return the latest time at which the device can have done this: ids of version 7 carry its own clock, in
    milliseconds.
    """
    if id.version != _IN_ORDER:
        return received_at
    return datetime.fromtimestamp(min((id.int >> 80) + 1, _LATEST) / 1000, UTC)


async def _number_was_used(
    tx: Transaction, device_id: UUID, operation: PushedOperation, came_at: datetime | None
) -> bool:
    """Return whether the device had used the number for another operation before it sent this one."""
    received: dict[UUID, datetime] = {}
    for kept in (Receipt, ParkedOperation):
        used = select(kept.operation_id, kept.received_at).where(
            kept.device_id == device_id,
            kept.number == operation.number,
        )
        with tx.session.no_autoflush:
            received.update(iter((await tx.session.execute(used)).all()))
    came_at = received.pop(operation.id, came_at)
    return any(came_at is None or at < came_at for at in received.values())


def _is_later(id: UUID, number: int, operation: PushedOperation) -> bool:
    rise = id.version == operation.id.version == _IN_ORDER
    return number > operation.number and (id > operation.id or not rise)


async def _later(tx: Transaction, operation: PushedOperation, ids: Iterable[UUID]) -> set[UUID]:
    told = (Receipt.operation_id, Receipt.number)
    known = await tx.statements.pick(Receipt.operation_id, ids, *told)
    return {id for id, number in known if _is_later(id, number, operation)}


def _changes(tx: Transaction, device_id: UUID, operation: PushedOperation, row: Entity) -> Any:
    """Select the changes that operations of this device made to the row since the base."""
    return select(Change.operation_id, Change.before, Change.after, Change.occurred_at).where(
        Change.id == row.id,
        Change.seq > (operation.base or 0),
        Change.device_id == device_id,
        Change.operation_id.is_not(None),
    )


def _left(tx: Transaction, device_id: UUID, operation: PushedOperation) -> Any:
    """Select later operations that sent fields which did not change, of any record. There are few: a late
    operation is rarely much older than the newest.
    """
    return select(Receipt.operation_id, Receipt.number, Receipt.unmoved, Receipt.received_at).where(
        Receipt.device_id == device_id,
        Receipt.number > operation.number,
        Receipt.unmoved.is_not(None),
    )


def _changed(row: Entity, before: dict[str, Any] | None, after: dict[str, Any]) -> set[str]:
    """Return the fields that a change set."""
    if before is not None:
        return set(after)
    # An operation that creates a record does not set the fields it leaves at their defaults.
    made = wire_defaults(type(row))
    return {name for name, value in after.items() if wire_value(value) != made.get(name)}
