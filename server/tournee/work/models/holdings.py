"""What people hold through work now, and the scopes that visits and reports give."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, and_, cast, not_, null, or_, select, union_all

from tournee.auth.models import Account, AccountStatus
from tournee.auth.roles import Role
from tournee.customers.models import Site
from tournee.kernel.membership import Extent, among, prepared
from tournee.people.models import Technician, TechnicianProfile, TechnicianStatus
from tournee.work.models.appointment import Appointment, Assignment
from tournee.work.models.notes import staff_scope
from tournee.work.models.order import WorkOrder


def to_visit(assignment: Any) -> ColumnElement[bool]:
    return and_(
        Appointment.organisation_id == assignment.organisation_id, Appointment.id == assignment.appointment_id
    )


def _assigned(*columns: Any) -> Select[*tuple[Any, ...]]:
    """Select from the assignments of active technicians, of visits of any age."""
    return (
        select(*columns)
        .select_from(Technician)
        .join(
            TechnicianProfile,
            and_(
                TechnicianProfile.organisation_id == Technician.organisation_id,
                TechnicianProfile.technician_id == Technician.id,
            ),
        )
        .join(
            Assignment,
            and_(
                Assignment.organisation_id == Technician.organisation_id,
                Assignment.technician_id == Technician.id,
                Assignment.active.is_(True),
                Assignment.deleted.is_(False),
            ),
        )
        .where(Technician.status == TechnicianStatus.ACTIVE, Technician.deleted.is_(False))
    )


def _begins_before(window_to: Any) -> ColumnElement[bool]:
    return or_(Appointment.starts_at.is_(None), Appointment.starts_at < window_to)


GIVEN = (Appointment.id, Appointment.work_order_id, Appointment.customer_id, Appointment.site_id)


def _visits(extent: Extent) -> Select[*tuple[Any, ...]]:
    """Select the visits in the windows of these technicians; an unfinished one counts however old it is.

    An assignment knows until when its visit counts, so that what is read first is what a technician holds
    now, and not the visits of years, whatever the database believes of their number.
    """
    own = (
        _assigned(
            Technician.account_id,
            TechnicianProfile.window_to,
            Assignment.organisation_id,
            Assignment.appointment_id,
        )
        .where(among(extent, Technician.account_id), Assignment.until >= TechnicianProfile.window_from)
        .cte("assigned")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(own.c.account_id, *GIVEN)
        .join(own, to_visit(own.c))
        .where(
            Appointment.deleted.is_(False),
            _begins_before(own.c.window_to),
            among(extent, own.c.account_id, *GIVEN),
        )
    )


def visits_outside(account_id: UUID) -> Select[*tuple[Any, ...]]:
    """Return a technician's visits that the device's window leaves out: the scopes they would give, their
    times, and the window.
    """
    window = (Appointment.starts_at, TechnicianProfile.window_from, TechnicianProfile.window_to)
    inside = and_(
        _begins_before(TechnicianProfile.window_to), Assignment.until >= TechnicianProfile.window_from
    )
    return (
        _assigned(*GIVEN, *window)
        .join(Appointment, to_visit(Assignment))
        .where(Technician.account_id == account_id, Appointment.deleted.is_(False), not_(inside))
    )


def scopes_given(visit: UUID | None, order: UUID | None, *others: UUID | None) -> set[UUID]:
    """Return the scopes that a visit, a report or a customer gives. A visit and an order give two each: the
    second has the internal details, which the customer's portal does not hold.
    """
    staff = (staff_scope(id) for id in (visit, order) if id is not None)
    return {scope for scope in (visit, order, *others, *staff) if scope is not None}


def _reports(extent: Extent) -> Select[*tuple[Any, ...]]:
    """Select what these technicians reported and is still open."""
    given = (WorkOrder.id, WorkOrder.customer_id, WorkOrder.site_id)
    return (
        select(WorkOrder.reported_by_id, _NONE, *given)
        .join(
            Technician,
            and_(
                Technician.organisation_id == WorkOrder.organisation_id,
                Technician.account_id == WorkOrder.reported_by_id,
                Technician.status == TechnicianStatus.ACTIVE,
                Technician.deleted.is_(False),
            ),
        )
        .where(
            among(extent, WorkOrder.reported_by_id, *given),
            WorkOrder.is_open(),
            WorkOrder.deleted.is_(False),
        )
    )


def _portal(extent: Extent) -> list[Select[*tuple[Any, ...]]]:
    """Select the customer of these portal accounts, with its sites, orders and appointments."""
    open_portal = and_(Account.role == Role.CUSTOMER_PORTAL, Account.status == AccountStatus.ACTIVE)
    customer = among(extent, Account.id, Account.customer_id)
    questions = [_given_alone(Account.customer_id).where(open_portal, customer)]
    models: tuple[Any, ...] = (Site, WorkOrder, Appointment)
    for model in models:
        own = and_(
            model.organisation_id == Account.organisation_id,
            model.customer_id == Account.customer_id,
            model.deleted.is_(False),
        )
        asked = _given_alone(model.id).join(model, own)
        questions.append(asked.where(open_portal, among(extent, Account.id, model.id)))
    return questions


def _given_alone(scope: Any) -> Select[*tuple[Any, ...]]:
    return select(Account.id, _NONE, _NONE, scope, _NONE).select_from(Account)


_NONE = cast(null(), Uuid)


@cache
def holdings(extent: Extent) -> Any:
    """Select what is held as (account, visit, order, customer or other record, site): visits have all of
    them, reports no visit, portals one record.
    """
    return prepared(union_all(_visits(extent), _reports(extent), *_portal(extent)))
