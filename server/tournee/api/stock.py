"""Stock in GraphQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import and_, case, func, select

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.load import readable
from tournee.api.mapping import make_field
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.scalars import Long, enumeration
from tournee.api.transitions import TRANSITIONS, Ways, by_row
from tournee.assets.models import Asset
from tournee.auth.models import Account
from tournee.kernel.sentences import sentences
from tournee.people.models import Technician
from tournee.stock.commands import resolve_stock_discrepancy
from tournee.stock.models import (
    DiscrepancyStatus,
    MovementReason,
    Part,
    StockCount,
    StockDiscrepancy,
    StockLevel,
    StockLocation,
    StockMovement,
    Unit,
)
from tournee.stock.models.parts import QUANTITY
from tournee.stock.permissions import STOCK_READ
from tournee.work.models import Appointment, WorkOrder


@dataclass(frozen=True)
class PartUse:
    """The quantity of a part that work consumed: what was used, less what was returned or reversed."""

    part_id: UUID
    """The part that was used."""
    number: str
    name: str
    """What the part is called."""
    quantity: int
    unit: Unit
    """What the quantity is counted in."""


def _part_use_type() -> type[Any]:
    kind = object_type("PartUse", PartUse.__doc__)
    own, said = STOCK_READ, sentences(PartUse)
    add_fields(
        kind,
        make_field("partId", strawberry.ID, own, python_name="part_id", description=said["part_id"]),
        make_field("number", str, own, description="The article number."),
        make_field("name", str, own, description=said["name"]),
        make_field("quantity", Long, own, description=QUANTITY),
        make_field("unit", enumeration(Unit), own, description=said["unit"]),
    )
    return kind


PART_USES: Any = list[_part_use_type()]  # type: ignore[misc]
_OF_WORK = (MovementReason.USED, MovementReason.RETURN)


async def _used_on(info: Info, column: Any, id: UUID) -> list[PartUse]:
    taken = func.sum(case((StockMovement.to_location_id.is_(None), 1), else_=-1) * StockMovement.quantity)
    same = and_(Part.organisation_id == StockMovement.organisation_id, Part.id == StockMovement.part_id)
    found = await info.context.load.related(
        f"parts used by {column.key}",
        id,
        lambda ids: (
            select(column, Part.id, Part.number, Part.name, taken, Part.unit)
            .join(Part, same)
            .where(
                readable(StockMovement, info.context.actor),
                column.in_(ids),
                StockMovement.reason.in_(_OF_WORK),
            )
            .group_by(column, Part.id, Part.number, Part.name, Part.unit)
            .having(taken != 0)
            .order_by(Part.number)
        ),
    )
    return [PartUse(part, number, name, int(sum_), unit) for part, number, name, sum_, unit in found]


async def used_on_visit(root: Appointment, info: Info) -> list[PartUse]:
    """What was used on this visit, by part."""
    return await _used_on(info, StockMovement.appointment_id, root.id)


async def used_on_order(root: WorkOrder, info: Info) -> list[PartUse]:
    """What was used on all visits of the order and on the order itself, by part."""
    return await _used_on(info, StockMovement.work_order_id, root.id)


async def holder(root: StockLocation, info: Info) -> Technician | None:
    """Who has the van: the technician named, or the vehicle's holder."""
    vehicle = await info.context.load.one(Asset, root.asset_id)
    return await info.context.load.one(
        Technician, root.technician_id if vehicle is None else vehicle.holder_technician_id
    )


async def below_minimum(root: StockLevel, info: Info) -> bool:
    """Whether less lies here than the part's minimum."""
    part = await info.context.load.one(Part, root.part_id)
    return part is not None and part.minimum is not None and root.quantity < part.minimum


_WAYS: Ways = {DiscrepancyStatus.RESOLVED: (resolve_stock_discrepancy,)}

EXTRAS = Extras(
    lists=(
        ListName(StockLevel, "part_id", "levels"),
        ListName(StockLevel, "location_id", "levels"),
        ListName(StockLevel, "discrepancy_id", None),
        ListName(StockMovement, "part_id", "movements"),
        ListName(StockMovement, "from_location_id", "outgoing"),
        ListName(StockMovement, "to_location_id", "incoming"),
        ListName(StockMovement, "reverses_id", "reversals"),
        ListName(StockMovement, "count_id", "adjustments"),
        ListName(StockCount, "part_id", "counts"),
        ListName(StockCount, "location_id", "counts"),
        ListName(StockDiscrepancy, "part_id", "discrepancies"),
        ListName(StockDiscrepancy, "location_id", "discrepancies"),
        ListName(StockDiscrepancy, "movement_id", None),
        ListName(StockDiscrepancy, "settled_by_count_id", None),
        ListName(StockDiscrepancy, "settled_by_movement_id", None),
    ),
    links=(
        Link(StockMovement, "account_id", Account),
        Link(StockCount, "account_id", Account),
        Link(StockDiscrepancy, "resolved_by_id", Account),
    ),
    computed=(
        ComputedField(Appointment, used_on_visit, PART_USES, permission=STOCK_READ, name="partsUsed"),
        ComputedField(WorkOrder, used_on_order, PART_USES, permission=STOCK_READ, name="partsUsed"),
        ComputedField(StockLocation, holder, Technician | None),
        ComputedField(StockLevel, below_minimum, bool),
        ComputedField(StockDiscrepancy, by_row(_WAYS), TRANSITIONS, needs=("status", "level")),
    ),
)
