"""Who holds which scope through work: technicians through their visits and reports, portals through their
customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, and_, cast, not_, null, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models import Account, AccountStatus
from tournee.auth.roles import Role
from tournee.customers.models import Site
from tournee.kernel.log import Entry
from tournee.kernel.visibility import Concerned, Extent, MembershipRule, Pairs, among
from tournee.people.models import Technician, TechnicianProfile, TechnicianStatus
from tournee.work.models.appointment import Appointment, Assignment
from tournee.work.models.notes import staff_scope
from tournee.work.models.order import WorkOrder
from tournee.work.states import ENDED, OVER

if TYPE_CHECKING:
    from tournee.kernel.transaction import Transaction

_OVER = frozenset(status.value for status in OVER)
_ENDED = frozenset(status.value for status in ENDED)


@dataclass
class _Changes:
    """What a transaction changed: the records whose people must be worked out."""

    concerned: Concerned = field(default_factory=Concerned)
    technicians: set[UUID] = field(default_factory=set)
    assignments: set[UUID] = field(default_factory=set)
    # Visits, with the sites that they had before.
    visits: dict[UUID, set[UUID]] = field(default_factory=dict)
    # Who reported an order, with the scopes that the order gives.
    reports: dict[UUID, set[UUID]] = field(default_factory=dict)
    # Customers, with the records that their portals hold.
    customers: dict[UUID, set[UUID]] = field(default_factory=dict)

    def note(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Assignment):
            self.assignments.add(row.id)
        elif isinstance(row, Appointment):
            self._note_visit(entry, row)
        elif isinstance(row, WorkOrder):
            self._note_order(entry, row)
        elif isinstance(row, Site):
            if _changed(entry, "customerId", "deleted"):
                self._show(row.id, *_values(entry, "customerId", row.customer_id))
        else:
            self._note_holder(entry)

    def _note_visit(self, entry: Entry, row: Appointment) -> None:
        if _changed(entry, "deleted"):
            self._show(row.id, row.customer_id)
        moved = _changed(entry, "startsAt", "endsAt", "siteId", "deleted") or _crosses(entry, _OVER)
        if entry.before is not None and moved:
            self.visits.setdefault(row.id, set()).update(_values(entry, "siteId", None))

    def _note_order(self, entry: Entry, row: WorkOrder) -> None:
        if _changed(entry, "deleted"):
            self._show(row.id, row.customer_id)
        if _changed(entry, "siteId", "deleted") or _crosses(entry, _ENDED):
            given = _of_report(row.id, row.customer_id, *_values(entry, "siteId", row.site_id))
            self.reports.setdefault(row.reported_by_id, set()).update(given)

    def _note_holder(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Technician):
            if _changed(entry, "accountId", "status", "deleted"):
                self.concerned.whole |= _values(entry, "accountId", row.account_id)
        elif isinstance(row, TechnicianProfile):
            if _changed(entry, "windowFrom", "windowTo", "deleted"):
                self.technicians.add(row.technician_id)
        elif isinstance(row, Account) and _changed(entry, "customerId", "role", "status", "deleted"):
            self.concerned.whole.add(row.id)

    def _show(self, record: UUID, *customers: UUID) -> None:
        for customer in customers:
            self.customers.setdefault(customer, set()).add(record)

    async def resolve(self, session: AsyncSession) -> Concerned:
        """Find the accounts behind what was noted."""
        if self.technicians:
            owners = select(Technician.account_id).where(Technician.id.in_(self.technicians))
            self.concerned.whole |= {id for id in await session.scalars(owners) if id is not None}
        if self.assignments or self.visits:
            for account, *visit in await session.execute(self._crews()):
                self.concerned.add(account, scopes_of_visit(*visit) | self.visits.get(visit[0], set()))
        if self.reports:
            reporters = select(Technician.account_id).where(Technician.account_id.in_(self.reports))
            for account in self.reports.keys() & set(await session.scalars(reporters)):
                self.concerned.add(account, self.reports[account])
        if self.customers:
            portals = select(Account.customer_id, Account.id).where(Account.customer_id.in_(self.customers))
            for customer, account in await session.execute(portals):
                self.concerned.add(account, self.customers[customer] if customer else ())
        return self.concerned

    def _crews(self) -> Select[*tuple[Any, ...]]:
        """Select who is or was assigned to the visits noted."""
        same = Technician.organisation_id == Assignment.organisation_id
        changed = or_(Assignment.id.in_(self.assignments), Assignment.appointment_id.in_(self.visits.keys()))
        return (
            select(Technician.account_id, *_GIVEN)
            .select_from(Assignment)
            .join(Technician, and_(same, Technician.id == Assignment.technician_id))
            .join(Appointment, _to_visit(Assignment))
            .where(changed)
        )


def _changed(entry: Entry, *names: str) -> bool:
    return entry.before is None or not entry.after.keys().isdisjoint(names)


def _crosses(entry: Entry, statuses: frozenset[str]) -> bool:
    """Return whether the status entered or left the given ones."""
    before = (entry.before or {}).get("status")
    return "status" in entry.after and (before in statuses) != (entry.after["status"] in statuses)


def _values(entry: Entry, name: str, now: UUID | None) -> set[UUID]:
    """Return the ids that the field had before and has now."""
    before = (entry.before or {}).get(name)
    return {id for id in (now, before) if id is not None}


async def _touched(session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    changes = _Changes()
    for entry in entries:
        changes.note(entry)
    return await changes.resolve(session)


async def _settle(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Copy to its assignments until when a visit counts, where it ended or opened again."""
    visits = {entry.row: None for entry in entries if isinstance(entry.row, Appointment) and _ends(entry)}
    until = [{"appointment_id": visit.id, "until": visit.until} for visit in visits]
    await tx.statements.update_many(Assignment.__table__, ("appointment_id",), until)


