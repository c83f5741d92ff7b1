"""Counts: what was expected at the time, and movements from before it that arrive later."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from tournee.kernel.entity import now
from tournee.kernel.transaction import Transaction
from tournee.stock.levels import derive, level_of, on_hand
from tournee.stock.models import MovementReason, StockCount, StockLevel, StockMovement
from tournee.stock.order import Moment, is_stated, precedes


def dated(tx: Transaction, at: datetime) -> dict[str, Any]:
    """Return the columns of `Dated` for what the running operation says happened at that time."""
    operation = tx.current
    return {
        "occurred_at": at,
        "account_id": tx.actor.id,
        "device_id": operation.device_id,
        "placed_at": min(at, now()),
        "stated": is_stated(at, operation.occurred_at),
        "base": operation.base,
    }


async def _moment(tx: Transaction, row: StockMovement | StockCount) -> Moment:
    """Return the moment of a movement: a reversal has that of the movement it reverses, an adjustment
    that of its count.
    """
    origin: Any = row
    here = tx.organisation_id
    if isinstance(row, StockMovement) and row.count_id is not None:
        origin = await tx.session.get_one(StockCount, (here, row.count_id))
    elif isinstance(row, StockMovement) and row.reverses_id is not None:
        origin = await tx.session.get_one(StockMovement, (here, row.reverses_id))
    return Moment(
        at=origin.placed_at,
        received_at=origin.created_at,
        device_id=origin.device_id,
        stated=origin.stated,
        base=origin.base,
        seq=await _seq(tx, origin),
    )


async def _seq(tx: Transaction, row: StockMovement | StockCount) -> int | None:
    """Return the seq under which it arrived; None if it has none yet."""
    if tx.is_new(row):
        return None
    await tx.clocks.load([row.id])
    seq: int = tx.clocks.made(row.id)[0]
    return seq


async def take(tx: Transaction, count: StockCount) -> None:
    """Add a count whose place is locked; the ledger is adjusted to what was counted at that time."""
    level = await level_of(tx, count.part_id, count.location_id, count.unit)
    total = await on_hand(tx, count.part_id, count.location_id)
    count.expected = 0
    count.expect(total - await _moved_since(tx, count))
    await tx.add(count)
    level.counted_at = max(level.counted_at or count.placed_at, count.placed_at)
    adjustment = None
    if count.difference:
        adjustment = await _adjust(tx, count, count.difference)
        await explain(tx, adjustment, level)
    await derive(tx, level, adjustment)


async def _moved_since(tx: Transaction, count: StockCount) -> int:
    """Return what arrived since the count was made; none of it has an earlier time."""
    place = count.location_id
    later = await tx.session.scalars(
        select(StockMovement).where(
            StockMovement.part_id == count.part_id,
            or_(StockMovement.from_location_id == place, StockMovement.to_location_id == place),
            StockMovement.placed_at > count.placed_at,
        )
    )
    counted = Moment(count.placed_at, now(), count.device_id, count.stated, count.base)
    found = later.all()
    await tx.clocks.load(row.id for row in found if not tx.is_new(row))
    return sum([row.change_at(place) for row in found if not precedes(await _moment(tx, row), counted)])


async def explain(tx: Transaction, movement: StockMovement, level: StockLevel) -> None:
    """Attribute a movement from before a count to the first such count: it was part of what was counted."""
    counted_at = level.counted_at
    as_itself = movement.reverses_id is None and movement.count_id is None
    if counted_at is None or (as_itself and movement.placed_at > counted_at):
        return
    moment = await _moment(tx, movement)
    counts = await tx.all(
        select(StockCount)
        .where(StockCount.part_id == level.part_id, StockCount.location_id == level.location_id)
        .order_by(StockCount.placed_at, StockCount.created_at)
    )
    for count in counts:
        if count.id != movement.count_id and precedes(moment, await _moment(tx, count)):
            change = movement.change_at(level.location_id)
            count.expect(change)
            await _adjust(tx, count, -change)
            return


async def _adjust(tx: Transaction, count: StockCount, difference: int) -> StockMovement:
    """Return the movement that adjusts the ledger to what was counted."""
    gained = difference > 0
    moment = {name: getattr(count, name) for name in ("occurred_at", "placed_at", "stated", "base")}
    return await tx.add(
        StockMovement(
            part_id=count.part_id,
            quantity=abs(difference),
            unit=count.unit,
            reason=MovementReason.COUNT,
            from_location_id=None if gained else count.location_id,
            to_location_id=count.location_id if gained else None,
            count_id=count.id,
            account_id=tx.actor.id,
            device_id=tx.current.device_id,
            **moment,
        )
    )
