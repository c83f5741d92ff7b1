"""Commands that count stock, and settle why a level was below zero."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.transaction import Transaction
from tournee.stock.booking import known, lock_places, part_of, require_charge, told_before
from tournee.stock.commands.movements import Note
from tournee.stock.counting import dated, take
from tournee.stock.models import StockCount, StockDiscrepancy, StockLevel, StockMovement
from tournee.stock.models.parts import MOST
from tournee.stock.permissions import STOCK_MANAGE, STOCK_WRITE


@dataclass(frozen=True)
class CountStock:
    part_id: UUID
    location_id: UUID
    counted: Annotated[int, Limits(minimum=0, maximum=MOST)]
    note: Note = None
    at: datetime | Unset = UNSET
    """When it was counted, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def count_stock(tx: Transaction, actor: Actor, do: CountStock) -> StockCount:
    """Record how much of a part is there; the ledger is adjusted as of the time of the count."""
    given = {name: value for name, value in vars(do).items() if value is not UNSET}
    told = await told_before(tx, StockCount, given)
    if told is not None:
        return told
    part = await part_of(tx, do.part_id)
    part.check_quantity(do.counted)
    places = await lock_places(tx, location_id=do.location_id)
    require_charge(actor, *places.values())
    count = StockCount(
        id=None if do.id is UNSET else do.id,
        part_id=do.part_id,
        location_id=do.location_id,
        counted=do.counted,
        unit=part.unit,
        note=do.note,
        **dated(tx, tx.current.occurred_at if do.at is UNSET else do.at),
    )
    there = await known(tx, count)
    if there is None:
        await take(tx, count)
    return there or count


@dataclass(frozen=True)
class ResolveStockDiscrepancy:
    discrepancy_id: UUID
    """The discrepancy that is explained."""
    count_id: UUID | None = None
    """The count that explains it; null if a movement does."""
    movement_id: UUID | None = None
    """The movement that explains it; null if a count does."""
    note: Note = None


@command(STOCK_MANAGE)
async def resolve_stock_discrepancy(
    tx: Transaction, actor: Actor, do: ResolveStockDiscrepancy
) -> StockDiscrepancy:
    """Name the count or movement that explains why a level was below zero; by now it must not be."""
    place = select(StockDiscrepancy.location_id).where(StockDiscrepancy.id == do.discrepancy_id)
    # Lock the place first, as everywhere else.
    await lock_places(tx, discrepancy_id=await tx.session.scalar(place))
    task = await tx.find(StockDiscrepancy, do.discrepancy_id, "discrepancyId")
    await _explains(tx, task, do)
    task.resolve(actor.id, do.note, count_id=do.count_id, movement_id=do.movement_id)
    [level] = await tx.all(select(StockLevel).where(StockLevel.discrepancy_id == task.id))
    level.discrepancy_id = None
    return task


async def _explains(tx: Transaction, task: StockDiscrepancy, do: ResolveStockDiscrepancy) -> None:
    """Raise Invalid unless exactly one count or one movement of this part at this place is named."""
    if (do.count_id is None) == (do.movement_id is None):
        raise Invalid("Name the count or the movement that explains it.", "countId")
    count = await tx.find_optional(StockCount, do.count_id, "countId")
    movement = await tx.find_optional(StockMovement, do.movement_id, "movementId")
    if count is not None and (count.part_id, count.location_id) != (task.part_id, task.location_id):
        raise Invalid("That count is of another part or place.", "countId")
    if movement is not None and not movement.concerns(task.part_id, task.location_id):
        raise Invalid("That movement is of another part or place.", "movementId")
