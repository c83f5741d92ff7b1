"""Follow-ups: plan what is left to do, as another visit of the order or as an order of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tournee.conflicts.deciding import FollowUp, ResolveConflict, Situation, perform
from tournee.customers.models import Customer, Site
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Blocked
from tournee.kernel.transaction import Transaction
from tournee.work.commands import assign_technician, create_appointment, create_work_order
from tournee.work.commands.planning import PLANNABLE
from tournee.work.models import WorkOrder


async def follow_up(tx: Transaction, situation: Situation, do: ResolveConflict) -> UUID:
    """Add an appointment to an open order, or a new order in all other cases; return what was added."""
    row, wanted = situation.row, do.follow_up or FollowUp()
    assert row is not None
    order = await _order_of(tx, row)
    if order is not None and order.status in PLANNABLE:
        return await _appointment(tx, order, wanted)
    made = await perform(tx, create_work_order, **await _order_for(tx, row, order, wanted))
    if wanted.starts_at is not None or wanted.technician_id is not None:
        await _appointment(tx, made, wanted)
    order_id: UUID = made.id
    return order_id


async def _order_of(tx: Transaction, row: Entity) -> WorkOrder | None:
    if isinstance(row, WorkOrder):
        return row
    return await tx.find_optional(WorkOrder, getattr(row, "work_order_id", None))


async def _appointment(tx: Transaction, order: WorkOrder, wanted: FollowUp) -> UUID:
    made = await perform(
        tx,
        create_appointment,
        workOrderId=order.id,
        summary=wanted.summary or order.summary,
        startsAt=wanted.starts_at,
        endsAt=wanted.ends_at,
    )
    if wanted.technician_id is not None:
        await perform(tx, assign_technician, appointmentId=made.id, technicianId=wanted.technician_id)
    id: UUID = made.id
    return id


async def _order_for(
    tx: Transaction, row: Entity, order: WorkOrder | None, wanted: FollowUp
) -> dict[str, Any]:
    about = order or row
    site_id = getattr(about, "site_id", None)
    customer_id = getattr(about, "customer_id", None) or await _customer_of(tx, row, site_id)
    name = getattr(about, "summary", None) or getattr(about, "name", None) or getattr(about, "title", None)
    return {
        "customerId": customer_id,
        "siteId": site_id,
        "assetId": row.id if row.__tablename__ == "asset" else getattr(about, "asset_id", None),
        "parentId": order.id if order else None,
        "summary": wanted.summary or f"Follow-up: {name or 'what was found'}"[:200],
    }


async def _customer_of(tx: Transaction, row: Entity, site_id: UUID | None) -> UUID:
    if isinstance(row, Customer):
        return row.id
    site = row if isinstance(row, Site) else await tx.find_optional(Site, site_id)
    if site is None:
        raise Blocked("There is no customer for an order.", "resolution")
    return site.customer_id
