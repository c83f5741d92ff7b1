"""Closed orders: the office's edits are refused; what was found in the field is kept and shown to a
dispatcher.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tournee.kernel.conflict import RECORD_ON_CLOSED_PARENT, Conflict, ConflictStatus
from tournee.kernel.errors import TransitionNotAllowed
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import present
from tournee.work.models import WorkOrder
from tournee.work.permissions import WORK_PLAN
from tournee.work.states import WorkOrderStatus

_KIND = RECORD_ON_CLOSED_PARENT


async def is_closed(tx: Transaction, order: WorkOrder) -> bool:
    """Return whether the order is closed. Raises for an actor who plans orders and could know, except in
    decisions.
    """
    if order.status is not WorkOrderStatus.CLOSED or tx.current.deciding:
        return False
    if tx.actor.may(WORK_PLAN) and "status" not in await tx.changed_since_base(order):
        raise TransitionNotAllowed(
            "This work order is closed; only a follow-up order can continue it.", "workOrderId"
        )
    return True


async def tell_dispatcher(tx: Transaction, order: WorkOrder, names: set[str]) -> None:
    """Add one conflict for everything that a device goes on to write on a closed order."""
    mine = present(order, names)
    found = await tx.all(
        select(Conflict).where(
            Conflict.record_id == order.id,
            Conflict.actor_id == tx.actor.id,
            Conflict.kind == _KIND,
            Conflict.status == ConflictStatus.OPEN,
        )
    )
    if not found:
        base: dict[str, Any] = {"status": await tx.value_at_base(order, "status")}
        await tx.conflict(_KIND, order, base=base, mine=mine, theirs={"status": order.status.value})
        return
    conflict = found[0]
    conflict.mine = {**conflict.mine, **mine}
    conflict.standing = present(order, conflict.mine.keys() | conflict.theirs.keys())
    conflict.involve(tx.current.id)
    tx.current.conflict = conflict
