"""What is done late, after it waited or was decided by somebody, takes back nothing that its device did
after it. The numbers of a device's operations say what it did later, not its clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, or_, select

from tournee.kernel.conflict import Conflict
from tournee.kernel.database import Entity
from tournee.kernel.log import Change
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
        later = {one.id for one, _ in unwritten if one.number > operation.number}
        found: set[str] = set()
        for entry in tx.entries:
            if entry.operation_id in later and entry.row is row:
                found.update(entry.after)
            elif entry.operation_id in later and _is_about(entry.row, row):
                found.update(_put(entry.before, entry.after))
        with tx.session.no_autoflush:
            for id, before, after in await tx.session.execute(_changes(tx, device_id, operation, row)):
                said = orjson.loads(after)
                found.update(said if id == row.id else _put(orjson.loads(before or "{}"), said))
        return found

    return overtaken_in


def _changes(tx: Transaction, device_id: UUID, operation: PushedOperation, row: Entity) -> Any:
    """Of the row, and of the conflicts about it."""
    about = select(Conflict.id).where(
        Conflict.organisation_id == tx.organisation_id, Conflict.record_id == row.id
    )
    later = and_(
        Receipt.organisation_id == Change.organisation_id,
        Receipt.operation_id == Change.operation_id,
        Receipt.device_id == device_id,
        Receipt.number > operation.number,
    )
    return (
        select(Change.id, Change.before, Change.after)
        .join(Receipt, later)
        .where(
            Change.organisation_id == tx.organisation_id,
            or_(Change.id == row.id, Change.id.in_(about)),
            Change.seq > (operation.base or 0),
        )
    )


def _is_about(changed: Entity, row: Entity) -> bool:
    return isinstance(changed, Conflict) and changed.record_id == row.id


def _put(before: dict[str, Any] | None, after: dict[str, Any]) -> set[str]:
    """The fields that were put into a conflict; what it held already was not said anew."""
    held, holds = (before or {}).get("mine") or {}, after.get("mine") or {}
    return {name for name, value in holds.items() if name not in held or held[name] != value}
