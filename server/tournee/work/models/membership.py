"""Who holds which scope through work: technicians through their visits and reports, portals through their
customer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select, union, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models import Account, AccountStatus
from tournee.auth.roles import Role
from tournee.customers.models import Site
from tournee.kernel.log import Entry, Member
from tournee.kernel.visibility import MembershipRule
from tournee.people.models import Technician, TechnicianProfile, TechnicianStatus
from tournee.work.models.appointment import Appointment, Assignment
from tournee.work.models.notes import staff_scope
from tournee.work.models.order import WorkOrder
from tournee.work.states import OVER, WorkOrderStatus

_DONE_WITH = (WorkOrderStatus.CLOSED, WorkOrderStatus.CANCELED)
_OVER = frozenset(status.value for status in OVER)
_ENDED = frozenset(status.value for status in _DONE_WITH)


@dataclass
class _Concerned:
    """What a transaction changed: the records whose people must be recomputed."""

    accounts: set[UUID] = field(default_factory=set)
    reporters: set[UUID] = field(default_factory=set)
    technicians: set[UUID] = field(default_factory=set)
    appointments: set[UUID] = field(default_factory=set)
    scopes: set[UUID] = field(default_factory=set)
    customers: set[UUID] = field(default_factory=set)

    def note(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Assignment):
            self.technicians.add(row.technician_id)
        elif isinstance(row, Appointment):
            self._note_appointment(entry, row)
        elif isinstance(row, WorkOrder):
            self._note_order(entry, row)
        else:
            self._note_holder(entry)

    def _note_holder(self, entry: Entry) -> None:
        row = entry.row
        if isinstance(row, Technician):
            if _changed(entry, "accountId", "status", "deleted"):
                self.accounts |= _values(entry, "accountId", row.account_id)
        elif isinstance(row, TechnicianProfile):
            if _changed(entry, "windowFrom", "windowTo", "deleted"):
                self.technicians.add(row.technician_id)
        elif isinstance(row, Site):
            if _changed(entry, "customerId", "deleted"):
                self.customers |= _values(entry, "customerId", row.customer_id)
        elif isinstance(row, Account) and _changed(entry, "customerId", "role", "status", "deleted"):
            self.accounts.add(row.id)

    def _note_appointment(self, entry: Entry, row: Appointment) -> None:
        if entry.before is None:
            self.customers.add(row.customer_id)
        elif _changed(entry, "startsAt", "endsAt", "siteId", "deleted") or _crosses(entry, _OVER):
            self.appointments.add(row.id)
            self.scopes.add(row.id)

    def _note_order(self, entry: Entry, row: WorkOrder) -> None:
        if entry.before is None:
            self.customers.add(row.customer_id)
            self.reporters.add(row.reported_by_id)
        elif _changed(entry, "siteId", "deleted") or _crosses(entry, _ENDED):
            self.reporters.add(row.reported_by_id)
            self.scopes.add(row.id)

    def questions(self) -> list[Select[*tuple[Any, ...]]]:
        """The accounts behind what was noted, one question for each kind of thing."""
        asked: list[tuple[set[UUID], Any]] = [
            (
                self.reporters,
                select(Technician.account_id).where(Technician.account_id.in_(self.reporters)),
            ),
            (
                self.technicians,
                select(Technician.account_id).where(Technician.id.in_(self.technicians)),
            ),
            (
                self.appointments,
                select(Technician.account_id)
                .join(Assignment, _assigned())
                .where(Assignment.appointment_id.in_(self.appointments)),
            ),
            (
                self.scopes,
                select(Member.account_id).where(
                    Member.scope.in_(self.scopes),
                    Member.to_seq.is_(None),
                ),
            ),
            (
                self.customers,
                select(Account.id).where(Account.customer_id.in_(self.customers)),
            ),
        ]
        return [question for things, question in asked if things]


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


def _assigned() -> Any:
    return and_(
        Assignment.organisation_id == Technician.organisation_id,
        Assignment.technician_id == Technician.id,
        Assignment.active.is_(True),
        Assignment.deleted.is_(False),
    )


async def _touched(session: AsyncSession, organisation_id: UUID, entries: Sequence[Entry]) -> set[UUID]:
    concerned = _Concerned()
    for entry in entries:
        concerned.note(entry)
    questions = concerned.questions()
    if questions:
        found = await session.scalars(union(*questions))
        concerned.accounts.update(account for account in found if account is not None)
    return concerned.accounts


def _assigned_visits(*columns: Any) -> Select[*tuple[Any, ...]]:
    """Return the visits that active technicians are assigned to, in any window."""
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
        .join(Assignment, _assigned())
        .join(
            Appointment,
            and_(
                Appointment.organisation_id == Assignment.organisation_id,
                Appointment.id == Assignment.appointment_id,
            ),
        )
        .where(
            Technician.status == TechnicianStatus.ACTIVE,
            Technician.deleted.is_(False),
            Appointment.deleted.is_(False),
        )
    )


def _in_window() -> ColumnElement[bool]:
    """Return the condition for visits in the window; an unfinished one counts however old it is."""
    still_open = Appointment.status.not_in(OVER)
    ended_at = func.coalesce(Appointment.ends_at, Appointment.actual_end, Appointment.created_at)
    return and_(
        or_(Appointment.starts_at.is_(None), Appointment.starts_at < TechnicianProfile.window_to),
        or_(still_open, ended_at >= TechnicianProfile.window_from),
    )


_GIVEN = (Appointment.id, Appointment.work_order_id, Appointment.customer_id, Appointment.site_id)


def _visits(accounts: Collection[UUID]) -> Select[*tuple[Any, ...]]:
    """Return the visits in the windows of these technicians."""
    found = _assigned_visits(Technician.account_id, *_GIVEN)
    return found.where(Technician.account_id.in_(accounts), _in_window())


def visits_outside(account_id: UUID) -> Select[*tuple[Any, ...]]:
    """Return a technician's visits that the device's window leaves out: the scopes they would give, their
    times, and the window.
    """
    window = (Appointment.starts_at, TechnicianProfile.window_from, TechnicianProfile.window_to)
    found = _assigned_visits(*_GIVEN, *window)
    return found.where(Technician.account_id == account_id, not_(_in_window()))


def scopes_of_visit(appointment: UUID, order: UUID, customer: UUID, site: UUID | None) -> set[UUID]:
    """Return the scopes that a visit gives."""
    scopes = (appointment, order, customer, site, staff_scope(appointment), staff_scope(order))
    return {scope for scope in scopes if scope is not None}


def _reports(accounts: Collection[UUID]) -> Select[*tuple[Any, ...]]:
    """Return what these technicians reported and is still open."""
    return (
        select(WorkOrder.reported_by_id, WorkOrder.id, WorkOrder.customer_id, WorkOrder.site_id)
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
            WorkOrder.reported_by_id.in_(accounts),
            WorkOrder.status.not_in(_DONE_WITH),
            WorkOrder.deleted.is_(False),
        )
    )


def _portal(accounts: Collection[UUID]) -> list[Select[*tuple[Any, ...]]]:
    """Return the customer of these portal accounts, with its sites, orders and appointments."""
    open_portal = and_(
        Account.id.in_(accounts),
        Account.role == Role.CUSTOMER_PORTAL,
        Account.status == AccountStatus.ACTIVE,
    )
    questions = [select(Account.id, Account.customer_id).where(open_portal)]
    models: tuple[Any, ...] = (Site, WorkOrder, Appointment)
    for model in models:
        own = and_(
            model.organisation_id == Account.organisation_id,
            model.customer_id == Account.customer_id,
            model.deleted.is_(False),
        )
        questions.append(select(Account.id, model.id).join(model, own).where(open_portal))
    return questions


async def _held(
    session: AsyncSession, organisation_id: UUID, accounts: Collection[UUID]
) -> set[tuple[UUID, UUID]]:
    found: set[tuple[UUID, UUID | None]] = set()
    for account, *visit in await session.execute(_visits(accounts)):
        found.update((account, scope) for scope in scopes_of_visit(*visit))
    for account, order, *places in await session.execute(_reports(accounts)):
        found.update((account, id) for id in (order, staff_scope(order), *places))
    for account, scope in await session.execute(union_all(*_portal(accounts))):
        found.add((account, scope))
    return {(account, scope) for account, scope in found if scope is not None}


MEMBERSHIP = MembershipRule(_touched, _held)