def _ends(entry: Entry) -> bool:
    changed = entry.before is not None and _changed(entry, "endsAt", "actualEnd")
    return changed or _crosses(entry, _OVER)


def _to_visit(assignment: Any) -> ColumnElement[bool]:
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


_GIVEN = (Appointment.id, Appointment.work_order_id, Appointment.customer_id, Appointment.site_id)


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
        select(own.c.account_id, *_GIVEN)
        .join(own, _to_visit(own.c))
        .where(
            Appointment.deleted.is_(False),
            _begins_before(own.c.window_to),
            among(extent, own.c.account_id, *_GIVEN),
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
        _assigned(*_GIVEN, *window)
        .join(Appointment, _to_visit(Assignment))
        .where(Technician.account_id == account_id, Appointment.deleted.is_(False), not_(inside))
    )


def scopes_of_visit(appointment: UUID, order: UUID, customer: UUID, site: UUID | None) -> set[UUID]:
    """Return the scopes that a visit gives."""
    scopes = (appointment, order, customer, site, staff_scope(appointment), staff_scope(order))
    return {scope for scope in scopes if scope is not None}


def _of_report(order: UUID, *places: UUID | None) -> set[UUID]:
    """Return the scopes that an order gives the technician who reported it."""
    return {scope for scope in (order, staff_scope(order), *places) if scope is not None}


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
def _holdings(extent: Extent) -> Any:
    """Select what is held as (account, visit, order, customer or other record, site): visits have all of
    them, reports no visit, portals one record.
    """
    return union_all(_visits(extent), _reports(extent), *_portal(extent))


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    found: Pairs = set()
    for account, visit, order, record, site in await session.execute(
        _holdings(concerned.extent), concerned.parameters()
    ):
        given = {visit, order, record, site}
        given |= {staff_scope(id) for id in (visit, order) if id is not None}
        found |= {(account, scope) for scope in given if scope is not None}
    return found


MEMBERSHIP = MembershipRule(_touched, _held, _settle)
