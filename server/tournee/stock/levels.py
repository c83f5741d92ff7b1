"""Levels: derived from the ledger, in the transaction that adds to it.

Whoever adds to the ledger of a place holds the lock on the place's row. A sum read after that includes
everything committed, and nobody else is about to add.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select

from tournee.kernel.transaction import Transaction
from tournee.stock.models import StockDiscrepancy, StockLevel, StockMovement, Unit


async def on_hand(tx: Transaction, part_id: UUID, location_id: UUID) -> int:
    """Return the sum of all movements of the part there."""
    await tx.session.flush()
    total = func.coalesce(func.sum(StockMovement.quantity), 0)
    of_part = StockMovement.part_id == part_id
    came = select(total).where(of_part, StockMovement.to_location_id == location_id)
    went = select(total).where(of_part, StockMovement.from_location_id == location_id)
    return int(await tx.session.scalar(select(came.scalar_subquery() - went.scalar_subquery())) or 0)


async def level_of(tx: Transaction, part_id: UUID, location_id: UUID, unit: Unit) -> StockLevel:
    """Return the row of the level; under the lock on the place, only one transaction creates it."""
    found = await tx.all(
        select(StockLevel).where(StockLevel.part_id == part_id, StockLevel.location_id == location_id)
    )
    if found:
        return found[0]
    return await tx.add(StockLevel(part_id=part_id, location_id=location_id, quantity=0, unit=unit))


async def derive(tx: Transaction, level: StockLevel, movement: StockMovement | None) -> None:
    """Bring the level up to the ledger, and its discrepancy up to the level."""
    level.quantity = await on_hand(tx, level.part_id, level.location_id)
    if level.discrepancy_id is not None:
        [task] = await tx.all(select(StockDiscrepancy).where(StockDiscrepancy.id == level.discrepancy_id))
        task.level = level.quantity
    elif level.quantity < 0 and movement is not None:
        task = await tx.add(
            StockDiscrepancy(
                part_id=level.part_id,
                location_id=level.location_id,
                level=level.quantity,
                movement_id=movement.id,
            )
        )
        level.discrepancy_id = task.id
