"""What is done late, after it waited or was decided by somebody, takes back nothing that its device did
after it.

What was later the device's numbers say, and not its clock; where its operation ids, which rise as well,
say otherwise (a device that was itself restored from a backup gives its numbers anew), nothing was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select, union_all

from tournee.kernel.bulk import picked
from tournee.kernel.conflict import Conflict
from tournee.kernel.database import Entity
from tournee.kernel.fields import wire_defaults, wire_value
from tournee.kernel.log import Change, Entry
from tournee.kernel.transaction import Transaction
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.models import Receipt


def overtaking(
    tx: Transaction,
    device_id: UUID,
    operation: PushedOperation,
    unwritten: Sequence[tuple[PushedOperation, Outcome]] = (),
) -> Callable[[Entity], Awaitable[set[str]]]:
    """Asks which fields of a record, by wire name, later operations of the device have changed or put into
    the inbox; `unwritten` are those that have no receipt yet."""

    async def overtaken_in(row: Entity) -> set[str]:
        here = {one.id for one, _ in unwritten if _is_later(one.id, one.number, operation)}
        found = {name for entry in tx.entries if entry.operation_id in here for name in _said(entry, row)}
        with tx.session.no_autoflush:
            changes = [
                (id, of, before, after)
                for id, of, before, after in await tx.session.execute(_changes(tx, device_id, operation, row))
                if of is not None and before != after
            ]
            later = await _later(tx, operation, {of for _, of, _, _ in changes}) if changes else set()
        for id, of, before, after in changes:
            if of in later:
                found |= _changed(row, id == row.id, before and orjson.loads(before), orjson.loads(after))
        return found

    return overtaken_in


def _is_later(id: UUID, number: int, operation: PushedOperation) -> bool:
    return number > operation.number and id > operation.id


async def _later(tx: Transaction, operation: PushedOperation, ids: Iterable[UUID]) -> set[UUID]:
    told = (Receipt.operation_id, Receipt.number)
    is_sqlite = tx.database.is_sqlite
    known = picked(Receipt.operation_id, ids, tx.organisation_id, *told, is_sqlite=is_sqlite)
    return {id for id, number in await tx.session.execute(*known) if _is_later(id, number, operation)}


def _changes(tx: Transaction, device_id: UUID, operation: PushedOperation, row: Entity) -> Any:
    """What the device did to the row since the base, and to the conflicts about it; each by its index."""
    own = (
        Change.organisation_id == tx.organisation_id,
        Change.seq > (operation.base or 0),
        Change.device_id == device_id,
    )
    columns = select(Change.id, Change.operation_id, Change.before, Change.after)
    about = columns.join(
        Conflict, (Conflict.organisation_id == Change.organisation_id) & (Conflict.id == Change.id)
    ).where(Conflict.organisation_id == tx.organisation_id, Conflict.record_id == row.id)
    return union_all(columns.where(Change.id == row.id, *own), about.where(*own))


def _said(entry: Entry, row: Entity) -> set[str]:
    changed = entry.row
    is_about = isinstance(changed, Conflict) and changed.record_id == row.id
    return _changed(row, changed is row, entry.before, entry.after) if changed is row or is_about else set()


def _changed(row: Entity, of_row: bool, before: dict[str, Any] | None, after: dict[str, Any]) -> set[str]:
    """The fields that were changed, or put into a conflict; what it held already was not said anew."""
    if not of_row:
        held, holds = (before or {}).get("mine") or {}, after.get("mine") or {}
        return {name for name, value in holds.items() if name not in held or held[name] != value}
    if before is not None:
        return set(after)
    # Whoever makes a record says nothing of what is left as it is made.
    made = wire_defaults(type(row))
    return {name for name, value in after.items() if wire_value(value) != made.get(name)}
