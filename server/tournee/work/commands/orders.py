"""Commands about work orders."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from tournee.assets.models import Asset
from tournee.customers.models import Contact, Customer, Site
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.entity import now
from tournee.kernel.errors import Forbidden, Invalid, NotFound
from tournee.kernel.fields import EditedBy, camel
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge
from tournee.kernel.numbers import UNNUMBERED
from tournee.kernel.plain import creating, edited_by, editing, given
from tournee.kernel.transaction import Transaction
from tournee.people.models import Skill
from tournee.work.closed import is_closed, tell_dispatcher
from tournee.work.guards import against_canceling, against_canceling_by, statuses_of
from tournee.work.models import Appointment, WorkOrder
from tournee.work.permissions import WORK_PLAN, WORK_WRITE
from tournee.work.recording import Step, record
from tournee.work.states import APPOINTMENT, WORK_ORDER, AppointmentStatus, WorkOrderStatus

Reason = Annotated[str, Limits(length=2000)]

# Technicians on the order record what was found and done; the office edits the rest.
_OFFICE, _OFFICE_ALONE = (edited_by(WorkOrder, by) for by in (EditedBy.OFFICE, EditedBy.OFFICE_ALONE))


@dataclass(frozen=True)
class NewWorkOrder:
    required_skill_ids: list[UUID] | Unset = UNSET
    draft: bool = False
    """Keep it out of planning until `releaseWorkOrder`."""


@creating(WorkOrder, WORK_WRITE, offline=True, fact=True, without=["cause", "resolution"])
async def create_work_order(tx: Transaction, actor: Actor, do: NewWorkOrder) -> WorkOrder:
    """Add a work order. The person who reports it sees it until it is closed."""
    values = given(do, "draft")
    _leave_to_office(actor, values.keys() & _OFFICE_ALONE)
    await tx.find_reference(Customer, values["customer_id"], "customerId")
    await tx.find_optional(WorkOrder, values.get("parent_id"), "parentId")
    await _check_places(tx, values["customer_id"], values)
    values["status"] = WorkOrderStatus.DRAFT if do.draft else WorkOrderStatus.NEW
    return await tx.add(WorkOrder(**values, reported_by_id=actor.id, number=UNNUMBERED))


@dataclass(frozen=True)
class WorkOrderChanges:
    work_order_id: UUID
    """The order to change."""
    required_skill_ids: list[UUID] | Unset = UNSET


@editing(WorkOrder, WORK_WRITE, offline=True, fact=True, without=["customer_id", "parent_id"])
async def update_work_order(tx: Transaction, actor: Actor, do: WorkOrderChanges) -> WorkOrder:
    """Change fields of a work order until it is closed; in the field, only those that record what was found
    and done.
    """
    changes = given(do, "work_order_id")
    if not changes:
        raise Invalid("Name at least one field to change.")
    places = {"site_id", "asset_id"} & changes.keys()
    appointments = await _appointments_of(tx, do.work_order_id) if places else []
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    reserved = _OFFICE_ALONE if _may_still_edit(order, actor) else _OFFICE_ALONE | _OFFICE
    _leave_to_office(actor, changes.keys() & reserved)
    closed = await is_closed(tx, order)
    await _check_places(tx, order.customer_id, changes)
    await merge(tx, order, changes)
    if closed and tx.current.conflict is None:
        await tell_dispatcher(tx, order, {camel(name) for name in changes})
    for appointment in appointments:
        appointment.site_id = order.site_id
        appointment.asset_id = order.asset_id
    return order


def _leave_to_office(actor: Actor, names: Collection[str]) -> None:
    """Raise Forbidden if somebody in the field names such a field."""
    if names and not actor.may(WORK_PLAN):
        raise Forbidden(f"Only the office may change {camel(min(names))}.")


def _may_still_edit(order: WorkOrder, actor: Actor) -> bool:
    """Return whether the reporter may still correct it: planning has not begun."""
    return order.reported_by_id == actor.id and order.status in (WorkOrderStatus.DRAFT, WorkOrderStatus.NEW)


async def _check_places(tx: Transaction, customer_id: UUID, values: dict[str, Any]) -> None:
    """Check that site, contact and asset belong to the customer or to nobody, and that the skills exist."""
    site = await tx.find_optional(Site, values.get("site_id"), "siteId")
    contact = await tx.find_optional(Contact, values.get("contact_id"), "contactId")
    asset = await tx.find_optional(Asset, values.get("asset_id"), "assetId")
    for found, field in ((site, "siteId"), (contact, "contactId"), (asset, "assetId")):
        if found is not None and not await _is_of(tx, found, customer_id):
            raise Invalid("This belongs to another customer.", field)
    if "required_skill_ids" in values:
        values["required_skill_ids"] = await _skills(tx, values["required_skill_ids"])


async def _is_of(tx: Transaction, place: Site | Contact | Asset, customer_id: UUID) -> bool:
    """Return whether it belongs to the customer or to nobody, now or when the device last saw it."""
    if place.customer_id in (customer_id, None):
        return True
    moved = "customerId" in await tx.changed_since_base(place)
    return moved and await tx.value_at_base(place, "customerId") in (str(customer_id), None)


async def _skills(tx: Transaction, ids: list[UUID]) -> list[str]:
    found = await tx.session.scalars(select(Skill.id).where(Skill.id.in_(ids), Skill.deleted.is_(False)))
    if set(ids) - set(found):
        raise NotFound("There is no such Skill.", "requiredSkillIds")
    return [str(id) for id in dict.fromkeys(ids)]


@dataclass(frozen=True)
class HoldWorkOrder:
    work_order_id: UUID
    """The order that has to wait."""
    reason: Reason
    """What it waits for."""


@command(WORK_PLAN)
async def hold_work_order(tx: Transaction, actor: Actor, do: HoldWorkOrder) -> WorkOrder:
    """Put a work order on hold: its appointments no longer change its status."""
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    order.hold(_said(do.reason))
    return order


@dataclass(frozen=True)
class ReleaseWorkOrder:
    work_order_id: UUID
    """The draft or held order that can be planned."""


@command(WORK_PLAN)
async def release_work_order(tx: Transaction, actor: Actor, do: ReleaseWorkOrder) -> WorkOrder:
    """Release a draft or a held order; it takes the status that its appointments imply."""
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    order.release((await statuses_of(tx.session, [order]))[order.id])
    return order


@dataclass(frozen=True)
class CancelWorkOrder:
    work_order_id: UUID
    """The order that is called off, with all its open visits."""
    reason: Reason
    """Why, for everybody concerned."""


@command(WORK_PLAN)
async def cancel_work_order(tx: Transaction, actor: Actor, do: CancelWorkOrder) -> WorkOrder:
    """Cancel an order with all its open appointments; once work has begun, only a manager can."""
    await _appointments_of(tx, do.work_order_id)
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    # Read again under the order's lock: another may have been planned while we waited.
    appointments = await _appointments_of(tx, order.id)
    statuses = [appointment.status for appointment in appointments]
    if against := against_canceling_by(actor, order, statuses):
        raise Forbidden(" ".join(against))
    WORK_ORDER.require(order.status, WorkOrderStatus.CANCELED, against_canceling(statuses))
    order.cancel(_said(do.reason))
    for appointment in appointments:
        before = appointment.status
        if APPOINTMENT.can(before, AppointmentStatus.CANCELED):
            appointment.cancel(do.reason)
            await record(tx, appointment, before, Step(appointment.status, now(), note=do.reason))
    return order


@dataclass(frozen=True)
class CloseWorkOrder:
    work_order_id: UUID
    """The order that is checked and finished."""


@command(WORK_PLAN)
async def close_work_order(tx: Transaction, actor: Actor, do: CloseWorkOrder) -> WorkOrder:
    """Close an order whose work was reviewed; only a follow-up order can continue it."""
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    order.close()
    return order


@dataclass(frozen=True)
class ReopenWorkOrder:
    work_order_id: UUID
    """The order on which more has to be done."""
    reason: Reason
    """What is left to do."""


@command(WORK_PLAN)
async def reopen_work_order(tx: Transaction, actor: Actor, do: ReopenWorkOrder) -> WorkOrder:
    """Reopen a finished order for another visit."""
    order = await tx.find(WorkOrder, do.work_order_id, "workOrderId")
    order.reopen(_said(do.reason))
    return order


async def _appointments_of(tx: Transaction, order_id: UUID) -> list[Appointment]:
    """Return the order's appointments, locked before it."""
    found = await tx.all(
        select(Appointment).where(Appointment.work_order_id == order_id).order_by(Appointment.id)
    )
    return list(found)


def _said(reason: str) -> str:
    if not reason.strip():
        raise Invalid("Say why.", "reason")
    return reason
