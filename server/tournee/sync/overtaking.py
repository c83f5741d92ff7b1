"""What is done late, after it waited or was decided by somebody, takes back nothing that its device did
after it.

What was later the device's numbers say, and not its clock. A device that was itself restored from a
backup gives its numbers anew: where it had used the number before, under another id, nothing is late. Ids
of version 7, which rise, tell as well; others have no order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from tournee.kernel.bulk import picked
from tournee.kernel.database import Entity
from tournee.kernel.fields import wire_defaults, wire_value
from tournee.kernel.log import Change
from tournee.kernel.transaction import Transaction
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import Receipt

_IN_ORDER = 7

Overtaking = Callable[[Entity], Awaitable[set[str]]]


def overtaking(
    tx: Transaction,
    device_id: UUID,
    operation: PushedOperation,
    unwritten: Sequence[tuple[PushedOperation, Outcome]] = (),
    came_at: datetime | None = None,
) -> Overtaking:
    """Asks of which fields of a record, by wire name, later operations of the device have spoken: those they
    changed, and those they named and left as they stood. `unwritten` have no receipt yet. `came_at` is when
    the operation was handed in, unless it was just now."""

    async def overtaken_in(row: Entity) -> set[str]:
        if await _number_was_used(tx, device_id, operation, came_at):
            return set()
        here = {one.id: told for one, told in unwritten if _is_later(one.id, one.number, operation)}
        entries = [one for one in tx.entries if one.row is row and one.operation_id in here]
        found = {name for entry in entries for name in _changed(row, entry.before, entry.after)}
        found.update(name for told in here.values() for name in told.unmoved.get(str(row.id), ()))
        with tx.session.no_autoflush:
            changes = (await tx.session.execute(_changes(tx, device_id, operation, row))).all()
            later = await _later(tx, operation, {of for of, _, _ in changes}) if changes else set()
            left = (await tx.session.execute(_left(tx, device_id, operation))).all()
        for of, before, after in changes:
            if of in later:
                found.update(_changed(row, before and orjson.loads(before), orjson.loads(after)))
        for id, number, unmoved in left:
            if _is_later(id, number, operation):
                found.update(orjson.loads(unmoved).get(str(row.id), ()))
        return found

    return overtaken_in


async def _number_was_used(
    tx: Transaction, device_id: UUID, operation: PushedOperation, came_at: datetime | None
) -> bool:
    """Whether the device had used the number for something else before it handed this in."""
    used = select(Receipt.operation_id, Receipt.received_at).where(
        Receipt.organisation_id == tx.organisation_id,
        Receipt.device_id == device_id,
        Receipt.number == operation.number,
    )
    with tx.session.no_autoflush:
        received: dict[UUID, datetime] = dict((await tx.session.execute(used)).all())
    came_at = received.pop(operation.id, came_at)
    return any(came_at is None or at < came_at for at in received.values())


def _is_later(id: UUID, number: int, operation: PushedOperation) -> bool:
    rise = id.version == operation.id.version == _IN_ORDER
    return number > operation.number and (id > operation.id or not rise)


async def _later(tx: Transaction, operation: PushedOperation, ids: Iterable[UUID]) -> set[UUID]:
    told = (Receipt.operation_id, Receipt.number)
    is_sqlite = tx.database.is_sqlite
    known = picked(Receipt.operation_id, ids, tx.organisation_id, *told, is_sqlite=is_sqlite)
    return {id for id, number in await tx.session.execute(*known) if _is_later(id, number, operation)}


def _changes(tx: Transaction, device_id: UUID, operation: PushedOperation, row: Entity) -> Any:
    """What operations of the device did to the row since the base."""
    return select(Change.operation_id, Change.before, Change.after).where(
        Change.organisation_id == tx.organisation_id,
        Change.id == row.id,
        Change.seq > (operation.base or 0),
        Change.device_id == device_id,
        Change.operation_id.is_not(None),
    )


def _left(tx: Transaction, device_id: UUID, operation: PushedOperation) -> Any:
    """What its later operations left as it stood, of whatever record: what comes late is mostly not much
    older than the newest."""
    return select(Receipt.operation_id, Receipt.number, Receipt.unmoved).where(
        Receipt.organisation_id == tx.organisation_id,
        Receipt.device_id == device_id,
        Receipt.number > operation.number,
        Receipt.unmoved.is_not(None),
    )


def _changed(row: Entity, before: dict[str, Any] | None, after: dict[str, Any]) -> set[str]:
    """The fields that were changed."""
    if before is not None:
        return set(after)
    # Whoever makes a record says nothing of what is left as it is made.
    made = wire_defaults(type(row))
    return {name for name, value in after.items() if wire_value(value) != made.get(name)}
