"""Commands for parts that arrive, move and are used. All are facts: they are recorded, whatever the level."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import DoneAlready, Forbidden, Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.registry import BY_TABLE
from tournee.kernel.transaction import Transaction
from tournee.stock.booking import lock_places, part_of, record, require_charge, told_before
from tournee.stock.counting import dated
from tournee.stock.models import MovementReason, StockLocation, StockMovement
from tournee.stock.models.parts import MOST
from tournee.stock.permissions import STOCK_MANAGE, STOCK_WRITE

Quantity = Annotated[int, Limits(minimum=1, maximum=MOST)]
SerialNumber = Annotated[str | None, Limits(length=120)]
Note = Annotated[str | None, Limits(length=2000)]


async def _move(
    tx: Transaction, do: Any, reason: MovementReason, *, in_charge: bool = False
) -> StockMovement:
    """Record the movement of the input; `in_charge`: only for places that the actor is in charge of."""
    given = {name: value for name, value in vars(do).items() if value is not UNSET}
    at = given.pop("at", tx.current.occurred_at)
    told = await told_before(tx, StockMovement, {**given, "reason": reason})
    if told is not None:
        return told
    part = await part_of(tx, given["part_id"])
    part.check_quantity(given["quantity"], given.get("serial_number"))
    given |= await _work(tx, given.get("appointment_id"), given.get("work_order_id"))
    places = await lock_places(
        tx, from_location_id=given.get("from_location_id"), to_location_id=given.get("to_location_id")
    )
    if in_charge:
        require_charge(tx.actor, *places.values())
    return await record(tx, StockMovement(**given, reason=reason, unit=part.unit, **dated(tx, at)))


async def _work(
    tx: Transaction, appointment_id: UUID | None, order_id: UUID | None
) -> dict[str, UUID | None]:
    """Return the work that it was used on; a visit implies its order."""
    visit: Any = await tx.find_optional(BY_TABLE["appointment"], appointment_id, "appointmentId")
    if visit is None:
        await tx.find_optional(BY_TABLE["work_order"], order_id, "workOrderId")
    elif order_id not in (None, visit.work_order_id):
        raise Invalid("This visit belongs to another order.", "workOrderId")
    return {"work_order_id": order_id if visit is None else visit.work_order_id}


@dataclass(frozen=True)
class ReceiveStock:
    part_id: UUID
    to_location_id: UUID
    quantity: Quantity
    serial_number: SerialNumber = None
    note: Note = None
    at: datetime | Unset = UNSET
    """When it was delivered, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def receive_stock(tx: Transaction, actor: Actor, do: ReceiveStock) -> StockMovement:
    """Record parts that arrived from outside, such as from a supplier."""
    return await _move(tx, do, MovementReason.RECEIPT, in_charge=True)


@dataclass(frozen=True)
class TransferStock:
    part_id: UUID
    from_location_id: UUID
    to_location_id: UUID
    quantity: Quantity
    serial_number: SerialNumber = None
    note: Note = None
    at: datetime | Unset = UNSET
    """When it was moved, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def transfer_stock(tx: Transaction, actor: Actor, do: TransferStock) -> StockMovement:
    """Record parts that moved between places of ours, such as from the warehouse into a van."""
    return await _move(tx, do, MovementReason.TRANSFER)


@dataclass(frozen=True)
class UsePart:
    part_id: UUID
    from_location_id: UUID
    quantity: Quantity
    appointment_id: UUID | None = None
    work_order_id: UUID | None = None
    serial_number: SerialNumber = None
    note: Note = None
    at: datetime | Unset = UNSET
    """When it was used, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def use_part(tx: Transaction, actor: Actor, do: UsePart) -> StockMovement:
    """Record a part used at work. A level that falls below zero becomes a task, never a refusal."""
    return await _move(tx, do, MovementReason.USED)


@dataclass(frozen=True)
class ReturnPart:
    part_id: UUID
    to_location_id: UUID
    quantity: Quantity
    appointment_id: UUID | None = None
    work_order_id: UUID | None = None
    serial_number: SerialNumber = None
    note: Note = None
    at: datetime | Unset = UNSET
    """When it came back, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def return_part(tx: Transaction, actor: Actor, do: ReturnPart) -> StockMovement:
    """Record a part that came back after it was given out for work."""
    return await _move(tx, do, MovementReason.RETURN)


@dataclass(frozen=True)
class ScrapPart:
    part_id: UUID
    from_location_id: UUID
    quantity: Quantity
    serial_number: SerialNumber = None
    note: Note = None
    at: datetime | Unset = UNSET
    """When it was thrown away, by the device's clock; now if left out."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def scrap_part(tx: Transaction, actor: Actor, do: ScrapPart) -> StockMovement:
    """Record a part that was thrown away: broken, expired or lost."""
    return await _move(tx, do, MovementReason.SCRAP, in_charge=True)


@dataclass(frozen=True)
class ReverseStockMovement:
    movement_id: UUID
    """The movement that was wrong. A second one takes it back."""
    note: Note = None
    """Why; null for nothing."""
    id: UUID | Unset = UNSET


@command(STOCK_WRITE, offline=True, fact=True)
async def reverse_stock_movement(tx: Transaction, actor: Actor, do: ReverseStockMovement) -> StockMovement:
    """Reverse a movement, at most once; the reversal has the time of the wrong movement."""
    own = (StockMovement.id == do.movement_id, StockMovement.account_id == actor.id)
    found = await tx.all(select(StockMovement).where(*own))
    # The actor's own movement, even if the actor can no longer see it.
    wrong = found[0] if found else await tx.find(StockMovement, do.movement_id, "movementId")
    if wrong.account_id != actor.id and not actor.may(STOCK_MANAGE):
        raise Forbidden("In the field, you can reverse only your own movements.")
    if wrong.count_id is not None or wrong.reverses_id is not None:
        raise Invalid("Correct an adjustment with a count, and a reversal with a new movement.", "movementId")
    places = {wrong.from_location_id, wrong.to_location_id} - {None}
    await tx.all(select(StockLocation).where(StockLocation.id.in_(places)).order_by(StockLocation.id))
    await _reversed_by_nothing_else(tx, wrong, do.id)
    return await record(tx, _opposite(tx, wrong, do))


async def _reversed_by_nothing_else(tx: Transaction, wrong: StockMovement, id: UUID | Unset) -> None:
    earlier = await tx.session.scalar(select(StockMovement.id).where(StockMovement.reverses_id == wrong.id))
    if earlier not in (None, id):
        raise DoneAlready("This movement has been reversed already.", "movementId")


def _opposite(tx: Transaction, wrong: StockMovement, do: ReverseStockMovement) -> StockMovement:
    kept = ("part_id", "quantity", "unit", "reason", "appointment_id", "work_order_id", "serial_number")
    return StockMovement(
        id=None if do.id is UNSET else do.id,
        **{name: getattr(wrong, name) for name in kept},
        from_location_id=wrong.to_location_id,
        to_location_id=wrong.from_location_id,
        reverses_id=wrong.id,
        note=do.note,
        **dated(tx, tx.current.occurred_at) | {"placed_at": wrong.placed_at},
    )
