"""Add a movement to the ledger, exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.errors import Forbidden, Invalid, NotFound
from tournee.kernel.fields import camel
from tournee.kernel.transaction import Transaction
from tournee.kernel.visibility import visible, was_visible
from tournee.stock.counting import explain
from tournee.stock.levels import derive, level_of
from tournee.stock.models import LocationKind, Part, StockCount, StockLocation, StockMovement
from tournee.stock.permissions import STOCK_MANAGE

RowT = TypeVar("RowT", StockMovement, StockCount)

# If these agree, it is the same fact again.
_SAME: dict[type[Any], tuple[str, ...]] = {
    StockMovement: (
        "account_id",
        "part_id",
        "quantity",
        "reason",
        "from_location_id",
        "to_location_id",
        "appointment_id",
        "work_order_id",
        "serial_number",
        "reverses_id",
    ),
    StockCount: ("account_id", "part_id", "location_id", "counted"),
}


async def part_of(tx: Transaction, id: UUID) -> Part:
    """Return the part, if the actor may see it; not locked, since the whole organisation's ledger refers
    to it.
    """
    operation = tx.current
    sees = was_visible(Part, tx.actor, operation.base) if operation.fact else visible(Part, tx.actor)
    part = await tx.session.scalar(select(Part).where(Part.id == id, sees))
    if part is None:
        part = await tx.session.get(Part, (tx.organisation_id, id))
        part = part if part is not None and tx.is_new(part) else None
    if part is None:
        raise NotFound("There is no such Part.", "partId")
    return part


async def lock_places(tx: Transaction, **ids: UUID | None) -> dict[str, StockLocation]:
    """Return the places by the fields that name them, locked in the order of their ids."""
    named = sorted((id, field) for field, id in ids.items() if id is not None)
    return {field: await tx.find(StockLocation, id, camel(field)) for id, field in named}


def require_charge(actor: Actor, *places: StockLocation) -> None:
    """Raise Forbidden unless the actor is in charge: in the field, of the actor's own van only."""
    if not actor.may(STOCK_MANAGE) and any(place.kind is LocationKind.WAREHOUSE for place in places):
        raise Forbidden("Only the office may do this at a warehouse.")


async def known(tx: Transaction, row: RowT) -> RowT | None:
    """Return the existing row with this id if it says the same; raises Invalid otherwise.

    A device that lost its outbox sends the same row with another operation.
    """
    model: Any = type(row)
    id = vars(row).get("id")
    there: RowT | None = None if id is None else await tx.session.get(model, (tx.organisation_id, id))
    if there is not None and any(getattr(there, name) != getattr(row, name) for name in _SAME[model]):
        raise Invalid("This id is in use.", "id")
    return there


async def told_before(tx: Transaction, model: type[RowT], given: Mapping[str, Any]) -> RowT | None:
    """Return the actor's own row that an operation repeats, whatever the actor can no longer see.

    Its work may be somebody else's by now. If the repetition were refused, the device would undo what stands
    in the ledger.
    """
    id = given.get("id")
    there: RowT | None = None if id is None else await tx.session.get(model, (tx.organisation_id, id))
    if there is None or there.account_id != tx.actor.id:
        return None
    said = {name: given[name] for name in _SAME[model] if name in given}
    # A visit implies its order.
    if said.get("work_order_id") is None:
        said.pop("work_order_id", None)
    return there if all(getattr(there, name) == value for name, value in said.items()) else None


async def record(tx: Transaction, movement: StockMovement) -> StockMovement:
    """Add a movement whose places are locked; counts, levels and discrepancies follow."""
    there = await known(tx, movement)
    if there is not None:
        return there
    await tx.add(movement)
    for location_id in (movement.from_location_id, movement.to_location_id):
        if location_id is not None:
            level = await level_of(tx, movement.part_id, location_id, movement.unit)
            await explain(tx, movement, level)
            await derive(tx, level, movement)
    return movement
